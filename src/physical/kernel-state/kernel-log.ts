/** Reads the running kernel's log from /dev/kmsg: what it said since it booted, as far as its buffer still holds it. */
import { closeSync, constants, openSync, readSync } from 'node:fs';

/** A record of printk with its continuations and dictionary: CONSOLE_EXT_LOG_MAX and more. */
const recordBytesMax = 16 * 1024;
/** More than any buffer holds (log_buf_len up to 2^31, of which nobody asks for a hundredth), and a bound on an endless file. */
const recordsMax = 1_000_000;
/** A record of the kernel itself: facility 0, which nobody else may write (devkmsg_write). */
const kernelRecord = /^(\d{1,3}),[^;]{0,200};(.*)/;
const facilityOf = (priority: number): number => Math.floor(priority / 8);

/** The next record; undefined when there is no further one yet. */
function readRecord(fd: number, buffer: Buffer): string | undefined {
  for (;;) {
    try {
      const bytes = readSync(fd, buffer, 0, buffer.length, null);
      return bytes === 0 ? undefined : buffer.toString('utf8', 0, bytes);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return undefined;
      // EPIPE: it was overwritten before it was read, and the next read gives the oldest that there is
      if (code !== 'EPIPE') throw error;
    }
  }
}

/**
 * What the kernel itself said, line by line, oldest first; undefined where its log cannot be read. A file with records in the
 * format of /dev/kmsg (Documentation/ABI/testing/dev-kmsg) does as well.
 */
export function readKernelLog(path = '/dev/kmsg'): string[] | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  const lines: string[] = [];
  const buffer = Buffer.allocUnsafe(recordBytesMax);
  let rest = '';
  try {
    for (let count = 0; count < recordsMax; count++) {
      const record = readRecord(fd, buffer);
      if (record === undefined) break;
      const whole = (rest + record).split('\n');
      // a file gives parts of lines, /dev/kmsg whole records
      rest = whole.pop() ?? '';
      for (const line of whole) {
        // a line that begins with a blank is the dictionary of the one above
        const [, priority, text] = kernelRecord.exec(line) ?? [];
        if (text !== undefined && facilityOf(Number(priority)) === 0) lines.push(text);
      }
    }
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
  return lines;
}
