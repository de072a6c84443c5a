/** A region: the buffers of one memmap, made once by its opener and attached to from any thread by a handle. */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { invariant, VmemmapError } from '../errors.ts';
import { addon } from '../native.ts';
import { chunkEndIndex, chunkStartIndex, descriptorSizeBytes, findRange, pageSizeBytes } from '../physical/geometry.ts';
import type { PlatformName } from '../physical/platforms.ts';
import { type Plan, type PolicyName, sharablePages } from '../plan.ts';
import { allocateData, type BackingChoice, type BackingReport, type DataBuffer, type DataNeed } from './backing.ts';
import { type Persistence, persistenceOf } from './durability.ts';
import { type HotplugTerms, isHotplugTerms } from './hotplug-terms.ts';
import {
  type ControlWordName,
  controlWords,
  dataAlignmentBytes,
  type HotRoom,
  noRoom,
  ordersSizeBytes,
  type RegionLayout,
  regionLayout,
  superblockSizeBytes,
} from './layout.ts';
import { type MappedFile, unmapFile } from './mapping.ts';
import { Media } from './media.ts';
import { FileProcesses, type Processes } from './processes.ts';
import type { RegionRange, RunVisit } from './range.ts';
import { blocksFor, storedBytesOf } from './shared-tails.ts';
import { giveBack } from './slot-memory.ts';
import { RangeSlots } from './slots.ts';
import { decodeSuperblock, encodeSuperblock, refuseHandle, type Superblock } from './superblock.ts';
import { ProcessWaits } from './waits.ts';

/** What travels between threads: plain data and shared buffers, no addresses. postMessage clones it. */
export interface RegionHandle {
  readonly kind: 'vmemmap-region';
  readonly control: DataBuffer;
  /** Orders to the threads of this process; see layout.ts. */
  readonly orders: SharedArrayBuffer;
  readonly data: readonly DataBuffer[];
  readonly backing: BackingReport;
  readonly memory: MemoryHistory;
  /** The file that the buffers map, where they do. */
  readonly file?: FileHold;
  /** How ranges are planned that come later; there is room for some only with it. */
  readonly hotplug?: HotplugTerms;
}

/** A file that this process has open and mapped. */
export interface FileHold {
  readonly path: string;
  /** File descriptor, the same in all threads of a process. */
  readonly fd: number;
  /** Slot of this process in the process table; 0 for one that only reads. */
  readonly process: number;
  /** The parts as they are mapped. */
  readonly mapped: MappedFile;
  /** Its pages are to be read before they are populated: see {@link Region.unreadable}. */
  readonly readsFirst: boolean;
}

/** `fresh`: nobody wrote to the descriptors before this region was made, so they are zeros. `touched`: anything is there. */
export type MemoryHistory = 'fresh' | 'touched';

/** The buffers of one memmap as one thread sees them. */
export class Region {
  readonly handle: RegionHandle;
  readonly layout: RegionLayout;
  readonly policy: PolicyName;
  readonly profileId: number;
  readonly platform: PlatformName;
  readonly uuid: string;
  readonly epoch: number;
  /** Which ranges there are. */
  readonly slots: RangeSlots;
  /** Chunk words: those of all slots, whether they have a range or not. */
  readonly chunks: number;
  /** The control buffer as words: superblock, control words, owner table, chunk words. */
  readonly control: Int32Array<SharedArrayBuffer>;
  /** The same bytes in units of eight, for the words that are as long. */
  readonly controlUnits: BigInt64Array<SharedArrayBuffer>;
  /** The same bytes for whoever brings them to the media. */
  readonly controlLines: Uint32Array<SharedArrayBuffer>;
  /** Indices in {@link control} of the control words: looked at between any two batches. */
  readonly word: Readonly<Record<ControlWordName, number>>;
  /** Orders to the threads of this process. */
  readonly orders: Int32Array<SharedArrayBuffer>;
  /** How threads of several processes wait for each other; undefined in memory. */
  readonly waits: ProcessWaits | undefined;
  /** The processes that share the file; undefined in memory. */
  readonly processes: Processes | undefined;
  /** How stores reach the media; undefined where nothing does. */
  readonly persistence: Persistence | undefined;
  readonly #media: Media;
  /** The same as arguments of `sumOver`, made once. */
  readonly #persisting: Record<'persist' | 'persistAll', RunVisit> | undefined;

