/** What /proc/zoneinfo and the boot log tell about zones. */
import { type BootNode, isBootMemory, type ZonePiece } from './boot-memory.ts';
import { hull, pagesOf } from './extents.ts';
import { roundUp } from './geometry.ts';
import type { KernelRules } from './kernel-rules.ts';
import { zoneNames, zones } from './page-links.ts';
import type { PlanBasis } from './plan-basis.ts';
import type { MemoryExtent } from './topology.ts';

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
  /** "pages used for memmap" of a zone that was there at boot, as logs told it until 6.10. */
  readonly memmapPages?: number;
}

/** calc_memmap_size of mm/mm_init.c: of all that a zone spans, unless holes are more than a 16th of what is present. */
function memmapPagesOf(spannedPages: number, presentPages: number, { structPageBytes, platform }: KernelRules): number {
  const isSparse = spannedPages > presentPages + Math.floor(presentPages / 16);
  const bytes = (isSparse ? presentPages : spannedPages) * structPageBytes;
  return roundUp(bytes, platform.pageSizeBytes) / platform.pageSizeBytes;
}

/** A number of its own for each zone of each node. */
function placeOf(nid: number, zone: number): number {
  return nid * zoneNames.length + zone;
}

/** Pages of memory at boot, by {@link placeOf}. */
function presentPagesOf(pieces: readonly ZonePiece[]): Map<number, number> {
  const present = new Map<number, number>();
  for (const { startPfn, endPfn, nid, zone } of pieces) {
    const place = placeOf(nid, zone);
    present.set(place, (present.get(place) ?? 0) + endPfn - startPfn);
  }
  return present;
}

function bootSpans(node: BootNode, present: ReadonlyMap<number, number>, rules: KernelRules): ZoneSpan[] {
  return node.zones
    .map(({ startPfn, endPfn }, zone) => {
      const spannedPages = endPfn - startPfn;
      const presentPages = present.get(placeOf(node.nid, zone)) ?? 0;
      const memmapPages = memmapPagesOf(spannedPages, presentPages, rules);
      return { nid: node.nid, zone, startPfn, spannedPages, presentPages, memmapPages };
    })
    .filter(({ spannedPages }) => spannedPages > 0);
}

/** The zones that came after boot: device memory, and RAM that was added. They span their own pages only. */
function laterSpans(memory: readonly MemoryExtent[]): ZoneSpan[] {
  const groups = new Map<number, { nid: number; zone: number; extents: MemoryExtent[] }>();
  for (const extent of memory) {
    if (isBootMemory(extent)) continue;
    const zone = extent.kind === 'device' ? zones.Device : zones.Movable;
    const place = placeOf(extent.nid, zone);
    const group = groups.get(place) ?? { nid: extent.nid, zone, extents: [] };
    group.extents.push(extent);
    groups.set(place, group);
  }
  return [...groups.values()].map(({ nid, zone, extents }) => {
    const { startPfn, endPfn } = hull(extents);
    return { nid, zone, startPfn, spannedPages: endPfn - startPfn, presentPages: pagesOf(extents) };
  });
}

/** A zone Movable that memory was added to spans both. */
function joinSpans(a: ZoneSpan, b: ZoneSpan): ZoneSpan {
  const startPfn = Math.min(a.startPfn, b.startPfn);
  const endPfn = Math.max(a.startPfn + a.spannedPages, b.startPfn + b.spannedPages);
  return { ...a, startPfn, spannedPages: endPfn - startPfn, presentPages: a.presentPages + b.presentPages };
}

/**
 * The zones of each node, by nid and then by zone: those that span pages, even where none of them is present. A zone of RAM
 * spans its part of the node from the node's first page to its last, as Linux computes it (zone_spanned_pages_in_node): DMA32
 * reaches up to 4 GiB even if the RAM below ends at 3 GiB, as long as the node has RAM above. The zone Device spans its
 * devices, with what their altmaps reserve, and what lies between them.
 */
export function spansOf({ topology, rules, boot }: PlanBasis): ZoneSpan[] {
  const present = presentPagesOf(boot.pieces);
  const spans: ZoneSpan[] = [];
  const all = [...boot.nodes.flatMap((node) => bootSpans(node, present, rules)), ...laterSpans(topology.memory)];
  for (const span of all.sort((a, b) => a.nid - b.nid || a.zone - b.zone)) {
    const last = spans.at(-1);
    if (last?.nid === span.nid && last.zone === span.zone) spans[spans.length - 1] = joinSpans(last, span);
    else spans.push(span);
  }
  return spans;
}
