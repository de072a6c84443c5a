/** The background of one memmap: drains in the pools of its nodes, replaced when they die. */
import { channel } from 'node:diagnostics_channel';
import type { VerifyReply, WorkerReply, WorkerTask } from '../workers/messages.ts';
import type { Claimant } from './claims/claimant.ts';
import { type DrainOutcome, drainTurn } from './claims/drain.ts';
import { isClosed, isStopped, untilResumed } from './claims/orders.ts';
import { VmemmapError } from './errors.ts';
import { mergeVerified, nothingVerified, sharesOf, type VerifyResult } from './observe/verify.ts';
import { hugePageSizeBytes } from './physical/geometry.ts';
import type { Topology } from './physical/topology.ts';
import { type NodePool, nodePool, type StartedWord, startedWord, type TaskOf } from './pool.ts';
import { threadsMax } from './region/layout.ts';
import type { Region } from './region/region.ts';

/** How many threads a node gets, and where. */
export interface NodeThreads {
  readonly nid: number;
  /** CPUs to pin them to; empty: not pinned. */
  readonly cpus: readonly number[];
  readonly threads: number;
}

/**
 * Threads for the nodes that have memory: `threadsPerNode` each, or by default one per CPU, each CPU counted for the first
 * node that has it. Nodes that get none (simulated ones on few CPUs, memory without CPUs) are done by the threads of the
 * others, who help when their own node is done; there is at least one thread.
 * @throws VmemmapError NO_OWNER_SLOT when that makes too many
 */
export function threadsOf(
  { nodes }: Pick<Topology, 'nodes'>,
  ranges: readonly { nid: number }[],
  threadsPerNode: number | undefined,
): NodeThreads[] {
  const taken = new Set<number>();
  const planned = [...new Set(ranges.map(({ nid }) => nid))].map((nid) => {
    const cpus = nodes.find((node) => node.nid === nid)?.cpus ?? [];
    const free = cpus.filter((cpu) => !taken.has(cpu));
    for (const cpu of free) taken.add(cpu);
    return { nid, cpus, threads: threadsPerNode ?? free.length };
  });
  const [first, ...rest] = planned;
  const threads = planned.reduce((sum, node) => sum + node.threads, 0);
  if (threads > threadsMax && threadsPerNode !== undefined) {
    throw new VmemmapError(
      'NO_OWNER_SLOT',
      `threadsPerNode: ${threadsPerNode} on ${planned.length} nodes makes ${threads} threads; at most ${threadsMax} are possible; ask for fewer`,
    );
  }
  if (threadsPerNode !== undefined || first === undefined || (threads > 0 && threads <= threadsMax)) return planned;
  if (threads === 0) return [{ ...first, threads: Math.min(threadsMax, Math.max(1, everyCpu(nodes))) }, ...rest];
  const share = threadsMax / threads;
  return planned.map((node) => ({ ...node, threads: Math.floor(node.threads * share) }));
}

function everyCpu(nodes: Topology['nodes']): number {
  return nodes.reduce((sum, { cpus }) => sum + cpus.length, 0);
}

/** A worker that died or could not be loaded. */
export interface WorkerFailure {
  readonly nid: number;
  readonly message: string;
}

/** Publishes a {@link WorkerFailure} whenever a worker dies or cannot be loaded. */
export const workerFailureChannel = 'vmemmap:worker-failure';

/**
 * How the opener's own thread helps until the first worker is up: threads take 30 ms and more to start, in which a gibibyte
 * of descriptors can be written. Tests switch it off, to see workers at work.
 */
export const openerSettings: { turnMs: number; aloneMsMax: number; pagesMax: number } = {
  /** Length of a turn, between which the event loop runs; 0: the opener does not help. */
  turnMs: 1,
  /** How long the opener goes on alone before threads are started for a small memmap. */
  aloneMsMax: 20,
  /** Pages of a small memmap: 64 MiB of descriptors, which one thread writes in some 8 ms. */
  pagesMax: 2 ** 20,
};

/** Deaths in a row after which a thread's work is left to the others. */
const attemptsMax = 5;

