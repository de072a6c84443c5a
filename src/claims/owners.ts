/**
 * The owner table: which threads may claim chunks, and whether the owner of a claim still lives.
 *
 * Every thread that claims has one slot. Its tag, `slot | generation << 10`, stands in the chunk words that it claims; the
 * generation changes whenever a slot changes hands, so that a claim of a former owner is never taken for one of the present.
 * (A slot is reused only after the claims of its former owner were set free: the generation is a second line of defence, and
 * eight bits of it are enough.) One life word per slot: state (2 bits), thread id (22 bits, the kernel's limit), generation.
 *
 *     state    meaning                                          next
 *     EMPTY    nobody                                           JOINING by whoever wins the exchange
 *     JOINING  the thread writes down its start time            ALIVE by itself; REAPING when its id is unused
 *     ALIVE    the thread may claim                             EMPTY by itself (leave); REAPING when it is dead
 *     REAPING  the thread sets a dead owner's claims free       EMPTY by itself; REAPING by another when its id is unused
 *
 * A thread that dies leaves its slot as it is. Whoever meets one of its claims, or needs a slot, finds out by threads.ts.
 */
import { invariant, VmemmapError } from '../errors.ts';
import { ownerSlotSizeBytes, ownerSlots } from '../region/layout.ts';
import { isThreadDead, isTidUnused, type ThreadIdentity, thisThread } from './threads.ts';

const life = { empty: 0, joining: 1, alive: 2, reaping: 3 } as const;
type Life = (typeof life)[keyof typeof life];

const lifeBits = 2;
const tidBits = 22;
const generationBits = 8;
const slotBits: number = Math.log2(ownerSlots);

/** Words of a slot: identity in its first line, counters in its second. */
const startTicksAt = 1;
const countersAt = 16;

/** What each owner counts, in its own line; sums stay when a slot changes hands. */
export const ownerCounters = [
  'chunksByDrain',
  'chunksByFault',
  'faultsWaited',
  'claimsReleased',
  'chunksFailed',
] as const;

/** Name of a counter. */
export type OwnerCounter = (typeof ownerCounters)[number];

/** Sums over all slots. */
export type OwnerTotals = Record<OwnerCounter, number>;

/** A thread's place in the owner table. */
export interface Owner {
  readonly slot: number;
  readonly tag: number;
}

function lifeWord(state: Life, tid: number, generation: number): number {
  return (generation << (lifeBits + tidBits)) | (tid << lifeBits) | state;
}

function lifeOf(word: number): Life {
  return (word & (2 ** lifeBits - 1)) as Life;
}

function tidOf(word: number): number {
  return (word >>> lifeBits) & (2 ** tidBits - 1);
}

function generationOf(word: number): number {
  return word >>> (lifeBits + tidBits);
}

function tagOf(slot: number, word: number): number {
  return slot | (generationOf(word) << slotBits);
}

function slotOf(tag: number): number {
  return tag & (ownerSlots - 1);
}

/** The owner table of a region as one thread sees it. */
export class OwnerTable {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #first: number;

  /** @param firstByte where the table begins in the control buffer. */
  constructor(words: Int32Array<SharedArrayBuffer>, firstByte: number) {
    this.#words = words;
    this.#first = firstByte / Int32Array.BYTES_PER_ELEMENT;
  }

  /**
   * Takes a slot for the calling thread.
   * @param releaseClaims sets free what a dead owner had claimed; called for slots that have to be reaped.
   * @throws VmemmapError NO_OWNER_SLOT
   */
  join(releaseClaims: (tag: number) => void, me: ThreadIdentity = thisThread()): Owner {
    const owner = this.#take(me);
    if (owner) return owner;
    this.reap(releaseClaims, me);
    const second = this.#take(me);
    if (second) return second;
    throw new VmemmapError(
      'NO_OWNER_SLOT',
      `${ownerSlots} threads work on this memmap already; close it in some of them`,
    );
  }

