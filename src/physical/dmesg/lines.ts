/** Cuts a boot log into lines without what stands before the kernel's words: times, thread numbers, hosts, indentation. */
import { VmemmapError } from '../../errors.ts';
import { pointAt, type RefuseLine } from '../caret.ts';

/** A line of the kernel. */
export interface LogLine {
  /** What the kernel said, without the blanks around it; at most 1 KiB, as a record of printk (LOG_LINE_MAX). */
  readonly text: string;
  /** Line of the log, counted from 1. */
  readonly line: number;
  /** Where `text` begins in that line, counted from 0. */
  readonly column: number;
}

/** Lines are cut there: what the kernel says about memory is much shorter. */
const lineLengthMax = 1024;
/** Shorter lines say nothing: the shortest that counts is "DMA empty". */
const lineLengthMin = 9;
/** Lines of a log at most. Memory is told at its beginning, so that what is longer can be cut. */
const linesMax = 500_000;
/** Prefixes before a line at most, such as a priority, a time, a host and a thread. */
const prefixesMax = 8;

const digits = '0123456789';
const smallLetters = 'abcdefghijklmnopqrstuvwxyz';
/** Prefixes by the characters that they begin with. All are sticky, and look at a bounded part of the line. */
const prefixes: ReadonlyMap<string, RegExp> = new Map(
  [
    [' \t', /[ \t]+/y],
    // a priority as printk stores it
    ['<', /<\d{1,3}>/y],
    // and as `dmesg --decode` shows it
    [smallLetters, /[a-z]{1,8} *:[a-z]{1,8} *: ?/y],
    // `[    0.000000]`, `[  +0.000003]`, `[    T0]`, `[]`; of `dmesg -T` and `--reltime`: `[Tue Nov  4 21:29:37 2025]`, `[Jun21 23:09]`
    ['[', /\[(?: *[+-]?\d{1,10}\.\d{1,9}| *[TC]\d{1,7}|[A-Z][a-z]{2}[A-Za-z\d: ]{1,26}|)\] ?/y],
    // `dmesg --time-format iso`
    [digits, /\d{4}-\d\d-\d\dT[\d:.,+Z-]{5,32} +/y],
  ].flatMap(([starts, prefix]) => [...(starts as string)].map((start) => [start, prefix as RegExp] as const)),
);
/** Of a journal: `Sep 25 02:28:53 localhost kernel: `. */
const journalPrefix = /(?:[^\s[]\S{0,80} {1,2}){0,6}kernel: ?/y;

/** Where the words of the kernel begin. */
function withoutPrefixes(text: string): number {
  const isJournal = text.includes('kernel: ');
  let column = 0;
  const take = (prefix: RegExp | undefined): boolean => {
    if (prefix === undefined) return false;
    prefix.lastIndex = column;
    if (!prefix.test(text)) return false;
    column = prefix.lastIndex;
    return true;
  };
  for (let count = 0; count < prefixesMax; count++) {
    if (!take(prefixes.get(text[column] ?? '')) && !(isJournal && take(journalPrefix))) break;
  }
  return column;
}

/** The lines that say something, one by one: a log may have many. */
export function* logLines(log: string): Generator<LogLine> {
  let line = 0;
  for (let from = 0; from < log.length; ) {
    line++;
    const newline = log.indexOf('\n', from);
    const to = newline < 0 ? log.length : newline;
    if (to - from >= lineLengthMin) {
      const text = log.slice(from, Math.min(to, from + lineLengthMax));
      const column = withoutPrefixes(text);
      const said = text.slice(column).trimEnd();
      if (said.length >= lineLengthMin) yield { text: said, line, column };
    }
    from = to + 1;
  }
}

/** The text of a line, counted from 1. */
function lineOf(log: string, line: number): string {
  let from = 0;
  for (let skipped = 1; skipped < line; skipped++) from = log.indexOf('\n', from) + 1;
  const newline = log.indexOf('\n', from);
  return log.slice(from, newline < 0 ? log.length : newline);
}

/** Refuses a log that is longer than any of one machine: what is read of it takes a time that grows with its lines. */
export function checkLength(log: string, refuse: RefuseLine): void {
  let at = 0;
  for (let line = 1; line <= linesMax; line++) {
    at = log.indexOf('\n', at) + 1;
    if (at === 0 || at === log.length) return;
  }
  refuse(linesMax + 1, 0, `expected at most ${linesMax} lines; give the beginning of a boot`);
}

/** Refuses a log at a place: @throws VmemmapError DMESG_SYNTAX that names file, line and column, and shows the line. */
export function refuser(log: string, file: string): RefuseLine {
  return (line, column, problem) => {
    throw new VmemmapError(
      'DMESG_SYNTAX',
      `${file}, line ${line}, column ${column + 1}: ${problem}\n${pointAt(lineOf(log, line), column)}\n` +
        'Example: BIOS-e820: [mem 0x0000000000100000-0x00000000bff7ffff] usable',
      { received: file },
    );
  };
}
