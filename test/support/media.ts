/**
 * A region on media that lose what was not flushed: a recorder at the seams where a program meets them. It writes down every
 * store (of an Atomics operation, an init kernel, a user), what each flush or msync took along, and when that had arrived; what
 * may be left of it after a crash is the business of losses.ts. Several actors take turns on one thread: at any step of one
 * another may run, or it may die.
 *
 *     seam                              what is written down
 *     Atomics on the control buffer     a store of the eight bytes that hold the word, which nothing tears
 *     init kernel, non-temporal         a line is stored and on its way; the fence behind the last one waits for them
 *     init kernel, flushed              all lines are stored, then flushed one by one; the fence waits for them
 *     init kernel, plain                lines are stored
 *     persist of dax-sync               lines are flushed one by one, with what stands in them then; the fence waits for them
 *     persist of msync, persistAll      those pages that are dirty are taken along, with what stands in them then; then it returns
 *     first touch of a page, MAP_SYNC   the file system's record of the page is on the media from then on
 *     first touch of it without that    the record is not: what arrives in the page counts as lost until somebody brings it there
 *     the word of whose turn it is      nothing; who would have to wait for one that lives is gone for the rest of what it does
 *
 * Actors are threads of one process unless they are set {@link Stage.apart}. What the media refuse is told to each process once.
 *
 * What the native kernels do to the media is proven to be this by native/test/flush_order_test.cc.
 */
import { constants } from 'node:os';
import { ChunkMap, stateOf } from '../../dist/src/claims/chunk-map.js';
import { Claimant, type ClaimantOptions } from '../../dist/src/claims/claimant.js';
import { persistExtent } from '../../dist/src/claims/harden.js';
import { type InitKernel, jsKernel } from '../../dist/src/descriptor/kernel.js';
import { descriptorWords } from '../../dist/src/descriptor/layout.js';
import type { Plan } from '../../dist/src/plan.js';
import type { Durability, Persistence } from '../../dist/src/region/durability.js';
import {
  lineSizeBytes,
  orderWord,
  ownerSlotSizeBytes,
  type RegionLayout,
  regionLayout,
} from '../../dist/src/region/layout.js';
import { Region } from '../../dist/src/region/region.js';
import { encodeSuperblock, type Superblock } from '../../dist/src/region/superblock.js';
import { type ThreadIdentity, unknownThread } from '../../dist/src/region/threads.js';
import { deadThread } from './regions.js';

/** Eight bytes with what was stored there: more than that is torn by the media, less is not. */
export interface Unit {
  /** 0 for the control part, 1 and above for the descriptors of the ranges. */
  readonly part: number;
  /** Index of the low word in the part. */
  readonly at: number;
  readonly low: number;
  readonly high: number;
}

/** Bytes of the file `[start, end)` that were taken along as they stood when so many events were written down. */
interface Taken {
  readonly start: number;
  readonly end: number;
  readonly events: number;
}

/** Who stored: a `user` may change what is initialized, and what `opening` a file stores nobody sees before it has ended. */
export type Storer = 'program' | 'user' | 'opening';

/** What happened, in the order in which it did. */
export type MediaEvent =
  | { readonly kind: 'store'; readonly by: Storer; readonly units: readonly Unit[] }
  | { readonly kind: 'arrived'; readonly taken: readonly Taken[] }
  /** Somebody relies on these chunks from now on. */
  | { readonly kind: 'relied'; readonly chunks: readonly number[] }
  /** `persist` has returned for these words of a part. */
  | { readonly kind: 'persisted'; readonly part: number; readonly start: number; readonly end: number };

/** A part of the file in memory. */
export interface Part {
  /** Where it lies in the file, in bytes. */
  readonly offset: number;
  readonly words: Uint32Array<SharedArrayBuffer>;
}

/** What a region is made of beside its memory. */
export interface Ground {
  readonly header: Uint8Array;
  readonly superblock: Superblock;
  readonly layout: RegionLayout;
  readonly durability: Persistence['durability'];
  /** Words of the control part `[start, end)` that anybody stores to: of the owner table the first slots, and all else. */
  readonly used: readonly (readonly [start: number, end: number])[];
}

/** How the init kernel brings descriptors to the media; the last two are defects. */
export type Stores = 'non-temporal' | 'flushed' | 'plain' | 'non-temporal, no fence';

