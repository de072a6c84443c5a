/** The view of one descriptor: every field as it was initialized, and as somebody changed it. */
import { describe, expect, it } from 'vitest';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { type DescriptorPlace, PageView } from '../../dist/src/descriptor/page-view.js';
import { pagePattern } from '../../dist/src/descriptor/pattern.js';
import { profiles } from '../../dist/src/descriptor/profiles.js';
import type { MemoryKind } from '../../dist/src/physical/topology.js';

const profile = profiles['linux-6.1'];
const startPfn = 0x100_0000;

/** Four descriptors from `startPfn` on, initialized. */
function placeOf(kind: MemoryKind, nid: number, zone: number): DescriptorPlace {
  const words = new Uint32Array(4 * 16);
  const source = { startPfn, endPfn: startPfn + 4, nid, zone, kind };
  jsKernel.fill(words, 0, 4, pagePattern(profile, kind === 'device' ? { ...source, pgmap: 9 } : source), 0);
  return { words, kind, offsetOf: (pfn) => (pfn - startPfn) * 64 };
}

/** Everything that a view tells. */
function read(view: PageView): Record<string, unknown> {
  const { pfn, kind, flags, nid, zone, lastCpupid, reserved, pgmap, lruNext, lruPrev, zoneDeviceData } = view;
  const { mapping, index, mapcount, refcount, memcgData } = view;
  const list = { pgmap, lruNext, lruPrev, zoneDeviceData };
  const rest = { mapping, index, private: view.private, mapcount, refcount, memcgData };
  return { pfn, kind, flags, nid, zone, lastCpupid, reserved, ...list, ...rest };
}

const untouched = { mapping: 0n, index: 0n, private: 0n, mapcount: -1, refcount: 1, memcgData: 0n };

describe('the view of an initialized descriptor', () => {
  it('of RAM tells its node, its zone, and the list that points to itself', () => {
    expect(read(new PageView(profile).moveTo(placeOf('ram', 1, 2), startPfn + 3))).toEqual({
      pfn: startPfn + 3,
      kind: 'ram',
      flags: 0x0057_ffff_c000_0000n,
      nid: 1,
      zone: 2,
      lastCpupid: 2 ** 21 - 1,
      reserved: false,
      pgmap: 0,
      lruNext: 200n,
      lruPrev: 200n,
      zoneDeviceData: undefined,
      ...untouched,
    });
  });

  it('of device memory tells its pgmap, and that it is reserved', () => {
    expect(read(new PageView(profile).moveTo(placeOf('device', 1023, 4), startPfn))).toEqual({
      pfn: startPfn,
      kind: 'device',
      flags: 0xffe7_ffff_c000_1000n,
      nid: 1023,
      zone: 4,
      lastCpupid: 2 ** 21 - 1,
      reserved: true,
      pgmap: 9,
      lruNext: undefined,
      lruPrev: undefined,
      zoneDeviceData: 0n,
      ...untouched,
    });
  });

  it('prints as eight u64, as kernel people do', () => {
    const view = new PageView(profile).moveTo(placeOf('ram', 1, 2), startPfn + 1);
    expect(String(view)).toBe(
      '0057ffffc0000000 0000000000000048 0000000000000048 0000000000000000 ' +
        '0000000000000000 0000000000000000 00000001ffffffff 0000000000000000',
    );
  });
});

describe('the view of a descriptor that somebody changed', () => {
  /** Descriptor 2 with eight lanes, each of other bytes; its neighbours stay as they were. */
  function changed(kind: MemoryKind): PageView {
    const place = placeOf(kind, 1, 2);
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
    return new PageView(profile).moveTo(place, startPfn + 2);
  }

  const common = {
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

  it('prints all its lanes', () => {
    expect(changed('ram').toString()).toBe(
      '8010000040001001 0011111122222222 3333333344444444 5555555566666666 ' +
        '7777777788888888 99999999aaaaaaaa 8000000000000007 fffffffffffffffe',
    );
  });
});

describe('a view', () => {
  it('sees a change at once, without being moved', () => {
    const place = placeOf('ram', 0, 0);
    const view = new PageView(profile).moveTo(place, startPfn);
    expect(view.refcount).toBe(1);
    place.words[13] = 5;
    expect(view.refcount).toBe(5);
  });

  it('is the same object when it is moved, and tells of the new place only', () => {
    const view = new PageView(profile);
    const first = view.moveTo(placeOf('device', 3, 4), startPfn);
    const second = view.moveTo(placeOf('ram', 5, 1), startPfn + 1);
    expect(second).toBe(first);
    expect([second.pfn, second.kind, second.nid, second.lruNext]).toEqual([startPfn + 1, 'ram', 5, 72n]);
  });
});
