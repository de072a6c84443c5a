/** Superblock and tables: what is written is read again, and what is damaged or made up is refused. */
import { crc32 } from 'node:zlib';
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { type Content, plainContent } from '../../dist/src/descriptor/pattern.js';
import { VmemmapError } from '../../dist/src/errors.js';
import { chunkGeometry, type PfnExtent } from '../../dist/src/physical/geometry.js';
import { type PlatformName, platforms } from '../../dist/src/physical/platforms.js';
import { makePlan, type Plan, type PlannedMemmap, type Segment } from '../../dist/src/plan.js';
import { noRoom } from '../../dist/src/region/layout.js';
import {
  decodeSuperblock,
  encodeSuperblock,
  epochExtent,
  epochWords,
  type HeaderProblem,
  hasMagic,
  headerSizeOf,
  refuseHandle,
  type Superblock,
  unfinishedMagic,
} from '../../dist/src/region/superblock.js';
import { refusalOf } from '../physical/errors.js';
import { machine, ram } from '../support/regions.js';

function headerBytes({ ranges }: Plan): number {
  const segments = ranges.flatMap((range) => range.segments);
  const parts = segments.flatMap(({ content }) => content.parts);
  return 4096 + ranges.length * 64 + segments.length * 64 + parts.length * 192;
}
/** Where the range table begins, and where its fields lie in an entry. */
const entry = { table: 4096, startPfn: 0, endPfn: 8, chunkPages: 16, kind: 32, segmentCount: 36 };
/** The same of the segment table of two ranges, and of the part table behind two segments. */
const segmentEntry = { table: 4096 + 128, startPfn: 0, endPfn: 8, use: 16, partCount: 20, periodPages: 24 };
const partEntry = { table: 4096 + 256, at: 0 };
/** Byte offsets of fields of the superblock. */
const at = {
  version: 8,
  checksum: 12,
  rangeCount: 32,
  segmentCount: 52,
  partCount: 72,
  platformId: 76,
  ownerSlots: 36,
  policy: 40,
  processSlots: 48,
  alignment: 56,
  epoch: 64,
};

/** Header of a plan in a buffer with a page to spare. */
function written(plan: Plan, policy: 'boot' | 'hotplug' = 'hotplug'): Uint8Array<SharedArrayBuffer> {
  const bytes = new Uint8Array(new SharedArrayBuffer(headerBytes(plan) + 4096));
  bytes.set(encodeSuperblock(plan, policy).header);
  return bytes;
}

/** What stands there, as whoever attaches by a handle reads it. */
function read(bytes: Uint8Array): Superblock {
  return decodeSuperblock(bytes, refuseHandle);
}

const twoRanges = makePlan(machine(ram(1, 159), ram(4096, 8 * 512, 1)), { profile: 'linux-6.1', chunkPages: 512 });

/** A header of two ranges that somebody changed and sealed again with the right checksum. */
function forged(change: (view: DataView) => void): Uint8Array<SharedArrayBuffer> {
  const bytes = written(twoRanges);
  const view = new DataView(bytes.buffer);
  change(view);
  const sealed = bytes.slice(0, headerBytes(twoRanges));
  // its own bytes read as zero, and those of the epoch, which has a checksum of its own
  sealed.fill(0, at.checksum, at.checksum + 4);
  sealed.fill(0, at.epoch, at.epoch + 8);
  view.setUint32(at.checksum, crc32(sealed), true);
  return bytes;
}

function refused(bytes: Uint8Array): { code: string; message: string } {
  const { code, message } = refusalOf(() => read(bytes));
  return { code, message };
}

/** What `decodeSuperblock` finds wrong with these bytes, as whoever opens a file is told. */
function problemOf(bytes: Uint8Array): HeaderProblem {
  let found: HeaderProblem | undefined;
  const call = (): Superblock =>
    decodeSuperblock(bytes, (problem, what) => {
      found = problem;
      return new VmemmapError('FILE_DAMAGED', what);
    });
  refusalOf(call);
  if (!found) throw new Error('it was refused without a problem');
  return found;
}

