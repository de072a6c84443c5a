/**
 * THE layout of a page descriptor: the single source that readers, templates, the JS kernel and the generated C++ header
 * share. Source: struct page of Linux 6.1 on x86-64 (include/linux/mm_types.h), confirmed against a running 6.1.192.
 */
import type { MemoryKind } from '../physical/topology.ts';

/** One field of the 64-byte descriptor. All are little-endian. */
export interface DescriptorField {
  /** Name in struct page; where a union differs by kind of memory, the member that this kind uses. */
  readonly name: string;
  /** Bytes from the start of the descriptor. */
  readonly offset: number;
  /** 4 or 8. */
  readonly sizeBytes: number;
  readonly type: 'u64' | 'i32';
  /** The kinds of memory whose descriptors have this member. */
  readonly kinds: readonly MemoryKind[];
}

const both: readonly MemoryKind[] = ['ram', 'device'];

/** Every field, sorted by offset. Members of a union stand next to each other with the same offset. */
export const descriptorFields: readonly DescriptorField[] = [
  { name: 'flags', offset: 0, sizeBytes: 8, type: 'u64', kinds: both },
  { name: 'lru_next', offset: 8, sizeBytes: 8, type: 'u64', kinds: ['ram'] },
  { name: 'pgmap', offset: 8, sizeBytes: 8, type: 'u64', kinds: ['device'] },
  { name: 'lru_prev', offset: 16, sizeBytes: 8, type: 'u64', kinds: ['ram'] },
  { name: 'zone_device_data', offset: 16, sizeBytes: 8, type: 'u64', kinds: ['device'] },
  { name: 'mapping', offset: 24, sizeBytes: 8, type: 'u64', kinds: both },
  { name: 'index', offset: 32, sizeBytes: 8, type: 'u64', kinds: both },
  { name: 'private', offset: 40, sizeBytes: 8, type: 'u64', kinds: both },
  { name: 'mapcount', offset: 48, sizeBytes: 4, type: 'i32', kinds: both },
  { name: 'refcount', offset: 52, sizeBytes: 4, type: 'i32', kinds: both },
  { name: 'memcg_data', offset: 56, sizeBytes: 8, type: 'u64', kinds: both },
];

/** Byte offset of a field by its name. */
export function fieldOffset(name: string): number {
  const field = descriptorFields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new RangeError(`no descriptor field is called ${name}`);
  return field.offset;
}

/** 32-bit words in a descriptor. */
export const descriptorWords = 16;
/** 64-bit lanes in a descriptor. */
export const descriptorLanes = 8;
/** 32-bit words in a {@link Pattern}: the template and the step behind it. */
export const patternWords = 32;
