/** A topology may come from the user's own code, and a wrong one would put two descriptors on one page: misuse, told at once. */
import { isPowerOfTwo, type PfnExtent, pfnLimitOf, rangePagesMax } from './geometry.ts';
import { nodesMax } from './page-links.ts';
import { type Platform, platformOf } from './platforms.ts';
import type { MemoryExtent, Topology } from './topology.ts';

type Complain = (what: string) => never;

/** What is wrong with one of a list of extents, which must be sorted and not overlap. */
function checkExtents<T extends PfnExtent>(
  name: string,
  extents: readonly T[],
  platform: Platform,
  checkMore: (extent: T, complain: Complain) => void = () => {},
): void {
  const limitPfn = pfnLimitOf(platform);
  if (!Array.isArray(extents)) throw new TypeError(`topology.${name} must be a list of extents`);
  let behind = 0;
  let index = 0;
  // one function for all: there may be a hundred thousand extents
  const complain: Complain = (what) => {
    throw new RangeError(`topology.${name}[${index}] ${what}`);
  };
  for (const extent of extents) {
    if (typeof extent !== 'object' || extent === null) throw new TypeError(`topology.${name}[${index}] is no extent`);
    const { startPfn, endPfn } = extent;
    if (!Number.isSafeInteger(startPfn) || !Number.isSafeInteger(endPfn)) complain('has a pfn that is not an integer');
    if (startPfn < 0 || startPfn >= endPfn) complain(`is empty or negative: [${startPfn}, ${endPfn})`);
    if (endPfn > limitPfn) complain(`ends at pfn ${endPfn}, beyond 2^${platform.physicalAddressBits} bytes`);
    if (startPfn < behind) complain(`begins at pfn ${startPfn}, before the end of the one ahead of it, ${behind}`);
    checkMore(extent, complain);
    behind = endPfn;
    index++;
  }
}

function isCount(value: unknown, min: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min;
}

function checkMemoryExtent(extent: MemoryExtent, complain: Complain): void {
  const { nid, kind, pgmap, movable } = extent;
  if (!isCount(nid, 0) || nid >= nodesMax) complain(`has nid ${nid}; 0 to ${nodesMax - 1} exist`);
  if (kind !== 'ram' && kind !== 'device') complain(`has kind ${String(kind)}; it is 'ram' or 'device'`);
  const pgmapOk = kind === 'ram' ? pgmap === undefined : isCount(pgmap, 1);
  if (!pgmapOk) complain(`has pgmap ${pgmap}; device memory has one of 1 or more, and RAM has none`);
  if (kind === 'device' && movable) complain('is movable; only RAM can be');
  if (kind === 'device') checkDevice(extent, complain);
}

function checkDevice({ startPfn, endPfn, mode, compoundPages = 1, altmap }: MemoryExtent, complain: Complain): void {
  if (mode !== undefined && mode !== 'fsdax' && mode !== 'devdax') {
    complain(`has mode ${String(mode)}; it is 'fsdax' or 'devdax'`);
  }
  const { reservePages, memmapPages } = altmap ?? { reservePages: 0, memmapPages: 0 };
  if (!isCount(reservePages, 0) || !isCount(memmapPages, 0) || startPfn + reservePages + memmapPages > endPfn) {
    complain(`has an altmap of ${reservePages} and ${memmapPages} pages, which is not inside it`);
  }
  if (!isPowerOfTwo(compoundPages) || compoundPages > rangePagesMax) {
    complain(`has compoundPages ${compoundPages}; it is a power of two of at most 2^28`);
  }
}

/**
 * @throws RangeError when a topology is not sorted, overlaps itself or has values out of range; it names the extent
 * @throws TypeError when a list of it is none
 */
export function checkTopology(topology: Topology): void {
  const platform = platformOf(topology.platform);
  checkExtents('memory', topology.memory, platform, checkMemoryExtent);
  checkExtents('reserved', topology.reserved ?? [], platform);
  checkExtents('nomap', topology.nomap ?? [], platform);
}
