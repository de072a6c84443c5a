/**
 * What is written, by profile, kind of memory and use: against descriptors that real kernels were seen to write, in public
 * logs (dump_page, KASAN reports) and in an emulated machine, and against the sources where nobody has printed one.
 */
import { describe, expect, it } from 'vitest';
import { type ContentSource, contentOf, pagePattern } from '../../dist/src/descriptor/content.js';
import { packContent } from '../../dist/src/descriptor/pattern.js';
import { type ProfileName, profiles } from '../../dist/src/descriptor/profiles.js';
import type { PageUse } from '../../dist/src/physical/zones.js';
import { referenceLanes, writtenLine } from '../support/reference.js';

const zero = '0000000000000000';

function source(changes: Partial<ContentSource> = {}): ContentSource {
  return { startPfn: 0, endPfn: 2 ** 20, nid: 1, zone: 2, kind: 'ram', ...changes };
}

const device: Partial<ContentSource> = { kind: 'device', zone: 4, pgmap: 0x5a };

/** What a segment that is the whole range gets. */
function packed(profile: ProfileName, changes: Partial<ContentSource> = {}, use: PageUse = 'present'): Uint32Array {
  const range = source(changes);
  return packContent(contentOf(profiles[profile], range, { ...range, use }), 0);
}

/** Descriptor `index` of it, as kernel people print it. */
function line(profile: ProfileName, index: number, changes: Partial<ContentSource> = {}, use?: PageUse): string {
  return writtenLine(packed(profile, changes, use), index);
}

/** A line of a log, whose list pointers are addresses: told as offsets from the start of the memmap. */
function fromLog(text: string, vmemmapStart: bigint): string {
  const words = text.split(' ').map((word) => BigInt(`0x${word}`));
  const isPointer = (word: bigint): boolean => word >= vmemmapStart && word < vmemmapStart + 2n ** 40n;
  return words.map((word) => (isPointer(word) ? word - vmemmapStart : word).toString(16).padStart(16, '0')).join(' ');
}

describe('linux-6.1 writes what Linux 6.1.192 was seen to write', () => {
  it.each([0, 1, 4095])('for pmem of node 1: the same line for every pfn of the namespace (%i)', (index) => {
    expect(line('linux-6.1', index, device)).toBe(
      `0067ffffc0001000 000000000000005a ${zero} ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
    );
  });

  it.each([
    [0, '0000000000000008'],
    [1, '0000000000000048'],
    [4095, '000000000003ffc8'],
    [2 ** 28 - 1, '00000003ffffffc8'],
  ])('for Normal RAM of node 1: a list that points to itself (descriptor %i: &self + 8 is %s)', (index, self) => {
    expect(line('linux-6.1', index)).toBe(
      `0057ffffc0000000 ${self} ${self} ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
    );
  });
});

describe('linux-6.1 writes what logs of kernels of its time show', () => {
  it('for page 0, which lies in a hole and belongs to zone DMA', () => {
    const seen = `0007ffffc0001000 ffffe742c0000008 ffffe742c0000008 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`;
    const zoneDma = { nid: 0, zone: 0 };
    expect(line('linux-6.1', 0, zoneDma, 'unavailable')).toBe(fromLog(seen, 0xffff_e742_c000_0000n));
  });

  it('for memory that was reserved at boot, a page of the kernel itself', () => {
    const seen = `0017ffffc0001000 ffffea000468e208 ffffea000468e208 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`;
    expect(line('linux-6.1', 0x11_a388, { nid: 0, endPfn: 2 ** 21 }, 'reserved')).toBe(
      fromLog(seen, 0xffff_ea00_0000_0000n),
    );
  });

  it('for memory that was reserved in zone Movable', () => {
    const seen = `001fffffc0001000 ffffdd6384ffc008 ffffdd6384ffc008 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`;
    expect(line('linux-6.1', 0x13_ff00, { nid: 0, zone: 3, endPfn: 2 ** 21 }, 'reserved')).toBe(
      fromLog(seen, 0xffff_dd63_8000_0000n),
    );
  });
});

