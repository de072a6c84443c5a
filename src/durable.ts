/** When everything has reached the media: `durable`, and bringing there what no drain has. */
import type { Background } from './background.ts';
import type { Claimant } from './claims/claimant.ts';
import { harden, hardenTurnBytes, nextToHarden, notDurable } from './claims/harden.ts';
import type { VmemmapError } from './errors.ts';
import { descriptorSizeBytes } from './physical/geometry.ts';
import type { Readiness } from './readiness.ts';
import { errnoName } from './region/backing.ts';

/** See the top of the file. One per memmap and thread. */
export class Durable {
  readonly #claimant: Claimant;
  readonly #background: Background | undefined;
  readonly #readiness: Readiness;
  #promise: Promise<void> | undefined;
  /** Somebody has asked for the promise, and so is told. */
  #isTold = false;

  constructor(claimant: Claimant, background: Background | undefined, readiness: Readiness) {
    this.#claimant = claimant;
    this.#background = background;
    this.#readiness = readiness;
  }

  /** See {@link Memmap.durable}. */
  get promise(): Promise<void> {
    this.#isTold = true;
    return this.#begin();
  }

  /** Begins soon, where chunks become durable in a step of its own. */
  beginSoon(): void {
    if (this.#claimant.region.persistence) setImmediate(() => void this.#begin());
  }

  /** From now on everything has another chance. */
  again(): void {
    this.#promise = undefined;
    this.beginSoon();
  }

  #begin(): Promise<void> {
    if (this.#promise) return this.#promise;
    const promise = this.#wait();
    promise.catch(() => {});
    this.#promise = promise;
    return promise;
  }

  async #wait(): Promise<void> {
    const { region } = this.#claimant;
    if (!region.persistence) throw notDurable('the backing keeps nothing, or durability none was asked for', 0);
    await this.#readiness.ready;
    // drains bring what they wrote to the media before they end
    await this.#background?.ended();
    await this.hardenRest();
    if (region.mediaErrno !== 0) throw lossOf(region.mediaErrno);
  }

  /** What is to be told to whoever closes without having asked; looked up while the file is still mapped. */
  untoldLoss(): VmemmapError | undefined {
    const { persistence, mediaErrno } = this.#claimant.region;
    return persistence && !this.#isTold && mediaErrno !== 0 ? lossOf(mediaErrno) : undefined;
  }

  /** Brings to the media what no drain has, on this thread, in turns between which the event loop runs. */
  async hardenRest(): Promise<void> {
    const { region, chunks } = this.#claimant;
    if (!region.persistence) return;
    let end = 0;
    for (let first = nextToHarden(chunks, 0); first >= 0; first = nextToHarden(chunks, end)) {
      const { chunkPages } = region.rangeOfChunk(first);
      end = first + Math.max(1, Math.floor(hardenTurnBytes / (chunkPages * descriptorSizeBytes)));
      if (harden(region, chunks, first, Math.min(end, region.chunks)) !== 0) return;
      await new Promise(setImmediate);
    }
  }
}

function lossOf(errno: number): VmemmapError {
  return notDurable(`the media refused (${errnoName(errno)}); see the kernel's log`, errno);
}
