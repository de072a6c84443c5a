/**
 * The owner table: which threads may claim chunks, and whether the owner of a claim still lives.
 *
 * Every thread that claims has one slot. Its tag, `slot | generation << 10`, stands in the chunk words that it claims; the
 * generation changes whenever a slot changes hands, so that a claim of a former owner is never taken for one of the present.
 * (A slot is reused only after the claims of its former owner were set free: the generation is a second line of defence, and
 * eight bits of it are enough.) One life word per slot: state (2 bits), thread id (22 bits, the kernel's limit), the slot of
 * its process (7 bits; 0 where the region is in the memory of one process), and of an ALIVE one the lowest bit of the
 * generation: a thread whose process closes the file and opens it again may get the slots it had, and whoever found that it
 * has left must not take its new word for the old one.
 *
 *     state    meaning                                          next
 *     EMPTY    nobody                                           JOINING by whoever wins the exchange
 *     JOINING  the thread writes down its start time            ALIVE by itself; REAPING when its id is unused
 *     ALIVE    the thread may claim                             EMPTY by itself (leave); REAPING when it is dead
 *     REAPING  the thread sets a dead owner's claims free       EMPTY by itself; REAPING by another when its id is unused
 *
 * A thread that dies leaves its slot as it is. Whoever meets one of its claims, or needs a slot, finds out: by threads.ts, and
 * where processes share a file first by the lock that the thread's process holds (src/region/processes.ts), since a thread id
 * of another pid namespace means nothing here.
 */
import { invariant, VmemmapError } from '../errors.ts';
import { ownerSlotSizeBytes, ownerSlots, processSlots } from '../region/layout.ts';
import type { Processes } from '../region/processes.ts';
import { isThreadDead, isTidUnused, type ThreadIdentity, thisThread } from '../region/threads.ts';

const life = { empty: 0, joining: 1, alive: 2, reaping: 3 } as const;
type Life = (typeof life)[keyof typeof life];

const lifeBits = 2;
const tidBits = 22;
const processBits: number = Math.log2(processSlots);
const generations: number = 2 ** 8;
const slotBits: number = Math.log2(ownerSlots);

/** Words of a slot: identity in its first line, counters in its second. */
const startTicksAt = 1;
const generationAt = 2;
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

function lifeWord(state: Life, tid: number, process: number, generation = 0): number {
  return ((generation & 1) << 31) | (process << (lifeBits + tidBits)) | (tid << lifeBits) | state;
}

function lifeOf(word: number): Life {
  return (word & (2 ** lifeBits - 1)) as Life;
}

function tidOf(word: number): number {
  return (word >>> lifeBits) & (2 ** tidBits - 1);
}

function processOf(word: number): number {
  return (word >>> (lifeBits + tidBits)) & (2 ** processBits - 1);
}

function tagOf(slot: number, generation: number): number {
  return slot | (generation << slotBits);
}

function slotOf(tag: number): number {
  return tag & (ownerSlots - 1);
}

/** The owner table of a region as one thread sees it. */
export class OwnerTable {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #first: number;
  readonly #processes: Processes | undefined;
  /** Slot of this process. */
  readonly #process: number;

