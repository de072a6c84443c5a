/** The background of one memmap: drains in the pools of its nodes, replaced when they die. */
import { channel } from 'node:diagnostics_channel';
import type { DrainReply, VerifyReply, WorkerReply, WorkerTask } from '../workers/messages.ts';
import type { Claimant } from './claims/claimant.ts';
import { type DrainOutcome, isStopped } from './claims/drain.ts';
import { VmemmapError } from './errors.ts';
import { mergeVerified, nothingVerified, type VerifyResult } from './observe/verify.ts';
import { type NodePool, nodePool, type StartedWord, startedWord, type TaskOf } from './pool.ts';
import type { Region } from './region/region.ts';

/** How many threads a node gets, and where. */
export interface NodeThreads {
  readonly nid: number;
  /** CPUs to pin them to; empty: not pinned. */
  readonly cpus: readonly number[];
  readonly threads: number;
}

/** A worker that died or could not be loaded. */
export interface WorkerFailure {
  readonly nid: number;
  readonly message: string;
}

/** Publishes a {@link WorkerFailure} whenever a worker dies or cannot be loaded. */
export const workerFailureChannel = 'vmemmap:worker-failure';

/** Deaths in a row after which a thread's work is left to the others. */
const attemptsMax = 5;

/** See the top of the file. */
export class Background {
  readonly failures: WorkerFailure[] = [];
  /** Threads that were asked for, on all nodes. */
  readonly threads: number;
  readonly #claimant: Claimant;
  readonly #nodes: readonly { nid: number; pool: NodePool }[];
  #drains: Drain[] = [];
  #starting = false;

  constructor(claimant: Claimant, nodes: readonly NodeThreads[]) {
    this.#claimant = claimant;
    this.#nodes = nodes
      .filter(({ threads }) => threads > 0)
      .map(({ nid, cpus, threads }) => ({ nid, pool: nodePool(nid, cpus, threads) }));
    this.threads = this.#nodes.reduce((sum, { pool }) => sum + pool.threads, 0);
  }

  /** Whether a drain is at work, or about to be. */
  get active(): boolean {
    return this.#starting || this.#drains.some(({ running }) => running);
  }

  /**
   * Starts a drain on every thread, in the next turn of the event loop, and does not wait for them.
   * @returns resolves when one of them saw everything done, or all were cancelled; rejects with WORKERS_FAILED when no
   * thread could be kept alive.
   */
  async start(): Promise<DrainOutcome> {
    this.#starting = true;
    // Creating threads takes a millisecond each, and what they load competes for the CPUs: the one who opened the memmap has
    // the turn first, for the fault that it most often opened it for.
    await new Promise(setImmediate);
    this.#starting = false;
    if (isStopped(this.#claimant.region)) return 'cancelled';
    this.#drains = this.#nodes.flatMap(({ nid, pool }) =>
      Array.from(
        { length: pool.threads },
        () => new Drain(this.#claimant.region, nid, pool, (error) => this.#died(nid, error)),
      ),
    );
    return this.#firstDone(this.#drains.map(({ done }) => done));
  }

  async #firstDone(drains: readonly Promise<DrainOutcome | undefined>[]): Promise<DrainOutcome> {
    // The first drain that saw everything done decides; if none did, all have ended and the rest is told by how.
    const complete = drains.map(async (drain) => {
      if ((await drain) !== 'complete') throw new Error('not complete');
    });
    try {
      await Promise.any(complete);
      return 'complete';
    } catch {
      const outcomes = await Promise.all(drains);
      if (outcomes.includes('cancelled')) return 'cancelled';
      const last = this.failures.at(-1)?.message ?? 'no thread was started';
      throw new VmemmapError(
        'WORKERS_FAILED',
        `no worker thread could be kept alive; what is not initialized yet is initialized when it is faulted. Last: ${last}`,
      );
    }
  }

  #died(nid: number, error: unknown): void {
    this.#report(nid, error);
    // Its claims go back at once where the kernel has ended the thread already; where it has not, those who wait for the
    // chunk see it soon after.
    this.#claimant.reapDead();
  }

  #report(nid: number, error: unknown): void {
    const failure: WorkerFailure = { nid, message: error instanceof Error ? error.message : String(error) };
    this.failures.push(failure);
    channel(workerFailureChannel).publish(failure);
  }

  /** Verifies all initialized chunks on every thread, or undefined without threads. Rejects when a worker dies meanwhile. */
  async verify(): Promise<VerifyResult | undefined> {
    if (this.threads === 0) return undefined;
    const cursor = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const task: TaskOf<WorkerTask> = { kind: 'verify', handle: this.#claimant.region.handle, cursor };
    const shares = this.#nodes.flatMap(({ nid, pool }) =>
      Array.from({ length: pool.threads }, async () => {
        try {
          return expectReply<VerifyReply>(await pool.run(task));
        } catch (error) {
          this.#report(nid, error);
          throw error;
        }
      }),
    );
    // All are awaited before a failure is told, so that no rejection goes unheard.
    const settled = await Promise.allSettled(shares);
    return settled.reduce<VerifyResult>((sum, share) => {
      if (share.status === 'rejected') throw share.reason;
      return mergeVerified(sum, share.value);
    }, nothingVerified);
  }

  /**
   * Resolves when no drain is at work any more, after a cancel or close. Never rejects. A drain whose worker has not begun
   * is not waited for: it will see the order to stop before it claims anything, if its worker ever loads.
   */
  async ended(): Promise<void> {
    await Promise.all(this.#drains.filter(({ hasBegun }) => hasBegun).map(({ done }) => done));
  }
}

/** One thread's drain, begun again when its worker dies. */
class Drain {
  /** How it ended; undefined when its workers died too often in a row. Never rejects. */
  readonly done: Promise<DrainOutcome | undefined>;
  running = true;
  #started: StartedWord = startedWord();

  constructor(region: Region, nid: number, pool: NodePool, onDeath: (error: unknown) => void) {
    this.done = this.#run(region, nid, pool, onDeath).finally(() => {
      this.running = false;
    });
  }

  /** Whether a worker has begun and not ended. */
  get hasBegun(): boolean {
    // relaxed would do: a worker that begins now sees what was ordered before
    return this.running && Atomics.load(this.#started, 0) === 1;
  }

  async #run(
    region: Region,
    nid: number,
    pool: NodePool,
    onDeath: (error: unknown) => void,
  ): Promise<DrainOutcome | undefined> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      this.#started = startedWord();
      try {
        return expectReply<DrainReply>(await pool.run({ kind: 'drain', handle: region.handle, nid }, this.#started))
          .outcome;
      } catch (error) {
        onDeath(error);
        if (isStopped(region)) return 'cancelled';
      }
    }
    return undefined;
  }
}

/** The reply that was expected. @throws VmemmapError when the worker answered with an error */
function expectReply<T extends WorkerReply>(reply: WorkerReply): T {
  if (reply.kind === 'error') throw new VmemmapError(reply.code ?? 'WORKERS_FAILED', reply.message);
  return reply as T;
}
