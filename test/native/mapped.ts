/** Files of a test, buffers to map them over, and other processes that do the same. */
import { type ChildProcessByStdio, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'vitest';
import { addon, loaderPath, projectRoot } from './built-addon.js';

export const pageBytes = 4096;
/** As overlayBytesMin in src/region/backing.ts: smaller buffers may come from the C library's heap. */
const bufferBytes = 64 * 2 ** 20;

/** Whole pages inside a buffer of their own, behind the page in which its allocator keeps its words. */
export function wholePages(pageCount: number): Uint32Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(bufferBytes));
  const at = addon.bytesToBoundary(bytes, pageBytes) + pageBytes;
  return new Uint32Array(bytes.buffer, at, (pageCount * pageBytes) / 4);
}

/** A folder whose files are closed and removed at the end. */
export class Folder {
  readonly path: string;
  readonly #descriptors = new Set<number>();
  #files = 0;

  readonly #afterwards: () => void;

  constructor(parent: string = tmpdir(), afterwards: () => void = () => {}) {
    this.path = mkdtempSync(join(parent, 'vmemmap-'));
    this.#afterwards = afterwards;
  }

  /** The name of a file that is not there yet. */
  newPath(): string {
    this.#files++;
    return join(this.path, `${this.#files}`);
  }

  /** A new open file description. */
  open(path: string = this.newPath(), flags: string = 'w+'): number {
    const fd = openSync(path, flags);
    this.#descriptors.add(fd);
    return fd;
  }

  close(fd: number): void {
    this.#descriptors.delete(fd);
    closeSync(fd);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#descriptors) closeSync(fd);
    rmSync(this.path, { recursive: true });
    this.#afterwards();
  }
}

/** A file system of so many bytes and a folder in it; without the right to mount, the test is skipped. */
export function tinyFolder(context: TestContext, sizeBytes: number): Folder {
  const mountPoint = mkdtempSync(join(tmpdir(), 'vmemmap-tiny-'));
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', mountPoint]);
  if (mount.status !== 0) {
    rmdirSync(mountPoint);
    return context.skip(`cannot mount a tmpfs: ${mount.error ?? mount.stderr}`);
  }
  return new Folder(mountPoint, () => {
    // Lazily: a mapping of a test that failed may still be there.
    execFileSync('umount', ['-l', mountPoint]);
    rmdirSync(mountPoint);
  });
}

/** Another process, which has a file open and its first page mapped as `view`, an Int32Array. */
export class Other {
  readonly #process: ChildProcessByStdio<null, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  /** `statements` may use `addon`, `fd`, `view` and `say`, which sends a line. */
  constructor(path: string, statements: string) {
    const script = `
      const fs = require('node:fs');
      const addon = require(${JSON.stringify(loaderPath)})(${JSON.stringify(projectRoot)});
      const fd = fs.openSync(${JSON.stringify(path)}, 'r+');
      const bytes = new Uint8Array(new SharedArrayBuffer(${bufferBytes}));
      const at = addon.bytesToBoundary(bytes, ${pageBytes}) + ${pageBytes};
      const view = new Int32Array(bytes.buffer, at, ${pageBytes / 4});
      const say = (line) => fs.writeSync(1, line + '\\n');
      if (addon.mapFile(view, fd, 0, 0) !== 0) throw new Error('cannot map the file');
      ${statements}`;
    this.#process = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  /** The next line that it says; undefined once it has ended. */
  async hear(): Promise<string | undefined> {
    return (await this.#lines.next()).value;
  }

  /** Returns when its main thread sleeps in a system call. */
  async asleep(): Promise<void> {
    const isAsleep = (): boolean => {
      const stat = readFileSync(`/proc/${this.#process.pid}/task/${this.#process.pid}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('S');
    };
    // More than once in a row: a page that has to be read is waited for, too, though not for long.
    for (let seen = 0; seen < 5; seen = isAsleep() ? seen + 1 : 0) await sleep(2);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Ends it, if it has not ended; returns the signal that did. */
  async end(): Promise<NodeJS.Signals | null> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGKILL');
      await once(this.#process, 'exit');
    }
    return this.#process.signalCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
