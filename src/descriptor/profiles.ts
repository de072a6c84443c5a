/** Kernel profiles: what one kernel version, as distributions build it, puts into the fields of the layout. */
import { descriptorSizeBytes } from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';

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
  readonly node: BitField;
  readonly zone: BitField;
  readonly lastCpupid: BitField;
  /** Bit number of PG_reserved; it moves between versions. */
  readonly reservedBit: number;
  /** _refcount of an untouched page by kind of memory. */
  readonly refcount: Readonly<Record<MemoryKind, number>>;
  /** _mapcount of an untouched page: −1 means mapped nowhere. */
  readonly mapcount: number;
}

/** Names of the profiles there are. */
export type ProfileName = 'linux-6.1';

/** Places bit fields downwards from bit 63, as include/linux/page-flags-layout.h does with vmemmap (no section bits). */
function fromTop(...widths: readonly number[]): BitField[] {
  let shift = 64;
  return widths.map((bits) => {
    shift -= bits;
    return { shift, bits };
  });
}

// NODES_SHIFT 10, ZONES_SHIFT 3 (five zones), LAST_CPUPID_SHIFT 21: x86-64 as distributions configure it.
const [node, zone, lastCpupid] = fromTop(10, 3, 21) as [BitField, BitField, BitField];

/** All profiles by name. */
export const profiles: Readonly<Record<ProfileName, KernelProfile>> = {
  'linux-6.1': {
    name: 'linux-6.1',
    id: 1,
    node,
    zone,
    lastCpupid,
    reservedBit: 12,
    refcount: { ram: 1, device: 1 },
    mapcount: -1,
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
