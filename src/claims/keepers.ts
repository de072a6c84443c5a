/**
 * Keepers: which thread changes what ranges there are. A keeper's word holds the owner tag of that thread, plus 1, or 0 when
 * nobody does. The only file with Atomics on these words.
 *
 *     word                what its holder alone may do (see region/range-states.ts for the edges)
 *     addersKeeper        begin, publish and giveUp, on any hot slot; held for a moment, never across turns of the event loop
 *     keeper, of a slot   retire and vacate, and what lies between; held until the range is gone, or cannot be removed now
 *
 * A holder that has died is found out as dead owners of chunks are, never by a time-out. Whoever needs its word takes it over and
 * finishes, or undoes, what stands there half done. Before the slot of a dead owner is given to another thread its words become
 * ORPHANED, which is no tag: tags come back, and then the word would say that somebody lives who holds it.
 *
 * Close is met as claims meet it: a remover takes its keeper and then looks for CLOSE, in every step; the one who closes stores
 * CLOSE and then waits until no living thread is a keeper. So nobody clears memory behind close.
 */
import type { OwnerTable } from './owners.ts';

/** A keeper has died, and its owner slot was given back. No tag, plus 1, is that. */
const orphaned = -1;

/** Says in a keeper's word that its holder with this tag has died, if it is that one's; before its owner slot is given back. */
export function orphanKeeper(control: Int32Array<SharedArrayBuffer>, at: number, tag: number): void {
  // acquire-release: pairs with the exchanges in take
  Atomics.compareExchange(control, at, tag + 1, orphaned);
}

/** See the top of the file. One per claimant. */
export class Keepers {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #owners: OwnerTable;
  readonly #me: number;

  /** @param tag of the calling thread in the owner table. */
  constructor(control: Int32Array<SharedArrayBuffer>, owners: OwnerTable, tag: number) {
    this.#control = control;
    this.#owners = owners;
    this.#me = tag + 1;
  }

  /**
   * Makes the calling thread the keeper whose word is at index `at`: `free`, nobody was; `inherited`, one that has died, maybe in the
   * middle of something. Undefined when a living thread is, be it the calling one.
   */
  take(at: number): 'free' | 'inherited' | undefined {
    // Acquire: pairs with `release`. Sequentially consistent, and that is needed: partner of the load in isHeld; who takes looks
    // for CLOSE behind it.
    const holder = Atomics.compareExchange(this.#control, at, 0, this.#me);
    if (holder === 0) return 'free';
    if (!this.#isDead(holder)) return undefined;
    // the same; of several who saw the death one wins
    return Atomics.compareExchange(this.#control, at, holder, this.#me) === holder ? 'inherited' : undefined;
  }

  /** The calling thread, which is the keeper, is it no more. */
  release(at: number): void {
    // release: pairs with the exchanges in take
    Atomics.store(this.#control, at, 0);
    // pairs with the waits in wait and untilReleased
    Atomics.notify(this.#control, at);
  }

  /** Whether a living thread is the keeper. */
  isHeld(at: number): boolean {
    // sequentially consistent, and that is needed: who closes has stored CLOSE before; see take
    const holder = Atomics.load(this.#control, at);
    return holder !== 0 && !this.#isDead(holder);
  }

  /** Whether a thread was the keeper when it died, and none has taken over. */
  isLost(at: number): boolean {
    // relaxed would do: the exchanges in take decide
    const holder = Atomics.load(this.#control, at);
    return holder !== 0 && this.#isDead(holder);
  }

  /** Blocks while somebody is the keeper, at most `ms`. */
  wait(at: number, ms: number): void {
    const holder = Atomics.load(this.#control, at);
    // pairs with the notify in release
    if (holder !== 0) Atomics.wait(this.#control, at, holder, ms);
  }

  /** Resolves when the keeper has changed, or after `ms`. Does not keep the event loop alive. */
  async untilReleased(at: number, ms: number): Promise<void> {
    const holder = Atomics.load(this.#control, at);
    // pairs with the notify in release
    const result = holder === 0 ? undefined : Atomics.waitAsync(this.#control, at, holder, ms);
    if (result?.async) await result.value;
  }

  #isDead(holder: number): boolean {
    return holder === orphaned || this.#owners.isDead(holder - 1);
  }
}
