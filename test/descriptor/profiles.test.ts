/** Kernel profiles: bit fields of the flags word, and what tells profiles apart. */
import { describe, expect, it } from 'vitest';
import { defaultProfile, fieldMask, placeBits, profiles, takeBits } from '../../dist/src/descriptor/profiles.js';

const all = Object.values(profiles);

describe('the profiles', () => {
  it('are those of three kernels, and 6.1 is the default', () => {
    expect(Object.keys(profiles)).toEqual(['linux-4.17', 'linux-6.1', 'linux-6.16']);
    expect(defaultProfile).toBe('linux-6.1');
  });

  it('have names that are their keys, and tell the release of their kernel', () => {
    for (const [key, { name, release }] of Object.entries(profiles)) {
      expect([key, `linux-${release}`]).toEqual([name, name]);
    }
  });

  it('keep the ids that stand in files', () => {
    expect(Object.fromEntries(all.map(({ name, id }) => [name, id]))).toEqual({
      'linux-6.1': 1,
      'linux-4.17': 2,
      'linux-6.16': 3,
    });
  });

  it('have their page flags where enum pageflags of that version has them', () => {
    expect(Object.fromEntries(all.map(({ name, reservedBit, headBit }) => [name, [reservedBit, headBit]]))).toEqual({
      'linux-4.17': [11, 15],
      'linux-6.1': [12, 16],
      'linux-6.16': [13, 6],
    });
  });
});

describe.each(all)('the flags word of $name', (profile) => {
  it.each([
    ['node', 0xffc0_0000_0000_0000n],
    ['zone', 0x0038_0000_0000_0000n],
    ['lastCpupid', 0x0007_ffff_c000_0000n],
  ] as const)('has its %s in the bits of the mask', (name, mask) => {
    expect(fieldMask(profile[name])).toBe(mask);
  });

  it('gives back what was placed and nothing of its neighbours', () => {
    expect(takeBits(profile.zone, placeBits(profile.zone, 5) | ~fieldMask(profile.zone))).toBe(5);
    expect(takeBits(profile.node, placeBits(profile.node, 1023))).toBe(1023);
  });

  it.each([1024, -1, 1.5, Number.NaN])('refuses node %d', (nid) => {
    expect(() => placeBits(profile.node, nid)).toThrow(
      new RangeError(`${nid} does not fit into 10 bits of the flags word`),
    );
  });
});
