/**
 * Compound pages whose tails are stored once: descriptors from the second block of each compound page on are one block of
 * memory, mapped again and again, as Linux does it for device-dax with the memmap in RAM (vmemmap_populate_compound_pages,
 * Documentation/mm/vmemmap_dedup.rst). Linux maps page by page through its own page tables, and keeps 8 KiB of descriptors
 * for each compound page; a process has a bounded number of mappings, so blocks grow with the memory that is described.
 */
import { readFileSync } from 'node:fs';
import { VmemmapError } from '../errors.ts';

/** A buffer whose descriptors repeat. */
export interface TailNeed {
  readonly sizeBytes: number;
  /** Bytes of descriptors of a compound page, a power of two that divides `sizeBytes`; undefined where there are none. */
  readonly periodBytes?: number | undefined;
}

/** Smallest block: a page of this machine, on x86-64. */
const blockBytesMin: number = 4096;
/** With fewer blocks in a period nothing is saved: two are kept. */
const blocksMin = 4;
/** Mappings that a process may have unless the administrator says otherwise (DEFAULT_MAX_MAP_COUNT). */
const mappingsMaxDefault = 65_530;
/** Part of them that we take: the rest is for the process's libraries, threads and heap. */
const mappingsShare = 3 / 4;

/** How many mappings this process may have in all. */
export function mappingsMax(path = '/proc/sys/vm/max_map_count'): number {
  try {
    const text = readFileSync(path, 'utf8').trim();
    if (/^\d{1,10}$/.test(text)) return Number(text);
  } catch {
    // no /proc
  }
  return mappingsMaxDefault;
}

/** Mappings that a buffer takes with blocks of so many bytes: the first two blocks of a period are one. */
export function mappingsOf({ sizeBytes, periodBytes = sizeBytes }: TailNeed, blockBytes: number): number {
  return (sizeBytes / periodBytes) * (periodBytes / blockBytes - 1);
}

/**
 * The smallest blocks with which all buffers stay within the mappings that there are, one for each need, 0 where nothing
 * repeats; undefined when there are none.
 */
export function chooseBlocks(needs: readonly TailNeed[], mappings: number): number[] | undefined {
  const blocks: number[] = needs.map(({ periodBytes }) => (periodBytes === undefined ? 0 : blockBytesMin));
  const taken = needs.map((need, index) => (blocks[index] === 0 ? 0 : mappingsOf(need, blockBytesMin)));
  while (taken.reduce((sum, count) => sum + count, 0) > mappings * mappingsShare) {
    const most = taken.indexOf(Math.max(...taken));
    const need = needs[most] as TailNeed;
    const block = (blocks[most] as number) * 2;
    if (block * blocksMin > (need.periodBytes ?? 0)) return undefined;
    blocks[most] = block;
    taken[most] = mappingsOf(need, block);
  }
  return blocks;
}

/** The refusal where no range has what could be shared. */
export function nothingToShare(): VmemmapError {
  return new VmemmapError(
    'BACKING_UNAVAILABLE',
    'no range has tails that can be shared: that takes device-dax memory in compound pages of 2 MiB or 1 GiB, which begins at ' +
      'a border of one and has its memmap in RAM (map=mem); leave shareTails away',
  );
}

/** Bytes of memory that a buffer takes. */
export function storedBytesOf({ sizeBytes, periodBytes }: TailNeed, blockBytes: number): number {
  return periodBytes === undefined || blockBytes === 0 ? sizeBytes : (sizeBytes / periodBytes) * 2 * blockBytes;
}

/** The same, or a refusal. @throws VmemmapError BACKING_UNAVAILABLE */
export function blocksFor(needs: readonly TailNeed[]): number[] {
  const mappings = mappingsMax();
  const blocks = chooseBlocks(needs, mappings);
  if (blocks) return blocks;
  throw new VmemmapError(
    'BACKING_UNAVAILABLE',
    `tails cannot be shared: that takes more mappings than a process may have (${mappings}); as root: sysctl -w ` +
      `vm.max_map_count=${wantedMappings(needs)}, or leave shareTails away`,
    { received: mappings },
  );
}

/** The least number of mappings with which sharing is possible, with those of the rest of the process. */
function wantedMappings(needs: readonly TailNeed[]): number {
  const least = needs.reduce((sum, need) => {
    return need.periodBytes === undefined ? sum : sum + mappingsOf(need, need.periodBytes / blocksMin);
  }, 0);
  return Math.ceil(least / mappingsShare);
}
