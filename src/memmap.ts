/** The main path: open → plan → map → start → (fault | drain) → ready → close. */
import { Background, type NodeThreads, threadsOf, type WorkerFailure } from './background.ts';
import type { ChunkStateName } from './claims/chunk-map.ts';
import { Claimant, type FaultOutcome, rangeRemoved } from './claims/claimant.ts';
import { type FaultOrder, Faults, pagesOfOrder } from './claims/fault.ts';
import { beginGrowth } from './claims/growth.ts';
import { persistExtent } from './claims/harden.ts';
import {
  allowDrains,
  cancelDrains,
  closeClaims,
  closedError,
  isClosed,
  isClosedHandle,
  isStopped,
  pauseDrains,
  resumeDrains,
  setOpener,
} from './claims/orders.ts';
import type { OwnerTotals } from './claims/owners.ts';
import { poisonFree } from './claims/poison.ts';
import { nothingResumed, type Resumed, recover, takeOver } from './claims/recovery.ts';
import { PageView } from './descriptor/page-view.ts';
import { profiles } from './descriptor/profiles.ts';
import { Durable } from './durable.ts';
import { VmemmapError } from './errors.ts';
import { Hotplug, roomOf } from './hotplug.ts';
import { type FailedRun, failedRuns, mediaErrorOf } from './observe/failures.ts';
import { chunksByState, nodeProgress, type Progress } from './observe/progress.ts';
import { mergeVerified, nothingVerified, type VerifyResult, verifyChunk } from './observe/verify.ts';
import {
  type AttachOptions,
  checkAttachOptions,
  checkOptions,
  isAttachOptions,
  type OpenOptions,
  type Settings,
} from './options.ts';
import { readAllowedCpus } from './physical/detect.ts';
import type { PfnExtent } from './physical/geometry.ts';
import { readNodes } from './physical/sysfs.ts';
import type { MemoryExtent, Topology } from './physical/topology.ts';
import { nodesMax } from './physical/zones.ts';
import { makePlan, type PolicyName, sharablePages } from './plan.ts';
import { policies } from './policy/policies.ts';
import { checkTimerMs, Readiness, type SyncOptions, turnMsMax } from './readiness.ts';
import { type BackingReport, chooseBacking } from './region/backing.ts';
import type { Durability } from './region/durability.ts';
import { type FileRequest, openFileRegion } from './region/file-region.ts';
import { hostNodes } from './region/host-nodes.ts';
import { refuseTooLarge } from './region/memory-limit.ts';
import { type MigrateType, migrateTypeOf, migrateTypes, setMigrateTypeOf } from './region/pageblocks.ts';
import type { RegionRange } from './region/range.ts';
import { Region, type RegionHandle, storedBytes } from './region/region.ts';
import { effectiveBacking, type Residency, readResidency } from './region/residency.ts';
import { nothingToShare } from './region/shared-tails.ts';

/** What `memmap.handle()` returns; clone it to any thread with postMessage or as workerData. */
export type MemmapHandle = RegionHandle;

/** Figures of a moment; see {@link Memmap.stats}. */
export interface Stats extends Progress {
  readonly chunks: Readonly<Record<ChunkStateName, number>>;
  /** Descriptors that could not be written, in runs of pfns of the same errno. */
  readonly failed: readonly FailedRun[];
  /** Name of the errno with which the media refused to keep something, or null. */
  readonly mediaError: string | null;
  /** What all threads did so far: chunks by drains and by faults, faults that waited, claims taken from dead threads. */
  readonly totals: OwnerTotals;
  /** Worker threads asked for, and those that died or did not load. */
  readonly workers: {
    readonly threads: number;
    readonly failures: readonly WorkerFailure[];
    /** Positive errnos of threads that could not be pinned to their node's CPUs; they ran anywhere. */
    readonly pinErrnos: readonly number[];
  };
  /** How the init kernel of this thread stores. */
  readonly storePath: string;
}

/** How a memmap came to be. */
interface Opening {
  readonly resumed?: Resumed;
  readonly poison?: boolean;
}

/** The same memory with ones in it, which is not fresh any more. */
function poisoned(region: Region): Region {
  poisonFree(region);
  return Region.over(region);
}

