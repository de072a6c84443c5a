/**
 * The chunk words: who may write which chunk. The only file with Atomics on chunk words.
 *
 * One 32-bit word per chunk. The low three bits are the state, the rest belongs to the state:
 *
 *     state    payload                what it means
 *     FREE     0                      nobody writes the chunk, its descriptors mean nothing
 *     CLAIMED  owner tag (29 bits)    the thread with this tag writes the chunk, nobody else may
 *     READY    0                      all its descriptors are initialized and visible
 *     DURABLE  0                      the same, and they have reached the media (persistent backings only)
 *     FAILED   errno                  its descriptors could not be written
 *
 *     edge                 taken by                           by method   order that is needed, and its partner
 *     FREE → CLAIMED(me)   any thread with an owner slot      claim       acquire: with the release of `release`/`abandon`, so
 *                                                                         that stores of a dead owner lie before ours
 *     CLAIMED(me) → READY  the owner, after it wrote all      publish     release: with the acquire in `load` of whoever
 *                                                                         then reads the descriptors
 *     CLAIMED(me) → FAILED the owner, when it cannot write    fail        release: with the acquire in `load` of waiters
 *     CLAIMED(me) → FREE   the owner, when its code threw     abandon     release: with the acquire of the next `claim`
 *     CLAIMED(x) → FREE    anyone who knows that x is dead    release     acquire-release: the death was seen before it
 *     FAILED → FREE        anyone who asks for another try    retry       relaxed would do: nothing was written
 *     READY → FREE         the opener's close, behind all     forget      relaxed would do: nothing can be claimed any more
 *
 * READY and DURABLE are final until the memmap is closed, so a thread that has seen one may remember it without looking again.
 * FAILED is not: a retry sets it free. Every edge but the first and the last wakes all who wait for the word to change.
 * JavaScript's Atomics are sequentially consistent, which is stronger than any order above.
 *
 * A thread may hold several claims at once: a drain takes the chunks of a batch in a row, upwards, and waits for nobody while it
 * holds them. None is held across turns of the event loop: who sees CLAIMED by its own thread has found a defect (or a test).
 */
import { invariant } from '../errors.ts';
import type { Region } from '../region/region.ts';

/** States, in the low bits of a chunk word. FREE is 0, so that fresh memory is free; READY and DURABLE share bit 1. */
export const chunkState = { free: 0, claimed: 1, ready: 2, durable: 3, failed: 4 } as const;

/** Name of a state. */
export type ChunkStateName = keyof typeof chunkState;

const stateBits = 3;
const stateMask: number = 2 ** stateBits - 1;
/** Bit that READY and DURABLE have and no other state. */
const initializedBit = 2;

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
  return word >>> stateBits;
}

function claimedBy(tag: number): number {
  return (tag << stateBits) | chunkState.claimed;
}

/** The chunk words of a region. Chunks are numbered through all its ranges. */
export class ChunkMap {
  readonly chunks: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #first: number;

  /**
   * @param words the region's control buffer as words.
   * @param first index of the first chunk word in it.
   */
  constructor(words: Int32Array<SharedArrayBuffer>, first: number, chunks: number) {
    this.#words = words;
    this.#first = first;
    this.chunks = chunks;
  }

  /** The chunk words of a region. */
  static of(region: Region): ChunkMap {
    return new ChunkMap(region.control, region.layout.chunkWords / Int32Array.BYTES_PER_ELEMENT, region.chunks);
  }

  /** The word of a chunk. Acquire: pairs with `publish`, so that what the owner wrote is visible after READY was seen. */
  load(chunk: number): number {
    return Atomics.load(this.#words, this.#first + chunk);
  }

  /** Highest chunk below `end` that is not initialized, or −1. */
  lastUninitialized(end: number = this.chunks): number {
    const words = this.#words;
    let at = this.#first + end - 1;
    // acquire: as in `load`, for whoever is told −1 takes everything for initialized
    while (at >= this.#first && isInitialized(Atomics.load(words, at))) at--;
    return at - this.#first;
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
      // pairs with wait and waitAsync, as in #wake
      Atomics.notify(words, at);
    }
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

  /** CLAIMED(x) → FREE, by someone who knows that x is dead. False when somebody was quicker. */
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

  /**
   * Blocks until the word is no longer `word`, at most `ms` milliseconds.
   * @returns whether it changed; may be true without a change (a wake-up for another reason), so look again.
   */
  wait(chunk: number, word: number, ms: number): boolean {
    // pairs with the notify in #wake and publish
    return Atomics.wait(this.#words, this.#first + chunk, word, ms) !== 'timed-out';
  }

  /** The same without blocking the thread. It does not keep the event loop alive by itself. */
  waitAsync(chunk: number, word: number, ms: number): Promise<unknown> | undefined {
    // pairs with the notify in #wake and publish; not async when the word has changed already
    const result = Atomics.waitAsync(this.#words, this.#first + chunk, word, ms);
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
    // pairs with wait and waitAsync: the word has changed before, so that nobody goes to sleep on the old one afterwards
    Atomics.notify(this.#words, this.#first + chunk);
  }
}
