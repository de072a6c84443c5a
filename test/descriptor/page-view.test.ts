/** The view of one descriptor: every field as it was initialized, by kernel and by what the page is, and as somebody changed it. */
import { describe, expect, it } from 'vitest';
import { type ContentSource, contentOf } from '../../dist/src/descriptor/content.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { type DescriptorPlace, PageView } from '../../dist/src/descriptor/page-view.js';
import { packContent } from '../../dist/src/descriptor/pattern.js';
import { type ProfileName, profiles } from '../../dist/src/descriptor/profiles.js';
import type { PfnExtent } from '../../dist/src/physical/geometry.js';
import type { MemoryKind } from '../../dist/src/physical/topology.js';
import type { PageUse } from '../../dist/src/physical/zones.js';

const startPfn = 0x100_0000;

const ram = { nid: 1, zone: 2, kind: 'ram' } as const;
const pmem = { nid: 1023, zone: 4, kind: 'device', pgmap: 9 } as const;

/** Uses of pages, each for so many, one behind the other from `startPfn` on. */
type Uses = readonly (readonly [use: PageUse, pages: number])[];

/** Descriptors as they are initialized. */
function placeOf(
  profile: ProfileName,
  source: Omit<ContentSource, keyof PfnExtent>,
  uses: Uses = [['present', 4]],
): DescriptorPlace {
  const pages = uses.reduce((sum, [, count]) => sum + count, 0);
  const words = new Uint32Array(pages * 16);
  const range = { ...source, startPfn, endPfn: startPfn + pages };
  let first = 0;
  const segments = uses.map(([use, count]) => {
    const segment = { startPfn: startPfn + first, endPfn: startPfn + first + count, use };
    const content = contentOf(profiles[profile], range, segment);
    jsKernel.fill(words, first * 16, count, packContent(content, first), first);
    first += count;
    return { ...segment, content };
  });
  return { words, kind: source.kind, startPfn, segments, offsetOf: (pfn) => (pfn - startPfn) * 64 };
}

/** A view of page number `page` of them. */
function viewOf(profile: ProfileName, place: DescriptorPlace, page = 0): PageView {
  return new PageView(profiles[profile]).moveTo(place, startPfn + page);
}

/** Everything that a view tells. */
function read(view: PageView): Record<string, unknown> {
  const { pfn, kind, use, flags, nid, zone, lastCpupid, reserved, head, compoundHead, order, isPoisoned } = view;
  const { pgmap, lruNext, lruPrev, zoneDeviceData, mapping, index, mapcount, refcount, memcgData } = view;
  return {
    ...{ pfn, kind, use, flags, nid, zone, lastCpupid, reserved, head, compoundHead, order, isPoisoned },
    ...{ pgmap, lruNext, lruPrev, zoneDeviceData },
    ...{ mapping, index, private: view.private, mapcount, refcount, memcgData },
  };
}

const single = { head: false, compoundHead: undefined, order: 0, isPoisoned: false, use: 'present' };
const untouched = { mapping: 0n, index: 0n, private: 0n, mapcount: -1, refcount: 1, memcgData: 0n };

