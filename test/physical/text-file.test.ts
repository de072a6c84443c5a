/** Tests of reading files that somebody names: whatever they are, within bounds. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readTextFile } from '../../dist/src/physical/text-file.js';
import { refusalOf } from './errors.ts';
import { makeTree } from './made-tree.ts';

const mib = 2 ** 20;

it('a file is read whole, also one that tells no size, and one whose characters take several bytes', () => {
  const long = 'zebra é 🦓\n'.repeat(200_000);
  const root = makeTree({ short: 'zebra', long, empty: '' });
  expect(readTextFile(join(root, 'short'), 8 * mib)).toBe('zebra');
  expect(readTextFile(join(root, 'long'), 8 * mib)).toBe(long);
  expect(readTextFile(join(root, 'empty'), 8 * mib)).toBe('');
  expect(readTextFile('/proc/version', 8 * mib)).toMatch(/^Linux version /);
});

it('a pipe is read to its end', async () => {
  const pipe = join(makeTree({}), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const writer = spawn('sh', ['-c', 'echo zebra > "$0"', pipe], { stdio: 'ignore' });
  const text = readTextFile(pipe, 8 * mib);
  await once(writer, 'close');
  expect(text).toBe('zebra\n');
});

it.each([
  ['/nonexistent', /^\/nonexistent cannot be read: ENOENT.*; give a readable file, or use --simulate SPEC$/],
  ['/', /^\/ cannot be read: EISDIR.*; give a readable file, or use --simulate SPEC$/],
  ['/dev/zero', /^\/dev\/zero is a device; give a readable file, or use --simulate SPEC$/],
  ['/dev/null', /^\/dev\/null is a device;/],
])('%s is refused', (path, message) => {
  const error = refusalOf(() => readTextFile(path, 8 * mib));
  expect(error.code).toBe('DETECT_FAILED');
  expect(error.message).toMatch(message);
  expect(error.received).toBe(path);
});

it('a file may be as long as is asked for, and not longer', () => {
  const path = join(makeTree({ log: 'zebra' }), 'log');
  truncateSync(path, 2 * mib);
  expect(readTextFile(path, 2 * mib)).toHaveLength(2 * mib);
  truncateSync(path, 2 * mib + 1);
  expect(refusalOf(() => readTextFile(path, 2 * mib)).message).toMatch(
    /is longer than 2 MiB; give the part that tells memory$/,
  );
});
