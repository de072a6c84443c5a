/**
 * What a crash leaves of what media.ts has written down: for every moment of it, every combination of losses up to a bound.
 *
 * The media lose in units: a cache line, or eight bytes of it where it is torn; a page, or a sector of it, or less. Each unit may
 * hold any state that it had between what has arrived for certain and the present, whatever the others hold: a cache gives up
 * lines, and a kernel writes back pages, when they like.
 */
import type { MediaEvent, Part, Unit } from './media.js';

/** In what size the media lose. */
export type LossBytes = 8 | 64 | 512 | 4096;

/** How images are made. */
export interface LossOptions {
  readonly lossBytes: LossBytes;
  /** Words of the control part `[start, end)` that recovery reads; what else it holds comes as it likes, at random. */
  readonly read: readonly (readonly [start: number, end: number])[];
  /** Those that anybody stores to. */
  readonly used: readonly (readonly [start: number, end: number])[];
  /** With more combinations than these they are drawn at random, beside the extreme ones. */
  readonly combinationsMax: number;
  readonly samples: number;
  readonly random: () => number;
}

/** A crash. */
export interface Image {
  /** All parts as they are found; not to be kept. */
  readonly parts: readonly Uint32Array[];
  /** How many events had happened. */
  readonly moment: number;
  /** What was lost and what not, for people. */
  describe(): string;
}

/** What was stored to one unit of loss by one event. */
interface Change {
  readonly event: number;
  readonly units: readonly Unit[];
  /** Whether recovery reads any of it. */
  readonly isRead: boolean;
}

/** A unit of loss that may have lost something. */
interface Pending {
  readonly name: number;
  readonly changes: Change[];
}

/** Images of a recording, made one after the other in the same memory. */
export class Losses {
  /** Images that were made; many of them were seen before. */
  made = 0;
  readonly #offsets: readonly number[];
  readonly #options: LossOptions;
  readonly #pending = new Map<number, Pending>();
  /** What has arrived for certain. */
  readonly #certain: readonly Uint32Array[];
  readonly #image: readonly Uint32Array[];
  readonly #seen: Set<string>;

  /** @param seen images that were looked at already, by what recovery reads and what was asked of it. */
  constructor(
    parts: readonly Pick<Part, 'offset'>[],
    initial: readonly Uint32Array[],
    options: LossOptions,
    seen: Set<string>,
  ) {
    this.#offsets = parts.map(({ offset }) => offset);
    this.#options = options;
    this.#certain = initial.map((words) => Uint32Array.from(words));
    this.#image = initial.map((words) => Uint32Array.from(words));
    this.#seen = seen;
  }

  /** Goes on by one event. */
  add(event: MediaEvent, number: number): void {
    if (event.kind === 'store') this.#store(event.units, number);
    if (event.kind !== 'arrived') return;
    for (const { start, end, events } of event.taken) {
      const { lossBytes } = this.#options;
      for (let name = Math.floor(start / lossBytes); name * lossBytes < end; name++) this.#arrive(name, events);
    }
  }