  #take(me: ThreadIdentity): Owner | undefined {
    for (let slot = 0; slot < ownerSlots; slot++) {
      const at = this.#at(slot);
      // relaxed would do: the exchange below decides
      const word = Atomics.load(this.#words, at);
      if (lifeOf(word) !== life.empty) continue;
      const generation = (generationOf(word) + 1) % 2 ** generationBits;
      const joining = lifeWord(life.joining, me.tid, generation);
      // acquire: pairs with the stores of EMPTY in leave and reap; of several threads one wins
      if (Atomics.compareExchange(this.#words, at, word, joining) !== word) continue;
      // relaxed would do: the store of ALIVE behind it releases it to isDead
      Atomics.store(this.#words, at + startTicksAt, me.startTicks | 0);
      const alive = lifeWord(life.alive, me.tid, generation);
      // release: pairs with the load in isDead
      Atomics.store(this.#words, at, alive);
      return { slot, tag: tagOf(slot, alive) };
    }
    return undefined;
  }

  /** Gives a slot back. The owner holds no claim any more. */
  leave(owner: Owner): void {
    const at = this.#at(owner.slot);
    // relaxed would do: only the owner itself changes an ALIVE word of a living thread
    const word = Atomics.load(this.#words, at);
    invariant(lifeOf(word) === life.alive && tagOf(owner.slot, word) === owner.tag, 'a slot is left by its owner');
    // release: pairs with the exchange in #take
    Atomics.store(this.#words, at, lifeWord(life.empty, 0, generationOf(word)));
  }

  /** Whether the owner of a claim with this tag is known to be dead. */
  isDead(tag: number): boolean {
    const at = this.#at(slotOf(tag));
    // acquire: pairs with the stores in #take; the claim that we saw was made after them
    const word = Atomics.load(this.#words, at);
    if (tagOf(slotOf(tag), word) !== tag) return true; // the slot went to someone else
    // REAPING: somebody saw it before us. EMPTY: it left or was reaped and writes no more; its claim is gone already, or
    // should be, and the exchange in ChunkMap.release finds out which.
    if (lifeOf(word) !== life.alive) return lifeOf(word) !== life.joining;
    return this.#isAliveSlotDead(at, word);
  }

  /**
   * Frees the slots of dead threads and their claims.
   * @returns how many slots were freed.
   */
  reap(releaseClaims: (tag: number) => void, me: ThreadIdentity = thisThread()): number {
    let freed = 0;
    for (let slot = 0; slot < ownerSlots; slot++) {
      const at = this.#at(slot);
      // acquire: pairs with the store of ALIVE in #take, so that the start time read next belongs to it
      const word = Atomics.load(this.#words, at);
      if (lifeOf(word) === life.empty || !this.#isSlotDead(at, word)) continue;
      const reaping = lifeWord(life.reaping, me.tid, generationOf(word));
      // acquire-release: of several reapers one wins
      if (Atomics.compareExchange(this.#words, at, word, reaping) !== word) continue;
      releaseClaims(tagOf(slot, word));
      // release: pairs with the exchange in #take
      Atomics.store(this.#words, at, lifeWord(life.empty, 0, generationOf(word)));
      freed++;
    }
    return freed;
  }

  #isSlotDead(at: number, word: number): boolean {
    // The start time belongs to the thread only once it is ALIVE. In the other two states a thread id that was used again
    // delays the reaping until that thread ends; nobody waits for a slot in them.
    return lifeOf(word) === life.alive ? this.#isAliveSlotDead(at, word) : isTidUnused(tidOf(word));
  }

  #isAliveSlotDead(at: number, word: number): boolean {
    return isThreadDead({ tid: tidOf(word), startTicks: Atomics.load(this.#words, at + startTicksAt) >>> 0 });
  }

  /** Adds to one of an owner's counters. */
  count(owner: Owner, counter: OwnerCounter, by = 1): void {
    // relaxed would do: read only for statistics, written by the owner alone
    Atomics.add(this.#words, this.#at(owner.slot) + countersAt + ownerCounters.indexOf(counter), by);
  }

  /** Sums over all owners there are and were. */
  totals(): OwnerTotals {
    const totals = Object.fromEntries(ownerCounters.map((name) => [name, 0])) as OwnerTotals;
    for (let slot = 0; slot < ownerSlots; slot++) {
      ownerCounters.forEach((name, index) => {
        totals[name] += Atomics.load(this.#words, this.#at(slot) + countersAt + index);
      });
    }
    return totals;
  }

  #at(slot: number): number {
    return this.#first + (slot * ownerSlotSizeBytes) / Int32Array.BYTES_PER_ELEMENT;
  }
}
