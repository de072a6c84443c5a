/** What Linux would make of a machine's page frames: ranges, zones, nodes, and what its boot log would say of them. */
import { groupByNid } from './boot-memory.ts';
import { hull, pagesOf } from './extents.ts';
import { type PfnExtent, roundDown, roundUp } from './geometry.ts';
import type { Gap } from './holes.ts';
import { defaultRelease, type KernelRules, kernelRules } from './kernel-rules.ts';
import { zones } from './page-links.ts';
import { type PlanBasis, planBasis } from './plan-basis.ts';
import { type Platform, platformOf } from './platforms.ts';
import type { MemoryExtent, Topology } from './topology.ts';
import { spansOf, type ZoneSpan } from './zone-spans.ts';
import { type PlannedRange, rangesOf } from './zones.ts';

/** A zone of the whole machine. */
export interface ZoneRange extends PfnExtent {
  readonly zone: number;
}

/** A node, with or without memory. */
export interface NodePlan {
  readonly nid: number;
  readonly cpus: readonly number[];
  /** First page of its RAM; undefined when it has none. */
  readonly startPfn: number | undefined;
  /** First page behind its RAM; undefined when it has none. */
  readonly endPfn: number | undefined;
  /** Pages of RAM, which the log calls `totalpages`. */
  readonly presentPages: number;
  /** Pages with descriptors that are not memory, as the plan links them. */
  readonly unavailablePages: number;
  /** Pages of RAM that were reserved before anybody could use them. */
  readonly reservedPages: number;
  /**
   * Memory that the memmap of its RAM takes in the kernel: that of whole sections, each of which belongs to the node of the
   * first memory in it.
   */
  readonly memmapBytes: number;
  /** Where that memmap lies, in bytes from the start of vmemmap, sections without memory included; undefined as `startPfn`. */
  readonly memmapVirtual: { readonly startByte: number; readonly endByte: number } | undefined;
}

/** What Linux would make of a machine. */
export interface MachinePlan {
  readonly platform: Platform;
  readonly rules: KernelRules;
  readonly ranges: readonly PlannedRange[];
  /**
   * As "Zone ranges:" of the boot log: DMA, DMA32, Normal and Device of the whole machine, both ends 0 where it says empty. It
   * calls Device so, for it knows no device memory yet, and leaves Movable out.
   */
  readonly zoneRanges: readonly ZoneRange[];
  /** As /proc/zoneinfo, by node and zone. */
  readonly zones: readonly ZoneSpan[];
  /** By nid. */
  readonly nodes: readonly NodePlan[];
  /**
   * What the boot log would say, under the rule of its kernel, of page frames that have a descriptor and are no memory. Where
   * the rule is `per-zone` each gap is a line. The ranges hold the same pages, save those that a device has taken since, and
   * those that older kernels did not count.
   */
  readonly unavailable: {
    readonly rule: KernelRules['unavailable'];
    readonly totalPages: number;
    readonly gaps: readonly Gap[];
  };
}

/** Whose boot it would be. */
export interface MachineOptions {
  /** Release of the kernel. Default: the one that was found on the machine, else that of the default profile. */
  readonly release?: string | undefined;
  /** Pages that the zone Movable is to have in all, as with `movablecore=`. Default: none. */
  readonly movablePages?: number | undefined;
}

/** Pages with descriptors that nobody can allocate, by nid. */
function uselessPagesByNode(ranges: readonly PlannedRange[]): Map<number, { reserved: number; unavailable: number }> {
  const byNode = new Map<number, { reserved: number; unavailable: number }>();
  for (const { nid, segments } of ranges) {
    let { reserved, unavailable } = byNode.get(nid) ?? { reserved: 0, unavailable: 0 };
    for (const { startPfn, endPfn, use } of segments) {
      if (use === 'reserved') reserved += endPfn - startPfn;
      else if (use === 'unavailable') unavailable += endPfn - startPfn;
    }
    byNode.set(nid, { reserved, unavailable });
  }
  return byNode;
}

/** Sections by the nid of the first memory in each: sparse_init gives their memmap to that node. */
function sectionsByNode(ram: readonly MemoryExtent[], sectionPages: number): Map<number, number> {
  const sections = new Map<number, number>();
  let behindPfn = 0;
  for (const { nid, startPfn, endPfn } of ram) {
    const firstPfn = Math.max(behindPfn, roundDown(startPfn, sectionPages));
    behindPfn = Math.max(behindPfn, roundUp(endPfn, sectionPages));
    sections.set(nid, (sections.get(nid) ?? 0) + (behindPfn - firstPfn) / sectionPages);
  }
  return sections;
}

function nodePlans({ topology, rules }: PlanBasis, ranges: readonly PlannedRange[]): NodePlan[] {
  const { sectionPages, structPageBytes } = rules;
  const ram = topology.memory.filter(({ kind }) => kind === 'ram');
  const ramOf = groupByNid(ram);
  const sections = sectionsByNode(ram, sectionPages);
  const useless = uselessPagesByNode(ranges);
  const cpusOf = new Map<number, readonly number[]>(topology.nodes.map(({ nid, cpus }) => [nid, cpus]));
  const nids = new Set([...cpusOf.keys(), ...topology.memory.map(({ nid }) => nid)]);
  return [...nids]
    .sort((a, b) => a - b)
    .map((nid) => {
      const extents = ramOf.get(nid);
      const span = extents && hull(extents);
      return {
        nid,
        cpus: cpusOf.get(nid) ?? [],
        startPfn: span?.startPfn,
        endPfn: span?.endPfn,
        presentPages: pagesOf(extents ?? []),
        unavailablePages: useless.get(nid)?.unavailable ?? 0,
        reservedPages: useless.get(nid)?.reserved ?? 0,
        memmapBytes: (sections.get(nid) ?? 0) * sectionPages * structPageBytes,
        memmapVirtual: span && {
          startByte: roundDown(span.startPfn, sectionPages) * structPageBytes,
          endByte: roundUp(span.endPfn, sectionPages) * structPageBytes,
        },
      };
    });
}

function zoneRangesOf({ boot }: PlanBasis): ZoneRange[] {
  const named = boot.zones.map(({ startPfn, endPfn }, zone) => {
    return startPfn < endPfn ? { zone, startPfn, endPfn } : { zone, startPfn: 0, endPfn: 0 };
  });
  return [...named, { zone: zones.Device, startPfn: 0, endPfn: 0 }];
}

function unavailableOf({ holes, rules }: PlanBasis): MachinePlan['unavailable'] {
  const { counted: gaps } = holes;
  return { rule: rules.unavailable, totalPages: gaps.reduce((sum, { pages }) => sum + pages, 0), gaps };
}

/**
 * Plans a machine as the kernel of a release would.
 * @throws RangeError when the topology cannot be, or the release does not begin with a version
 */
export function planMachine(topology: Topology, options: MachineOptions = {}): MachinePlan {
  const { release = topology.kernel ?? defaultRelease, movablePages } = options;
  const rules = kernelRules(platformOf(topology.platform), release);
  const basis = planBasis(topology, { rules, movablePages });
  const ranges = rangesOf(basis);
  return {
    platform: rules.platform,
    rules,
    ranges,
    zoneRanges: zoneRangesOf(basis),
    zones: spansOf(basis),
    nodes: nodePlans(basis, ranges),
    unavailable: unavailableOf(basis),
  };
}
