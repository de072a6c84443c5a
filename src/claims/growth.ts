/**
 * How far `grow` has come in a range: pages from its start that were handed out. The only file with Atomics on these units of
 * eight bytes: the pages in the low half, and in the high one the state word with which the range is live (0 for a range of the
 * plan). One who has read how far it was, and comes back when another range has the slot, changes nothing there.
 */
import type { RegionRange } from '../region/range.ts';
import type { Region } from '../region/region.ts';

const halfBits = 32n;
const wordsPerUnit: number = BigInt64Array.BYTES_PER_ELEMENT / Int32Array.BYTES_PER_ELEMENT;

function unitOf(pages: number, liveWord: number): bigint {
  return (BigInt(liveWord) << halfBits) | BigInt(pages);
}

/** Pages of a range that were handed out; undefined when another range has its slot. */
export function pagesGrown({ controlUnits }: Region, { growCursor, liveWord }: RegionRange): number | undefined {
  // acquire: pairs with the exchange in growTo, in other threads
  const unit = Atomics.load(controlUnits, growCursor / wordsPerUnit);
  return unit >> halfBits === BigInt(liveWord) ? Number(BigInt.asUintN(32, unit)) : undefined;
}

/** Hands the pages `[from, to)` of a range out, counted from its start. False when somebody was quicker, or the range is gone. */
export function growTo({ controlUnits }: Region, range: RegionRange, from: number, to: number): boolean {
  const { growCursor, liveWord } = range;
  const expected = unitOf(from, liveWord);
  // acquire-release: of several threads one gets the pages
  const before = Atomics.compareExchange(controlUnits, growCursor / wordsPerUnit, expected, unitOf(to, liveWord));
  return before === expected;
}

/** Nothing is handed out yet of a range that nobody knows yet. */
export function beginGrowth({ controlUnits }: Region, growCursor: number, liveWord: number): void {
  // relaxed would do: the slot is ADDING, and `publish` of its state releases this; or its file is being opened
  Atomics.store(controlUnits, growCursor / wordsPerUnit, unitOf(0, liveWord));
}
