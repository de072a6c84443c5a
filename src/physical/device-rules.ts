/** Linux's rules for the descriptors of persistent memory: where they lie, and what makes compound pages. In bytes, below 2^52. */
import { isPowerOfTwo, roundUp } from './geometry.ts';
import { atLeast } from './release.ts';
import type { Altmap, DeviceMode } from './topology.ts';

/** Where Linux keeps the page descriptors: in RAM, or in the namespace itself (an altmap). */
export type NamespaceMap = 'mem' | 'dev';

/** What decides where the data of a namespace with an info block begins. */
export interface DataLayout {
  readonly map: NamespaceMap;
  /** Alignment of the data, a power of two. */
  readonly alignBytes: number;
  /** Bytes in a page. */
  readonly pageBytes: number;
}

/** Bytes at the start of a namespace that its info block takes (SZ_8K of drivers/nvdimm/pfn_devs.c). */
const infoBlockBytes = 8192;
/** Bytes to which Linux aligns whatever it makes page descriptors for: a sub-section (memremap_compat_align). */
const compatAlignBytes: number = 2 * 1024 * 1024;
/** Bytes in which regions are divided into namespaces (nd_region align, 16 MiB as ndctl makes it). */
const regionUnitBytes: number = 16 * 1024 * 1024;
/** What a descriptor is given in a namespace, whatever sizeof(struct page) is (MAX_STRUCT_PAGE_SIZE). */
const descriptorBytes = 64;
/** Alignment that ndctl gives a namespace when it is told none. */
export const defaultAlignBytes: number = compatAlignBytes;
/** Largest alignment of a namespace, a huge page of 1 GiB. */
export const alignBytesMax: number = 2 ** 30;

/** Whether Linux takes it as an alignment: a power of two from a page to 1 GiB. */
export function isAlignment(bytes: number, pageBytes: number): boolean {
  return bytes >= pageBytes && bytes <= alignBytesMax && isPowerOfTwo(bytes);
}

function alignOf({ alignBytes }: DataLayout): number {
  return Math.max(alignBytes, compatAlignBytes);
}

/** Bytes for the info block and, with map=dev, the descriptors of all pages behind it. */
function metadataBytes(wholeBytes: number, { map, pageBytes }: DataLayout): number {
  if (map === 'mem') return infoBlockBytes;
  return infoBlockBytes + descriptorBytes * Math.floor((wholeBytes - infoBlockBytes) / pageBytes);
}

/** Where the data of a namespace `[startByte, startByte + wholeBytes)` begins (nd_pfn_init). */
export function dataStart(startByte: number, wholeBytes: number, layout: DataLayout): number {
  return roundUp(startByte + metadataBytes(wholeBytes, layout), alignOf(layout));
}

/**
 * Bytes of a namespace whose data is so long, and whose start is aligned as the data is: the inverse of {@link dataStart}. Where
 * two sizes leave as much data, since the larger one needs one more unit for descriptors, the one is taken that a region gives out.
 */
export function wholeBytesOf(dataBytes: number, layout: DataLayout): number {
  const offsetOf = (wholeBytes: number): number => dataStart(0, wholeBytes, layout);
  let offset = alignOf(layout);
  // descriptors take 1/64 at most, so that each round adds a 64th of the one before
  while (offsetOf(dataBytes + offset) > offset) offset = offsetOf(dataBytes + offset);
  const smaller = dataBytes + offset;
  const larger = smaller + alignOf(layout);
  const isEqual = larger - offsetOf(larger) === dataBytes;
  return isEqual && smaller % regionUnitBytes !== 0 && larger % regionUnitBytes === 0 ? larger : smaller;
}

/**
 * The altmap of a namespace whose data begins `offsetBytes` behind its start: all that lies between the info block and the data
 * is for descriptors, whether they fill it or not (init_altmap_reserve and altmap->free of __nvdimm_setup_pfn).
 */
export function altmapOf(offsetBytes: number, pageBytes: number): Altmap {
  const reservePages = roundUp(infoBlockBytes, pageBytes) / pageBytes;
  return { reservePages, memmapPages: Math.max(0, Math.floor(offsetBytes / pageBytes) - reservePages) };
}

/** Pages in a compound page of device memory: since 5.17 those of devdax are as large as its alignment (dev_dax_probe). */
export function compoundPagesOf(
  mode: DeviceMode,
  alignBytes: number,
  pageBytes: number,
  release: string | undefined,
): { compoundPages?: number } {
  const isCompound = mode === 'devdax' && alignBytes > pageBytes && (release === undefined || atLeast(release, 5, 17));
  return isCompound ? { compoundPages: alignBytes / pageBytes } : {};
}
