/**
 * One thread's hand in a region: it claims chunks, initializes them, and waits for those of others. Fault, drain, grow and
 * verification all stand on it. One per thread and memmap; not to be shared.
 */
import { constants } from 'node:os';
import type { InitKernel } from '../descriptor/kernel.ts';
import { invariant, VmemmapError } from '../errors.ts';
import { descriptorSizeBytes } from '../physical/geometry.ts';
import { errnoName } from '../region/backing.ts';
import type { RegionRange } from '../region/range.ts';
import { type RangeStates, seemsLive } from '../region/range-states.ts';
import type { Region } from '../region/region.ts';
import type { ThreadIdentity } from '../region/threads.ts';
import { kernelFor } from '../store-path.ts';
import { ChunkMap, isInitialized, payloadOf, stateOf } from './chunk-map.ts';
import { harden, hardenBytes } from './harden.ts';
import { Keepers, orphanKeeper } from './keepers.ts';
import { closedError, isClosed } from './orders.ts';
import { type Owner, type OwnerCounter, OwnerTable } from './owners.ts';
import { wantRun } from './runs.ts';

/** How a fault came by its descriptors: they were `ready`, this thread `claimed` and wrote them, or it `waited` for another. */
export type FaultOutcome = 'ready' | 'claimed' | 'waited';

/** The same for one chunk; or its range was `removed` meanwhile, and nobody will initialize it any more. */
export type SettleOutcome = FaultOutcome | 'removed';

/** What a claimant may be told to do differently; all have sensible defaults. */
export interface ClaimantOptions {
  /** The init kernel; by default the one that suits the region's memory. */
  readonly kernel?: InitKernel;
  /** The chunk words; tests put one in that lets other actors act at chosen moments. */
  readonly chunks?: ChunkMap;
  /** The thread that claims; tests put one in that is dead. */
  readonly thread?: ThreadIdentity;
  /** Bound on waiting for the owner of one chunk while it lives, in milliseconds. */
  readonly waitMsMax?: number;
}

/** How often one who waits looks whether the owner still lives. A death that the pool sees itself wakes waiters at once. */
const livenessIntervalMs = 20;
/** Default bound on waiting for one chunk: this much, and ten times what its pages take on slow first touch (50 ns each). */
const waitMsMin = 10_000;
const waitMsPerPage = 0.0005;

/** Gives back the slots of claimants that were dropped without leaving. */
const dropped = new FinalizationRegistry<{ region: Region; owners: OwnerTable; owner: Owner }>((held) => {
  if (!(held.region.handle.file && isClosed(held.region))) held.owners.leave(held.owner);
});

/** See the top of the file. */
export class Claimant {
  readonly region: Region;
  readonly chunks: ChunkMap;
  readonly owners: OwnerTable;
  readonly kernel: InitKernel;
  /** This thread as one that adds and removes ranges. */
  readonly keepers: Keepers;
  readonly #states: RangeStates;
  readonly #isInFile: boolean;
  readonly #owner: Owner;
  readonly #waitMsMax: number | undefined;
  /** Chunks that this thread has published and not made durable yet, in runs. */
  readonly #unhardened: { first: number; end: number }[] = [];
  #unhardenedBytes = 0;
  #left = false;

