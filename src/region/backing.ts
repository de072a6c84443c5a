/** Backings: where the bytes of the descriptors live, and what was really got of what was asked for. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { VmemmapError } from '../errors.ts';
import { addon, addonState } from '../native.ts';
import { pageSizeBytes } from '../physical/geometry.ts';
import { dataAlignmentBytes, lineSizeBytes } from './layout.ts';

/** `shared`: plain shared memory. `huge`: the same memory, the kernel advised to use transparent huge pages. */
export type BackingName = 'shared' | 'huge';

/** All backings there are. */
export const backingNames: readonly BackingName[] = ['huge', 'shared'];

/** Asked for, and got. */
export interface BackingReport {
  readonly requested: BackingName;
  readonly effective: BackingName;
  /** Why `effective` is not what was requested; absent when it is. */
  readonly reason?: string;
  /** Page size that the kernel was asked to map with, in bytes. What is mapped can be read by `stats()`. */
  readonly pageSize: number;
  /** `none`: the descriptors are gone with the last process that maps them. */
  readonly durability: 'none';
}

/** One range's descriptors: a buffer, and where in it they begin. */
export interface DataBuffer {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
}

const hugePageSizeBytes = dataAlignmentBytes;

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
 * Allocates one buffer per range. The memory is reserved, not touched: it reads as zeros and costs nothing until written.
 * @throws VmemmapError NO_MEMORY when address space or overcommit limits refuse it.
 */
export function allocateData(
  requested: BackingName,
  sizesBytes: readonly number[],
): { data: DataBuffer[]; report: BackingReport } {
  let obstacle = requested === 'huge' ? hugePageObstacle() : undefined;
  const wantsHuge = requested === 'huge' && obstacle === undefined;
  const data = sizesBytes.map((sizeBytes) => {
    const huge = wantsHuge && sizeBytes >= hugePageSizeBytes;
    const alignment = huge ? hugePageSizeBytes : lineSizeBytes;
    const buffer = allocate(sizeBytes + alignment);
    // Node's own allocator puts large buffers at 16 bytes behind a page border; without the addon we can only assume that
    // it does. Descriptors that straddle cache lines would be slower, never wrong.
    const byteOffset = addon ? addon.bytesToBoundary(new Uint8Array(buffer, 0, 1), alignment) : lineSizeBytes - 16;
    if (huge && addon) {
      const errno = addon.adviseHugePages(new Uint32Array(buffer, byteOffset, sizeBytes / 4));
      if (errno !== 0) obstacle = `madvise(MADV_HUGEPAGE) failed: ${errnoName(errno)}`;
    }
    return { buffer, byteOffset };
  });
  const isHuge = wantsHuge && obstacle === undefined;
  return {
    data,
    report: {
      requested,
      effective: isHuge ? 'huge' : 'shared',
      ...(obstacle === undefined ? {} : { reason: obstacle }),
      pageSize: isHuge ? hugePageSizeBytes : pageSizeBytes,
      durability: 'none',
    },
  };
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
