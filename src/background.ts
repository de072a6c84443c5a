/** The background of one memmap: drains in the pools of its nodes, replaced when they die. */
import { channel } from 'node:diagnostics_channel';
import type { DrainReply, VerifyReply, WorkerReply, WorkerTask } from '../workers/messages.ts';
import type { Claimant } from './claims/claimant.ts';
import type { DrainOutcome } from './claims/drain.ts';
import { VmemmapError } from './errors.ts';
import { mergeVerified, nothingVerified, type VerifyResult } from './observe/verify.ts';
import { type NodePool, nodePool, type TaskOf } from './pool.ts';

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
  #running = 0;
  #drains: Promise<DrainOutcome | undefined>[] = [];

  constructor(claimant: Claimant, nodes: readonly NodeThreads[]) {
    this.#claimant = claimant;
    this.#nodes = nodes
      .filter(({ threads }) => threads > 0)
      .map(({ nid, cpus, threads }) => ({ nid, pool: nodePool(nid, cpus, threads) }));
    this.threads = this.#nodes.reduce((sum, { pool }) => sum + pool.threads, 0);
  }

  /** Whether a drain is at work. */
  get active(): boolean {
    return this.#running > 0;
  }

  /**
   * Starts a drain on every thread and does not wait for them.
   * @returns resolves when one of them saw everything done, or all were cancelled; rejects with WORKERS_FAILED when no
   * thread could be kept alive.
   */
  start(): Promise<DrainOutcome> {
    this.#drains = this.#nodes.flatMap(({ nid, pool }) =>
      Array.from({ length: pool.threads }, () => this.#drainUntilDone(nid, pool)),
    );
    return this.#firstDone(this.#drains);
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

  /** One thread's drain, begun again when its worker dies. Undefined when that happens too often in a row. */
  async #drainUntilDone(nid: number, pool: NodePool): Promise<DrainOutcome | undefined> {
    this.#running++;
    try {
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        try {
          const reply = await pool.run({ kind: 'drain', handle: this.#claimant.region.handle, nid });
          return this.#expect<DrainReply>(reply).outcome;
        } catch (error) {
          this.#report(nid, error);
          // Its claims go back at once where the kernel has ended the thread already; where it has not, those who wait
          // for the chunk see it soon after.
          this.#claimant.reapDead();
        }
      }
      return undefined;
    } finally {
      this.#running--;
    }
  }

  #expect<T extends WorkerReply>(reply: WorkerReply): T {
    if (reply.kind === 'error') throw new VmemmapError(reply.code ?? 'WORKERS_FAILED', reply.message);
    return reply as T;
  }

  #report(nid: number, error: unknown): void {
    const failure: WorkerFailure = { nid, message: error instanceof Error ? error.message : String(error) };
    this.failures.push(failure);
    channel(workerFailureChannel).publish(failure);
  }

  /** Verifies all initialized chunks on every thread, or undefined without threads. */
  async verify(): Promise<VerifyResult | undefined> {
    if (this.threads === 0) return undefined;
    const cursor = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const task: TaskOf<WorkerTask> = { kind: 'verify', handle: this.#claimant.region.handle, cursor };
    const shares = this.#nodes.flatMap(({ pool }) =>
      Array.from({ length: pool.threads }, async () => this.#expect<VerifyReply>(await pool.run(task))),
    );
    // All are awaited before a failure is told, so that no rejection goes unheard.
    const settled = await Promise.allSettled(shares);
    return settled.reduce<VerifyResult>((sum, share) => {
      if (share.status === 'rejected') {
        throw new VmemmapError('WORKERS_FAILED', 'a worker died while it verified; verify again', { cause: share.reason });
      }
      return mergeVerified(sum, share.value);
    }, nothingVerified);
  }

  /** Resolves when no drain runs any more. Never rejects. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#drains);
  }
}
