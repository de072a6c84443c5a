/** The main path: open → plan → map → start → (fault | drain) → ready → close. */
import { Background, type NodeThreads, type WorkerFailure } from './background.ts';
import { type ChunkStateName, isInitialized, payloadOf, stateOf } from './claims/chunk-map.ts';
import { Claimant, chunkFailed, type FaultOutcome } from './claims/claimant.ts';
import { cancelDrains, closeClaims, isClosed, isStopped, pauseDrains, resumeDrains } from './claims/drain.ts';
import { type FaultOrder, Faults, pagesOfOrder } from './claims/fault.ts';
import type { OwnerTotals } from './claims/owners.ts';
import { PageView } from './descriptor/page-view.ts';
import { profiles } from './descriptor/profiles.ts';
import { VmemmapError } from './errors.ts';
import { chunksByState, nodeProgress, type Progress } from './observe/progress.ts';
import { mergeVerified, nothingVerified, type VerifyResult, verifyChunk } from './observe/verify.ts';
import { checkOptions, type OpenOptions, type Settings } from './options.ts';
import { descriptorSizeBytes, type PfnExtent } from './physical/geometry.ts';
import { makePlan, type PolicyName } from './plan.ts';
import { policies } from './policy/policies.ts';
import type { BackingReport } from './region/backing.ts';
import { Region, type RegionHandle, type RegionRange } from './region/region.ts';
import { type Residency, readResidency } from './region/residency.ts';

/** What `memmap.handle()` returns; clone it to any thread with postMessage or as workerData. */
export type MemmapHandle = RegionHandle;

/** Limits of {@link Memmap.sync}. */
export interface SyncOptions {
  /** Rejects with its reason when aborted; the background goes on. */
  signal?: AbortSignal;
  /** Milliseconds; SYNC_TIMEOUT when they are over. Default: none. */
  timeout?: number;
}

/** Figures of a moment; see {@link Memmap.stats}. */
export interface Stats extends Progress {
  readonly chunks: Readonly<Record<ChunkStateName, number>>;
  /** What all threads did so far: chunks by drains and by faults, faults that waited, claims taken from dead threads. */
  readonly totals: OwnerTotals;
  /** Worker threads asked for, and those that died or did not load. */
  readonly workers: { readonly threads: number; readonly failures: readonly WorkerFailure[] };
  /** How the init kernel of this thread stores. */
  readonly storePath: string;
}

/** How long one turn of work on the caller's thread may take before the event loop gets its turn. */
const turnMsMax = 5;
/** How often one who waits for everything looks around, when nobody wakes it. */
const lookAroundMs = 500;

