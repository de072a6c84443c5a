/** Backings: where the bytes of the descriptors live, and what was really got of what was asked for. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { VmemmapError } from '../errors.ts';
import { addon, addonState } from '../native.ts';
import { descriptorSizeBytes, hugePageSizeBytes, pageSizeBytes, roundUp } from '../physical/geometry.ts';
import type { Durability } from './durability.ts';
import type { FileKind } from './file.ts';
import { chooseHugetlb, type HugetlbPool, isHugetlbLimited, refuseHugetlb } from './hugetlb.ts';
import { type HotRoom, lineSizeBytes, noRoom } from './layout.ts';
import { blocksFor, mappingsOf, storedBytesOf, type TailNeed } from './shared-tails.ts';

/**
 * `shared`: plain shared memory. `huge`: the same memory, the kernel advised to use transparent huge pages. `hugetlb`: huge
 * pages that the administrator has reserved (2 MiB, or 1 GiB). `file`: a file in any file system, also one on persistent
 * memory (fsdax). `devdax`: a device-dax device.
 */
export type BackingName = MemoryBackingName | FileKind;

/** Backings in memory of this process's own. */
export type MemoryBackingName = 'shared' | 'huge' | 'hugetlb';

/** All backings there are. */
export const backingNames: readonly BackingName[] = ['huge', 'shared', 'hugetlb', 'file', 'devdax'];

/** Asked for, and got. */
export interface BackingReport {
  readonly requested: BackingName;
  readonly effective: BackingName;
  /** Why `effective` is not what was requested; absent when it is. */
  readonly reason?: string;
  /**
   * Page size that maps most of what is in memory, in bytes; as long as nothing is, the one that was asked for. Of a file on DAX
   * the kernel does not tell: ordinary pages, though it may be huge ones.
   */
  readonly pageSize: number;
  /**
   * How a chunk's pages come when it is first written. `populate`: by one system call before (MADV_POPULATE_WRITE), which is
   * quicker than a trap for each small page, and tells by an errno where there is none. `store`: by the stores themselves;
   * each thread takes its traps without the lock of the whole address space, which threads that start need to themselves.
   */
  readonly firstTouch: 'populate' | 'store';
  /** What was got: when a chunk is DURABLE, and by what. `none`: in memory, and where nothing was asked for. */
  readonly durability: Durability;
  /** What was asked for; absent when nothing was, and the best that there is was taken. */
  readonly durabilityRequested?: Durability;
  /** Positive errno of binding a range's memory to its node, which then comes from where it is touched first. */
  readonly nodeErrno?: number;
  /** Absent unless tails are shared. */
  readonly sharedTails?: SharedTails;
}

/** Where tails of compound pages are stored once. */
export interface SharedTails {
  /** Bytes of memory that all descriptors take. */
  readonly storedBytes: number;
  /** Mappings of this process that sharing takes. */
  readonly mappings: number;
}

/** What a request will be answered with, decided before anything is allocated. */
export interface BackingChoice {
  /** Whether tails of compound pages are to be stored once; see shared-tails.ts. */
  readonly sharesTails?: boolean;
  readonly requested: MemoryBackingName;
  readonly effective: MemoryBackingName;
  /** Why they differ. */
  readonly reason?: string;
}

/** One range's descriptors: a buffer, and where in it they begin. */
export interface DataBuffer {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  /** Where tails are shared: bytes of a block, of which each compound page has two; see shared-tails.ts. */
  readonly tailBlockBytes?: number;
}

/** What the descriptors of one range need. */
export interface DataNeed extends TailNeed {
  /** Node of this machine that their memory should come from; undefined: wherever it is touched first. */
  readonly hostNid?: number | undefined;
}

/**
 * Smallest buffer over which other memory may be mapped: smaller ones may come from the C library's heap, and mapping over
 * those would corrupt it.
 */
const overlayBytesMin: number = 64 * 2 ** 20;

/** Size of a buffer for several ranges that may come later; one that is larger has its own. */
const roomBufferBytes: number = 2 ** 30;

/** Says why the kernel will not use transparent huge pages, or undefined when it will. */
function hugePageObstacle(): string | undefined {
  const state = addonState();
  if (!state.loaded) return `the addon is not loaded (${state.reason})`;
  const path = '/sys/kernel/mm/transparent_hugepage/enabled';
  try {
    if (readFileSync(path, 'utf8').includes('[never]')) {
      return `transparent huge pages are off; as root: echo madvise > ${path}`;
    }
  } catch {
    return `this kernel has no transparent huge pages (${path} cannot be read)`;
  }
  return undefined;
}

/**
 * Decides what a request will be answered with: `huge` falls back to `shared` and says why, `hugetlb` does not.
 * @throws VmemmapError ADDON_MISSING when tails are to be shared without the addon
 */
