/** Cuts memory into ranges: which page frames get descriptors, and of which node, zone and use. */
import { isBootMemory, type ZonePiece } from './boot-memory.ts';
import { merge, overlay, without } from './extents.ts';
import { cut, type PfnExtent, pageblockPages, rangePagesMax } from './geometry.ts';
import type { KernelRules } from './kernel-rules.ts';
import { type PageUse, zones } from './page-links.ts';
import { type PlanBasis, type PlanRules, planBasis } from './plan-basis.ts';
import type { DeviceMode, MemoryExtent, MemoryKind, Topology } from './topology.ts';
import { spansOf, type ZoneSpan } from './zone-spans.ts';

export { nodesMax, type PageUse, type ZoneName, zoneNames, zones } from './page-links.ts';
export type { PlanRules } from './plan-basis.ts';
export type { ZoneSpan } from './zone-spans.ts';

/** A run of pages of one use in a range. */
export interface PlannedSegment extends PfnExtent {
  readonly use: PageUse;
}

/** A run of pfns of one node, one zone and one kind: what gets a memmap of its own. At most 2^28 pages. */
export interface PlannedRange extends PfnExtent {
  /** Sorted by pfn; together they are the range. */
  readonly segments: readonly PlannedSegment[];
  readonly nid: number;
  /** Zone number as in Linux, a value of {@link zones}. */
  readonly zone: number;
  readonly kind: MemoryKind;
  /** For device memory: which dev_pagemap it belongs to, 1 or more. */
  readonly pgmap?: number;
  /** For device memory, as its extent tells it. */
  readonly mode?: DeviceMode;
  /** For device memory, as its extent tells it. */
  readonly compoundPages?: number;
}

/** A run of pages of one range and one use. */
interface Run extends ZonePiece {
  /** For device memory: what it is a part of. */
  readonly device?: MemoryExtent;
}

/** Parts of memory that nobody can allocate, with their use. */
function marksOf({ reserved = [], nomap = [] }: Topology, { nomapIsHole }: KernelRules): readonly PlannedSegment[] {
  const marks = (extents: readonly PfnExtent[], use: PageUse): PlannedSegment[] =>
    extents.map(({ startPfn, endPfn }) => ({ startPfn, endPfn, use }));
  return merge(marks(nomap, nomapIsHole ? 'unavailable' : 'reserved'), marks(without(reserved, nomap), 'reserved'));
}

/** RAM in runs of one use. */
function ramRuns(pieces: readonly ZonePiece[], marks: readonly PlannedSegment[]): readonly Run[] {
  if (marks.length === 0) return pieces;
  const runs: Run[] = [];
  overlay(pieces, marks, ({ startPfn, endPfn }, { nid, zone, use }, mark) => {
    runs.push({ startPfn, endPfn, nid, zone, use: mark?.use ?? use });
  });
  return runs;
}

/** Device memory. What an altmap reserves in front of itself is nobody's and has no descriptors. */
function deviceRuns(device: MemoryExtent): Run[] {
  const { startPfn, endPfn, nid, altmap } = device;
  const memmapPfn = startPfn + (altmap?.reservePages ?? 0);
  const dataPfn = memmapPfn + (altmap?.memmapPages ?? 0);
  const runs: Run[] = [
    { startPfn: memmapPfn, endPfn: dataPfn, nid, zone: zones.Device, use: 'altmap', device },
    { startPfn: dataPfn, endPfn, nid, zone: zones.Device, use: 'present', device },
  ];
  return runs.filter((run) => run.startPfn < run.endPfn);
}

/** All runs of a machine, sorted by pfn. Pages of holes that a device or added memory has taken since are theirs. */
function runsOf({ topology, rules, boot, holes }: PlanBasis): readonly Run[] {
  const marks = marksOf(topology, rules);
  const added = topology.memory
    .filter((extent) => extent.kind === 'ram' && !isBootMemory(extent))
    .map(({ startPfn, endPfn, nid }): Run => ({ startPfn, endPfn, nid, zone: zones.Movable, use: 'present' }));
  const device = topology.memory.filter(({ kind }) => kind === 'device').flatMap(deviceRuns);
  const later = merge(ramRuns(added, marks), device);
  return merge(merge(ramRuns(boot.pieces, marks), without<Run>(holes.pieces, later)), later);
}

