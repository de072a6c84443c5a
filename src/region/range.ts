/** A range with its memory, and its place among the chunk words of its region. */
import { descriptorWords } from '../descriptor/layout.ts';
import { packContent } from '../descriptor/pattern.ts';
import {
  batchChunksOf,
  chunkEnd,
  chunkEndIndex,
  chunkStart,
  chunkStartIndex,
  descriptorOffset,
  descriptorSizeBytes,
  type RunGeometry,
  runChunksOf,
} from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';
import { type PlannedMemmap, type Segment, sharablePages } from '../plan.ts';
import type { DataBuffer } from './backing.ts';
import { type RegionLayout, rangeWord } from './layout.ts';
import type { FoundRange } from './range-states.ts';

/** Descriptors in a window: 1 GiB. An index into a window is a small integer in V8, so kernels get these, not the whole. */
const windowDescriptors: number = 2 ** 24;

/**
 * Called with runs of descriptors: a window of the range's words, the word where the run begins in it, and its descriptors.
 * What it returns is added up.
 */
export type RunVisit = (words: Uint32Array, at: number, count: number) => number;

/**
 * The same with what belongs there: a pattern or a packed content, and the number of the run's first descriptor in the range.
 * The arguments of an init kernel.
 */
export type ContentVisit = (
  words: Uint32Array,
  at: number,
  count: number,
  pattern: Uint32Array,
  index: number,
) => number;

/** Where a range has its place in a region. */
export interface RangePlace {
  /** Number of its memory, its words and its chunk words; the same as long as it is there. */
  readonly slot: number;
  /** Number of the range's chunk 0 among all chunks of the region. */
  readonly firstChunk: number;
  /** What its state word holds while it is there; see range-states.ts. */
  readonly liveWord: number;
}

/** A range with its memory and its place among the chunk words, as one thread has found it. */
export class RegionRange implements RunGeometry, RangePlace, FoundRange {
  readonly slot: number;
  readonly startPfn: number;
  readonly endPfn: number;
  readonly pages: number;
  readonly basePfn: number;
  readonly leadPages: number;
  readonly chunkPages: number;
  readonly chunks: number;
  readonly runChunks: number;
  readonly batchChunks: number;
  readonly nid: number;
  readonly zone: number;
  readonly kind: MemoryKind;
  readonly pgmap: number;
  readonly firstChunk: number;
  readonly liveWord: number;
  /** What is written into the range. Sorted by pfn; together they are the range. */
  readonly segments: readonly Segment[];
  /** All of the range's descriptors, 16 words each. */
  readonly words: Uint32Array<SharedArrayBuffer>;
  /** Indices of the range's words in the control buffer. */
  readonly drainCursor: number;
  readonly growCursor: number;
  readonly wantedRun: number;
  readonly state: number;
  /**
   * 1 for each chunk that this thread has seen initialized. READY is final as long as the range is there, so a plain byte may
   * remember it; a range that comes later in the same slot is another object.
   */
  readonly seen: Uint8Array;
  /**
   * Whether this thread knows that every chunk is initialized: set when `ready` resolves, and final like READY. Never in a file,
   * where each chunk that others have written is looked at before it is said to be there.
   */
  complete = false;
  readonly #windows: Uint32Array<SharedArrayBuffer>[] = [];
  /** Where each segment ends, counted from the start of the range. */
  readonly #segmentEnds: readonly number[];
  /**
   * Where tails are shared: pages of a compound page, and how many of them have descriptors of their own; those of the others are
   * the memory of the second half of these. The range then holds compound pages and nothing else.
   */
  readonly #sharing: { readonly periodPages: number; readonly ownPages: number } | undefined;
  /** What is written into each segment, as init kernels take it. */
  readonly #contents: readonly Uint32Array[];

