/** Other processes on the file of a memmap, told what to do; what they did to it, seen from outside; and what is stuck there. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ChunkMap, payloadOf, stateOf } from '../../dist/src/claims/chunk-map.js';
import { readFileRegion } from '../../dist/src/region/file-region.js';
import { ownerSlotSizeBytes, ownerSlots } from '../../dist/src/region/layout.js';
import type { Region } from '../../dist/src/region/region.js';

const script = fileURLToPath(new URL('./process.mjs', import.meta.url));

/** After so long something does not come any more: a hundred times what it takes on a busy machine. */
const stuckMs = 20_000;

/** Waits for `work`. @throws Error that names what is stuck, and why, when it does not come */
export async function inTime<T>(what: string, work: Promise<T>, why: () => string = () => ''): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} is stuck: ${why()}`)), stuckMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until something is so. @throws Error that names it */
export async function until(what: string, isSo: () => boolean, why?: () => string): Promise<void> {
  const ended = new AbortController();
  const looking = async (): Promise<void> => {
    while (!ended.signal.aborted && !isSo()) await sleep(2);
  };
  try {
    await inTime(what, looking(), why);
  } finally {
    ended.abort();
  }
}

/** The state letter of a thread, as /proc tells it. */
function stateOfThread(pid: number, tid: number | string): string {
  const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2)[0] as string;
}

/** Those of all threads of a process; none when it is gone. */
function threadStates(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((tid) => stateOfThread(pid, tid));
  } catch {
    return [];
  }
}

/** What a process answers. */
interface Answer {
  result?: unknown;
  code?: string;
  message?: string;
}

/** An error that another process told. */
export class PeerError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Another process: see process.mjs. */
export class Peer {
  /** Its id as this process sees it. */
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  /** What it, or the command that runs it, has complained about: told only when it ends too early. */
  #complaints = '';

  private constructor(child: ChildProcess, pid: number, answers: AsyncIterator<string>, ended: Promise<unknown>) {
    this.#child = child;
    this.#answers = answers;
    this.#ended = ended;
    this.pid = pid;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints += text;
    });
  }

  /** @param within a command that runs the process, such as unshare with its options. */
  static async start(within: readonly string[] = []): Promise<Peer> {
    const [command, ...words] = [...within, process.execPath, script];
    const env = { ...process.env, NODE_OPTIONS: '' };
    const child = spawn(command as string, words, { env, stdio: 'pipe' });
    const ended = once(child, 'exit');
    const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
    // it may be killed before it has read all
    child.stdin.on('error', () => {});
    const starting = new Peer(child, child.pid as number, answers, ended);
    await starting.do('begin');
    return new Peer(child, innermost(child.pid as number), answers, ended);
  }

  /** Lets it do something; rejects with a {@link PeerError} when it could not. */
  async do<T = unknown>(deed: string, ...words: unknown[]): Promise<T> {
    const answer = await this.#ask(deed, words);
    if (answer === undefined)
      throw new PeerError('ENDED', `the process ended before it answered ${deed}: ${this.#complaints}`);
    if (answer.code !== undefined) throw new PeerError(answer.code, answer.message ?? '');
    return answer.result as T;
  }

  /** The same for one that may be killed meanwhile: undefined then. */
  async tell(deed: string, ...words: unknown[]): Promise<unknown> {
    const answer = await this.#ask(deed, words);
    if (answer?.code !== undefined) throw new PeerError(answer.code, answer.message ?? '');
    return answer?.result;
  }

  async #ask(deed: string, words: unknown[]): Promise<Answer | undefined> {
    this.#child.stdin?.write(`${JSON.stringify([deed, ...words])}\n`);
    // in the order of the questions: an iterator of lines queues whoever asks for the next one
    const { value } = await inTime(`the answer to ${deed}`, this.#answers.next(), () => `threads ${this.states()}`);
    return value === undefined ? undefined : (JSON.parse(value) as Answer);
  }

  /** State letters of its threads. */
  states(): string {
    return threadStates(this.pid).join('');
  }

  /** Whether its main thread sleeps in a system call. */
  get isAsleep(): boolean {
    return stateOfThread(this.pid, this.pid) === 'S';
  }

  /** Whether it has started another program. */
  get hasChildren(): boolean {
    return readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8') !== '';
  }

  /** Returns when all its threads are stopped. */
  stopped(): Promise<void> {
    const isStopped = (): boolean => /^T+$/.test(this.states());
    return until(`standing still of ${this.pid}`, isStopped, () => `its threads are ${this.states()}`);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  get isAlive(): boolean {
    return this.states() !== '';
  }

  /** SIGKILL; returns when it has ended. */
  async kill(): Promise<void> {
    try {
      this.signal('SIGKILL');
    } catch {
      // it has ended by itself
    }
    await inTime(`the end of ${this.pid}`, this.#ended, () => `its threads are ${this.states()}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}

/** The process at the end of a chain of those that only run the next one. */
function innermost(pid: number): number {
  let last = pid;
  for (;;) {
    const child = readFileSync(`/proc/${last}/task/${last}/children`, 'utf8').trim().split(' ')[0];
    if (!child) return last;
    last = Number(child);
  }
}

/** Why a command cannot be used as the `within` of a {@link Peer}; undefined when it can. */
export function whyNotWithin(within: readonly string[]): string | undefined {
  const [command, ...words] = [...within, 'true'];
  const { status, error, stderr } = spawnSync(command as string, words, { encoding: 'utf8' });
  if (status === 0) return undefined;
  return `${command} cannot be used: ${error?.message ?? stderr.trim()}`;
}

/** A folder that goes with all that is in it. */
export class Place {
  readonly path: string;
  #files = 0;

  constructor(parent: string) {
    this.path = mkdtempSync(join(parent, 'vmemmap-'));
  }

  /** The name of a file that is not there yet. */
  newFile(): string {
    this.#files++;
    return join(this.path, `${this.#files}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** An owner slot, as its life word tells it. */
export interface OwnerNote {
  readonly life: 'joining' | 'alive' | 'reaping';
  readonly process: number;
}

/** A file seen from outside: without a lock, without a slot, and without a store. */
export class Watch {
  readonly region: Region;
  readonly chunks: ChunkMap;

  constructor(path: string) {
    this.region = readFileRegion(path);
    this.chunks = ChunkMap.of(this.region);
  }

  /** How many chunks are in each state. */
  get states(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let chunk = 0; chunk < this.chunks.chunks; chunk++) {
      const state = stateOf(this.chunks.load(chunk));
      counts[state] = (counts[state] ?? 0) + 1;
    }
    return counts;
  }

  get claimed(): number {
    return this.states['claimed'] ?? 0;
  }

  /** Threads that sleep until a chunk changes, and those that were killed while they did. */
  get sleepers(): number {
    return Atomics.load(this.region.control, this.region.word.waiters);
  }

  /** Owner slots that are taken. */
  get owners(): OwnerNote[] {
    const notes: OwnerNote[] = [];
    for (let slot = 0; slot < ownerSlots; slot++) {
      const word = Atomics.load(this.region.control, (this.region.layout.owners + slot * ownerSlotSizeBytes) / 4);
      const life = ([undefined, 'joining', 'alive', 'reaping'] as const)[word & 3];
      if (life) notes.push({ life, process: (word >>> 24) & 127 });
    }
    return notes;
  }

  /** The first chunks that are neither initialized nor failed, and who has them. */
  toString(): string {
    const lines: string[] = [];
    for (let chunk = 0; chunk < this.chunks.chunks && lines.length < 8; chunk++) {
      const word = this.chunks.load(chunk);
      const state = stateOf(word);
      if (state === 'claimed') lines.push(`chunk ${chunk} is claimed by slot ${payloadOf(word) & (ownerSlots - 1)}`);
      else if (state === 'free') lines.push(`chunk ${chunk} is free`);
    }
    return `${JSON.stringify(this.states)}; ${lines.join(', ')}; owners ${JSON.stringify(this.owners)}`;
  }

  [Symbol.dispose](): void {
    this.region.discard();
  }
}

/** What is not initialized in a file, for whoever waits for it. */
export function stuckIn(path: string): () => string {
  return () => {
    using watch = new Watch(path);
    return `${watch}`;
  };
}
