/**
 * What the release of a kernel decides about page frames: how large sections are, where zones end, which holes get
 * descriptors, and what the boot log says of them. Each rule was found by comparing boot logs with the source of their time.
 */
import { type PfnExtent, roundDown } from './geometry.ts';
import type { Platform } from './platforms.ts';
import { parseRelease, type Release, version } from './release.ts';

/**
 * What the boot log tells about page frames that have a descriptor and are no memory:
 * - `memblock-reserved` (4.15 to 4.19): "Reserved but unavailable: N pages", those that memblock.reserved has and
 *   memblock.memory has not; older kernels say nothing and do not care;
 * - `zeroed` (4.20 to 5.5): "Zeroed struct page in unavailable ranges: N pages", all holes up to the last memory;
 * - `zeroed-with-tail` (5.6 to 5.11): the same, and those behind the last memory up to the end of its section;
 * - `per-zone` (5.12 and later, and what stable took over from it): "On node N, zone Z: P pages in unavailable ranges", a line
 *   for each hole. 5.12 and 5.13 added the holes of a zone up in one line.
 */
export type UnavailableRule = 'memblock-reserved' | 'zeroed' | 'zeroed-with-tail' | 'per-zone';

/**
 * What makes a descriptor valid (pfn_valid, as init_unavailable_range asks it): a `section` that holds some memory; or a
 * pageblock that begins with a page of memory, or of mapped memory. There the rest of a hole counts up to the end of the block,
 * and a hole that a block begins with does not.
 */
export type Validity = 'section' | 'memory-pageblock' | 'mapped-pageblock';

/**
 * Where a zone ends that reaches so many address bits, depending on where memory starts: `ignored`; `offset`, counted from
 * there rounded down to the zone's size; `expands`, up to 4 GiB when memory starts beyond the zone, and over all memory when
 * it starts beyond 4 GiB.
 */
type ZoneStart = 'ignored' | 'offset' | 'expands';

/** Address bits of the zones below Normal; 0: there is no such zone. */
interface ZoneBits {
  readonly dma: number;
  readonly dma32: number;
  readonly start: ZoneStart;
}

/** What decides between rules that changed with kernel releases. */
export interface KernelRules {
  readonly platform: Platform;
  /** As it was asked for, such as `5.11.0-rc4`. */
  readonly release: string;
  readonly unavailable: UnavailableRule;
  readonly validity: Validity;
  /** Whether memory that is not to be mapped (MEMBLOCK_NOMAP) counts as a hole; else it is reserved. */
  readonly nomapIsHole: boolean;
  /** Pages in a section of that release. */
  readonly sectionPages: number;
  /** sizeof(struct page) in the kernel's own books: it decides how much memory the memmap took there. */
  readonly structPageBytes: number;
  readonly zoneBits: ZoneBits;
}

/** The release whose rules hold unless another is known: that of the default profile. */
export const defaultRelease = '6.1';

/** 0740a50b9baa and its forerunners; stable took it over in March 2021. */
function unavailableRule({ age, isDistribution }: Release): UnavailableRule {
  if (age < version(4, 20)) return 'memblock-reserved';
  if (age < version(5, 6)) return 'zeroed';
  if (age >= version(5, 12)) return 'per-zone';
  const inStable = (minor: number, patch: number): boolean =>
    age >= version(5, minor) && age < version(5, minor + 1) && (isDistribution || age >= version(5, minor, patch));
  return inStable(10, 24) || inStable(11, 7) ? 'per-zone' : 'zeroed-with-tail';
}

/** SECTION_SIZE_BITS: arm64 had 1 GiB until 5.12 (f0b13ee23241). */
function sectionPagesAt(platform: Platform, age: number): number {
  if (platform.architecture === 'arm64' && age < version(5, 12)) return 2 ** (30 - platform.pageShift);
  return platform.sectionPages;
}

