/** When everything is initialized: `ready`, what it rejects with, and waiting for it within limits. */
import type { Background } from './background.ts';
import { isInitialized, payloadOf, stateOf } from './claims/chunk-map.ts';
import { type Claimant, chunkFailed } from './claims/claimant.ts';
import { isClosed, isStopped, openerOf } from './claims/orders.ts';
import { VmemmapError } from './errors.ts';
import { refuseTooLarge } from './region/memory-limit.ts';

/** Limits of {@link Readiness.sync}. */
export interface SyncOptions {
  /** Rejects with its reason when aborted; the background goes on. */
  signal?: AbortSignal;
  /** Milliseconds, 0 to 2^31 − 1; SYNC_TIMEOUT when they are over. Default, and Infinity: none. */
  timeout?: number;
}

/** How often one who waits for everything looks around, when nobody wakes it. */
const lookAroundMs = 500;
/** Longest that a timer of Node can be set to; a larger number would mean 1 ms. */
const timerMsMax: number = 2 ** 31 - 1;

/** Checks a time for a timer. @throws RangeError that names the option */
export function checkTimerMs(name: string, ms: number, min: number): void {
  if (ms >= min && ms <= timerMsMax) return;
  throw new RangeError(`${name} must be ${min} to ${timerMsMax} milliseconds, not ${ms}`);
}

/** How long one turn of work on the caller's thread may take before the event loop gets its turn. */
export const turnMsMax = 5;

/** See the top of the file. One per memmap and thread. */
export class Readiness {
  /** Whether everything was found initialized, or `ready` has rejected. */
  outcome: 'pending' | 'ready' | 'failed' = 'pending';
  readonly #claimant: Claimant;
  readonly #background: Background | undefined;
  #ready: Promise<void> | undefined;
  #closing = false;
  /** Other processes were seen that used the file. */
  #hadOthers = false;

  /** @param background of the thread that opened the memmap; undefined where it was attached to. */
  constructor(claimant: Claimant, background: Background | undefined) {
    this.#claimant = claimant;
    this.#background = background;
  }

  /** Settles when everything is initialized or will not be. Never unhandled. */
  get ready(): Promise<void> {
    return this.#ready ?? this.begin();
  }

