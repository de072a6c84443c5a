/** Mapping a file into shared buffers: the control part, and each range's descriptors. */
import { constants, release } from 'node:os';
import { invariant, VmemmapError } from '../errors.ts';
import { addon, mapMode } from '../native.ts';
import { descriptorSizeBytes, pageSizeBytes, roundUp } from '../physical/geometry.ts';
import { allocateOverlay, type DataBuffer, errnoName } from './backing.ts';
import type { Durability } from './durability.ts';
import { fileError, type OpenFile } from './file.ts';
import type { RegionLayout } from './layout.ts';

/** A file as this process has it mapped. */
export interface MappedFile {
  readonly control: Part;
  readonly data: readonly Part[];
}

/** A mapping of one part. */
export interface Part extends DataBuffer {
  readonly lengthBytes: number;
}

/** Maps `[offset, offset + sizeBytes)` of a file, rounded up to its alignment. @returns the part, or a positive errno */
function mapPart(file: OpenFile, offset: number, sizeBytes: number, mode: keyof typeof mapMode): Part | number {
  invariant(addon !== undefined, 'who has a file has the addon');
  const lengthBytes = roundUp(sizeBytes, file.alignmentBytes);
  const part = allocateOverlay(lengthBytes, file.alignmentBytes);
  const view = new Uint32Array(part.buffer, part.byteOffset, lengthBytes / Uint32Array.BYTES_PER_ELEMENT);
  const errno = addon.mapFile(view, file.fd, offset, mapMode[mode]);
  return errno === 0 ? { ...part, lengthBytes } : errno;
}

/** Puts ordinary memory where a file was mapped: whoever still looks there sees zeros. */
function unmap({ buffer, byteOffset, lengthBytes }: Part): void {
  const view = new Uint32Array(buffer, byteOffset, lengthBytes / Uint32Array.BYTES_PER_ELEMENT);
  addon?.unmapHugePages(view, pageSizeBytes);
}

function refuse(file: OpenFile, errno: number): VmemmapError {
  if (errno === constants.errno.ENOMEM) {
    return new VmemmapError('NO_MEMORY', `${file.path} cannot be mapped: there is no address space; see ulimit -v`, {
      errno,
    });
  }
  return fileError('FILE_UNUSABLE', file.path, `it cannot be mapped (${errnoName(errno)})`, { errno });
}

/** The first bytes of a file that can only be mapped: a device-dax device. They are copied, the mapping is gone. */
export function peek(file: OpenFile, sizeBytes: number): Uint8Array {
  const part = mapPart(file, 0, sizeBytes, 'read');
  if (typeof part === 'number') throw refuse(file, part);
  try {
    lookAt(file, part, sizeBytes, 'read');
    return Uint8Array.from(new Uint8Array(part.buffer, part.byteOffset, sizeBytes));
  } finally {
    unmap(part);
  }
}

function wordsOf({ buffer, byteOffset, lengthBytes }: Part): Uint32Array {
  return new Uint32Array(buffer, byteOffset, lengthBytes / Uint32Array.BYTES_PER_ELEMENT);
}

/**
 * How a file is mapped for a durability: `sync` where the kernel promises MAP_SYNC. Asked by a mapping that nobody touches, which
 * may lie behind the end of the file: so it is known before anything is made.
 * @throws VmemmapError NO_MEMORY, FILE_UNUSABLE
 */
export function mapModeOf(file: OpenFile, wanted: Durability | undefined): 'sync' | 'shared' {
  // device-dax has no file system whose records could be late
  if (file.kind === 'devdax' || !file.isDax || !(wanted === undefined || wanted === 'dax-sync')) return 'shared';
  const part = mapPart(file, 0, pageSizeBytes, 'sync');
  if (part === constants.errno.EOPNOTSUPP) return 'shared';
  if (typeof part === 'number') throw refuse(file, part);
  unmap(part);
  return 'sync';
}

/**
 * Maps all parts of a file, and looks whether the control part is there: it is read and written without looking from then on.
 * @throws VmemmapError NO_MEMORY, FILE_UNUSABLE
 */
export function mapFile(
  file: OpenFile,
  layout: RegionLayout,
  ranges: readonly { pages: number }[],
  mode: keyof typeof mapMode,
): MappedFile {
  const parts: Part[] = [];
  const map = (offset: number, sizeBytes: number): Part => {
    const part = mapPart(file, offset, sizeBytes, mode);
    if (typeof part === 'number') throw refuse(file, part);
    parts.push(part);
    return part;
  };
  try {
    const control = map(0, layout.controlSizeBytes);
    lookAt(file, control, layout.controlSizeBytes, mode);
    const data = ranges.map(({ pages }, index) => map(layout.data[index] as number, pages * descriptorSizeBytes));
    return { control, data };
  } catch (error) {
    for (const part of parts) unmap(part);
    throw error;
  }
}

/** Before Linux 6.9 populating a page of the page cache that cannot be read never ends; its commit 631426ba1d45 mends that. */
const populateHangs: boolean = isKernelBefore(6, 9);

function isKernelBefore(major: number, minor: number): boolean {
  const [itsMajor = 0, itsMinor = 0] = release().split('.').map(Number);
  return itsMajor < major || (itsMajor === major && itsMinor < minor);
}

/** Whether pages of a file must be read before they are populated, lest that never ends. */
export function readsBeforePopulate({ isDax, isVolatile }: OpenFile): boolean {
  return populateHangs && !isDax && !isVolatile;
}

/** Gives all parts back. */
export function unmapFile({ control, data }: MappedFile): void {
  for (const part of [control, ...data]) unmap(part);
}

/** Maps the pages of the first bytes of a file. @throws VmemmapError FILE_UNUSABLE where a touch would end the process */
function lookAt(file: OpenFile, part: Part, sizeBytes: number, mode: keyof typeof mapMode): void {
  const populate = mode === 'read' ? addon?.populateRead : addon?.populate;
  const unreadable = readsBeforePopulate(file) ? addon?.readError(file.fd, 0, sizeBytes, pageSizeBytes) : 0;
  const errno = unreadable || (populate?.(wordsOf(part), 0, sizeBytes) ?? 0);
  // before Linux 5.14 (EINVAL) there is no way to ask
  if (errno === 0 || errno === constants.errno.EINVAL) return;
  const why = errno === constants.errno.EFAULT ? addon?.whyUnreachable(file.fd, 0, sizeBytes, pageSizeBytes) : errno;
  throw fileError(
    'FILE_UNUSABLE',
    file.path,
    `its first part cannot be reached (${errnoName(why ?? errno)}); see the kernel's log`,
    {
      errno: why ?? errno,
    },
  );
}