/** What a stage does otherwise than the library: the defects that a checker has to find. */
export interface Defect {
  readonly stores?: Stores;
  readonly chunks?: (region: Region) => ChunkMap;
  readonly persistence?: ((sound: Persistence, stage: Stage) => Persistence) | undefined;
  readonly persistExtent?: typeof persistExtent;
  /** Threads of a process ask the media all at once, or take the turn of one that has died for that of one that has ended. */
  readonly turns?: 'none' | 'after the dead as after the living';
}

/** A process: its view of the region, with orders of its own, and what the kernel knows of it. */
interface Process {
  region: Region;
  readonly durability: Durability;
  /** The actor whose turn it is to ask the media. */
  holder: string | undefined;
  /** Errno that the kernel has not told it yet. */
  untold: number;
  /** Pages that it has touched. */
  readonly touched: Set<number>;
}

/** The actor has died: nothing that it does has an effect any more. */
class Died extends Error {}
/** The actor would wait for one that it has interrupted. */
class WouldBlock extends Error {}

/** How an actor's turn has ended. */
export type Ending = 'done' | 'died' | 'blocked';

const pageBytes = 4096;
/** More owner slots than a play needs. */
const actorsMax = 8;
/** Names of all operations that store. */
const storing = ['store', 'exchange', 'compareExchange', 'add', 'sub', 'and', 'or', 'xor'] as const;
type StoringName = (typeof storing)[number];
type AnyOperation = (view: Int32Array, index: number, ...rest: number[]) => number;
/** Words of whose turn it is, for one that is not the real thread: a thread that cannot be told apart lives for all we know. */
const livingHolder = 2 ** 23;
const deadHolder: number = deadThread.tid | (deadThread.startTicks << 22);

/** What stood in the descriptors before. Not zeros, so that no descriptor is right by being left alone. */
export const garbage = 0xdead_beef;

/** What a region of a plan stands on. */
export function groundOf(plan: Plan, durability: Persistence['durability']): Ground {
  const { header, superblock } = encodeSuperblock(plan, 'hotplug');
  const layout = regionLayout(plan.ranges);
  const { owners, chunkWords, controlSizeBytes } = layout;
  const used = [
    [0, (owners + actorsMax * ownerSlotSizeBytes) / 4] as const,
    [chunkWords / 4, controlSizeBytes / 4] as const,
  ];
  return { header, superblock, layout, durability, used };
}

/** Memory for all parts: a control part that was just made, and garbage. */
export function freshParts({ header, superblock, layout }: Ground): Part[] {
  const control = new Uint32Array(new SharedArrayBuffer(layout.controlSizeBytes));
  new Uint8Array(control.buffer).set(header);
  const data = superblock.ranges.map(({ pages }, range) => ({
    offset: layout.data[range] as number,
    words: new Uint32Array(new SharedArrayBuffer(pages * lineSizeBytes)).fill(garbage),
  }));
  return [{ offset: 0, words: control }, ...data];
}

/** A persistence that has nothing to do, and always succeeds. */
export function idlePersistence({ durability }: Ground): Persistence {
  return { durability, isCertain: durability === 'dax-sync', persist: () => 0, persistAll: () => 0 };
}

/** The region whose parts these are. @param persistence undefined: durability none. */
export function regionOver(
  { superblock }: Ground,
  parts: readonly Part[],
  persistence: Persistence | undefined,
  epoch?: number,
): Region {
  const [control, ...data] = parts.map(({ words }) => ({ buffer: words.buffer, byteOffset: 0 }));
  const durability = persistence?.durability ?? 'none';
  return Region.ofFile(
    {
      control: control as Region['handle']['control'],
      data,
      backing: { requested: 'file', effective: 'file', pageSize: pageBytes, firstTouch: 'store', durability },
      memory: 'touched',
    },
    { ...superblock, epoch: epoch ?? superblock.epoch },
    persistence,
  );
}

/** Numbers of the pages that bytes of the file meet. */
function pagesOf(startByte: number, endByte: number): number[] {
  const first = Math.floor(startByte / pageBytes);
  return Array.from({ length: Math.ceil(endByte / pageBytes) - first }, (_, page) => first + page);
}

