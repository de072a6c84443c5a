/** "Early memory node ranges": what the kernel took as memory, node by node. */
import type { RefuseLine } from '../caret.ts';
import { physicalAddressBits } from '../geometry.ts';
import type { LogLine } from './lines.ts';
import { nodeRunOf, type Place, Told, type ToldNodeRun } from './told.ts';

/** A line of which only the beginning can be read: two processors wrote to a console at once. */
interface Garbled extends Place {
  readonly nid: number;
  readonly firstByte: number;
}

/** A range, and whether what follows it up to the next one is unknown. */
export interface EarlyRun extends ToldNodeRun {
  /** Made up from a garbled line: it may be several ranges. */
  readonly isGuess: boolean;
}

const pattern = /^node +(\d{1,5}): \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\]$/;
const head = /^node +\d{1,5}: *\[?mem/;
const garbledPattern = /^node +(\d{1,5}): \[mem 0x([0-9a-f]{1,16})-/;
/** Before 3.5, in pfns: ` 0: 0x00000001 -> 0x0000009f`, the second one behind the range. */
const oldPattern = /^(\d{1,5}): 0x([0-9a-f]{1,13}) -> 0x([0-9a-f]{1,13})$/;

/** Reads the lines of the block. */
export class EarlyRanges {
  readonly told: Told<ToldNodeRun> = new Told('ranges of memory');
  #garbled: Garbled[] = [];
  #isOld = false;

  /** Whether the line was one of the block. */
  take(line: LogLine): boolean {
    const { text } = line;
    if (/^Early memory node ranges$|^[Ee]arly_node_map\[\d+\] active PFN ranges$/.test(text)) {
      this.told.restart();
      this.#garbled = [];
      this.#isOld = text.endsWith('PFN ranges');
      return true;
    }
    const old = this.#isOld ? oldPattern.exec(text) : null;
    if (old) {
      this.#add(line, nodeRunOf(line, old[1] ?? '', old[2] ?? '', old[3] ?? '', { endIsBehind: true }));
      return true;
    }
    if (!head.test(text)) return false;
    const found = pattern.exec(text);
    if (found) this.#add(line, nodeRunOf(line, found[1] ?? '', found[2] ?? '', found[3] ?? ''));
    else this.#takeGarbled(line);
    return true;
  }

  #add(line: LogLine, run: ToldNodeRun | string): void {
    this.told.add(line, run);
  }

  #takeGarbled(line: LogLine): void {
    const [, nid = '', from = ''] = garbledPattern.exec(line.text) ?? [];
    const start = nodeRunOf(line, nid, from, from);
    if (from === '' || typeof start === 'string') this.told.add(line, 'expected [mem FIRST-LAST] in hexadecimal');
    else this.#garbled.push(start);
    if (this.#garbled.length > 64) this.told.add(line, 'expected at most 64 garbled lines');
  }

  get isTold(): boolean {
    return this.told.items.length > 0;
  }

  /**
   * The ranges, ascending and without overlaps. A garbled line is taken as memory up to the next line that can be read, if that
   * is of the same node.
   * @param pageBytes for old logs, which tell pfns.
   */
  runs(pageBytes: number, refuse: RefuseLine): readonly EarlyRun[] {
    this.told.refuseDamage(refuse);
    const scale = this.#isOld ? pageBytes : 1;
    const runs: EarlyRun[] = this.told.items.map((run) => ({
      ...run,
      firstByte: run.firstByte * scale,
      lastByte: (run.lastByte + 1) * scale - 1,
      isGuess: false,
    }));
    for (const start of this.#garbled) {
      const next = runs.findIndex(({ line }) => line > start.line);
      const after = runs[next];
      if (after === undefined || after.nid !== start.nid || after.firstByte <= start.firstByte) {
        return refuse(start.line, start.column, 'expected [mem FIRST-LAST] in hexadecimal');
      }
      runs.splice(next, 0, { ...start, lastByte: after.firstByte - 1, isGuess: true });
    }
    for (const [index, run] of runs.entries()) {
      const previous = runs[index - 1];
      if (previous && previous.lastByte >= run.firstByte) {
        refuse(run.line, run.column, `expected memory behind that of line ${previous.line}`);
      }
      if (run.lastByte >= 2 ** physicalAddressBits) {
        refuse(run.line, run.column, `expected memory below 2^${physicalAddressBits}, where physical addresses end`);
      }
    }
    return runs;
  }
}
