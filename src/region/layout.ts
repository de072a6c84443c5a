/**
 * Where everything lies in a region: one layout on every backing.
 *
 *   superblock (4 KiB) | range table | segment table | part table | session | process table | control words | range words |
 *   hot entries | owner table | chunk words | pageblocks | padding to 2 MiB | descriptors
 *
 * A range has a slot: first those of the plan, in its order, then the room for ranges that come later (hot ranges). Range words,
 * chunk words and pageblocks go by slots; a hot slot has as many of each as any range needs that fits into it.
 *
 * The descriptors of each range start at a multiple of 2 MiB (of 1 GiB on a device-dax device that maps nothing smaller), so
 * that huge pages and section borders meet. In memory, all before the descriptors is one SharedArrayBuffer and each range's
 * descriptors are another: a typed array ends at 16 GiB. Words that several threads write stand alone in their 64-byte line.
 * What concerns one process alone, its orders to its own drains, is not in the region: see orderLine.
 */
import {
  chunksMax,
  descriptorSizeBytes,
  hugePageSizeBytes,
  pageblockPages,
  pageblocksMax,
  rangePagesMax,
  roundUp,
} from '../physical/geometry.ts';

export const lineSizeBytes = 64;
export const superblockSizeBytes = 4096;
/** One entry of the range table. */
export const rangeEntrySizeBytes = 64;
/** One entry of the segment table. */
export const segmentEntrySizeBytes = 64;
/** One entry of the part table: what is written into a part of a segment. */
export const partEntrySizeBytes = 192;
/** Segments of a hot range at most, and parts of their contents: its entry has a fixed size. */
export const hotSegmentsMax = 16;
export const hotPartsMax = 16;
/** What a hot range is: an entry of each table behind the other, with room for as many segments and parts as it may have. */
export const hotEntrySizeBytes: number =
  rangeEntrySizeBytes + hotSegmentsMax * segmentEntrySizeBytes + hotPartsMax * partEntrySizeBytes;
/** Hot slots of a region at most: whoever looks for a change of the ranges looks at the state of each. */
export const hotRangesMax = 4096;
/** Alignment of every range's descriptors. */
export const dataAlignmentBytes: number = hugePageSizeBytes;
/** Threads that can work on one region at a time: one bit field of a chunk word holds the slot. */
export const ownerSlots = 1024;
/** Worker threads of one memmap at most: some slots are left for those who attach. */
export const threadsMax: number = ownerSlots / 2;
/** Owner slot: a line of identity, written by whoever takes or reaps the slot, and a line of counters, by its owner. */
export const ownerSlotSizeBytes: number = 2 * lineSizeBytes;

/** Who uses a file at present: one line of notes; see src/region/session.ts. */
const sessionLines = 1;
/** Bytes of it. */
export const sessionSizeBytes: number = sessionLines * lineSizeBytes;
/** Processes that can have one file open at a time, each with one slot; number 0 stands for "this one, in memory". */
export const processSlots = 128;
/** Lines for each of them; see src/region/processes.ts. */
const processSlotLines = 1;
/** Bytes of a slot. */
export const processSlotSizeBytes: number = processSlotLines * lineSizeBytes;

/** Control words, each alone in its line; numbers are lines from the start of the control words. */
export const controlLine = {
  /** Threads of any process that sleep until a chunk word changes; see src/region/waits.ts. */
  waiters: 0,
  /** Positive errno of the media when it refused to keep something, else 0; see src/claims/harden.ts. */
  mediaErrno: 1,
  /** How often the set of ranges has changed; see src/region/range-states.ts. Waited on and notified. */
  rangesVersion: 2,
  /** Who adds ranges at present; see src/claims/keepers.ts. */
  addersKeeper: 3,
} as const;
/** Name of a control word. */
export type ControlWordName = keyof typeof controlLine;

const controlLines = 8;

/** Words of a process's own, in a buffer of their own; numbers are lines in it. */
export const orderLine = {
  /** Bits: pause, cancel, close; see src/claims/orders.ts. Waited on and notified. */
  orders: 0,
  /** Owner tag of whoever opened the memmap. Written once, before anybody attaches. */
  opener: 1,
  /** Two words: id and start time of the thread that asks the media to keep something, or 0; see src/region/media.ts. */
  media: 2,
} as const;
/** Bytes of that buffer. */
export const ordersSizeBytes: number = Object.keys(orderLine).length * lineSizeBytes;

/** Range words, each alone in its line; numbers are lines from the start of a range's words. */
export const rangeLine = {
  /** Next run that a drain will take: only a hint of where to look, the chunk words decide. */
  drainCursor: 0,
  /** Pages of this range that `grow` has handed out, one unit of eight bytes; see src/claims/growth.ts. */
  growCursor: 1,
  /** Number, plus 1, of the run into which somebody faulted last; 0 when a drain has taken it up. Only a hint, too. */
  wantedRun: 2,
  /** Whether the slot has a range, and which; see src/region/range-states.ts. Read by every fault, and hardly ever written. */
  state: 3,
  /** Who removes the range at present; see src/claims/keepers.ts. */
  keeper: 4,
} as const;
const rangeLines: number = Object.keys(rangeLine).length;

/** Bits for each pageblock; see src/region/pageblocks.ts. */
export const pageblockBits = 4;

/** Entries of the tables behind the superblock. */
export interface TableCounts {
  readonly ranges: number;
  readonly segments: number;
  readonly parts: number;
}

/** Byte offsets of those tables, and of their end. */
export interface TableLayout extends TableCounts {
  readonly endBytes: number;
}

