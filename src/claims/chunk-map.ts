/**
 * The chunk words: who may write which chunk. The only file with Atomics on chunk words.
 *
 * One 32-bit word per chunk. The low three bits are the state, bit 30 is SEALED, the rest belongs to the state:
 *
 *     state    payload                what it means
 *     FREE     0                      nobody writes the chunk, its descriptors mean nothing
 *     CLAIMED  owner tag (18 bits)    the thread with this tag writes the chunk, nobody else may
 *     READY    0                      all its descriptors are initialized and visible
 *     DURABLE  0                      the same; they have reached the media, and so has word of it (persistent backings only)
 *     FAILED   errno                  its descriptors could not be written
 *
 *     SEALED, beside CLAIMED or READY: the descriptors have reached the media, and this word is on its way there. Without it
 *     a chunk would either be seen DURABLE before the media knows (a crash then forgets it, and what somebody has changed and
 *     persisted since is overwritten), or the media would know before its descriptors are there.
 *
 *     edge                        taken by                           by method   order that is needed, and its partner
 *     FREE → CLAIMED(me)          any thread with an owner slot      claim       acquire: with the release of `release` and
 *                                                                                `abandon`, so that stores of a dead owner
 *                                                                                lie before ours
 *     CLAIMED(me) → READY         the owner, after it wrote all      publish     release: with the acquire in `load` of
 *                                                                                whoever then reads the descriptors
 *     CLAIMED(me) → SEALED        the owner, after it wrote all      seal        release, and behind the fence that follows
 *                                 and that is on the media                       the stores: with `recover`, after a crash
 *     CLAIMED(me)+SEALED →        the owner, after this word         endure      release: as in `publish`; behind the flush
 *       DURABLE                   reached the media                              of the word
 *     READY → READY+SEALED        anyone, after what stood there     sealReady   as in `seal`
 *                                 when it was READY is on the media
 *     READY+SEALED → DURABLE      anyone, after it saw this word     endureReady as in `endure`
 *                                 and brought it to the media
 *     CLAIMED(me) → FAILED        the owner, when it cannot write    fail        release: with the acquire in `load` of waiters
 *     CLAIMED(me) → FREE          the owner, when its code threw     abandon     release: with the acquire of the next `claim`
 *     CLAIMED(x) → FREE           anyone who knows that x is dead;   release     acquire-release: the death was seen before it
 *                                 x, when who closes, or removes the
 *                                 range, may not have seen it
 *     FAILED → FREE               anyone who asks for another try    retry       relaxed would do: nothing was written
 *     READY → FREE                the opener's close, in memory      forget      relaxed would do: nothing can be claimed any
 *                                 alone, behind all                              more
 *     READY, FAILED → FREE        who removes the range, in memory   evict       relaxed would do: `vacate` of the range's state
 *                                 alone, behind its last claim                   releases it to whoever adds the next one
 *     any → as in `recovered`     whoever opens a file that nobody   recover     plain would do: nobody else is there
 *                                 has open
 *
 * CLAIMED with SEALED is a claim like any other: a dead owner loses it, and whoever then writes the chunk once more writes
 * what stands there. READY and DURABLE are final until the memmap is closed or the range removed, so a thread that has seen one
 * may remember it without looking again. FAILED is not: a retry sets it free. Every edge that ends or frees a claim wakes all
 * who wait for the word to change. JavaScript's Atomics are sequentially consistent, which is stronger than any order above.
 *
 * Chunk words belong to a slot, and ranges come and go there (region/range-states.ts). Whoever has claimed a chunk looks whether
 * the range still is the one that it knows before it writes, and else gives the claim back by `release`; so for a moment a word of
 * any slot may be CLAIMED by one who will not write it. Nobody else minds: it is waited for, or passed over, like any other.
 *
 * A thread may hold several claims at once: a drain takes the chunks of a batch in a row, upwards, and waits for nobody while it
 * holds them. None is held across turns of the event loop: who sees CLAIMED by its own thread has found a defect (or a test).
 */
