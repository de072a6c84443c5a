/** Every message between the opener's thread and its workers. Plain data: errors lose their `code` on the way otherwise. */
import type { DrainOutcome } from '../src/claims/drain.ts';
import type { ErrorCode } from '../src/errors.ts';
import type { VerifyShare } from '../src/observe/verify.ts';
import type { RegionHandle } from '../src/region/region.ts';

/** What a worker of a pool is told when it is made. */
export interface WorkerData {
  /** CPUs to pin the thread to; not pinned when empty. */
  readonly cpus: readonly number[];
}

/** Drain a region until nothing is left. */
export interface DrainTask {
  readonly kind: 'drain';
  readonly handle: RegionHandle;
  /** Node whose ranges come first. */
  readonly nid: number;
  /** One word; the worker sets it to 1 when it begins. */
  readonly started: Int32Array<SharedArrayBuffer>;
}

/** Check descriptors against what should stand in them, sharing the chunks with other workers. */
export interface VerifyTask {
  readonly kind: 'verify';
  readonly handle: RegionHandle;
  /** What is checked: every thread may find other ranges. */
  readonly ranges: readonly VerifyShare[];
  /** One word: the next chunk to check, counted through these ranges. */
  readonly cursor: Int32Array<SharedArrayBuffer>;
  readonly started: Int32Array<SharedArrayBuffer>;
}

/** A task for a worker. */
export type WorkerTask = DrainTask | VerifyTask;

/** Answer to a {@link DrainTask}. */
export interface DrainReply {
  readonly kind: 'drain';
  readonly outcome: DrainOutcome;
  /** errno of pinning the thread; 0 when it went well or nothing was asked for. */
  readonly pinErrno: number;
}

/** Answer to a {@link VerifyTask}. */
export interface VerifyReply {
  readonly kind: 'verify';
  readonly checked: number;
  readonly wrong: number;
  /** Lowest pfn whose descriptor is wrong, or −1. */
  readonly firstWrongPfn: number;
  /** Descriptors that could not be written, or cannot be read. */
  readonly failed: number;
}

/** An error on its way between threads. */
export interface ErrorReply {
  readonly kind: 'error';
  readonly code: ErrorCode | undefined;
  readonly message: string;
}

/** Answer of a worker. */
export type WorkerReply = DrainReply | VerifyReply | ErrorReply;
