/** A region in memory: the buffers of one memmap, made once by its opener and attached to from any thread by a handle. */
import { descriptorWords } from '../descriptor/layout.ts';
import type { Pattern } from '../descriptor/pattern.ts';
import { invariant, VmemmapError } from '../errors.ts';
import { addon } from '../native.ts';
import {
  batchChunksOf,
  chunkEnd,
  chunkEndIndex,
  chunkStart,
  chunkStartIndex,
  descriptorOffset,
  descriptorSizeBytes,
  findRange,
  type RunGeometry,
  roundUp,
  runChunksOf,
} from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';
import type { Plan, PlannedMemmap, PolicyName } from '../plan.ts';
import { allocateData, type BackingChoice, type BackingReport, type DataBuffer } from './backing.ts';
import {
  type ControlWordName,
  controlWords,
  dataAlignmentBytes,
  type RegionLayout,
  rangeWord,
  regionLayout,
} from './layout.ts';
import { readSuperblock, type Superblock, writeSuperblock } from './superblock.ts';

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

/** What travels between threads: plain data and shared buffers, no addresses. postMessage clones it. */
export interface RegionHandle {
  readonly kind: 'vmemmap-region';
  readonly control: SharedArrayBuffer;
  readonly data: readonly DataBuffer[];
  readonly backing: BackingReport;
  readonly memory: MemoryHistory;
}

/** `fresh`: nobody wrote to the descriptors before this region was made, so they are zeros. `touched`: anything is there. */
export type MemoryHistory = 'fresh' | 'touched';

/** The buffers of one memmap as one thread sees them. */
export class Region {
  readonly handle: RegionHandle;
  readonly layout: RegionLayout;
  readonly policy: PolicyName;
  readonly profileId: number;
  readonly uuid: string;
  /** Sorted by pfn. */
  readonly ranges: readonly RegionRange[];
  readonly chunks: number;
  readonly pages: number;
  /** The control buffer as words: superblock, control words, owner table, chunk words. */
  readonly control: Int32Array<SharedArrayBuffer>;
  /** Indices in {@link control} of the control words: looked at between any two batches. */
  readonly word: Readonly<Record<ControlWordName, number>>;

  /** @param superblock what stands in the control buffer; whoever has written it need not read it. */
  private constructor(handle: RegionHandle, superblock: Superblock = readSuperblock(handle.control)) {
    this.handle = handle;
    this.policy = superblock.policy;
    this.profileId = superblock.profileId;
    this.uuid = superblock.uuid;
    this.layout = regionLayout(superblock.ranges);
    checkBuffers(handle, this.layout, superblock.ranges);
    this.control = new Int32Array(handle.control, 0, this.layout.controlSizeBytes / Int32Array.BYTES_PER_ELEMENT);
    this.word = controlWords(this.layout);
    let firstChunk = 0;
    this.ranges = superblock.ranges.map((plan, index) => {
      const range = new RegionRange(
        index,
        plan,
        firstChunk,
        this.layout,
        handle.data[index] as DataBuffer,
        handle.backing.pageSize,
      );
      firstChunk += range.chunks;
      return range;
    });
    this.chunks = firstChunk;
    this.pages = this.ranges.reduce((sum, range) => sum + range.pages, 0);
  }

  /**
   * Allocates the buffers of a plan. Nothing is written into the descriptors.
   * @param hosts node of this machine for the memory of each of the plan's nodes; see host-nodes.ts.
   * @throws VmemmapError NO_MEMORY, BACKING_UNAVAILABLE
   */
  static create(
    plan: Plan,
    policy: PolicyName,
    backing: BackingChoice,
    hosts: ReadonlyMap<number, number> = new Map(),
  ): Region {
    const { data, report } = allocateData(
      backing,
      plan.ranges.map(({ nid, pages }) => ({ sizeBytes: pages * descriptorSizeBytes, hostNid: hosts.get(nid) })),
    );
    return Region.#over(plan, policy, data, report, 'fresh');
  }

