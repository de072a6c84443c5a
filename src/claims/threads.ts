/**
 * Which kernel threads live. A thread is known by its id and its start time, in clock ticks since boot: ids are used again,
 * the pair is not. Read from /proc (proc(5): field 22 of stat), so that it needs no addon and works for threads of other
 * processes in the same pid namespace. No time-out and no guess: the kernel says whether the thread exists.
 */
import { readFileSync, readlinkSync } from 'node:fs';

/** A kernel thread. `tid` 0 stands for a thread that cannot be told apart, where there is no /proc. */
export interface ThreadIdentity {
  readonly tid: number;
  readonly startTicks: number;
}

/** The thread that cannot be told from others. */
export const unknownThread: ThreadIdentity = { tid: 0, startTicks: 0 };

/** Start time of a thread, or undefined when there is no such thread (any more). */
function startTicksOf(tid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${tid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name in parentheses may hold blanks and parentheses itself; state is the first field behind the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  // A zombie or dead thread runs no instruction any more.
  if (state === 'Z' || state === 'X') return undefined;
  return Number(fields[22 - 3]) % 2 ** 32; // kept in 32 bits: the same tick comes again after 497 days
}

/** The calling thread. */
export function thisThread(): ThreadIdentity {
  try {
    const tid = Number(readlinkSync('/proc/thread-self').split('/').pop());
    const startTicks = startTicksOf(tid);
    return startTicks === undefined ? unknownThread : { tid, startTicks };
  } catch {
    return unknownThread;
  }
}

/** Whether a thread is known to be dead. False for the unknown thread: nothing is known about it. */
export function isThreadDead({ tid, startTicks }: ThreadIdentity): boolean {
  if (tid === 0) return false;
  return startTicksOf(tid) !== startTicks;
}

/** Whether no thread has this id at present, whatever its start time. */
export function isTidUnused(tid: number): boolean {
  return tid !== 0 && startTicksOf(tid) === undefined;
}
