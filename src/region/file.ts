/**
 * Opening the file of a memmap, or its device, so that nothing of anybody else's can be hurt: which kinds of files are taken,
 * how large they are, where their blocks come from. Nothing is mapped here and nothing is read.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { constants as os } from 'node:os';
import { basename } from 'node:path';
import { type ErrorCode, VmemmapError } from '../errors.ts';
import { addon } from '../native.ts';
import { pageSizeBytes } from '../physical/geometry.ts';
import { dataAlignmentBytes } from './layout.ts';

/** A file in a file system, or a device-dax device. */
export type FileKind = 'file' | 'devdax';

/** An open file. */
export interface OpenFile {
  readonly path: string;
  readonly fd: number;
  readonly kind: FileKind;
  /** Bytes that it has; of a device those that can be mapped. */
  readonly sizeBytes: number;
  /** What mappings of it must be aligned to, in bytes. */
  readonly alignmentBytes: number;
  /** Page size that maps it, in bytes, as far as the kernel tells: of a device what it maps, of a file ordinary pages. */
  readonly pageSizeBytes: number;
  /** This call has made it. */
  readonly isMade: boolean;
  /** Its pages are persistent memory, not copies of it: as statx says (STATX_ATTR_DAX), always of a device. */
  readonly isDax: boolean;
  /** What it holds is gone when the machine goes down: tmpfs, ramfs, a device that is memory as any. */
  readonly isVolatile: boolean;
}

/** f_type of statfs(2), from <linux/magic.h>. */
const fileSystem = { tmpfs: 0x01021994, ramfs: 0x858458f6, hugetlbfs: 0x958458f6 } as const;

/** An error about a file: what happened to it, and what to do. */
export function fileError(
  code: ErrorCode,
  path: string,
  what: string,
  details: ConstructorParameters<typeof VmemmapError>[2] = {},
): VmemmapError {
  return new VmemmapError(code, `${path}: ${what}`, details);
}

/** What is to be done about an errno of opening a file. */
const advice: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file; make one with vmemmap init --file',
  EACCES: 'it may not be read and written; ask its owner, or run as root',
  EPERM: 'it may not be changed (is it immutable?); see lsattr',
  EROFS: 'its file system is mounted read-only; mount it for writing',
  EISDIR: 'it is a directory; name a file in it',
  ENOTDIR: 'a part of its path is no directory',
  ELOOP: 'it is a symbolic link, which somebody could turn elsewhere; name the file itself',
  ENXIO: 'it is a device or socket that nobody serves; name a regular file or /dev/daxX.Y',
  ENOSPC: 'its file system has no room for another file; make some',
  EMFILE: 'this process has too many files open; close some',
};

function openError(path: string, mode: OpenMode, cause: unknown): VmemmapError {
  const { code = '', errno } = cause as NodeJS.ErrnoException;
  const foreign = ['EISDIR', 'ELOOP', 'ENXIO'].includes(code);
  const isFolderMissing = mode === 'make' && code === 'ENOENT';
  const what = isFolderMissing
    ? 'its folder does not exist; make that first'
    : (advice[code] ?? `it cannot be opened (${code}); see the cause`);
  const details = { cause, ...(errno === undefined ? {} : { errno: Math.abs(errno) }) };
  return fileError(foreign ? 'FILE_FOREIGN' : 'FILE_UNUSABLE', path, what, details);
}

/** How a file is opened. */
export type OpenMode = 'use' | 'make' | 'read';

// Never through a symbolic link in the last part of the path; never waiting for the other end of a pipe.
const commonFlags = constants.O_NOFOLLOW | constants.O_NONBLOCK;
const ownerOnly = 0o600;