describe('linux-6.16 writes what logs of kernels from 6.11 on show', () => {
  it('for memory that was reserved at boot: PG_reserved is bit 13', () => {
    const seen = `0017ffffc0002000 ffffea0006ad01c8 ffffea0006ad01c8 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`;
    expect(line('linux-6.16', 0x1a_b407, { nid: 0, endPfn: 2 ** 21 }, 'reserved')).toBe(
      fromLog(seen, 0xffff_ea00_0000_0000n),
    );
  });

  it('for device memory whose users are counted from 0, but for the last cpupid, for which that kernel had no bits', () => {
    const seen = `0020000000002000 ff1100015e3ab440 ${zero} ${zero} ${zero} ${zero} 00000000ffffffff ${zero}`;
    const written = line('linux-6.16', 5, { ...device, nid: 0, mode: 'fsdax' });
    expect(
      written.replace('0027ffffc0002000', '0020000000002000').replace('000000000000005a', 'ff1100015e3ab440'),
    ).toBe(seen);
  });

  it('for the first tail of a compound page, but for its flags and its head', () => {
    const seen = `00000000ffffffff 00000000ffffffff ffffffffffffffff ${zero} 00000000ffffffff 0000000000000008`;
    const written = line('linux-6.16', 1, { ...device, mode: 'devdax', compoundPages: 8 });
    expect(written.split(' ').slice(2).join(' ')).toBe(seen);
  });
});

describe('linux-4.17 writes what logs of kernels before 4.18 show', () => {
  it('for RAM: the list behind the counts. In this log the page had lost its reference', () => {
    const seen = `0017ffffc0000000 ${zero} ${zero} 00000000ffffffff ffffea00718f2fe0 ffffea00718f2fe0 ${zero} ${zero}`;
    const pfn = 0x718f_2fc0 / 64;
    const written = line('linux-4.17', pfn, { nid: 0, endPfn: 2 ** 26 });
    expect(written.replace('00000001ffffffff', '00000000ffffffff')).toBe(fromLog(seen, 0xffff_ea00_0000_0000n));
  });

  it('for reserved memory: 17ffffc0000800 are its flags', () => {
    expect(line('linux-4.17', 0, { nid: 0 }, 'reserved')).toBe(
      `0017ffffc0000800 ${zero} ${zero} 00000001ffffffff 0000000000000020 0000000000000020 ${zero} ${zero}`,
    );
  });
});

describe('single pages by the sources', () => {
  it.each<[ProfileName, 'fsdax' | 'devdax', string]>([
    ['linux-6.1', 'fsdax', '00000001ffffffff'],
    ['linux-6.1', 'devdax', '00000001ffffffff'],
    ['linux-6.16', 'fsdax', '00000000ffffffff'],
    ['linux-6.16', 'devdax', '00000001ffffffff'],
  ])('%s counts an untouched page of %s as %s', (profile, mode, counts) => {
    const flags = profile === 'linux-6.1' ? '0067ffffc0001000' : '0067ffffc0002000';
    expect(line(profile, 9, { ...device, mode })).toBe(
      `${flags} 000000000000005a ${zero} ${zero} ${zero} ${zero} ${counts} ${zero}`,
    );
  });

  it.each(['fsdax', 'devdax'] as const)('linux-4.17 leaves a list poison beside the pgmap of %s', (mode) => {
    expect(line('linux-4.17', 9, { ...device, mode })).toBe(
      `0067ffffc0000800 ${zero} ${zero} 00000001ffffffff 000000000000005a dead000000000200 ${zero} ${zero}`,
    );
  });

  it('takes device memory for fsdax unless it is told', () => {
    expect(line('linux-6.16', 0, device)).toBe(line('linux-6.16', 0, { ...device, mode: 'fsdax' }));
  });

  it.each<[ProfileName, string]>([
    [
      'linux-4.17',
      `0067ffffc0000800 ${zero} ${zero} 00000001ffffffff 0000000000000260 0000000000000260 ${zero} ${zero}`,
    ],
    [
      'linux-6.1',
      `0067ffffc0001000 0000000000000248 0000000000000248 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
    ],
    [
      'linux-6.16',
      `0067ffffc0002000 0000000000000248 0000000000000248 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
    ],
  ])('%s initializes pages of an altmap like reserved RAM, in zone Device', (profile, wanted) => {
    expect(line(profile, 9, device, 'altmap')).toBe(wanted);
    expect(line(profile, 9, { ...device, mode: 'devdax', compoundPages: 512 }, 'altmap')).toBe(wanted);
  });

  it.each<[ProfileName, string]>([
    ['linux-4.17', `0000000000000800 ${zero} ${zero} ${zero} 0000000000000260 0000000000000260 ${zero} ${zero}`],
    [
      'linux-6.1',
      `0057ffffc0001000 0000000000000248 0000000000000248 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
    ],
    [
      'linux-6.16',
      `0057ffffc0002000 0000000000000248 0000000000000248 ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
    ],
  ])('%s: pages in holes are reserved, and before 4.18 have no node, no zone and no counts', (profile, wanted) => {
    expect(line(profile, 9, {}, 'unavailable')).toBe(wanted);
  });

  it.each(Object.values(profiles))(
    '$name: RAM that is present differs from reserved RAM in PG_reserved alone',
    (profile) => {
      const present = referenceLanes(pagePattern(profile, source()), 3);
      const reserved = referenceLanes(pagePattern(profile, source(), 'reserved'), 3);
      expect(reserved.map((lane, i) => lane ^ (present[i] as bigint))).toEqual([
        1n << BigInt(profile.reservedBit),
        ...Array.from({ length: 7 }, () => 0n),
      ]);
    },
  );
});