describe.each<[ProfileName, bigint]>([
  ['linux-4.17', 0xe0n],
  ['linux-6.1', 0xc8n],
  ['linux-6.16', 0xc8n],
])('the view of an initialized descriptor of %s', (profile, self) => {
  it('of RAM tells its node, its zone, and the list that points to itself', () => {
    expect(read(viewOf(profile, placeOf(profile, ram), 3))).toEqual({
      ...single,
      pfn: startPfn + 3,
      kind: 'ram',
      flags: 0x0057_ffff_c000_0000n,
      nid: 1,
      zone: 2,
      lastCpupid: 2 ** 21 - 1,
      reserved: false,
      pgmap: 0,
      lruNext: self,
      lruPrev: self,
      zoneDeviceData: undefined,
      ...untouched,
    });
  });

  it('of device memory tells its pgmap, and that it is reserved', () => {
    const isOld = profile === 'linux-4.17';
    expect(read(viewOf(profile, placeOf(profile, { ...pmem, mode: 'devdax' })))).toEqual({
      ...single,
      pfn: startPfn,
      kind: 'device',
      flags: 0xffe7_ffff_c000_0000n + (1n << BigInt(profiles[profile].reservedBit)),
      nid: 1023,
      zone: 4,
      lastCpupid: 2 ** 21 - 1,
      reserved: true,
      pgmap: 9,
      lruNext: undefined,
      lruPrev: isOld ? 0xdead_0000_0000_0200n : undefined,
      zoneDeviceData: isOld ? undefined : 0n,
      ...untouched,
    });
  });

  it('tells the use of each page, and reads an altmap as it reads RAM', () => {
    const place = placeOf(profile, pmem, [
      ['altmap', 2],
      ['present', 3],
    ]);
    const told = [0, 1, 2, 4].map((page) => {
      const { use, pgmap, reserved, zone, lruNext } = viewOf(profile, place, page);
      return [use, pgmap, reserved, zone, lruNext];
    });
    expect(told).toEqual([
      ['altmap', 0, true, 4, self - 192n],
      ['altmap', 0, true, 4, self - 128n],
      ['present', 9, true, 4, undefined],
      ['present', 9, true, 4, undefined],
    ]);
  });

  it('tells reserved pages and those in holes from others', () => {
    const place = placeOf(profile, ram, [
      ['present', 1],
      ['reserved', 1],
      ['unavailable', 1],
    ]);
    const told = [0, 1, 2].map((page) => [viewOf(profile, place, page).use, viewOf(profile, place, page).reserved]);
    expect(told).toEqual([
      ['present', false],
      ['reserved', true],
      ['unavailable', true],
    ]);
  });

  it('reads poison for what it is, and for no page that is initialized', () => {
    const place = placeOf(profile, { ...pmem, mode: 'devdax', compoundPages: 4 }, [['present', 8]]);
    place.words.fill(0xffff_ffff, 4 * 16);
    const pages = [0, 1, 2, 3, 4, 5, 7].map((page) => viewOf(profile, place, page));
    expect(pages.map(({ isPoisoned }) => isPoisoned)).toEqual([false, false, false, false, true, true, true]);
    expect(pages[5]?.compoundHead).toBeUndefined();
    expect(pages[4]?.fields()['flags']).toBe('0xffffffffffffffff (poisoned: not initialized)');
  });
});

describe('the view of a page in a hole', () => {
  it('of linux-4.17 has no node, no zone and no counts, whatever node its range is of', () => {
    const place = placeOf('linux-4.17', ram, [['unavailable', 2]]);
    const { nid, zone, lastCpupid, mapcount, refcount, lruNext } = viewOf('linux-4.17', place, 1);
    expect({ nid, zone, lastCpupid, mapcount, refcount, lruNext }).toEqual({
      nid: 0,
      zone: 0,
      lastCpupid: 0,
      mapcount: 0,
      refcount: 0,
      lruNext: 0x60n,
    });
  });
});

describe.each<ProfileName>(['linux-6.1', 'linux-6.16'])('the view of a compound page of %s', (profile) => {
  // behind an altmap of three pages, so that heads are not where the range begins
  const place = placeOf(profile, { ...pmem, mode: 'devdax', compoundPages: 512 }, [
    ['altmap', 3],
    ['present', 1536],
  ]);

  it.each([3, 3 + 512, 3 + 1024])('knows page %i for a head, and its order', (page) => {
    const { head, order, compoundHead, pgmap, refcount } = viewOf(profile, place, page);
    expect({ head, order, compoundHead, pgmap, refcount }).toEqual({
      head: true,
      order: 9,
      compoundHead: undefined,
      pgmap: 9,
      refcount: 1,
    });
  });

  it.each([
    [4, 3],
    [5, 3],
    [3 + 511, 3],
    [3 + 513, 3 + 512],
    [3 + 1535, 3 + 1024],
  ])('knows page %i for a tail of page %i', (page, first) => {
    const { head, order, compoundHead, pgmap, refcount, mapcount } = viewOf(profile, place, page);
    expect({ head, order, compoundHead, pgmap, refcount, mapcount }).toEqual({
      head: false,
      order: 0,
      compoundHead: startPfn + first,
      pgmap: 0,
      refcount: 0,
      mapcount: -1,
    });
  });

  it('reads in a tail what a tail has, and in the first tail nothing that others have in its place', () => {
    const tail = viewOf(profile, place, 100);
    expect([tail.mapping, tail.index, tail.private, tail.zoneDeviceData, tail.lruNext]).toEqual([
      0xdead_0000_0000_0400n,
      0n,
      0n,
      0n,
      undefined,
    ]);
    const first = viewOf(profile, place, 4);
    expect([first.mapping, first.zoneDeviceData, first.lruNext]).toEqual([undefined, undefined, undefined]);
    expect([first.index, first.private, first.memcgData]).toEqual(
      profile === 'linux-6.1' ? [0n, 0n, 0n] : [undefined, undefined, undefined],
    );
  });

  it('tells no tail from a pointer whose bit 0 is clear', () => {
    const changed = { ...place, words: place.words.slice() };
    changed.words[10 * 16 + 2] = 64;
    expect(viewOf(profile, changed, 10).compoundHead).toBeUndefined();
  });
});

