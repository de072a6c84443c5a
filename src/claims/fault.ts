/** The foreground fault: initializes what covers `[pfn, pfn + 2^order)` and nothing else, whatever the background does. */
import { VmemmapError } from '../errors.ts';
import { chunkOf, endChunk, firstChunk, intersect } from '../physical/geometry.ts';
import type { RegionRange } from '../region/range.ts';
import { seemsLive } from '../region/range-states.ts';
import { isInitialized } from './chunk-map.ts';
import { type Claimant, type FaultOutcome, rangeRemoved, type SettleOutcome } from './claimant.ts';
import { closedError } from './orders.ts';

/** Orders of a fault: 4 KiB, 2 MiB and 1 GiB, as dax faults come (PTE, PMD and PUD). */
export type FaultOrder = 0 | 9 | 18;

/** Pages that a fault of an order covers. @throws RangeError for another order. */
export function pagesOfOrder(order: number): number {
  if (order === 0 || order === 9 || order === 18) return 2 ** order;
  throw new RangeError(`order must be 0, 9 or 18 (4 KiB, 2 MiB, 1 GiB), not ${order}`);
}

/** Faults of one thread. */
export class Faults {
  readonly #claimant: Claimant;
  readonly #control: Int32Array<SharedArrayBuffer>;
  /** Range of the last fault: neighbours follow each other. One that holds no pfn at first, where there is none, and after close. */
  #last: RegionRange;
  #closed = false;

  constructor(claimant: Claimant) {
    this.#claimant = claimant;
    this.#control = claimant.region.control;
    this.#last = claimant.region.ranges[0] ?? nowhere(Object.prototype as RegionRange);
  }

  /** The range that holds `pfn`. @throws VmemmapError PFN_ABSENT @throws RangeError when `pfn` is no pfn at all */
  rangeOf(pfn: number): RegionRange {
    const last = this.#last;
    if (pfn >= last.startPfn && pfn < last.endPfn && Number.isInteger(pfn) && seemsLive(this.#control, last))
      return last;
    return this.#findRange(pfn);
  }

  #findRange(pfn: number): RegionRange {
    if (this.#closed) throw closedError();
    if (!Number.isSafeInteger(pfn) || pfn < 0) throw new RangeError(`a pfn is a whole number of 0 or more, not ${pfn}`);
    const { region } = this.#claimant;
    for (let range = region.rangeOf(pfn); range !== undefined; range = region.rangeOf(pfn)) {
      if (this.#claimant.isLive(range)) {
        this.#last = range;
        return range;
      }
      // on its way out: each turn of this loop is one that has gone
      region.slots.refresh();
    }
    throw new VmemmapError('PFN_ABSENT', `pfn ${pfn} lies in no range of this memmap; see memmap.ranges`, {
      received: pfn,
    });
  }

  /** From now on every pfn is refused: the memory is given back. */
  close(): void {
    this.#closed = true;
    this.#last = nowhere(this.#last);
  }

  /** Synchronous fault. Holes and what lies behind the last range are passed over; `pfn` itself must exist. */
  fault(pfn: number, order: number): FaultOutcome {
    const range = this.rangeOf(pfn);
    if (order !== 0) return this.#faultMany(range, pfn, pagesOfOrder(order));
    // Once all is initialized this is the only question, and its answer never changes again as long as the range is there. What
    // is rare lies behind calls, so that V8 compiles the rest into the caller's loop: it is half as fast otherwise.
    if (range.complete) return 'ready';
    const chunk = chunkOf(range, pfn);
    return range.seen[chunk] === 1 ? 'ready' : this.#faultOne(range, chunk);
  }

  #faultOne(range: RegionRange, chunk: number): FaultOutcome {
    const outcome = this.#claimant.settle(range, chunk);
    if (outcome === 'removed') throw rangeRemoved(range);
    return outcome;
  }

  #faultMany(range: RegionRange, pfn: number, pages: number): FaultOutcome {
    const endPfn = pfn + pages;
    return range.complete && endPfn <= range.endPfn ? 'ready' : this.#settleFrom(range, pfn, endPfn);
  }

  /**
   * Makes all descriptors of `[startPfn, endPfn)` that exist initialized; `startPfn` itself must exist. The worst outcome of its
   * chunks is the result.
   */
  settleExtent(startPfn: number, endPfn: number): FaultOutcome {
    return this.#settleFrom(this.rangeOf(startPfn), startPfn, endPfn);
  }

