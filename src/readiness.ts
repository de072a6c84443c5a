/**
 * When everything is initialized: `ready`, what it rejects with, and waiting for it within limits. Everything is what there is when
 * `ready` is told so: a range that comes before is waited for, too, one that goes is not, and one that comes behind it begins
 * another `ready`.
 */
import type { Background } from './background.ts';
import { isInitialized, payloadOf, stateOf } from './claims/chunk-map.ts';
import { type Claimant, chunkFailed } from './claims/claimant.ts';
import { isClosed, isStopped, openerOf } from './claims/orders.ts';
import { VmemmapError } from './errors.ts';
import { refuseTooLarge } from './region/memory-limit.ts';
import type { RegionRange } from './region/range.ts';

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

/** A list as the region gives it: another one when ranges have come or gone. */
type Ranges = readonly RegionRange[];

/** See the top of the file. One per memmap and thread. */
export class Readiness {
  /** Whether everything was found initialized, or `ready` has rejected. */
  outcome: 'pending' | 'ready' | 'failed' = 'pending';
  readonly #claimant: Claimant;
  readonly #background: Background | undefined;
  #ready: Promise<void> | undefined;
  #closing = false;
  /** How often `ready` was begun, and the drains for it. */
  #round = 0;
  #draining = 0;
  /** The ranges that the last `ready` was about, once it was told; and those that it is being asked of. */
  #told: Ranges | undefined;
  #looked: Ranges = [];
  /** It has rejected with CANCELLED. */
  #isCancelled = false;
  /** Other processes were seen that used the file. */
  #hadOthers = false;

  /** @param background of the thread that opened the memmap; undefined where it was attached to. */
  constructor(claimant: Claimant, background: Background | undefined) {
    this.#claimant = claimant;
    this.#background = background;
  }

  /** Settles when everything is initialized or will not be. Never unhandled. */
  get ready(): Promise<void> {
    this.again();
    return this.#ready ?? this.begin();
  }