describe('fields', () => {
  it('of RAM are those of the kernel, in their order', () => {
    const before418 = viewOf('linux-4.17', placeOf('linux-4.17', ram, [['reserved', 2]]), 1).fields();
    expect(Object.entries(before418)).toEqual([
      ['flags', '0x57ffffc0000800 (node 1, zone 2, reserved)'],
      ['mapping', '0x0'],
      ['index', '0x0'],
      ['mapcount', '-1'],
      ['refcount', '1'],
      ['lru_next', '0x60'],
      ['lru_prev', '0x60'],
      ['private', '0x0'],
      ['memcg_data', '0x0'],
    ]);
    expect(Object.entries(viewOf('linux-6.1', placeOf('linux-6.1', ram), 1).fields())).toEqual([
      ['flags', '0x57ffffc0000000 (node 1, zone 2)'],
      ['lru_next', '0x48'],
      ['lru_prev', '0x48'],
      ['mapping', '0x0'],
      ['index', '0x0'],
      ['private', '0x0'],
      ['mapcount', '-1'],
      ['refcount', '1'],
      ['memcg_data', '0x0'],
    ]);
  });

  const compound = { ...pmem, nid: 1, mode: 'devdax', compoundPages: 512 } as const;

  it('of a compound page of linux-6.1 are those of a head, a first tail and a tail', () => {
    const place = placeOf('linux-6.1', compound, [['present', 512]]);
    expect(viewOf('linux-6.1', place, 0).fields()).toMatchObject({
      flags: '0x67ffffc0011000 (node 1, zone 4, reserved, head of order 9)',
      pgmap: '9',
      zone_device_data: '0x0',
    });
    expect(Object.entries(viewOf('linux-6.1', place, 1).fields())).toEqual([
      ['flags', '0x67ffffc0001000 (node 1, zone 4, reserved)'],
      ['compound_head', `0x1 (pfn ${startPfn})`],
      ['compound_dtor', '1'],
      ['compound_order', '9'],
      ['compound_mapcount', '-1'],
      ['compound_pincount', '0'],
      ['compound_nr', '512'],
      ['index', '0x0'],
      ['private', '0x0'],
      ['mapcount', '-1'],
      ['refcount', '0'],
      ['memcg_data', '0x0'],
    ]);
    expect(viewOf('linux-6.1', place, 2).fields()).toMatchObject({
      compound_head: `0x1 (pfn ${startPfn})`,
      mapping: '0xdead000000000400',
    });
  });

  it('of the first tail of linux-6.16 are those of a folio', () => {
    const place = placeOf('linux-6.16', compound, [['present', 512]]);
    expect(Object.entries(viewOf('linux-6.16', place, 1).fields())).toEqual([
      ['flags', '0x67ffffc0002009 (node 1, zone 4, reserved)'],
      ['compound_head', `0x1 (pfn ${startPfn})`],
      ['large_mapcount', '-1'],
      ['nr_pages_mapped', '0'],
      ['entire_mapcount', '-1'],
      ['pincount', '0'],
      ['mm_id_mapcount_0', '-1'],
      ['mm_id_mapcount_1', '-1'],
      ['mm_ids', '0x0'],
      ['mapcount', '-1'],
      ['refcount', '0'],
      ['nr_pages', '512'],
    ]);
  });
});