/** A range that may still grow. */
interface GrowingRange extends PlannedRange {
  endPfn: number;
  readonly segments: { readonly startPfn: number; endPfn: number; readonly use: PageUse }[];
}

/** A range of one run. */
function rangeOfRun({ startPfn, endPfn, nid, zone, use, device }: Run): GrowingRange {
  const segments = [{ startPfn, endPfn, use }];
  if (device === undefined) return { nid, zone, kind: 'ram', startPfn, endPfn, segments };
  const { pgmap, mode, compoundPages } = device;
  return {
    nid,
    zone,
    kind: 'device',
    ...(pgmap === undefined ? {} : { pgmap }),
    ...(mode === undefined ? {} : { mode }),
    ...(compoundPages === undefined ? {} : { compoundPages }),
    startPfn,
    endPfn,
    segments,
  };
}

/** Joins runs that touch, those of one use into one segment, but nowhere at one of the `borders`. */
function joinRuns(runs: readonly Run[], borders: ReadonlySet<number>): GrowingRange[] {
  const ranges: GrowingRange[] = [];
  let last: GrowingRange | undefined;
  for (const run of runs) {
    const { startPfn, endPfn, use } = run;
    const isSame =
      last?.endPfn === startPfn &&
      last.nid === run.nid &&
      last.zone === run.zone &&
      last.pgmap === run.device?.pgmap &&
      !borders.has(startPfn);
    if (last && isSame) {
      const segment = last.segments.at(-1);
      if (segment?.use === use) segment.endPfn = endPfn;
      else last.segments.push({ startPfn, endPfn, use });
      last.endPfn = endPfn;
    } else {
      last = rangeOfRun(run);
      ranges.push(last);
    }
  }
  return ranges;
}

/** A range in pieces of at most 2^28 pages, cut at pageblocks; compound pages are counted from where a device's data begins. */
function cutRange(range: PlannedRange, unitPages: number): PlannedRange[] {
  const { compoundPages = 1, segments: whole } = range;
  const dataPfn = whole.find(({ use }) => use === 'present')?.startPfn ?? 0;
  const pieces = compoundPages === 1 ? cut(range, unitPages) : cut(range, Math.max(unitPages, compoundPages), dataPfn);
  return pieces.map((piece) => {
    const segments: PlannedSegment[] = [];
    overlay([piece], whole, ({ startPfn, endPfn }, _, segment) => {
      segments.push({ startPfn, endPfn, use: (segment as PlannedSegment).use });
    });
    return { ...range, ...piece, segments };
  });
}

/** As {@link planRanges}, of what was computed before. */
export function rangesOf(basis: PlanBasis): PlannedRange[] {
  const unitPages = Math.max(pageblockPages, basis.rules.platform.pageblockPages);
  // a real machine tells memory apart for reasons of its own; of one that is made up each extent was asked for
  const borders = new Set(basis.boot.isReal ? [] : basis.topology.memory.map(({ startPfn }) => startPfn));
  // one that begins off a unit is cut early, but never one of half the pages that are possible
  const isLong = ({ startPfn, endPfn }: PfnExtent): boolean => endPfn - startPfn > rangePagesMax / 2;
  const ranges: PlannedRange[] = joinRuns(runsOf(basis), borders);
  return ranges.some(isLong) ? ranges.flatMap((range) => (isLong(range) ? cutRange(range, unitPages) : range)) : ranges;
}

/**
 * The ranges of a machine, sorted by pfn: all page frames that get descriptors, in runs of one node, zone, kind and pgmap, cut
 * at 2^28 pages. These are its memory, but for what an altmap reserves in front of itself; and the rest of the sections that
 * hold some of what it booted with, which is linked to the node and zone of the memory that follows it, or behind the last
 * memory to the highest zone of the last node. RAM that is not zoned is all Normal; it and a simulated machine have exactly
 * the pages of their topology. Device memory is always in the zone Device.
 * @throws RangeError when the topology is not sorted, overlaps itself or has values out of range
 */
export function planRanges(topology: Topology, options?: PlanRules): PlannedRange[] {
  return rangesOf(planBasis(topology, options));
}

/**
 * The zones of each node, by nid and then by zone.
 * @throws RangeError as {@link planRanges}
 */
export function zoneSpans(topology: Topology, options?: PlanRules): ZoneSpan[] {
  return spansOf(planBasis(topology, options));
}