/** All page descriptors of a machine, or a table of 64-byte records, as one thread sees them. */
export class Memmap implements AsyncDisposable {
  readonly policy: PolicyName;
  readonly #region: Region;
  readonly #claimant: Claimant;
  readonly #faults: Faults;
  readonly #view: PageView | undefined;
  /** Only where this thread opened the memmap. */
  readonly #background: Background | undefined;
  readonly #threads: readonly NodeThreads[] | undefined;
  readonly #readiness: Readiness;
  readonly #openedAtMs: number = performance.now();
  /** Whether reinitializing poisons once more. */
  readonly #poison: boolean;
  /** What was found in the file when it was opened; zeros in memory. */
  readonly resumed: Resumed;
  readonly #durable: Durable;
  readonly #hotplug: Hotplug;
  #closed: Promise<void> | undefined;
  #forgetSignal: () => void = () => {};

  private constructor(region: Region, threads: readonly NodeThreads[] | undefined, opening: Opening = {}) {
    this.#region = region;
    this.resumed = opening.resumed ?? nothingResumed;
    this.#poison = opening.poison ?? false;
    this.policy = region.policy;
    this.#claimant = new Claimant(region);
    this.#faults = new Faults(this.#claimant);
    const profile = Object.values(profiles).find(({ id }) => id === region.profileId);
    this.#view = profile && new PageView(profile);
    this.#threads = threads;
    this.#background = threads && new Background(this.#claimant, threads);
    this.#readiness = new Readiness(this.#claimant, this.#background);
    this.#durable = new Durable(this.#claimant, this.#background, this.#readiness);
    this.#hotplug = new Hotplug(this.#claimant, this.#readiness);
  }

  /**
   * Plans and maps a memmap and starts to initialize it in the background. Returns before any worker is up: from then on
   * every pfn can be faulted. In a file, what is initialized there already stays as it is.
   * @throws TypeError and RangeError for wrong options @throws VmemmapError when the machine cannot be read (DETECT_FAILED,
   * SPEC_SYNTAX), or has too little memory (NO_MEMORY); for files FILE_BUSY, FILE_DAMAGED, FILE_FOREIGN, FILE_GEOMETRY,
   * FILE_UNUSABLE, FILE_VERSION, NO_SPACE, NO_PROCESS_SLOT, BACKING_UNAVAILABLE, and nothing of the file is changed then
   */
  static async open(options: OpenOptions = {}): Promise<Memmap> {
    const settings = checkOptions(options);
    settings.signal?.throwIfAborted();
    const { topology, policy, threadsPerNode, signal, backing, poison } = settings;
    const plan = makePlan(topology, settings);
    if (plan.ranges.length === 0) throw new RangeError('the topology has no memory');
    if (typeof backing === 'object') return Memmap.#beginInFile({ ...backing, plan, policy }, topology, settings);
    const { sharesTails } = settings;
    if (sharesTails && plan.ranges.every((range) => sharablePages(range) === undefined)) throw nothingToShare();
    const choice = chooseBacking(backing, sharesTails);
    // reserved pages do not count as available: whether there are enough is asked when they are mapped
    if ((threadsPerNode !== 0 || poison) && choice.effective !== 'hugetlb') refuseTooLarge(storedBytes(plan, choice));
    const hosts = hostNodes(topology);
    const threads = threadsOf(topology, plan.ranges, threadsPerNode);
    const region = Region.create(plan, policy, choice, hosts, roomOf(settings, hosts, threads));
    return Memmap.#begin(poison ? poisoned(region) : region, threads, signal, { poison });
  }

