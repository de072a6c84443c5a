/** What memblock=debug prints: all memory, all that is reserved, and every reservation afterwards. */
import { type ByteRun, painted } from '../byte-runs.ts';
import { nodesMax } from '../zones.ts';
import type { LogLine } from './lines.ts';
import { runOf, Told, type ToldRun } from './told.ts';

/** Memory as memblock has it. */
export interface MemblockMemory extends ToldRun {
  /** Undefined where nodes are not known yet. */
  readonly nid: number | undefined;
  /** MEMBLOCK_NOMAP. */
  readonly isNomap: boolean;
}

interface Step extends ToldRun {
  readonly isReserved: boolean;
}

const run = '\\[0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\\]';
const dumpPattern = new RegExp(
  `^(memory|reserved)\\[0x[0-9a-f]+\\]\\s*${run}, 0x[0-9a-f]+ bytes(?: on node (\\d{1,5}))?(?: flags: 0x([0-9a-f]+))?`,
);
const dumpHead = /^(memory|reserved)\[0x[0-9a-f]+\]\s*\[/;
const stepPattern = new RegExp(`^memblock_(reserve|free|phys_free): ${run}`);
/** MEMBLOCK_NOMAP of enum memblock_flags; the bits are 1 hotplug, 2 mirror, 4 nomap. */
const nomapDigit = /[4567cdef]$/;
/** Reservations are many: one for each page table and per-cpu area. */
const stepsMax = 65_536;

/** Reads the lines of memblock. */
export class Memblock {
  readonly memory: Told<MemblockMemory> = new Told('ranges of memblock');
  readonly steps: Told<Step> = new Told('reservations', stepsMax);

  /** Whether the line was one of memblock's. */
  take(line: LogLine): boolean {
    const { text } = line;
    if (text === 'MEMBLOCK configuration:') {
      // the dump holds all that happened before it
      this.memory.restart();
      this.steps.restart();
      return true;
    }
    const step = stepPattern.exec(text);
    if (step) {
      const told = runOf(line, step[2] ?? '', step[3] ?? '', { isMemory: false });
      if (typeof told !== 'string') this.steps.add(line, { ...told, isReserved: step[1] === 'reserve' });
      return true;
    }
    const kind = dumpHead.exec(text)?.[1];
    if (kind === undefined) return false;
    const [, , from, to, nid, flags = '0'] = dumpPattern.exec(text) ?? [];
    const isMemory = kind === 'memory';
    const told = from && to ? runOf(line, from, to, { isMemory }) : 'expected [FIRST-LAST] in hexadecimal';
    if (isMemory) this.#takeMemory(line, told, nid, flags);
    // what is reserved where no memory can be does not matter
    else if (typeof told !== 'string') this.steps.add(line, { ...told, isReserved: true });
    return true;
  }

  #takeMemory(line: LogLine, told: ToldRun | string, nidText: string | undefined, flags: string): void {
    const nid = nidText === undefined ? undefined : Number(nidText);
    if (typeof told === 'string') this.memory.add(line, told);
    else
      this.memory.add(line, {
        ...told,
        nid: nid !== undefined && nid < nodesMax ? nid : undefined,
        isNomap: nomapDigit.test(flags),
      });
  }

  get isTold(): boolean {
    return this.memory.items.length > 0;
  }

  /** What is reserved in the end, sorted and without overlaps: of all that happened to a byte, the last counts. */
  reserved(): readonly ByteRun[] {
    const latestFirst = this.steps.items.toReversed().map((step) => ({ ...step, colour: step.isReserved }));
    return painted(latestFirst).filter(({ colour }) => colour);
  }
}
