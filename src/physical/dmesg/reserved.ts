/** Lines of a boot log that tell what is reserved, and what for. */
import { type ByteRun, type Painted, painted } from '../byte-runs.ts';
import { pagesTouched } from '../geometry.ts';
import { atLeast } from '../release.ts';
import type { ReservedExtent } from '../topology.ts';
import type { LogLine } from './lines.ts';
import { runOf, Told, type ToldRun } from './told.ts';

/** A run that is reserved. */
interface Reservation extends ToldRun {
  readonly what: string;
  /** Whether the kernel maps it. */
  readonly isMapped: boolean;
}

const hex = '0x([0-9a-f]{1,16})';
const mib = 2 ** 20;
const patterns: readonly {
  readonly what: string;
  readonly pattern: RegExp;
  /** The two numbers of the line: first and last byte, first and the one behind, MiB and where in MiB, MiB and the first byte. */
  readonly form: 'first-last' | 'first-end' | 'mib-at-mib' | 'mib-at';
}[] = [
  {
    what: 'Crash kernel',
    pattern: /^Reserving (\d{1,9})MB of (?:low )?memory at (\d{1,10})MB for crashkernel/,
    form: 'mib-at-mib',
  },
  {
    what: 'Crash kernel',
    pattern: new RegExp(`^crashkernel (?:low memory )?reserved: ${hex} - ${hex} \\(`),
    form: 'first-end',
  },
  { what: 'Initrd', pattern: new RegExp(`^RAMDISK: \\[mem ${hex}-${hex}\\]`), form: 'first-last' },
  // older kernels, and arm64 before this code became common, have words of their own
  {
    what: 'NODE_DATA',
    pattern: new RegExp(`^(?:NUMA: )?NODE_DATA(?:\\(\\d+\\) allocated)? \\[mem ${hex}-${hex}\\]`),
    form: 'first-last',
  },
  { what: 'CMA', pattern: new RegExp(`^cma: Reserved (\\d{1,9}) MiB at ${hex}`), form: 'mib-at' },
];
const treePattern = new RegExp(
  `^OF: reserved mem: ${hex}\\.\\.${hex} \\(\\d+ KiB\\) (map|nomap) (reusable|non-reusable) `,
);
/** x86: nobody gets what lies below (trim_low_memory_range until 5.12, and since then all of the first MiB). */
const lowEndByte = 64 * 1024;
const biosEndByte = mib;
/** Where the firmware's own memory may begin (BIOS_START_MAX of arch/x86/kernel/ebda.c, and 640 KiB). */
const biosStartMaxByte = 0xa_0000;

/** Reads lines of one reservation each. */
export class Reservations {
  readonly told: Told<Reservation> = new Told('reservations');

  /** Whether the line was one. */
  take(line: LogLine): boolean {
    for (const { what, pattern, form } of patterns) {
      const [, one, other] = pattern.exec(line.text) ?? [];
      if (one === undefined || other === undefined) continue;
      this.#add(line, what, true, this.#runIn(line, one, other, form));
      return true;
    }
    const [, from = '', to = '', map, reuse] = treePattern.exec(line.text) ?? [];
    if (from === '') return false;
    this.#add(
      line,
      reuse === 'reusable' ? 'CMA' : 'reserved-memory',
      map === 'map',
      runOf(line, from, to, { isMemory: false }),
    );
    return true;
  }

  #runIn(line: LogLine, one: string, other: string, form: (typeof patterns)[number]['form']): ToldRun | string {
    if (form === 'first-last') return runOf(line, one, other, { isMemory: false });
    if (form === 'first-end') return runOf(line, one, other, { isMemory: false, endIsBehind: true });
    const firstByte = form === 'mib-at' ? Number.parseInt(other, 16) : Number(other) * mib;
    const end = firstByte + Number(one) * mib;
    return runOf(line, firstByte.toString(16), end.toString(16), { isMemory: false, endIsBehind: true });
  }

  #add(line: LogLine, what: string, isMapped: boolean, run: ToldRun | string): void {
    // what is reserved beyond all memory does not matter
    if (typeof run !== 'string') this.told.add(line, { ...run, what, isMapped });
  }
}

/** What Linux reserves below 1 MiB on x86, whatever the log says: for the firmware and against its defects. */
function lowMemory(release: string | undefined, ram: readonly ByteRun[]): ByteRun[] {
  // 5.13 and later; where the release is not known, it is taken as a present one
  if (release === undefined || atLeast(release, 5, 13)) return [{ firstByte: 0, lastByte: biosEndByte - 1 }];
  const low = ram.filter(({ lastByte }) => lastByte < biosStartMaxByte);
  const firmware = (low.at(-1)?.lastByte ?? biosStartMaxByte - 1) + 1;
  return [
    { firstByte: 0, lastByte: lowEndByte - 1 },
    { firstByte: firmware, lastByte: biosEndByte - 1 },
  ];
}

/** What {@link reservedExtents} is made from. */
export interface ReservedFacts {
  readonly reservations: Reservations;
  /** What memblock has reserved, sorted and without overlaps. */
  readonly memblock: readonly ByteRun[];
  /** The memory of an x86 machine in whole pages; undefined on others. */
  readonly x86Ram: readonly ByteRun[] | undefined;
  readonly release: string | undefined;
}

/**
 * All that is reserved, in whole pages, sorted and without overlaps. Where several lines claim a page, the one that says best
 * what for has it.
 */
export function reservedExtents(facts: ReservedFacts, pageBytes: number): readonly ReservedExtent[] {
  const whole = (what: string, { firstByte, lastByte }: ByteRun): Painted<string> => {
    const { startPfn, endPfn } = pagesTouched(firstByte, lastByte, pageBytes);
    return { colour: what, firstByte: startPfn * pageBytes, lastByte: endPfn * pageBytes - 1 };
  };
  const { reservations, memblock, x86Ram, release } = facts;
  const order = ['Crash kernel', 'Initrd', 'NODE_DATA', 'CMA', 'reserved-memory'];
  const runs = [
    ...order.flatMap((what) =>
      reservations.told.items.filter((one) => one.what === what).map((run) => whole(what, run)),
    ),
    ...memblock.map((run) => whole('memblock', run)),
    ...(x86Ram ? lowMemory(release, x86Ram) : []).map((run) => whole('BIOS', run)),
  ];
  return painted(runs).map(({ firstByte, lastByte, colour: what }) => ({
    startPfn: firstByte / pageBytes,
    endPfn: (lastByte + 1) / pageBytes,
    what,
  }));
}
