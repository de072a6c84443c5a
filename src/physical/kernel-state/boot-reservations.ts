/** What a kernel's log tells of memory that it kept for itself while it booted, and what for. */
import { type ByteRun, type Painted, painted } from '../byte-runs.ts';
import { pfnOfByte, physicalAddressBits } from '../geometry.ts';
import type { Platform } from '../platforms.ts';
import type { ReservedExtent } from '../topology.ts';

/** Hexadecimal digits of an address below 2^52, in a capture group; the kernel pads to 16. */
const hex = '0x0*([0-9a-f]{1,13})';
const run = `\\[(?:mem )?${hex}-${hex}\\]`;
/** The function that a caller's address lies in, as %pS prints it; optimized ones have dots and numbers behind. */
const caller = '(\\w{1,80})[\\w.]{0,40}\\+0x[0-9a-f]+';
const addressEnd = 2 ** physicalAddressBits;
const mib = 2 ** 20;

/** Lines that name what they keep; what they say in groups 1 and 2 is told by `form`. */
const named: readonly {
  readonly pattern: RegExp;
  readonly what: string;
  readonly form: 'first-last' | 'first-end' | 'mib-at-mib';
}[] = [
  { pattern: new RegExp(`^RAMDISK: ${run}`), what: 'the initial RAM disk', form: 'first-last' },
  {
    pattern: new RegExp(`^(?:NUMA: )?NODE_DATA(?:\\(\\d+\\) allocated)? ${run}`),
    what: 'NODE_DATA',
    form: 'first-last',
  },
  // swiotlb_print_info prints the byte behind as if it were the last
  { pattern: new RegExp(`^software IO TLB: mapped ${run}`), what: 'software IO TLB', form: 'first-end' },
  {
    pattern: new RegExp(`^ACPI: Reserving \\S{1,8} table memory at ${run}`),
    what: 'an ACPI table',
    form: 'first-last',
  },
  {
    pattern: new RegExp(`^crashkernel (?:low memory )?reserved: ${hex} - ${hex} `),
    what: 'Crash kernel',
    form: 'first-end',
  },
  {
    pattern: /^Reserving (\d{1,7})MB of (?:low )?memory at (\d{1,9})MB for crashkernel/,
    what: 'Crash kernel',
    form: 'mib-at-mib',
  },
  { pattern: new RegExp(`^esrt: Reserving ESRT space from ${hex} to ${hex}`), what: 'the ESRT', form: 'first-last' },
  { pattern: new RegExp(`^BRK \\[${hex}, ${hex}\\] PGTABLE`), what: 'early page tables', form: 'first-last' },
];
const step = new RegExp(`^(?:__)?memblock_(reserve|free|phys_free): ${run}.*? ${caller}`);
/** Who allocates, before the line that says what the allocator then reserved for it. */
const allocation = new RegExp(`^memblock_(?:phys_|virt_)?alloc\\w{0,40}: \\d+ bytes .*? ${caller}`);
const allocator = /^memblock_(?:alloc|phys_alloc|virt_alloc|find)/;
/** With memblock=debug there is one for each page table and per-cpu area; bounds what a log can cost. */
const stepsMax = 65_536;

interface Step extends ByteRun {
  /** Undefined for memory that was given back. */
  readonly colour: string | undefined;
}

function bytesOf(form: (typeof named)[number]['form'], one: string, other: string): ByteRun {
  if (form === 'mib-at-mib') {
    const firstByte = Number(other) * mib;
    return { firstByte, lastByte: firstByte + Number(one) * mib - 1 };
  }
  return { firstByte: Number.parseInt(one, 16), lastByte: Number.parseInt(other, 16) - (form === 'first-end' ? 1 : 0) };
}

/** The steps of a log, oldest first. */
class Steps {
  readonly named: Step[] = [];
  readonly memblock: Step[] = [];
  #allocates = '';

  take(line: string): void {
    const [, kind, first = '', last = '', who = ''] = step.exec(line) ?? [];
    if (kind !== undefined) {
      const what = allocator.test(who) && this.#allocates !== '' ? this.#allocates : who;
      this.#add(
        this.memblock,
        bytesOf('first-last', first, last),
        kind === 'reserve' ? `memblock: ${what}` : undefined,
      );
      return;
    }
    const allocates = allocation.exec(line)?.[1];
    if (allocates !== undefined) this.#allocates = allocates;
    else this.#takeNamed(line);
  }

  #takeNamed(line: string): void {
    for (const { pattern, what, form } of named) {
      const [, one, other] = pattern.exec(line) ?? [];
      if (one === undefined || other === undefined) continue;
      this.#add(this.named, bytesOf(form, one, other), what);
      return;
    }
  }

  #add(steps: Step[], { firstByte, lastByte }: ByteRun, colour: string | undefined): void {
    const isPossible = firstByte <= lastByte && lastByte < addressEnd && steps.length < stepsMax;
    if (isPossible) steps.push({ firstByte, lastByte, colour });
  }
}

/** Whole pages: a page of which the kernel keeps one byte is reserved. The one below has a page that two touch. */
function wholePages(runs: readonly Painted<string>[], platform: Platform): ReservedExtent[] {
  const extents: ReservedExtent[] = [];
  for (const { firstByte, lastByte, colour } of runs) {
    const startPfn = Math.max(pfnOfByte(firstByte, platform.pageSizeBytes), extents.at(-1)?.endPfn ?? 0);
    const endPfn = pfnOfByte(lastByte, platform.pageSizeBytes) + 1;
    if (startPfn < endPfn) extents.push({ startPfn, endPfn, what: colour });
  }
  return extents;
}

/**
 * What the log tells of memory that was kept, in whole pages, sorted and without overlaps. A line that names what it is about
 * goes before the steps that memblock=debug prints, of which the last about a byte counts: `memblock: FUNCTION`, the one that
 * asked for the memory.
 */
export function bootReservations(log: readonly string[], platform: Platform): ReservedExtent[] {
  const steps = new Steps();
  for (const line of log) steps.take(line);
  const all = painted<string | undefined>([...steps.named, ...steps.memblock.toReversed()]);
  return wholePages(
    all.filter((piece): piece is Painted<string> => piece.colour !== undefined),
    platform,
  );
}
