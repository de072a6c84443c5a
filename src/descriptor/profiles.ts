/**
 * Kernel profiles: what one kernel version, as distributions build it for x86-64, puts into the fields of the layout. A
 * platform other than x86-64 uses the same profiles: arm64 and Power differ in the widths of the flags word's fields alone.
 */
import { descriptorSizeBytes } from '../physical/geometry.ts';
import type { DeviceMode } from '../physical/topology.ts';
import type { LayoutName } from './layout.ts';

/** A run of bits in the flags word. */
export interface BitField {
  readonly shift: number;
  readonly bits: number;
}

/** What a kernel version decides about its descriptors. */
export interface KernelProfile {
  readonly name: ProfileName;
  /** Identifies the profile in a superblock; never given twice. 0 stands for a table of the user's own records. */
  readonly id: number;
  /** The kernel's release, which decides what is not written in descriptors: which pages exist, and in which zone. */
  readonly release: string;
  /** Where the fields lie. */
  readonly layout: LayoutName;
  readonly node: BitField;
  readonly zone: BitField;
  readonly lastCpupid: BitField;
  /** Bit number of PG_reserved; it moves between versions, as do all page flags (enum pageflags, include/linux/page-flags.h). */
  readonly reservedBit: number;
  /** Bit number of PG_head. */
  readonly headBit: number;
  /** _mapcount of an untouched page: −1 means mapped nowhere. */
  readonly mapcount: number;
  /** _refcount of an untouched page: of RAM, and of device memory by what a driver makes of it. */
  readonly refcount: Readonly<Record<'ram' | DeviceMode, number>>;
  /** What stands behind `pgmap`: zone_device_data, or before there was one the second pointer of a list that was taken apart. */
  readonly besidePgmap: bigint;
  /**
   * Descriptors of pages in holes of the memory map. `reserved`: initialized like any other and marked PG_reserved.
   * `zeroed`: zeros, and then marked like what memblock has reserved, without being initialized.
   */
  readonly unavailable: 'reserved' | 'zeroed';
  /** How the first tail of a compound page of device memory is written; `none` where there are no such pages. */
  readonly compound: 'none' | 'page' | 'folio';
}

/** Names of the profiles there are. */
export type ProfileName = 'linux-4.17' | 'linux-6.1' | 'linux-6.16';

/** Places bit fields downwards from bit 63, as include/linux/page-flags-layout.h does with vmemmap (no section bits). */
function fromTop(...widths: readonly number[]): BitField[] {
  let shift = 64;
  return widths.map((bits) => {
    shift -= bits;
    return { shift, bits };
  });
}

// NODES_SHIFT 10, ZONES_SHIFT 3 (five zones, with ZONE_DEVICE), LAST_CPUPID_SHIFT 21 (8 bits of a pid, and NR_CPUS 8192):
// x86-64 as distributions configure it, in all of these versions.
const [node, zone, lastCpupid] = fromTop(10, 3, 21) as [BitField, BitField, BitField];
const flagFields = { node, zone, lastCpupid };

/** LIST_POISON2 of that time (today it ends in 122): 0x200 above CONFIG_ILLEGAL_POINTER_VALUE of x86-64. */
const listPoison2 = 0xdead_0000_0000_0200n;

/** All profiles by name. */
export const profiles: Readonly<Record<ProfileName, KernelProfile>> = {
  'linux-4.17': {
    name: 'linux-4.17',
    id: 2,
    release: '4.17',
    layout: 'before-4.18',
    ...flagFields,
    reservedBit: 11,
    headBit: 15,
    mapcount: -1,
    refcount: { ram: 1, fsdax: 1, devdax: 1 },
    besidePgmap: listPoison2,
    unavailable: 'zeroed',
    compound: 'none',
  },
  'linux-6.1': {
    name: 'linux-6.1',
    id: 1,
    release: '6.1',
    layout: '4.18',
    ...flagFields,
    reservedBit: 12,
    headBit: 16,
    mapcount: -1,
    refcount: { ram: 1, fsdax: 1, devdax: 1 },
    besidePgmap: 0n,
    unavailable: 'reserved',
    compound: 'page',
  },
  'linux-6.16': {
    name: 'linux-6.16',
    id: 3,
    release: '6.16',
    layout: '6.15',
    ...flagFields,
    reservedBit: 13,
    headBit: 6,
    mapcount: -1,
    // fsdax counts users from 0 since 6.15
    refcount: { ram: 1, fsdax: 0, devdax: 1 },
    besidePgmap: 0n,
    unavailable: 'reserved',
    compound: 'folio',
  },
};

/** The profile unless another is asked for. */
export const defaultProfile: ProfileName = 'linux-6.1';

/** All ones in a bit field, at its place. */
export function fieldMask(field: BitField): bigint {
  return ((1n << BigInt(field.bits)) - 1n) << BigInt(field.shift);
}

/** `value` at the place of a bit field. @throws RangeError when the field is too narrow for it. */
export function placeBits(field: BitField, value: number): bigint {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** field.bits) {
    throw new RangeError(`${value} does not fit into ${field.bits} bits of the flags word`);
  }
  return BigInt(value) << BigInt(field.shift);
}

/** The value that stands in a bit field of a flags word. */
export function takeBits(field: BitField, flags: bigint): number {
  return Number((flags & fieldMask(field)) >> BigInt(field.shift));
}

/** From which a self-pointer of the first descriptor is counted, and by how much it grows from one to the next. */
export const selfPointerStep: number = descriptorSizeBytes;
