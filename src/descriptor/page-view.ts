/** Reading one page descriptor: a view that is moved from pfn to pfn, so that looking at many makes no garbage. */
import { descriptorSizeBytes } from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';
import { fieldOffset } from './layout.ts';
import { type KernelProfile, takeBits } from './profiles.ts';

/** Where a descriptor lies. */
export interface DescriptorPlace {
  readonly words: Uint32Array;
  readonly kind: MemoryKind;
  offsetOf(pfn: number): number;
}

const offsets = {
  flags: fieldOffset('flags'),
  first: fieldOffset('lru_next'),
  second: fieldOffset('lru_prev'),
  mapping: fieldOffset('mapping'),
  index: fieldOffset('index'),
  private: fieldOffset('private'),
  mapcount: fieldOffset('mapcount'),
  refcount: fieldOffset('refcount'),
  memcgData: fieldOffset('memcg_data'),
} as const;

/**
 * One page descriptor. The values are those of the moment; before the descriptor was initialized they mean nothing. The same
 * object is handed out for every pfn: read from it before you ask for the next.
 */
export class PageView {
  readonly #profile: KernelProfile;
  #pfn = 0;
  #place: DescriptorPlace | undefined;
  #word = 0;

  constructor(profile: KernelProfile) {
    this.#profile = profile;
  }

  /** Moves the view. */
  moveTo(place: DescriptorPlace, pfn: number): this {
    this.#place = place;
    this.#pfn = pfn;
    this.#word = place.offsetOf(pfn) / Uint32Array.BYTES_PER_ELEMENT;
    return this;
  }

  #u32(offset: number): number {
    return this.#place?.words[this.#word + offset / Uint32Array.BYTES_PER_ELEMENT] ?? 0;
  }

  #u64(offset: number): bigint {
    return (BigInt(this.#u32(offset + 4)) << 32n) | BigInt(this.#u32(offset));
  }

  get pfn(): number {
    return this.#pfn;
  }
  get kind(): MemoryKind {
    return this.#place?.kind ?? 'ram';
  }
  /** The whole flags word: node, zone, last cpupid and page flags. */
  get flags(): bigint {
    return this.#u64(offsets.flags);
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
    return (this.flags >> BigInt(this.#profile.reservedBit)) % 2n === 1n;
  }
  /** Number of the dev_pagemap of device memory, 0 for RAM. */
  get pgmap(): number {
    return this.kind === 'device' ? Number(this.#u64(offsets.first)) : 0;
  }
  /** RAM: lru.next as an offset from the start of the range's memmap; a list of one points to itself, at the descriptor + 8. */
  get lruNext(): bigint | undefined {
    return this.kind === 'ram' ? this.#u64(offsets.first) : undefined;
  }
  /** RAM: lru.prev, as {@link lruNext}. */
  get lruPrev(): bigint | undefined {
    return this.kind === 'ram' ? this.#u64(offsets.second) : undefined;
  }
  /** Device memory: zone_device_data, for the driver's use. */
  get zoneDeviceData(): bigint | undefined {
    return this.kind === 'device' ? this.#u64(offsets.second) : undefined;
  }
  get mapping(): bigint {
    return this.#u64(offsets.mapping);
  }
  get index(): bigint {
    return this.#u64(offsets.index);
  }
  get private(): bigint {
    return this.#u64(offsets.private);
  }
  /** _mapcount: −1 when mapped nowhere. */
  get mapcount(): number {
    return this.#u32(offsets.mapcount) | 0;
  }
  /** _refcount */
  get refcount(): number {
    return this.#u32(offsets.refcount) | 0;
  }
  get memcgData(): bigint {
    return this.#u64(offsets.memcgData);
  }

  /** All fields of this moment as text, numbers above 32 bits in hexadecimal; for people. */
  fields(): Record<string, string> {
    const hex = (value: bigint): string => `0x${value.toString(16)}`;
    const { flags, nid, zone, reserved, lruNext, lruPrev, zoneDeviceData, pgmap, mapcount, refcount } = this;
    const own =
      this.kind === 'device'
        ? { pgmap: String(pgmap), zone_device_data: hex(zoneDeviceData ?? 0n) }
        : { lru_next: hex(lruNext ?? 0n), lru_prev: hex(lruPrev ?? 0n) };
    return {
      flags: `${hex(flags)} (node ${nid}, zone ${zone}${reserved ? ', reserved' : ''})`,
      ...own,
      mapping: hex(this.mapping),
      index: hex(this.index),
      private: hex(this.private),
      mapcount: String(mapcount),
      refcount: String(refcount),
      memcg_data: hex(this.memcgData),
    };
  }

  /** The descriptor as eight little-endian u64 in hexadecimal, as kernel people print it. */
  toString(): string {
    const lanes = Array.from({ length: descriptorSizeBytes / 8 }, (_, lane) => this.#u64(lane * 8));
    return lanes.map((lane) => lane.toString(16).padStart(16, '0')).join(' ');
  }
}