/** See the top of the file. */
export class Background {
  readonly failures: WorkerFailure[] = [];
  /** Threads that were asked for, on all nodes. */
  readonly threads: number;
  readonly #claimant: Claimant;
  readonly #nodes: readonly { nid: number; pool: NodePool }[];
  /** Pinning that failed: positive errnos, as the workers told them. */
  readonly pinErrnos: number[] = [];
  #drains: Drain[] = [];
  #verifying: Promise<unknown> = Promise.resolve();
  #beginning: Promise<unknown> = Promise.resolve();

  constructor(claimant: Claimant, nodes: readonly NodeThreads[]) {
    this.#claimant = claimant;
    this.#nodes = nodes
      .filter(({ threads }) => threads > 0)
      .map(({ nid, cpus, threads }) => ({ nid, pool: nodePool(nid, cpus, threads) }));
    this.threads = this.#nodes.reduce((sum, { pool }) => sum + pool.threads, 0);
  }

  /** Whether threads are up that have nothing to do, on every node. */
  get isReady(): boolean {
    return this.#nodes.every(({ pool }) => pool.isIdle);
  }

  /** Whether it has been started once. */
  get hasStarted(): boolean {
    return this.#drains.length > 0;
  }

  /** Whether a drain is at work, or paused, or soon will be for the first time. */
  get active(): boolean {
    if (this.hasStarted) return this.#drains.some(({ running }) => running);
    return this.threads > 0 && !isClosed(this.#claimant.region);
  }

  /**
   * Starts a drain on every thread and does not wait for them. Those of a former start must have ended.
   * @returns resolves when one of them saw everything done, or all were cancelled; rejects with WORKERS_FAILED when no
   * thread could be kept alive.
   */
  start(): Promise<DrainOutcome> {
    const events = {
      died: (nid: number, error: unknown) => this.#died(nid, error),
      pinFailed: (errno: number) => this.pinErrnos.push(errno),
    };
    const drains = this.#nodes.flatMap(({ nid, pool }) =>
      Array.from({ length: pool.threads }, (_, index) => ({
        index,
        drain: new Drain(this.#claimant.region, nid, pool, events),
      })),
    );
    // first one thread of each node, then the second ones: no node waits for all the threads of another
    const begun = drains.sort((a, b) => a.index - b.index).map(({ drain }) => drain);
    // some of before may be on their way still to a thread that is being made
    this.#drains = [...this.#drains.filter(({ running }) => running), ...begun];
    if (this.isReady) for (const drain of begun) drain.begin();
    else this.#beginning = this.#beginInTurns(begun);
    return this.#firstDone(begun.map(({ done }) => done));
  }

  /**
   * Begins drains whose threads have to be made, one in a turn of the event loop, so that `open` takes as long on 400 threads
   * as on one. Until a worker is up the opener initializes, too; what it can do alone needs no threads.
   */
  async #beginInTurns(drains: readonly Drain[]): Promise<void> {
    const { region } = this.#claimant;
    // a turn that clears a page of 1 GiB would take 100 ms
    let isHelping = openerSettings.turnMs > 0 && region.handle.backing.pageSize <= hugePageSizeBytes;
    const isSmall = isHelping && region.pages <= openerSettings.pagesMax;
    const aloneUntilMs = isSmall ? performance.now() + openerSettings.aloneMsMax : 0;
    let next = 0;
    while (isHelping || next < drains.length) {
      await nextTurn();
      if (isStopped(region)) break;
      if (isHelping) {
        const outcome = this.#help();
        if (outcome === 'complete') break;
        isHelping = outcome === 'more' && !drains.some(({ hasBegun }) => hasBegun);
      }
      if (!(isHelping && performance.now() < aloneUntilMs)) drains[next++]?.begin();
    }
    const outcome = isStopped(region) ? 'cancelled' : 'complete';
    for (const drain of drains.slice(next)) drain.skip(outcome);
  }