  constructor(region: Region, options: ClaimantOptions = {}) {
    this.region = region;
    this.kernel = options.kernel ?? kernelFor({ ...region.handle, sizeBytes: region.pages * descriptorSizeBytes });
    this.chunks = options.chunks ?? ChunkMap.of(region);
    this.#states = region.slots.states;
    this.#isInFile = region.handle.file !== undefined;
    this.owners = new OwnerTable(region.control, region.layout.owners, region.processes);
    this.#waitMsMax = options.waitMsMax;
    this.#owner = this.owners.join((tag) => this.#releaseClaimsOf(tag), options.thread);
    this.keepers = new Keepers(region.control, this.owners, this.#owner.tag);
    // one of another thread, which a test plays, is that thread's: that it is collected here means nothing
    if (!options.thread) dropped.register(this, { region, owners: this.owners, owner: this.#owner }, this);
  }

  /** This thread's tag in the chunk words that it claims. */
  get tag(): number {
    return this.#owner.tag;
  }

  /**
   * FREE → CLAIMED → READY for chunk `first`, if it is free, and for as many free ones behind it as follow each other before
   * `end`: they are claimed together, written in one go, and published together. `counter` tells who asked.
   * @returns how many chunks this call took; 0 when `first` is not free, the memmap was closed, or the range removed.
   */
  initialize(range: RegionRange, first: number, end: number, counter: OwnerCounter): number {
    const firstNumber = range.firstChunk + first;
    const count = this.chunks.claim(firstNumber, this.tag, range.firstChunk + end);
    if (count === 0) return 0;
    if (isClosed(this.region) || !this.isLive(range)) {
      // Closed since we looked, or the range removed: its memory may be given back as soon as nobody holds a claim. The one who
      // closes stores CLOSE and then looks for claims, we claim and then look for CLOSE: one of us sees the other. So it is with
      // who removes the range, and REMOVING. Another range may have come in its place: these are chunks of that one then.
      this.#withdraw(firstNumber, firstNumber + count);
      return 0;
    }
    let settled = 0;
    try {
      const errno = this.#write(range, first, first + count);
      if (errno === 0) {
        settled = count;
        this.#publish(range, firstNumber, count, counter);
      }
      while (settled < count) {
        // Where one of several could not be written, each is written by itself: the errno belongs to that one alone.
        const own = count === 1 ? errno : this.#write(range, first + settled, first + settled + 1);
        const number = firstNumber + settled++;
        if (own === 0) this.#publish(range, number, 1, counter);
        else this.#fail(number, own);
      }
    } catch (error) {
      this.#abandon(firstNumber + settled, firstNumber + count);
      throw error;
    }
    return count;
  }

  #write(range: RegionRange, first: number, end: number): number {
    const errno =
      this.region.unreadable(range, first, end) || range.sumOverChunkContent(first, end, this.kernel.fill, true);
    return errno === constants.errno.EFAULT ? this.region.whyUnreachable(range, first, end) : errno;
  }

  #publish(range: RegionRange, first: number, count: number, counter: OwnerCounter): void {
    // Counted before they are published: whoever sees all chunks ready also finds them all counted. A thread that dies in
    // between leaves its row counted, and whoever takes it over counts it again.
    this.owners.count(this.#owner, counter, count);
    const durability = this.region.persistence?.durability;
    if (durability === 'dax-sync') this.#publishDurable(first, first + count);
    else this.chunks.publish(first, this.tag, first + count);
    range.seen.fill(1, first - range.firstChunk, first - range.firstChunk + count);
    if (durability === 'msync' && counter === 'chunksByDrain') this.#hardenLater(first, first + count);
  }

  /** The kernel returned with the descriptors on the media: see `kernelFor`. No system call in here. */
  #publishDurable(first: number, end: number): void {
    this.chunks.seal(first, this.tag, end);
    const errno = this.region.persistChunkWords(first, end);
    invariant(errno === 0, 'writing cache lines back cannot fail');
    this.chunks.endure(first, this.tag, end);
  }

  /** Remembers what this drain has published, and makes it durable when it is enough for a batch. */
  #hardenLater(first: number, end: number): void {
    const last = this.#unhardened.at(-1);
    if (last?.end === first) last.end = end;
    else this.#unhardened.push({ first, end });
    const { chunkPages } = this.region.rangeOfChunk(first);
    this.#unhardenedBytes += (end - first) * chunkPages * descriptorSizeBytes;
    if (this.#unhardenedBytes >= hardenBytes) this.hardenOwn();
  }

  /** Makes durable what this thread has published by draining. An error stands in the region: see `mediaErrno`. */
  hardenOwn(): void {
    for (const { first, end } of this.#unhardened) harden(this.region, this.chunks, first, end);
    this.#unhardened.length = 0;
    this.#unhardenedBytes = 0;
  }

  #fail(chunk: number, errno: number): void {
    this.owners.count(this.#owner, 'chunksFailed');
    this.chunks.fail(chunk, this.tag, errno);
  }

  #abandon(first: number, end: number): void {
    for (let chunk = first; chunk < end; chunk++) this.chunks.abandon(chunk, this.tag);
  }

  /** Gives claims back that nobody saw who closed: the memory may be given back already, and the claims with it. */
  #withdraw(first: number, end: number): void {
    for (let chunk = first; chunk < end; chunk++) {
      const word = this.chunks.load(chunk);
      if (stateOf(word) === 'claimed' && payloadOf(word) === this.tag) this.chunks.release(chunk, word);
    }
  }