/** Where the tables lie. */
export function tableLayout(counts: TableCounts): TableLayout {
  const ranges = superblockSizeBytes;
  const segments = ranges + counts.ranges * rangeEntrySizeBytes;
  const parts = segments + counts.segments * segmentEntrySizeBytes;
  return { ranges, segments, parts, endBytes: parts + counts.parts * partEntrySizeBytes };
}

/** Room for ranges that come later: as many slots as `ranges`, each for at most so many pages in at most so many chunks. */
export interface HotRoom {
  readonly ranges: number;
  readonly pages: number;
  readonly chunks: number;
}

/** What a region has that nobody asked to have room. */
export const noRoom: HotRoom = Object.freeze({ ranges: 0, pages: 0, chunks: 0 });

/** Most chunks that a hot slot can have: those of the longest range in the smallest chunks. */
const hotChunksMax: number = chunksMax(rangePagesMax, pageblockPages);

/** Whether this is room that a region can have; it may come from anywhere. */
export function isRoom({ ranges, pages, chunks }: HotRoom): boolean {
  const isCount = (value: number, min: number, max: number): boolean =>
    Number.isInteger(value) && value >= min && value <= max;
  if (ranges === 0) return pages === 0 && chunks === 0;
  return isCount(ranges, 1, hotRangesMax) && isCount(pages, 1, rangePagesMax) && isCount(chunks, 1, hotChunksMax);
}

/** Byte offsets of a region's parts. */
export interface RegionLayout {
  readonly session: number;
  readonly processes: number;
  readonly control: number;
  readonly rangeWords: number;
  readonly hotEntries: number;
  readonly owners: number;
  readonly chunkWords: number;
  /** Where the bits of each range's pageblocks begin, at a line. */
  readonly pageblocks: readonly number[];
  /** Bytes of all the above: the control buffer. */
  readonly controlSizeBytes: number;
  /** Where the descriptors of each range of the plan begin; those of hot ranges are in no file. */
  readonly data: readonly number[];
  /** Bytes in all. */
  readonly totalSizeBytes: number;
}

/** What the layout depends on. */
export interface SizedRange {
  readonly pages: number;
  readonly chunks: number;
  readonly segments: readonly { readonly content: { readonly parts: readonly unknown[] } }[];
}

/** How much the tables hold. */
export function tableCounts(ranges: readonly SizedRange[]): TableCounts {
  let segments = 0;
  let parts = 0;
  for (const range of ranges) {
    segments += range.segments.length;
    for (const { content } of range.segments) parts += content.parts.length;
  }
  return { ranges: ranges.length, segments, parts };
}

/**
 * Computes the layout for ranges of so many pages and chunks.
 * @param alignmentBytes of every range's descriptors, a power of two.
 */
export function regionLayout(
  ranges: readonly SizedRange[],
  alignmentBytes: number = dataAlignmentBytes,
  room: HotRoom = noRoom,
): RegionLayout {
  const session = tableLayout(tableCounts(ranges)).endBytes;
  const processes = session + sessionSizeBytes;
  const control = processes + processSlots * processSlotSizeBytes;
  const rangeWords = control + controlLines * lineSizeBytes;
  const hotEntries = rangeWords + (ranges.length + room.ranges) * rangeLines * lineSizeBytes;
  const owners = hotEntries + room.ranges * hotEntrySizeBytes;
  const chunkWords = owners + ownerSlots * ownerSlotSizeBytes;
  const chunks = ranges.reduce((sum, range) => sum + range.chunks, room.ranges * room.chunks);
  let pageblocksEnd = roundUp(chunkWords + chunks * Int32Array.BYTES_PER_ELEMENT, lineSizeBytes);
  const slots: readonly { readonly pages: number }[] = [...ranges, ...Array.from({ length: room.ranges }, () => room)];
  const pageblocks = slots.map(({ pages }) => {
    const start = pageblocksEnd;
    pageblocksEnd = roundUp(start + Math.ceil((pageblocksMax(pages) * pageblockBits) / 8), lineSizeBytes);
    return start;
  });
  const controlSizeBytes = pageblocksEnd;
  let next = roundUp(controlSizeBytes, alignmentBytes);
  const data = ranges.map(({ pages }) => {
    const start = next;
    next = roundUp(start + pages * descriptorSizeBytes, alignmentBytes);
    return start;
  });
  return {
    session,
    processes,
    control,
    rangeWords,
    hotEntries,
    owners,
    chunkWords,
    pageblocks,
    controlSizeBytes,
    data,
    totalSizeBytes: next,
  };
}

/** Indices into the Int32Array over the control buffer of the control words. */
export function controlWords({ control }: RegionLayout): Record<ControlWordName, number> {
  const at = (line: number): number => (control + line * lineSizeBytes) / Int32Array.BYTES_PER_ELEMENT;
  const { waiters, mediaErrno, rangesVersion, addersKeeper } = controlLine;
  return {
    waiters: at(waiters),
    mediaErrno: at(mediaErrno),
    rangesVersion: at(rangesVersion),
    addersKeeper: at(addersKeeper),
  };
}

/** Indices into the Int32Array over a process's own words. */
export const orderWord: Readonly<Record<keyof typeof orderLine, number>> = {
  orders: (orderLine.orders * lineSizeBytes) / Int32Array.BYTES_PER_ELEMENT,
  opener: (orderLine.opener * lineSizeBytes) / Int32Array.BYTES_PER_ELEMENT,
  media: (orderLine.media * lineSizeBytes) / Int32Array.BYTES_PER_ELEMENT,
};

/** Index into the Int32Array over the control buffer of the word of a slot. */
export function rangeWord(layout: RegionLayout, slot: number, name: keyof typeof rangeLine): number {
  return (layout.rangeWords + (slot * rangeLines + rangeLine[name]) * lineSizeBytes) / Int32Array.BYTES_PER_ELEMENT;
}
