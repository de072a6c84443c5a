/** What must hold of a region after a crash, whatever the media have lost, and whether it does: asked of the library's recovery. */
import { ChunkMap, isInitialized, recovered, stateOf } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { recover as recoverRegion } from '../../dist/src/claims/recovery.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { descriptorWords } from '../../dist/src/descriptor/layout.js';
import { controlWords } from '../../dist/src/region/layout.js';
import type { Region } from '../../dist/src/region/region.js';
import { unknownThread } from '../../dist/src/region/threads.js';
import { applyUnits, type Image, Losses, type LossOptions } from './losses.js';
import {
  freshParts,
  type Ground,
  idlePersistence,
  type MediaEvent,
  type Part,
  regionOver,
  type Stage,
} from './media.js';
import { countingKernel, patternOf } from './regions.js';

/** Where the words of a chunk's descriptors lie: `[start, end)` in a part. */
interface Extent {
  readonly part: number;
  readonly start: number;
  readonly end: number;
}

/** Eight bytes that a user has changed: all that they were, and from which on they must survive. */
interface Changed {
  readonly chunk: number;
  readonly part: number;
  readonly at: number;
  readonly values: (readonly [low: number, high: number])[];
  /** Index of the oldest value that may be found. */
  oldest: number;
}

/** What the program may rely on at one moment. */
export class Expectations {
  /** Chunks that recovery must keep. */
  readonly mustKeep: Uint8Array;
  readonly changed = new Map<string, Changed>();
  readonly #targets: Targets;
  #asked: string | undefined;

  constructor(targets: Targets, from?: Expectations, image?: readonly Uint32Array[]) {
    this.#targets = targets;
    this.mustKeep = from ? Uint8Array.from(from.mustKeep) : new Uint8Array(targets.extents.length);
    if (!from || !image) return;
    // what a crash has left is what there is from now on
    for (const [key, { chunk, part, at }] of from.changed) {
      if (!targets.isKept(image, chunk)) continue;
      this.changed.set(key, { chunk, part, at, values: [valueAt(image, part, at)], oldest: 0 });
    }
  }

  /** All of it in short, to tell one asked before from one that asks for more. */
  get asked(): string {
    this.#asked ??= `${this.mustKeep.join('')} ${[...this.changed].map(([key, { values, oldest }]) => `${key} ${oldest} ${values.join(' ')}`).join()} `;
    return this.#asked;
  }

  /** Goes on by one event. */
  add(event: MediaEvent): void {
    if (event.kind === 'arrived') return;
    const { mustKeep } = this;
    this.#asked = undefined;
    if (event.kind === 'relied') for (const chunk of event.chunks) mustKeep[chunk] = 1;
    else if (event.kind === 'persisted') {
      for (const changed of this.changed.values()) {
        if (changed.part !== event.part || changed.at < event.start || changed.at >= event.end) continue;
        changed.oldest = changed.values.length - 1;
      }
      for (const [chunk, { part, start, end }] of this.#targets.extents.entries()) {
        if (part === event.part && start < event.end && event.start < end) mustKeep[chunk] = 1;
      }
    } else this.#store(event);
  }

  #store({ by, units }: Extract<MediaEvent, { kind: 'store' }>): void {
    for (const { part, at, low, high } of units) {
      if (part === 0) {
        // who sees DURABLE relies on it: nobody does while the file is being opened
        for (const [index, word] of by === 'opening' ? [] : [low, high].entries()) {
          const chunk = at + index - this.#targets.firstWord;
          if (chunk >= 0 && chunk < this.mustKeep.length && stateOf(word) === 'durable') this.mustKeep[chunk] = 1;
        }
        continue;
      }
      const key = `${part}:${at}`;
      const changed = this.changed.get(key);
      if (changed) changed.values.push([low, high]);
      else if (by === 'user') {
        const chunk = this.#targets.chunkAt(part, at);
        const before = valueAt(this.#targets.right, part, at);
        this.changed.set(key, { chunk, part, at, values: [before, [low, high]], oldest: 0 });
      }
    }
  }
}

function valueAt(parts: readonly Uint32Array[], part: number, at: number): readonly [number, number] {
  const words = parts[part] as Uint32Array;
  return [words[at] as number, words[at + 1] as number];
}

/** What a region looks like when all is right. */
export class Targets {
  /** The descriptors of each chunk. */
  readonly extents: readonly Extent[];
  /** All parts as they should be; nothing of the first. */
  readonly right: readonly Uint32Array[];
  /** Index of the first chunk word in the control part. */
  readonly firstWord: number;

  constructor(region: Region) {
    this.firstWord = region.layout.chunkWords / 4;
    this.right = [
      new Uint32Array(),
      ...region.ranges.map((range) => {
        const words = new Uint32Array(range.pages * descriptorWords);
        jsKernel.fill(words, 0, range.pages, patternOf(range), 0);
        return words;
      }),
    ];
    this.extents = Array.from({ length: region.chunks }, (_, chunk) => {
      const range = region.rangeOfChunk(chunk);
      const [start, end] = [range.chunkStart(chunk - range.firstChunk), range.chunkEnd(chunk - range.firstChunk)];
      return {
        part: range.slot + 1,
        start: range.offsetOf(start) / 4,
        end: range.offsetOf(end - 1) / 4 + descriptorWords,
      };
    });
  }