  /** Whether a range is there, and has been ever since this thread found it. */
  isLive(range: RegionRange): boolean {
    return this.#states.isLive(range);
  }

  /** How long one who waits for others with chunks of so many pages waits, in milliseconds. */
  waitMsOf(chunkPages: number): number {
    return this.#waitMsMax ?? waitMsMin + chunkPages * waitMsPerPage;
  }

  /**
   * Waits until nobody of this process holds a claim any more, and nobody adds or removes a range, after close: then the memory
   * can be given back. A chunk whose owner lives but does not finish is waited for until the bound.
   * @returns whether all claims are gone
   */
  async claimsEnded(): Promise<boolean> {
    const { slots } = this.region;
    const untilMs = performance.now() + this.waitMsOf(this.#chunkPagesMax);
    for (let slot = 0; slot < slots.count; slot++) {
      if (!slots.isUsed(slot)) continue;
      const { first, end } = slots.chunksOf(slot);
      if ((await this.claimsEndedIn(first, end, untilMs)) >= 0) return false;
      if (!(await this.#keeperEnded(slots.keeperOf(slot), untilMs))) return false;
    }
    return this.#keeperEnded(this.region.word.addersKeeper, untilMs);
  }

  /**
   * The same for the chunks `[first, end)` of one slot, of which nobody claims any more either.
   * @param isOff ends the wait.
   * @returns −1, or the first chunk that somebody still holds
   */
  async claimsEndedIn(first: number, end: number, untilMs: number, isOff = () => false): Promise<number> {
    for (let chunk = first; chunk < end; chunk++) {
      for (let word = this.chunks.load(chunk); this.#isClaimedHere(word); word = this.chunks.load(chunk)) {
        if (isOff() || performance.now() > untilMs) return chunk;
        await this.waitForChange(chunk, word, livenessIntervalMs);
        if (this.chunks.load(chunk) === word && this.owners.isDead(payloadOf(word))) this.releaseDead(chunk, word);
      }
    }
    return -1;
  }

  async #keeperEnded(at: number, untilMs: number): Promise<boolean> {
    while (this.keepers.isHeld(at)) {
      if (performance.now() > untilMs) return false;
      await whileAwake(this.keepers.untilReleased(at, livenessIntervalMs), livenessIntervalMs);
    }
    return true;
  }

  get #chunkPagesMax(): number {
    return this.region.slots.taken().reduce((most, { range }) => Math.max(most, range.chunkPages), 0);
  }

  #isClaimedHere(word: number): boolean {
    return stateOf(word) === 'claimed' && this.owners.isOfThisProcess(payloadOf(word));
  }

  /** Whether every chunk is initialized or has failed, of all ranges or of these. */
  allSettled(ranges: readonly RegionRange[] = this.region.ranges): boolean {
    return ranges.every((range) => this.#isSettled(range) || !this.isLive(range));
  }

  #isSettled({ firstChunk, chunks }: RegionRange): boolean {
    let chunk = this.chunks.lastUninitialized(firstChunk + chunks, firstChunk);
    while (chunk >= 0) {
      if (stateOf(this.chunks.load(chunk)) !== 'failed') return false;
      chunk = this.chunks.lastUninitialized(chunk, firstChunk);
    }
    return true;
  }

  /** Forgets what was initialized: its memory has been given back. */
  forget(): void {
    const { ranges, slots } = this.region;
    for (const range of ranges) {
      range.seen.fill(0);
      range.complete = false;
    }
    for (let slot = 0; slot < slots.count; slot++) {
      if (!slots.isUsed(slot)) continue;
      const { first, end } = slots.chunksOf(slot);
      for (let chunk = first; chunk < end; chunk++) this.chunks.forget(chunk);
    }
  }

