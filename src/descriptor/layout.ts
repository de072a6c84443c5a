/**
 * THE layout of a page descriptor, by kernel version: the single source that readers, templates and the generated C++
 * header share. Source: struct page and struct folio of include/linux/mm_types.h on x86-64; that of 6.1 was confirmed
 * against a running 6.1.192.
 */
import { descriptorSizeBytes } from '../physical/geometry.ts';
import type { MemoryKind } from '../physical/topology.ts';

/**
 * What a descriptor belongs to, which decides the members of its unions: a page of RAM (or one that is initialized like it);
 * a page of device memory, single or the head of a compound page; the page behind a head, which holds what concerns the
 * compound page as a whole; and the pages behind that.
 */
export type DescriptorForm = MemoryKind | 'first-tail' | 'tail';

/** One field of the 64-byte descriptor. All are little-endian. */
export interface DescriptorField {
  /** Name in struct page or struct folio, without leading underscores; `memcg_data` was called `mem_cgroup` before 5.11. */
  readonly name: string;
  /** Bytes from the start of the descriptor. */
  readonly offset: number;
  /** 1, 4 or 8. */
  readonly sizeBytes: number;
  readonly type: 'u64' | 'i32' | 'u32' | 'u8';
  /** The forms of descriptors that have this member. */
  readonly forms: readonly DescriptorForm[];
}

/** The layouts there are, by the kernel version that brought each. */
export type LayoutName = 'before-4.18' | '4.18' | '6.15';

/** Every field of a descriptor of one kernel version. */
export interface DescriptorLayout {
  readonly name: LayoutName;
  /** Sorted by offset. Members of a union that begin at the same byte stand next to each other. */
  readonly fields: readonly DescriptorField[];
}

const sizes = { u64: 8, i32: 4, u32: 4, u8: 1 } as const;

function field(
  name: string,
  offset: number,
  type: DescriptorField['type'],
  forms: readonly DescriptorForm[],
): DescriptorField {
  return { name, offset, sizeBytes: sizes[type], type, forms };
}

const single: readonly DescriptorForm[] = ['ram', 'device'];
const all: readonly DescriptorForm[] = ['ram', 'device', 'first-tail', 'tail'];
const allButFirstTail: readonly DescriptorForm[] = ['ram', 'device', 'tail'];
const tails: readonly DescriptorForm[] = ['first-tail', 'tail'];
const firstTail: readonly DescriptorForm[] = ['first-tail'];

/** Up to 4.17. Device memory has no compound pages yet; of its list only the second pointer is left, behind `pgmap`. */
const before418: readonly DescriptorField[] = [
  field('flags', 0, 'u64', single),
  field('mapping', 8, 'u64', single),
  field('index', 16, 'u64', single),
  field('mapcount', 24, 'i32', single),
  field('refcount', 28, 'i32', single),
  field('lru_next', 32, 'u64', ['ram']),
  field('pgmap', 32, 'u64', ['device']),
  field('lru_prev', 40, 'u64', single),
  field('private', 48, 'u64', single),
  field('memcg_data', 56, 'u64', single),
];

/** What all versions from 4.18 on share; between index and mapcount lies what differs in the first tail. */
function since418(firstTailFields: readonly DescriptorField[]): readonly DescriptorField[] {
  const own = new Set(firstTailFields.map(({ offset }) => offset - (offset % 8)));
  /** Forms whose member at an offset is not that of the first tail. */
  const unless = (offset: number): readonly DescriptorForm[] => (own.has(offset) ? allButFirstTail : all);
  return [
    field('flags', 0, 'u64', all),
    field('lru_next', 8, 'u64', ['ram']),
    field('pgmap', 8, 'u64', ['device']),
    field('compound_head', 8, 'u64', tails),
    field('lru_prev', 16, 'u64', ['ram']),
    field('zone_device_data', 16, 'u64', ['device', 'tail']),
    field('mapping', 24, 'u64', unless(24)),
    field('index', 32, 'u64', unless(32)),
    field('private', 40, 'u64', unless(40)),
    field('mapcount', 48, 'i32', all),
    field('refcount', 52, 'i32', all),
    field('memcg_data', 56, 'u64', unless(56)),
    ...firstTailFields,
  ].sort((a, b) => a.offset - b.offset);
}

/** All layouts by name. The first tails of `4.18` are those of 5.17 to 6.1: before, device memory had none. */
export const descriptorLayouts: Readonly<Record<LayoutName, DescriptorLayout>> = {
  'before-4.18': { name: 'before-4.18', fields: before418 },
  '4.18': {
    name: '4.18',
    fields: since418([
      field('compound_dtor', 16, 'u8', firstTail),
      field('compound_order', 17, 'u8', firstTail),
      field('compound_mapcount', 20, 'i32', firstTail),
      field('compound_pincount', 24, 'i32', firstTail),
      field('compound_nr', 28, 'u32', firstTail),
    ]),
  },
  // the order of a folio is in the low byte of its first tail's flags
  '6.15': {
    name: '6.15',
    fields: since418([
      field('large_mapcount', 16, 'i32', firstTail),
      field('nr_pages_mapped', 20, 'i32', firstTail),
      field('entire_mapcount', 24, 'i32', firstTail),
      field('pincount', 28, 'i32', firstTail),
      field('mm_id_mapcount_0', 32, 'i32', firstTail),
      field('mm_id_mapcount_1', 36, 'i32', firstTail),
      field('mm_ids', 40, 'u64', firstTail),
      field('nr_pages', 56, 'u32', firstTail),
    ]),
  },
};

/** A field by its name, which is unique in a layout. @throws RangeError when the layout has none of that name */
export function fieldOf({ name: layout, fields }: DescriptorLayout, name: string): DescriptorField {
  const found = fields.find((candidate) => candidate.name === name);
  if (found === undefined) throw new RangeError(`no descriptor field of layout ${layout} is called ${name}`);
  return found;
}

/** Byte offset of a field. @throws as {@link fieldOf} */
export function fieldOffset(layout: DescriptorLayout, name: string): number {
  return fieldOf(layout, name).offset;
}

/** 32-bit words in a descriptor. */
export const descriptorWords = 16;
/** 64-bit lanes in a descriptor. */
export const descriptorLanes = 8;
/** 32-bit words in a {@link Pattern}: the template and the step behind it. */
export const patternWords = 32;

/** What the addon must have been compiled with: names and numbers, as its `layout()` tells them. */
export function layoutFacts(): Record<string, number> {
  const facts: Record<string, number> = { lanes: descriptorLanes, size: descriptorSizeBytes };
  for (const { name: layout, fields } of Object.values(descriptorLayouts)) {
    for (const { name, offset, sizeBytes } of fields) {
      facts[`${layout}.${name}.offset`] = offset;
      facts[`${layout}.${name}.size`] = sizeBytes;
    }
  }
  return facts;
}
