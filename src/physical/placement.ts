/** Gives every extent of memory its node, from what sysfs tells about memory blocks and persistent memory. */
import { overlay, pagesOf, without } from './extents.ts';
import { intersect, type PfnExtent } from './geometry.ts';
import type { IomemExtent } from './iomem-memory.ts';
import type { MemoryBlock, PmemRegion } from './sysfs.ts';
import type { MemoryExtent } from './topology.ts';

/** What is known about nodes. */
export interface NodeKnowledge {
  /** Nodes of the machine, ascending, at least one. */
  readonly nids: readonly number[];
  /** Sorted by pfn, without overlaps. */
  readonly blocks: readonly MemoryBlock[];
  readonly pmemRegions: readonly PmemRegion[];
  /** Device memory of which everything is known, instead of what the extents tell of it. Sorted by pfn, without overlaps. */
  readonly devices?: readonly Omit<MemoryExtent, 'pgmap'>[] | undefined;
  /** Whether RAM of kmem is movable that is in no memory block; otherwise blocks tell. */
  readonly kmemIsMovable?: boolean;
}

/** Memory with nodes, sorted by pfn, and what a person should know about how the nodes were found. */
export interface PlacedMemory {
  readonly memory: readonly MemoryExtent[];
  readonly notes: readonly string[];
}

/** A part of a RAM extent that lies in one block or in none. */
interface Piece extends PfnExtent {
  readonly block: MemoryBlock | undefined;
  readonly extent: IomemExtent;
}

/** Cuts sorted extents at block borders. */
function cutAtBlocks(extents: readonly IomemExtent[], blocks: readonly MemoryBlock[]): Piece[] {
  const pieces: Piece[] = [];
  overlay(extents, blocks, (piece, extent, block) => {
    pieces.push({ ...piece, block, extent });
  });
  return pieces;
}

/** Appends RAM, joined to the last extent when it touches it on the same node and is as movable. */
function pushRam(memory: MemoryExtent[], { startPfn, endPfn }: PfnExtent, nid: number, movable: boolean): void {
  const last = memory.at(-1);
  if (last && last.endPfn === startPfn && last.nid === nid && (last.movable ?? false) === movable) {
    memory[memory.length - 1] = { ...last, endPfn };
  } else memory.push({ nid, kind: 'ram', startPfn, endPfn, ...(movable ? { movable } : {}) });
}

/** The devices that overlap neither RAM nor the device before, and how many do: sysfs and the memory map may have changed between. */
function apartFrom(
  ram: readonly PfnExtent[],
  devices: readonly Omit<MemoryExtent, 'pgmap'>[],
): { apart: Omit<MemoryExtent, 'pgmap'>[]; overlapping: number } {
  const apart: Omit<MemoryExtent, 'pgmap'>[] = [];
  let next = 0;
  for (const device of devices) {
    while ((ram[next]?.endPfn ?? Number.POSITIVE_INFINITY) <= device.startPfn) next++;
    const overlapsRam = (ram[next]?.startPfn ?? Number.POSITIVE_INFINITY) < device.endPfn;
    if (!overlapsRam && (apart.at(-1)?.endPfn ?? 0) <= device.startPfn) apart.push(device);
  }
  return { apart, overlapping: devices.length - apart.length };
}

/** Persistent memory of the memory map that has no descriptors. */
function undescribedNotes(told: readonly PfnExtent[], devices: readonly PfnExtent[]): string[] {
  const pages = pagesOf(without(told, devices));
  return pages > 0
    ? [`${pages} pages of persistent memory belong to no namespace that has page descriptors; they are left out.`]
    : [];
}

/**
 * RAM gets the nodes of its memory blocks, cut at block borders where nodes change, and loses what is offline: Linux does not
 * count that as present. Device memory gets the node of the region of persistent memory that it lies in, and a pgmap number
 * of its own. RAM is movable where its block is. What nobody places goes to the node of the nearest RAM below it, else to the
 * lowest node: a guess, and a note says so unless there is only one node anyway.
 */
export function placeMemory(extents: readonly IomemExtent[], knowledge: NodeKnowledge): PlacedMemory {
  const { nids, blocks, pmemRegions, kmemIsMovable = false } = knowledge;
  const lowestNid = nids[0] ?? 0;
  const notes: string[] = [];
  let offlinePages = 0;
  let guessedPages = 0;

  const ram: MemoryExtent[] = [];
  for (const piece of cutAtBlocks(
    extents.filter(({ kind }) => kind === 'ram'),
    blocks,
  )) {
    const pages = piece.endPfn - piece.startPfn;
    if (piece.block?.online === false) offlinePages += pages;
    else {
      if (piece.block?.nid === undefined) guessedPages += pages;
      const movable = piece.block?.movable ?? (kmemIsMovable && piece.extent.isKmem === true);
      pushRam(ram, piece, piece.block?.nid ?? ram.at(-1)?.nid ?? lowestNid, movable);
    }
  }

  let guessedDevices = 0;
  let above = 0;
  // devices come sorted, so that the RAM below them is found in one pass
  const nodeOf = (extent: IomemExtent): number => {
    while ((ram[above]?.endPfn ?? Number.POSITIVE_INFINITY) <= extent.startPfn) above++;
    const region = pmemRegions.find((candidate) => {
      const { startPfn, endPfn } = intersect(extent, candidate);
      return startPfn < endPfn;
    });
    if (region === undefined) guessedDevices++;
    return region?.nid ?? ram[above - 1]?.nid ?? lowestNid;
  };
  const told = extents.filter(({ kind }) => kind === 'device');
  const devices = knowledge.devices ?? told.map(({ isKmem: _, ...extent }) => ({ nid: nodeOf(extent), ...extent }));
  const { apart, overlapping } = apartFrom(ram, devices);
  const device = apart.map((extent, index): MemoryExtent => ({ ...extent, pgmap: index + 1 }));

  const guess = 'taken as memory of the node of the nearest RAM below, or else of the lowest node';
  if (overlapping > 0) notes.push(`${overlapping} devices overlap RAM or each other; they are left out.`);
  if (knowledge.devices) notes.push(...undescribedNotes(told, device));
  if (offlinePages > 0) notes.push(`${offlinePages} pages of RAM are offline and left out.`);
  if (nids.length > 1 && guessedPages > 0) {
    notes.push(`${guessedPages} pages of RAM are in no memory block of a node; they are ${guess}.`);
  }
  if (nids.length > 1 && guessedDevices > 0) {
    notes.push(`The node of ${guessedDevices} extents of device memory cannot be read from sysfs; they are ${guess}.`);
  }
  return { memory: [...ram, ...device].sort((a, b) => a.startPfn - b.startPfn), notes };
}