  #store(units: readonly Unit[], event: number): void {
    const byName = new Map<number, Unit[]>();
    for (const unit of units) {
      const name = Math.floor(((this.#offsets[unit.part] as number) + unit.at * 4) / this.#options.lossBytes);
      const all = byName.get(name);
      if (all) all.push(unit);
      else byName.set(name, [unit]);
    }
    for (const [name, stored] of byName) {
      const change = { event, units: stored, isRead: stored.some((unit) => this.#isRead(unit)) };
      const pending = this.#pending.get(name);
      if (pending) pending.changes.push(change);
      else this.#pending.set(name, { name, changes: [change] });
    }
  }

  #isRead({ part, at }: Unit): boolean {
    return part > 0 || this.#options.read.some(([start, end]) => at >= start && at < end);
  }

  #arrive(name: number, events: number): void {
    const pending = this.#pending.get(name);
    if (!pending) return;
    while (pending.changes.length > 0 && (pending.changes[0] as Change).event < events) {
      apply(this.#certain, pending.changes.shift() as Change);
    }
    if (pending.changes.length === 0) this.#pending.delete(name);
  }

  /** Whether these parts were looked at already, with the same asked of them; from now on they were. */
  isSeen(parts: readonly Uint32Array[], asked: string): boolean {
    const key = asked + this.#hash(parts);
    if (this.#seen.has(key)) return true;
    this.#seen.add(key);
    return false;
  }

  /**
   * All images of this moment that were not seen before.
   * @param asked what is asked of them: the same image is seen again when more is.
   */
  visit(moment: number, asked: string, look: (image: Image) => void): void {
    const read: Pending[] = [];
    const idle: Pending[] = [];
    for (const pending of this.#pending.values()) {
      (pending.changes.some(({ isRead }) => isRead) ? read : idle).push(pending);
    }
    // how many changes of each unit have arrived, where that makes a difference
    const choices = read.map(({ changes }) => [
      0,
      ...changes.flatMap(({ isRead }, index) => (isRead ? [index + 1] : [])),
    ]);
    const cuts = choices.map(() => 0);
    const asIs = (): void => this.#look(moment, asked, read, cuts, idle, look);
    const combinations = choices.reduce((product, { length }) => product * length, 1);
    if (combinations <= this.#options.combinationsMax) {
      for (let number = 0; number < combinations; number++) {
        let rest = number;
        for (const [unit, each] of choices.entries()) {
          cuts[unit] = each[rest % each.length] as number;
          rest = Math.floor(rest / each.length);
        }
        asIs();
      }
      return;
    }
    for (const pick of this.#extremes(read)) {
      for (const [unit, each] of choices.entries()) cuts[unit] = pick(unit) ? (each.at(-1) as number) : 0;
      asIs();
    }
    for (let sample = 0; sample < this.#options.samples; sample++) {
      for (const [unit, each] of choices.entries()) {
        cuts[unit] = each[Math.floor(this.#options.random() * each.length)] as number;
      }
      asIs();
    }
  }

  /** Whether all that was stored to a unit has arrived, for extreme losses: all, none, one alone, all but one, one part alone. */
  #extremes(units: readonly Pending[]): ((unit: number) => boolean)[] {
    const isControl = ({ name }: Pending): boolean => name * this.#options.lossBytes < (this.#offsets[1] as number);
    // all of them, or as many as there are samples
    const { random, samples } = this.#options;
    const chosen =
      units.length <= samples
        ? units.keys()
        : Array.from({ length: samples }, () => Math.floor(random() * units.length)).values();
    return [
      () => true,
      () => false,
      (unit) => isControl(units[unit] as Pending),
      (unit) => !isControl(units[unit] as Pending),
      ...[...chosen].flatMap((one) => [
        (unit: number): boolean => unit === one,
        (unit: number): boolean => unit !== one,
      ]),
    ];
  }

  #look(
    moment: number,
    asked: string,
    read: readonly Pending[],
    cuts: readonly number[],
    idle: readonly Pending[],
    look: (image: Image) => void,
  ): void {
    this.made++;
    const image = this.#image;
    for (const [part, words] of this.#certain.entries()) {
      if (part > 0) (image[part] as Uint32Array).set(words);
      else for (const [start, end] of this.#options.read) image[0]?.set(words.subarray(start, end), start);
    }
    for (const [unit, { changes }] of read.entries()) {
      for (let index = 0; index < (cuts[unit] as number); index++) apply(image, changes[index] as Change);
    }
    if (this.isSeen(image, asked)) return;
    this.#completeControl(read, cuts, idle);
    look({ parts: image, moment, describe: () => this.#describe(read, cuts) });
  }

  /** What recovery does not read of the control part: units of their own at random, the rest of others with what is read. */
  #completeControl(read: readonly Pending[], cuts: readonly number[], idle: readonly Pending[]): void {
    const { random, used } = this.#options;
    for (const [start, end] of used) this.#image[0]?.set((this.#certain[0] as Uint32Array).subarray(start, end), start);
    for (const [unit, { changes }] of read.entries()) {
      for (let index = 0; index < (cuts[unit] as number); index++) apply(this.#image, changes[index] as Change);
    }
    for (const { changes } of idle) {
      const cut = Math.floor(random() * (changes.length + 1));
      for (let index = 0; index < cut; index++) apply(this.#image, changes[index] as Change);
    }
  }

  /** Of all that recovery reads: two sums of 32 bits. */
  #hash(parts: readonly Uint32Array[]): string {
    let [one, two] = [0x811c9dc5, 0x1234567];
    const mix = (words: Uint32Array, start: number, end: number): void => {
      for (let at = start; at < end; at++) {
        const word = words[at] as number;
        one = Math.imul(one ^ word, 0x01000193) ^ (one >>> 15);
        two = Math.imul(two ^ word ^ at, 0x85ebca6b) ^ (two >>> 13);
      }
    };
    for (const [start, end] of this.#options.read) mix(parts[0] as Uint32Array, start, end);
    for (const words of parts.slice(1)) mix(words, 0, words.length);
    return `${one >>> 0} ${two >>> 0}`;
  }

  #describe(read: readonly Pending[], cuts: readonly number[]): string {
    const { lossBytes } = this.#options;
    const units = read.map(({ name, changes }, unit) => {
      const kept = cuts[unit] as number;
      return `${(name * lossBytes).toString(16)}: ${kept} of ${changes.length}`;
    });
    return `stores that arrived, by units of ${lossBytes} bytes at hexadecimal offsets: ${units.join(', ') || 'all'}`;
  }
}

function apply(parts: readonly Uint32Array[], { units }: Change): void {
  applyUnits(parts, units);
}

/** Carries out what was stored. */
export function applyUnits(parts: readonly Uint32Array[], units: readonly Unit[]): void {
  for (const { part, at, low, high } of units) {
    const words = parts[part] as Uint32Array;
    words[at] = low;
    words[at + 1] = high;
  }
}