describe('the view of a descriptor that somebody changed', () => {
  /** Descriptor 2 with eight lanes, each of other bytes; its neighbours stay as they were. */
  function changed(kind: MemoryKind): PageView {
    const place = placeOf('linux-6.1', kind === 'ram' ? ram : pmem);
    const lanes = new BigUint64Array(place.words.buffer, 2 * 64, 8);
    lanes.set([
      0x8010_0000_4000_1001n,
      0x0011_1111_2222_2222n,
      0x3333_3333_4444_4444n,
      0x5555_5555_6666_6666n,
      0x7777_7777_8888_8888n,
      0x9999_9999_aaaa_aaaan,
      0x8000_0000_0000_0007n,
      0xffff_ffff_ffff_fffen,
    ]);
    return viewOf('linux-6.1', place, 2);
  }

  const common = {
    ...single,
    pfn: startPfn + 2,
    flags: 0x8010_0000_4000_1001n,
    nid: 512,
    zone: 2,
    lastCpupid: 1,
    reserved: true,
    mapping: 0x5555_5555_6666_6666n,
    index: 0x7777_7777_8888_8888n,
    private: 0x9999_9999_aaaa_aaaan,
    mapcount: 7,
    refcount: -(2 ** 31),
    memcgData: 0xffff_ffff_ffff_fffen,
  };

  it('of RAM reads every field at its place', () => {
    expect(read(changed('ram'))).toEqual({
      ...common,
      kind: 'ram',
      pgmap: 0,
      lruNext: 0x0011_1111_2222_2222n,
      lruPrev: 0x3333_3333_4444_4444n,
      zoneDeviceData: undefined,
    });
  });

  it('of device memory reads every field at its place', () => {
    expect(read(changed('device'))).toEqual({
      ...common,
      kind: 'device',
      pgmap: 0x0011_1111_2222_2222,
      lruNext: undefined,
      lruPrev: undefined,
      zoneDeviceData: 0x3333_3333_4444_4444n,
    });
  });

  it('prints all its lanes, as kernel people do', () => {
    expect(changed('ram').toString()).toBe(
      '8010000040001001 0011111122222222 3333333344444444 5555555566666666 ' +
        '7777777788888888 99999999aaaaaaaa 8000000000000007 fffffffffffffffe',
    );
  });

  it('before 4.18 reads every field at its place of that time', () => {
    const place = placeOf('linux-4.17', ram);
    new BigUint64Array(place.words.buffer, 64, 8).set([1n, 2n, 3n, 0x4_0000_0005n, 6n, 7n, 8n, 9n]);
    const {
      mapping,
      index,
      mapcount,
      refcount,
      lruNext,
      lruPrev,
      private: own,
      memcgData,
    } = viewOf('linux-4.17', place, 1);
    expect([mapping, index, mapcount, refcount, lruNext, lruPrev, own, memcgData]).toEqual([
      2n,
      3n,
      5,
      4,
      6n,
      7n,
      8n,
      9n,
    ]);
  });
});

describe('a view', () => {
  it('sees a change at once, without being moved', () => {
    const place = placeOf('linux-6.1', ram);
    const view = viewOf('linux-6.1', place);
    expect(view.refcount).toBe(1);
    place.words[13] = 5;
    expect(view.refcount).toBe(5);
  });

  it('is the same object when it is moved, and tells of the new place only', () => {
    const view = new PageView(profiles['linux-6.1']);
    const first = view.moveTo(placeOf('linux-6.1', { ...pmem, nid: 3 }), startPfn);
    const second = view.moveTo(placeOf('linux-6.1', { ...ram, nid: 5, zone: 1 }), startPfn + 1);
    expect(second).toBe(first);
    expect([second.pfn, second.kind, second.nid, second.lruNext]).toEqual([startPfn + 1, 'ram', 5, 72n]);
  });
});
