/** Cuts memory into ranges: by zone, as Linux numbers them, and then at 1 TiB. */
import { cut, intersect, type PfnExtent, pfnLimit, pfnOfByte } from './geometry.ts';
import type { DeviceMode, MemoryExtent, MemoryKind, Topology } from './topology.ts';

/** Zone names in the order of their numbers, spelled as in /proc/zoneinfo (`enum zone_type` with all zones of x86-64). */
export const zoneNames = ['DMA', 'DMA32', 'Normal', 'Movable', 'Device'] as const;

/** Nodes that the flags word of a page descriptor can tell apart: NODES_SHIFT 10, as distributions build it. */
export const nodesMax = 1024;

/** A zone's name. */
export type ZoneName = (typeof zoneNames)[number];

/** Zone numbers by name: what a page descriptor holds. */
export const zones: Readonly<Record<ZoneName, number>> = { DMA: 0, DMA32: 1, Normal: 2, Movable: 3, Device: 4 };

/**
 * What pages of a range are: `present` for whoever allocates or maps them; `reserved` before anybody could (the kernel image,
 * a crash kernel); `unavailable`, in holes of sections that hold memory; `altmap`, where a device keeps its own memmap.
 */
export type PageUse = 'present' | 'reserved' | 'unavailable' | 'altmap';

/** A run of pages of one use in a range. */
export interface PlannedSegment extends PfnExtent {
  readonly use: PageUse;
}

/** A run of pfns of one node, one zone and one kind: what gets a memmap of its own. At most 2^28 pages (1 TiB). */
export interface PlannedRange extends PfnExtent {
  /** Sorted by pfn; together they are the range. */
  readonly segments: readonly PlannedSegment[];
  readonly nid: number;
  /** Zone number as in Linux, a value of {@link zones}. */
  readonly zone: number;
  readonly kind: MemoryKind;
  /** For device memory: which dev_pagemap it belongs to, 1 or more. */
  readonly pgmap?: number;
  /** As in {@link MemoryExtent}. */
  readonly mode?: DeviceMode;
  /** As in {@link MemoryExtent}. */
  readonly compoundPages?: number;
}

/** What /proc/zoneinfo tells about one zone of one node. */
export interface ZoneSpan {
  readonly nid: number;
  readonly zone: number;
  /** `start_pfn`. */
  readonly startPfn: number;
  /** `spanned`: pages from the first to the last, holes included. */
  readonly spannedPages: number;
  /** `present`: pages without the holes. Linux leaves it at 0 for the zone Device; here its pages count as elsewhere. */
  readonly presentPages: number;
}

/** Borders of the zones that RAM is sorted into by address (MAX_DMA_PFN and MAX_DMA32_PFN of x86-64), by zone number. */
const zoneBorders: readonly PfnExtent[] = [
  { startPfn: 0, endPfn: pfnOfByte(16 * 2 ** 20) },
  { startPfn: pfnOfByte(16 * 2 ** 20), endPfn: pfnOfByte(4 * 2 ** 30) },
  { startPfn: pfnOfByte(4 * 2 ** 30), endPfn: pfnLimit },
];

/** A topology may come from the user's own code, and a wrong one would put two descriptors on one page: misuse, told at once. */
function checkMemory(memory: readonly MemoryExtent[]): void {
  let behind = 0;
  for (const [index, { startPfn, endPfn, nid, kind, pgmap }] of memory.entries()) {
    const complain = (what: string): never => {
      throw new RangeError(`topology.memory[${index}] ${what}`);
    };
    if (!Number.isSafeInteger(startPfn) || !Number.isSafeInteger(endPfn)) complain('has a pfn that is not an integer');
    if (startPfn < 0 || startPfn >= endPfn) complain(`is empty or negative: [${startPfn}, ${endPfn})`);
    if (endPfn > pfnLimit) complain(`ends at pfn ${endPfn}, beyond 2^52 bytes`);
    if (startPfn < behind) complain(`begins at pfn ${startPfn}, before the end of the one ahead of it, ${behind}`);
    if (!Number.isSafeInteger(nid) || nid < 0 || nid >= nodesMax)
      complain(`has nid ${nid}; 0 to ${nodesMax - 1} exist`);
    if (kind !== 'ram' && kind !== 'device') complain(`has kind ${String(kind)}; it is 'ram' or 'device'`);
    const pgmapOk = kind === 'ram' ? pgmap === undefined : Number.isSafeInteger(pgmap) && (pgmap as number) >= 1;
    if (!pgmapOk) complain(`has pgmap ${pgmap}; device memory has one of 1 or more, and RAM has none`);
    behind = endPfn;
  }
}

function byZone(extent: MemoryExtent, zoned: boolean): Omit<PlannedRange, 'segments'>[] {
  if (extent.kind === 'device') return [{ ...extent, zone: zones.Device }];
  if (!zoned) return [{ ...extent, zone: zones.Normal }];
  return zoneBorders
    .map((border, zone) => ({ ...extent, ...intersect(extent, border), zone }))
    .filter(({ startPfn, endPfn }) => startPfn < endPfn);
}

/**
 * The ranges of a machine, sorted by pfn: its memory cut by zone (RAM of a topology that is not zoned is all Normal, device
 * memory always Device) and then into pieces of at most 1 TiB. Every page of the topology is in exactly one.
 * @throws RangeError when the topology is not sorted, overlaps itself or has values out of range.
 */
export function planRanges(topology: Topology): PlannedRange[] {
  checkMemory(topology.memory);
  return topology.memory
    .flatMap((extent) => byZone(extent, topology.zoned))
    .flatMap((range) => cut(range).map((piece) => ({ ...range, ...piece, segments: [{ ...piece, use: 'present' }] })));
}

/** Smallest extent that holds all of `ranges`, of which there is at least one. */
function hull(ranges: readonly PfnExtent[]): PfnExtent {
  return ranges.reduce((all, { startPfn, endPfn }) => ({
    startPfn: Math.min(all.startPfn, startPfn),
    endPfn: Math.max(all.endPfn, endPfn),
  }));
}

/**
 * The zones that have pages, by node and then by zone. A zone of RAM spans its part of the node from the node's first page to
 * its last, as Linux computes it (zone_spanned_pages_in_node): DMA32 reaches up to 4 GiB even if the RAM below ends at 3 GiB,
 * as long as the node has RAM above. The zone Device spans its own pages only.
 */
export function zoneSpans(ranges: readonly PlannedRange[]): ZoneSpan[] {
  const spans: ZoneSpan[] = [];
  for (const nid of [...new Set(ranges.map((range) => range.nid))].sort((a, b) => a - b)) {
    const ofNode = ranges.filter((range) => range.nid === nid);
    const ram = ofNode.filter((range) => range.kind === 'ram');
    for (const zone of zoneNames.keys()) {
      const ofZone = ofNode.filter((range) => range.zone === zone);
      if (ofZone.length === 0) continue;
      const own = hull(ofZone);
      const border = zoneBorders[zone];
      // own pages join in because RAM without zones is Normal wherever it lies
      const span = border && ram.length > 0 ? hull([own, intersect(hull(ram), border)].filter(isFull)) : own;
      spans.push({
        nid,
        zone,
        startPfn: span.startPfn,
        spannedPages: span.endPfn - span.startPfn,
        presentPages: ofZone.reduce((pages, range) => pages + range.endPfn - range.startPfn, 0),
      });
    }
  }
  return spans;
}

function isFull({ startPfn, endPfn }: PfnExtent): boolean {
  return startPfn < endPfn;
}
