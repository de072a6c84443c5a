/** The plan, made once per memmap: which ranges there are, how each is cut into chunks, and what is written into it. */
import { contentOf } from './descriptor/content.ts';
import { type Content, plainContent, sameContent, tablePattern } from './descriptor/pattern.ts';
import { type ProfileName, profiles } from './descriptor/profiles.ts';
import {
  type ChunkGeometry,
  chunkGeometry,
  chunksPerRange,
  defaultChunkPages,
  type PfnExtent,
  roundUp,
} from './physical/geometry.ts';
import { kernelRules } from './physical/kernel-rules.ts';
import { type PlatformName, platformOf } from './physical/platforms.ts';
import type { MemoryKind, Topology } from './physical/topology.ts';
import { type PageUse, type PlannedRange, type PlannedSegment, planRanges } from './physical/zones.ts';

/** What the user's records are, when the memmap is a table of them instead of page descriptors. */
export interface TableRecords {
  readonly template: Uint8Array;
  readonly indexWord?: number;
}

/** Pages of a range that are of one use, and get descriptors of one kind. */
export interface Segment extends PfnExtent {
  readonly use: PageUse;
  readonly content: Content;
}

/** A range of the plan. */
export interface PlannedMemmap extends ChunkGeometry {
  readonly nid: number;
  /** Zone number as in Linux. */
  readonly zone: number;
  readonly kind: MemoryKind;
  /** Number of the dev_pagemap for device memory, else 0. */
  readonly pgmap: number;
  /** Sorted by pfn; together they are the range. */
  readonly segments: readonly Segment[];
}

/** Pages in a chunk: a number, or the 1/1024 of each range of the asynchronous series of 2018. */
export type ChunkPages = number | '1/1024';

/** When chunks are initialized: see src/policy. A region remembers it for whoever attaches. */
export type PolicyName = 'boot' | 'hotplug';

/** Everything that the region needs to know; the region's superblock and tables are made from it. */
export interface Plan {
  readonly ranges: readonly PlannedMemmap[];
  /** Id of the kernel profile, or 0 for a table of the user's records. */
  readonly profileId: number;
  /** What kind of machine it is of: it tells how large pages are. */
  readonly platform: PlatformName;
}

/** More ranges than any machine has; bounds, too, what a damaged count in a superblock can make a reader do. */
export const rangesMax = 65_536;
/** The same for segments, and for parts of their contents. */
export const segmentsMax: number = 4 * rangesMax;

/** What the plan depends on beside the machine. */
export interface PlanOptions {
  readonly profile: ProfileName;
  /** Default: {@link defaultChunkPages}. */
  readonly chunkPages?: ChunkPages | undefined;
  readonly table?: TableRecords | undefined;
  /** Whether tails of compound pages are to be stored once, which takes chunks of whole ones. */
  readonly sharesTails?: boolean | undefined;
  /** Pages that the zone Movable is to have in all, as with `movablecore=`. Default: none. */
  readonly movablePages?: number | undefined;
}

/** Makes the plan. One plan, made once: two passes with different ideas of which pages exist cost Linux live descriptors. */
export function makePlan(topology: Topology, options: PlanOptions): Plan {
  const { table, movablePages } = options;
  const profile = profiles[options.profile];
  const platform = platformOf(topology.platform);
  const rules = kernelRules(platform, profile.release);
  const content = (range: PlannedRange, segment: PlannedSegment): Content =>
    table
      ? plainContent(tablePattern(table.template, table.indexWord, range.startPfn))
      : contentOf(profile, range, segment);
  const ranges = planRanges(topology, { rules, movablePages }).map((range) => ({
    ...chunkGeometry(range, pagesPerChunk(range, options), platform),
    nid: range.nid,
    zone: range.zone,
    kind: range.kind,
    pgmap: range.pgmap ?? 0,
    segments: range.segments.map((segment) => ({ ...segment, content: content(range, segment) })),
  }));
  const segments = ranges.reduce((sum, range) => sum + range.segments.length, 0);
  if (ranges.length > rangesMax || segments > segmentsMax) {
    throw new RangeError(
      `topology has ${ranges.length} ranges with ${segments} segments; at most ${rangesMax} and ${segmentsMax} are possible`,
    );
  }
  return { ranges, profileId: table ? 0 : profile.id, platform: platform.name };
}

/**
 * Pages of the compound pages of a range whose tails can be stored once: it holds nothing else, all of them whole, and no chunk
 * ends inside one. Undefined for other ranges.
 */
export function sharablePages({ segments, startPfn, pages, chunkPages, leadPages }: PlannedMemmap): number | undefined {
  const periodPages = segments[0]?.content.periodPages ?? 1;
  const isSharable =
    periodPages > 1 &&
    segments.length === 1 &&
    leadPages === 0 &&
    [startPfn, pages, chunkPages].every((count) => count % periodPages === 0);
  return isSharable ? periodPages : undefined;
}

/** Pages in a chunk of a range; undefined for 1/1024 of it. */
function pagesPerChunk(
  range: PlannedRange,
  { chunkPages = defaultChunkPages, sharesTails }: PlanOptions,
): number | undefined {
  const compoundPages = sharesTails ? (range.compoundPages ?? 1) : 1;
  if (chunkPages !== '1/1024') return roundUp(chunkPages, compoundPages);
  return compoundPages === 1
    ? undefined
    : roundUp(Math.ceil((range.endPfn - range.startPfn) / chunksPerRange), compoundPages);
}

/** In what two plans differ first, as a person would say it; undefined when they do not. */
export function firstPlanDifference(found: Plan, wanted: Plan): string | undefined {
  if (found.profileId !== wanted.profileId) return `profile ${found.profileId}, not ${wanted.profileId}`;
  if (found.platform !== wanted.platform) return `platform ${found.platform}, not ${wanted.platform}`;
  if (found.ranges.length !== wanted.ranges.length) {
    return `${found.ranges.length} ranges, not ${wanted.ranges.length}`;
  }
  for (const [index, range] of found.ranges.entries()) {
    const other = wanted.ranges[index] as PlannedMemmap;
    for (const name of ['startPfn', 'endPfn', 'chunkPages', 'nid', 'zone', 'kind', 'pgmap'] as const) {
      if (range[name] !== other[name]) return `range ${index} has ${name} ${range[name]}, not ${other[name]}`;
    }
    if (!sameSegments(range.segments, other.segments)) return `range ${index} has other descriptors`;
  }
  return undefined;
}

function sameSegments(a: readonly Segment[], b: readonly Segment[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ startPfn, endPfn, use, content }, index) => {
      const other = b[index] as Segment;
      const isSame = startPfn === other.startPfn && endPfn === other.endPfn && use === other.use;
      return isSame && sameContent(content, other.content);
    })
  );
}