  /**
   * @param superblock what stands in the control buffer; whoever has written it need not read it.
   * @param persistence by default that of the handle's durability; tests put in another.
   */
  private constructor(
    handle: RegionHandle,
    superblock: Superblock = decodeSuperblock(bytesOf(handle.control), refuseHandle),
    persistence: Persistence | undefined = persistenceOfHandle(handle),
  ) {
    this.handle = handle;
    this.policy = superblock.policy;
    this.profileId = superblock.profileId;
    this.platform = superblock.platform;
    this.uuid = superblock.uuid;
    this.epoch = superblock.epoch;
    this.persistence = persistence;
    this.#persisting = persistence && {
      persist: (words, at, count) =>
        persistence.persist(words, at * words.BYTES_PER_ELEMENT, count * descriptorSizeBytes),
      persistAll: (words, at, count) =>
        persistence.persistAll(words, at * words.BYTES_PER_ELEMENT, count * descriptorSizeBytes),
    };
    this.layout = regionLayout(superblock.ranges, superblock.alignmentBytes, superblock.room);
    checkBuffers(handle, this.layout, superblock);
    const { controlSizeBytes } = this.layout;
    const { buffer, byteOffset } = handle.control;
    this.control = new Int32Array(buffer, byteOffset, controlSizeBytes / Int32Array.BYTES_PER_ELEMENT);
    this.controlUnits = new BigInt64Array(buffer, byteOffset, controlSizeBytes / BigInt64Array.BYTES_PER_ELEMENT);
    this.controlLines = new Uint32Array(this.control.buffer, this.control.byteOffset, this.control.length);
    this.orders = new Int32Array(handle.orders, 0, ordersSizeBytes / Int32Array.BYTES_PER_ELEMENT);
    this.word = controlWords(this.layout);
    const { file } = handle;
    this.waits = file && new ProcessWaits(this.control, this.word.waiters);
    this.#media = new Media(this.control, this.word.mediaErrno, this.orders);
    this.processes = file && new FileProcesses(file.fd, file.process, this.control, this.layout);
    this.slots = new RangeSlots({
      plan: superblock.ranges,
      room: superblock.room,
      layout: this.layout,
      control: this.control,
      data: handle.data,
      pageSizeBytes: handle.backing.pageSize,
    });
    this.chunks = this.slots.chunks;
  }

  /** The ranges there are at this moment, sorted by pfn; the same list as long as none comes or goes. */
  get ranges(): readonly RegionRange[] {
    return this.slots.ranges;
  }

  /** Pages of all ranges there are at this moment. */
  get pages(): number {
    return this.ranges.reduce((sum, range) => sum + range.pages, 0);
  }

  /**
   * Allocates the buffers of a plan. Nothing is written into the descriptors.
   * @param hosts node of this machine for the memory of each of the plan's nodes; see host-nodes.ts.
   * @param hot room for ranges that come later.
   * @throws VmemmapError NO_MEMORY, BACKING_UNAVAILABLE
   */
  static create(
    plan: Plan,
    policy: PolicyName,
    backing: BackingChoice,
    hosts: ReadonlyMap<number, number> = new Map(),
    hot?: { readonly room: HotRoom; readonly terms: HotplugTerms },
  ): Region {
    const { room = noRoom, terms } = hot ?? {};
    const { data, report } = allocateData(backing, needsOf(plan, hosts), room);
    const buffers = { data, backing: report, memory: 'fresh', ...(terms && { hotplug: terms }) } as const;
    const region = Region.#over(plan, policy, room, buffers);
    const { states, hotFirst, count } = region.slots;
    for (let slot = hotFirst; slot < count; slot++) states.reserve(slot);
    return region;
  }

  /**
   * A region over the descriptors of another, which was closed: it has the ranges that are in that, and its chunks are all free,
   * whatever stands in them.
   */
  static over({ handle, slots, policy, profileId, platform }: Region): Region {
    const { data, backing, hotplug } = handle;
    const buffers = { data, backing, memory: 'touched', ...(hotplug && { hotplug }) } as const;
    const region = Region.#over({ ranges: slots.plan, profileId, platform }, policy, slots.room, buffers);
    region.slots.inherit(slots);
    return region;
  }

  static #over(
    plan: Plan,
    policy: PolicyName,
    room: HotRoom,
    buffers: Pick<RegionHandle, 'data' | 'backing' | 'memory' | 'hotplug'>,
  ): Region {
    const { controlSizeBytes } = regionLayout(plan.ranges, dataAlignmentBytes, room);
    const buffer = new SharedArrayBuffer(controlSizeBytes);
    const { header, superblock } = encodeSuperblock(plan, policy, dataAlignmentBytes, room);
    new Uint8Array(buffer).set(header);
    const orders = new SharedArrayBuffer(ordersSizeBytes);
    return new Region({ kind: 'vmemmap-region', control: { buffer, byteOffset: 0 }, orders, ...buffers }, superblock);
  }

  /** The region of a file that is mapped. @param persistence see the constructor. */
  static ofFile(
    handle: Omit<RegionHandle, 'kind' | 'orders'>,
    superblock: Superblock,
    persistence?: Persistence,
  ): Region {
    const orders = new SharedArrayBuffer(ordersSizeBytes);
    return new Region({ kind: 'vmemmap-region', orders, ...handle }, superblock, persistence);
  }

  /** Bytes of memory that all descriptors take. */
  get storedBytes(): number {
    const { data } = this.handle;
    return this.ranges.reduce(
      (sum, range) => sum + storedBytesOf(needOf(range), data[range.slot]?.tailBlockBytes ?? 0),
      0,
    );
  }

  /** Sees the region of a handle, which may come from another thread. @throws VmemmapError HANDLE_INVALID */
  static attach(handle: RegionHandle): Region {
    const sound =
      typeof handle === 'object' &&
      handle !== null &&
      handle.kind === 'vmemmap-region' &&
      holds(handle.control, superblockSizeBytes) &&
      handle.orders instanceof SharedArrayBuffer &&
      handle.orders.byteLength >= ordersSizeBytes &&
      Array.isArray(handle.data) &&
      typeof handle.backing === 'object' &&
      handle.backing !== null &&
      Number.isSafeInteger(handle.backing.pageSize) &&
      (handle.file === undefined || isFileHold(handle.file)) &&
      // taken for touched it would only be slower; taken for fresh it would keep what stands there
      (handle.memory === 'fresh' || handle.memory === 'touched') &&
      (handle.hotplug === undefined || isHotplugTerms(handle.hotplug));
    if (!sound) {
      throw new VmemmapError('HANDLE_INVALID', 'not a handle: pass what memmap.handle() returned', {
        received: handle,
      });
    }
    return new Region(handle);
  }

  /**
   * Whether the descriptors of the chunks `[first, end)` of a range can be read: 0, or the positive errno of why not. Always 0 in
   * memory, and before Linux 5.14, which cannot be asked.
   */
  look(range: RegionRange, first: number, end: number): number {
    if (!this.handle.file) return 0;
    const errno = this.unreadable(range, first, end) || range.sumOverChunks(first, end, populateRead, true);
    if (errno === constants.errno.EINVAL) return 0;
    return errno === constants.errno.EFAULT ? this.whyUnreachable(range, first, end) : errno;
  }

  /**
   * Errno of the media under the chunks `[first, end)` of a range, or 0. Asked before they are populated where the kernel would
   * never return from a page that it cannot read. It costs as much again as initializing them, so elsewhere it is 0 at once.
   */
  unreadable(range: RegionRange, first: number, end: number): number {
    const { file } = this.handle;
    if (!file?.readsFirst || !addon) return 0;
    const { offset, lengthBytes } = this.#extentInFile(range, first, end);
    return addon.readError(file.fd, offset, lengthBytes, pageSizeBytes);
  }

  /** The errno behind an EFAULT of the kernel for the chunks `[first, end)` of a range; EFAULT when there is none to be found. */
  whyUnreachable(range: RegionRange, first: number, end: number): number {
    const { file } = this.handle;
    if (!file || !addon) return constants.errno.EFAULT;
    const { offset, lengthBytes } = this.#extentInFile(range, first, end);
    return addon.whyUnreachable(file.fd, offset, lengthBytes, pageSizeBytes);
  }

  #extentInFile(range: RegionRange, first: number, end: number): { offset: number; lengthBytes: number } {
    const start = chunkStartIndex(range, first) * descriptorSizeBytes;
    const lengthBytes = chunkEndIndex(range, end - 1) * descriptorSizeBytes - start;
    return { offset: (this.layout.data[range.slot] as number) + start, lengthBytes };
  }

  /** Positive errno with which the media has refused to keep something since the file was opened with nobody in it, else 0. */
  get mediaErrno(): number {
    return this.#media.errno;
  }

  /** Brings the words of the chunks `[first, end)` to the media. @returns 0 or a positive errno */
  persistChunkWords(first: number, end: number): number {
    const { persistence, controlLines, layout } = this;
    if (!persistence || first === end) return 0;
    const wordBytes = Int32Array.BYTES_PER_ELEMENT;
    const [offset, length] = [layout.chunkWords + first * wordBytes, (end - first) * wordBytes];
    if (persistence.isCertain) return persistence.persist(controlLines, offset, length);
    return this.#media.keep(() => persistence.persist(controlLines, offset, length));
  }

  /**
   * Brings the descriptors numbered `[startIndex, endIndex)` of a range to the media.
   * @param how `persist` for what this process has stored, `persistAll` for what anybody has.
   * @returns 0 or a positive errno
   */
  persistDescriptors(range: RegionRange, startIndex: number, endIndex: number, how: 'persist' | 'persistAll'): number {
    const visit = this.#persisting?.[how];
    if (!visit) return 0;
    if (how === 'persist' && this.persistence?.isCertain) return range.sumOver(startIndex, endIndex, visit, true);
    return this.#media.keep(() => range.sumOver(startIndex, endIndex, visit, true));
  }

  /**
   * Gives the memory of the descriptors back to the kernel, where the addon can: they read as zeros from then on. What is
   * smaller than a huge page, and all without the addon, goes when the buffers are collected. A file is unmapped and closed,
   * its control part with it: nobody of this process may hold a claim or an owner slot any more.
   */
  discard(): void {
    const { backing, data, file } = this.handle;
    if (file) {
      closeFile(file, this.processes);
      return;
    }
    // at once: nobody has anything to do with it any more, and nobody waits for us
    for (let slot = 0; slot < this.slots.count; slot++) {
      if (!this.slots.isUsed(slot)) continue;
      const sizeBytes = this.slots.pagesOf(slot) * descriptorSizeBytes;
      giveBack(data[slot] as DataBuffer, sizeBytes, backing);
    }
  }

  /** The range of a chunk, by its number among all chunks. For files, and for ranges that nobody removes meanwhile. */
  rangeOfChunk(chunk: number): RegionRange {
    const range = this.ranges.find(({ firstChunk, chunks }) => firstChunk <= chunk && chunk < firstChunk + chunks);
    invariant(range !== undefined, 'every chunk belongs to a range');
    return range;
  }

  /** The range that holds `pfn`, or undefined in a hole. It is live, or was a moment ago. */
  rangeOf(pfn: number): RegionRange | undefined {
    const { ranges } = this;
    return ranges[findRange(ranges, pfn)];
  }
}

