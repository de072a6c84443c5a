/** Tests of Linux's rules for persistent memory, with the figures of real namespaces. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import {
  altmapOf,
  compoundPagesOf,
  dataStart,
  isAlignment,
  wholeBytesOf,
} from '../../dist/src/physical/device-rules.js';

const mib = 2 ** 20;
const gib = 2 ** 30;
const dev = { map: 'dev', alignBytes: 2 * mib, pageBytes: 4096 } as const;
const mem = { ...dev, map: 'mem' } as const;

describe('the data of a namespace', () => {
  it.each([
    [256 * mib, 6 * mib],
    [gib, 18 * mib],
    [128 * mib, 4 * mib],
    // 1008 GiB, and 3012 GiB, of Optane
    [1_082_331_758_592, 1_082_331_758_592 - 1_065_418_227_712],
    [3012 * gib, 3012 * gib - 3_183_575_302_144],
  ])('with map=dev of %i bytes begins behind %i', (wholeBytes, offset) => {
    expect(dataStart(0x1_0000_0000, wholeBytes, dev) - 0x1_0000_0000).toBe(offset);
    expect(wholeBytesOf(wholeBytes - offset, dev)).toBe(wholeBytes);
  });

  it('with map=mem begins at the first border behind the info block', () => {
    expect(dataStart(0x1_0000_0000, 1512 * gib, mem)).toBe(0x1_0020_0000);
    expect(dataStart(0x1_0000_0000, gib, { ...mem, alignBytes: 4096 })).toBe(0x1_0020_0000);
    expect(dataStart(0x1_0000_0000, 4 * gib, { ...mem, alignBytes: gib })).toBe(0x1_4000_0000);
    // a start that is off the border by less than the info block
    expect(dataStart(0x1_001f_e000, gib, mem)).toBe(0x1_0020_0000);
    expect(dataStart(0x1_001f_f000, gib, mem)).toBe(0x1_0040_0000);
    expect(wholeBytesOf(1_623_495_540_736, mem)).toBe(1512 * gib);
  });

  it('begins earlier where pages are larger, as there are fewer descriptors', () => {
    expect(dataStart(0, 256 * gib, { ...dev, pageBytes: 65_536 })).toBe(258 * mib);
  });
});

const layouts = fc.record({
  map: fc.constantFrom('mem' as const, 'dev' as const),
  alignBytes: fc.constantFrom(4096, 2 * mib, gib),
  pageBytes: fc.constantFrom(4096, 16_384, 65_536),
});
prop.prop([fc.integer({ min: 1, max: 2 ** 30 }), layouts])(
  'the size of data gives the namespace that it came from',
  (units, layout) => {
    const dataBytes = units * 2 * mib;
    const wholeBytes = wholeBytesOf(dataBytes, layout);
    expect(wholeBytes - dataStart(0, wholeBytes, layout)).toBe(dataBytes);
  },
);

describe('an altmap', () => {
  it('reserves the info block, and has all up to the data', () => {
    expect(altmapOf(6 * mib, 4096)).toEqual({ reservePages: 2, memmapPages: 1534 });
    expect(altmapOf(6 * mib, 16_384)).toEqual({ reservePages: 1, memmapPages: 383 });
    expect(altmapOf(6 * mib, 65_536)).toEqual({ reservePages: 1, memmapPages: 95 });
  });

  it('has no pages where there is no room for any', () => {
    expect(altmapOf(0, 4096)).toEqual({ reservePages: 2, memmapPages: 0 });
    expect(altmapOf(8192, 4096)).toEqual({ reservePages: 2, memmapPages: 0 });
    expect(altmapOf(12_288, 4096)).toEqual({ reservePages: 2, memmapPages: 1 });
  });
});

describe('compound pages', () => {
  it('are those of devdax, since 5.17, as large as its alignment', () => {
    expect(compoundPagesOf('devdax', 2 * mib, 4096, '5.17.0-rc1')).toEqual({ compoundPages: 512 });
    expect(compoundPagesOf('devdax', gib, 4096, undefined)).toEqual({ compoundPages: 2 ** 18 });
    expect(compoundPagesOf('devdax', 2 * mib, 65_536, '6.1')).toEqual({ compoundPages: 32 });
    expect(compoundPagesOf('devdax', 2 * mib, 4096, '5.16.99')).toEqual({});
    expect(compoundPagesOf('devdax', 4096, 4096, '6.1')).toEqual({});
    expect(compoundPagesOf('fsdax', 2 * mib, 4096, '6.1')).toEqual({});
  });

  it.each([
    [4096, 4096, true],
    [4096, 65_536, false],
    [gib, 4096, true],
    [2 * gib, 4096, false],
    [3 * mib, 4096, false],
    [0, 4096, false],
    [-4096, 4096, false],
    [Number.NaN, 4096, false],
  ])('an alignment of %d with pages of %d is one: %s', (bytes, pageBytes, is) => {
    expect(isAlignment(bytes, pageBytes)).toBe(is);
  });
});
