/** The plan of a machine as one plain object: what `vmemmap topology --json` prints, and what its text and its picture are made of. */
import type { PfnExtent } from '../physical/geometry.ts';
import type { MachinePlan } from '../physical/machine-plan.ts';
import type { PlatformName } from '../physical/platforms.ts';
import type { DeviceMode, MemoryKind, ReservedExtent, TopologySource } from '../physical/topology.ts';
import type { PageUse, PlannedSegment, ZoneName } from '../physical/zones.ts';
import type { AnswerNote } from './topology-answers.ts';

/** The platform, with sizes that the other keys depend on; sections are those of the release. */
export interface PlatformNote {
  readonly name: PlatformName;
  readonly pageSizeBytes: number;
  readonly sectionPages: number;
  readonly pageblockPages: number;
}

/** One node. Pages are those of its RAM until `devicePages`; without RAM its pfns and its place in the memmap are null. */
export interface NodeNote {
  readonly nid: number;
  readonly cpus: readonly number[];
  readonly startPfn: number | null;
  readonly endPfn: number | null;
  /** From the first present page to the last, holes included. */
  readonly spannedPages: number;
  /** As the kernel counts them (`On node 0 totalpages`): the reserved ones, too. */
  readonly presentPages: number;
  readonly unavailablePages: number;
  readonly reservedPages: number;
  readonly memoryBytes: number;
  /** Memory that Linux spends on the memmap of RAM: that of whole sections. */
  readonly memmapBytes: number;
  /** Where that memmap lies, in bytes from that of pfn 0. */
  readonly memmapVirtual: { readonly startByte: number; readonly endByte: number } | null;
  /** Pages of device memory, which is not there yet when the kernel boots and counts. */
  readonly devicePages: number;
  readonly deviceBytes: number;
  /** Bytes that their descriptors take. */
  readonly deviceMemmapBytes: number;
}

/** One zone of one node. Spanned and present are those of /proc/zoneinfo. */
export interface ZoneNote extends PfnExtent {
  readonly nid: number;
  readonly zone: ZoneName;
  readonly spannedPages: number;
  /** Reserved pages are among them. */
  readonly presentPages: number;
  /** Spanned pages that are not present. */
  readonly holePages: number;
  /** Pages in holes that have descriptors of this zone; where a hole lies before the zone they are none of `holePages`. */
  readonly unavailablePages: number;
  readonly reservedPages: number;
  /** As the logs of kernels up to 6.9 tell it, "pages used for memmap"; null for a zone that was not there at boot. */
  readonly memmapPages: number | null;
}

/** One range. The keys that `vmemmap init --json` has, too, mean the same there. */
export interface RangeNote extends PfnExtent {
  readonly nid: number;
  readonly zone: ZoneName;
  readonly kind: MemoryKind;
  /** Of device memory: number of its dev_pagemap; else null, as the next three. */
  readonly pgmap: number | null;
  readonly mode: DeviceMode | null;
  /** Where Linux keeps its descriptors: in RAM (`mem`) or in its own first pages (`dev`, an altmap). */
  readonly map: 'mem' | 'dev' | null;
  /** Pages in a compound page; 1 for none. */
  readonly compoundPages: number | null;
  readonly pages: number;
  /** How many pages are of which use; those of uses that do not occur are 0. */
  readonly uses: Readonly<Record<PageUse, number>>;
  /** Of the pages that are memory: all but the unavailable ones. */
  readonly memoryBytes: number;
  readonly descriptorBytes: number;
  readonly chunks: number;
  readonly chunkPages: number;
  readonly chunkBytes: number;
  readonly segments: readonly PlannedSegment[];
}

/** The whole plan. Pfns are numbers, extents half-open, and the keys a contract. */
export interface TopologyReport {
  readonly source: TopologySource;
  readonly platform: PlatformNote;
  /** Release of the kernel that was found there; null where it is not known. */
  readonly kernel: string | null;
  /** Release whose rules the plan follows. */
  readonly rulesRelease: string;
  /** Pages that have descriptors, and what these take. */
  readonly pages: number;
  readonly descriptorBytes: number;
  /** Of RAM, as those of a node. */
  readonly presentPages: number;
  /** All that have descriptors; `unavailable` is what the log of that kernel counts of them. */
  readonly unavailablePages: number;
  readonly memoryBytes: number;
  readonly memmapBytes: number;
  readonly devicePages: number;
  readonly deviceBytes: number;
  readonly nodes: readonly NodeNote[];
  readonly zones: readonly ZoneNote[];
  readonly ranges: readonly RangeNote[];
  /** Machine-wide, by zone; empty ones have `startPfn === endPfn`. */
  readonly zoneRanges: readonly (PfnExtent & { readonly zone: ZoneName })[];
  readonly unavailable: {
    readonly rule: MachinePlan['unavailable']['rule'];
    readonly totalPages: number;
    readonly gaps: readonly (PfnExtent & { readonly nid: number; readonly zone: ZoneName; readonly pages: number })[];
  };
  /** Pages that were set aside before anybody could use them, and what for. */
  readonly reserved: readonly ReservedExtent[];
  /** What the kernel's log says of such a machine, line by line. */
  readonly log: readonly string[];
  /** The kernel's own answers beside these; null where there is no boot log to tell them. */
  readonly answers: readonly AnswerNote[] | null;
  readonly notes: readonly string[];
}