/** See the top of the file. */
export class Stage {
  readonly ground: Ground;
  readonly parts: readonly Part[];
  readonly events: MediaEvent[] = [];
  /** What was on the media when the recording began. */
  readonly initial: readonly Uint32Array[];
  readonly #defect: Defect;
  /** What was written down of each part so far. */
  readonly #shadow: readonly Uint32Array[];
  readonly #stores: Stores;
  readonly #processes: Process[] = [];
  /** Processes of actors that are not in the first one. */
  readonly #homes = new Map<string, Process>();
  /** Pages whose records are not on the media, and what has arrived in them. */
  readonly #unrecorded = new Map<number, Taken[]>();
  readonly #recorded = new Set<number>();
  readonly #taken = new Map<string, Taken[]>();
  /** Pages that the kernel has to write back, and when they were stored to last. */
  readonly #dirty = new Map<number, number>();
  readonly #steps = new Map<string, number>();
  readonly #plans = new Map<string, () => void>();
  readonly #dead = new Set<string>();
  readonly #claimants: Claimant[] = [];
  #actor = 'nobody';
  #storer: Storer = 'program';
  #syncs = 0;
  #refusedSync = -1;

  constructor(ground: Ground, parts: readonly Part[], stores: Stores, defect: Defect = {}, epoch?: number) {
    this.ground = ground;
    this.parts = parts;
    this.#defect = defect;
    this.#stores = defect.stores ?? stores;
    this.#opened(ground.durability, epoch);
    this.initial = parts.map(({ words }) => Uint32Array.from(words));
    this.#shadow = parts.map(({ words }) => Uint32Array.from(words));
  }

  /** The region as the process of the actor sees it whose turn it is. */
  get region(): Region {
    return this.#process.region;
  }