  /** @param pageSizeBytes of the memory behind `data`. */
  constructor(
    { slot, firstChunk, liveWord }: RangePlace,
    plan: PlannedMemmap,
    layout: RegionLayout,
    data: DataBuffer,
    pageSizeBytes: number,
  ) {
    this.slot = slot;
    this.startPfn = plan.startPfn;
    this.endPfn = plan.endPfn;
    this.pages = plan.pages;
    this.basePfn = plan.basePfn;
    this.leadPages = plan.leadPages;
    this.chunkPages = plan.chunkPages;
    this.chunks = plan.chunks;
    this.runChunks = runChunksOf(plan, pageSizeBytes);
    this.batchChunks = batchChunksOf(plan);
    this.nid = plan.nid;
    this.zone = plan.zone;
    this.kind = plan.kind;
    this.pgmap = plan.pgmap;
    this.firstChunk = firstChunk;
    this.liveWord = liveWord;
    this.segments = plan.segments;
    // `| 0`: see chunkGeometry
    this.#segmentEnds = plan.segments.map(({ endPfn }) => (endPfn - plan.startPfn) | 0);
    this.#contents = plan.segments.map(({ startPfn, content }) => packContent(content, startPfn - plan.startPfn));
    const { tailBlockBytes } = data;
    const periodPages = sharablePages(plan);
    this.#sharing =
      tailBlockBytes === undefined || periodPages === undefined
        ? undefined
        : { periodPages, ownPages: (2 * tailBlockBytes) / descriptorSizeBytes };
    this.drainCursor = rangeWord(layout, slot, 'drainCursor');
    this.growCursor = rangeWord(layout, slot, 'growCursor');
    this.wantedRun = rangeWord(layout, slot, 'wantedRun');
    this.state = rangeWord(layout, slot, 'state');
    this.seen = new Uint8Array(plan.chunks);
    this.words = new Uint32Array(data.buffer, data.byteOffset, this.pages * descriptorWords);
    for (let first = 0; first < this.pages; first += windowDescriptors) {
      const length = Math.min(windowDescriptors, this.pages - first) * descriptorWords;
      this.#windows.push(new Uint32Array(data.buffer, data.byteOffset + first * descriptorSizeBytes, length));
    }
  }

  /**
   * Calls `visit` for the descriptors numbered `[startIndex, endIndex)` in the range, window by window, and adds up what it
   * returns; with `untilNonZero` it stops at the first result that is not 0, as one does with errnos.
   */
  sumOver(startIndex: number, endIndex: number, visit: RunVisit, untilNonZero = false): number {
    let sum = 0;
    let index = startIndex;
    while (index < endIndex) {
      const inWindow = index & (windowDescriptors - 1);
      const count = Math.min(endIndex - index, windowDescriptors - inWindow);
      sum += visit(this.#windowOf(index), Math.imul(inWindow, descriptorWords), count);
      if (untilNonZero && sum !== 0) return sum;
      index += count;
    }
    return sum;
  }

  /** The same for the chunks `[first, end)`, which may not be empty. */
  sumOverChunks(first: number, end: number, visit: RunVisit, untilNonZero = false): number {
    return this.sumOver(chunkStartIndex(this, first), chunkEndIndex(this, end - 1), visit, untilNonZero);
  }

  /** As {@link sumOver}, in runs that have one content, which is told. Descriptors that share their memory are visited once. */
  sumOverContent(startIndex: number, endIndex: number, visit: ContentVisit, untilNonZero = false): number {
    let sum = 0;
    let index = this.#nextOwn(startIndex);
    for (let segment = this.#segmentOf(startIndex); index < endIndex; segment++) {
      const end = Math.min(endIndex, this.#segmentEnds[segment] as number);
      const content = this.#contents[segment] as Uint32Array;
      while (index < end) {
        const inWindow = index & (windowDescriptors - 1);
        const count = Math.min(this.#ownEnd(index, end) - index, windowDescriptors - inWindow);
        sum += visit(this.#windowOf(index), Math.imul(inWindow, descriptorWords), count, content, index);
        if (untilNonZero && sum !== 0) return sum;
        index = this.#nextOwn(index + count);
      }
    }
    return sum;
  }

  /** Where descriptors with memory of their own end, from one of them on; at most `end`. */
  #ownEnd(index: number, end: number): number {
    if (this.#sharing === undefined) return end;
    const { periodPages, ownPages } = this.#sharing;
    return Math.min(end, index - (index % periodPages) + ownPages);
  }

  /** The first descriptor from one on that has memory of its own. */
  #nextOwn(index: number): number {
    if (this.#sharing === undefined) return index;
    const { periodPages, ownPages } = this.#sharing;
    const inPeriod = index % periodPages;
    return inPeriod < ownPages ? index : index - inPeriod + periodPages;
  }

  /** The same for the chunks `[first, end)`, which may not be empty. */
  sumOverChunkContent(first: number, end: number, visit: ContentVisit, untilNonZero = false): number {
    return this.sumOverContent(chunkStartIndex(this, first), chunkEndIndex(this, end - 1), visit, untilNonZero);
  }

  #windowOf(index: number): Uint32Array {
    return this.#windows[(index - (index & (windowDescriptors - 1))) / windowDescriptors] as Uint32Array;
  }

  /** Number of the segment that holds a descriptor. */
  #segmentOf(index: number): number {
    let low = 0;
    let high = this.#segmentEnds.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segmentEnds[middle] as number) <= index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** First pfn of a chunk of this range. */
  chunkStart(chunk: number): number {
    return chunkStart(this, chunk);
  }

  /** First pfn behind a chunk of this range. */
  chunkEnd(chunk: number): number {
    return chunkEnd(this, chunk);
  }

  /** Byte offset of a descriptor in {@link words}. */
  offsetOf(pfn: number): number {
    return descriptorOffset(this, pfn);
  }
}