const impossibleSegment = 'its range 0 has an impossible segment';
const cannotBeUsed = "the handle's control buffer cannot be used";
const useAnother = 'use a handle that memmap.handle() made with this version';

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const anyRange = fc.record({
  gap: fc.integer({ min: 0, max: 2 ** 30 }),
  pages: fc.integer({ min: 1, max: 2 ** 28 }),
  chunkPages: fc.option(fc.integer({ min: 1, max: 2 ** 28 }), { nil: undefined }),
  nid: fc.integer({ min: 0, max: 1023 }),
  zone: fc.integer({ min: 0, max: 4 }),
  kind: fc.constantFrom('ram' as const, 'device' as const),
  pgmap: fc.maxSafeNat(),
});
const anyPattern = fc.array(u32, { minLength: 32, maxLength: 32 }).map((words) => Uint32Array.from(words));
const anyContent: fc.Arbitrary<Content> = fc.oneof(
  anyPattern.map(plainContent),
  fc
    .tuple(fc.array(anyPattern, { minLength: 1, maxLength: 5 }), fc.integer({ min: 0, max: 2 ** 28 - 5 }))
    .map(([patterns, more]) => ({
      periodPages: patterns.length + 1 + more,
      parts: patterns.map((pattern, at) => ({ at, pattern })),
    })),
);
const anySegment = fc.record({
  share: fc.integer({ min: 1, max: 2 ** 28 }),
  use: fc.constantFrom('present' as const, 'reserved' as const, 'unavailable' as const, 'altmap' as const),
  content: anyContent,
});
const anySegments = fc.array(anySegment, { minLength: 1, maxLength: 4 });

/** Segments of the shares that tile an extent as far as its pages go. */
function tile(
  extent: PfnExtent,
  specs: readonly (Omit<Segment, 'startPfn' | 'endPfn'> & { share: number })[],
): Segment[] {
  const segments: Segment[] = [];
  let { startPfn } = extent;
  for (const [index, { share, ...rest }] of specs.entries()) {
    const endPfn = index === specs.length - 1 ? extent.endPfn : Math.min(startPfn + share, extent.endPfn);
    if (startPfn < endPfn) segments.push({ startPfn, endPfn, ...rest });
    startPfn = endPfn;
  }
  return segments;
}
/** Plans of up to eight ranges, sorted, with holes or without. */
const anyPlan = fc
  .record({
    specs: fc.array(fc.tuple(anyRange, anySegments), { maxLength: 8 }),
    profileId: u32,
    platform: fc.constantFrom(...(Object.keys(platforms) as PlatformName[])),
  })
  .map(({ specs, profileId, platform }) => {
    const ranges: PlannedMemmap[] = [];
    let next = 0;
    for (const [{ gap, pages, chunkPages, ...rest }, segments] of specs) {
      const startPfn = next + gap;
      next = startPfn + pages;
      const extent = { startPfn, endPfn: next };
      ranges.push({ ...chunkGeometry(extent, chunkPages), ...rest, segments: tile(extent, segments) });
    }
    return { ranges, profileId, platform };
  });

