/**
 * The range states: whether a slot has a range at present, and which of those that come and go. The only file with Atomics on
 * the state words and on the version of the set of ranges.
 *
 * One 32-bit word per slot: the state in the low two bits, and a generation above them that changes whenever a range comes, so
 * that whoever has found a range here knows it from the ones before and behind. A range of the plan has generation 0, and LIVE
 * is 0, so that fresh memory says what is so: all ranges of the plan are there.
 *
 *     state     what it means
 *     LIVE      the range may be faulted, drained, read; its entry does not change
 *     REMOVING  nobody claims a chunk of it any more; those who hold a claim finish
 *     ABSENT    no range. The chunk words are free, and nobody holds a claim but who is about to give it back
 *     ADDING    somebody writes the entry of the range that is to come
 *
 *     edge                     taken by                          by method  order that is needed, and its partner
 *     LIVE(0) → ABSENT(0)      whoever makes the region, for     reserve    plain would do: nobody else is there
 *                              its hot slots
 *     ABSENT(g) → ADDING(g+1)  who has the adders' keeper        begin      acquire: with `vacate`, so that what the remover
 *                                                                           did to memory and chunk words lies before
 *     ADDING(g) → LIVE(g)      the same, behind the entry and    publish    release: with the acquire in `load` and `isLive`
 *                              the cursors                                  of whoever then reads the entry
 *     ADDING(g) → ABSENT(g)    who has the adders' keeper, when  giveUp     relaxed would do: nobody has used it
 *                              it failed, or whoever began died
 *     LIVE(g) → REMOVING(g)    who has the keeper of the slot    retire     SEQUENTIALLY CONSISTENT, and that is needed: the
 *                                                                           remover stores REMOVING and then looks for claims;
 *                                                                           a claimant claims and then looks here (`isLive`
 *                                                                           in Claimant.initialize). One sees the other.
 *     REMOVING(g) → ABSENT(g)  the same, behind the last claim,  vacate     release: with `begin`
 *                              the chunk words and the memory
 *
 *     any → LIVE(0)            whoever opens a file that nobody  recover    plain would do: nobody else is there
 *                              has open, where none comes or goes
 *
 * A generation never comes back (it would after 2^29 additions to one slot), so a look that finds the word that a range was found
 * with proves that the range was there all the time between. Hence the rule for whoever relies on a range: do what you do, and
 * *then* look at its word; what you did counts only if that is unchanged.
 *
 * The version of the set goes up behind every edge that a list of ranges shows: LIVE → REMOVING and ADDING → LIVE. Lists are made
 * again when it differs from what it was when they were begun.
 */
import { invariant } from '../errors.ts';
import { controlWords, type RegionLayout, rangeWord } from './layout.ts';

/** States, in the low bits of a state word. */
export const rangeState = { live: 0, removing: 1, absent: 2, adding: 3 } as const;

/** Name of a state. */
export type RangeStateName = keyof typeof rangeState;

const stateBits = 2;
const stateMask: number = 2 ** stateBits - 1;
const generations: number = 2 ** 29;
const names: readonly RangeStateName[] = ['live', 'removing', 'absent', 'adding'];

/** What a range was found with: where its state word is, and the word that says LIVE for it. */
export interface FoundRange {
  /** Index of the state word in the control buffer. */
  readonly state: number;
  /** LIVE, of its generation. */
  readonly liveWord: number;
}

/** Name of the state that a state word holds. */
export function rangeStateOf(word: number): RangeStateName {
  return names[word & stateMask] as RangeStateName;
}

/** The generation in a state word. */
export function generationOf(word: number): number {
  return word >>> stateBits;
}

/** The word that says LIVE for the range that a state word is about. */
export function liveWordOf(word: number): number {
  return word & ~stateMask;
}

function wordOf(state: number, generation: number): number {
  return ((generation % generations) << stateBits) | state;
}

/**
 * Whether a range still is live, as a fault asks that has nothing to do any more. A plain load: it is whole, and what the
 * hardware gives is the word of this moment; only a compiler might keep one over a loop of the caller's, who then hears of a removal a
 * little later. Nothing is written to memory for it, and whoever writes asks `isLive`. Atomics.load is a call in V8 and costs
 * 6.5 ns, three times what the rest of such a fault does.
 */
export function seemsLive(control: Int32Array, { state, liveWord }: FoundRange): boolean {
  return control[state] === liveWord;
}