import { invariant } from '../errors.ts';
import type { Region } from '../region/region.ts';
import type { ProcessWaits } from '../region/waits.ts';

/** States, in the low bits of a chunk word. FREE is 0, so that fresh memory is free; READY and DURABLE share bit 1. */
export const chunkState = { free: 0, claimed: 1, ready: 2, durable: 3, failed: 4 } as const;

/** Name of a state. */
export type ChunkStateName = keyof typeof chunkState;

const stateBits = 3;
const stateMask: number = 2 ** stateBits - 1;
/** Bit that READY and DURABLE have and no other state. */
const initializedBit = 2;
/** SEALED: above every owner tag, and below the sign. */
const sealedBit: number = 2 ** 30;

const stateNames: readonly (ChunkStateName | undefined)[] = ['free', 'claimed', 'ready', 'durable', 'failed'];

/** Name of the state that a chunk word holds. */
export function stateOf(word: number): ChunkStateName {
  const name = stateNames[word & stateMask];
  invariant(name !== undefined, 'a chunk word has a state');
  return name;
}

/** Whether the descriptors of a chunk with this word are initialized. */
export function isInitialized(word: number): boolean {
  return (word & stateMask & initializedBit) !== 0;
}

/** Whether nobody has anything to do with a chunk with this word any more: it is initialized, or has failed. */
export function isSettled(word: number): boolean {
  return isInitialized(word) || (word & stateMask) === chunkState.failed;
}

/** The owner tag of a CLAIMED word, or the errno of a FAILED one. */
export function payloadOf(word: number): number {
  return (word & ~sealedBit) >>> stateBits;
}

/** Whether a chunk with this word has reached the media, or its descriptors have and the word is on its way. */
export function isSealed(word: number): boolean {
  return (word & sealedBit) !== 0 || (word & stateMask) === chunkState.durable;
}

/** Whether a word is one that chunks have; one that is not was damaged. */
export function isSound(word: number): boolean {
  return stateNames[word & stateMask] !== undefined;
}

/** Longest wait for a change that another process makes, where nothing wakes this one: see `waitAsync`. */
const foreignChangeMs = 5;

/**
 * The word with which a chunk begins when a file is opened that nobody has open. What is on the media stays; where its word was on
 * the way there, and the opener brings it there (`persists`), it is DURABLE now. READY is as good as initialized while the same
 * kernel has run ever since, and has kept the pages (`keepsReady`).
 */
export function recovered(word: number, keepsReady: boolean, persists: boolean): number {
  const state = word & stateMask;
  if (state === chunkState.durable) return chunkState.durable;
  const hasMark = state === chunkState.claimed || state === chunkState.ready;
  if (hasMark && isSealed(word)) return persists ? chunkState.durable : chunkState.ready | sealedBit;
  return state === chunkState.ready && keepsReady ? chunkState.ready : chunkState.free;
}

function claimedBy(tag: number): number {
  return (tag << stateBits) | chunkState.claimed;
}

/** The chunk words of a region. Chunks are numbered through all its ranges. */
export class ChunkMap {
  readonly chunks: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #first: number;
  readonly #waits: ProcessWaits | undefined;

  /**
   * @param words the region's control buffer as words.
   * @param first index of the first chunk word in it.
   * @param waits how threads of several processes wait for each other, where there can be several.
   */
  constructor(words: Int32Array<SharedArrayBuffer>, first: number, chunks: number, waits?: ProcessWaits) {
    this.#words = words;
    this.#first = first;
    this.chunks = chunks;
    this.#waits = waits;
  }

  /** The chunk words of a region. */
  static of(region: Region): ChunkMap {
    const first = region.layout.chunkWords / Int32Array.BYTES_PER_ELEMENT;
    return new ChunkMap(region.control, first, region.chunks, region.waits);
  }

