/** From the memory resources of a /proc/iomem to extents of whole pages: what is RAM, what is device memory, each page once. */
import type { RefuseLine } from './caret.ts';
import { type PfnExtent, pagesInside } from './geometry.ts';
import type { MemoryKind } from './topology.ts';

/** A run of present page frames of one kind, before its node is known. */
export interface IomemExtent extends PfnExtent {
  readonly kind: MemoryKind;
}

/** Bytes `[firstByte, lastByte]`, both inclusive as in /proc/iomem. */
interface ByteRun {
  readonly firstByte: number;
  readonly lastByte: number;
}

/** One "System RAM" or "Persistent Memory" of a /proc/iomem, below 2^52. */
export interface MemoryBytes extends ByteRun {
  readonly kind: MemoryKind;
  /** Line of the text, counted from 1. */
  readonly line: number;
  /** Column of its addresses, counted from 0. */
  readonly column: number;
  /** The nearest memory resource around it, in which it lies wholly. */
  readonly inside: MemoryBytes | undefined;
}

/** Sorts, and refuses memory that two lines claim. */
function disjoint(memory: readonly MemoryBytes[], refuse: RefuseLine): MemoryBytes[] {
  const sorted = memory.toSorted((a, b) => a.firstByte - b.firstByte);
  for (const [index, next] of sorted.entries()) {
    const previous = sorted[index - 1];
    if (previous === undefined || previous.lastByte < next.firstByte) continue;
    const [earlier, later] = previous.line < next.line ? [previous, next] : [next, previous];
    refuse(later.line, later.column, `expected memory that does not overlap that of line ${earlier.line}`);
  }
  return sorted;
}

/**
 * Runs that touch become one, by bytes and before they are cut to whole pages: a page whose halves stand on two lines is
 * present, as Linux merges touching entries (memblock_add) before it trims them to pages.
 */
function mergeTouching(sorted: readonly ByteRun[]): ByteRun[] {
  const merged: ByteRun[] = [];
  for (const run of sorted) {
    const last = merged.at(-1);
    if (last && last.lastByte + 1 === run.firstByte) {
      merged[merged.length - 1] = { firstByte: last.firstByte, lastByte: run.lastByte };
    } else merged.push(run);
  }
  return merged;
}

/** What `holes` leave of `runs`; both sorted and disjoint, and each hole lies in one run. One pass over both. */
function subtract(runs: readonly ByteRun[], holes: readonly ByteRun[]): ByteRun[] {
  const left: ByteRun[] = [];
  let hole = 0;
  for (const { firstByte, lastByte } of runs) {
    let from = firstByte;
    for (; hole < holes.length; hole++) {
      const { firstByte: holeFirst, lastByte: holeLast } = holes[hole] as ByteRun;
      if (holeFirst > lastByte) break;
      if (holeFirst > from) left.push({ firstByte: from, lastByte: holeFirst - 1 });
      from = holeLast + 1;
    }
    if (from <= lastByte) left.push({ firstByte: from, lastByte });
  }
  return left;
}

/**
 * Page 0 never counts as present RAM: Linux takes it away on every x86 (e820: "update [mem 0x00000000-0x00000fff] usable ==>
 * reserved"), while some memory maps list it.
 */
export function withoutPageZero({ startPfn, endPfn }: PfnExtent): PfnExtent {
  return { startPfn: Math.max(startPfn, 1), endPfn: Math.max(endPfn, 1) };
}

/**
 * Extents of whole pages, sorted by pfn. RAM inside persistent memory is RAM; memory inside memory of its own kind adds
 * nothing. RAM that touches is merged; device memory is kept as listed, since every line is a device of its own.
 */
export function memoryExtentsOf(memory: readonly MemoryBytes[], refuse: RefuseLine): IomemExtent[] {
  const top = disjoint(
    memory.filter(({ inside }) => inside === undefined),
    refuse,
  );
  const carved = disjoint(
    memory.filter(({ kind, inside }) => kind === 'ram' && inside?.kind === 'device'),
    refuse,
  );
  const ram = [...top.filter(({ kind }) => kind === 'ram'), ...carved].sort((a, b) => a.firstByte - b.firstByte);
  const device = subtract(
    top.filter(({ kind }) => kind === 'device'),
    carved,
  );
  const pages = ({ firstByte, lastByte }: ByteRun): PfnExtent => pagesInside(firstByte, lastByte);
  return [
    ...mergeTouching(ram).map((run): IomemExtent => ({ kind: 'ram', ...withoutPageZero(pages(run)) })),
    ...device.map((run): IomemExtent => ({ kind: 'device', ...pages(run) })),
  ]
    .filter(({ startPfn, endPfn }) => startPfn < endPfn)
    .sort((a, b) => a.startPfn - b.startPfn);
}