describe('a superblock', () => {
  prop.prop([anyPlan, fc.constantFrom('boot' as const, 'hotplug' as const)])(
    'is read as it was written',
    (plan, policy) => {
      const { uuid, ...rest } = read(written(plan, policy));
      expect(rest).toEqual({ ...plan, policy, alignmentBytes: 2 ** 21, epoch: 1, room: noRoom });
      expect(uuid).toMatch(/^[0-9a-f]{32}$/);
    },
  );

  prop.prop([anyPlan, fc.constantFrom('boot' as const, 'hotplug' as const), fc.constantFrom(2 ** 21, 2 ** 30)])(
    'is told to its writer as a reader would be told',
    (plan, policy, alignmentBytes) => {
      const { header, superblock } = encodeSuperblock(plan, policy, alignmentBytes);
      expect(header.byteLength).toBe(headerBytes(plan));
      expect(superblock).toEqual(read(header));
      expect(superblock.alignmentBytes).toBe(alignmentBytes);
    },
  );

  it('tells the room for ranges that come later', () => {
    const room = { ranges: 4096, pages: 2 ** 28, chunks: 524_289 };
    const { header, superblock } = encodeSuperblock(twoRanges, 'hotplug', 2 ** 21, room);
    expect(superblock.room).toEqual(room);
    expect(read(header).room).toEqual(room);
  });

  it.each([
    ['more slots than there can be', { ranges: 4097, pages: 1, chunks: 1 }],
    ['slots of no page', { ranges: 1, pages: 0, chunks: 1 }],
    ['slots longer than a range can be', { ranges: 1, pages: 2 ** 28 + 1, chunks: 1 }],
    ['a part of a page', { ranges: 1, pages: 1.5, chunks: 1 }],
    ['slots of no chunk', { ranges: 1, pages: 1, chunks: 0 }],
    ['more chunks than a range can have', { ranges: 1, pages: 1, chunks: 524_290 }],
    ['pages, but no slot', { ranges: 0, pages: 1, chunks: 0 }],
    ['chunks, but no slot', { ranges: 0, pages: 0, chunks: 1 }],
  ])('with room that cannot be is refused: %s', (_, room) => {
    const { header } = encodeSuperblock(twoRanges, 'hotplug', 2 ** 21, room);
    expect(problemOf(header)).toBe('damaged');
    expect(refused(header).message).toContain('its room for ranges is impossible');
  });

  it('has another uuid each time that one is written, and the same each time that it is read', () => {
    const [first, second] = [written(twoRanges), written(twoRanges)];
    expect(read(first).uuid).toBe(read(first).uuid);
    expect(read(first).uuid).not.toBe(read(second).uuid);
  });

  it('begins with "vmemmap" and a zero byte, then the version 3', () => {
    const bytes = written(twoRanges);
    expect(Buffer.from(bytes.slice(0, 12)).toString('latin1')).toBe('vmemmap\0\u0003\0\0\0');
    expect(hasMagic(bytes)).toBe(true);
    bytes[6] = 0x50;
    expect(hasMagic(bytes)).toBe(false);
  });

  it('tells by its first page how long the header is', () => {
    expect(headerSizeOf(written(twoRanges).subarray(0, 4096), refuseHandle)).toBe(headerBytes(twoRanges));
    expect(
      headerSizeOf(written({ ranges: [], profileId: 1, platform: 'x86-64' }).subarray(0, 4096), refuseHandle),
    ).toBe(4096);
  });

  it('is refused when any byte of it or of the tables is changed', () => {
    const bytes = written(twoRanges);
    const codes = new Set<string>();
    for (let byte = 0; byte < headerBytes(twoRanges); byte++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        bytes[byte] = (bytes[byte] ?? 0) ^ mask;
        codes.add(refused(bytes).code);
        bytes[byte] = (bytes[byte] ?? 0) ^ mask;
      }
    }
    expect([...codes]).toEqual(['HANDLE_INVALID']);
    expect(read(bytes).ranges).toEqual(twoRanges.ranges);
  });

  it('does not mind a change behind the tables: those are the words that threads write', () => {
    const bytes = written(twoRanges);
    bytes[headerBytes(twoRanges)] = 1;
    expect(read(bytes).ranges).toEqual(twoRanges.ranges);
  });
});