  chunkAt(part: number, at: number): number {
    return this.extents.findIndex((extent) => extent.part === part && extent.start <= at && at < extent.end);
  }

  /** Whether recovery keeps a chunk of an image, after another boot. */
  isKept(image: readonly Uint32Array[], chunk: number): boolean {
    return isInitialized(recovered(image[0]?.[this.firstWord + chunk] ?? 0, false, true));
  }
}

/** What recovery does; tests of the judge itself put in others. */
export type Recover = (region: Region, keepsReady: boolean) => void;

/** Tells whether chunks that are READY are still to be trusted; throws when the header is no good. */
export type HeaderReader = (region: Region, control: Uint8Array, crash: Crash) => boolean;

/** How it came to an end: all that the machine had in memory is lost, or the processes died and the kernel went on. */
export type Crash = 'power' | 'process';

/** What is wrong with an image: the rule that it breaks, and how. */
export interface Fault {
  readonly rule: 'right descriptors' | 'changes survive' | 'durable is kept' | 'finished' | 'written once' | 'header';
  readonly what: string;
}

/** Runs recovery over one image after the other. */
export class Judge {
  /** Images that were recovered. */
  judged = 0;
  readonly targets: Targets;
  readonly #ground: Ground;
  readonly #parts: readonly Part[];
  readonly #region: Region;
  readonly #counts: Int32Array;
  readonly #kernel: ReturnType<typeof countingKernel>;
  readonly #recover: Recover;
  readonly #header: HeaderReader | undefined;