function persistenceOfHandle({ backing }: RegionHandle): Persistence | undefined {
  return persistenceOf(backing.durability, backing.effective === 'devdax' ? 'devdax' : 'file');
}

/** What the descriptors of a plan need. */
function needsOf({ ranges }: Plan, hosts: ReadonlyMap<number, number> = new Map()): DataNeed[] {
  return ranges.map((range) => ({ ...needOf(range), hostNid: hosts.get(range.nid) }));
}

function needOf(range: Plan['ranges'][number]): DataNeed {
  const compoundPages = sharablePages(range);
  return {
    sizeBytes: range.pages * descriptorSizeBytes,
    periodBytes: compoundPages && compoundPages * descriptorSizeBytes,
  };
}

/** Bytes of memory that the descriptors of a plan will take. @throws VmemmapError BACKING_UNAVAILABLE when tails cannot be shared */
export function storedBytes(plan: Plan, { sharesTails }: BackingChoice): number {
  const needs = needsOf(plan);
  const blocks = sharesTails ? blocksFor(needs) : [];
  return needs.reduce((sum, need, index) => sum + storedBytesOf(need, blocks[index] ?? 0), 0);
}

/** As an argument of `sumOver`: maps the pages of a run of descriptors for reading, or tells by an errno why not. */
function populateRead(words: Uint32Array, at: number, count: number): number {
  return addon?.populateRead(words, at * words.BYTES_PER_ELEMENT, count * descriptorSizeBytes) ?? 0;
}

