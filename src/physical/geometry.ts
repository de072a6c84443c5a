/**
 * ALL arithmetic on pfns, sections, pageblocks and chunks, and nothing else.
 *
 * A pfn is a JavaScript number, exact to 2^53. Physical addresses reach 2^52 bytes on x86-64 (five-level paging; 2^46 with
 * four), so pfns stay below 2^40 and every product here is exact. Nothing in this file uses `|`, `>>` or `<<` on a pfn:
 * those cut to 32 bits, that is at 16 TiB of memory. What is counted inside one range may: it has at most 2^28 pages.
 */
import { invariant } from '../errors.ts';
import { defaultPlatform, type Platform } from './platforms.ts';

/** Bytes in a page frame of x86-64 (PAGE_SHIFT 12); other platforms tell theirs. */
export const pageSizeBytes = 4096;
/** Bytes in a page descriptor: sizeof(struct page), one cache line. */
export const descriptorSizeBytes = 64;
/** Pages in a pageblock of x86-64: 2 MiB, pageblock_order 9. Its descriptors take 32 KiB, and chunks are made of such units. */
export const pageblockPages = 512;
/** Pages in a section of x86-64: 128 MiB, SECTION_SIZE_BITS 27. Its descriptors take exactly 2 MiB. */
export const sectionPages = 32_768;
/** Pages in the longest range: 1 TiB of 4 KiB pages, 16 GiB of descriptors, the longest typed array there is (2^32 words). */
export const rangePagesMax: number = 2 ** 28;
/** Chunks that a range is cut into with `chunkPages: '1/1024'`, as in the asynchronous series of 2018. */
export const chunksPerRange = 1024;
/** Bytes in a huge page of x86-64 (HPAGE_PMD_SIZE). */
export const hugePageSizeBytes: number = 2 * 1024 * 1024;
/**
 * Pages in a chunk by default: 256 KiB of descriptors; bench/suites/chunk-study.mjs is the study. On huge pages the kernel's
 * clearing of one is most of a fault, whatever the chunk; writing all of it, too, would cost the fault half as much again.
 * Finer chunks gain a fault little and cost the drain a claim each.
 */
export const defaultChunkPages = 4096;
/** Physical address bits with five-level paging: MAX_PHYSMEM_BITS of x86-64. */
export const physicalAddressBits = 52;
/** First pfn that cannot exist on x86-64, nor, as its pages are the smallest, on any other platform. */
export const pfnLimit: number = 2 ** physicalAddressBits / pageSizeBytes;

/** First pfn that cannot exist on a platform. */
export function pfnLimitOf(platform: Platform): number {
  return 2 ** (platform.physicalAddressBits - platform.pageShift);
}

/** Pages that chunks of a platform are made of: its pageblock, and at least 512. */
function chunkUnitPages(platform: Platform): number {
  return Math.max(pageblockPages, platform.pageblockPages);
}

/** Whether a number is a power of two, from 1 on. */
export function isPowerOfTwo(value: number): boolean {
  // beside large powers of two there are numbers whose logarithm is rounded to the same one
  return value >= 1 && Number.isSafeInteger(value) && 2 ** Math.round(Math.log2(value)) === value;
}

/** A half-open run of page frames, `[startPfn, endPfn)`. */
export interface PfnExtent {
  readonly startPfn: number;
  readonly endPfn: number;
}

/** Multiple of `unit` at or below `value`. */
export function roundDown(value: number, unit: number): number {
  return value - (value % unit);
}

/** Multiple of `unit` at or above `value`. */
export function roundUp(value: number, unit: number): number {
  return roundDown(value + unit - 1, unit);
}

/** Pfn that holds the byte at `address`. */
export function pfnOfByte(address: number, pageBytes: number = pageSizeBytes): number {
  return Math.floor(address / pageBytes);
}

/**
 * The whole pages inside the bytes `[firstByte, lastByte]`, both inclusive as in /proc/iomem: the start rounds up and the
 * end rounds down, as Linux does with firmware maps (PFN_UP and PFN_DOWN of an e820 entry). Empty when no whole page fits.
 * @param pageBytes bytes in a page, a power of two.
 */
export function pagesInside(firstByte: number, lastByte: number, pageBytes: number = pageSizeBytes): PfnExtent {
  const startPfn = Math.ceil(firstByte / pageBytes);
  return { startPfn, endPfn: Math.max(startPfn, Math.floor((lastByte + 1) / pageBytes)) };
}

/** All pages that have some of the bytes `[firstByte, lastByte]`, both inclusive: what is reserved is so in whole pages. */
export function pagesTouched(firstByte: number, lastByte: number, pageBytes: number = pageSizeBytes): PfnExtent {
  return { startPfn: Math.floor(firstByte / pageBytes), endPfn: Math.floor(lastByte / pageBytes) + 1 };
}

