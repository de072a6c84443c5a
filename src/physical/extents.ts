/** Lists of extents as sets of page frames. All are sorted by pfn; every operation is one pass over its lists. */
import type { PfnExtent } from './geometry.ts';

/** Pages of a list. */
export function pagesOf(extents: readonly PfnExtent[]): number {
  return extents.reduce((pages, { startPfn, endPfn }) => pages + endPfn - startPfn, 0);
}

const asItIs = (pfn: number): number => pfn;

/**
 * The pages of any extent, as extents that do not touch. Those given may overlap.
 * @param start where an extent is to begin, a function that grows with its argument
 * @param end where it is to end, likewise; what ends where it begins is left out
 */
export function union(
  extents: readonly PfnExtent[],
  start: (pfn: number) => number = asItIs,
  end: (pfn: number) => number = asItIs,
): PfnExtent[] {
  const joined: { startPfn: number; endPfn: number }[] = [];
  for (const extent of extents) {
    const startPfn = start(extent.startPfn);
    const endPfn = end(extent.endPfn);
    const last = joined.at(-1);
    if (last && startPfn <= last.endPfn) last.endPfn = Math.max(last.endPfn, endPfn);
    else if (startPfn < endPfn) joined.push({ startPfn, endPfn });
  }
  return joined;
}

/**
 * Cuts extents where those of `others` begin and end, and calls back for each piece with the other that it lies in, or with
 * undefined. Neither list overlaps itself.
 */
export function overlay<T extends PfnExtent, O extends PfnExtent>(
  extents: readonly T[],
  others: readonly O[],
  visit: (piece: PfnExtent, extent: T, other: O | undefined) => void,
): void {
  let next = 0;
  for (const extent of extents) {
    let { startPfn } = extent;
    while (startPfn < extent.endPfn) {
      while (next < others.length && (others[next] as O).endPfn <= startPfn) next++;
      const ahead = others[next];
      const other = ahead && ahead.startPfn <= startPfn ? ahead : undefined;
      const border = other?.endPfn ?? ahead?.startPfn ?? extent.endPfn;
      const endPfn = Math.min(border, extent.endPfn);
      visit({ startPfn, endPfn }, extent, other);
      startPfn = endPfn;
    }
  }
}

/** What is left of the extents, with all that they say, without the pages of `others`. */
export function without<T extends PfnExtent>(extents: readonly T[], others: readonly PfnExtent[]): readonly T[] {
  if (others.length === 0) return extents;
  const pieces: T[] = [];
  overlay(extents, others, (piece, extent, other) => {
    if (!other) pieces.push({ ...extent, ...piece });
  });
  return pieces;
}

/** Two lists as one, sorted by pfn. Where both begin at the same pfn, `extents` goes first. */
export function merge<T extends PfnExtent>(extents: readonly T[], others: readonly T[]): readonly T[] {
  if (others.length === 0) return extents;
  const merged: T[] = [];
  let next = 0;
  for (const extent of extents) {
    while (next < others.length && (others[next] as T).startPfn < extent.startPfn) merged.push(others[next++] as T);
    merged.push(extent);
  }
  while (next < others.length) merged.push(others[next++] as T);
  return merged;
}

/** The smallest extent that holds all of a list, which is not empty. */
export function hull(extents: readonly PfnExtent[]): PfnExtent {
  // sorted by pfn and not overlapping, so the last one ends last
  return { startPfn: (extents[0] as PfnExtent).startPfn, endPfn: (extents.at(-1) as PfnExtent).endPfn };
}