/** The descriptor, and whether the file was made for it. */
function openDescriptor(path: string, mode: OpenMode): { fd: number; isMade: boolean } {
  const access = mode === 'read' ? constants.O_RDONLY : constants.O_RDWR;
  for (;;) {
    try {
      return { fd: openSync(path, access | commonFlags), isMade: false };
    } catch (error) {
      if (mode !== 'make' || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    try {
      const flags = access | commonFlags | constants.O_CREAT | constants.O_EXCL;
      return { fd: openSync(path, flags, ownerOnly), isMade: true };
    } catch (error) {
      // somebody has made it meanwhile
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/**
 * Opens a file: `use` one that is there, or `make` one (for its owner alone) when it is not, or only `read`.
 * @throws VmemmapError FILE_UNUSABLE when it cannot be opened; FILE_FOREIGN for what is neither a regular file nor a
 * device-dax device, which is left alone
 */
export function openFile(path: string, mode: OpenMode): OpenFile {
  let opened: { fd: number; isMade: boolean };
  try {
    // before it is opened: opening alone does something to some devices
    const before = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (before !== undefined) kindOf(path, before);
    opened = openDescriptor(path, mode);
  } catch (error) {
    throw error instanceof VmemmapError ? error : openError(path, mode, error);
  }
  try {
    return { path, ...opened, ...factsOf(path, opened.fd) };
  } catch (error) {
    if (opened.isMade) unlinkSync(path);
    closeSync(opened.fd);
    throw error;
  }
}

/**
 * The same file as it is now: whoever waited for a lock on it may find it larger, or made by somebody who was quicker.
 * Undefined when its name is of another file by now, or of none.
 */
export function asItIs(file: OpenFile): OpenFile | undefined {
  if (file.kind === 'devdax') return file;
  const now = fstatSync(file.fd, { bigint: true });
  const named = lstatSync(file.path, { bigint: true, throwIfNoEntry: false });
  if (named?.ino !== now.ino || named.dev !== now.dev) return undefined;
  return { ...file, sizeBytes: Number(now.size), isMade: file.isMade && now.size === 0n };
}

/** Takes away a file that was made for nothing: it is empty still. Under its lock. */
export function removeIfMade(file: OpenFile): void {
  if (file.isMade && asItIs(file)?.sizeBytes === 0) unlinkSync(file.path);
}

/** What kind of file it is. @throws VmemmapError FILE_FOREIGN */
function kindOf(path: string, stats: BigIntStats): FileKind {
  if (stats.isFile()) return 'file';
  const foreign = (what: string): VmemmapError => fileError('FILE_FOREIGN', path, what);
  if (stats.isSymbolicLink()) throw foreign(advice['ELOOP'] as string);
  if (stats.isDirectory()) throw foreign(advice['EISDIR'] as string);
  if (stats.isBlockDevice()) {
    throw foreign('it is a block device; name a file in a file system on it (mounted with -o dax), or /dev/daxX.Y');
  }
  if (!stats.isCharacterDevice()) throw foreign('it is a pipe or a socket; name a regular file or /dev/daxX.Y');
  let subsystem = '';
  try {
    subsystem = basename(readlinkSync(`${deviceFolder(stats)}/subsystem`));
  } catch {
    // a device that sysfs does not know is none of dax
  }
  if (subsystem !== 'dax') throw foreign('it is a device, but none of device-dax; name a regular file or /dev/daxX.Y');
  return 'devdax';
}

type Facts = Omit<OpenFile, 'path' | 'fd' | 'isMade'>;

function factsOf(path: string, fd: number): Facts {
  // of what was opened, whatever the path names by now
  const stats = fstatSync(fd, { bigint: true });
  if (kindOf(path, stats) === 'devdax') return deviceFacts(path, deviceFolder(stats));
  const type = statfsSync(`/proc/self/fd/${fd}`).type;
  if (type === fileSystem.hugetlbfs) {
    throw fileError('FILE_FOREIGN', path, 'it lies in hugetlbfs, which keeps no files; use the backing hugetlb');
  }
  return {
    kind: 'file',
    sizeBytes: Number(stats.size),
    alignmentBytes: dataAlignmentBytes,
    pageSizeBytes,
    isDax: addon?.isDax(fd) === 1,
    isVolatile: type === fileSystem.tmpfs || type === fileSystem.ramfs,
  };
}

/** The folder of a character device in sysfs. */
function deviceFolder({ rdev }: BigIntStats): string {
  // as <linux/kdev_t.h> packs them for user space: low bits of the minor, the major, high bits of the minor
  const major = (rdev >> 8n) & 0xfffn;
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n);
  return `/sys/dev/char/${major}:${minor}`;
}

function deviceFacts(path: string, folder: string): Facts {
  const number = (name: string): number => {
    try {
      const value = Number(readFileSync(`${folder}/${name}`, 'utf8'));
      if (Number.isSafeInteger(value) && value > 0) return value;
    } catch {
      // told below
    }
    throw fileError('FILE_UNUSABLE', path, `${folder}/${name} cannot be read; is the device enabled (daxctl list)?`);
  };
  const align = number('align');
  return {
    kind: 'devdax',
    sizeBytes: number('size'),
    alignmentBytes: Math.max(dataAlignmentBytes, align),
    pageSizeBytes: align,
    isDax: true,
    isVolatile: !isPersistentDevice(folder),
  };
}

/**
 * Whether what was written back to a device-dax device survives a power cut. Those of the NVDIMM bus are said to by the kernel; its
 * provider virtio-pmem keeps its bytes in the host's page cache, which only a request to the host flushes; others (dax_hmem, CXL
 * memory) are memory as any.
 */
function isPersistentDevice(folder: string): boolean {
  const bus = /^.*\/ndbus\d+(?=\/)/.exec(realpathSync(folder))?.[0];
  if (bus === undefined) return false;
  try {
    return readFileSync(`${bus}/provider`, 'utf8').trim() !== 'virtio-pmem';
  } catch {
    return true;
  }
}

/**
 * Sets blocks aside for all that a file is to hold, its size stays: afterwards no store can fail for want of space, which would
 * end the process. Where the file system cannot allocate (EOPNOTSUPP) there are none. A device is what it is.
 * @throws VmemmapError NO_SPACE, with the file as it was; FILE_UNUSABLE
 */
export function allocateBlocks(file: OpenFile, neededBytes: number): void {
  const { path, fd, kind, sizeBytes } = file;
  if (kind === 'devdax') {
    if (neededBytes <= sizeBytes) return;
    const what = `${mebibytes(neededBytes)} are needed, it has ${mebibytes(sizeBytes)}; use a larger device, or describe less memory`;
    throw fileError('NO_SPACE', path, what);
  }
  // asked first: an attempt that fails half-way fills the file system for a moment
  const { blocks, bfree, bsize } = statfsSync(`/proc/self/fd/${fd}`);
  const missingBytes = neededBytes - fstatSync(fd).blocks * 512;
  // a tmpfs without a limit has no blocks at all
  if (blocks > 0 && missingBytes > bfree * bsize) throw noSpace(file, neededBytes, os.errno.ENOSPC);
  const errno = addon?.allocateFile(fd, 0, neededBytes) ?? os.errno.ENOSYS;
  if (errno === 0 || errno === os.errno.EOPNOTSUPP) return;
  // what was allocated behind the end before the space ran out goes back
  if (sizeBytes < neededBytes) ftruncateSync(fd, sizeBytes);
  if (errno === os.errno.ENOSPC || errno === os.errno.EDQUOT) throw noSpace(file, neededBytes, errno);
  throw fileError('FILE_UNUSABLE', path, `its blocks cannot be allocated (errno ${errno})`, { errno });
}

function noSpace({ path, fd }: OpenFile, neededBytes: number, errno: number): VmemmapError {
  const { bavail, bsize } = statfsSync(`/proc/self/fd/${fd}`);
  const quota = errno === os.errno.EDQUOT ? ' within the quota' : '';
  const what = `${mebibytes(neededBytes)} are needed, its file system has ${mebibytes(bavail * bsize)} left${quota}; make room, or describe less memory`;
  return fileError('NO_SPACE', path, what, { errno });
}

/** The error for what the system says when a file that is being made cannot be written. */
export function writeError(file: OpenFile, neededBytes: number, cause: unknown): unknown {
  if (cause instanceof VmemmapError) return cause;
  const errno = Math.abs((cause as NodeJS.ErrnoException).errno ?? 0);
  if (errno === os.errno.ENOSPC || errno === os.errno.EDQUOT) return noSpace(file, neededBytes, errno);
  if (errno === 0) return cause;
  return fileError('FILE_UNUSABLE', file.path, 'it cannot be written; see the cause', { cause, errno });
}

/** Gives a file that is made its size; a device is what it is. */
export function resizeTo({ fd, kind }: OpenFile, neededBytes: number): void {
  if (kind === 'file') ftruncateSync(fd, neededBytes);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