  /**
   * Makes one chunk initialized: at once if it is, by writing it if it is free, else by waiting for its owner, bounded; an
   * owner that is known to be dead loses the chunk. Allocates nothing unless it has to wait long.
   * @throws VmemmapError CHUNK_FAILED, FAULT_TIMEOUT or CLOSED
   */
  settle(range: RegionRange, chunk: number): SettleOutcome {
    if (range.seen[chunk] === 1) return seemsLive(this.region.control, range) ? 'ready' : 'removed';
    const isThere = isInitialized(this.chunks.load(range.firstChunk + chunk));
    // the rest by itself: compiled into whoever faults in a loop, it would keep the fault from being compiled into that
    return isThere ? this.#settled(range, chunk, 'ready') : this.#initialized(range, chunk);
  }

  #initialized(range: RegionRange, chunk: number): SettleOutcome {
    const number = range.firstChunk + chunk;
    let outcome: FaultOutcome = 'ready';
    let firstWaitMs = 0;
    for (;;) {
      const word = this.chunks.load(number);
      if (isInitialized(word)) return this.#settled(range, chunk, outcome);
      const next = this.#step(range, chunk, word, firstWaitMs);
      if (next === 'removed') return next;
      if (next === 'claimed') outcome = next;
      if (next !== 'wait') continue;
      if (outcome === 'ready') this.owners.count(this.#owner, 'faultsWaited');
      outcome = 'waited';
      if (firstWaitMs === 0) firstWaitMs = performance.now();
      this.chunks.wait(number, word, livenessIntervalMs);
    }
  }

  /** The same, waiting without blocking the thread. What this thread has to write itself it writes at once. */
  async settleAsync(range: RegionRange, chunk: number): Promise<SettleOutcome> {
    const number = range.firstChunk + chunk;
    let outcome: FaultOutcome = 'ready';
    let firstWaitMs = 0;
    for (;;) {
      const word = this.chunks.load(number);
      if (isInitialized(word)) return this.#settled(range, chunk, outcome);
      const next = this.#step(range, chunk, word, firstWaitMs);
      if (next === 'removed') return next;
      if (next === 'claimed') outcome = next;
      if (next !== 'wait') continue;
      if (outcome === 'ready') this.owners.count(this.#owner, 'faultsWaited');
      outcome = 'waited';
      if (firstWaitMs === 0) firstWaitMs = performance.now();
      await this.waitForChange(number, word, livenessIntervalMs);
    }
  }

  /** The outcome for a chunk whose word says that it is initialized. */
  #settled(range: RegionRange, chunk: number, outcome: FaultOutcome): SettleOutcome {
    // behind the word: it may be one of another range already
    if (!this.#states.isLive(range)) return 'removed';
    if (this.#isInFile && outcome !== 'claimed') this.#look(range, chunk);
    range.seen[chunk] = 1;
    return outcome;
  }

  /**
   * Looks whether a chunk that somebody else has written can be read here, before this thread says so: where its file was cut
   * short, or its media has gone bad, touching it would end the process. Maps its pages at once, too.
   * @throws VmemmapError CHUNK_FAILED
   */
  #look(range: RegionRange, chunk: number): void {
    const errno = this.region.look(range, chunk, chunk + 1);
    if (errno !== 0) throw chunkUnreadable(range, chunk, errno);
  }

  /** Resolves when the word has changed or after `ms`; keeps the event loop alive meanwhile, which waitAsync does not. */
  async waitForChange(chunk: number, word: number, ms: number): Promise<void> {
    const changed = this.chunks.waitAsync(chunk, word, ms);
    if (changed !== undefined) await whileAwake(changed, ms);
  }

  /**
   * One step towards an initialized chunk: it was `claimed` and written, or the word should be looked at `again`, or there is
   * nothing to do but `wait` for the word to change; or the range has gone.
   * @param firstWaitMs when the first wait began; 0 before it.
   */
  #step(
    range: RegionRange,
    chunk: number,
    word: number,
    firstWaitMs: number,
  ): 'claimed' | 'again' | 'wait' | 'removed' {
    this.#refuseWhenClosed();
    if (!this.#states.isLive(range)) return 'removed';
    const state = stateOf(word);
    if (state === 'free') {
      if (this.initialize(range, chunk, chunk + 1, 'chunksByFault') === 0) return 'again';
      wantRun(this.region, range, chunk);
      return 'claimed';
    }
    if (state === 'failed') throw chunkFailed(range, chunk, payloadOf(word));
    // Asked only after a first wait: most owners publish within it, and asking costs a system call.
    if (firstWaitMs === 0) return 'wait';
    if (this.owners.isDead(payloadOf(word))) {
      this.releaseDead(range.firstChunk + chunk, word);
      return 'again';
    }
    const waitedMs = performance.now() - firstWaitMs;
    if (waitedMs >= this.waitMsOf(range.chunkPages)) throw faultTimeout(range, chunk, waitedMs);
    return 'wait';
  }

  /** Sets free whatever dead owners hold, and gives their slots back. Returns how many there were. */
  reapDead(): number {
    return this.owners.reap((tag) => this.#releaseClaimsOf(tag));
  }

  /** CLAIMED(x) → FREE, where x is known to be dead. */
  releaseDead(chunk: number, word: number): void {
    if (!this.chunks.release(chunk, word)) return;
    // not there yet while the constructor joins and reaps the dead for it
    const owner = this.#owner as Owner | undefined;
    if (owner) this.owners.count(owner, 'claimsReleased');
  }

  #releaseClaimsOf(tag: number): void {
    const { slots, control, word: words } = this.region;
    orphanKeeper(control, words.addersKeeper, tag);
    for (let slot = 0; slot < slots.count; slot++) {
      // one whose range has gone, too: its owner may have died before it gave a claim back
      if (!slots.isUsed(slot)) continue;
      orphanKeeper(control, slots.keeperOf(slot), tag);
      const { first, end } = slots.chunksOf(slot);
      for (let chunk = first; chunk < end; chunk++) {
        const word = this.chunks.load(chunk);
        if (stateOf(word) === 'claimed' && payloadOf(word) === tag) this.releaseDead(chunk, word);
      }
    }
  }

  #refuseWhenClosed(): void {
    if (this.#left || isClosed(this.region)) {
      throw closedError();
    }
  }

