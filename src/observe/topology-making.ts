/** Makes the report on a machine from its topology and its plan. */
import type { KernelAnswers } from '../physical/dmesg/answers.ts';
import {
  chunkGeometry,
  defaultChunkPages,
  descriptorSizeBytes,
  findRange,
  type PfnExtent,
} from '../physical/geometry.ts';
import type { MachinePlan } from '../physical/machine-plan.ts';
import type { MemoryExtent, Topology } from '../physical/topology.ts';
import { type PageUse, type PlannedRange, type PlannedSegment, type ZoneName, zoneNames } from '../physical/zones.ts';
import { answerNotes } from './topology-answers.ts';
import { unavailableLines, zoneRangeLines } from './topology-log.ts';
import type { NodeNote, RangeNote, TopologyReport, ZoneNote } from './topology-report.ts';

function pagesOf({ startPfn, endPfn }: PfnExtent): number {
  return endPfn - startPfn;
}

function sum<T>(items: readonly T[], count: (item: T) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}

function usedAs(segments: readonly PlannedSegment[], use: PageUse): number {
  return sum(segments, (segment) => (segment.use === use ? pagesOf(segment) : 0));
}

function usesOf(segments: readonly PlannedSegment[]): RangeNote['uses'] {
  return {
    present: usedAs(segments, 'present'),
    reserved: usedAs(segments, 'reserved'),
    unavailable: usedAs(segments, 'unavailable'),
    altmap: usedAs(segments, 'altmap'),
  };
}

function zoneName(zone: number): ZoneName {
  return zoneNames[zone] as ZoneName;
}

type DeviceNote = Pick<RangeNote, 'pgmap' | 'mode' | 'map' | 'compoundPages'>;

function deviceNote(range: PlannedRange, memory: readonly MemoryExtent[]): DeviceNote {
  if (range.kind === 'ram') return { pgmap: null, mode: null, map: null, compoundPages: null };
  // by its last page: what an altmap reserves at the start of the extent is in no range
  const { altmap } = memory[findRange(memory, range.endPfn - 1)] ?? {};
  return {
    pgmap: range.pgmap ?? null,
    mode: range.mode ?? 'fsdax',
    map: altmap === undefined ? 'mem' : 'dev',
    compoundPages: range.compoundPages ?? 1,
  };
}

function rangeNote(range: PlannedRange, { memory }: Topology, { platform }: MachinePlan): RangeNote {
  const { nid, kind, startPfn, endPfn, segments } = range;
  const uses = usesOf(segments);
  const { pages, chunks, chunkPages } = chunkGeometry(range, defaultChunkPages, platform);
  return {
    nid,
    zone: zoneName(range.zone),
    kind,
    ...deviceNote(range, memory),
    startPfn,
    endPfn,
    pages,
    uses,
    memoryBytes: (pages - uses.unavailable) * platform.pageSizeBytes,
    descriptorBytes: pages * descriptorSizeBytes,
    chunks,
    chunkPages,
    chunkBytes: chunkPages * descriptorSizeBytes,
    segments,
  };
}

/** Pages of device memory by nid. */
function devicePagesByNode(ranges: readonly PlannedRange[]): Map<number, number> {
  const pages = new Map<number, number>();
  for (const range of ranges) {
    if (range.kind === 'device') pages.set(range.nid, (pages.get(range.nid) ?? 0) + pagesOf(range));
  }
  return pages;
}

function nodeNotes({ nodes, ranges, platform }: MachinePlan): NodeNote[] {
  const deviceOf = devicePagesByNode(ranges);
  return nodes.map((node) => {
    const { nid, cpus, startPfn = null, endPfn = null, presentPages, unavailablePages, reservedPages } = node;
    const devicePages = deviceOf.get(nid) ?? 0;
    return {
      nid,
      cpus,
      startPfn,
      endPfn,
      spannedPages: startPfn === null || endPfn === null ? 0 : endPfn - startPfn,
      presentPages,
      unavailablePages,
      reservedPages,
      memoryBytes: presentPages * platform.pageSizeBytes,
      memmapBytes: node.memmapBytes,
      memmapVirtual: node.memmapVirtual ?? null,
      devicePages,
      deviceBytes: devicePages * platform.pageSizeBytes,
      deviceMemmapBytes: devicePages * descriptorSizeBytes,
    };
  });
}

function zoneNotes({ zones, ranges }: MachinePlan): ZoneNote[] {
  const key = ({ nid, zone }: { nid: number; zone: number }): string => `${nid} ${zone}`;
  const byZone = new Map<string, PlannedRange[]>(zones.map((zone) => [key(zone), []]));
  for (const range of ranges) byZone.get(key(range))?.push(range);
  return zones.map(({ nid, zone, startPfn, spannedPages, presentPages, memmapPages = null }) => {
    const own = byZone.get(key({ nid, zone })) ?? [];
    return {
      nid,
      zone: zoneName(zone),
      startPfn,
      endPfn: startPfn + spannedPages,
      spannedPages,
      presentPages,
      holePages: spannedPages - presentPages,
      unavailablePages: sum(own, ({ segments }) => usedAs(segments, 'unavailable')),
      reservedPages: sum(own, ({ segments }) => usedAs(segments, 'reserved')),
      memmapPages,
    };
  });
}

/**
 * The report on a machine: what was found, and what Linux would make of it.
 * @param answers what the kernel said itself, where it was asked
 */
export function topologyReport(topology: Topology, plan: MachinePlan, answers?: KernelAnswers): TopologyReport {
  const { platform, rules, unavailable } = plan;
  const { pageSizeBytes } = platform;
  const nodes = nodeNotes(plan);
  const pages = sum(plan.ranges, pagesOf);
  return {
    source: topology.source,
    platform: {
      name: platform.name,
      pageSizeBytes,
      sectionPages: rules.sectionPages,
      pageblockPages: platform.pageblockPages,
    },
    kernel: topology.kernel ?? null,
    rulesRelease: rules.release,
    pages,
    descriptorBytes: pages * descriptorSizeBytes,
    presentPages: sum(nodes, (node) => node.presentPages),
    unavailablePages: sum(nodes, (node) => node.unavailablePages),
    memoryBytes: sum(nodes, (node) => node.memoryBytes),
    memmapBytes: sum(nodes, (node) => node.memmapBytes),
    devicePages: sum(nodes, (node) => node.devicePages),
    deviceBytes: sum(nodes, (node) => node.deviceBytes),
    nodes,
    zones: zoneNotes(plan),
    ranges: plan.ranges.map((range) => rangeNote(range, topology, plan)),
    zoneRanges: plan.zoneRanges.map(({ zone, startPfn, endPfn }) => ({ zone: zoneName(zone), startPfn, endPfn })),
    unavailable: {
      rule: unavailable.rule,
      totalPages: unavailable.totalPages,
      gaps: unavailable.gaps.map(({ nid, zone, startPfn, endPfn, pages }) => {
        return { nid, zone: zoneName(zone), startPfn, endPfn, pages };
      }),
    },
    reserved: topology.reserved ?? [],
    log: [...zoneRangeLines(plan), ...unavailableLines(plan)],
    answers: answers === undefined ? null : answerNotes(answers, topology, plan),
    notes: topology.notes,
  };
}
