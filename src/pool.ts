/** Worker threads: one piscina pool per node, pinned to the node's CPUs, kept for the next memmap of the process. */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { WorkerData, WorkerReply, WorkerTask } from '../workers/messages.ts';

/** What all pools share. Tests put in workers that fail. */
export const poolSettings: { workerFile: string; loadMsMax: number } = {
  workerFile: fileURLToPath(new URL('../workers/worker.cjs', import.meta.url)),
  /** How long a worker may take to load before it counts as one that will not; they take about 30 ms. */
  loadMsMax: 15_000,
};

/** A task without what the pool adds to it. */
export type TaskOf<T extends WorkerTask> = T extends WorkerTask ? Omit<T, 'started'> : never;

/** One word that a worker sets to 1 when it begins a task. */
export type StartedWord = Int32Array<SharedArrayBuffer>;

/** A word for a task that has not begun. */
export function startedWord(): StartedWord {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** The pool of one node. */
export class NodePool {
  readonly threads: number;
  readonly #cpus: readonly number[];
  /** How often the threads were ended on purpose. */
  releases = 0;
  #piscina: Piscina | undefined;
  /** Tasks that the present threads have answered. */
  #answered = 0;
  /** Why pools were ended before their tasks had. */
  readonly #retired = new WeakMap<Piscina, Error>();
  /** The `started` words of tasks that have not ended. */
  readonly #pending = new Set<StartedWord>();

  constructor(cpus: readonly number[], threads: number) {
    this.#cpus = cpus;
    this.threads = threads;
  }

  /**
   * Runs a task on one of the node's threads; it waits its turn behind the tasks of other memmaps.
   * Rejects when the worker dies, or cannot be loaded, or does not load in time: the caller may try again, with other threads.
   * @param started one word, 0; becomes 1 when a worker begins.
   */
  async run(task: TaskOf<WorkerTask>, started: StartedWord = startedWord()): Promise<WorkerReply> {
    const piscina = this.#open();
    this.#pending.add(started);
    // A worker that fails while loading leaves the tasks behind it hanging: no task of this pool running after so long
    // means that none will.
    const timer = setInterval(() => {
      // relaxed would do, with the store in worker.ts: a worker that begins just now is looked for again next time
      const runs = [...this.#pending].some((word) => Atomics.load(word, 0) === 1);
      if (!runs) this.#retire(piscina, new Error(`no worker loaded within ${poolSettings.loadMsMax} ms`));
    }, poolSettings.loadMsMax).unref();
    try {
      const reply = (await piscina.run({ ...task, started })) as WorkerReply;
      this.#answered++;
      return reply;
    } catch (error) {
      // a task of a retired pool rejects because its thread was ended; why it was ended says more
      throw this.#retired.get(piscina) ?? error;
    } finally {
      clearInterval(timer);
      this.#pending.delete(started);
    }
  }

  /** Whether all threads are up and none has anything to do. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#answered >= this.threads && this.#piscina !== undefined;
  }

  #open(): Piscina {
    if (this.#piscina) return this.#piscina;
    const workerData: WorkerData = { cpus: this.#cpus };
    const piscina = new Piscina({
      filename: poolSettings.workerFile,
      // One thread at once, the others one by one as tasks come: making a thread takes the caller half a millisecond.
      minThreads: 1,
      maxThreads: this.threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: 1,
      atomics: 'sync',
      recordTiming: false,
      workerData,
    });
    // A worker failed that had no task to reject: it did not even load. Those that wait for it must be told.
    piscina.on('error', (error) => this.#retire(piscina, error));
    this.#piscina = piscina;
    this.#answered = 0;
    return piscina;
  }

  /** Ends a pool whose workers do not come up: its tasks reject, the next task gets other threads. */
  #retire(piscina: Piscina, reason: Error): void {
    if (!this.#retired.has(piscina)) this.#retired.set(piscina, reason);
    if (this.#piscina === piscina) this.#piscina = undefined;
    piscina.destroy().catch(() => {});
  }

  /** Ends the threads, even those that work. */
  async destroy(): Promise<void> {
    this.releases++;
    const piscina = this.#piscina;
    this.#piscina = undefined;
    await piscina?.destroy();
  }
}

const pools = new Map<string, NodePool>();

/** The process's pool for a node, with so many threads on these CPUs; made when it is first asked for. */
export function nodePool(nid: number, cpus: readonly number[], threads: number): NodePool {
  const key = `${nid}:${cpus.join()}:${threads}`;
  let pool = pools.get(key);
  if (!pool) {
    pool = new NodePool(cpus, threads);
    pools.set(key, pool);
  }
  return pool;
}

/**
 * Ends all worker threads that the process keeps for its memmaps. Not needed for the process to exit: idle threads do not
 * hold it. A background that still runs gets other threads.
 */
export async function releaseThreads(): Promise<void> {
  // the pools stay known: a background that still runs starts threads in them again, and the next call finds those, too
  await Promise.all([...pools.values()].map((pool) => pool.destroy()));
}