  /** Begins again if ranges have come or gone since `ready` was told; but what was cancelled or closed stays so. */
  again(): void {
    const { region } = this.#claimant;
    const told = this.#told;
    if (told === undefined || this.#closing) return;
    const { ranges } = region;
    if (told === ranges && !this.#isTakenBack) return;
    if (isStopped(region)) {
      // nobody initializes what has come since; that all was ready is no longer so
      if (this.outcome === 'ready' && !isClosed(region)) this.#expect(() => this.#allSettled());
      return;
    }
    const known = new Set(told);
    // only gone: the rest is as ready as it was
    if (this.outcome === 'ready' && ranges.every((range) => known.has(range))) this.#told = ranges;
    // nothing to do, and so no thread to be troubled
    else if (this.#claimant.allSettled(ranges)) this.#expect(() => this.#whole(ranges));
    else this.begin();
  }

  /** Whether the opener has taken back the cancel that `ready` rejected with: where this thread attached nobody tells it so. */
  get #isTakenBack(): boolean {
    return this.#isCancelled && !this.#background && !isStopped(this.#claimant.region);
  }

  /**
   * Begins soon: at once where threads wait for work, else in the next turn of the event loop. Threads that are to be made
   * do not start sooner for half a millisecond of preparations, but whoever faults right after `open` would wait for it.
   */
  beginSoon(): void {
    if (this.#background?.isReady) this.begin();
    else setImmediate(() => this.#ready ?? (this.#closing || this.begin()));
  }

  /** Begins `ready`. */
  begin(): Promise<void> {
    return this.#expect(() => this.#done());
  }

  /** Starts the drains, where there are any, and tells of all by whatever comes first: it is done, or they ended without. */
  #done(): Promise<Ranges> {
    const background = this.#background;
    return background?.threads ? Promise.race([this.#allSettled(), this.#drained(background)]) : this.#allSettled();
  }

  /** @param wait resolves to the ranges that it found initialized. */
  #expect(wait: () => Promise<Ranges>): Promise<void> {
    const round = ++this.#round;
    this.outcome = 'pending';
    this.#told = undefined;
    this.#isCancelled = false;
    const ready = this.#untilSame(wait).then(
      (ranges) => this.#tell(round, 'ready', ranges),
      (error) => {
        this.#isCancelled = error instanceof VmemmapError && error.code === 'CANCELLED';
        this.#tell(round, 'failed', this.#looked);
        throw error;
      },
    );
    // Who never asks for `ready` must not be killed by an unhandled rejection; who does gets it.
    ready.catch(() => {});
    this.#ready = ready;
    return ready;
  }

  /** Begins once more if ranges have come or gone by when the wait was over. */
  #untilSame(wait: () => Promise<Ranges>): Promise<Ranges> {
    const { region } = this.#claimant;
    return wait().then((ranges) =>
      ranges === region.ranges || this.#closing ? ranges : this.#untilSame(() => this.#done()),
    );
  }

  #tell(round: number, outcome: 'ready' | 'failed', ranges: Ranges): void {
    // in a file this thread has not looked yet at what others wrote: see Claimant.settle
    const isKnown = outcome === 'ready' && this.#claimant.region.handle.file === undefined;
    if (isKnown) for (const range of ranges) range.complete = true;
    if (round !== this.#round) return; // begun again since
    this.outcome = outcome;
    this.#told = ranges;
  }

  async #drained(background: Background): Promise<Ranges> {
    const { region } = this.#claimant;
    const draining = ++this.#draining;
    for (;;) {
      // after a retry: the drains of before have nothing to do any more, but may not have told so yet
      // (only then: with nothing at work they start at once, whatever their caller does next)
      if (background.hasStarted && background.active) await background.ended();
      const { ranges } = region;
      // begun again since: that one starts the drains, and tells of them
      if (draining !== this.#draining) return new Promise(() => {});
      this.#looked = ranges;
      const outcome = await background.start();
      if (outcome === 'cancelled') throw this.#stopError();
      // They have done all that was there when they began, and most often what came meanwhile. That is not waited for here: it
      // may have come when they had ended.
      const now = region.ranges;
      if (now === ranges || this.#claimant.allSettled(now)) return this.#whole(now);
    }
  }

  /**
   * Resolves when every chunk is initialized, whoever did it, to the ranges that it is about; rejects when all are settled and
   * some failed.
   */
  async #allSettled(): Promise<Ranges> {
    const { region } = this.#claimant;
    for (;;) {
      const { ranges } = region;
      this.#looked = ranges;
      const failed = await this.#failureIn(ranges);
      // Another pass: what failed in one that has gone is not told, and what has come is waited for.
      if (ranges !== region.ranges) continue;
      if (failed) throw failed;
      return ranges;
    }
  }

  /** The same for ranges of which all chunks are settled already, so that there is nothing to wait for. */
  async #whole(ranges: Ranges): Promise<Ranges> {
    this.#looked = ranges;
    const failed = await this.#failureIn(ranges);
    // else it is asked once more
    if (failed && ranges === this.#claimant.region.ranges) throw failed;
    return ranges;
  }

  /** Resolves when every chunk of these ranges is settled, to the error of one that failed, if any did. */
  async #failureIn(ranges: Ranges): Promise<VmemmapError | undefined> {
    let failed: VmemmapError | undefined;
    for (const range of ranges.toReversed()) failed = (await this.#settled(range)) ?? failed;
    return failed;
  }

  /**
   * Resolves when every chunk of a range is settled, or the range has gone; to the error of one that failed, if any did. Waits for
   * the last chunk first: drains go upwards, so that most often one wake-up is enough.
   */
  async #settled(range: RegionRange): Promise<VmemmapError | undefined> {
    const { chunks, region } = this.#claimant;
    const { firstChunk } = range;
    let failed: VmemmapError | undefined;
    for (let end = firstChunk + range.chunks; ; ) {
      const last = chunks.lastUninitialized(end, firstChunk);
      if (last < 0 || !this.#claimant.isLive(range)) return failed;
      const word = chunks.load(last);
      if (stateOf(word) === 'failed') {
        // Remembered as it was seen: a retry may set it free while we wait for another, and it is not initialized then. Only
        // READY is final, so only a pass that saw nothing else is a proof.
        failed = chunkFailed(range, last - firstChunk, payloadOf(word));
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
    const { region } = this.#claimant;
    const { states } = region.slots;
    for (let hasCome = true; hasCome; ) {
      const version = states.version();
      await this.#initializeHere(limit);
      if (limit.aborted) return;
      if (this.outcome === 'failed' && !isStopped(region)) this.#expect(() => this.#allSettled());
      // what comes before all is told to be ready is for us, too
      const change = states.untilChanged(version, lookAroundMs).then(() => true);
      hasCome = await Promise.race([this.ready.then(() => false), change]);
    }
  }

  async #initializeHere(limit: AbortSignal): Promise<void> {
    const { region } = this.#claimant;
    for (;;) {
      const { ranges } = region;
      // the pages of a file need not all be in memory
      if (!region.handle.file) refuseTooLarge(region.storedBytes);
      await this.#initializeRanges(ranges, limit);
      if (ranges === region.ranges || limit.aborted || isStopped(region)) return;
    }
  }

  async #initializeRanges(ranges: Ranges, limit: AbortSignal): Promise<void> {
    const { region } = this.#claimant;
    let turnEndsMs = performance.now() + turnMsMax;
    for (const range of ranges) {
      for (let chunk = 0; chunk < range.chunks; chunk++) {
        if (performance.now() > turnEndsMs) {
          await new Promise(setImmediate);
          turnEndsMs = performance.now() + turnMsMax;
        }
        if (limit.aborted || isStopped(region)) return;
        try {
          if ((await this.#claimant.settleAsync(range, chunk)) === 'removed') break;
        } catch (error) {
          // one chunk that cannot be written does not keep the others from it; `ready` tells of it
          if (!(error instanceof VmemmapError && error.code === 'CHUNK_FAILED')) throw error;
        }
      }
    }
  }

  /** Lets those who wait look around: an order was given that no chunk word tells. */
  wake(): void {
    const { chunks, region } = this.#claimant;
    for (const { firstChunk, chunks: count } of region.ranges) {
      for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) {
        if (!isInitialized(chunks.load(chunk))) chunks.wakeAll(chunk);
      }
    }
  }

  /** From now on `ready` does not come any more if it has not. */
  close(): void {
    this.#closing = true;
    this.wake();
    if (this.#ready) return;
    // nothing was begun, and nothing will be
    this.#expect(() => Promise.reject(this.#stopError()));
    this.outcome = 'failed';
  }
}

function orphanedError(): VmemmapError {
  return new VmemmapError(
    'WORKERS_FAILED',
    'whoever initialized the memmap in the background has died; faults still work, and so does sync, which does the rest',
  );
}
