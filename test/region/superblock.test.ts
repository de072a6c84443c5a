/** Superblock and range table: what is written is read again, and what is damaged or made up is refused. */
import { crc32 } from 'node:zlib';
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { chunkGeometry } from '../../dist/src/physical/geometry.js';
import { makePlan, type Plan, type PlannedMemmap } from '../../dist/src/plan.js';
import { readSuperblock, writeSuperblock } from '../../dist/src/region/superblock.js';
import { refusalOf } from '../physical/errors.js';
import { machine, ram } from '../support/regions.js';

const headerBytes = (ranges: number): number => 4096 + ranges * 256;
/** Where the range table begins, and where its fields lie in an entry. */
const entry = { table: 4096, startPfn: 0, endPfn: 8, chunkPages: 16, kind: 32 };

/** Header of a plan in a buffer with a page to spare. */
function written(plan: Plan, policy: 'boot' | 'hotplug' = 'hotplug'): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(headerBytes(plan.ranges.length) + 4096);
  writeSuperblock(buffer, plan, policy);
  return buffer;
}

const twoRanges = makePlan(machine(ram(1, 159), ram(4096, 8 * 512, 1)), { profile: 'linux-6.1', chunkPages: 512 });

/** A header of two ranges that somebody changed and sealed again with the right checksum. */
function forged(change: (view: DataView) => void): SharedArrayBuffer {
  const buffer = written(twoRanges);
  const view = new DataView(buffer);
  change(view);
  view.setUint32(12, 0, true);
  view.setUint32(12, crc32(new Uint8Array(buffer).slice(0, headerBytes(2))), true);
  return buffer;
}

function refused(buffer: SharedArrayBuffer): { code: string; message: string } {
  const { code, message } = refusalOf(() => readSuperblock(buffer));
  return { code, message };
}

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const anyRange = fc.record({
  gap: fc.integer({ min: 0, max: 2 ** 30 }),
  pages: fc.integer({ min: 1, max: 2 ** 28 }),
  chunkPages: fc.option(fc.integer({ min: 1, max: 2 ** 28 }), { nil: undefined }),
  nid: fc.integer({ min: 0, max: 1023 }),
  zone: fc.integer({ min: 0, max: 4 }),
  kind: fc.constantFrom('ram' as const, 'device' as const),
  pgmap: fc.maxSafeNat(),
  pattern: fc.array(u32, { minLength: 32, maxLength: 32 }).map((words) => Uint32Array.from(words)),
});
/** Plans of up to eight ranges, sorted, with holes or without. */
const anyPlan = fc
  .record({ specs: fc.array(anyRange, { maxLength: 8 }), profileId: u32 })
  .map(({ specs, profileId }) => {
    const ranges: PlannedMemmap[] = [];
    let next = 0;
    for (const { gap, pages, chunkPages, ...rest } of specs) {
      const startPfn = next + gap;
      next = startPfn + pages;
      ranges.push({ ...chunkGeometry({ startPfn, endPfn: next }, chunkPages), ...rest });
    }
    return { ranges, profileId };
  });

describe('a superblock', () => {
  prop.prop([anyPlan, fc.constantFrom('boot' as const, 'hotplug' as const)])(
    'is read as it was written',
    (plan, policy) => {
      const { uuid, ...read } = readSuperblock(written(plan, policy));
      expect(read).toEqual({ ...plan, policy });
      expect(uuid).toMatch(/^[0-9a-f]{32}$/);
    },
  );

  prop.prop([anyPlan, fc.constantFrom('boot' as const, 'hotplug' as const)])(
    'is told to its writer as a reader would be told',
    (plan, policy) => {
      const buffer = new SharedArrayBuffer(4096 + plan.ranges.length * 256);
      expect(writeSuperblock(buffer, plan, policy)).toEqual(readSuperblock(buffer));
    },
  );

  it('has another uuid each time that one is written, and the same each time that it is read', () => {
    const [first, second] = [written(twoRanges), written(twoRanges)];
    expect(readSuperblock(first).uuid).toBe(readSuperblock(first).uuid);
    expect(readSuperblock(first).uuid).not.toBe(readSuperblock(second).uuid);
  });

  it('begins with "vmemmap" and a zero byte, then the version 1', () => {
    const bytes = new Uint8Array(written(twoRanges)).slice(0, 12);
    expect(Buffer.from(bytes).toString('latin1')).toBe('vmemmap\0\u0001\0\0\0');
  });

  it('is refused when any byte of it or of the range table is changed', () => {
    const buffer = written(twoRanges);
    const bytes = new Uint8Array(buffer);
    const codes = new Set<string>();
    for (let at = 0; at < headerBytes(2); at++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        bytes[at] = (bytes[at] ?? 0) ^ mask;
        codes.add(refused(buffer).code);
        bytes[at] = (bytes[at] ?? 0) ^ mask;
      }
    }
    expect([...codes]).toEqual(['HANDLE_INVALID']);
    expect(readSuperblock(buffer).ranges).toEqual(twoRanges.ranges);
  });

  it('does not mind a change behind the range table: those are the words that threads write', () => {
    const buffer = written(twoRanges);
    new Uint8Array(buffer)[headerBytes(2)] = 1;
    expect(readSuperblock(buffer).ranges).toEqual(twoRanges.ranges);
  });
});

