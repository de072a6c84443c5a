/** The layout tables: each describes all 64 bytes of every form of descriptor, each byte once, as the kernel of its time has it. */
import { describe, expect, it } from 'vitest';
import {
  type DescriptorForm,
  descriptorLanes,
  descriptorLayouts,
  descriptorWords,
  fieldOffset,
  type LayoutName,
  layoutFacts,
  patternWords,
} from '../../dist/src/descriptor/layout.js';
import { descriptorSizeBytes } from '../../dist/src/physical/geometry.js';

/** Bytes of the descriptor that the fields of a form take, in the order of the table. */
function bytesOf(layout: LayoutName, form: DescriptorForm): number[] {
  return descriptorLayouts[layout].fields
    .filter(({ forms }) => forms.includes(form))
    .flatMap(({ offset, sizeBytes }) => Array.from({ length: sizeBytes }, (_, byte) => offset + byte));
}

/** Names and offsets of the fields that a form has. */
function offsetsOf(layout: LayoutName, form: DescriptorForm): Record<string, number> {
  const fields = descriptorLayouts[layout].fields.filter(({ forms }) => forms.includes(form));
  return Object.fromEntries(fields.map(({ name, offset }) => [name, offset]));
}

const allBytes = Array.from({ length: 64 }, (_, byte) => byte);

describe('the layout tables', () => {
  it.each<[LayoutName, DescriptorForm]>([
    ['before-4.18', 'ram'],
    ['before-4.18', 'device'],
    ['4.18', 'ram'],
    ['4.18', 'device'],
    ['4.18', 'tail'],
    ['6.15', 'ram'],
    ['6.15', 'device'],
    ['6.15', 'tail'],
  ])('of %s covers each byte of a %s descriptor exactly once, in order', (layout, form) => {
    expect(bytesOf(layout, form)).toEqual(allBytes);
  });

  it.each<[LayoutName, number[]]>([
    ['4.18', [18, 19]],
    ['6.15', [60, 61, 62, 63]],
  ])('of %s covers a first tail, but for the bytes %j that C leaves between members', (layout, padding) => {
    expect(bytesOf(layout, 'first-tail')).toEqual(allBytes.filter((byte) => !padding.includes(byte)));
  });

  it('knows no compound pages before 4.18', () => {
    expect([...bytesOf('before-4.18', 'tail'), ...bytesOf('before-4.18', 'first-tail')]).toEqual([]);
  });

  it('gives the offsets of struct page before 4.18', () => {
    expect(offsetsOf('before-4.18', 'ram')).toEqual({
      flags: 0,
      mapping: 8,
      index: 16,
      mapcount: 24,
      refcount: 28,
      lru_next: 32,
      lru_prev: 40,
      private: 48,
      memcg_data: 56,
    });
    expect(offsetsOf('before-4.18', 'device')).toMatchObject({ pgmap: 32, lru_prev: 40 });
  });

  it.each<LayoutName>(['4.18', '6.15'])('gives the offsets of struct page from 4.18 on (%s)', (layout) => {
    expect(offsetsOf(layout, 'ram')).toEqual({
      flags: 0,
      lru_next: 8,
      lru_prev: 16,
      mapping: 24,
      index: 32,
      private: 40,
      mapcount: 48,
      refcount: 52,
      memcg_data: 56,
    });
    expect(offsetsOf(layout, 'device')).toMatchObject({ pgmap: 8, zone_device_data: 16, mapping: 24 });
    expect(offsetsOf(layout, 'tail')).toMatchObject({ compound_head: 8, zone_device_data: 16, mapping: 24 });
  });

  it('gives the offsets of the first tail in struct page of 6.1', () => {
    expect(offsetsOf('4.18', 'first-tail')).toEqual({
      flags: 0,
      compound_head: 8,
      compound_dtor: 16,
      compound_order: 17,
      compound_mapcount: 20,
      compound_pincount: 24,
      compound_nr: 28,
      index: 32,
      private: 40,
      mapcount: 48,
      refcount: 52,
      memcg_data: 56,
    });
  });

  it('gives the offsets of the first tail in struct folio of 6.15', () => {
    expect(offsetsOf('6.15', 'first-tail')).toEqual({
      flags: 0,
      compound_head: 8,
      large_mapcount: 16,
      nr_pages_mapped: 20,
      entire_mapcount: 24,
      pincount: 28,
      mm_id_mapcount_0: 32,
      mm_id_mapcount_1: 36,
      mm_ids: 40,
      mapcount: 48,
      refcount: 52,
      nr_pages: 56,
    });
  });

  it.each(Object.values(descriptorLayouts))(
    '($name) give every field the size of its type, at a multiple of that size',
    ({ fields }) => {
      const sizes = { u64: 8, i32: 4, u32: 4, u8: 1 };
      for (const { name, offset, sizeBytes, type } of fields) {
        expect([name, sizeBytes, offset % sizeBytes]).toEqual([name, sizes[type], 0]);
      }
    },
  );

  it.each(Object.values(descriptorLayouts))(
    '($name) are sorted by offset, name each field once, and begin with flags',
    ({ fields }) => {
      const offsets = fields.map(({ offset }) => offset);
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
      expect(new Set(fields.map(({ name }) => name)).size).toBe(fields.length);
      expect(fields[0]).toMatchObject({ name: 'flags', offset: 0, type: 'u64' });
    },
  );

  it('stand under their own names', () => {
    expect(Object.entries(descriptorLayouts).map(([key, { name }]) => [key, name])).toEqual([
      ['before-4.18', 'before-4.18'],
      ['4.18', '4.18'],
      ['6.15', '6.15'],
    ]);
  });

  it('agree with the numbers of words and lanes', () => {
    expect({ descriptorSizeBytes, descriptorLanes, descriptorWords, patternWords }).toEqual({
      descriptorSizeBytes: 64,
      descriptorLanes: 8,
      descriptorWords: 16,
      patternWords: 32,
    });
  });
});

describe('fieldOffset', () => {
  it('finds a field by its name, where that layout has it', () => {
    expect(fieldOffset(descriptorLayouts['4.18'], 'refcount')).toBe(52);
    expect(fieldOffset(descriptorLayouts['before-4.18'], 'refcount')).toBe(28);
    expect(fieldOffset(descriptorLayouts['6.15'], 'nr_pages')).toBe(56);
  });

  it('refuses a name that no field of the layout has', () => {
    const { '4.18': layout } = descriptorLayouts;
    expect(() => fieldOffset(layout, '_refcount')).toThrow(
      new RangeError('no descriptor field of layout 4.18 is called _refcount'),
    );
    expect(() => fieldOffset(layout, 'nr_pages')).toThrow(RangeError);
  });
});

describe('the facts that the addon is compared with', () => {
  it('are the lanes, the size, and the offset and the size of every field of every layout', () => {
    const facts = layoutFacts();
    const fields = Object.values(descriptorLayouts).reduce((sum, layout) => sum + layout.fields.length, 0);
    expect(Object.keys(facts)).toHaveLength(2 + 2 * fields);
    expect(facts).toMatchObject({
      lanes: 8,
      size: 64,
      'before-4.18.mapcount.offset': 24,
      'before-4.18.mapcount.size': 4,
      '4.18.mapcount.offset': 48,
      '4.18.compound_order.offset': 17,
      '4.18.compound_order.size': 1,
      '6.15.mm_ids.offset': 40,
      '6.15.mm_ids.size': 8,
    });
  });
});
