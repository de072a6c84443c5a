/** A range with its memory, and its place among the chunk words of its region. */
import { descriptorWords } from '../descriptor/layout.ts';
import type { Pattern } from '../descriptor/pattern.ts';
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
import type { PlannedMemmap } from '../plan.ts';
import type { DataBuffer } from './backing.ts';
import { type RegionLayout, rangeWord } from './layout.ts';

/** Descriptors in a window: 1 GiB. An index into a window is a small integer in V8, so kernels get these, not the whole. */
const windowDescriptors: number = 2 ** 24;

/** A range with its memory and its place among the chunk words. */
export class RegionRange implements RunGeometry {
  /** Place among the region's ranges. */
  readonly index: number;
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
  /** Number of the range's chunk 0 among all chunks of the region. */
  readonly firstChunk: number;
  /** What is written into the range. */
  readonly pattern: Pattern;
  /** All of the range's descriptors, 16 words each. */
  readonly words: Uint32Array<SharedArrayBuffer>;
  /** Indices of the range's words in the control buffer. */
  readonly drainCursor: number;
  readonly growCursor: number;
  readonly wantedRun: number;
  readonly #windows: Uint32Array<SharedArrayBuffer>[] = [];

  /** @param pageSizeBytes of the memory behind `data`. */
  constructor(
    index: number,
    plan: PlannedMemmap,
    firstChunk: number,
    layout: RegionLayout,
    data: DataBuffer,
    pageSizeBytes: number,
  ) {
    this.index = index;
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
    this.pattern = plan.pattern;
    this.drainCursor = rangeWord(layout, index, 'drainCursor');
    this.growCursor = rangeWord(layout, index, 'growCursor');
    this.wantedRun = rangeWord(layout, index, 'wantedRun');
    this.words = new Uint32Array(data.buffer, data.byteOffset, this.pages * descriptorWords);
    for (let first = 0; first < this.pages; first += windowDescriptors) {
      const length = Math.min(windowDescriptors, this.pages - first) * descriptorWords;
      this.#windows.push(new Uint32Array(data.buffer, data.byteOffset + first * descriptorSizeBytes, length));
    }
  }

  /**
   * Calls `visit` for the descriptors numbered `[startIndex, endIndex)` in the range, window by window, and adds up what it
   * returns; with `untilNonZero` it stops at the first result that is not 0, as one does with errnos.
   * @param visit gets a window, the word where the run begins in it, its descriptors, the pattern, and the number of its
   * first descriptor in the range: the arguments of an init kernel.
   */
  sumOver(
    startIndex: number,
    endIndex: number,
    visit: (words: Uint32Array, at: number, count: number, pattern: Uint32Array, index: number) => number,
    untilNonZero = false,
  ): number {
    let sum = 0;
    let index = startIndex;
    while (index < endIndex) {
      const inWindow = index & (windowDescriptors - 1);
      const count = Math.min(endIndex - index, windowDescriptors - inWindow);
      const window = this.#windows[(index - inWindow) / windowDescriptors] as Uint32Array;
      sum += visit(window, Math.imul(inWindow, descriptorWords), count, this.pattern, index);
      if (untilNonZero && sum !== 0) return sum;
      index += count;
    }
    return sum;
  }

  /** The same for the chunks `[first, end)`, which may not be empty. */
  sumOverChunks(
    first: number,
    end: number,
    visit: Parameters<RegionRange['sumOver']>[2],
    untilNonZero = false,
  ): number {
    return this.sumOver(chunkStartIndex(this, first), chunkEndIndex(this, end - 1), visit, untilNonZero);
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