  /**
   * Gives up the owner slot. What was initialized stays; nothing can be claimed any more.
   * @param isMapped whether the region surely is: the file of one that was closed may be unmapped by now, but for those whom
   * close waits for; the slots of the others go with their process.
   */
  leave(isMapped: boolean = !(this.region.handle.file && isClosed(this.region))): void {
    if (this.#left) return;
    this.#left = true;
    dropped.unregister(this);
    if (isMapped) this.owners.leave(this.#owner);
  }
}

/** Awaits what a notification ends, or `ms` milliseconds, and keeps the event loop alive meanwhile, which waitAsync does not. */
export async function whileAwake(changed: Promise<unknown>, ms: number): Promise<void> {
  const keepAlive = setTimeout(() => {}, ms * 2);
  await changed;
  clearTimeout(keepAlive);
}

/** The error for a range that went while a call was at it. */
export function rangeRemoved({ startPfn, endPfn }: RegionRange): VmemmapError {
  return new VmemmapError(
    'RANGE_REMOVED',
    `the range of pfns ${startPfn} to ${endPfn - 1} was removed meanwhile; see memmap.ranges`,
    { received: startPfn },
  );
}

/** The error for a chunk whose descriptors could not be written. */
export function chunkFailed(range: RegionRange, chunk: number, errno: number): VmemmapError {
  const pfns = `pfns ${range.chunkStart(chunk)} to ${range.chunkEnd(chunk) - 1}`;
  return new VmemmapError(
    'CHUNK_FAILED',
    `the descriptors of ${pfns} could not be written: ${errnoName(errno)}; mend the cause, then call retry()`,
    { errno },
  );
}

/** The error for a chunk that was initialized once and cannot be read now. */
export function chunkUnreadable(range: RegionRange, chunk: number, errno: number): VmemmapError {
  const pfns = `pfns ${range.chunkStart(chunk)} to ${range.chunkEnd(chunk) - 1}`;
  const what = `the descriptors of ${pfns} cannot be read: ${errnoName(errno)}; see the kernel's log for errors of the media`;
  return new VmemmapError('CHUNK_FAILED', what, { errno });
}

function faultTimeout(range: RegionRange, chunk: number, waitedMs: number): VmemmapError {
  return new VmemmapError(
    'FAULT_TIMEOUT',
    `the thread that claimed chunk ${chunk} of the range at pfn ${range.startPfn} lives but did not finish in ` +
      `${Math.round(waitedMs)} ms; is it stopped or in a debugger?`,
  );
}
