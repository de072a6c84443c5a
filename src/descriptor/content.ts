/**
 * What Linux writes into the descriptors of each kind of page, to the letter: __init_single_page, reserve_bootmem_region,
 * init_unavailable_range, __init_zone_device_page and memmap_init_compound of mm/mm_init.c (before 6.4 in mm/page_alloc.c),
 * and prep_compound_head and prep_compound_tail. It is what stands there when all of memory is initialized and nobody has
 * used it yet. Two things are not as there: the memmap is shared by threads and may outlive a process, so a pointer into it
 * is stored as the offset from the start of the range's memmap; and a dev_pagemap is told by its number.
 */
import { isPowerOfTwo, type PfnExtent, rangePagesMax } from '../physical/geometry.ts';
import type { DeviceMode, MemoryKind } from '../physical/topology.ts';
import type { PageUse } from '../physical/zones.ts';
import {
  type DescriptorLayout,
  descriptorLanes,
  descriptorLayouts,
  fieldOf,
  fieldOffset,
  patternWords,
} from './layout.ts';
import { type Content, type Pattern, plainContent } from './pattern.ts';
import { fieldMask, type KernelProfile, placeBits, selfPointerStep } from './profiles.ts';

/** What decides the descriptors of a range. */
export interface ContentSource extends PfnExtent {
  readonly nid: number;
  /** Zone number as in Linux: 0 DMA … 4 Device. */
  readonly zone: number;
  readonly kind: MemoryKind;
  /** Number of the dev_pagemap, 1 or more, for device memory. */
  readonly pgmap?: number;
  /** For device memory. Default `fsdax`. */
  readonly mode?: DeviceMode;
  /** For devdax memory: pages in a compound page, a power of two; 1, the default, for none. */
  readonly compoundPages?: number;
}

/** TAIL_MAPPING: what stands in `mapping` of a page that is not the head of its compound page. */
const tailMapping = 0xdead_0000_0000_0400n;
/** COMPOUND_PAGE_DTOR of enum compound_dtor_id: how kernels before 6.6 told by which function a compound page is freed. */
const compoundPageDtor = 1;

/** A pattern that is made field by field. */
class Template {
  readonly pattern: Pattern = new Uint32Array(patternWords);
  readonly #layout: DescriptorLayout;
  readonly #bytes = new DataView(this.pattern.buffer);
  readonly #lanes = new BigUint64Array(this.pattern.buffer);

  constructor(layout: DescriptorLayout) {
    this.#layout = layout;
  }