/** arm64 had a pfn_valid of its own, which asked memblock: until 5.14 for mapped memory, in 5.14 for memory (a7d9f306ba70). */
function validityAt({ architecture }: Platform, age: number): Validity {
  if (architecture !== 'arm64' || age >= version(5, 15)) return 'section';
  return age < version(5, 14) ? 'mapped-pageblock' : 'memory-pageblock';
}

/**
 * MAX_DMA_PFN and MAX_DMA32_PFN of x86; max_zone_phys of arch/arm64/mm/init.c; paging_init of arch/powerpc/mm/mem.c. On arm64
 * firmware may lower the end of DMA since 5.11; a memory map does not tell, and nearly all machines leave it at 4 GiB.
 */
function zoneBitsAt({ architecture }: Platform, age: number): ZoneBits {
  if (architecture === 'x86') return { dma: 24, dma32: 32, start: 'ignored' };
  if (architecture === 'power') {
    // one zone for everything, which 5.0 renamed: no 64-bit server needs memory below a limit
    return { dma: age < version(5, 0) ? 64 : 0, dma32: 0, start: 'ignored' };
  }
  if (age < version(4, 16)) return { dma: 32, dma32: 0, start: 'offset' };
  if (age < version(5, 5)) return { dma: 0, dma32: 32, start: 'offset' };
  if (age < version(5, 11)) return { dma: 30, dma32: 32, start: 'offset' };
  return { dma: 32, dma32: 32, start: age < version(5, 12) ? 'offset' : 'expands' };
}

/**
 * The rules of a kernel.
 * @param release as `uname -r` tells it: `4.19.19`, `5.11.0-rc4`, `6.17.0-rc2`, or short, `6.1`
 * @throws RangeError when the release does not begin with a version
 */
export function kernelRules(platform: Platform, release: string): KernelRules {
  const parsed = parseRelease(release);
  if (parsed === undefined) {
    const what = 'release must begin with the version of a kernel, such as 6.1 or 5.11.0-rc4';
    throw new RangeError(`${what}, not ${JSON.stringify(release)}`);
  }
  const { age } = parsed;
  const unavailable = unavailableRule(parsed);
  return {
    platform,
    release,
    unavailable,
    validity: validityAt(platform, age),
    nomapIsHole: unavailable !== 'per-zone',
    sectionPages: sectionPagesAt(platform, age),
    // without memory cgroups it was 56 bytes where nothing aligned it; seen with 4.0, and no longer from 4.8 on
    structPageBytes: age < version(4, 1) ? 56 : 64,
    zoneBits: zoneBitsAt(platform, age),
  };
}

function zoneEnd(bits: number, { startPfn, endPfn }: PfnExtent, start: ZoneStart, pageShift: number): number {
  if (bits === 0) return 0;
  const pages = 2 ** (bits - pageShift);
  const pagesOf32 = 2 ** (32 - pageShift);
  if (start === 'offset') return roundDown(startPfn, pages) + pages;
  if (start === 'expands' && startPfn >= pagesOf32) return endPfn;
  if (start === 'expands' && startPfn >= pages) return pagesOf32;
  return pages;
}

/**
 * The zones DMA, DMA32 and Normal of a machine, by number, as "Zone ranges:" of its boot log tells them: each begins where the
 * one below ends, the first where memory does, and the last ends with memory. Those that hold nothing are empty.
 * @param memory from the machine's first page to its last
 */
export function machineZones({ zoneBits, platform }: KernelRules, memory: PfnExtent): PfnExtent[] {
  const { dma, dma32, start } = zoneBits;
  const ends = [
    zoneEnd(dma, memory, start, platform.pageShift),
    zoneEnd(dma32, memory, start, platform.pageShift),
    memory.endPfn,
  ];
  let { startPfn } = memory;
  return ends.map((end) => {
    const zone = { startPfn, endPfn: Math.max(startPfn, Math.min(end, memory.endPfn)) };
    startPfn = zone.endPfn;
    return zone;
  });
}