describe('a superblock of somebody else', () => {
  it.each([0, 1, 4095])('is refused when there are only %i bytes', (sizeBytes) => {
    expect(refused(new SharedArrayBuffer(sizeBytes)).message).toMatch(/^the control buffer is too small;/);
  });

  it('is refused when it is nothing but zeros', () => {
    expect(refused(new SharedArrayBuffer(4096))).toEqual({
      code: 'HANDLE_INVALID',
      message: 'not a vmemmap region; use a handle that memmap.handle() made with this version',
    });
  });

  it('that is cut behind the superblock is refused', () => {
    const whole = new Uint8Array(written(twoRanges));
    const cut = new SharedArrayBuffer(headerBytes(2) - 1);
    new Uint8Array(cut).set(whole.subarray(0, cut.byteLength));
    expect(refused(cut).message).toMatch(/^impossible range count;/);
  });

  it.each([
    ['region layout 2, this is 1', (view: DataView) => view.setUint32(8, 2, true)],
    ['region layout 0, this is 1', (view: DataView) => view.setUint32(8, 0, true)],
    ['not a vmemmap region', (view: DataView) => view.setUint8(0, 0x56)],
    ['impossible range count', (view: DataView) => view.setUint32(32, 2 ** 32 - 1, true)],
    ['another size of the owner table', (view: DataView) => view.setUint32(36, 1023, true)],
    ['unknown policy', (view: DataView) => view.setUint32(40, 2, true)],
  ])('is refused although its checksum is right: %s', (what, change) => {
    const { code, message } = refused(forged(change));
    expect(code).toBe('HANDLE_INVALID');
    expect(message).toBe(`${what}; use a handle that memmap.handle() made with this version`);
  });

  const { startPfn, endPfn, chunkPages } = entry;
  it.each([
    ['a start that is no number', startPfn, Number.NaN],
    ['a start below 0', startPfn, -1],
    ['a start that is no whole number', startPfn, 0.5],
    ['no page', endPfn, 1],
    ['an end before the start', endPfn, 0],
    ['an end beyond 2^52 bytes', endPfn, 2 ** 40 + 1],
    ['more pages than 2^28', endPfn, 2 ** 28 + 2],
    ['chunks of no pages', chunkPages, 0],
    ['chunks of fewer than no pages', chunkPages, -512],
    ['chunks without end', chunkPages, Number.POSITIVE_INFINITY],
  ])('is refused when a range has %s', (_, field, value) => {
    const { message } = refused(forged((view) => view.setFloat64(entry.table + field, value, true)));
    expect(message).toMatch(/^range 0 is impossible;/);
  });

  it('is refused when a range is of no known kind', () => {
    expect(refused(forged((view) => view.setUint32(entry.table + entry.kind, 2, true))).message).toMatch(/^range 0 is/);
  });

  it('is refused when ranges overlap by one page, and not when they touch', () => {
    const endOfFirst = (pfn: number) => (view: DataView) => view.setFloat64(entry.table + endPfn, pfn, true);
    expect(refused(forged(endOfFirst(4097))).message).toMatch(/^ranges overlap or are not sorted;/);
    expect(readSuperblock(forged(endOfFirst(4096))).ranges[0]?.endPfn).toBe(4096);
  });
});
