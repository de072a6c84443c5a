/** Writes a picture so that whoever reads its file finds the old one or all of the new one, and never a part. */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { VmemmapError } from '../errors.ts';

const remedy = 'name a file in a folder that you may write to, on a file system with room for it';

/** The file that `path` leads to, links followed, and its permissions; undefined when there is none yet. */
function existing(path: string): { readonly path: string; readonly mode: number } | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (found.isDirectory()) throw new Error('it is a folder');
  // a rename would put a file in the place of the device or pipe
  if (!found.isFile()) throw new Error('it is not a regular file');
  return { path: realpathSync(path), mode: found.mode % 0o1000 };
}

function writeAll(path: string, text: string): void {
  // made here and by nobody else: what lies there already is not ours, and may be a link to somewhere else
  const fd = openSync(path, 'wx');
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Writes `svg` into a file beside `path` and puts that in its place. A link is followed, and the permissions of a file that is
 * replaced are kept.
 * @throws VmemmapError OUTPUT when it cannot be written; then the file is as it was.
 */
export function writePicture(path: string, svg: string): void {
  let beside: string | undefined;
  try {
    const old = existing(path);
    const target = old?.path ?? path;
    beside = join(dirname(target), `.${basename(target).slice(0, 64)}.${randomUUID()}`);
    writeAll(beside, svg);
    if (old) chmodSync(beside, old.mode);
    renameSync(beside, target);
  } catch (cause) {
    if (beside !== undefined) rmSync(beside, { force: true });
    const { message, errno }: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause));
    const details = { cause, received: path, ...(errno === undefined ? {} : { errno: -errno }) };
    throw new VmemmapError('OUTPUT', `${path} could not be written: ${message}; ${remedy}`, details);
  }
}
