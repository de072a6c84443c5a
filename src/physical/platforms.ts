/** What machines there are: page size, sections, pageblocks and address bits, as data. */

/** Names of the platforms: the architecture, and its page size where that can be chosen when a kernel is built. */
export type PlatformName = 'x86-64' | 'arm64-4k' | 'arm64-16k' | 'arm64-64k' | 'power-64k';

/** The geometry of a kind of machine. All in pages are pages of this platform. */
export interface Platform {
  readonly name: PlatformName;
  /** Identifies the platform in a superblock; never given twice. */
  readonly id: number;
  /** PAGE_SHIFT */
  readonly pageShift: number;
  /** Pages in a section (1 << PFN_SECTION_SHIFT), as kernels of today have it; older ones see zone-rules. */
  readonly sectionPages: number;
  /** Pages in a pageblock (pageblock_nr_pages), a multiple or a divisor of 512. */
  readonly pageblockPages: number;
  /** MAX_PHYSMEM_BITS */
  readonly physicalAddressBits: number;
}

function platform(
  name: PlatformName,
  id: number,
  pageShift: number,
  sectionShift: number,
  pageblockShift: number,
  physicalAddressBits: number,
): Platform {
  return {
    name,
    id,
    pageShift,
    sectionPages: 2 ** (sectionShift - pageShift),
    pageblockPages: 2 ** (pageblockShift - pageShift),
    physicalAddressBits,
  };
}

/** All platforms by name. */
export const platforms: Readonly<Record<PlatformName, Platform>> = {
  'x86-64': platform('x86-64', 0, 12, 27, 21, 52),
  'arm64-4k': platform('arm64-4k', 1, 12, 27, 21, 52),
  'arm64-16k': platform('arm64-16k', 2, 14, 27, 25, 52),
  'arm64-64k': platform('arm64-64k', 3, 16, 29, 29, 52),
  'power-64k': platform('power-64k', 4, 16, 24, 21, 51),
};