/** See the top of the file. */
export class RangeStates {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #layout: RegionLayout;
  readonly #versionAt: number;

  constructor(control: Int32Array<SharedArrayBuffer>, layout: RegionLayout) {
    this.#control = control;
    this.#layout = layout;
    this.#versionAt = controlWords(layout).rangesVersion;
  }

  /** The word of a slot. Acquire: pairs with `publish`, so that the entry is there when LIVE was seen. */
  load(slot: number): number {
    return Atomics.load(this.#control, this.indexOf(slot));
  }

  /** Index of a slot's word in the control buffer. */
  indexOf(slot: number): number {
    return rangeWord(this.#layout, slot, 'state');
  }

  /** Whether a range is live, and has been ever since it was found. Sequentially consistent: partner of `retire`. */
  isLive({ state, liveWord }: FoundRange): boolean {
    return Atomics.load(this.#control, state) === liveWord;
  }

  /** LIVE(0) → ABSENT(0), before anybody sees the region. */
  reserve(slot: number): void {
    this.#take(slot, wordOf(rangeState.live, 0), wordOf(rangeState.absent, 0));
  }

  /** Any word but LIVE(0) was damaged; one that is whole is left alone, and its page clean. */
  recover(slot: number): void {
    // plain would do: nobody else is there
    if (this.load(slot) !== wordOf(rangeState.live, 0)) Atomics.store(this.#control, this.indexOf(slot), 0);
  }

  /** Makes the word of a slot what it was in another region, before anybody sees this one: what was on its way is absent. */
  inherit(slot: number, word: number): void {
    // plain would do: nobody else is there
    const next = rangeStateOf(word) === 'live' ? word : wordOf(rangeState.absent, generationOf(word));
    Atomics.store(this.#control, this.indexOf(slot), next);
  }

  /** ABSENT(g) → ADDING(g+1). @returns LIVE(g+1), which `publish` will make it */
  begin(slot: number): number {
    const word = this.load(slot);
    const generation = (generationOf(word) + 1) % generations;
    this.#take(slot, wordOf(rangeState.absent, generationOf(word)), wordOf(rangeState.adding, generation));
    return wordOf(rangeState.live, generation);
  }

  /** ADDING(g) → LIVE(g). Call `changed` behind it. */
  publish(slot: number): void {
    const generation = generationOf(this.load(slot));
    this.#take(slot, wordOf(rangeState.adding, generation), wordOf(rangeState.live, generation));
  }

  /** ADDING(g) → ABSENT(g). */
  giveUp(slot: number): void {
    const generation = generationOf(this.load(slot));
    this.#take(slot, wordOf(rangeState.adding, generation), wordOf(rangeState.absent, generation));
  }

  /** LIVE(g) → REMOVING(g). Call `changed` behind it. */
  retire(slot: number): void {
    const generation = generationOf(this.load(slot));
    this.#take(slot, wordOf(rangeState.live, generation), wordOf(rangeState.removing, generation));
  }

  /** REMOVING(g) → ABSENT(g). */
  vacate(slot: number): void {
    const generation = generationOf(this.load(slot));
    this.#take(slot, wordOf(rangeState.removing, generation), wordOf(rangeState.absent, generation));
  }

  /** Every edge is taken by one who alone may take it: that it fails is a defect. */
  #take(slot: number, expected: number, next: number): void {
    const before = Atomics.compareExchange(this.#control, this.indexOf(slot), expected, next);
    invariant(before === expected, 'the state of a range changes by its keeper alone');
  }

  /** How often the set of ranges has changed, modulo 2^32. Acquire: pairs with `changed`. */
  version(): number {
    return Atomics.load(this.#control, this.#versionAt);
  }

  /** Tells everybody that the set of ranges has changed. */
  changed(): void {
    // release: pairs with the load in version
    Atomics.add(this.#control, this.#versionAt, 1);
    this.wake();
  }

  /** Wakes whoever waits for a change, although there may be none. */
  wake(): void {
    // pairs with the wait in untilChanged
    Atomics.notify(this.#control, this.#versionAt);
  }

  /** Resolves when the version is no longer `version`, when somebody wakes, or after `ms`. Does not keep the event loop alive. */
  untilChanged(version: number, ms: number): Promise<unknown> {
    // pairs with the notify in wake
    const result = Atomics.waitAsync(this.#control, this.#versionAt, version, ms);
    return result.async ? result.value : Promise.resolve();
  }
}