describe('the epoch', () => {
  const uuid = '00112233445566778899aabbccddeeff';

  it('lies in one aligned unit of eight bytes, which nothing tears', () => {
    expect(epochExtent).toEqual({ offset: at.epoch, sizeBytes: 8 });
    expect(epochExtent.offset % 8).toBe(0);
  });

  it.each([1, 2, 2 ** 31, 2 ** 32 - 1, 0])(
    '%i may take the place of another in a superblock, and nothing else need change',
    (epoch) => {
      const bytes = written(twoRanges);
      const view = new DataView(bytes.buffer);
      const before = read(bytes);
      const [word, check] = epochWords(before.uuid, epoch);
      view.setUint32(at.epoch, word, true);
      view.setUint32(at.epoch + 4, check, true);
      expect(read(bytes)).toEqual({ ...before, epoch });
    },
  );

  it('has a checksum over itself and the uuid: CRC-32 of the sixteen bytes and the word behind them', () => {
    const bytes = Buffer.concat([Buffer.from(uuid, 'hex'), Buffer.from([7, 0, 0, 0])]);
    expect(epochWords(uuid, 7)).toEqual([7, crc32(bytes)]);
  });

  it('of another region does not fit', () => {
    const bytes = written(twoRanges);
    const [word, check] = epochWords(uuid, 1);
    new DataView(bytes.buffer).setUint32(at.epoch, word, true);
    new DataView(bytes.buffer).setUint32(at.epoch + 4, check, true);
    expect(refused(bytes).message).toMatch(/its epoch has a wrong checksum;/);
    expect(problemOf(bytes)).toBe('damaged');
  });
});