/** The part of `a` that `b` also has; empty (`startPfn === endPfn`) when they do not meet. */
export function intersect(a: PfnExtent, b: PfnExtent): PfnExtent {
  const startPfn = Math.max(a.startPfn, b.startPfn);
  return { startPfn, endPfn: Math.max(startPfn, Math.min(a.endPfn, b.endPfn)) };
}

/**
 * Cuts an extent into pieces of at most 2^28 pages. The cuts lie at multiples of `alignPages`, counted from `anchorPfn`, even
 * when the extent begins off one, so that no cut makes an aligned fault of a pageblock meet two pieces.
 * @param alignPages a power of two of at most 2^28, by default a pageblock
 */
export function cut(extent: PfnExtent, alignPages: number = pageblockPages, anchorPfn = 0): PfnExtent[] {
  const pieces: PfnExtent[] = [];
  // the extent may begin below its anchor
  const offPages = (((extent.startPfn - anchorPfn) % alignPages) + alignPages) % alignPages;
  let basePfn = extent.startPfn - offPages;
  let { startPfn } = extent;
  while (startPfn < extent.endPfn) {
    const endPfn = Math.min(basePfn + rangePagesMax, extent.endPfn);
    pieces.push({ startPfn, endPfn });
    startPfn = endPfn;
    basePfn = endPfn;
  }
  return pieces;
}

/** How a range is cut into chunks. */
export interface ChunkGeometry extends PfnExtent {
  /** Pages of the range. */
  readonly pages: number;
  /** Where chunk 0 would begin were it whole: `startPfn` rounded down to a pageblock. */
  readonly basePfn: number;
  /** Pages by which chunk 0 is shorter for that: `startPfn − basePfn`, 0 to 511. */
  readonly leadPages: number;
  /** Pages in a whole chunk, a multiple of a pageblock; the first and the last may be shorter. */
  readonly chunkPages: number;
  /** Number of chunks, at least 1. */
  readonly chunks: number;
}

/** How the drain takes chunks: in runs, each of which is at least one huge page of descriptors, and those in batches. */
export interface RunGeometry extends ChunkGeometry {
  /** Chunks in a run, at least 1; the last run may be shorter. */
  readonly runChunks: number;
  /** Chunks that are claimed together, at least 1; the last ones of a run may be fewer. */
  readonly batchChunks: number;
}

/** Chunks in a run, where the memory of the descriptors comes in pages of so many bytes. */
export function runChunksOf({ chunkPages }: ChunkGeometry, pageBytes: number): number {
  const runPages = Math.max(hugePageSizeBytes, pageBytes) / descriptorSizeBytes;
  return Math.max(1, Math.floor(runPages / chunkPages)) | 0;
}

/**
 * Chunks that a drain claims together: those of 2 MiB of descriptors, which take some 200 µs to write. Behind each such piece the
 * caches hold nothing else any more, and a claim then costs 2 µs; in a row they cost 0.1 µs each.
 */
export function batchChunksOf(geometry: ChunkGeometry): number {
  return runChunksOf(geometry, hugePageSizeBytes);
}

/** First chunk of a run; at or behind `chunks` when there is no such run. */
export function firstChunkOfRun(range: RunGeometry, run: number): number {
  // not Math.imul: a cursor that many threads have pushed far behind the end must not wrap to a chunk
  return run * range.runChunks;
}

/** The run that a chunk belongs to. */
export function runOf(range: RunGeometry, chunk: number): number {
  return Math.floor(chunk / range.runChunks);
}

/** Chunks of a run, which must exist. */
export function chunksOfRun(range: RunGeometry, run: number): number {
  return Math.min(range.runChunks, range.chunks - firstChunkOfRun(range, run));
}

/**
 * Cuts a range into chunks that begin at multiples of 512 pages, so that an aligned 2 MiB fault never straddles two. Where
 * pageblocks are larger a chunk has the pages of whole ones, and begins with one if the range does.
 * @param chunkPages pages in a chunk, rounded up to whole pageblocks; 1/1024 of the range by default.
 */
