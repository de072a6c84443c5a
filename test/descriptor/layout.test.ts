/** The layout table: it describes all 64 bytes, for every kind of memory, each byte once. */
import { describe, expect, it } from 'vitest';
import {
  descriptorFields,
  descriptorLanes,
  descriptorWords,
  fieldOffset,
  patternWords,
} from '../../dist/src/descriptor/layout.js';
import { layoutFacts } from '../../dist/src/descriptor/pattern.js';
import { descriptorSizeBytes } from '../../dist/src/physical/geometry.js';
import type { MemoryKind } from '../../dist/src/physical/topology.js';

/** Bytes of the descriptor that the fields of a kind take, in the order of the table. */
function bytesOf(kind: MemoryKind): number[] {
  return descriptorFields
    .filter(({ kinds }) => kinds.includes(kind))
    .flatMap(({ offset, sizeBytes }) => Array.from({ length: sizeBytes }, (_, byte) => offset + byte));
}

const allBytes = Array.from({ length: 64 }, (_, byte) => byte);

describe('the layout table', () => {
  it.each<MemoryKind>(['ram', 'device'])('covers each byte of a %s descriptor exactly once, in order', (kind) => {
    expect(bytesOf(kind)).toEqual(allBytes);
  });

  it('lets two fields share bytes only where no kind of memory has both', () => {
    const shared = descriptorFields.flatMap((a, index) =>
      descriptorFields
        .slice(index + 1)
        .filter((b) => a.offset < b.offset + b.sizeBytes && b.offset < a.offset + a.sizeBytes)
        .map((b) => `${a.name} (${a.kinds.join()}) = ${b.name} (${b.kinds.join()})`),
    );
    expect(shared).toEqual(['lru_next (ram) = pgmap (device)', 'lru_prev (ram) = zone_device_data (device)']);
  });

  it('gives the offsets of struct page of Linux 6.1', () => {
    expect(Object.fromEntries(descriptorFields.map(({ name, offset }) => [name, offset]))).toEqual({
      flags: 0,
      lru_next: 8,
      pgmap: 8,
      lru_prev: 16,
      zone_device_data: 16,
      mapping: 24,
      index: 32,
      private: 40,
      mapcount: 48,
      refcount: 52,
      memcg_data: 56,
    });
  });

  it('gives every field the size of its type, at a multiple of that size', () => {
    for (const { name, offset, sizeBytes, type } of descriptorFields) {
      expect([name, sizeBytes]).toEqual([name, type === 'u64' ? 8 : 4]);
      expect([name, offset % sizeBytes]).toEqual([name, 0]);
    }
  });

  it('is sorted by offset and names each field once', () => {
    const offsets = descriptorFields.map(({ offset }) => offset);
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
    expect(new Set(descriptorFields.map(({ name }) => name)).size).toBe(descriptorFields.length);
  });

  it('agrees with the numbers of words and lanes', () => {
    expect({ descriptorSizeBytes, descriptorLanes, descriptorWords, patternWords }).toEqual({
      descriptorSizeBytes: 64,
      descriptorLanes: 8,
      descriptorWords: 16,
      patternWords: 32,
    });
  });
});

describe('fieldOffset', () => {
  it('finds a field by its name', () => {
    expect(fieldOffset('refcount')).toBe(52);
    expect(fieldOffset('flags')).toBe(0);
  });

  it('refuses a name that no field has', () => {
    expect(() => fieldOffset('_refcount')).toThrow(new RangeError('no descriptor field is called _refcount'));
  });
});

describe('the facts that the addon is compared with', () => {
  it('are the lanes and the offset of every field', () => {
    expect(layoutFacts()).toEqual({
      lanes: 8,
      offset_flags: 0,
      offset_lru_next: 8,
      offset_pgmap: 8,
      offset_lru_prev: 16,
      offset_zone_device_data: 16,
      offset_mapping: 24,
      offset_index: 32,
      offset_private: 40,
      offset_mapcount: 48,
      offset_refcount: 52,
      offset_memcg_data: 56,
    });
  });
});