  /** A turn of the opener's own: whether there is `more` to do, all is `complete`, or the rest is for the workers. */
  #help(): 'more' | 'complete' | 'rest' {
    try {
      const outcome = drainTurn(this.#claimant, openerSettings.turnMs);
      // asked in every turn: it must be known by when `ready` resolves, and most often one look at the last chunk tells
      if (this.#claimant.allSettled()) return 'complete';
      return outcome === 'more' ? outcome : 'rest';
    } catch {
      // the chunk is free again; whoever claims it next reports what is wrong
      return 'rest';
    }
  }

  async #firstDone(drains: readonly Promise<DrainEnd>[]): Promise<DrainOutcome> {
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

  /**
   * Verifies all initialized chunks on every thread, behind the drains that are at work there; undefined without threads, and
   * when there is too little to start threads for.
   * Rejects when a worker dies meanwhile.
   */
  async verify(): Promise<VerifyResult | undefined> {
    if (this.threads === 0) return undefined;
    // read by one thread before another is up
    const isSmall = openerSettings.turnMs > 0 && this.#claimant.region.pages <= openerSettings.pagesMax;
    if (isSmall && !this.active && !this.isReady) return undefined;
    const verifying = this.#verify();
    this.#verifying = Promise.allSettled([this.#verifying, verifying]);
    return verifying;
  }

  async #verify(): Promise<VerifyResult> {
    const { region } = this.#claimant;
    const cursor = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const task: TaskOf<WorkerTask> = { kind: 'verify', handle: region.handle, ranges: sharesOf(region), cursor };
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
   * Resolves when no drain and no verification is at work any more, after a cancel or close. Never rejects. A drain whose
   * worker has not begun is not waited for: it will see the order to stop before it claims anything, if it ever loads.
   */
  async ended(): Promise<void> {
    await this.#beginning;
    await Promise.all(this.#drains.filter(({ hasBegun }) => hasBegun).map(({ done }) => done));
    await this.#verifying;
  }
}

/** How a drain ended; undefined when its workers died too often in a row, or could not do it. */
type DrainEnd = Exclude<DrainOutcome, 'paused'> | undefined;

/** What a drain tells while it runs. */
interface DrainEvents {
  died(nid: number, error: unknown): void;
  pinFailed(errno: number): void;
}

/** One thread's drain, begun again when its worker dies, and after a pause. */
class Drain {
  /** Never rejects. */
  readonly done: Promise<DrainEnd>;
  running = true;
  readonly #region: Region;
  readonly #nid: number;
  readonly #pool: NodePool;
  readonly #events: DrainEvents;
  #started: StartedWord = startedWord();
  #end: (end: DrainEnd) => void = () => {};

  constructor(region: Region, nid: number, pool: NodePool, events: DrainEvents) {
    this.#region = region;
    this.#nid = nid;
    this.#pool = pool;
    this.#events = events;
    this.done = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Sends it to its pool. */
  begin(): void {
    this.#run(this.#events).then((end) => this.skip(end));
  }

  /** Ends it, or lets it never begin. */
  skip(end: DrainEnd): void {
    this.running = false;
    this.#end(end);
  }

  /** Whether a worker has begun and not ended. */
  get hasBegun(): boolean {
    // Sequentially consistent, and that is needed: partner of the store in worker.ts. Whoever closes has stored CLOSE
    // before; a worker that we do not see begin will see that.
    return this.running && Atomics.load(this.#started, 0) === 1;
  }

  async #run(events: DrainEvents): Promise<DrainEnd> {
    let attempt = 1;
    while (attempt <= attemptsMax) {
      const { releases } = this.#pool;
      this.#started = startedWord();
      try {
        const task = { kind: 'drain', handle: this.#region.handle, nid: this.#nid } as const;
        const reply = await this.#pool.run(task, this.#started);
        if (reply.kind !== 'drain') {
          // the thread lives, it only could not do this: trying the same again at once would not help
          events.died(this.#nid, replyError(reply));
          return isStopped(this.#region) ? 'cancelled' : undefined;
        }
        if (reply.pinErrno !== 0) events.pinFailed(reply.pinErrno);
        if (reply.outcome !== 'paused') return reply.outcome;
        await untilResumed(this.#region);
      } catch (error) {
        if (isStopped(this.#region)) return 'cancelled';
        // threads that releaseThreads ended did not fail
        if (this.#pool.releases !== releases) continue;
        events.died(this.#nid, error);
        attempt++;
      }
    }
    return undefined;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The reply that was expected. @throws VmemmapError when the worker answered with an error */
function expectReply<T extends WorkerReply>(reply: WorkerReply): T {
  if (reply.kind === 'error') throw replyError(reply);
  return reply as T;
}

function replyError(reply: WorkerReply): VmemmapError {
  return reply.kind === 'error'
    ? new VmemmapError(reply.code ?? 'WORKERS_FAILED', reply.message)
    : new VmemmapError('WORKERS_FAILED', `a worker answered with ${reply.kind}`);
}