  /** Sets a field; negative values in two's complement. */
  set(name: string, value: bigint | number): this {
    const { offset, sizeBytes } = fieldOf(this.#layout, name);
    for (let byte = 0; byte < sizeBytes; byte++) {
      this.#bytes.setUint8(offset + byte, Number((BigInt(value) >> BigInt(8 * byte)) & 0xffn));
    }
    return this;
  }

  /** Sets an offset in the memmap, which grows by `step` from one descriptor, or period, to the next. */
  point(name: string, offset: bigint, step: bigint): this {
    const lane = fieldOffset(this.#layout, name) / 8;
    this.#lanes[lane] = offset;
    this.#lanes[descriptorLanes + lane] = step;
    return this;
  }

  /** INIT_LIST_HEAD: an empty list points to itself. */
  emptyList(): this {
    const self = BigInt(fieldOffset(this.#layout, 'lru_next'));
    for (const name of ['lru_next', 'lru_prev']) this.point(name, self, BigInt(selfPointerStep));
    return this;
  }
}

/** set_page_links and page_cpupid_reset_last, and page flags by their numbers. */
function flagsOf(profile: KernelProfile, { nid, zone }: ContentSource, ...bits: readonly number[]): bigint {
  const links = placeBits(profile.node, nid) | placeBits(profile.zone, zone) | fieldMask(profile.lastCpupid);
  return bits.reduce((flags, bit) => flags | (1n << BigInt(bit)), links);
}

/** __init_single_page, and then PG_reserved or not. */
function singlePage(profile: KernelProfile, source: ContentSource, isReserved: boolean): Pattern {
  return new Template(descriptorLayouts[profile.layout])
    .set('flags', flagsOf(profile, source, ...(isReserved ? [profile.reservedBit] : [])))
    .set('mapcount', profile.mapcount)
    .set('refcount', profile.refcount.ram)
    .emptyList().pattern;
}

/**
 * Pages in holes. Where they were zeroed, memblock had reserved them: reserve_bootmem_region comes by later, for all that
 * memblock has reserved, and does to them what it does to others: an empty list, and PG_reserved.
 */
function unavailablePage(profile: KernelProfile, source: ContentSource): Pattern {
  if (profile.unavailable === 'reserved') return singlePage(profile, source, true);
  return new Template(descriptorLayouts[profile.layout]).set('flags', 1n << BigInt(profile.reservedBit)).emptyList()
    .pattern;
}

/** __init_zone_device_page. @param more page flags beside PG_reserved */
function devicePage(profile: KernelProfile, source: ContentSource, ...more: readonly number[]): Template {
  const layout = descriptorLayouts[profile.layout];
  const beside = layout.fields.some(({ name }) => name === 'zone_device_data') ? 'zone_device_data' : 'lru_prev';
  return new Template(layout)
    .set('flags', flagsOf(profile, source, profile.reservedBit, ...more))
    .set('mapcount', profile.mapcount)
    .set('refcount', profile.refcount[source.mode ?? 'fsdax'])
    .set('pgmap', source.pgmap ?? 0)
    .set(beside, profile.besidePgmap);
}

/** Every descriptor of a compound page but the head. @param headIndex number in the range of the first compound page's head */
function tailPage(profile: KernelProfile, source: ContentSource, headIndex: number, pages: number): Template {
  return devicePage(profile, source)
    .set('refcount', 0)
    .point('compound_head', BigInt(headIndex) * BigInt(selfPointerStep) + 1n, BigInt(pages) * BigInt(selfPointerStep))
    .set('mapping', tailMapping);
}

/** prep_compound_head over the first tail, where all that concerns the whole compound page is kept. */
function firstTailPage(profile: KernelProfile, source: ContentSource, headIndex: number, pages: number): Template {
  const tail = tailPage(profile, source, headIndex, pages);
  const order = 31 - Math.clz32(pages);
  if (profile.compound === 'page') {
    return tail
      .set('compound_dtor', compoundPageDtor)
      .set('compound_order', order)
      .set('compound_mapcount', -1)
      .set('compound_pincount', 0)
      .set('compound_nr', pages);
  }
  // folio_set_order: into the low byte of the flags, of which a tail has none
  return tail
    .set('flags', flagsOf(profile, source, profile.reservedBit) | BigInt(order))
    .set('nr_pages', pages)
    .set('large_mapcount', -1)
    .set('nr_pages_mapped', 0)
    .set('mm_ids', 0)
    .set('mm_id_mapcount_0', -1)
    .set('mm_id_mapcount_1', -1)
    .set('pincount', 0)
    .set('entire_mapcount', -1);
}

/**
 * memmap_init_compound: a head, its first tail, and equal tails. The list in the second tail (`_deferred_list`) is not there:
 * prep_compound_head makes it, and then the second tail is initialized over it.
 */
function compoundContent(profile: KernelProfile, source: ContentSource, startIndex: number, pages: number): Content {
  return {
    periodPages: pages,
    parts: [
      { at: 0, pattern: devicePage(profile, source, profile.headBit).pattern },
      { at: 1, pattern: firstTailPage(profile, source, startIndex, pages).pattern },
      ...(pages > 2 ? [{ at: 2, pattern: tailPage(profile, source, startIndex, pages).pattern }] : []),
    ],
  };
}

/** The pattern of single pages of one use. */
export function pagePattern(profile: KernelProfile, source: ContentSource, use: PageUse = 'present'): Pattern {
  if (use === 'unavailable') return unavailablePage(profile, source);
  // memmap_init_range, as memory is added while the system runs: not yet with device memory's own fields
  if (use === 'altmap') return singlePage(profile, source, true);
  if (source.kind === 'device') return devicePage(profile, source).pattern;
  return singlePage(profile, source, use === 'reserved');
}

/** Pages of each compound page of a device, 1 where this kernel makes none. @throws RangeError */
function compoundPagesOf(profile: KernelProfile, { mode, compoundPages = 1 }: ContentSource): number {
  if (!isPowerOfTwo(compoundPages) || compoundPages > rangePagesMax) {
    throw new RangeError(`compoundPages must be a power of two up to ${rangePagesMax}, not ${compoundPages}`);
  }
  if (compoundPages > 1 && mode !== 'devdax') {
    throw new RangeError(`compoundPages is ${compoundPages}, but only memory of mode devdax has compound pages`);
  }
  return profile.compound === 'none' ? 1 : compoundPages;
}

/**
 * What is written into one segment of a range. A compound page begins at the segment's start, as it does in
 * memmap_init_zone_device behind the altmap.
 * @throws RangeError when a node, a zone or the pages of a compound page are none
 */
export function contentOf(
  profile: KernelProfile,
  range: ContentSource,
  segment: PfnExtent & { readonly use: PageUse },
): Content {
  const pages = range.kind === 'device' && segment.use === 'present' ? compoundPagesOf(profile, range) : 1;
  if (pages > 1) return compoundContent(profile, range, segment.startPfn - range.startPfn, pages);
  return plainContent(pagePattern(profile, range, segment.use));
}
