/** Reading one page descriptor: a view that is moved from pfn to pfn, so that looking at many makes no garbage. */
import {
  descriptorSizeBytes,
  findRange,
  type PfnExtent,
  pfnOfDescriptor,
  placeInPeriod,
} from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';
import type { PageUse } from '../physical/zones.ts';
import { type DescriptorField, type DescriptorForm, descriptorLayouts } from './layout.ts';
import type { Content } from './pattern.ts';
import { type KernelProfile, takeBits } from './profiles.ts';

/** Where a descriptor lies, and what it was made for. */
export interface DescriptorPlace {
  readonly words: Uint32Array;
  readonly kind: MemoryKind;
  /** First pfn whose descriptor lies here. */
  readonly startPfn: number;
  /** Sorted by pfn; the pfns of all of them have their descriptors here. */
  readonly segments: readonly (PfnExtent & { readonly use: PageUse; readonly content: Content })[];
  offsetOf(pfn: number): number;
}

const nowhere: DescriptorPlace = {
  words: new Uint32Array(descriptorSizeBytes / Uint32Array.BYTES_PER_ELEMENT),
  kind: 'ram',
  startPfn: 0,
  segments: [],
  offsetOf: () => 0,
};

/** PAGE_POISON_PATTERN in the flags word: what the kernel takes for "not initialized", where it knows at all. */
const poisonedFlags: bigint = 2n ** 64n - 1n;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/**
 * One page descriptor. The values are those of the moment; before the descriptor was initialized they mean nothing. The same
 * object is handed out for every pfn: read from it before you ask for the next.
 *
 * What lies at a place depends on the kernel's layout, and on what the descriptor was made for: RAM, device memory, or a page of
 * a compound page behind its head. A field that it does not have reads as undefined.
 */
export class PageView {
  readonly #profile: KernelProfile;
  /** Fields by name, and those of each form in their order. */
  readonly #fields: ReadonlyMap<string, DescriptorField>;
  #pfn = 0;
  #place = nowhere;
  #word = 0;

  constructor(profile: KernelProfile) {
    this.#profile = profile;
    this.#fields = new Map(descriptorLayouts[profile.layout].fields.map((field) => [field.name, field]));
  }

  /** Moves the view. */
  moveTo(place: DescriptorPlace, pfn: number): this {
    this.#place = place;
    this.#pfn = pfn;
    this.#word = place.offsetOf(pfn) / Uint32Array.BYTES_PER_ELEMENT;
    return this;
  }

  get #segment(): DescriptorPlace['segments'][number] | undefined {
    const { segments } = this.#place;
    return segments[findRange(segments, this.#pfn)];
  }

  /** Number of the page in its compound page; 0 for a head, and for a single page. */
  get #placeInCompound(): number {
    const segment = this.#segment;
    return segment ? placeInPeriod(segment, this.#pfn, segment.content.periodPages) : 0;
  }

  get #form(): DescriptorForm {
    if (this.#place.kind === 'ram' || this.use === 'altmap') return 'ram';
    const place = this.#placeInCompound;
    return place === 0 ? 'device' : place === 1 ? 'first-tail' : 'tail';
  }

  #u32(offset: number): number {
    return this.#place.words[this.#word + offset / Uint32Array.BYTES_PER_ELEMENT] ?? 0;
  }

  #u8(offset: number): number {
    const inWord = offset % Uint32Array.BYTES_PER_ELEMENT;
    return (this.#u32(offset - inWord) >>> (8 * inWord)) & 0xff;
  }

  #u64(offset: number): bigint {
    return (BigInt(this.#u32(offset + 4)) << 32n) | BigInt(this.#u32(offset));
  }

  /** The value of a field, whatever the descriptor's form. */
  #read({ offset, type }: DescriptorField): bigint | number {
    if (type === 'u64') return this.#u64(offset);
    if (type === 'u8') return this.#u8(offset);
    return type === 'i32' ? this.#u32(offset) | 0 : this.#u32(offset);
  }

  /** A field, or undefined where this descriptor has no such member. */
  #member(name: string): bigint | number | undefined {
    const field = this.#fields.get(name);
    return field?.forms.includes(this.#form) ? this.#read(field) : undefined;
  }

