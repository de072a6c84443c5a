/**
 * A machine that is none: what procfs and sysfs would show of it, in files. It has two nodes of two sections each and a hole of one
 * between those of node 1; the kernel's image lies in node 0.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Comparison, compareMachine } from '../../dist/src/observe/compare.js';
import { makeTree, sysfsFiles } from '../physical/made-tree.js';

const sectionPages = 32_768;
/** Flags of include/uapi/linux/kernel-page-flags.h. */
export const flag = {
  none: 0n,
  free: 1n << 10n,
  poisoned: 1n << 19n,
  absent: 1n << 20n,
  offline: 1n << 23n,
  reserved: 1n << 32n,
} as const;

/** Page frames `[startPfn, endPfn)` that the kernel shows with these flags. */
export type Painted = readonly [startPfn: number, endPfn: number, flags: bigint];

const iomem = `00000000-00000fff : Reserved
00001000-0009ffff : System RAM
000a0000-000fffff : Reserved
00100000-17ffffff : System RAM
  01000000-011fffff : Kernel code
  01400000-015fffff : Kernel bss
20000000-27ffffff : System RAM
`;
/** What such a kernel has reserved: the first MiB, its image and what lies in between. And the hole. */
const painted: readonly Painted[] = [
  [0, 0x28_000, flag.free],
  [0, 0x100, flag.reserved],
  [0x1000, 0x1600, flag.reserved],
  [0x18_000, 0x20_000, flag.absent],
];

/** A zone of /proc/zoneinfo. */
export interface ShownZone {
  readonly nid: number;
  readonly name: string;
  readonly start: number;
  readonly spanned: number;
  readonly present: number;
  readonly managed: number;
}

const zones: readonly ShownZone[] = [
  { nid: 0, name: 'DMA', start: 1, spanned: 4095, present: 0x9f + 0xf00, managed: 0xf00 },
  { nid: 0, name: 'DMA32', start: 0x1000, spanned: 0xf000, present: 0xf000, managed: 0xea00 },
  { nid: 1, name: 'DMA32', start: 0x10_000, spanned: 0x18_000, present: 0x10_000, managed: 0x10_000 },
];

function zoneText({ nid, name, start, spanned, present, managed }: ShownZone): string {
  const figures = `        spanned  ${spanned}\n        present  ${present}\n        managed  ${managed}\n`;
  return `Node ${nid}, zone ${name.padStart(8)}\n${figures}${present > 0 ? `  start_pfn:           ${start}\n` : ''}`;
}

/** What is different. */
export interface Differences {
  /** Painted over what is there, in turn. */
  readonly painted?: readonly Painted[];
  /** Page frames that the kernel shows at all. */
  readonly endPfn?: number;
  readonly iomem?: (text: string) => string;
  readonly zones?: (zones: readonly ShownZone[]) => readonly ShownZone[];
  /** Lines of the kernel's log; null where there is none. */
  readonly log?: readonly string[] | null;
  readonly commandLine?: string;
  readonly release?: string;
  /** Memory blocks beside those that hold the RAM. */
  readonly blocks?: Readonly<Record<number, { nids: readonly number[]; state?: string }>>;
  /** Files of procfs that are not there. */
  readonly missing?: readonly string[];
}

/** Makes the machine. */
export function makeMachine(differences: Differences = {}): { procRoot: string; sysRoot: string; kmsgPath: string } {
  const { log = [], endPfn = 0x28_000, missing = [] } = differences;
  const files: Record<string, string> = {
    iomem: (differences.iomem ?? String)(iomem),
    zoneinfo: (differences.zones ?? ((same) => same))(zones).map(zoneText).join(''),
    cmdline: `${differences.commandLine ?? 'quiet'}\n`,
    'sys/kernel/osrelease': `${differences.release ?? '6.1.0-1-amd64'}\n`,
    kpageflags: '',
    kmsg: (log ?? []).map((line, index) => `6,${index},1000,-;${line}\n`).join(''),
  };
  const shown = Object.entries(files).filter(([name]) => !missing.includes(name) && !(name === 'kmsg' && log === null));
  const procRoot = makeTree(Object.fromEntries(shown));
  if (!missing.includes('kpageflags')) {
    const entries = new BigUint64Array(endPfn);
    for (const [start, end, flags] of [...painted, ...(differences.painted ?? [])]) entries.fill(flags, start, end);
    writeFileSync(join(procRoot, 'kpageflags'), new Uint8Array(entries.buffer));
  }
  const ofRam = { 0: { nids: [0] }, 1: { nids: [0] }, 2: { nids: [1] }, 4: { nids: [1] } };
  const sysRoot = makeTree(sysfsFiles({ 0: '0', 1: '1' }, { ...ofRam, ...differences.blocks }));
  return { procRoot, sysRoot, kmsgPath: join(procRoot, 'kmsg') };
}

/** What the comparison of such a machine finds. */
export function compareMade(differences: Differences = {}): Promise<Comparison> {
  return compareMachine({ ...makeMachine(differences), cpus: [0, 1] });
}

/** Sections, by number, as page frames. */
export function section(number: number): readonly [startPfn: number, endPfn: number] {
  return [number * sectionPages, (number + 1) * sectionPages];
}