/** Unmaps a file, lets go of its locks, and closes it. */
function closeFile({ fd, process, mapped }: FileHold, processes: Processes | undefined): void {
  if (process !== 0) processes?.forget();
  unmapFile(mapped);
  // its locks go with it: nothing maps it any more
  closeSync(fd);
}

/** Fields of a handle are never trusted as lengths: what the superblock implies must fit into the buffers. */
function checkBuffers(handle: RegionHandle, layout: RegionLayout, { ranges, room }: Superblock): void {
  const fits =
    holds(handle.control, layout.controlSizeBytes, BigInt64Array.BYTES_PER_ELEMENT) &&
    handle.data.length === ranges.length + room.ranges &&
    // not `every`, which passes over what is missing
    !Array.from(handle.data, (part, slot) =>
      holds(part, (ranges[slot]?.pages ?? room.pages) * descriptorSizeBytes),
    ).includes(false);
  if (!fits) {
    throw new VmemmapError('HANDLE_INVALID', 'the buffers do not fit the superblock; make the handle again', {
      received: { control: handle.control.buffer.byteLength, data: handle.data.length },
    });
  }
}

/** All bytes of a buffer of a handle from where the region's begin. */
function bytesOf({ buffer, byteOffset }: DataBuffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset);
}

function isFileHold(file: Partial<FileHold> | null): boolean {
  return (
    typeof file === 'object' &&
    typeof file?.path === 'string' &&
    Number.isInteger(file.fd) &&
    Number.isInteger(file.process) &&
    typeof file.mapped === 'object' &&
    typeof file.readsFirst === 'boolean'
  );
}

/** Whether a part of a handle, which may be anything, has room for so many bytes, and begins at such a border. */
function holds(
  part: Partial<DataBuffer> | null | undefined,
  sizeBytes: number,
  alignmentBytes: number = Uint32Array.BYTES_PER_ELEMENT,
): boolean {
  const { buffer, byteOffset = Number.NaN, tailBlockBytes = descriptorSizeBytes } = part ?? {};
  const aligned = Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset % alignmentBytes === 0;
  // it only decides what need not be written twice, but nothing must be left out for it
  const isBlock =
    Number.isSafeInteger(tailBlockBytes) && tailBlockBytes > 0 && tailBlockBytes % descriptorSizeBytes === 0;
  return aligned && isBlock && buffer instanceof SharedArrayBuffer && buffer.byteLength - byteOffset >= sizeBytes;
}