  /** The word of a chunk. Acquire: pairs with `publish`, so that what the owner wrote is visible after READY was seen. */
  load(chunk: number): number {
    return Atomics.load(this.#words, this.#first + chunk);
  }

  /** Highest of the chunks `[first, end)` that is not initialized, or −1. */
  lastUninitialized(end: number = this.chunks, first = 0): number {
    const words = this.#words;
    let at = this.#first + end - 1;
    // acquire: as in `load`, for whoever is told −1 takes everything for initialized
    while (at >= this.#first + first && isInitialized(Atomics.load(words, at))) at--;
    return at < this.#first + first ? -1 : at - this.#first;
  }

  /**
   * FREE → CLAIMED(tag) for chunk `first`, and for those behind it as long as they are free and lie before `end`.
   * One loop, and so is `publish`: who drains comes here with cold caches, and runs code that was not compiled yet at first.
   * @returns how many chunks this call won: those from `first` on.
   */
  claim(first: number, tag: number, end: number = first + 1): number {
    const words = this.#words;
    const claimed = claimedBy(tag);
    let at = this.#first + first;
    const endAt = this.#first + end;
    // acquire: pairs with `release` and `abandon` of the one who had it before
    while (at < endAt && Atomics.compareExchange(words, at, chunkState.free, claimed) === chunkState.free) at++;
    return at - this.#first - first;
  }

  /** CLAIMED(tag) → READY for the chunks `[first, end)`. The caller has written every descriptor of them. */
  publish(first: number, tag: number, end: number = first + 1): void {
    const words = this.#words;
    const claimed = claimedBy(tag);
    for (let at = this.#first + first; at < this.#first + end; at++) {
      // release: pairs with `load`. The native kernel ends with a release fence of its own, since no language's model
      // orders its plain stores before this Atomics operation.
      const before = Atomics.compareExchange(words, at, claimed, chunkState.ready);
      invariant(before === claimed, 'a chunk is published by its owner');
      this.#notify(at);
    }
  }

  /**
   * CLAIMED(tag) → CLAIMED(tag)+SEALED for the chunks `[first, end)`. The caller has brought their descriptors to the media,
   * brings these words there next, and calls `endure`.
   */
  seal(first: number, tag: number, end: number): void {
    const claimed = claimedBy(tag);
    for (let chunk = first; chunk < end; chunk++) {
      // release, and behind the store fence of the native kernel or of `persist`: pairs with `recover` after a crash
      invariant(this.#swap(chunk, claimed, claimed | sealedBit), 'a chunk is sealed by its owner');
    }
  }

  /** CLAIMED(tag)+SEALED → DURABLE for the chunks `[first, end)`, whose words are on the media. */
  endure(first: number, tag: number, end: number): void {
    const sealed = claimedBy(tag) | sealedBit;
    for (let chunk = first; chunk < end; chunk++) {
      // release: pairs with `load`, as in `publish`
      invariant(this.#swap(chunk, sealed, chunkState.durable), 'a chunk is made durable by its owner');
      this.#notify(this.#first + chunk);
    }
  }

  /** READY → READY+SEALED. Afterwards it is that, or DURABLE, whoever did it; the caller has brought the descriptors to the media. */
  sealReady(chunk: number): void {
    // as in `seal`; where it fails somebody else was quicker
    this.#swap(chunk, chunkState.ready, chunkState.ready | sealedBit);
  }

  /** READY+SEALED → DURABLE. The caller saw the chunk sealed, and has brought this word to the media since. */
  endureReady(chunk: number): void {
    // as in `endure`; nobody waits for it: READY was enough for those who do
    this.#swap(chunk, chunkState.ready | sealedBit, chunkState.durable);
  }

  /**
   * Makes all words what they are when a file is opened that nobody has open; see {@link recovered}.
   * @returns how many chunks are initialized.
   */
  recover(keepsReady: boolean, persists: boolean): number {
    let kept = 0;
    for (let chunk = 0; chunk < this.chunks; chunk++) {
      // plain order would do: nobody else is there. Words that need no change are left alone, and their pages clean.
      const word = Atomics.load(this.#words, this.#first + chunk);
      const next = recovered(word, keepsReady, persists);
      if (next !== word) Atomics.store(this.#words, this.#first + chunk, next);
      if (isInitialized(next)) kept++;
    }
    return kept;
  }

  /** CLAIMED(tag) → FAILED(errno). */
  fail(chunk: number, tag: number, errno: number): void {
    // release: pairs with `load` of those who wait
    const done = this.#swap(chunk, claimedBy(tag), (errno << stateBits) | chunkState.failed);
    invariant(done, 'a chunk is failed by its owner');
    this.#wake(chunk);
  }

  /** CLAIMED(tag) → FREE, by the owner itself. */
  abandon(chunk: number, tag: number): void {
    // release: pairs with `claim` of the next owner
    const done = this.#swap(chunk, claimedBy(tag), chunkState.free);
    invariant(done, 'a chunk is abandoned by its owner');
    this.#wake(chunk);
  }

  /** CLAIMED(x) → FREE, by someone who knows that x is dead, or by x. False when somebody was quicker. */
  release(chunk: number, word: number): boolean {
    invariant(stateOf(word) === 'claimed', 'only a claim can be released');
    // acquire-release: pairs with `claim` of the next owner; of several releasers the swap lets one win
    const done = this.#swap(chunk, word, chunkState.free);
    if (done) this.#wake(chunk);
    return done;
  }

  /** FAILED → FREE. False when the chunk is not failed. */
  retry(chunk: number): boolean {
    const word = this.load(chunk);
    // any order: a failed chunk holds nothing that somebody relies on
    const done = stateOf(word) === 'failed' && this.#swap(chunk, word, chunkState.free);
    if (done) this.#wake(chunk);
    return done;
  }

  /** READY → FREE, when the memory of the descriptors has been given back. Leaves other states alone. */
  forget(chunk: number): void {
    // relaxed would do: the memmap is closed, and whoever finds the chunk free is refused
    this.#swap(chunk, chunkState.ready, chunkState.free);
  }

  /** READY, FAILED → FREE, when the range has gone. Leaves a claim alone that somebody is about to give back. */
  evict(chunk: number): void {
    const word = this.load(chunk);
    // relaxed would do: whoever finds the chunk free, and the range gone, gives it back
    if (isSettled(word)) this.#swap(chunk, word, chunkState.free);
  }

  /**
   * Blocks until the word is no longer `word`, at most `ms` milliseconds.
   * @returns whether it changed; may be true without a change (a wake-up for another reason), so look again.
   */
  wait(chunk: number, word: number, ms: number): boolean {
    const at = this.#first + chunk;
    if (this.#waits) return this.#waits.wait(at, word, ms);
    // pairs with the notify in #notify
    return Atomics.wait(this.#words, at, word, ms) !== 'timed-out';
  }

  /**
   * The same without blocking the thread. It does not keep the event loop alive by itself. A change that another process
   * makes does not wake it: where there can be others it ends after a few milliseconds.
   */
  waitAsync(chunk: number, word: number, ms: number): Promise<unknown> | undefined {
    const bound = this.#waits ? Math.min(ms, foreignChangeMs) : ms;
    // pairs with the notify in #notify; not async when the word has changed already
    const result = Atomics.waitAsync(this.#words, this.#first + chunk, word, bound);
    return result.async ? result.value : undefined;
  }

  /** Wakes whoever waits for a chunk although its word has not changed: the region closes. */
  wakeAll(chunk: number): void {
    this.#wake(chunk);
  }

  #swap(chunk: number, expected: number, next: number): boolean {
    return Atomics.compareExchange(this.#words, this.#first + chunk, expected, next) === expected;
  }

  #wake(chunk: number): void {
    this.#notify(this.#first + chunk);
  }

  #notify(at: number): void {
    // pairs with wait and waitAsync: the word has changed before, so that nobody goes to sleep on the old one afterwards
    Atomics.notify(this.#words, at);
    this.#waits?.wake(at);
  }
}
