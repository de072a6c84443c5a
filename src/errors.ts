/** Every operating error that vmemmap raises: one class, one table of stable codes. Misuse is a TypeError or RangeError instead. */

/** Stable codes; scripts may compare them. The text says what the code means wherever it is raised. */
export const errorCodes = {
  ADDON_MISSING: 'the request needs the native addon, which is not loaded',
  BACKING_UNAVAILABLE: 'the backing asked for cannot be had here',
  CANCELLED: 'the background was cancelled before everything was initialized',
  CHUNK_FAILED: 'descriptors could not be written; errno tells why',
  CLOSED: 'the memmap was closed',
  DETECT_FAILED: 'the memory map of this machine could not be read',
  DISAGREES: 'the plan and the running kernel disagree, and nothing explains it',
  DMESG_SYNTAX: 'a boot log tells memory in a way that makes no sense',
  FAULT_TIMEOUT: 'the owner of a chunk lives but did not finish within the bound',
  FILE_BUSY: 'another process uses the file in a way that does not allow what was asked for',
  FILE_DAMAGED: 'the file is one of vmemmap, but it was damaged or cut short',
  FILE_FOREIGN: 'the file is none of vmemmap; it was left alone',
  FILE_GEOMETRY: 'the file holds a memmap of another machine, or of other records',
  FILE_UNUSABLE: 'the file cannot be opened, locked or mapped',
  FILE_VERSION: 'the file was made by another version of vmemmap',
  HANDLE_INVALID: 'the handle does not describe a memmap of this layout',
  IOMEM_SYNTAX: 'a memory map in the format of /proc/iomem is malformed',
  KERNEL_UNREADABLE: 'the running kernel does not show what it made of memory',
  NDCTL_SYNTAX: 'a listing of ndctl or daxctl is malformed',
  NO_MEMORY: 'there is less memory than the descriptors need',
  NO_OWNER_SLOT: 'more threads than the owner table has slots',
  NO_PROCESS_SLOT: 'more processes have the file open than its process table has slots',
  NO_RANGE_SLOT: 'more ranges are to be added than there is room for',
  NO_SPACE: 'the file system or device has less room than the memmap needs',
  NOT_DURABLE: 'descriptors could not be brought to the media, or the backing has none; errno tells why',
  OUTPUT: 'what was asked for could not be written',
  PFN_ABSENT: 'no descriptor exists for this page frame',
  RANGE_REMOVED: 'the range was removed while the call was at it',
  SPEC_SYNTAX: 'a simulated machine is described wrongly',
  SYNC_TIMEOUT: 'not everything was initialized within the time given',
  THREAD_UNKNOWN: 'the kernel could not be asked who the calling thread is',
  VERIFY_WRONG: 'descriptors differ from what they should be',
  WORKERS_FAILED: 'the worker threads could not be started or kept dying',
} as const;

/** One of the stable error codes. */
export type ErrorCode = keyof typeof errorCodes;

/** What an error may carry beside its code. */
export interface ErrorDetails {
  /** The error that led to this one. */
  cause?: unknown;
  /** The value that was received, where one was at fault. */
  received?: unknown;
  /** The positive errno of the system call that failed, where there was one. */
  errno?: number;
}

/** An operating error: something outside the program's control went wrong, and `message` says what to do about it. */
export class VmemmapError extends Error {
  override readonly name = 'VmemmapError';
  /** Stable identifier, a key of {@link errorCodes}. */
  readonly code: ErrorCode;
  /** The value that was received, where one was at fault. */
  readonly received?: unknown;
  /** The positive errno of the system call that failed, where there was one. */
  readonly errno?: number;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.received !== undefined) this.received = details.received;
    if (details.errno !== undefined) this.errno = details.errno;
  }
}

/**
 * A broken invariant of vmemmap itself. Never caught inside the library: it is a defect to report. `what` is a constant: a
 * text that is put together would be put together, on the heap, each time the invariant holds.
 */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`vmemmap: broken invariant: ${what}`);
}
