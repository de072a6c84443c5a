/** Holds the plan of this machine against what its running kernel made of memory: zones, descriptors, nodes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DetectOptions, detect } from '../physical/detect.ts';
import { pagesOf } from '../physical/extents.ts';
import { defaultRelease } from '../physical/kernel-rules.ts';
import { bootReservations } from '../physical/kernel-state/boot-reservations.ts';
import { readKernelLog } from '../physical/kernel-state/kernel-log.ts';
import { readKernelPages } from '../physical/kernel-state/kpageflags.ts';
import { cannotRead, hidesAddresses } from '../physical/kernel-state/unreadable.ts';
import { readZoneinfo } from '../physical/kernel-state/zoneinfo.ts';
import { type MachinePlan, planMachine } from '../physical/machine-plan.ts';
import type { Platform } from '../physical/platforms.ts';
import { readMemoryBlocks } from '../physical/sysfs.ts';
import type { ReservedExtent, Topology } from '../physical/topology.ts';
import { type BlockDisagreement, compareBlocks } from './compare-blocks.ts';
import { agrees, pageAnswers } from './compare-pages.ts';
import { type Explained, explain } from './compare-reasons.ts';
import { compareZones, markedSince, type ZoneComparison } from './compare-zones.ts';

/** Where the kernel shows what; the defaults are those of a Linux system. */
export interface CompareOptions extends Pick<DetectOptions, 'cpus'> {
  /** Where procfs is mounted. */
  readonly procRoot?: string | undefined;
  /** Where sysfs is mounted. */
  readonly sysRoot?: string | undefined;
  /** The kernel's log, in the format of /dev/kmsg. */
  readonly kmsgPath?: string | undefined;
}

/** Disagreements about ranges, zones and blocks. */
interface Counts {
  readonly explained: number;
  readonly unexplained: number;
}

interface Planned {
  readonly topology: Topology;
  readonly plan: MachinePlan;
  readonly notes: readonly string[];
}

/** What a comparison has found. */
export interface Comparison extends Counts {
  /** Release of the running kernel, whose rules the plan followed. */
  readonly kernel: string;
  readonly platform: Platform['name'];
  /** Page frames that were compared, and how the kernel's answers were had. */
  readonly pages: {
    /** All from 0 to here. */
    readonly endPfn: number;
    /** Those of which both say the same. */
    readonly agreeing: number;
    readonly disagreeing: number;
    /** Pages with bad memory, which have descriptors as others have. */
    readonly poisoned: number;
    readonly readMs: number;
    readonly perSecond: number;
  };
  /** Disagreements about page frames, sorted by pfn. */
  readonly ranges: readonly Explained[];
  readonly zones: readonly ZoneComparison[];
  readonly blocks: { readonly compared: number; readonly disagreements: readonly BlockDisagreement[] };
  /** What a person should know about the comparison, each one sentence. */
  readonly notes: readonly string[];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    return cannotRead(path, cause);
  }
}

/** What lies between the parts of the kernel's image that have a name, and was not given back: init data, alignment. */
function imageGaps(reserved: readonly ReservedExtent[]): ReservedExtent[] {
  const parts = reserved.filter(({ what }) => what.startsWith('Kernel '));
  return parts.flatMap(({ endPfn, what }, index) => {
    const next = parts[index + 1];
    if (next === undefined || next.startPfn <= endPfn) return [];
    return [{ startPfn: endPfn, endPfn: next.startPfn, what: `the kernel's image, between ${what} and ${next.what}` }];
  });
}

/** Said where what the kernel kept at boot cannot be told by purpose. */
const noLog = 'The log of the kernel cannot be read, so it is not told what for memory was kept at boot.';

/** What the plan is, and what a person should know about it. */
function readPlan(procRoot: string, { sysRoot, cpus }: CompareOptions): Planned {
  const [iomemPath, zoneinfoPath] = [join(procRoot, 'iomem'), join(procRoot, 'zoneinfo')];
  readText(iomemPath);
  const release = readText(join(procRoot, 'sys/kernel/osrelease')).trim();
  const topology = detect({ iomemPath, zoneinfoPath, sysRoot, cpus, release });
  if (topology.source !== 'iomem') hidesAddresses(iomemPath);
  if (/^\d{1,3}\.\d{1,3}/.test(release)) return { topology, plan: planMachine(topology), notes: topology.notes };
  const note = `The kernel's release, ${release}, names no version; its rules are taken to be those of ${defaultRelease}.`;
  return { topology, plan: planMachine(topology, { release: defaultRelease }), notes: [...topology.notes, note] };
}

/** Disagreements of all sorts, counted. */
function countsOf({ ranges, zones, blocks }: Pick<Comparison, 'ranges' | 'zones' | 'blocks'>): Counts {
  const found = [...ranges, ...zones.filter(({ differing }) => differing.length > 0)];
  const explained = found.filter(({ explanation }) => explanation !== undefined).length;
  return { explained, unexplained: found.length - explained + blocks.disagreements.length };
}

/**
 * Compares. Reading what the kernel shows of its page frames takes most of the time: 0.1 µs a page or so.
 * @throws VmemmapError KERNEL_UNREADABLE without root, or where the kernel does not show it; DETECT_FAILED and IOMEM_SYNTAX as
 * {@link detect}
 */
export async function compareMachine(options: CompareOptions = {}): Promise<Comparison> {
  const { procRoot = '/proc', sysRoot = '/sys', kmsgPath } = options;
  const { topology, plan, notes } = readPlan(procRoot, options);
  const { platform, ranges: planned } = plan;

  const startMs = performance.now();
  const shown = await readKernelPages(procRoot, plan.rules.sectionPages);
  const readMs = performance.now() - startMs;

  const answers = pageAnswers(planned, shown);
  const log = readKernelLog(kmsgPath);
  const { reserved = [] } = topology;
  const bootLog = log && bootReservations(log, platform);
  const disagreeing = answers.filter((answer) => !agrees(answer));
  const ranges = explain(disagreeing, { plan, planned: reserved, image: imageGaps(reserved), bootLog });
  const zones = compareZones(plan.zones, readZoneinfo(procRoot), answers, readText(join(procRoot, 'cmdline')));
  const memoryBlocks = readMemoryBlocks(sysRoot, { pageBytes: platform.pageSizeBytes }).blocks;
  const blocks = { compared: memoryBlocks.length, disagreements: compareBlocks(planned, memoryBlocks, sysRoot) };

  const disagreeingPages = pagesOf(disagreeing);
  const endPfn = answers.at(-1)?.endPfn ?? 0;
  const pages = {
    endPfn,
    agreeing: endPfn - disagreeingPages,
    disagreeing: disagreeingPages,
    poisoned: shown.poisonedPages,
    readMs,
    perSecond: shown.endPfn / (readMs / 1000),
  };
  return {
    kernel: plan.rules.release,
    platform: platform.name,
    pages,
    ...{ ranges, zones, blocks },
    ...countsOf({ ranges, zones, blocks }),
    notes: [...notes, ...(log === undefined ? [noLog] : []), ...markedSince(zones)],
  };
}