  /** @param header reads the part before the chunk words; by default it is not looked at. */
  constructor(ground: Ground, recover: Recover = recoverRegion, header?: HeaderReader) {
    this.#ground = ground;
    this.#recover = recover;
    this.#header = header;
    this.#parts = freshParts(ground);
    this.#region = regionOver(ground, this.#parts, idlePersistence(ground));
    this.targets = new Targets(this.#region);
    this.#counts = new Int32Array(this.#region.chunks);
    this.#kernel = countingKernel(this.#region, this.#counts);
  }

  /** What is wrong with a crash that left these parts. */
  fault(image: readonly Uint32Array[], expected: Expectations, crash: Crash = 'power'): Fault | undefined {
    this.judged++;
    for (const [part, { words }] of this.#parts.entries()) {
      const source = image[part] as Uint32Array;
      if (part > 0) words.set(source);
      else for (const [start, end] of this.#ground.used) words.set(source.subarray(start, end), start);
    }
    const region = this.#region;
    let isTrusted = crash === 'process' && region.mediaErrno === 0;
    try {
      isTrusted = this.#header?.(region, new Uint8Array((this.#parts[0] as Part).words.buffer), crash) ?? isTrusted;
    } catch (error) {
      return { rule: 'header', what: String(error) };
    }
    this.#recover(region, isTrusted);
    const chunks = ChunkMap.of(region);
    const kept = Array.from(expected.mustKeep, (_, chunk) => isInitialized(chunks.load(chunk)));
    return this.#keptFault(kept, expected, crash) ?? this.#finishedFault(chunks, kept, expected);
  }

  #keptFault(kept: readonly boolean[], expected: Expectations, crash: Crash): Fault | undefined {
    for (const [chunk, isKept] of kept.entries()) {
      if (!isKept && expected.mustKeep[chunk]) {
        return { rule: 'durable is kept', what: `chunk ${chunk} is done once more, after somebody could rely on it` };
      }
      const what = isKept ? this.#wrong(chunk, expected) : undefined;
      if (what) return { rule: 'right descriptors', what };
    }
    for (const { chunk, part, at, values, oldest } of expected.changed.values()) {
      if (!kept[chunk]) continue;
      const found = valueAt(this.#words(), part, at);
      const first = crash === 'process' ? values.length - 1 : oldest;
      if (!values.some((value, index) => index >= first && isSame(value, found))) {
        return { rule: 'changes survive', what: `word ${at} of chunk ${chunk}, which was changed, is ${found}` };
      }
    }
    return undefined;
  }

  /** What is wrong with a chunk, if it is anything that no user has changed. */
  #wrong(chunk: number, expected: Expectations): string | undefined {
    const { part, start, end } = this.targets.extents[chunk] as Extent;
    const [words, right] = [(this.#parts[part] as Part).words, this.targets.right[part] as Uint32Array];
    for (let at = start; at < end; at++) {
      if (words[at] === right[at] || expected.changed.has(`${part}:${at & ~1}`)) continue;
      return `word ${at - start} of chunk ${chunk}, which is kept, is ${words[at]?.toString(16)}`;
    }
    return undefined;
  }

  /** Lets the library go on from there. */
  #finishedFault(chunks: ChunkMap, kept: readonly boolean[], expected: Expectations): Fault | undefined {
    const changes = [...expected.changed.values()].filter(({ chunk }) => kept[chunk]);
    const before = changes.map(({ part, at }) => valueAt(this.#words(), part, at));
    this.#counts.fill(0);
    const claimant = new Claimant(this.#region, { kernel: this.#kernel, thread: unknownThread });
    const outcome = drain(claimant, 0);
    claimant.leave();
    const none = new Expectations(this.targets);
    for (const [chunk, isKept] of kept.entries()) {
      const state = stateOf(chunks.load(chunk));
      if (outcome !== 'complete' || state !== 'durable')
        return { rule: 'finished', what: `chunk ${chunk} is ${state}` };
      if (this.#counts[chunk] !== (isKept ? 0 : 1)) {
        const what = `chunk ${chunk} was ${isKept ? 'kept' : 'not kept'} and written ${this.#counts[chunk]} times`;
        return { rule: 'written once', what };
      }
      const what = this.#wrong(chunk, isKept ? expected : none);
      if (what) return { rule: 'finished', what };
    }
    for (const [index, { part, at, chunk }] of changes.entries()) {
      if (isSame(before[index] as readonly [number, number], valueAt(this.#words(), part, at))) continue;
      return { rule: 'written once', what: `a change of chunk ${chunk}, which was kept, is gone` };
    }
    return undefined;
  }

  #words(): readonly Uint32Array[] {
    return this.#parts.map(({ words }) => words);
  }

  /** Words of the control part that recovery reads. */
  get read(): readonly [number, number] {
    const { firstWord, extents } = this.targets;
    return [firstWord, firstWord + extents.length + (extents.length & 1)];
  }

  /** What the judge's regions stand on. */
  get ground(): Ground {
    return this.#ground;
  }
}

function isSame(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

/** How a recording is searched. */
export interface SearchOptions extends Omit<LossOptions, 'read' | 'used'> {
  /** Images that were looked at already, also by other searches over the same ground. */
  readonly seen: Set<string>;
  /** Words of the control part that recovery reads, beside the chunk words. */
  readonly read?: LossOptions['read'];
  /** First moment that is looked at. */
  readonly from?: number;
  /** What holds at the first event. */
  readonly expected?: Expectations;
  /** Gets each image of which nothing is wrong. */
  readonly onSound?: (image: Image, expected: Expectations) => void;
}

/** A fault, and where it was found. */
export interface Found extends Fault {
  readonly crash: Crash;
  /** The image, and the events before it. */
  readonly where: string;
}

/** What a search has found, and how many images it has made. */
export interface Result {
  readonly found: Found | undefined;
  readonly made: number;
}

/** Looks at every moment of a recording, with all losses that there may be, until something is wrong. */
export function search(
  stage: Pick<Stage, 'events' | 'initial' | 'parts'>,
  judge: Judge,
  options: SearchOptions,
): Result {
  const { seen, from = 0, expected = new Expectations(judge.targets), onSound } = options;
  const read = [judge.read, ...(options.read ?? [])];
  const losses = new Losses(stage.parts, stage.initial, { ...options, read, used: judge.ground.used }, seen);
  const errnoWord = controlWords(judge.ground.layout).mediaErrno;
  const latest = stage.initial.map((words) => Uint32Array.from(words));
  let found: Found | undefined;
  const look = (image: Image, crash: Crash): void => {
    const fault = found ? undefined : judge.fault(image.parts, expected, crash);
    if (fault) found = { ...fault, crash, where: `${image.describe()}; behind ${told(stage.events, image.moment)}` };
    else if (!found && crash === 'power') onSound?.(image, expected);
  };
  for (let moment = 0; moment <= stage.events.length && !found; moment++) {
    const event = stage.events[moment - 1];
    if (event) {
      losses.add(event, moment - 1);
      expected.add(event);
      if (event.kind === 'store') applyUnits(latest, event.units);
    }
    if (moment < from) continue;
    losses.visit(moment, expected.asked, (image) => look(image, 'power'));
    losses.made++;
    // what the kernel has lost is lost to it as well
    const asked = `gone ${latest[0]?.[errnoWord]} ${expected.asked}`;
    const describe = (): string => 'nothing is lost, the processes are gone';
    if (!losses.isSeen(latest, asked)) look({ parts: latest, moment, describe }, 'process');
  }
  return { found, made: losses.made };
}

/** The last events before a moment, for people. */
function told(events: readonly MediaEvent[], moment: number): string {
  const last = events.slice(Math.max(0, moment - 6), moment).map((event) => {
    if (event.kind !== 'store') return event.kind;
    const units = event.units
      .slice(0, 2)
      .map(({ part, at, low, high }) => `${part}:${at}=${low.toString(16)},${high.toString(16)}`);
    return `${event.by} stores ${units.join(' ')}${event.units.length > 2 ? ' …' : ''}`;
  });
  return `${moment} events, the last: ${last.join('; ') || 'none'}`;
}