describe('a superblock of somebody else', () => {
  it.each([0, 1, 4095])('is refused when there are only %i bytes', (sizeBytes) => {
    const bytes = new Uint8Array(sizeBytes);
    expect(refused(bytes).message).toMatch(/: it is too small for a superblock;/);
    expect(problemOf(bytes)).toBe('foreign');
  });

  it('is refused when it is nothing but zeros', () => {
    expect(refused(new Uint8Array(4096))).toEqual({
      code: 'HANDLE_INVALID',
      message: `${cannotBeUsed}: it is no vmemmap region; ${useAnother}`,
    });
    expect(problemOf(new Uint8Array(4096))).toBe('foreign');
  });

  it('that was never finished is refused as that, whatever stands behind the mark', () => {
    const bytes = written(twoRanges);
    bytes.set(unfinishedMagic);
    expect(Buffer.from(unfinishedMagic).toString('latin1')).toBe('vmemnew\0');
    expect(refused(bytes).message).toBe(`${cannotBeUsed}: it was never finished; ${useAnother}`);
    expect(problemOf(bytes)).toBe('unfinished');
    expect(hasMagic(bytes)).toBe(false);
  });

  it('that is cut behind the superblock is refused', () => {
    const cut = written(twoRanges).slice(0, headerBytes(twoRanges) - 1);
    expect(refused(cut).message).toMatch(/: its range count is impossible;/);
    expect(problemOf(cut)).toBe('damaged');
  });

  it.each([
    ['it has region layout 4, this is 3', 'version', (view: DataView) => view.setUint32(at.version, 4, true)],
    ['it has region layout 2, this is 3', 'version', (view: DataView) => view.setUint32(at.version, 2, true)],
    ['it has region layout 0, this is 3', 'version', (view: DataView) => view.setUint32(at.version, 0, true)],
    ['it is no vmemmap region', 'foreign', (view: DataView) => view.setUint8(0, 0x56)],
    ['its range count is impossible', 'damaged', (view: DataView) => view.setUint32(at.rangeCount, 2 ** 32 - 1, true)],
    ['its range count is impossible', 'damaged', (view: DataView) => view.setUint32(at.segmentCount, 262_145, true)],
    ['its range count is impossible', 'damaged', (view: DataView) => view.setUint32(at.partCount, 262_145, true)],
    ['its owner table has another size', 'damaged', (view: DataView) => view.setUint32(at.ownerSlots, 1023, true)],
    ['its process table has another size', 'damaged', (view: DataView) => view.setUint32(at.processSlots, 127, true)],
    ['its policy is unknown', 'damaged', (view: DataView) => view.setUint32(at.policy, 2, true)],
    ['its platform is unknown', 'damaged', (view: DataView) => view.setUint32(at.platformId, 5, true)],
    ['its alignment is impossible', 'damaged', (view: DataView) => view.setFloat64(at.alignment, 2 ** 20, true)],
    ['its alignment is impossible', 'damaged', (view: DataView) => view.setFloat64(at.alignment, Number.NaN, true)],
  ])('is refused although its checksum is right: %s', (what, problem, change) => {
    const bytes = forged(change);
    const { code, message } = refused(bytes);
    expect(code).toBe('HANDLE_INVALID');
    expect(message).toBe(`${cannotBeUsed}: ${what}; ${useAnother}`);
    expect(problemOf(bytes)).toBe(problem);
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
    expect(message).toMatch(/: its range 0 is impossible;/);
  });

  it('is refused when a range is of no known kind', () => {
    expect(refused(forged((view) => view.setUint32(entry.table + entry.kind, 2, true))).message).toMatch(
      /: its range 0 is impossible;/,
    );
  });

  it.each<[string, string, (view: DataView) => void]>([
    ['begins before the range', 'its range 0 is impossible', (view) => view.setFloat64(segmentEntry.table, 0, true)],
    ['begins behind its start', 'its range 0 is impossible', (view) => view.setFloat64(segmentEntry.table, 2, true)],
    [
      'ends before the range',
      'its range 0 is impossible',
      (view) => view.setFloat64(segmentEntry.table + 8, 159, true),
    ],
    [
      'ends behind the range',
      'its range 0 is impossible',
      (view) => view.setFloat64(segmentEntry.table + 8, 161, true),
    ],
    ['has no pages', impossibleSegment, (view) => view.setFloat64(segmentEntry.table + 8, 1, true)],
    ['is of no known use', impossibleSegment, (view) => view.setUint32(segmentEntry.table + segmentEntry.use, 4, true)],
    ['has no parts', impossibleSegment, (view) => view.setUint32(segmentEntry.table + segmentEntry.partCount, 0, true)],
    [
      'has more parts than there are',
      impossibleSegment,
      (view) => view.setUint32(segmentEntry.table + segmentEntry.partCount, 2 ** 32 - 1, true),
    ],
    [
      'has two parts and a period of one page',
      impossibleSegment,
      (view) => view.setUint32(segmentEntry.table + segmentEntry.partCount, 2, true),
    ],
    [
      'repeats after no pages',
      impossibleSegment,
      (view) => view.setFloat64(segmentEntry.table + segmentEntry.periodPages, 0, true),
    ],
    [
      'repeats after more pages than a range has',
      impossibleSegment,
      (view) => view.setFloat64(segmentEntry.table + segmentEntry.periodPages, 2 ** 28 + 1, true),
    ],
    ['begins with a part that is not at 0', impossibleSegment, (view) => view.setFloat64(partEntry.table, 1, true)],
    ['has a part at no page', impossibleSegment, (view) => view.setFloat64(partEntry.table, Number.NaN, true)],
  ])('is refused when a segment %s', (_, what, change) => {
    expect(refused(forged(change)).message).toBe(`${cannotBeUsed}: ${what}; ${useAnother}`);
  });

  it('is refused when a range has no segment, or more than there are, or fewer', () => {
    const segmentsOfFirst = (count: number) => (view: DataView) =>
      view.setUint32(entry.table + entry.segmentCount, count, true);
    expect(refused(forged(segmentsOfFirst(0))).message).toMatch(/: its range 0 is impossible;/);
    expect(refused(forged(segmentsOfFirst(3))).message).toMatch(/: its range 0 has an impossible segment;/);
    const secondHasNone = (view: DataView): void => view.setUint32(entry.table + 64 + entry.segmentCount, 0, true);
    expect(refused(forged(secondHasNone)).message).toMatch(/: its range 1 is impossible;/);
  });

  it('is refused when ranges overlap by one page, and not when they touch', () => {
    const endOfFirst = (pfn: number) => (view: DataView) => {
      view.setFloat64(entry.table + endPfn, pfn, true);
      view.setFloat64(segmentEntry.table + segmentEntry.endPfn, pfn, true);
    };
    expect(refused(forged(endOfFirst(4097))).message).toMatch(/: its ranges overlap or are not sorted;/);
    expect(read(forged(endOfFirst(4096))).ranges[0]?.endPfn).toBe(4096);
  });
});
