/** Holes in memory whose page frames have descriptors all the same, because they share a section with memory. */
import { type BootMemory, lastZone, type ZonePiece } from './boot-memory.ts';
import { union, without } from './extents.ts';
import { type PfnExtent, roundDown, roundUp } from './geometry.ts';
import type { KernelRules } from './kernel-rules.ts';
import type { Topology } from './topology.ts';

/** A hole in memory. */
export interface Gap extends PfnExtent {
  /** Node and zone that its pages are linked to, those of the memory that follows it. */
  readonly nid: number;
  readonly zone: number;
  /** Those of its pages that have descriptors, at least one. */
  readonly pages: number;
}

/** A run of pages that are no memory, with the node and zone that they are linked to. */
type Hole = Omit<ZonePiece, 'use'>;

/** Page frames of a machine whose descriptors are valid, sorted by pfn: see {@link KernelRules.validity}. */
function validPfns({ extents }: BootMemory, nomap: readonly PfnExtent[], rules: KernelRules): PfnExtent[] {
  const { sectionPages, platform, validity } = rules;
  if (validity === 'section') {
    return union(
      extents,
      (startPfn) => roundDown(startPfn, sectionPages),
      (endPfn) => roundUp(endPfn, sectionPages),
    );
  }
  // the pageblocks whose first page is in one of them
  const toBlock = (pfn: number): number => roundUp(pfn, platform.pageblockPages);
  return union(validity === 'mapped-pageblock' ? without(extents, nomap) : extents, toBlock, toBlock);
}

/** Holes that have valid pages, and these pages, both sorted by pfn. */
interface ValidHoles {
  readonly gaps: readonly Gap[];
  readonly pieces: readonly ZonePiece[];
}

/** One pass, for a machine may have a hundred thousand holes. */
function validHoles(holes: readonly Hole[], valid: readonly PfnExtent[]): ValidHoles {
  const gaps: Gap[] = [];
  const pieces: ZonePiece[] = [];
  let next = 0;
  for (const { startPfn, endPfn, nid, zone } of holes) {
    let pages = 0;
    while (next < valid.length && (valid[next] as PfnExtent).endPfn <= startPfn) next++;
    for (let index = next; index < valid.length; index++) {
      const extent = valid[index] as PfnExtent;
      if (extent.startPfn >= endPfn) break;
      const first = Math.max(startPfn, extent.startPfn);
      const end = Math.min(endPfn, extent.endPfn);
      pieces.push({ startPfn: first, endPfn: end, nid, zone, use: 'unavailable' });
      pages += end - first;
    }
    if (pages > 0) gaps.push({ startPfn, endPfn, nid, zone, pages });
  }
  return { gaps, pieces };
}

/**
 * Holes ahead of pieces, and behind the last one. A hole belongs to the node and zone of the piece that FOLLOWS it, even
 * when that lies in another zone or node, and what is behind the last piece to `tail`: memmap_init of mm/mm_init.c.
 * @param tail what owns the pages behind the last piece, and where they end; undefined when they do not count
 */
function holesBetween(pieces: readonly ZonePiece[], tail: Hole | undefined): Hole[] {
  const holes: Hole[] = [];
  let holePfn = 0;
  for (const { startPfn, endPfn, nid, zone } of pieces) {
    if (holePfn < startPfn) holes.push({ startPfn: holePfn, endPfn: startPfn, nid, zone });
    holePfn = endPfn;
  }
  if (tail && holePfn < tail.endPfn) holes.push({ ...tail, startPfn: holePfn });
  return holes;
}

function tailOf(boot: BootMemory, sectionPages: number): Hole | undefined {
  const last = boot.pieces.at(-1);
  const owner = lastZone(boot);
  return last && owner && { startPfn: last.endPfn, endPfn: roundUp(last.endPfn, sectionPages), ...owner };
}

/** Pages that are reserved and no memory, each run with the node and zone of what follows it. */
function reservedHoles(boot: BootMemory, reserved: readonly PfnExtent[]): Hole[] {
  const owner = lastZone(boot);
  if (!owner) return [];
  let next = 0;
  return without(union(reserved), boot.extents).map(({ startPfn, endPfn }) => {
    while (next < boot.pieces.length && (boot.pieces[next] as ZonePiece).startPfn < endPfn) next++;
    const { nid, zone } = boot.pieces[next] ?? owner;
    return { startPfn, endPfn, nid, zone };
  });
}

/** The holes of a machine. */
export interface Holes {
  /** Their pages that have valid descriptors and are no memory at boot, whatever the kernel counts of them; sorted by pfn. */
  readonly pieces: readonly ZonePiece[];
  /**
   * Those that the boot log counts, under the rule of its kernel; sorted by pfn. It knows nothing of device memory and of
   * memory that was added later, which may have taken pages of a hole since.
   */
  readonly counted: readonly Gap[];
}

/** The holes of a machine under the rules of a kernel. One that is made up has none. */
export function holesOf(boot: BootMemory, topology: Topology, rules: KernelRules): Holes {
  if (!boot.isReal) return { pieces: [], counted: [] };
  const { nomap = [], reserved = [] } = topology;
  const valid = validPfns(boot, nomap, rules);
  const tail = tailOf(boot, rules.sectionPages);
  const { gaps, pieces } = validHoles(holesBetween(boot.pieces, tail), valid);
  if (rules.unavailable === 'per-zone') return { pieces, counted: gaps };
  const counted =
    rules.unavailable === 'memblock-reserved'
      ? reservedHoles(boot, reserved)
      : holesBetween(without(boot.pieces, nomap), rules.unavailable === 'zeroed' ? undefined : tail);
  return { pieces, counted: validHoles(counted, valid).gaps };
}
