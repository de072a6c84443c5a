/** Where the zone Movable begins on each node when the kernel was told `movablecore=`. */
import { pagesOf } from './extents.ts';
import { type PfnExtent, roundUp } from './geometry.ts';

/** The memory of one node that was there at boot. */
export interface NodeMemory extends PfnExtent {
  readonly nid: number;
  /** Sorted by pfn. */
  readonly extents: readonly PfnExtent[];
}

/** What the kernel was told, and what it does with it. */
export interface MovableRequest {
  /** Pages for the zone Movable (`movablecore=`), rounded up to blocks. */
  readonly movablePages: number;
  /** MAX_ORDER_NR_PAGES: the zone begins at multiples of so many pages. */
  readonly blockPages: number;
  /** First page that the zone may have: the start of the machine's highest zone. */
  readonly usableStartPfn: number;
}

/** What is left to be given to the kernel while memory is walked, and where Movable begins so far. */
interface Shares {
  requiredPages: number;
  readonly starts: Map<number, number>;
}

/** Gives the kernel up to `sharePages` of a node's memory from where its zone Movable begins so far, and moves that on. */
function takeShare(shares: Shares, { nid, extents }: NodeMemory, sharePages: number, usableStartPfn: number): void {
  let leftPages = sharePages;
  for (const { startPfn: first, endPfn } of extents) {
    let startPfn = Math.max(first, shares.starts.get(nid) ?? 0);
    if (startPfn >= endPfn) continue;
    // what lies too low for Movable is the kernel's whether or not that is more than its share
    if (startPfn < usableStartPfn) {
      const kernelPages = Math.min(endPfn, usableStartPfn) - startPfn;
      leftPages -= Math.min(kernelPages, leftPages);
      shares.requiredPages -= Math.min(kernelPages, shares.requiredPages);
      if (endPfn <= usableStartPfn) {
        // so that a further round does not count it again
        shares.starts.set(nid, endPfn);
        continue;
      }
      startPfn = usableStartPfn;
    }
    const pages = Math.min(endPfn - startPfn, leftPages);
    shares.starts.set(nid, startPfn + pages);
    shares.requiredPages -= Math.min(shares.requiredPages, pages);
    leftPages -= pages;
    if (leftPages === 0) break;
  }
}

/**
 * First pfn of the zone Movable by node; nodes without one are left out. What is not to be movable is spread evenly over the
 * nodes from their low ends, and what a small node cannot take is asked of the others: find_zone_movable_pfns_for_nodes of
 * mm/mm_init.c. There is no such zone at all when everything was to be movable.
 * @param nodes those that have memory, by nid
 */
export function movableStarts(nodes: readonly NodeMemory[], request: MovableRequest): Map<number, number> {
  const { movablePages, blockPages, usableStartPfn } = request;
  const totalPages = nodes.reduce((sum, { extents }) => sum + pagesOf(extents), 0);
  const shares: Shares = {
    requiredPages: totalPages - Math.min(totalPages, roundUp(movablePages, blockPages)),
    starts: new Map(),
  };
  if (shares.requiredPages === 0 || shares.requiredPages === totalPages) return shares.starts;

  let usableNodes = nodes.length;
  do {
    let sharePages = Math.floor(shares.requiredPages / usableNodes);
    for (const node of nodes) {
      // less than a share is left: it is spread again
      if (shares.requiredPages < sharePages) sharePages = Math.floor(shares.requiredPages / usableNodes);
      takeShare(shares, node, sharePages, usableStartPfn);
    }
    usableNodes--;
  } while (usableNodes > 0 && shares.requiredPages > usableNodes);

  for (const { nid, endPfn } of nodes) {
    const startPfn = roundUp(shares.starts.get(nid) ?? 0, blockPages);
    if (startPfn === 0 || startPfn >= endPfn) shares.starts.delete(nid);
    else shares.starts.set(nid, startPfn);
  }
  return shares.starts;
}
