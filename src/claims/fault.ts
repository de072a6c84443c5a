/** The foreground fault: initializes what covers `[pfn, pfn + 2^order)` and nothing else, whatever the background does. */
import { VmemmapError } from '../errors.ts';
import { chunkOf, endChunk, firstChunk, intersect } from '../physical/geometry.ts';
import type { RegionRange } from '../region/range.ts';
import { isInitialized } from './chunk-map.ts';
import type { Claimant, FaultOutcome } from './claimant.ts';
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
  /** Range of the last fault: neighbours follow each other. After close one that holds no pfn. */
  #last: RegionRange;
  #closed = false;

  constructor(claimant: Claimant) {
    this.#claimant = claimant;
    const first = claimant.region.ranges[0];
    if (first === undefined) throw new RangeError('the topology has no memory');
    this.#last = first;
  }

  /** The range that holds `pfn`. @throws VmemmapError PFN_ABSENT @throws RangeError when `pfn` is no pfn at all */
  rangeOf(pfn: number): RegionRange {
    const last = this.#last;
    if (pfn >= last.startPfn && pfn < last.endPfn && Number.isInteger(pfn)) return last;
    return this.#findRange(pfn);
  }

  #findRange(pfn: number): RegionRange {
    if (this.#closed) throw closedError();
    if (!Number.isSafeInteger(pfn) || pfn < 0) throw new RangeError(`a pfn is a whole number of 0 or more, not ${pfn}`);
    const range = this.#claimant.region.rangeOf(pfn);
    if (range === undefined) {
      throw new VmemmapError('PFN_ABSENT', `pfn ${pfn} lies in no range of this memmap; see memmap.ranges`, {
        received: pfn,
      });
    }
    this.#last = range;
    return range;
  }

  /** From now on every pfn is refused: the memory is given back. */
  close(): void {
    this.#closed = true;
    this.#last = Object.create(this.#last, { startPfn: { value: 0 }, endPfn: { value: 0 } });
  }

  /** Synchronous fault. Holes and what lies behind the last range are passed over; `pfn` itself must exist. */
  fault(pfn: number, order: number): FaultOutcome {
    const range = this.rangeOf(pfn);
    const pages = order === 0 ? 1 : pagesOfOrder(order);
    // when all is initialized this is the only question, and its answer never changes again
    if (this.#claimant.complete) return 'ready';
    return pages === 1 ? this.#claimant.settle(range, chunkOf(range, pfn)) : this.settleExtent(pfn, pfn + pages);
  }

  /** Makes all descriptors of `[startPfn, endPfn)` that exist initialized. The worst outcome of its chunks is the result. */
  settleExtent(startPfn: number, endPfn: number): FaultOutcome {
    let outcome: FaultOutcome = 'ready';
    const { ranges } = this.#claimant.region;
    for (let i = this.#indexOf(startPfn); i < ranges.length; i++) {
      const range = ranges[i] as RegionRange;
      if (range.startPfn >= endPfn) break;
      const end = endChunk(range, endPfn);
      for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
        outcome = worse(outcome, this.#claimant.settle(range, chunk));
      }
    }
    return outcome;
  }

  /** The same as {@link fault}, without blocking the thread while another one works. */
  async faultAsync(pfn: number, order: number): Promise<FaultOutcome> {
    this.rangeOf(pfn);
    const endPfn = pfn + pagesOfOrder(order);
    if (this.#claimant.complete) return 'ready';
    let outcome: FaultOutcome = 'ready';
    const { ranges } = this.#claimant.region;
    for (let i = this.#indexOf(pfn); i < ranges.length; i++) {
      const range = ranges[i] as RegionRange;
      if (range.startPfn >= endPfn) break;
      const end = endChunk(range, endPfn);
      for (let chunk = firstChunk(range, pfn); chunk < end; chunk++) {
        outcome = worse(outcome, await this.#claimant.settleAsync(range, chunk));
      }
    }
    return outcome;
  }

  /** Whether all descriptors of `[startPfn, endPfn)` that exist are initialized; `startPfn` itself must exist. */
  isInitialized(startPfn: number, endPfn: number): boolean {
    this.rangeOf(startPfn);
    const { region, chunks } = this.#claimant;
    for (let i = this.#indexOf(startPfn); i < region.ranges.length; i++) {
      const range = region.ranges[i] as RegionRange;
      if (range.startPfn >= endPfn) break;
      const end = endChunk(range, endPfn);
      for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
        if (!isInitialized(chunks.load(range.firstChunk + chunk))) return false;
      }
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
    const { region, chunks } = this.#claimant;
    let pages = 0;
    for (let i = this.#indexOf(startPfn); i < region.ranges.length; i++) {
      const range = region.ranges[i] as RegionRange;
      if (range.startPfn >= endPfn) break;
      const end = endChunk(range, endPfn);
      for (let chunk = firstChunk(range, startPfn); chunk < end; chunk++) {
        if (!isInitialized(chunks.load(range.firstChunk + chunk))) continue;
        const own = { startPfn: range.chunkStart(chunk), endPfn: range.chunkEnd(chunk) };
        const part = intersect(own, { startPfn, endPfn });
        pages += part.endPfn - part.startPfn;
      }
    }
    return pages;
  }

  /** Index of the range that holds `pfn`, or of the first one behind it. */
  #indexOf(pfn: number): number {
    const last = this.#last;
    if (pfn >= last.startPfn && pfn < last.endPfn) return last.index;
    const { ranges } = this.#claimant.region;
    let index = 0;
    while (index < ranges.length && (ranges[index] as RegionRange).endPfn <= pfn) index++;
    return index;
  }
}

const badness: Readonly<Record<FaultOutcome, number>> = { ready: 0, claimed: 1, waited: 2 };

function worse(a: FaultOutcome, b: FaultOutcome): FaultOutcome {
  return badness[b] > badness[a] ? b : a;
}