describe('the flags word', () => {
  it.each([
    [0, 0, '0007ffffc0000000'],
    [0, 1, '000fffffc0000000'],
    [0, 3, '001fffffc0000000'],
    [1, 0, '0047ffffc0000000'],
    [1023, 2, 'ffd7ffffc0000000'],
    [1023, 3, 'ffdfffffc0000000'],
  ])('of RAM of node %i in zone %i is %s', (nid, zone, flags) => {
    expect(line('linux-6.1', 0, { nid, zone }).split(' ')[0]).toBe(flags);
  });

  it('of device memory of the highest node there is', () => {
    expect(line('linux-6.1', 0, { ...device, nid: 1023 }).split(' ')[0]).toBe('ffe7ffffc0001000');
  });

  it('holds zones up to 7 and no other', () => {
    expect(line('linux-6.1', 0, { zone: 7 }).split(' ')[0]).toBe('007fffffc0000000');
    expect(() => line('linux-6.1', 0, { zone: 8 })).toThrow(
      new RangeError('8 does not fit into 3 bits of the flags word'),
    );
  });

  it('refuses a node that it cannot hold', () => {
    expect(() => line('linux-6.1', 0, { nid: 1024 })).toThrow(RangeError);
  });
});

describe('patterns', () => {
  it('of device memory hold a pgmap of more than 32 bits whole', () => {
    expect(referenceLanes(packed('linux-6.1', { ...device, pgmap: 2 ** 33 + 5 }), 0)[1]).toBe(2n ** 33n + 5n);
  });

  it('of device memory have no step: initializing it is copying', () => {
    expect([...packed('linux-4.17', device).subarray(16)]).toEqual(Array.from({ length: 16 }, () => 0));
  });

  it.each<[ProfileName, number]>([
    ['linux-4.17', 4],
    ['linux-6.1', 1],
    ['linux-6.16', 1],
  ])('of RAM (%s) step by 64 in both list pointers and nowhere else', (profile, lane) => {
    const step = Array.from({ length: 16 }, () => 0);
    step[lane * 2] = 64;
    step[lane * 2 + 2] = 64;
    expect([...packed(profile).subarray(16)]).toEqual(step);
  });
});