  /** The same in one range alone, which holds some of these pfns; `removed` when it has gone. */
  settleIn(range: RegionRange, startPfn: number, endPfn: number): SettleOutcome {
    let outcome: FaultOutcome = 'ready';
    const end = endChunk(range, endPfn);
    for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
      const next = this.#claimant.settle(range, chunk);
      if (next === 'removed') return next;
      outcome = worse(outcome, next);
    }
    return outcome;
  }

  #settleFrom(first: RegionRange, startPfn: number, endPfn: number): FaultOutcome {
    const own = this.settleIn(first, startPfn, endPfn);
    if (own === 'removed') throw rangeRemoved(first);
    let outcome = own;
    if (endPfn > first.endPfn) {
      for (const range of this.#claimant.region.ranges) {
        if (!isMet(range, first.endPfn, endPfn)) continue;
        const next = this.settleIn(range, first.endPfn, endPfn);
        // a hole now
        if (next !== 'removed') outcome = worse(outcome, next);
      }
    }
    return outcome;
  }

  /** The same as {@link fault}, without blocking the thread while another one works. */
  async faultAsync(pfn: number, order: number): Promise<FaultOutcome> {
    const first = this.rangeOf(pfn);
    const endPfn = pfn + pagesOfOrder(order);
    if (first.complete && endPfn <= first.endPfn) return 'ready';
    const own = await this.#settleInAsync(first, pfn, endPfn);
    if (own === 'removed') throw rangeRemoved(first);
    let outcome = own;
    for (const range of endPfn > first.endPfn ? this.#claimant.region.ranges : []) {
      if (!isMet(range, first.endPfn, endPfn)) continue;
      const next = await this.#settleInAsync(range, first.endPfn, endPfn);
      if (next !== 'removed') outcome = worse(outcome, next);
    }
    return outcome;
  }

  async #settleInAsync(range: RegionRange, startPfn: number, endPfn: number): Promise<SettleOutcome> {
    let outcome: FaultOutcome = 'ready';
    const end = endChunk(range, endPfn);
    for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
      const next = await this.#claimant.settleAsync(range, chunk);
      if (next === 'removed') return next;
      outcome = worse(outcome, next);
    }
    return outcome;
  }

  /** Whether all descriptors of `[startPfn, endPfn)` that exist are initialized; `startPfn` itself must exist. */
  isInitialized(startPfn: number, endPfn: number): boolean {
    const first = this.rangeOf(startPfn);
    const own = this.#isInitializedIn(first, startPfn, endPfn);
    // looked at behind the words: they may be those of another range already
    if (!this.#claimant.isLive(first)) throw rangeRemoved(first);
    if (!own || endPfn <= first.endPfn) return own;
    return this.#claimant.region.ranges.every(
      (range) =>
        !isMet(range, first.endPfn, endPfn) ||
        this.#isInitializedIn(range, first.endPfn, endPfn) ||
        !this.#claimant.isLive(range),
    );
  }

  #isInitializedIn(range: RegionRange, startPfn: number, endPfn: number): boolean {
    const { chunks } = this.#claimant;
    const end = endChunk(range, endPfn);
    for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
      if (!isInitialized(chunks.load(range.firstChunk + chunk))) return false;
    }
    return true;
  }

  /**
   * How many pages of `[startPfn, endPfn)` have initialized descriptors; those in holes have none.
   * @throws RangeError when that is no extent @throws VmemmapError CLOSED
   */
  initializedPages(startPfn: number, endPfn: number): number {
    if (this.#closed) throw closedError();
    if (!Number.isSafeInteger(startPfn) || !Number.isSafeInteger(endPfn) || startPfn < 0 || endPfn < startPfn) {
      throw new RangeError(`an extent is two whole numbers, the second not below the first: [${startPfn}, ${endPfn})`);
    }
    let pages = 0;
    for (const range of this.#claimant.region.ranges) {
      if (!isMet(range, startPfn, endPfn)) continue;
      const own = this.#initializedPagesIn(range, startPfn, endPfn);
      // looked at behind the words: one that has gone has none
      if (this.#claimant.isLive(range)) pages += own;
    }
    return pages;
  }

  #initializedPagesIn(range: RegionRange, startPfn: number, endPfn: number): number {
    const { chunks } = this.#claimant;
    const end = endChunk(range, endPfn);
    let pages = 0;
    for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
      if (!isInitialized(chunks.load(range.firstChunk + chunk))) continue;
      const own = { startPfn: range.chunkStart(chunk), endPfn: range.chunkEnd(chunk) };
      const part = intersect(own, { startPfn, endPfn });
      pages += part.endPfn - part.startPfn;
    }
    return pages;
  }
}

/** A range like another one, but that it holds no pfn. */
function nowhere(range: RegionRange): RegionRange {
  return Object.create(range, { startPfn: { value: 0 }, endPfn: { value: 0 } });
}

function isMet(range: RegionRange, startPfn: number, endPfn: number): boolean {
  return range.startPfn < endPfn && range.endPfn > startPfn;
}

const badness: Readonly<Record<FaultOutcome, number>> = { ready: 0, claimed: 1, waited: 2 };

function worse(a: FaultOutcome, b: FaultOutcome): FaultOutcome {
  return badness[b] > badness[a] ? b : a;
}