export function chunkGeometry(
  extent: PfnExtent,
  chunkPages?: number,
  platform: Platform = defaultPlatform,
): ChunkGeometry {
  const { startPfn, endPfn } = extent;
  invariant(Number.isSafeInteger(startPfn) && Number.isSafeInteger(endPfn), 'pfns are integers');
  invariant(startPfn >= 0 && startPfn < endPfn && endPfn <= pfnLimit, 'a range is not empty and lies below 2^52 bytes');
  invariant(endPfn - startPfn <= rangePagesMax, 'a range has at most 2^28 pages');
  const basePfn = roundDown(startPfn, pageblockPages);
  const span = endPfn - basePfn;
  const whole = roundUp(chunkPages ?? Math.ceil(span / chunksPerRange), chunkUnitPages(platform));
  // `| 0`: what is counted inside a range fits 32 bits, and V8 keeps it as small integers instead of numbers on the heap.
  return {
    startPfn,
    endPfn,
    pages: (endPfn - startPfn) | 0,
    basePfn,
    leadPages: (startPfn - basePfn) | 0,
    chunkPages: whole | 0,
    chunks: Math.ceil(span / whole) | 0,
  };
}

/** Most chunks that a range of at most so many pages is cut into, wherever it begins; `chunkPages` as in {@link chunkGeometry}. */
export function chunksMax(pages: number, chunkPages?: number): number {
  // it may begin with the last page of a pageblock
  const span = pages + pageblockPages - 1;
  const blocks = Math.ceil(span / pageblockPages);
  return chunkPages === undefined
    ? Math.min(chunksPerRange, blocks)
    : Math.ceil(span / roundUp(chunkPages, pageblockPages));
}

/** Index of the chunk that holds `pfn`, which must lie in the range. */
export function chunkOf(range: ChunkGeometry, pfn: number): number {
  return ((pfn - range.basePfn) / range.chunkPages) | 0;
}

/** Number of a chunk's first page, counted from the start of the range. */
export function chunkStartIndex(range: ChunkGeometry, chunk: number): number {
  return Math.max(0, Math.imul(chunk, range.chunkPages) - range.leadPages);
}

/** Number of the first page behind a chunk, counted from the start of the range. */
export function chunkEndIndex(range: ChunkGeometry, chunk: number): number {
  return Math.min(range.pages, Math.imul(chunk + 1, range.chunkPages) - range.leadPages);
}

/** First pfn of a chunk. */
export function chunkStart(range: ChunkGeometry, chunk: number): number {
  return range.startPfn + chunkStartIndex(range, chunk);
}

/** First pfn behind a chunk. */
export function chunkEnd(range: ChunkGeometry, chunk: number): number {
  return range.startPfn + chunkEndIndex(range, chunk);
}

/**
 * THE way from pfns to chunks: `[pfn, pfn + pages)` rounded outward to whole chunks, cut to the range. Calls back nobody and
 * allocates nothing: the first chunk is the result of `firstChunk`, the one behind the last of `endChunk`; equal when the
 * extent and the range do not meet.
 */
export function firstChunk(range: ChunkGeometry, pfn: number): number {
  return pfn <= range.startPfn ? 0 : pfn >= range.endPfn ? range.chunks : chunkOf(range, pfn);
}

/** The chunk behind the last one that `[…, endPfn)` meets; see {@link firstChunk}. */
export function endChunk(range: ChunkGeometry, endPfn: number): number {
  return endPfn <= range.startPfn ? 0 : endPfn >= range.endPfn ? range.chunks : chunkOf(range, endPfn - 1) + 1;
}

/** Byte offset of a descriptor from the start of its range's memmap. */
export function descriptorOffset(range: PfnExtent, pfn: number): number {
  return (pfn - range.startPfn) * descriptorSizeBytes;
}

/** The pfn whose descriptor lies at a byte offset: the inverse of {@link descriptorOffset}. */
export function pfnOfDescriptor(range: Pick<PfnExtent, 'startPfn'>, offsetBytes: number): number {
  return range.startPfn + Math.floor(offsetBytes / descriptorSizeBytes);
}

/** Number of a page in its period, where periods of so many pages begin at the start of an extent that holds `pfn`. */
export function placeInPeriod(extent: PfnExtent, pfn: number, periodPages: number): number {
  return (pfn - extent.startPfn) % periodPages;
}

/** First pfn of the pageblock that holds `pfn`. */
export function pageblockStart(pfn: number): number {
  return roundDown(pfn, pageblockPages);
}

/** Number of the pageblock that holds `pfn`, which must lie in the range, counted from the one that the range begins in. */
export function pageblockOf(range: ChunkGeometry, pfn: number): number {
  return ((pfn - range.basePfn) / pageblockPages) | 0;
}

/** The most pageblocks that a range of so many pages meets, wherever it begins. */
export function pageblocksMax(pages: number): number {
  return Math.ceil(pages / pageblockPages) + 1;
}

/** Index of the range (sorted by pfn, not overlapping) that holds `pfn`, or −1. */
export function findRange(ranges: readonly PfnExtent[], pfn: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as PfnExtent).endPfn <= pfn) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low];
  return range !== undefined && pfn >= range.startPfn ? low : -1;
}
