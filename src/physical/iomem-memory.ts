/** From the memory resources of a /proc/iomem to extents of whole pages: what is RAM, what is device memory, each page once. */
import { type ByteRun, type Painted, painted, united, without } from './byte-runs.ts';
import type { RefuseLine } from './caret.ts';
import { type PfnExtent, pagesInside, pagesTouched } from './geometry.ts';
import { type DeviceUnit, devicesIn } from './iomem-devices.ts';
import type { IomemResource } from './iomem-resource.ts';
import { type Platform, platforms } from './platforms.ts';
import type { MemoryExtent, MemoryKind, ReservedExtent } from './topology.ts';

/** A run of present page frames of one kind, before its node is known. */
export interface IomemExtent extends PfnExtent, Pick<MemoryExtent, 'mode' | 'compoundPages' | 'altmap'> {
  readonly kind: MemoryKind;
  /** RAM that the driver kmem has made of device memory. */
  readonly isKmem?: true;
}

/** One "System RAM" or "Persistent Memory" of a /proc/iomem, or a device-dax device outside of both; below 2^52. */
export interface MemoryBytes extends ByteRun {
  readonly kind: MemoryKind;
  readonly resource: IomemResource;
  /** Line of the text, counted from 1. */
  readonly line: number;
  /** Column of its addresses, counted from 0. */
  readonly column: number;
  /** The nearest memory resource around it, in which it lies wholly. */
  readonly inside: MemoryBytes | undefined;
}

/** Sorts, and refuses memory that two lines claim. */
function disjoint<Run extends ByteRun & { readonly line: number; readonly column: number }>(
  memory: readonly Run[],
  refuse: RefuseLine,
): Run[] {
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
 * Page 0 never counts as present RAM on x86: Linux takes it away (e820: "update [mem 0x00000000-0x00000fff] usable ==>
 * reserved"), while some memory maps list it.
 */
export function withoutPageZero(extent: PfnExtent, platform: Platform = platforms['x86-64']): PfnExtent {
  if (platform.name !== 'x86-64') return extent;
  return { startPfn: Math.max(extent.startPfn, 1), endPfn: Math.max(extent.endPfn, 1) };
}

/** The devices of a top resource of device memory, or all of it where it is not divided. */
function unitsOf(bytes: MemoryBytes, pageBytes: number): readonly DeviceUnit[] {
  const { resource, firstByte, lastByte, line, column } = bytes;
  return devicesIn(resource, pageBytes) ?? [{ firstByte, lastByte, line, column }];
}

/** What a part of a device is; only its beginning holds its memmap. */
function descriptionOf({
  unit,
  firstByte,
}: ByteRun & { readonly unit: DeviceUnit }): Omit<IomemExtent, keyof PfnExtent> {
  const { mode, compoundPages, altmap } = unit;
  return {
    kind: 'device',
    ...(mode ? { mode } : {}),
    ...(compoundPages ? { compoundPages } : {}),
    ...(altmap && firstByte === unit.firstByte ? { altmap } : {}),
  };
}

function isKmem({ resource }: MemoryBytes): boolean {
  return resource.name === 'System RAM (kmem)';
}

/**
 * Extents of whole pages, sorted by pfn. RAM inside persistent memory is RAM; memory inside memory of its own kind adds
 * nothing. RAM that touches is merged, by bytes and before it is cut to whole pages: a page whose halves stand on two lines is
 * present, as Linux merges touching entries (memblock_add) before it trims them. Device memory is kept as the map divides it,
 * since every line is a device of its own.
 */
export function memoryExtentsOf(memory: readonly MemoryBytes[], refuse: RefuseLine, platform: Platform): IomemExtent[] {
  const pageBytes = platform.pageSizeBytes;
  const top = disjoint(
    memory.filter(({ inside }) => inside === undefined),
    refuse,
  );
  const carved = disjoint(
    memory.filter(({ kind, inside }) => kind === 'ram' && inside?.kind === 'device'),
    refuse,
  );
  const ram = [...top.filter(({ kind }) => kind === 'ram'), ...carved];
  const units = disjoint(
    top.filter(({ kind }) => kind === 'device').flatMap((device) => unitsOf(device, pageBytes)),
    refuse,
  );
  const pages = ({ firstByte, lastByte }: ByteRun): PfnExtent => pagesInside(firstByte, lastByte, pageBytes);
  const plain = united(ram.filter((run) => !isKmem(run)));
  const kmem = united(ram.filter(isKmem));
  return [
    ...plain.map((run): IomemExtent => ({ kind: 'ram', ...withoutPageZero(pages(run), platform) })),
    ...kmem.map((run): IomemExtent => ({ kind: 'ram', isKmem: true, ...pages(run) })),
    ...without(
      units.map((unit) => ({ ...unit, unit })),
      carved,
    ).map((part): IomemExtent => ({ ...descriptionOf(part), ...pages(part) })),
  ]
    .filter(({ startPfn, endPfn }) => startPfn < endPfn)
    .sort((a, b) => a.startPfn - b.startPfn);
}

/** Resources inside RAM that nobody may allocate, as insert_resource of Linux's architectures names them. */
const reservedPattern = /^(?:Kernel (?:code|rodata|data|bss)|Crash kernel(?: \(.{1,20}\))?|[Rr]eserved)$/;

/** What is reserved inside RAM, in whole pages, sorted and without overlaps; what lies deeper is told first. */
export function reservedExtentsOf(memory: readonly MemoryBytes[], platform: Platform): ReservedExtent[] {
  const pageBytes = platform.pageSizeBytes;
  const found: (Painted<string> & { readonly depth: number })[] = [];
  const waiting = memory
    .filter(({ kind, inside }) => kind === 'ram' && inside?.kind !== 'ram')
    .flatMap((ram) => ram.resource.children.map((resource) => ({ ram, resource, depth: 0 })));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { ram, resource, depth } = next;
    for (const child of resource.children) waiting.push({ ram, resource: child, depth: depth + 1 });
    const isOutside = resource.lastByte < BigInt(ram.firstByte) || resource.firstByte > BigInt(ram.lastByte);
    if (isOutside || !reservedPattern.test(resource.name)) continue;
    const first = Math.max(Number(resource.firstByte), ram.firstByte);
    const { startPfn, endPfn } = pagesTouched(first, Math.min(Number(resource.lastByte), ram.lastByte), pageBytes);
    found.push({ colour: resource.name, depth, firstByte: startPfn * pageBytes, lastByte: endPfn * pageBytes - 1 });
  }
  found.sort((a, b) => b.depth - a.depth || a.firstByte - b.firstByte);
  return painted(found).map(({ colour: what, firstByte, lastByte }) => ({
    startPfn: firstByte / pageBytes,
    endPfn: (lastByte + 1) / pageBytes,
    what,
  }));
}
