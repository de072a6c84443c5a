/**
 * Which kernel threads live. A thread is known by its id and its start time, in clock ticks since boot: ids are used again,
 * the pair is not. Read from /proc (proc(5): field 22 of stat), so that it needs no addon and works for threads of other
 * processes in the same pid namespace. No time-out and no guess: the kernel says whether the thread exists.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { VmemmapError } from '../errors.ts';

/** A kernel thread. `tid` 0 stands for a thread that cannot be told apart, where there is no /proc. */
export interface ThreadIdentity {
  readonly tid: number;
  readonly startTicks: number;
}

/** The thread that cannot be told from others. */
export const unknownThread: ThreadIdentity = { tid: 0, startTicks: 0 };

/** What the kernel answered about a thread id: its start time, that nobody has it, or nothing. */
type Answer = number | 'gone' | 'unknown';

function startTicksOf(tid: number): Answer {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${tid}/stat`, 'utf8');
  } catch (error) {
    // Only these two mean that there is no such thread. Any other (no file descriptor left, no memory, no permission)
    // means that the kernel was not asked: a thread that lives must never be taken for dead.
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ESRCH' ? 'gone' : 'unknown';
  }
  // The name in parentheses may hold blanks and parentheses itself; state is the first field behind the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  // A zombie or dead thread runs no instruction any more.
  if (state === 'Z' || state === 'X') return 'gone';
  return Number(fields[22 - 3]) % 2 ** 32; // kept in 32 bits: the same tick comes again after 497 days
}

/**
 * The calling thread; {@link unknownThread} on a system without /proc.
 * @throws VmemmapError THREAD_UNKNOWN when there is a /proc, but it cannot be read now
 */
export function thisThread(): ThreadIdentity {
  try {
    const tid = Number(readlinkSync('/proc/thread-self').split('/').pop());
    const startTicks = startTicksOf(tid);
    if (typeof startTicks === 'number') return { tid, startTicks };
    throw new Error(`/proc/${tid}/stat: ${startTicks}`);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return unknownThread;
    // Without its identity nobody could find out that this thread has died: better not to claim at all.
    throw new VmemmapError(
      'THREAD_UNKNOWN',
      'the identity of this thread cannot be read from /proc; are there too many open files? Close some and try again',
      { cause },
    );
  }
}

/** The first thread of this process; {@link unknownThread} where it cannot be told. */
export function mainThread(): ThreadIdentity {
  const startTicks = startTicksOf(process.pid);
  return typeof startTicks === 'number' ? { tid: process.pid, startTicks } : unknownThread;
}

/**
 * Whether a thread is known to be dead. False for the unknown thread, and when the kernel cannot be asked.
 * @param modulus where the start time was kept in fewer bits.
 */
export function isThreadDead({ tid, startTicks }: ThreadIdentity, modulus: number = 2 ** 32): boolean {
  if (tid === 0) return false;
  const answer = startTicksOf(tid);
  return answer === 'gone' || (answer !== 'unknown' && answer % modulus !== startTicks % modulus);
}

/** Whether no thread has this id at present, whatever its start time. */
export function isTidUnused(tid: number): boolean {
  return tid !== 0 && startTicksOf(tid) === 'gone';
}