describe('compound pages of devdax', () => {
  const devdax = (compoundPages: number): Partial<ContentSource> => ({ ...device, mode: 'devdax', compoundPages });
  const counts = '00000000ffffffff';
  const tailMapping = 'dead000000000400';

  it.each([512, 2 ** 18])('linux-6.1: a head, a first tail and equal tails, again and again (%i pages)', (pages) => {
    const nr = pages.toString(16).padStart(8, '0');
    const order = Math.log2(pages).toString(16).padStart(2, '0');
    for (const period of [0, 1, 5]) {
      const first = period * pages;
      const head = (first * 64 + 1).toString(16).padStart(16, '0');
      expect(line('linux-6.1', first, devdax(pages))).toBe(
        `0067ffffc0011000 000000000000005a ${zero} ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
      );
      expect(line('linux-6.1', first + 1, devdax(pages))).toBe(
        `0067ffffc0001000 ${head} ffffffff0000${order}01 ${nr}00000000 ${zero} ${zero} ${counts} ${zero}`,
      );
      for (const index of [2, 3, 127, pages - 1]) {
        expect(line('linux-6.1', first + index, devdax(pages))).toBe(
          `0067ffffc0001000 ${head} ${zero} ${tailMapping} ${zero} ${zero} ${counts} ${zero}`,
        );
      }
    }
  });

  it.each([512, 2 ** 18])('linux-6.16: the same with the fields of a folio (%i pages)', (pages) => {
    const nr = pages.toString(16).padStart(16, '0');
    const order = Math.log2(pages).toString(16).padStart(2, '0');
    for (const period of [0, 3]) {
      const first = period * pages;
      const head = (first * 64 + 1).toString(16).padStart(16, '0');
      expect(line('linux-6.16', first, devdax(pages))).toBe(
        `0067ffffc0002040 000000000000005a ${zero} ${zero} ${zero} ${zero} 00000001ffffffff ${zero}`,
      );
      expect(line('linux-6.16', first + 1, devdax(pages))).toBe(
        `0067ffffc00020${order} ${head} ${counts} ${counts} ffffffffffffffff ${zero} ${counts} ${nr}`,
      );
      for (const index of [2, 3, pages - 1]) {
        expect(line('linux-6.16', first + index, devdax(pages))).toBe(
          `0067ffffc0002000 ${head} ${zero} ${tailMapping} ${zero} ${zero} ${counts} ${zero}`,
        );
      }
    }
  });

  it('are single pages before 5.17, which made none', () => {
    expect(contentOf(profiles['linux-4.17'], source(devdax(512)), { ...source(), use: 'present' })).toEqual(
      contentOf(profiles['linux-4.17'], source(devdax(1)), { ...source(), use: 'present' }),
    );
  });

  it('are single pages when a compound page has one page', () => {
    expect(line('linux-6.1', 1, devdax(1))).toBe(line('linux-6.1', 1, { ...device, mode: 'devdax' }));
  });

  it('of two pages have a first tail and no other', () => {
    const { parts } = contentOf(profiles['linux-6.16'], source(devdax(2)), { ...source(), use: 'present' });
    expect(parts.map(({ at }) => at)).toEqual([0, 1]);
  });

  it('begin where the segment begins, behind an altmap, and point to heads from the start of the range', () => {
    const range = source({ ...devdax(512), startPfn: 1000 });
    const content = contentOf(profiles['linux-6.1'], range, { startPfn: 1300, endPfn: 1300 + 2048, use: 'present' });
    const written = packContent(content, 300);
    expect(writtenLine(written, 300)).toContain('0067ffffc0011000');
    const head = ((300 + 512) * 64 + 1).toString(16).padStart(16, '0');
    for (const index of [300 + 513, 300 + 1023]) expect(writtenLine(written, index).split(' ')[1]).toBe(head);
    expect(writtenLine(written, 300 + 1024)).toContain('0067ffffc0011000');
  });

  it.each([0, 3, 511, -512, 1.5, 2 ** 29, Number.NaN, Number.POSITIVE_INFINITY])('of %d pages are refused', (pages) => {
    expect(() => line('linux-6.1', 0, devdax(pages))).toThrow(
      new RangeError(`compoundPages must be a power of two up to 268435456, not ${pages}`),
    );
  });

  it('are refused where the memory is fsdax', () => {
    expect(() => line('linux-6.1', 0, { ...device, mode: 'fsdax', compoundPages: 512 })).toThrow(
      new RangeError('compoundPages is 512, but only memory of mode devdax has compound pages'),
    );
  });
});