  static async #beginInFile(
    request: FileRequest,
    topology: Pick<Topology, 'nodes'>,
    { threadsPerNode, signal, poison = false }: Pick<Settings, 'threadsPerNode' | 'signal'> & { poison?: boolean },
  ): Promise<Memmap> {
    const opening = await openFileRegion(request, signal);
    const { region, isAlone, isResumed, keepsReady } = opening;
    try {
      const found = isAlone ? recover(region, keepsReady) : takeOver(region);
      opening.finish();
      if (poison) poisonFree(region);
      const threads = threadsOf(topology, region.ranges, threadsPerNode);
      return Memmap.#begin(region, threads, signal, { resumed: isResumed ? found : nothingResumed });
    } catch (error) {
      closeClaims(region);
      opening.abandon();
      throw error;
    }
  }

  static #begin(
    region: Region,
    threads: readonly NodeThreads[],
    signal: AbortSignal | undefined,
    opening: Opening,
  ): Memmap {
    const memmap = new Memmap(region, threads, opening);
    for (const { startPfn, endPfn } of policies[region.policy].upFront(region.ranges)) {
      memmap.#faults.settleExtent(startPfn, endPfn);
    }
    memmap.#start(signal);
    return memmap;
  }

  /**
   * Sees a memmap that another thread opened, with all that the opener can do but `retry`. Close it in each thread.
   * @throws VmemmapError HANDLE_INVALID, CLOSED, NO_OWNER_SLOT
   */
  static attach(handle: MemmapHandle): Memmap;
  /**
   * Opens the memmap that a file holds, whatever machine it describes, beside other processes that have it open: faults,
   * reads and, with threads, initializes along. It can do all that an opener can.
   * @throws VmemmapError FILE_* as `open` does, and when there is none
   */
  static attach(options: AttachOptions): Promise<Memmap>;
  static attach(from: MemmapHandle | AttachOptions): Memmap | Promise<Memmap> {
    if (isAttachOptions(from)) return Memmap.#attachToFile(from);
    // asked first: of a file that was closed nothing is mapped any more
    if (isClosedHandle(from)) throw closedError();
    return new Memmap(Region.attach(from), undefined);
  }

  static async #attachToFile(options: AttachOptions): Promise<Memmap> {
    const { file, settings } = checkAttachOptions(options);
    settings.signal?.throwIfAborted();
    return Memmap.#beginInFile(file, { nodes: readNodes('/sys', readAllowedCpus()) }, settings);
  }

  #start(signal: AbortSignal | undefined): void {
    setOpener(this.#region, this.#claimant.tag);
    // without threads there is nothing to start, and nothing to wait for until somebody asks
    if (this.#background?.threads) this.#readiness.beginSoon();
    if (this.#background?.threads) this.#durable.beginSoon();
    this.#hotplug.watch();
    if (!signal) return;
    const cancel = (): void => this.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    this.#forgetSignal = () => signal.removeEventListener('abort', cancel);
    // while it is not ready it may still be cancelled, after a retry, too; and as long as more may come
    if (this.#background?.threads && !this.#region.handle.hotplug)
      setImmediate(() => this.ready.then(this.#forgetSignal, () => {}));
  }

  /** The ranges there are at this moment, sorted by pfn. Each has its memory in `words`. */
  get ranges(): readonly RegionRange[] {
    return this.#region.ranges;
  }

  /** Pages, or records, of all ranges there are at this moment. */
  get pages(): number {
    return this.#region.pages;
  }

  /**
   * Resolves when every descriptor is initialized. Rejects with CANCELLED, CLOSED, WORKERS_FAILED, or CHUNK_FAILED when some
   * descriptors could not be written. Never unhandled: it may be ignored.
   *
   * It is about the ranges there are when it resolves. When one is added before, it is waited for, too; when one is removed, it
   * is waited for no more. Behind that, the next range that is added begins another promise, which this property then returns;
   * the one from before stays resolved. After CANCELLED it takes `retry` to begin another.
   */
  get ready(): Promise<void> {
    return this.#readiness.ready;
  }

  /**
   * Resolves when every descriptor is initialized and has reached the media: with durability `dax-sync` that is so as soon as it
   * is `ready`. Rejects as `ready` does, and with NOT_DURABLE when the media refused, or there is none. Never unhandled.
   */
  get durable(): Promise<void> {
    return this.#durable.promise;
  }

  /**
   * Brings what you have changed in the descriptors of `[pfn, pfn + count)` to the media, and returns when it is there: a crash
   * takes nothing of it back. It is as whole as you made it: the media tears what is larger than eight bytes.
   * @throws RangeError for descriptors that are not initialized @throws VmemmapError PFN_ABSENT, NOT_DURABLE
   */
  persist(pfn: number, count = 1): void {
    if (!Number.isSafeInteger(count) || count < 1) throw new RangeError(`count must be 1 or more, not ${count}`);
    this.#faults.rangeOf(pfn);
    persistExtent(this.#region, this.#claimant.chunks, pfn, pfn + count);
  }

  /**
   * Waits for `ready` within limits, and keeps the process alive meanwhile. In a memmap that was opened with no threads, or
   * whose threads all failed, the caller does the work, in turns of some milliseconds between which the event loop runs.
   */
  sync(options: SyncOptions = {}): Promise<void> {
    return this.#readiness.sync(options);
  }

  /**
   * Makes the descriptors of `[pfn, pfn + 2^order)` initialized, and waits for nothing else. Those of holes and behind the
   * end of memory are passed over; `pfn` itself must exist. Aligned or not, every chunk that is touched is done.
   * @param order 0 (4 KiB), 9 (2 MiB) or 18 (1 GiB)
   * @returns `ready` when they were initialized already, `claimed` when this call did it, `waited` when another thread was at it
   * @throws RangeError for a wrong order or no pfn @throws VmemmapError PFN_ABSENT, CHUNK_FAILED, FAULT_TIMEOUT, CLOSED;
   * RANGE_REMOVED when the range of `pfn` was removed meanwhile
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
   * @returns the run, or undefined when the node has no more, which may change when memory is added
   * @throws TypeError under another policy @throws RangeError for a node that has no memory and gets none, or no count
   */
  grow(nid: number, pages: number): PfnExtent | undefined {
    const policy = policies[this.policy];
    if (!policy.grow)
      throw new TypeError(`grow belongs to the boot policy; this memmap was opened with ${this.policy}`);
    if (!this.#mayHaveMemory(nid)) throw new RangeError(`node ${nid} has no memory here`);
    if (!Number.isSafeInteger(pages) || pages < 1)
      throw new RangeError(`pages must be a whole number above 0, not ${pages}`);
    return policy.grow(this.#faults, this.#region, nid, pages);
  }

  /** A node whose memory has gone, or may come, is no mistake of an allocator's. */
  #mayHaveMemory(nid: number): boolean {
    const { handle, slots } = this.#region;
    const mayCome = handle.hotplug !== undefined && Number.isInteger(nid) && nid >= 0 && nid < nodesMax;
    return mayCome || slots.plan.some((range) => range.nid === nid);
  }

  /**
   * Adds memory that comes while the memmap is in use, in any thread that has it: `open` left room for it (option `hotplug`). When
   * it returns, every thread can fault any pfn of it; nothing of it is initialized up front, under the boot policy either. The
   * background of the thread that opened the memmap initializes it: `state` is `active` again, and `ready` waits for it.
   * The memory is cut into ranges as `open` would cut it, by zone and at 1 TiB; all of them are added, or none.
   * @param extent as in a topology. `pgmap` of device memory is by default a number that no range has. In a table: slots, of
   * node 0 and of kind `ram`.
   * @returns the ranges that it became; other threads may have removed some already
   * @throws TypeError when the memmap was opened without room @throws RangeError for pfns that are there already, ranges larger
   * than the room, or an extent that makes no sense @throws VmemmapError NO_RANGE_SLOT, NO_MEMORY, BACKING_UNAVAILABLE, CLOSED;
   * FAULT_TIMEOUT when a thread that adds ranges lives but does not finish
   */
  addRange(extent: MemoryExtent): readonly RegionRange[] {
    if (this.#closed) throw closedError();
    return this.#hotplug.add(extent);
  }

  /**
   * Removes the range that begins at `startPfn`, whether it was added or there from the beginning, in any thread that has the
   * memmap. First nobody begins anything in it any more, in any thread; then those who are at a chunk of it are waited for; then
   * its memory is given back (at once with the addon, else what was written is overwritten with zeros). Whoever waits for a chunk of
   * it gets RANGE_REMOVED, whoever comes later PFN_ABSENT. Drains, `grow`, `verify`, `progress` and `ready` go on with the rest.
   *
   * As with Linux, what you do with descriptors and pages yourself is yours to end first: `words` of the range read as zeros
   * afterwards, until a range comes in its place, and pages that `grow` has handed out are out.
   * @throws TypeError in a file @throws VmemmapError PFN_ABSENT when no range begins there; CLOSED; FAULT_TIMEOUT when a thread
   * lives but does not finish the chunk it is at: the range is gone for everybody then, but its memory and its room are kept;
   * call it again later
   */
  async removeRange(startPfn: number): Promise<void> {
    if (this.#closed) throw closedError();
    await this.#hotplug.remove(startPfn);
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
   * How many pages of `[startPfn, endPfn)` have initialized descriptors. Those of holes have none, so that all are initialized
   * when it is as many as there are.
   * @throws RangeError when that is no extent
   */
  initializedPages(startPfn: number, endPfn: number): number {
    return this.#faults.initializedPages(startPfn, endPfn);
  }

  /**
   * Migrate type of the pageblock (512 pages) that holds `pfn`: `movable` from initialization on, until somebody sets another.
   * @throws RangeError when the descriptor of `pfn` is not initialized @throws TypeError for a table of your own records
   * @throws VmemmapError PFN_ABSENT; RANGE_REMOVED when the range of `pfn` was removed meanwhile
   */
  migrateType(pfn: number): MigrateType {
    const range = this.#pageblockRange(pfn);
    const type = migrateTypeOf(this.#region, range, pfn);
    // looked at behind it: it may be of another range already
    if (!this.#claimant.isLive(range)) throw rangeRemoved(range);
    return type;
  }

  /**
   * Sets it; from any thread at any time, the last one wins. In a file it is kept as other changes are that nobody brings to
   * the media: whoever opens the file after a crash may find it as it was.
   * @throws RangeError for no such type @throws as {@link Memmap.migrateType}
   */
  setMigrateType(pfn: number, type: MigrateType): void {
    if (!migrateTypes.includes(type)) {
      throw new RangeError(`type must be ${migrateTypes.join(' or ')}, not ${String(type)}`);
    }
    const range = this.#pageblockRange(pfn);
    if (!setMigrateTypeOf(this.#region, range, pfn, type)) throw rangeRemoved(range);
  }

  /** The range of a pfn whose pageblock has a migrate type. */
  #pageblockRange(pfn: number): RegionRange {
    if (!this.#view) throw new TypeError('this memmap holds records of your own, which have no migrate types');
    if (!this.#faults.isInitialized(pfn, pfn + 1)) {
      throw new RangeError(`pfn ${pfn} is not initialized yet, and its pageblock has no migrate type: fault it first`);
    }
    return this.#faults.rangeOf(pfn);
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
    if (this.#background) {
      // once it is closed, drains that were sent to their threads and have not begun have nothing to do any more
      const works = this.#readiness.outcome === 'pending' && this.#background.active && !isClosed(this.#region);
      return works ? 'active' : 'idle';
    }
    if (isStopped(this.#region) || this.#claimant.allSettled()) return 'idle';
    return this.#readiness.isOrphaned ? 'idle' : 'active';
  }

  /** What is initialized at this moment. */
  progressNow(): Progress {
    const nodes = nodeProgress(this.#region, this.#claimant.chunks);
    return {
      pages: nodes.reduce((sum, node) => sum + node.pages, 0),
      pagesReady: nodes.reduce((sum, node) => sum + node.pagesReady, 0),
      nodes,
      elapsedMs: performance.now() - this.#openedAtMs,
      state: this.state,
    };
  }

  /** Tells the progress every `intervalMs` until all is done or the background has ended; the last one is told, too. */
  async *progress({ intervalMs = 100 }: { intervalMs?: number } = {}): AsyncGenerator<Progress, void, undefined> {
    checkTimerMs('intervalMs', intervalMs, 1);
    let ended = false;
    let wake = (): void => {};
    const end = (): void => {
      ended = true;
      wake();
    };
    // one reaction for all ticks: racing each against `ready` would leave one behind per tick
    this.ready.then(end, end);
    while (!ended) {
      yield this.progressNow();
      if (ended) break;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, intervalMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    yield this.progressNow();
  }

  /** Figures of this moment. */
  stats(): Stats {
    return {
      ...this.progressNow(),
      chunks: chunksByState(this.#region, this.#claimant.chunks),
      failed: failedRuns(this.#region, this.#claimant.chunks),
      mediaError: mediaErrorOf(this.#region),
      totals: this.#claimant.owners.totals(),
      workers: {
        threads: this.#background?.threads ?? 0,
        failures: this.#background?.failures ?? [],
        pinErrnos: this.#background?.pinErrnos ?? [],
      },
      storePath: this.#claimant.kernel.storePath,
    };
  }

  /**
   * Compares every initialized descriptor with what it should be, on the worker threads where there are any; behind the
   * background, while that is at work.
   */
  async verify(): Promise<VerifyResult> {
    // a worker that dies stands in stats().workers; its share is done here again
    const shared = await this.#background?.verify().catch(() => undefined);
    if (shared) return shared;
    let result = nothingVerified;
    let turnEndsMs = performance.now() + turnMsMax;
    for (const range of this.ranges) {
      for (let chunk = 0; chunk < range.chunks; chunk++) {
        result = mergeVerified(result, verifyChunk(this.#region, this.#claimant.chunks, range, chunk));
        if (performance.now() > turnEndsMs) {
          await new Promise(setImmediate);
          turnEndsMs = performance.now() + turnMsMax;
        }
      }
    }
    return result;
  }

  /**
   * Backing asked for and got. What was got is read back from the kernel, which walks the process's page tables for it: some
   * milliseconds when much is mapped.
   */
  get backing(): BackingReport {
    return effectiveBacking(this.#region);
  }

  /** What was got of durability; `backing` tells more, and costs more. */
  get durability(): Durability {
    return this.#region.handle.backing.durability;
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
    this.#readiness.wake();
  }

  /**
   * Starts the background again after it has ended without having done all: chunks that could not be written are tried again,
   * a cancel is taken back, threads that failed are replaced; `ready` gets another chance. For the thread that opened the memmap.
   * @returns how many chunks had failed
   * @throws TypeError while the background is at work, and in threads that attached
   */
  retry(): number {
    if (!this.#background) throw new TypeError('retry belongs to the thread that opened the memmap');
    if (this.#background.threads > 0 && this.#readiness.outcome === 'pending') {
      throw new TypeError('retry when the background has ended: await ready first');
    }
    if (this.#closed) return 0;
    let failed = 0;
    for (const { firstChunk, chunks } of this.#region.ranges) {
      for (let chunk = 0; chunk < chunks; chunk++) if (this.#claimant.chunks.retry(firstChunk + chunk)) failed++;
    }
    allowDrains(this.#region);
    this.#readiness.begin();
    this.#durable.again();
    return failed;
  }

  /**
   * Closes this memmap and opens it again over the same memory, whose pages are there already: everything is initialized once
   * more, over whatever stands there, and any pfn can be faulted meanwhile, as after `open`. This object, and those of threads
   * that attached, are closed; so close it in those threads first. For the thread that opened the memmap.
   * @throws TypeError in threads that attached @throws VmemmapError CLOSED; FAULT_TIMEOUT when a thread does not finish the
   * chunk it is at (it might write into what is initialized anew; the memory is left alone then)
   */
  async reinitialize({ signal }: Pick<OpenOptions, 'signal'> = {}): Promise<Memmap> {
    const threads = this.#threads;
    if (!threads) throw new TypeError('reinitialize belongs to the thread that opened the memmap');
    if (this.#closed) throw closedError();
    if (this.#region.handle.file) throw new TypeError('a file is started over by open({ file, rebuild: true })');
    signal?.throwIfAborted();
    let keeps = false;
    this.#closed = this.#close(() => {
      keeps = true;
    });
    await this.#closed;
    if (!keeps) {
      throw new VmemmapError('FAULT_TIMEOUT', 'a thread did not finish its chunk; is it stopped or in a debugger?');
    }
    const region = Region.over(this.#region);
    // those that were added have a cursor of their own, and nothing is handed out yet
    for (const { growCursor, liveWord } of region.ranges) beginGrowth(region, growCursor, liveWord);
    if (this.#poison) poisonFree(region);
    return Memmap.#begin(region, threads, signal, { poison: this.#poison });
  }

  /** A handle for {@link Memmap.attach} in another thread. */
  handle(): MemmapHandle {
    return this.#region.handle;
  }

  /**
   * Ends this thread's use of the memmap. In the thread that opened it: nobody claims a chunk any more, those who are at one
   * and the workers are waited for, and the memory is given back (at once with the addon, else when it is collected):
   * descriptors read as zeros from then on. So close it in threads that attached first. May be called more than once.
   * Removals that this thread is at are waited for; in the thread that opened it they end with CLOSED.
   *
   * A file is brought to the media first, as far as it asks for that, and lets go of: other processes go on with it.
   * Rejects with NOT_DURABLE, when all is closed, if the media has refused something and nobody has asked for `durable`.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** @param giveBack what happens to the memory when nobody writes to it any more. */
  async #close(giveBack: () => void = () => this.#region.discard()): Promise<void> {
    this.#forgetSignal();
    this.#faults.close();
    // First nobody starts anything any more, then those who are at it are waited for, then the memory goes.
    if (this.#background) closeClaims(this.#region);
    this.#readiness.close();
    this.#hotplug.close();
    let loss: VmemmapError | undefined;
    if (this.#hotplug.isRemoving) await this.#hotplug.ended();
    if (this.#background) {
      await this.#background.ended();
      await this.#durable.hardenRest();
      loss = this.#durable.untoldLoss();
      const ended = await this.#claimant.claimsEnded();
      if (this.#region.handle.file) this.#claimant.leave(true);
      if (ended) giveBack();
      if (!this.#region.handle.file) this.#claimant.forget();
    }
    this.#claimant.leave();
    if (loss) throw loss;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
