/** From pfns to places on a bar: to scale with long absent stretches cut out, or by powers of two. */
import { pagesOf } from '../physical/extents.ts';
import { findRange, type PfnExtent } from '../physical/geometry.ts';

/** A stretch without pages between two with, and where it is drawn. */
export interface Gap extends PfnExtent {
  readonly x: number;
  readonly width: number;
  /** Cut short instead of drawn to scale. */
  readonly isCut: boolean;
}

/** A bar's axis. */
export interface Axis {
  /** Where pfns are on the bar, in units of the drawing from its left end. */
  readonly at: (pfn: number) => number;
  readonly gaps: readonly Gap[];
  /** Where the last page ends. */
  readonly width: number;
}

/** Width of a gap that is cut short. Gaps that are shorter anyway are to scale. */
const cutWidth = 24;
/** Least width of a run of pages between two gaps, as far as there is room. */
const blockWidthMin = 3;

/** How wide blocks and gaps come out, in the order of their pfns: block, gap, block … */
interface Widths {
  readonly blocks: readonly number[];
  readonly gaps: readonly number[];
  readonly total: number;
}

function widthsOf(blocks: readonly PfnExtent[], pagesPerUnit: number, room: number): Widths {
  // many thousands of blocks must not take more room than there is
  const least = Math.min(blockWidthMin, room / 2 / blocks.length);
  const cut = Math.min(cutWidth, room / 3 / blocks.length);
  const ofBlocks = blocks.map(({ startPfn, endPfn }) => Math.max(least, (endPfn - startPfn) / pagesPerUnit));
  const ofGaps = blocks.slice(1).map(({ startPfn }, index) => {
    return Math.min(cut, (startPfn - (blocks[index] as PfnExtent).endPfn) / pagesPerUnit);
  });
  const total = [...ofBlocks, ...ofGaps].reduce((sum, width) => sum + width, 0);
  return { blocks: ofBlocks, gaps: ofGaps, total };
}

/** Pages in a unit of the drawing with which the longest of several bars is as wide as there is room. */
export function commonScale(bars: readonly (readonly PfnExtent[])[], room: number): number {
  const longest = Math.max(1, ...bars.map(pagesOf));
  // not even the pages fit at the lower end; at the upper one they take a sixth of the room, gaps and narrow blocks the rest
  let low = longest / room / 2;
  let high = (longest / room) * 6;
  for (let step = 0; step < 48; step++) {
    const middle = (low + high) / 2;
    if (bars.every((bar) => widthsOf(bar, middle, room).total <= room)) high = middle;
    else low = middle;
  }
  return high;
}

/**
 * An axis to scale, on which gaps of many pages are cut short.
 * @param blocks sorted by pfn, not touching, at least one
 * @param room width that there is
 * @param cutsMax gaps at most that are shown as cut; further ones are drawn as short as those, and as holes
 */
export function brokenAxis(blocks: readonly PfnExtent[], pagesPerUnit: number, room: number, cutsMax: number): Axis {
  const widths = widthsOf(blocks, pagesPerUnit, room);
  const starts: number[] = [];
  const gaps: Gap[] = [];
  let x = 0;
  for (const [index, { endPfn }] of blocks.entries()) {
    starts.push(x);
    x += widths.blocks[index] as number;
    const next = blocks[index + 1];
    if (next === undefined) break;
    const ofGap = widths.gaps[index] as number;
    const isShort = ofGap < (next.startPfn - endPfn) / pagesPerUnit;
    gaps.push({ startPfn: endPfn, endPfn: next.startPfn, x, width: ofGap, isCut: isShort });
    x += ofGap;
  }
  const at = (pfn: number): number => {
    // the block that holds the pfn, or ends at it
    const index = Math.max(findRange(blocks, pfn), findRange(blocks, pfn - 1));
    const block = blocks[index];
    if (block === undefined) return 0;
    const share = (pfn - block.startPfn) / (block.endPfn - block.startPfn);
    return (starts[index] as number) + share * (widths.blocks[index] as number);
  };
  return { at, gaps: keepLongest(gaps, cutsMax), width: x };
}

/** Shows the longest gaps as cut, and no more of them than there may be. */
function keepLongest(gaps: readonly Gap[], cutsMax: number): Gap[] {
  const length = ({ startPfn, endPfn }: Gap): number => endPfn - startPfn;
  // one that is not even half as wide has no room for the sign of a cut
  const cuts = gaps.filter(({ isCut, width }) => isCut && width >= cutWidth / 2);
  const kept = new Set(cuts.sort((a, b) => length(b) - length(a)).slice(0, cutsMax));
  return gaps.map((gap) => ({ ...gap, isCut: kept.has(gap) }));
}

/** Where page 0 is on an axis by powers of two, on which it would be infinitely far to the left. */
const pageZeroWidth = 12;

/**
 * An axis by powers of two: every doubling of the address is as wide as any other, so that a hole below 1 MiB and one below
 * 4 GiB are both seen.
 * @param blocks sorted by pfn, not touching, at least one, and below `endPfn`
 */
export function logAxis(blocks: readonly PfnExtent[], endPfn: number, room: number): Axis {
  const startPfn = blocks[0]?.startPfn ?? 0;
  const lead = startPfn === 0 ? pageZeroWidth : 0;
  const first = Math.floor(Math.log2(Math.max(1, startPfn)));
  const unit = (room - lead) / (Math.log2(endPfn) - first);
  const at = (pfn: number): number => {
    return pfn < 1 ? 0 : lead + Math.max(0, Math.log2(pfn) - first) * unit;
  };
  const gaps = blocks.slice(1).map((block, index) => {
    const extent = { startPfn: (blocks[index] as PfnExtent).endPfn, endPfn: block.startPfn };
    const x = at(extent.startPfn);
    return { ...extent, x, width: at(extent.endPfn) - x, isCut: false };
  });
  return { at, gaps, width: room };
}