  get #process(): Process {
    return this.#homes.get(this.#actor) ?? (this.#processes[0] as Process);
  }

  #opened(durability: Durability, epoch?: number): Process {
    const region = regionOver(this.ground, this.parts, this.#persistenceOf(durability), epoch);
    const process: Process = { region, durability, holder: undefined, untold: 0, touched: new Set() };
    this.#processes.push(process);
    return process;
  }

  #persistenceOf(durability: Durability): Persistence | undefined {
    if (durability === 'none') return undefined;
    const sync: Persistence['persist'] = (...bytes) => this.#sync(...bytes);
    const flush: Persistence['persist'] = (...bytes) => this.#flush(...bytes);
    const isCertain = durability === 'dax-sync';
    const sound: Persistence = { durability, isCertain, persist: isCertain ? flush : sync, persistAll: sync };
    return this.#defect.persistence?.(sound, this) ?? sound;
  }

  /** These actors are threads of a process of their own, which has opened the file beside the first one. */
  apart(actors: readonly string[], durability: Durability = this.ground.durability): void {
    const process = this.#opened(durability, this.region.epoch);
    for (const actor of actors) this.#homes.set(actor, process);
  }

  /** Writes down what `play` does. */
  record(play: () => void): void {
    const restore = this.#listen();
    try {
      play();
    } finally {
      restore();
      this.#dismiss();
    }
  }

  /** The same for what takes turns of the event loop. */
  async recordAsync(play: () => Promise<void>): Promise<void> {
    const restore = this.#listen();
    try {
      await play();
    } finally {
      restore();
      this.#dismiss();
    }
  }

  /** Who is dropped without leaving would leave once it is collected, whoever has its slot by then. */
  #dismiss(): void {
    for (const claimant of this.#claimants) {
      try {
        claimant.leave();
      } catch {
        // it died, and was reaped
      }
    }
  }

  /** Lets an actor do something; what it interrupts goes on afterwards. */
  as(actor: string, deed: () => void): Ending {
    const before = this.#actor;
    this.#actor = actor;
    try {
      deed();
      return 'done';
    } catch (error) {
      if (error instanceof Died && this.#dead.has(actor)) return 'died';
      if (error instanceof WouldBlock) return 'blocked';
      throw error;
    } finally {
      this.#actor = before;
    }
  }

  /** Before step number `step` of an actor something else is done. */
  before(actor: string, step: number, deed: () => void): void {
    this.#plans.set(`${actor} ${step}`, deed);
  }

  /** From a step on an actor is dead. */
  killBefore(actor: string, step: number): void {
    this.before(actor, step, () => this.kill(actor));
  }

  /** Ends an actor: see {@link Died}. */
  kill(actor: string): void {
    this.#dead.add(actor);
  }

  /** How many steps an actor has taken. */
  stepsOf(actor: string): number {
    return this.#steps.get(actor) ?? 0;
  }

  /** The file is opened once more, after its processes have died; its memory is as it was. */
  reopen(epoch: number, durability: Durability = this.ground.durability): void {
    // what somebody was told nobody is told who comes later
    const untold = Math.min(...this.#processes.map((process) => process.untold));
    this.#processes.length = 0;
    this.#homes.clear();
    this.#opened(durability, epoch).untold = untold;
  }

  /** A claimant whose thread lives, or is known to be dead by whoever asks, which nobody does before it is. */
  claimant(thread: ThreadIdentity = unknownThread, options: ClaimantOptions = {}): Claimant {
    const sound = { kernel: this.kernel(), chunks: this.chunks(), thread };
    const claimant = new Claimant(this.region, { ...sound, ...options });
    this.#claimants.push(claimant);
    return claimant;
  }

  /** Chunk words on which nobody waits. */
  chunks(region: Region = this.region): ChunkMap {
    const chunks = this.#defect.chunks?.(region) ?? ChunkMap.of(region);
    chunks.wait = () => {
      throw new WouldBlock();
    };
    return chunks;
  }

  /** See the top of the file. */
  kernel(): InitKernel {
    const stores = this.#process.durability === this.ground.durability ? this.#stores : 'plain';
    // nobody flushes plain stores one by one, so that more of them together leave the same images
    const linesPerStep = this.ground.durability === 'msync' ? 16 : 1;
    return {
      ...jsKernel,
      fill: (words, at, count, pattern, index) => {
        for (let done = 0; done < count; done += linesPerStep) {
          this.#step();
          const lines = Math.min(linesPerStep, count - done);
          const from = at + done * descriptorWords;
          jsKernel.fill(words, from, lines, pattern, index + done);
          const [part, word] = this.#place(words, from);
          this.#stored(part, word, word + lines * descriptorWords);
          this.#dirtied(part, word, word + lines * descriptorWords);
          if (stores.startsWith('non-temporal')) this.#take(part, word, word + lines * descriptorWords);
        }
        if (stores === 'non-temporal') this.#fence();
        if (stores === 'flushed') this.#flush(words, at * 4, count * lineSizeBytes);
        return 0;
      },
    };
  }

  /** A user changes eight bytes of a descriptor, which is initialized. */
  change(pfn: number, lane: number, low: number, high = 0): void {
    this.#step();
    const range = this.region.rangeOf(pfn);
    if (!range) throw new RangeError(`no pfn: ${pfn}`);
    const at = range.offsetOf(pfn) / 4 + lane * 2;
    range.words.set([low, high], at);
    this.#by('user', () => this.#stored(range.slot + 1, at, at + 2));
    this.#dirtied(range.slot + 1, at, at + 2);
  }

  /** A user brings descriptors to the media. @throws VmemmapError NOT_DURABLE */
  persist(chunks: ChunkMap, startPfn: number, endPfn: number = startPfn + 1): void {
    (this.#defect.persistExtent ?? persistExtent)(this.region, chunks, startPfn, endPfn);
    const range = this.region.rangeOf(startPfn);
    if (!range) throw new RangeError(`no pfn: ${startPfn}`);
    const at = (pfn: number): number => range.offsetOf(pfn) / 4;
    this.events.push({ kind: 'persisted', part: range.slot + 1, start: at(startPfn), end: at(endPfn) });
  }

  /** Somebody was told, from outside the chunk words, that these chunks have reached the media. */
  rely(chunks: readonly number[]): void {
    this.events.push({ kind: 'relied', chunks });
  }

  /** What `open` stores nobody sees before it has returned, and then everybody may see all of it. */
  opening(open: () => void): void {
    this.#by('opening', open);
    const chunks = ChunkMap.of(this.region);
    const all = Array.from({ length: chunks.chunks }, (_, chunk) => chunk);
    this.rely(all.filter((chunk) => stateOf(chunks.load(chunk)) === 'durable'));
  }

  /** From now on msync number `sync`, counted from 0, finds that the media refuse what it takes along. */
  refuseSync(sync: number): void {
    this.#refusedSync = sync;
  }

  /** How often msync was called. */
  get syncs(): number {
    return this.#syncs;
  }

  /** The kernel writes back a page of a chunk by itself, and the media refuse it: it counts as written from then on. */
  loseWriteBack(pfn: number): void {
    const range = this.region.rangeOf(pfn);
    if (!range) throw new RangeError(`no pfn: ${pfn}`);
    const offset = (this.parts[range.slot + 1] as Part).offset + range.offsetOf(pfn);
    if (this.#dirty.delete(Math.floor(offset / pageBytes))) this.#refuse();
  }

  #refuse(): void {
    for (const process of this.#processes) process.untold = constants.errno.EIO;
  }

  /** Plain stores of the program between two words of a part, since somebody last looked. */
  plainStores(part: number, startWord: number, endWord: number): void {
    this.#stored(part, startWord, endWord);
  }

  #by(storer: Storer, deed: () => void): void {
    const before = this.#storer;
    this.#storer = storer;
    try {
      deed();
    } finally {
      this.#storer = before;
    }
  }

  #listen(): () => void {
    const originals = storing.map((name) => [name, Atomics[name]] as const);
    const { wait } = Atomics;
    const control = this.parts[0] as Part;
    for (const [name, original] of originals) {
      const operation = original as unknown as AnyOperation;
      const heard: AnyOperation = (view, index, ...rest) => {
        const process = this.#processOfTurns(view, index);
        if (process) return this.#turn(process, name, rest);
        if (view.buffer !== control.words.buffer) return operation(view, index, ...rest);
        this.#step();
        const result = operation(view, index, ...rest);
        const word = (view.byteOffset + index * view.BYTES_PER_ELEMENT) / 4;
        const end = word + view.BYTES_PER_ELEMENT / 4;
        this.#stored(0, word, end);
        // also where it has changed nothing
        this.#touch(0, word, end);
        return result;
      };
      Object.assign(Atomics, { [name]: heard });
    }
    const waited: AnyOperation = (view, index, ...rest) => {
      const process = this.#processOfTurns(view, index);
      if (process && !this.#dead.has(process.holder ?? '')) throw new WouldBlock();
      return (process ? 'timed-out' : (wait as unknown as AnyOperation)(view, index, ...rest)) as number;
    };
    Object.assign(Atomics, { wait: waited });
    return () => Object.assign(Atomics, Object.fromEntries(originals), { wait });
  }

  /** The process whose word of turns this is. */
  #processOfTurns(view: Int32Array, index: number): Process | undefined {
    if (index !== orderWord.media) return undefined;
    return this.#processes.find(({ region }) => region.orders.buffer === view.buffer);
  }

  /** An operation on the word of turns, as if each actor were a thread by itself; `mine` is the word of the one that all are. */
  #turn(process: Process, name: StoringName, [expected, mine]: number[]): number {
    this.#step();
    const { holder } = process;
    const { turns } = this.#defect;
    if (name === 'store') process.holder = undefined;
    if (name !== 'compareExchange' || turns === 'none') return 0;
    const isDead = holder !== undefined && this.#dead.has(holder);
    let found = isDead ? deadHolder : livingHolder;
    if (holder === undefined || (isDead && turns !== undefined)) found = 0;
    else if (holder === this.#actor) found = mine as number;
    if (found === expected) process.holder = this.#actor;
    return found;
  }

  /** A point at which the actor may be interrupted, or die. */
  #step(): void {
    const actor = this.#actor;
    if (this.#dead.has(actor)) throw new Died();
    const step = this.stepsOf(actor);
    this.#steps.set(actor, step + 1);
    this.#plans.get(`${actor} ${step}`)?.();
    if (this.#dead.has(actor)) throw new Died();
    this.#sessionStored();
  }

  /** The one line that the library stores plainly, beside descriptors. */
  #sessionStored(): void {
    const { session, processes } = this.ground.layout;
    this.#stored(0, session / 4, processes / 4);
  }

  /** Writes down what has changed between two words of a part. */
  #stored(part: number, startWord: number, endWord: number): void {
    const { words } = this.parts[part] as Part;
    const shadow = this.#shadow[part] as Uint32Array;
    const units: Unit[] = [];
    for (let at = startWord & ~1; at < endWord; at += 2) {
      const [low, high] = [words[at] as number, words[at + 1] as number];
      if (low === shadow[at] && high === shadow[at + 1]) continue;
      shadow[at] = low;
      shadow[at + 1] = high;
      units.push({ part, at, low, high });
    }
    if (units.length === 0) return;
    const isUsed = part > 0 || this.ground.used.some(([start, end]) => startWord >= start && startWord < end);
    if (!isUsed) throw new Error(`a store that nobody looks at: word ${startWord}`);
    this.events.push({ kind: 'store', by: this.#storer, units });
    this.#dirtied(part, startWord, endWord);
  }

  /** Stores make a page dirty even where they change nothing. */
  #dirtied(part: number, startWord: number, endWord: number): void {
    for (const page of this.#pages(part, startWord, endWord)) this.#dirty.set(page, this.events.length);
    this.#touch(part, startWord, endWord);
  }

  #pages(part: number, startWord: number, endWord: number): number[] {
    const { offset } = this.parts[part] as Part;
    return pagesOf(offset + startWord * 4, offset + endWord * 4);
  }

  /** The processor asks for pages to be written to, which is a fault the first time. */
  #touch(part: number, startWord: number, endWord: number): void {
    if (this.ground.durability !== 'dax-sync') return;
    const { durability, touched } = this.#process;
    for (const page of this.#pages(part, startWord, endWord)) {
      if (touched.has(page)) continue;
      touched.add(page);
      if (durability === 'dax-sync') this.#recordPages([page]);
      else if (!this.#recorded.has(page) && !this.#unrecorded.has(page)) this.#unrecorded.set(page, []);
    }
  }

  /** Records of pages are on the media from now on, and so is what has arrived in them. */
  #recordPages(pages: readonly number[]): void {
    for (const page of pages) {
      this.#recorded.add(page);
      const taken = this.#unrecorded.get(page);
      this.#unrecorded.delete(page);
      if (taken) this.#arrive(taken);
    }
  }

  #arrive(all: readonly Taken[]): void {
    const taken = all.filter((bytes) => {
      const unrecorded = this.#unrecorded.get(Math.floor(bytes.start / pageBytes));
      unrecorded?.push(bytes);
      return !unrecorded;
    });
    if (taken.length > 0) this.events.push({ kind: 'arrived', taken });
  }

  /** Takes lines along as they stand now. */
  #take(part: number, startWord: number, endWord: number): void {
    const { offset } = this.parts[part] as Part;
    const taken = { start: offset + startWord * 4, end: offset + endWord * 4, events: this.events.length };
    const all = this.#taken.get(this.#actor);
    if (all) all.push(taken);
    else this.#taken.set(this.#actor, [taken]);
  }

  /** What this actor has taken along arrives: a fence waits for nobody else's flushes. */
  #fence(): void {
    this.#step();
    const taken = this.#taken.get(this.#actor) ?? [];
    this.#taken.delete(this.#actor);
    this.#arrive(taken);
  }

  #flush(view: Uint32Array, byteOffset: number, byteLength: number): number {
    const [part, base] = this.#place(view, 0);
    const end = base + Math.ceil((byteOffset + byteLength) / lineSizeBytes) * descriptorWords;
    for (let at = base + Math.floor(byteOffset / lineSizeBytes) * descriptorWords; at < end; at += descriptorWords) {
      this.#step();
      this.#take(part, at, at + descriptorWords);
    }
    this.#fence();
    return 0;
  }

  #sync(view: Uint32Array, byteOffset: number, byteLength: number): number {
    this.#step();
    const [part, base] = this.#place(view, 0);
    const start = (this.parts[part] as Part).offset + base * 4 + byteOffset;
    const events = this.events.length;
    const all = pagesOf(start, start + byteLength);
    const pages = all.filter((page) => this.#dirty.has(page));
    const isRefused = this.#syncs++ === this.#refusedSync;
    // the device is at work: others go on
    this.#step();
    for (const page of pages) if ((this.#dirty.get(page) ?? 0) <= events) this.#dirty.delete(page);
    if (isRefused) this.#refuse();
    else {
      this.#recordPages(all);
      this.#arrive(pages.map((page) => ({ start: page * pageBytes, end: (page + 1) * pageBytes, events })));
    }
    // told once to each process, by whichever of its threads asks first, whatever pages that one has asked about
    const process = this.#process;
    const errno = process.untold;
    process.untold = 0;
    return errno;
  }

  /** Part and word of a word of a view. */
  #place(view: Uint32Array, at: number): [part: number, word: number] {
    const part = this.parts.findIndex(({ words }) => words.buffer === view.buffer);
    return [part, view.byteOffset / 4 + at];
  }
}