/** All page descriptors of a machine, or a table of 64-byte records, as one thread sees them. */
export class Memmap implements AsyncDisposable {
  /** Sorted by pfn. Each has its memory in `words`. */
  readonly ranges: readonly RegionRange[];
  /** Pages, or records, in all. */
  readonly pages: number;
  readonly policy: PolicyName;
  readonly #region: Region;
  readonly #claimant: Claimant;
  readonly #faults: Faults;
  readonly #view: PageView | undefined;
  /** Only where this thread opened the memmap. */
  readonly #background: Background | undefined;
  readonly #openedAtMs: number = performance.now();
  #life: 'open' | 'closing' | 'closed' = 'open';
  #outcome: 'pending' | 'ready' | 'failed' = 'pending';
  #ready: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(region: Region, threads: readonly NodeThreads[] | undefined) {
    this.#region = region;
    this.ranges = region.ranges;
    this.pages = region.pages;
    this.policy = region.policy;
    this.#claimant = new Claimant(region);
    this.#faults = new Faults(this.#claimant);
    const profile = Object.values(profiles).find(({ id }) => id === region.profileId);
    this.#view = profile && new PageView(profile);
    this.#background = threads && new Background(this.#claimant, threads);
  }

  /**
   * Plans and maps a memmap and starts to initialize it in the background. Returns before any worker is up: from then on
   * every pfn can be faulted.
   * @throws TypeError and RangeError for wrong options @throws VmemmapError when the machine cannot be read (DETECT_FAILED,
   * SPEC_SYNTAX), or has too little memory (NO_MEMORY)
   */
  static async open(options: OpenOptions = {}): Promise<Memmap> {
    const settings = checkOptions(options);
    settings.signal?.throwIfAborted();
    const plan = makePlan(settings.topology, settings);
    const pages = plan.ranges.reduce((sum, range) => sum + range.endPfn - range.startPfn, 0);
    if (settings.threadsPerNode !== 0) refuseTooLarge(pages);
    const region = Region.create(plan, settings.policy, settings.backing);
    const memmap = new Memmap(region, threadsOf(settings, region.ranges));
    for (const { startPfn, endPfn } of policies[settings.policy].upFront(plan.ranges)) {
      memmap.#faults.settleExtent(startPfn, endPfn);
    }
    memmap.#start(settings.signal);
    return memmap;
  }

  /**
   * Sees a memmap that another thread opened, with all that the opener can do but `retry`. Close it in each thread.
   * @throws VmemmapError HANDLE_INVALID, NO_OWNER_SLOT
   */
  static attach(handle: MemmapHandle): Memmap {
    return new Memmap(Region.attach(handle), undefined);
  }

  #start(signal: AbortSignal | undefined): void {
    this.#beginReady();
    if (!signal) return;
    const cancel = (): void => this.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    const forget = (): void => signal.removeEventListener('abort', cancel);
    this.ready.then(forget, forget);
  }

  /** Starts the drains, and tells `ready` by whatever comes first: all is done, or the background ended without. */
  #beginReady(): Promise<void> {
    this.#outcome = 'pending';
    const background = this.#background;
    const done = background?.threads
      ? Promise.race([this.#allSettled(), this.#drained(background)])
      : this.#allSettled();
    const ready = done.then(
      () => {
        this.#outcome = 'ready';
      },
      (error) => {
        this.#outcome = 'failed';
        throw error;
      },
    );
    // Who never asks for `ready` must not be killed by an unhandled rejection; who does gets it.
    ready.catch(() => {});
    this.#ready = ready;
    return ready;
  }

  async #drained(background: Background): Promise<void> {
    const outcome = await background.start();
    if (outcome === 'cancelled') {
      throw this.#life === 'open' ? cancelledError() : closedError();
    }
    await this.#allSettled();
  }

  /**
   * Resolves when every chunk is initialized, whoever did it; rejects when all are settled and some failed. Waits for the
   * last chunk first: drains go upwards, so that most often one wake-up is enough.
   */
  async #allSettled(): Promise<void> {
    const { chunks } = this.#claimant;
    let failed: VmemmapError | undefined;
    for (const range of this.ranges.toReversed()) {
      for (let chunk = range.chunks - 1; chunk >= 0; ) {
        const number = range.firstChunk + chunk;
        const word = chunks.load(number);
        if (stateOf(word) === 'failed') failed = chunkFailed(range, chunk, payloadOf(word));
        if (isInitialized(word) || stateOf(word) === 'failed') chunk--;
        else if (this.#life !== 'open' || isClosed(this.#region)) throw closedError();
        else if (isStopped(this.#region) && !this.#background?.active) throw cancelledError();
        else if (this.#background) await chunks.waitAsync(number, word, lookAroundMs);
        // whoever attached has no workers that keep the process alive while it waits
        else await this.#claimant.waitForChange(number, word, lookAroundMs);
      }
    }
    if (failed) throw failed;
  }

  /**
   * Resolves when every descriptor is initialized. Rejects with CANCELLED, CLOSED, WORKERS_FAILED, or CHUNK_FAILED when some
   * descriptors could not be written. Never unhandled: it may be ignored.
   */
  get ready(): Promise<void> {
    return this.#ready ?? this.#beginReady();
  }

  /**
   * Waits for `ready` within limits, and keeps the process alive meanwhile. In a memmap opened with no threads the caller
   * does the work, in turns of some milliseconds between which the event loop runs.
   */
  async sync({ signal, timeout }: SyncOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const limits = new AbortController();
    const expired = new VmemmapError('SYNC_TIMEOUT', `not everything was initialized within ${timeout} ms; sync again`);
    // a timer of its own, so that the event loop lives while somebody waits
    const timer =
      timeout === undefined ? setInterval(() => {}, lookAroundMs) : setTimeout(() => limits.abort(expired), timeout);
    const forward = (): void => limits.abort(signal?.reason);
    signal?.addEventListener('abort', forward, { once: true });
    try {
      const limited = new Promise<never>((_, reject) => {
        limits.signal.addEventListener('abort', () => reject(limits.signal.reason), { once: true });
      });
      const work = this.#background?.threads === 0 ? this.#initializeHere(limits.signal) : undefined;
      await Promise.race([limited, work?.then(() => this.ready) ?? this.ready]);
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', forward);
      limits.abort();
    }
  }

  async #initializeHere(limit: AbortSignal): Promise<void> {
    refuseTooLarge(this.pages);
    let turnEndsMs = performance.now() + turnMsMax;
    for (const range of this.ranges) {
      for (let chunk = 0; chunk < range.chunks; chunk++) {
        if (performance.now() > turnEndsMs) {
          await new Promise(setImmediate);
          turnEndsMs = performance.now() + turnMsMax;
        }
        if (limit.aborted || isStopped(this.#region)) return;
        await this.#claimant.settleAsync(range, chunk);
      }
    }
  }

  /**
   * Makes the descriptors of `[pfn, pfn + 2^order)` initialized, and waits for nothing else. Those of holes and behind the
   * end of memory are passed over; `pfn` itself must exist. Aligned or not, every chunk that is touched is done.
   * @param order 0 (4 KiB), 9 (2 MiB) or 18 (1 GiB)
   * @returns `ready` when they were initialized already, `claimed` when this call did it, `waited` when another thread was at it
   * @throws RangeError for a wrong order or no pfn @throws VmemmapError PFN_ABSENT, CHUNK_FAILED, FAULT_TIMEOUT, CLOSED
   */
  fault(pfn: number, order: FaultOrder = 0): FaultOutcome {
    return this.#faults.fault(pfn, order);
  }

  /**
   * The same, but where another thread is at a chunk the event loop runs meanwhile. A chunk that is free is initialized on
   * this thread at once: `chunkPages` bounds how long that takes.
   */
  faultAsync(pfn: number, order: FaultOrder = 0): Promise<FaultOutcome> {
    return this.#faults.faultAsync(pfn, order);
  }

  /**
   * Policy `boot`: hands an allocator the next run of initialized pages of a node's RAM, upwards, at most `pages` long and
   * shorter only at the end of a range. May be called from several threads at any time; no pfn is handed out twice.
   * @returns the run, or undefined when the node has no more
   */
  grow(nid: number, pages: number): PfnExtent | undefined {
    const policy = policies[this.policy];
    if (!policy.grow)
      throw new TypeError(`grow belongs to the boot policy; this memmap was opened with ${this.policy}`);
    if (!this.ranges.some((range) => range.nid === nid)) throw new RangeError(`node ${nid} has no memory here`);
    if (!Number.isSafeInteger(pages) || pages < 1)
      throw new RangeError(`pages must be a whole number above 0, not ${pages}`);
    return policy.grow(this.#faults, this.#region, nid, pages);
  }

  /** The range that holds `pfn`. @throws VmemmapError PFN_ABSENT in a hole */
  rangeOf(pfn: number): RegionRange {
    return this.#faults.rangeOf(pfn);
  }

  /** pfn_to_page: byte offset of a descriptor in the `words` of its range. Initializes nothing. */
  offsetOf(pfn: number): number {
    return this.#faults.rangeOf(pfn).offsetOf(pfn);
  }

  /** Whether all descriptors of `[pfn, pfn + 2^order)` that exist are initialized. */
  isInitialized(pfn: number, order: FaultOrder = 0): boolean {
    return this.#faults.isInitialized(pfn, pfn + pagesOfOrder(order));
  }

  /**
   * A view of one page descriptor; the same object for every call. Initializes nothing: fault first.
   * @throws TypeError for a table of your own records
   */
  page(pfn: number): PageView {
    if (!this.#view) throw new TypeError('this memmap holds records of your own: read them from rangeOf(slot).words');
    return this.#view.moveTo(this.#faults.rangeOf(pfn), pfn);
  }

  /** `active` while the background works, as Linux's memmap_state of 2018 would have said; `idle` when it does not. */
  get state(): 'active' | 'idle' {
    if (this.#background) return this.#outcome === 'pending' && this.#background.active ? 'active' : 'idle';
    const { chunks } = this.#claimant;
    for (let chunk = this.#region.chunks - 1; chunk >= 0; chunk--) {
      const word = chunks.load(chunk);
      if (!isInitialized(word) && stateOf(word) !== 'failed') return 'active';
    }
    return 'idle';
  }

  /** What is initialized at this moment. */
  progressNow(): Progress {
    const nodes = nodeProgress(this.#region, this.#claimant.chunks);
    return {
      pages: this.pages,
      pagesReady: nodes.reduce((sum, node) => sum + node.pagesReady, 0),
      nodes,
      elapsedMs: performance.now() - this.#openedAtMs,
      state: this.state,
    };
  }

  /** Tells the progress every `intervalMs` until all is done or the background has ended; the last one is told, too. */
  async *progress({ intervalMs = 100 }: { intervalMs?: number } = {}): AsyncGenerator<Progress, void, undefined> {
    const over = this.ready.then(
      () => true,
      () => true,
    );
    let ended = false;
    while (!ended) {
      yield this.progressNow();
      let timer: NodeJS.Timeout | undefined;
      const tick = new Promise<boolean>((resolve) => {
        timer = setTimeout(resolve, intervalMs, false);
      });
      ended = await Promise.race([over, tick]);
      clearTimeout(timer);
    }
    yield this.progressNow();
  }

  /** Figures of this moment. */
  stats(): Stats {
    return {
      ...this.progressNow(),
      chunks: chunksByState(this.#claimant.chunks),
      totals: this.#claimant.owners.totals(),
      workers: { threads: this.#background?.threads ?? 0, failures: this.#background?.failures ?? [] },
      storePath: this.#claimant.kernel.storePath,
    };
  }

  /** Compares every initialized descriptor with what it should be, on the worker threads where there are any. */
  async verify(): Promise<VerifyResult> {
    // a worker that dies stands in stats().workers; its share is done here again
    const shared = await this.#background?.verify().catch(() => undefined);
    if (shared) return shared;
    let result = nothingVerified;
    let turnEndsMs = performance.now() + turnMsMax;
    for (const range of this.ranges) {
      for (let chunk = 0; chunk < range.chunks; chunk++) {
        if (isInitialized(this.#claimant.chunks.load(range.firstChunk + chunk))) {
          result = mergeVerified(result, verifyChunk(range, chunk));
        }
        if (performance.now() > turnEndsMs) {
          await new Promise(setImmediate);
          turnEndsMs = performance.now() + turnMsMax;
        }
      }
    }
    return result;
  }

  /** Backing asked for and got. */
  get backing(): BackingReport {
    return this.#region.handle.backing;
  }

  /** How much of the descriptors is in memory, in which pages, as the kernel tells; undefined without the addon. */
  residency(): Residency | undefined {
    return readResidency(this.#region);
  }

  /** The background waits after the chunks that it is at. Faults go on. */
  pause(): void {
    pauseDrains(this.#region);
  }

  /** The background goes on. */
  resume(): void {
    resumeDrains(this.#region);
  }

  /** Ends the background after the chunks that it is at; `ready` rejects with CANCELLED unless all is done. Faults go on. */
  cancel(): void {
    cancelDrains(this.#region);
    this.#wakeWaiters();
  }

  /** Lets those who wait for chunks look around: an order was given that no chunk word tells. */
  #wakeWaiters(): void {
    const { chunks } = this.#claimant;
    for (let chunk = 0; chunk < this.#region.chunks; chunk++) {
      if (!isInitialized(chunks.load(chunk))) chunks.wakeAll(chunk);
    }
  }

  /**
   * Tries chunks again whose descriptors could not be written. For the thread that opened the memmap; starts the background
   * for them and gives `ready` another chance.
   * @returns how many chunks had failed
   */
  retry(): number {
    if (!this.#background) throw new TypeError('retry belongs to the thread that opened the memmap');
    if (this.#background.active) throw new TypeError('retry when the background has ended: await ready first');
    let failed = 0;
    for (let chunk = 0; chunk < this.#region.chunks; chunk++) if (this.#claimant.chunks.retry(chunk)) failed++;
    if (failed > 0 && this.#life === 'open') this.#beginReady();
    return failed;
  }

  /** A handle for {@link Memmap.attach} in another thread. */
  handle(): MemmapHandle {
    return this.#region.handle;
  }

  /**
   * Ends this thread's use of the memmap. In the thread that opened it: no chunk is claimed any more by anyone, and it
   * resolves when the workers have stopped. Attached threads keep what is initialized. May be called more than once.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#life = 'closing';
    if (this.#background) {
      // first nobody starts anything any more, then those who are at it are waited for
      closeClaims(this.#region);
      this.#wakeWaiters();
      await this.#background.ended();
    }
    this.#claimant.leave();
    this.#life = 'closed';
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function closedError(): VmemmapError {
  return new VmemmapError('CLOSED', 'the memmap was closed before everything was initialized');
}

function cancelledError(): VmemmapError {
  return new VmemmapError('CANCELLED', 'the background was cancelled; faults still work, open again to have all done');
}

/** Refuses what would make the kernel kill somebody for want of memory. */
function refuseTooLarge(pages: number): void {
  const needed = pages * descriptorSizeBytes;
  const available = process.availableMemory();
  if (needed <= available) return;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new VmemmapError(
    'NO_MEMORY',
    `${gib(needed)} of descriptors are to be initialized, ${gib(available)} of memory are available; describe a smaller ` +
      'machine; a program may also open with threadsPerNode 0 and fault only what it needs',
    { received: needed },
  );
}

/** Threads for every node that has memory; a node without CPUs of its own gets threads that may run anywhere. */
function threadsOf(settings: Settings, ranges: readonly RegionRange[]): NodeThreads[] {
  const everywhere = settings.topology.nodes.reduce((sum, { cpus }) => sum + cpus.length, 0);
  return [...new Set(ranges.map(({ nid }) => nid))].map((nid) => {
    const cpus = settings.topology.nodes.find((node) => node.nid === nid)?.cpus ?? [];
    return { nid, cpus, threads: settings.threadsPerNode ?? Math.max(1, cpus.length || everywhere) };
  });
}
