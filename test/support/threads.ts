/** Starts real threads that work on a region at once. */
import { Worker } from 'node:worker_threads';
import type { Region } from '../../dist/src/region/region.js';

/** What a thread does. */
export type Role =
  | { kind: 'drain'; nid?: number }
  | { kind: 'fault'; count: number }
  | { kind: 'grow' }
  /** Drains, and stands still in the middle of a chunk; or ends itself there. */
  | { kind: 'stop-in-chunk'; afterChunks: number; exit?: boolean };

/** What a thread did. */
export interface Deed {
  handedOut: [number, number][];
  written: number;
}

/** Words that the threads share: 0 begin, 1 somebody stands still in a chunk, 2 never. */
export type Gate = Int32Array<SharedArrayBuffer>;

/** Threads at a starting line. */
export class Crew {
  readonly counts: Int32Array<SharedArrayBuffer>;
  readonly gate: Gate = new Int32Array(new SharedArrayBuffer(12));
  readonly workers: Worker[];
  readonly #deeds: Promise<Deed | undefined>[];

  constructor(region: Region, roles: readonly Role[], seed: number) {
    this.counts = new Int32Array(new SharedArrayBuffer(region.chunks * 4));
    this.workers = roles.map(
      (role, index) =>
        new Worker(new URL('./actor.mjs', import.meta.url), {
          workerData: { handle: region.handle, counts: this.counts, gate: this.gate, role, seed: seed * 100 + index },
        }),
    );
    this.#deeds = this.workers.map(
      (worker) =>
        new Promise((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
          worker.once('exit', () => resolve(undefined));
        }),
    );
  }

  /** Lets them begin. */
  begin(): void {
    Atomics.store(this.gate, 0, 1);
    Atomics.notify(this.gate, 0);
  }

  /** Resolves when one of them stands still in the middle of a chunk. */
  async standstill(): Promise<void> {
    const keepAlive = setInterval(() => {}, 1000);
    const result = Atomics.waitAsync(this.gate, 1, 0, 30_000);
    if (result.async) await result.value;
    clearInterval(keepAlive);
    if (Atomics.load(this.gate, 1) !== 1) throw new Error('no thread stood still');
  }

  /** What they did; undefined for those that died. */
  async deeds(): Promise<(Deed | undefined)[]> {
    const deeds = await Promise.all(this.#deeds);
    await Promise.all(this.workers.map((worker) => worker.terminate()));
    return deeds;
  }
}