export function chooseBacking(requested: MemoryBackingName, sharesTails = false): BackingChoice {
  const state = addonState();
  if (sharesTails && !state.loaded) {
    throw new VmemmapError('ADDON_MISSING', `sharing tails takes the addon, which is not loaded: ${state.reason}`);
  }
  const reason = requested === 'huge' ? hugePageObstacle() : undefined;
  const answer = reason === undefined ? { effective: requested } : { effective: 'shared' as const, reason };
  return { requested, ...answer, ...(sharesTails ? { sharesTails } : {}) };
}

/**
 * Allocates one buffer per range, and behind them one for each range that may come later. The memory is reserved, not touched: it
 * reads as zeros and costs nothing until written.
 * @param room for those that may come later.
 * @throws VmemmapError NO_MEMORY when address space or overcommit limits refuse it; for `hugetlb` ADDON_MISSING, or
 * BACKING_UNAVAILABLE when too few huge pages are free, with the command that reserves them.
 */
export function allocateData(
  choice: BackingChoice,
  needs: readonly DataNeed[],
  room: Pick<HotRoom, 'ranges' | 'pages'> = noRoom,
): { data: DataBuffer[]; report: BackingReport } {
  const { requested } = choice;
  const pool = choice.effective === 'hugetlb' ? chooseHugetlb(needs.map(({ sizeBytes }) => sizeBytes)) : undefined;
  const sizesBytes = [...needs.map(({ sizeBytes }) => sizeBytes), room.pages * descriptorSizeBytes];
  const isHuge = choice.effective === 'huge' && sizesBytes.some((sizeBytes) => sizeBytes >= hugePageSizeBytes);
  let reason = choice.effective === 'huge' && !isHuge ? 'no range fills a huge page of descriptors' : choice.reason;
  let nodeErrno = 0;
  const blocks = choice.sharesTails ? blocksFor(needs) : [];
  const data = needs.map(({ sizeBytes, hostNid, periodBytes }, index): DataBuffer => {
    const block = blocks[index] ?? 0;
    const part =
      block > 0 && periodBytes !== undefined
        ? allocateShared(sizeBytes, periodBytes, block)
        : pool
          ? allocateHugetlb(pool, sizeBytes)
          : allocateSmall(isHuge, sizeBytes);
    reason ??= part.reason;
    const { buffer, byteOffset } = part;
    // Only a preference: where the node is full, memory of another one is better than none.
    const errno = hostNid === undefined ? 0 : addon?.preferNode(wordsOf(part, sizeBytes), hostNid);
    nodeErrno ||= errno ?? 0;
    return { buffer, byteOffset, ...(block > 0 ? { tailBlockBytes: block } : {}) };
  });
  data.push(...allocateRoom(pool, isHuge, room));
  const sharedTails = choice.sharesTails ? { sharedTails: sharedTailsOf(needs, blocks) } : {};
  const rest = { durability: 'none', ...(nodeErrno === 0 ? {} : { nodeErrno }), ...sharedTails } as const;
  const pageSize = pool?.pageSizeBytes ?? hugePageSizeBytes;
  if (reason === undefined && requested !== 'shared') {
    // transparent huge pages cannot fail: the kernel takes small ones instead
    const firstTouch = pool && isHugetlbLimited(pool.pageSizeBytes) ? 'populate' : 'store';
    return { data, report: { requested, effective: requested, pageSize, firstTouch, ...rest } };
  }
  const why = reason === undefined ? {} : { reason };
  const small = { pageSize: pageSizeBytes, firstTouch: addon ? 'populate' : 'store' } as const;
  return { data, report: { requested, effective: 'shared', ...why, ...small, ...rest } };
}

/** Memory that the kernel maps page by page, in huge pages where it was advised to. */
function allocateSmall(isHuge: boolean, sizeBytes: number): DataBuffer & { reason?: string } {
  const huge = isHuge && sizeBytes >= hugePageSizeBytes;
  const alignment = huge ? hugePageSizeBytes : lineSizeBytes;
  const buffer = allocate(sizeBytes + alignment);
  // Node's own allocator puts large buffers at 16 bytes behind a page border; without the addon we can only assume that
  // it does. Descriptors that straddle cache lines would be slower, never wrong.
  const byteOffset = addon ? addon.bytesToBoundary(new Uint8Array(buffer, 0, 1), alignment) : lineSizeBytes - 16;
  if (!huge || !addon) return { buffer, byteOffset };
  const errno = addon.adviseHugePages(wordsOf({ buffer, byteOffset }, sizeBytes));
  return errno === 0
    ? { buffer, byteOffset }
    : { buffer, byteOffset, reason: `madvise(MADV_HUGEPAGE) failed: ${errnoName(errno)}` };
}

/**
 * Address space for ranges that may come later, several in a buffer: making one takes a tenth of a millisecond.
 * @param pool whose pages are mapped over them then, if any are: reserved now they would be lost to everybody else.
 */
