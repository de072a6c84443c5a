/** Patterns: what Linux 6.1 was seen to write, and what a user's own table gets. */
import { describe, expect, it } from 'vitest';
import { type PatternSource, pagePattern, tablePattern } from '../../dist/src/descriptor/pattern.js';
import { fieldMask, placeBits, profiles, takeBits } from '../../dist/src/descriptor/profiles.js';
import type { MemoryKind } from '../../dist/src/physical/topology.js';
import { referenceLanes, writtenLine } from '../support/reference.js';

const profile = profiles['linux-6.1'];

function source(changes: Partial<PatternSource> = {}): PatternSource {
  return { startPfn: 0, endPfn: 512, nid: 1, zone: 2, kind: 'ram', ...changes };
}

const device = (pgmap: number): Partial<PatternSource> => ({ kind: 'device', zone: 4, pgmap });

/** The flags word of a pattern. */
function flagsOf(changes: Partial<PatternSource>): string {
  const [flags = 0n] = referenceLanes(pagePattern(profile, source(changes)), 0);
  return flags.toString(16).padStart(16, '0');
}

describe('the descriptor that Linux 6.1.192 was seen to write', () => {
  it.each([0, 1, 4095])('for pmem of node 1 is the same line for every pfn of the namespace (%i)', (index) => {
    expect(writtenLine(pagePattern(profile, source(device(0x5a))), index)).toBe(
      '0067ffffc0001000 000000000000005a 0000000000000000 0000000000000000 ' +
        '0000000000000000 0000000000000000 00000001ffffffff 0000000000000000',
    );
  });

  it.each([
    [0, '0000000000000008'],
    [1, '0000000000000048'],
    [4095, '000000000003ffc8'],
    [2 ** 28 - 1, '00000003ffffffc8'],
  ])('for Normal RAM of node 1 has a list that points to itself (descriptor %i: &self + 8 is %s)', (index, self) => {
    expect(writtenLine(pagePattern(profile, source()), index)).toBe(
      `0057ffffc0000000 ${self} ${self} 0000000000000000 ` +
        '0000000000000000 0000000000000000 00000001ffffffff 0000000000000000',
    );
  });
});

describe('the flags word', () => {
  it.each([
    [0, 0, '0007ffffc0000000'],
    [0, 1, '000fffffc0000000'],
    [0, 2, '0017ffffc0000000'],
    [0, 3, '001fffffc0000000'],
    [1, 0, '0047ffffc0000000'],
    [1023, 0, 'ffc7ffffc0000000'],
    [1023, 2, 'ffd7ffffc0000000'],
    [1023, 3, 'ffdfffffc0000000'],
  ])('of RAM of node %i in zone %i is %s', (nid, zone, flags) => {
    expect(flagsOf({ nid, zone })).toBe(flags);
  });

  it.each([
    [0, '0027ffffc0001000'],
    [1, '0067ffffc0001000'],
    [1023, 'ffe7ffffc0001000'],
  ])('of device memory of node %i has PG_reserved: %s', (nid, flags) => {
    expect(flagsOf({ ...device(1), nid })).toBe(flags);
  });

  it('holds zones up to 7 and no other', () => {
    expect(flagsOf({ zone: 7 })).toBe('007fffffc0000000');
    expect(() => flagsOf({ zone: 8 })).toThrow(new RangeError('8 does not fit into 3 bits of the flags word'));
  });

  it.each([1024, -1, 1.5, Number.NaN])('refuses node %d', (nid) => {
    expect(() => flagsOf({ nid })).toThrow(new RangeError(`${nid} does not fit into 10 bits of the flags word`));
  });
});

describe('a bit field', () => {
  it.each([
    ['node', 0xffc0_0000_0000_0000n],
    ['zone', 0x0038_0000_0000_0000n],
    ['lastCpupid', 0x0007_ffff_c000_0000n],
  ] as const)('%s covers the bits of its mask', (name, mask) => {
    expect(fieldMask(profile[name])).toBe(mask);
  });

  it('gives back what was placed and nothing of its neighbours', () => {
    expect(takeBits(profile.zone, placeBits(profile.zone, 5) | ~fieldMask(profile.zone))).toBe(5);
    expect(takeBits(profile.node, placeBits(profile.node, 1023))).toBe(1023);
  });
});

describe('the pattern of device memory', () => {
  it('holds a pgmap of more than 32 bits whole', () => {
    expect(referenceLanes(pagePattern(profile, source(device(2 ** 33 + 5))), 0)[1]).toBe(2n ** 33n + 5n);
  });

  it('has no step: initializing it is copying', () => {
    expect([...pagePattern(profile, source(device(7))).subarray(16)]).toEqual(Array.from({ length: 16 }, () => 0));
  });
});

describe('the pattern of RAM', () => {
  it('steps by 64 in both list pointers and nowhere else', () => {
    const step = [...pagePattern(profile, source()).subarray(16)];
    expect(step).toEqual([0, 0, 64, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('takes the reference count that the profile has for its kind of memory', () => {
    const later = { ...profile, refcount: { ram: 1, device: 0 } satisfies Record<MemoryKind, number>, reservedBit: 14 };
    expect(referenceLanes(pagePattern(later, source()), 0)[6]).toBe(0x0000_0001_ffff_ffffn);
    expect(referenceLanes(pagePattern(later, source(device(1))), 0)[6]).toBe(0x0000_0000_ffff_ffffn);
    expect(referenceLanes(pagePattern(later, source(device(1))), 0)[0]).toBe(0x0067_ffff_c000_4000n);
  });
});

describe('the pattern of a table', () => {
  const template = Uint8Array.from({ length: 64 }, (_, byte) => byte + 1);

  it('is the template alone when no word receives the number', () => {
    const pattern = tablePattern(template, undefined, 99);
    expect([...new Uint8Array(pattern.buffer, 0, 64)]).toEqual([...template]);
    expect([...pattern.subarray(16)]).toEqual(Array.from({ length: 16 }, () => 0));
  });

  it.each(Array.from({ length: 16 }, (_, word) => word))(
    'puts the number into word %i and leaves the others',
    (word) => {
      const pattern = tablePattern(template, word, 2 ** 28);
      const wanted = new Uint32Array(template.slice().buffer);
      wanted[word] = 2 ** 28 + 12_345;
      expect(referenceLanes(pattern, 12_345)).toEqual([...new BigUint64Array(wanted.buffer)]);
    },
  );
});