  /** A region over the descriptors of another, which was closed: its chunks are all free, whatever stands in them. */
  static over({ ranges, profileId, policy, handle }: Region): Region {
    return Region.#over({ ranges, profileId }, policy, handle.data, handle.backing, 'touched');
  }

  static #over(
    plan: Plan,
    policy: PolicyName,
    data: readonly DataBuffer[],
    backing: BackingReport,
    memory: MemoryHistory,
  ): Region {
    const control = new SharedArrayBuffer(regionLayout(plan.ranges).controlSizeBytes);
    const superblock = writeSuperblock(control, plan, policy);
    return new Region({ kind: 'vmemmap-region', control, data, backing, memory }, superblock);
  }

  /** Sees the region of a handle, which may come from another thread. @throws VmemmapError HANDLE_INVALID */
  static attach(handle: RegionHandle): Region {
    const sound =
      typeof handle === 'object' &&
      handle !== null &&
      handle.kind === 'vmemmap-region' &&
      handle.control instanceof SharedArrayBuffer &&
      Array.isArray(handle.data) &&
      typeof handle.backing === 'object' &&
      handle.backing !== null &&
      Number.isSafeInteger(handle.backing.pageSize) &&
      // taken for touched it would only be slower; taken for fresh it would keep what stands there
      (handle.memory === 'fresh' || handle.memory === 'touched');
    if (!sound) {
      throw new VmemmapError('HANDLE_INVALID', 'not a handle: pass what memmap.handle() returned', {
        received: handle,
      });
    }
    return new Region(handle);
  }

  /**
   * Gives the memory of the descriptors back to the kernel, where the addon can: they read as zeros from then on. What is
   * smaller than a huge page, and all without the addon, goes when the buffers are collected.
   */
  discard(): void {
    const { backing, data } = this.handle;
    for (const { index, words } of this.ranges) {
      if (backing.effective === 'hugetlb') {
        const { buffer, byteOffset } = data[index] as DataBuffer;
        const lengthBytes = roundUp(words.byteLength, backing.pageSize);
        addon?.unmapHugePages(new Uint32Array(buffer, byteOffset, lengthBytes / 4), backing.pageSize);
      } else if (words.byteLength >= dataAlignmentBytes) addon?.discard(words);
    }
  }

  /** The range of a chunk, by its number among all chunks. */
  rangeOfChunk(chunk: number): RegionRange {
    const range = this.ranges.findLast(({ firstChunk }) => firstChunk <= chunk);
    invariant(range !== undefined, 'every chunk belongs to a range');
    return range;
  }

  /** The range that holds `pfn`, or undefined in a hole. */
  rangeOf(pfn: number): RegionRange | undefined {
    return this.ranges[findRange(this.ranges, pfn)];
  }
}

/** Fields of a handle are never trusted as lengths: what the superblock implies must fit into the buffers. */
function checkBuffers(handle: RegionHandle, layout: RegionLayout, ranges: readonly { pages: number }[]): void {
  const fits =
    handle.control.byteLength >= layout.controlSizeBytes &&
    handle.data.length === ranges.length &&
    ranges.every(({ pages }, index) => holds(handle.data[index], pages * descriptorSizeBytes));
  if (!fits) {
    throw new VmemmapError('HANDLE_INVALID', 'the buffers do not fit the superblock; make the handle again', {
      received: { control: handle.control.byteLength, data: handle.data.length },
    });
  }
}

/** Whether a part of a handle, which may be anything, has room for so many bytes of descriptors. */
function holds(part: Partial<DataBuffer> | null | undefined, sizeBytes: number): boolean {
  const { buffer, byteOffset = Number.NaN } = part ?? {};
  const aligned =
    Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset % Uint32Array.BYTES_PER_ELEMENT === 0;
  return aligned && buffer instanceof SharedArrayBuffer && buffer.byteLength - byteOffset >= sizeBytes;
}