function allocateRoom(
  pool: HugetlbPool | undefined,
  isHuge: boolean,
  { ranges, pages }: Pick<HotRoom, 'ranges' | 'pages'>,
): DataBuffer[] {
  const sizeBytes = pages * descriptorSizeBytes;
  const isAdvised = isHuge && sizeBytes >= hugePageSizeBytes;
  const alignment = pool?.pageSizeBytes ?? (isAdvised ? hugePageSizeBytes : pageSizeBytes);
  const slotBytes = roundUp(sizeBytes, alignment);
  const slotsMax = Math.max(1, Math.floor(roomBufferBytes / slotBytes));
  return Array.from({ length: Math.ceil(ranges / slotsMax) }, (_, index) => {
    const count = Math.min(slotsMax, ranges - index * slotsMax);
    const { buffer, byteOffset } = allocateUncounted(count * slotBytes, alignment, pool !== undefined, isAdvised);
    return Array.from({ length: count }, (_, slot) => ({ buffer, byteOffset: byteOffset + slot * slotBytes }));
  }).flat();
}

/**
 * Address space that the kernel is told not to count (MAP_NORESERVE), where the addon can: a process that has more of it than the
 * machine has memory could not fork, and so start no other program.
 */
function allocateUncounted(
  sizeBytes: number,
  alignment: number,
  isForOverlay: boolean,
  isAdvised: boolean,
): DataBuffer {
  if (!addon || (!isForOverlay && sizeBytes < overlayBytesMin)) return allocateSmall(isAdvised, sizeBytes);
  const part = allocateOverlay(sizeBytes, alignment);
  // only a courtesy, as is the advice: after an error it is the memory that it was
  addon.unmapHugePages(wordsOf(part, sizeBytes), pageSizeBytes);
  if (isAdvised) addon.adviseHugePages(wordsOf(part, sizeBytes));
  return part;
}

/** A buffer that nobody has seen yet, with room for `sizeBytes` at an alignment, over which other memory may be mapped. */
export function allocateOverlay(sizeBytes: number, alignmentBytes: number): DataBuffer {
  const buffer = allocate(Math.max(overlayBytesMin, sizeBytes + alignmentBytes));
  const byteOffset = addon?.bytesToBoundary(new Uint8Array(buffer, 0, 1), alignmentBytes) ?? 0;
  return { buffer, byteOffset };
}

/** Reserved huge pages, mapped over a part of a buffer that nobody has seen yet. */
function allocateHugetlb(pool: HugetlbPool, sizeBytes: number): DataBuffer & { reason?: string } {
  const mappedBytes = roundUp(sizeBytes, pool.pageSizeBytes);
  const { buffer, byteOffset } = allocateOverlay(mappedBytes, pool.pageSizeBytes);
  const errno = addon?.mapHugePages(wordsOf({ buffer, byteOffset }, mappedBytes), pool.pageSizeBytes);
  if (errno !== 0) throw refuseHugetlb(pool, mappedBytes / pool.pageSizeBytes, errnoName(errno ?? 0));
  return { buffer, byteOffset };
}

/** Memory in which the tails of each compound page are stored once. */
function allocateShared(sizeBytes: number, periodBytes: number, blockBytes: number): DataBuffer & { reason?: string } {
  // whole blocks may be huge pages, and whole periods then lie at their borders
  const part = allocateOverlay(sizeBytes, hugePageSizeBytes);
  const errno = addon?.mapSharedTails(wordsOf(part, sizeBytes), periodBytes, blockBytes) ?? constants.errno.ENOSYS;
  if (errno === 0) return part;
  const what = `tails cannot be shared: their memory cannot be mapped (${errnoName(errno)}); leave shareTails away`;
  throw new VmemmapError('BACKING_UNAVAILABLE', what, { errno });
}

function sharedTailsOf(needs: readonly DataNeed[], blocks: readonly number[]): SharedTails {
  let [storedBytes, mappings] = [0, 0];
  for (const [index, need] of needs.entries()) {
    const block = blocks[index] ?? 0;
    storedBytes += storedBytesOf(need, block);
    if (block > 0) mappings += mappingsOf(need, block);
  }
  return { storedBytes, mappings };
}

/** The words of a part of a buffer. */
export function wordsOf({ buffer, byteOffset }: DataBuffer, sizeBytes: number): Uint32Array {
  return new Uint32Array(buffer, byteOffset, sizeBytes / Uint32Array.BYTES_PER_ELEMENT);
}

function allocate(sizeBytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(sizeBytes);
  } catch (cause) {
    const gib = (sizeBytes / 2 ** 30).toFixed(1);
    throw new VmemmapError('NO_MEMORY', `${gib} GiB of descriptors cannot be reserved; use a smaller machine`, {
      cause,
    });
  }
}

/** Name of a positive errno, such as ENOMEM. */
export function errnoName(errno: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === errno);
  return found?.[0] ?? `errno ${errno}`;
}