  #wide(name: string): bigint | undefined {
    return this.#member(name) as bigint | undefined;
  }

  #number(name: string): number {
    return this.#read(this.#fields.get(name) as DescriptorField) as number;
  }

  #hasFlag(bit: number): boolean {
    return (this.flags >> BigInt(bit)) % 2n === 1n;
  }

  get pfn(): number {
    return this.#pfn;
  }
  get kind(): MemoryKind {
    return this.#place.kind;
  }
  /** What the page is: for whoever allocates it, reserved, in a hole, or a device's own memmap. */
  get use(): PageUse {
    return this.#segment?.use ?? 'present';
  }
  /** PagePoisoned: the flags are all ones. With the option `poison`, the descriptor was never initialized. */
  get isPoisoned(): boolean {
    return this.flags === poisonedFlags;
  }
  /** The whole flags word: node, zone, last cpupid and page flags. It comes first in every layout. */
  get flags(): bigint {
    return this.#u64(0);
  }
  /** page_to_nid */
  get nid(): number {
    return takeBits(this.#profile.node, this.flags);
  }
  /** page_zonenum: 0 DMA, 1 DMA32, 2 Normal, 3 Movable, 4 Device. */
  get zone(): number {
    return takeBits(this.#profile.zone, this.flags);
  }
  /** page_cpupid_last; all ones: never accessed. */
  get lastCpupid(): number {
    return takeBits(this.#profile.lastCpupid, this.flags);
  }
  /** PageReserved */
  get reserved(): boolean {
    return this.#hasFlag(this.#profile.reservedBit);
  }
  /** PageHead: the first page of a compound page. */
  get head(): boolean {
    return this.#hasFlag(this.#profile.headBit);
  }
  /** compound_head of a tail: the pfn of the head. Undefined for a head, and for a single page. */
  get compoundHead(): number | undefined {
    const pointer = this.#wide('compound_head');
    // bit 0 makes it a tail; the rest is an offset in the range's memmap
    if (pointer === undefined || pointer % 2n === 0n || this.isPoisoned) return undefined;
    return pfnOfDescriptor(this.#place, Number(pointer - 1n));
  }
  /** compound_order of a head, which stands in the descriptor behind it; 0 for a single page and a tail. */
  get order(): number {
    if (!this.head || this.#profile.compound === 'none') return 0;
    // of a folio in the low byte of the flags
    const offset = this.#fields.get('compound_order')?.offset ?? 0;
    return this.#u8(descriptorSizeBytes + offset);
  }
  /** Number of the dev_pagemap of device memory; 0 for RAM and a tail, whose head has it. */
  get pgmap(): number {
    return Number(this.#wide('pgmap') ?? 0n);
  }
  /** lru.next as an offset from the start of the range's memmap. A list of one points to itself, at its place in the descriptor. */
  get lruNext(): bigint | undefined {
    return this.#wide('lru_next');
  }
  /** lru.prev, as {@link lruNext}. */
  get lruPrev(): bigint | undefined {
    return this.#wide('lru_prev');
  }
  /** Device memory: zone_device_data, for the driver's use. */
  get zoneDeviceData(): bigint | undefined {
    return this.#wide('zone_device_data');
  }
  get mapping(): bigint | undefined {
    return this.#wide('mapping');
  }
  get index(): bigint | undefined {
    return this.#wide('index');
  }
  get private(): bigint | undefined {
    return this.#wide('private');
  }
  /** _mapcount: −1 when mapped nowhere. */
  get mapcount(): number {
    return this.#number('mapcount');
  }
  /** _refcount */
  get refcount(): number {
    return this.#number('refcount');
  }
  get memcgData(): bigint | undefined {
    return this.#wide('memcg_data');
  }

  /** What the flags word says, for people. */
  #flagsText(): string {
    if (this.isPoisoned) return 'poisoned: not initialized';
    const head = this.head ? `, head of order ${this.order}` : '';
    return `node ${this.nid}, zone ${this.zone}${this.reserved ? ', reserved' : ''}${head}`;
  }

  /** All fields that this descriptor has, in their order, as text: addresses and flags in hexadecimal. For people. */
  fields(): Record<string, string> {
    const form = this.#form;
    const fields: Record<string, string> = {};
    for (const field of this.#fields.values()) {
      if (!field.forms.includes(form)) continue;
      const value = this.#read(field);
      fields[field.name] = typeof value === 'number' ? String(value) : hex(value);
    }
    fields['flags'] += ` (${this.#flagsText()})`;
    if (form === 'device') fields['pgmap'] = String(this.pgmap);
    const { compoundHead } = this;
    if (compoundHead !== undefined) fields['compound_head'] += ` (pfn ${compoundHead})`;
    return fields;
  }

  /** The descriptor as eight little-endian u64 in hexadecimal, as kernel people print it. */
  toString(): string {
    const lanes = Array.from({ length: descriptorSizeBytes / 8 }, (_, lane) => this.#u64(lane * 8));
    return lanes.map((lane) => lane.toString(16).padStart(16, '0')).join(' ');
  }
}
