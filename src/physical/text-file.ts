/** Reads a text file that somebody names on a command line: it may be anything, so it is read within bounds. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { VmemmapError } from '../errors.ts';

const chunkBytes = 1024 * 1024;

function refuse(path: string, problem: string, cause?: unknown): never {
  throw new VmemmapError('DETECT_FAILED', `${path} ${problem}`, { received: path, cause });
}

/** Reads to the end, whatever size the file tells: those of /proc tell 0, and pipes none. */
function readAll(fd: number, path: string, bytesMax: number): string {
  const chunks: Buffer[] = [];
  const chunk = Buffer.allocUnsafe(chunkBytes);
  for (let bytes = 0; ; ) {
    const count = readSync(fd, chunk, 0, chunkBytes, null);
    if (count === 0) return Buffer.concat(chunks).toString('utf8');
    bytes += count;
    if (bytes > bytesMax) refuse(path, `is longer than ${bytesMax / 2 ** 20} MiB; give the part that tells memory`);
    // a copy: a pipe gives little at a time, and would keep whole chunks
    chunks.push(Buffer.from(chunk.subarray(0, count)));
  }
}

/**
 * The text of a file or a pipe.
 * @param bytesMax bytes at most, a multiple of a MiB: more than what is asked for can have.
 * @throws VmemmapError DETECT_FAILED when it cannot be read, is a device or a directory, or is longer than `bytesMax`.
 */
export function readTextFile(path: string, bytesMax: number): string {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const stat = fstatSync(fd);
    // what never ends: /dev/zero, /dev/kmsg
    if (stat.isCharacterDevice() || stat.isBlockDevice()) {
      refuse(path, 'is a device; give a readable file, or use --simulate SPEC');
    }
    return readAll(fd, path, bytesMax);
  } catch (failure) {
    if (failure instanceof VmemmapError) throw failure;
    const reason = failure instanceof Error ? `: ${failure.message}` : '';
    return refuse(path, `cannot be read${reason}; give a readable file, or use --simulate SPEC`, failure);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