  /**
   * Begins soon: at once where threads wait for work, else in the next turn of the event loop. Threads that are to be made
   * do not start sooner for half a millisecond of preparations, but whoever faults right after `open` would wait for it.
   */
  beginSoon(): void {
    if (this.#background?.isReady) this.begin();
    else setImmediate(() => this.#ready ?? (this.#closing || this.begin()));
  }

  /** Starts the drains, and tells `ready` by whatever comes first: all is done, or the background ended without. */
  begin(): Promise<void> {
    this.outcome = 'pending';
    const background = this.#background;
    const done = background?.threads
      ? Promise.race([this.#allSettled(), this.#drained(background)])
      : this.#allSettled();
    return this.#expect(done);
  }

  #expect(done: Promise<void>): Promise<void> {
    const ready = done.then(
      () => {
        this.outcome = 'ready';
        // in a file this thread has not looked yet at what others wrote: see Claimant.settle
        this.#claimant.complete = this.#claimant.region.handle.file === undefined;
      },
      (error) => {
        this.outcome = 'failed';
        throw error;
      },
    );
    // Who never asks for `ready` must not be killed by an unhandled rejection; who does gets it.
    ready.catch(() => {});
    this.#ready = ready;
    return ready;
  }

  async #drained(background: Background): Promise<void> {
    // after a retry: the drains of before have nothing to do any more, but may not have told so yet
    // (only then: with nothing at work they start at once, whatever their caller does next)
    if (background.hasStarted && background.active) await background.ended();
    const outcome = await background.start();
    if (outcome === 'cancelled') throw this.#stopError();
    await this.#allSettled();
  }

  /**
   * Resolves when every chunk is initialized, whoever did it; rejects when all are settled and some failed. Waits for the
   * last chunk first: drains go upwards, so that most often one wake-up is enough.
   */
  async #allSettled(): Promise<void> {
    const { chunks, region } = this.#claimant;
    let failed: VmemmapError | undefined;
    for (let end = chunks.chunks; ; ) {
      const last = chunks.lastUninitialized(end);
      if (last < 0) break;
      const word = chunks.load(last);
      if (stateOf(word) === 'failed') {
        // Remembered as it was seen: a retry may set it free while we wait for another, and it is not initialized then. Only
        // READY is final, so only a pass that saw nothing else is a proof.
        const range = region.rangeOfChunk(last);
        failed = chunkFailed(range, last - range.firstChunk, payloadOf(word));
        end = last;
        continue;
      }
      end = last + 1;
      if (isInitialized(word)) continue;
      if (this.#closing || (isStopped(region) && !this.#background?.active)) throw this.#stopError();
      if (this.isOrphaned) throw orphanedError();
      if (this.#isKeptAlive) await chunks.waitAsync(last, word, lookAroundMs);
      else await this.#claimant.waitForChange(last, word, lookAroundMs);
    }
    if (failed) throw failed;
  }

  /**
   * Whether the process lives without us while we wait: its workers keep it alive; without workers in memory of its own nobody
   * but itself could bring about what it waits for. Whoever attached, in a thread or in a process, waits for others.
   */
  get #isKeptAlive(): boolean {
    const threads = this.#background?.threads;
    return threads !== undefined && (threads > 0 || this.#claimant.region.processes === undefined);
  }

  /**
   * Whether nobody is left who would initialize the rest: this thread attached to a memmap whose opener, and with it its
   * background, has died; or the process has no threads for its file, and the others that were there are gone.
   */
  get isOrphaned(): boolean {
    const { owners, region } = this.#claimant;
    if (!this.#background) return owners.isDead(openerOf(region));
    if (!region.processes || this.#background.threads > 0) return false;
    const hasOthers = region.processes.hasOthers();
    this.#hadOthers ||= hasOthers;
    return this.#hadOthers && !hasOthers;
  }

  #stopError(): VmemmapError {
    return this.#closing || isClosed(this.#claimant.region)
      ? new VmemmapError('CLOSED', 'the memmap was closed before everything was initialized')
      : new VmemmapError('CANCELLED', 'the background was cancelled; faults still work, retry() takes the cancel back');
  }

  /** See {@link Memmap.sync}. */
  async sync({ signal, timeout = Number.POSITIVE_INFINITY }: SyncOptions): Promise<void> {
    const isLimited = timeout !== Number.POSITIVE_INFINITY;
    if (isLimited) checkTimerMs('timeout', timeout, 0);
    signal?.throwIfAborted();
    const limits = new AbortController();
    const expired = new VmemmapError('SYNC_TIMEOUT', `not everything was initialized within ${timeout} ms; sync again`);
    // a timer of its own, so that the event loop lives while somebody waits
    const timer = isLimited ? setTimeout(() => limits.abort(expired), timeout) : setInterval(() => {}, lookAroundMs);
    const forward = (): void => limits.abort(signal?.reason);
    signal?.addEventListener('abort', forward, { once: true });
    try {
      const limited = new Promise<never>((_, reject) => {
        limits.signal.addEventListener('abort', () => reject(limits.signal.reason), { once: true });
      });
      await Promise.race([limited, this.#work(limits.signal)]);
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', forward);
      limits.abort();
    }
  }

  /** Waits for `ready`; where there is no thread that would bring it about, or none any more, does the work. */
  async #work(limit: AbortSignal): Promise<void> {
    const background = this.#background;
    if (background && background.threads > 0) {
      try {
        return await this.ready;
      } catch (error) {
        if (!(error instanceof VmemmapError && error.code === 'WORKERS_FAILED')) throw error;
      }
    }
    if (!background) return this.ready;
    await this.#initializeHere(limit);
    if (limit.aborted) return;
    if (this.outcome === 'failed' && !isStopped(this.#claimant.region)) this.#expect(this.#allSettled());
    await this.ready;
  }

  async #initializeHere(limit: AbortSignal): Promise<void> {
    const { region } = this.#claimant;
    // the pages of a file need not all be in memory
    if (!region.handle.file) refuseTooLarge(region.storedBytes);
    let turnEndsMs = performance.now() + turnMsMax;
    for (const range of region.ranges) {
      for (let chunk = 0; chunk < range.chunks; chunk++) {
        if (performance.now() > turnEndsMs) {
          await new Promise(setImmediate);
          turnEndsMs = performance.now() + turnMsMax;
        }
        if (limit.aborted || isStopped(region)) return;
        try {
          await this.#claimant.settleAsync(range, chunk);
        } catch (error) {
          // one chunk that cannot be written does not keep the others from it; `ready` tells of it
          if (!(error instanceof VmemmapError && error.code === 'CHUNK_FAILED')) throw error;
        }
      }
    }
  }

  /** Lets those who wait look around: an order was given that no chunk word tells. */
  wake(): void {
    const { chunks } = this.#claimant;
    for (let chunk = 0; chunk < chunks.chunks; chunk++) if (!isInitialized(chunks.load(chunk))) chunks.wakeAll(chunk);
  }

  /** From now on `ready` does not come any more if it has not. */
  close(): void {
    this.#closing = true;
    this.wake();
    if (this.#ready) return;
    // nothing was begun, and nothing will be
    this.outcome = 'failed';
    this.#expect(Promise.reject(this.#stopError()));
  }
}

function orphanedError(): VmemmapError {
  return new VmemmapError(
    'WORKERS_FAILED',
    'whoever initialized the memmap in the background has died; faults still work, and so does sync, which does the rest',
  );
}