  /**
   * @param firstByte where the table begins in the control buffer.
   * @param processes those that share the region, where there can be several.
   */
  constructor(words: Int32Array<SharedArrayBuffer>, firstByte: number, processes?: Processes) {
    this.#words = words;
    this.#first = firstByte / Int32Array.BYTES_PER_ELEMENT;
    this.#processes = processes;
    this.#process = processes?.slot ?? 0;
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
      const joining = lifeWord(life.joining, me.tid, this.#process);
      // acquire: pairs with the stores of EMPTY in leave and reap; of several threads one wins
      if (Atomics.compareExchange(this.#words, at, word, joining) !== word) continue;
      // relaxed would do for both: the store of ALIVE behind them releases them to isDead
      const generation = (this.#generation(at) + 1) % generations;
      Atomics.store(this.#words, at + generationAt, generation);
      Atomics.store(this.#words, at + startTicksAt, me.startTicks | 0);
      // release: pairs with the load in isDead
      Atomics.store(this.#words, at, lifeWord(life.alive, me.tid, this.#process, generation));
      return { slot, tag: tagOf(slot, generation) };
    }
    return undefined;
  }

  /** Gives a slot back. The owner holds no claim any more. */
  leave(owner: Owner): void {
    const at = this.#at(owner.slot);
    // relaxed would do: only the owner itself changes an ALIVE word of a living thread
    const word = Atomics.load(this.#words, at);
    const isOurs = lifeOf(word) === life.alive && tagOf(owner.slot, this.#generation(at)) === owner.tag;
    invariant(isOurs, 'a slot is left by its owner');
    // release: pairs with the exchange in #take
    Atomics.store(this.#words, at, lifeWord(life.empty, 0, 0));
  }

  /** Whether the owner of a claim with this tag is known to be dead. */
  isDead(tag: number): boolean {
    const at = this.#at(slotOf(tag));
    // acquire: pairs with the stores in #take; the claim that we saw was made after them
    const word = Atomics.load(this.#words, at);
    if (tagOf(slotOf(tag), this.#generation(at)) !== tag) return true; // the slot went to someone else
    // REAPING: somebody saw it before us. EMPTY: it left or was reaped and writes no more; its claim is gone already, or
    // should be, and the exchange in ChunkMap.release finds out which.
    if (lifeOf(word) !== life.alive) return lifeOf(word) !== life.joining;
    return this.#isAliveSlotDead(at, word);
  }

  /** Whether a claim with this tag is of a thread of this process. */
  isOfThisProcess(tag: number): boolean {
    const at = this.#at(slotOf(tag));
    // acquire: as in isDead
    return processOf(Atomics.load(this.#words, at)) === this.#process && this.#generation(at) === tag >>> slotBits;
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
      if (this.#reapDeadSlot(slot, word, releaseClaims, me)) freed++;
    }
    return freed;
  }

  /**
   * The same for one slot. That of a process that is gone is reaped while nobody can take its place: whoever does may get the same
   * thread ids and slots, and look the same as the one that was found dead.
   */
  #reapDeadSlot(slot: number, word: number, releaseClaims: (tag: number) => void, me: ThreadIdentity): boolean {
    if (!this.#processes || !this.#isProcessGone(word)) return this.#reapSlot(slot, word, releaseClaims, me);
    let isReaped = false;
    this.#processes.whileGone(processOf(word), () => {
      isReaped = this.#reapSlot(slot, word, releaseClaims, me);
    });
    return isReaped;
  }

  /** Frees the slots, and by `releaseClaims` the claims, of whoever had this process's slot before any of its threads joined. */
  reapFormer(releaseClaims: (tag: number) => void, me: ThreadIdentity = thisThread()): void {
    for (let slot = 0; slot < ownerSlots; slot++) {
      const at = this.#at(slot);
      // acquire: as in reap
      const word = Atomics.load(this.#words, at);
      if (lifeOf(word) !== life.empty && processOf(word) === this.#process)
        this.#reapSlot(slot, word, releaseClaims, me);
    }
  }

  /** Frees a dead thread's slot and its claims, unless somebody else is at it. @returns whether it did */
  #reapSlot(slot: number, word: number, releaseClaims: (tag: number) => void, me: ThreadIdentity): boolean {
    const at = this.#at(slot);
    const reaping = lifeWord(life.reaping, me.tid, this.#process);
    // acquire-release: of several reapers one wins
    if (Atomics.compareExchange(this.#words, at, word, reaping) !== word) return false;
    // read behind the exchange: until then another reaper may free the slot, and a living thread take it
    releaseClaims(tagOf(slot, this.#generation(at)));
    // release: pairs with the exchange in #take; should this thread be taken for dead itself, whoever reaps it is left alone
    Atomics.compareExchange(this.#words, at, reaping, lifeWord(life.empty, 0, 0));
    return true;
  }

  #isSlotDead(at: number, word: number): boolean {
    // The start time belongs to the thread only once it is ALIVE. In the other two states a thread id that was used again
    // delays the reaping until that thread ends; nobody waits for a slot in them.
    if (lifeOf(word) === life.alive) return this.#isAliveSlotDead(at, word);
    return this.#isProcessGone(word) || (this.#knowsThreadsOf(word) && isTidUnused(tidOf(word)));
  }

  #isAliveSlotDead(at: number, word: number): boolean {
    if (this.#isProcessGone(word)) return true;
    if (!this.#knowsThreadsOf(word)) return false;
    return isThreadDead({ tid: tidOf(word), startTicks: Atomics.load(this.#words, at + startTicksAt) >>> 0 });
  }

  /** Whether the kernel has ended the process of a slot that is not EMPTY: no thread of it lives then. */
  #isProcessGone(word: number): boolean {
    const process = processOf(word);
    return process !== this.#process && (this.#processes?.isGone(process) ?? false);
  }

  /** Whether thread ids of a slot's process mean the same threads to us as to itself. */
  #knowsThreadsOf(word: number): boolean {
    const process = processOf(word);
    return process === this.#process || (this.#processes?.sharesThreadIds(process) ?? false);
  }

  /** Number of times that a slot has changed hands, modulo 256; it goes with every tag. */
  #generation(at: number): number {
    // acquire: pairs with the store of ALIVE in #take, by the load of the life word before it
    return Atomics.load(this.#words, at + generationAt);
  }

  /** Empties all slots and counters; for whoever opens a file that nobody has open. */
  clear(): void {
    // plain order would do: nobody else is there. Generations stay, so that no tag of before comes again soon.
    for (let slot = 0; slot < ownerSlots; slot++) {
      const at = this.#at(slot);
      // a slot that nobody ever had is left alone: its page need not come
      if (Atomics.load(this.#words, at + generationAt) === 0 && Atomics.load(this.#words, at) === 0) continue;
      Atomics.store(this.#words, at, lifeWord(life.empty, 0, 0));
      for (let counter = 0; counter < ownerCounters.length; counter++) {
        Atomics.store(this.#words, at + countersAt + counter, 0);
      }
    }
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
