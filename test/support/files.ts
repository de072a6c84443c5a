/** Memmaps in files: small ones, what a file was before something happened to it, and other processes that use it. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync, readSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { OpenOptions } from '../../dist/src/index.js';
import { VmemmapError } from '../../dist/src/index.js';
import { regionLayout } from '../../dist/src/region/layout.js';
import { machine, ram } from './regions.js';

/** Folders in which the tests make files: one whose files last, and one in memory. */
export const folders: readonly string[] = [tmpdir(), '/dev/shm'].filter((folder) => existsSync(folder));

/** Bytes of descriptors in a chunk of one pageblock. */
export const chunkBytes: number = 512 * 64;

/** A machine of so many pageblocks, each a chunk, that only faults initialize: 32 KiB of descriptors each. */
export function small(chunks = 8): OpenOptions & { topology: object } {
  return { topology: machine(ram(0, chunks * 512)), chunkPages: 512, threadsPerNode: 0 };
}

/** Where everything lies in the file of such a machine. */
export function layoutOf(chunks = 8): ReturnType<typeof regionLayout> {
  return regionLayout([{ pages: chunks * 512, chunks, segments: [{ content: { parts: [undefined] } }] }]);
}

/** Where the first descriptor of such a machine lies in its file. */
export const dataOffset = 2 ** 21;

/** What there is to see of a file, its times included: reading leaves all of it as it is. */
export function traceOf(path: string): Record<string, unknown> {
  const { mode, size, ino, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  const isFile = lstatSync(path).isFile();
  const sha256 = isFile ? createHash('sha256').update(readFileSync(path)).digest('hex') : undefined;
  return { mode, size, ino, mtimeNs, ctimeNs, sha256 };
}

/** The VmemmapError with which a promise rejects; anything else that happens is thrown on or told. */
export async function rejectionOf(promise: Promise<unknown>): Promise<VmemmapError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof VmemmapError) return error;
    throw error;
  }
  throw new Error('the promise was expected to reject and did not');
}

/** Bytes of an open file. */
export function bytesAt(fd: number, offset: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  if (readSync(fd, bytes, 0, sizeBytes, offset) !== sizeBytes) throw new Error('the file is too short');
  return bytes;
}

/** Changes bits of a byte of an open file. */
export function flip(fd: number, offset: number, mask: number): void {
  const [byte = 0] = bytesAt(fd, offset, 1);
  writeSync(fd, Uint8Array.of(byte ^ mask), 0, 1, offset);
}

const dist: string = new URL('../../dist/src/', import.meta.url).href;

/** Another process, which uses the library. */
export class FileUser {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  /**
   * `statements` may use the library's `Memmap`, `say`, which sends a line, `await told()`, the next line sent to it, and
   * `await inside(file)`, a module of the library by its name in src.
   */
  constructor(statements: string) {
    const script = `
      import { writeSync } from 'node:fs';
      import { createInterface } from 'node:readline';
      import { Memmap } from '${dist}index.js';
      const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
      const say = (line) => writeSync(1, line + '\\n');
      const inside = (file) => import('${dist}' + file);
      const told = async () => (await lines.next()).value;
      ${statements}
      process.stdin.destroy();`;
    this.#process = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  /** The next line that it says; undefined once it has ended. */
  async hear(): Promise<string | undefined> {
    return (await this.#lines.next()).value;
  }

  tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** Resolves when it has ended by itself. @returns exit status, or the signal that ended it */
  async ended(): Promise<number | NodeJS.Signals | null> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode === null && signalCode === null) await once(this.#process, 'exit');
    return this.#process.exitCode ?? this.#process.signalCode;
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
