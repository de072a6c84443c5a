/** What several lines of a boot log are read into: runs of bytes that remember where they were told, and lines that are damaged. */
import type { ByteRun } from '../byte-runs.ts';
import type { RefuseLine } from '../caret.ts';
import { physicalAddressBits } from '../geometry.ts';
import { nodesMax } from '../zones.ts';
import type { LogLine } from './lines.ts';

/** A place in a log. */
export interface Place {
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 0. */
  readonly column: number;
}

/** A run of bytes, and where it was told. */
export interface ToldRun extends ByteRun, Place {}

/** A run of bytes of a node. */
export interface ToldNodeRun extends ToldRun {
  readonly nid: number;
}

/** A line that begins as one about memory and does not go on so. */
export interface Damage extends Place {
  readonly problem: string;
}

/** Lines of one kind at most: Linux's own tables have some thousands, and what is quadratic stays quick. */
const toldMax = 8192;
const addressEnd = 2 ** physicalAddressBits;

/** Lines of one kind, the damaged ones apart. */
export class Told<Item extends Place> {
  /** What the lines are, for errors. */
  readonly what: string;
  readonly damaged: Damage[] = [];
  #told: Item[] = [];
  #isFull = false;
  readonly #max: number;

  constructor(what: string, max: number = toldMax) {
    this.what = what;
    this.#max = max;
  }

  get items(): readonly Item[] {
    return this.#told;
  }

  /** Forgets everything: the kernel begins to tell it anew. */
  restart(): void {
    this.#told = [];
    this.damaged.length = 0;
    this.#isFull = false;
  }

  /** Keeps what a line says; what is wrong with it, as a text, is kept as a damage. Behind the limit nothing is kept. */
  add({ line, column }: Place, item: Item | string): void {
    if (this.#isFull) return;
    this.#isFull = this.#told.length + this.damaged.length >= this.#max;
    if (this.#isFull) this.damaged.unshift({ line, column, problem: `expected at most ${this.#max} ${this.what}` });
    else if (typeof item !== 'string') this.#told.push(item);
    else this.damaged.push({ line, column, problem: item });
  }

  /** Refuses the log where a line of this kind is damaged: for those that the result depends on. */
  refuseDamage(refuse: RefuseLine): void {
    const [first] = this.damaged;
    if (first) refuse(first.line, first.column, first.problem);
  }
}

/**
 * The run between two addresses in hexadecimal, or what is wrong with it. Memory must lie below 2^52; anything else that reaches
 * beyond is cut there.
 * @param endIsBehind the second address is the first one behind the run, as in old logs.
 */
export function runOf(
  { line, column }: LogLine,
  from: string,
  to: string,
  { endIsBehind = false, isMemory = true }: { endIsBehind?: boolean; isMemory?: boolean } = {},
): ToldRun | string {
  // up to 16 digits; inexact only above 2^53, which is out of bounds anyway
  const firstByte = Number.parseInt(from, 16);
  const lastByte = Number.parseInt(to, 16) - (endIsBehind ? 1 : 0);
  if (lastByte < firstByte) return 'expected a last address that is not below the first';
  if (lastByte >= addressEnd && (isMemory || firstByte >= addressEnd)) {
    return `expected an address below 2^${physicalAddressBits}, where physical addresses end`;
  }
  return { firstByte, lastByte: Math.min(lastByte, addressEnd - 1), line, column };
}

/** The same for the memory of a node. */
export function nodeRunOf(
  line: LogLine,
  nidText: string,
  from: string,
  to: string,
  options?: { endIsBehind?: boolean },
): ToldNodeRun | string {
  const nid = Number(nidText);
  if (nid >= nodesMax) return `expected a node below ${nodesMax}`;
  const run = runOf(line, from, to, options);
  return typeof run === 'string' ? run : { ...run, nid };
}
