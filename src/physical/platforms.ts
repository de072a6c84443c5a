/** What machines there are: page size, sections, pageblocks and address bits, as data. */

/** Names of the platforms: the architecture, and its page size where that can be chosen when a kernel is built. */
export type PlatformName = 'x86-64' | 'arm64-4k' | 'arm64-16k' | 'arm64-64k' | 'power-64k';

/** The architectures, whose rules for zones and sections differ. */
export type Architecture = 'x86' | 'arm64' | 'power';

/** The geometry of a kind of machine. All in pages are pages of this platform. */
export interface Platform {
  readonly name: PlatformName;
  readonly architecture: Architecture;
  /** Identifies the platform in a superblock; never given twice. */
  readonly id: number;
  /** PAGE_SHIFT */
  readonly pageShift: number;
  /** PAGE_SIZE */
  readonly pageSizeBytes: number;
  /** Pages in a section (1 << PFN_SECTION_SHIFT), as kernels of today have it; older ones see kernel-rules.ts. */
  readonly sectionPages: number;
  /** Pages in a pageblock (pageblock_nr_pages), a multiple or a divisor of 512. */
  readonly pageblockPages: number;
  /** Pages in the largest block of the buddy allocator (MAX_ORDER_NR_PAGES), to which the zone Movable is aligned. */
  readonly maxOrderPages: number;
  /** MAX_PHYSMEM_BITS */
  readonly physicalAddressBits: number;
}

/** What tells platforms apart; all shifts are of bytes. */
interface PlatformShifts {
  readonly id: number;
  readonly pageShift: number;
  /** SECTION_SIZE_BITS */
  readonly sectionShift: number;
  readonly pageblockShift: number;
  /** MAX_PAGE_ORDER + PAGE_SHIFT */
  readonly maxOrderShift: number;
  readonly physicalAddressBits: number;
}

function platform(name: PlatformName, architecture: Architecture, shifts: PlatformShifts): Platform {
  const { id, pageShift, sectionShift, pageblockShift, maxOrderShift, physicalAddressBits } = shifts;
  return {
    name,
    architecture,
    id,
    pageShift,
    pageSizeBytes: 2 ** pageShift,
    sectionPages: 2 ** (sectionShift - pageShift),
    pageblockPages: 2 ** (pageblockShift - pageShift),
    maxOrderPages: 2 ** (maxOrderShift - pageShift),
    physicalAddressBits,
  };
}

/**
 * All platforms by name. On arm64 a pageblock is a huge page of the page tables (HPAGE_PMD_ORDER) and MAX_PAGE_ORDER is that
 * of ARCH_FORCE_MAX_ORDER's default: 10, 11 and 13; on Power it is 8, 16 MiB.
 */
export const platforms: Readonly<Record<PlatformName, Platform>> = {
  'x86-64': platform('x86-64', 'x86', {
    id: 0,
    pageShift: 12,
    sectionShift: 27,
    pageblockShift: 21,
    maxOrderShift: 22,
    physicalAddressBits: 52,
  }),
  'arm64-4k': platform('arm64-4k', 'arm64', {
    id: 1,
    pageShift: 12,
    sectionShift: 27,
    pageblockShift: 21,
    maxOrderShift: 22,
    physicalAddressBits: 52,
  }),
  'arm64-16k': platform('arm64-16k', 'arm64', {
    id: 2,
    pageShift: 14,
    sectionShift: 27,
    pageblockShift: 25,
    maxOrderShift: 25,
    physicalAddressBits: 52,
  }),
  'arm64-64k': platform('arm64-64k', 'arm64', {
    id: 3,
    pageShift: 16,
    sectionShift: 29,
    pageblockShift: 29,
    maxOrderShift: 29,
    physicalAddressBits: 52,
  }),
  'power-64k': platform('power-64k', 'power', {
    id: 4,
    pageShift: 16,
    sectionShift: 24,
    pageblockShift: 21,
    maxOrderShift: 24,
    physicalAddressBits: 51,
  }),
};

/** The platform of a topology that tells none, and of this project's own machine. */
export const defaultPlatform: Platform = platforms['x86-64'];

/** The platform of that name. @throws RangeError when there is none */
export function platformOf(name: PlatformName = defaultPlatform.name): Platform {
  if (Object.hasOwn(platforms, name)) return platforms[name];
  throw new RangeError(`topology.platform must be ${Object.keys(platforms).join(' or ')}, not ${JSON.stringify(name)}`);
}
