/** Gives every extent of memory its node, from what sysfs tells about memory blocks and persistent memory. */
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
}

/** Memory with nodes, sorted by pfn, and what a person should know about how the nodes were found. */
export interface PlacedMemory {
  readonly memory: readonly MemoryExtent[];
  readonly notes: readonly string[];
}

/** A part of a RAM extent that lies in one block or in none. */
interface Piece extends PfnExtent {
  readonly block: MemoryBlock | undefined;
}

/** Cuts sorted extents at block borders. One pass over both: a machine may have a hundred thousand blocks. */
function cutAtBlocks(extents: readonly PfnExtent[], blocks: readonly MemoryBlock[]): Piece[] {
  const pieces: Piece[] = [];
  let next = 0;
  for (const extent of extents) {
    let startPfn = extent.startPfn;
    while (startPfn < extent.endPfn) {
      while (next < blocks.length && (blocks[next] as MemoryBlock).endPfn <= startPfn) next++;
      const ahead = blocks[next];
      const block = ahead && ahead.startPfn <= startPfn ? ahead : undefined;
      const border = block?.endPfn ?? ahead?.startPfn ?? extent.endPfn;
      const endPfn = Math.min(border, extent.endPfn);
      pieces.push({ startPfn, endPfn, block });
      startPfn = endPfn;
    }
  }
  return pieces;
}

/** Appends RAM, joined to the last extent when it touches it on the same node. */
function pushRam(memory: MemoryExtent[], { startPfn, endPfn }: PfnExtent, nid: number): void {
  const last = memory.at(-1);
  if (last && last.endPfn === startPfn && last.nid === nid) {
    memory[memory.length - 1] = { ...last, endPfn };
  } else memory.push({ nid, kind: 'ram', startPfn, endPfn });
}

/**
 * RAM gets the nodes of its memory blocks, cut at block borders where nodes change, and loses what is offline: Linux does not
 * count that as present. Device memory gets the node of the region of persistent memory that it lies in, and a pgmap number
 * of its own. What nobody places goes to the node of the nearest RAM below it, else to the lowest node: a guess, and a note
 * says so unless there is only one node anyway.
 */
export function placeMemory(extents: readonly IomemExtent[], knowledge: NodeKnowledge): PlacedMemory {
  const { nids, blocks, pmemRegions } = knowledge;
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
      pushRam(ram, piece, piece.block?.nid ?? ram.at(-1)?.nid ?? lowestNid);
    }
  }

  let guessedDevices = 0;
  const device = extents
    .filter(({ kind }) => kind === 'device')
    .map((extent, index): MemoryExtent => {
      const region = pmemRegions.find((candidate) => {
        const { startPfn, endPfn } = intersect(extent, candidate);
        return startPfn < endPfn;
      });
      if (region === undefined) guessedDevices++;
      const below = ram.findLast(({ endPfn }) => endPfn <= extent.startPfn);
      const nid = region?.nid ?? below?.nid ?? lowestNid;
      return { nid, kind: 'device', startPfn: extent.startPfn, endPfn: extent.endPfn, pgmap: index + 1 };
    });

  const guess = 'taken as memory of the node of the nearest RAM below, or else of the lowest node';
  if (offlinePages > 0) notes.push(`${offlinePages} pages of RAM are offline and left out.`);
  if (nids.length > 1 && guessedPages > 0) {
    notes.push(`${guessedPages} pages of RAM are in no memory block of a node; they are ${guess}.`);
  }
  if (nids.length > 1 && guessedDevices > 0) {
    notes.push(`The node of ${guessedDevices} extents of device memory cannot be read from sysfs; they are ${guess}.`);
  }
  return { memory: [...ram, ...device].sort((a, b) => a.startPfn - b.startPfn), notes };
}
