/** Releases of kernels, and which of two is the later one. */
import { describe, expect, it } from 'vitest';
import { atLeast, parseRelease } from '../../dist/src/physical/release.js';

describe('a release', () => {
  it.each([
    ['5.17', true],
    ['5.17.0-rc4-00015-g45dfb8a5659a', true],
    ['6.0', true],
    ['10.2', true],
    // linux-next is on its way to the release after the one in its name
    ['5.16.0-rc8-next-20220101', true],
    ['5.15.0-rc8-next-20211001', false],
    ['5.16.99', false],
    ['4.19.19.mx64.244', false],
    ['5', false],
    ['', false],
    ['zebra', false],
    ['5.1', false],
    ['1234.1', false],
  ])('%s is 5.17 or later: %s', (release, is) => {
    expect(atLeast(release, 5, 17)).toBe(is);
  });

  it.each([
    ['5.11.7', 5_011_007, false],
    ['5.10.0-8-amd64', 5_010_000, true],
    ['5.10.0-01370-g71c5f03154ac', 5_010_000, false],
    ['6.1', 6_001_000, false],
    ['5.4.0-rc4-next-20191021', 5_005_000, false],
  ])('%s is one number to compare, %i; a distribution hides its patch level: %s', (release, age, isDistribution) => {
    expect(parseRelease(release)).toEqual({ age, isDistribution });
  });

  it.each(['', '6', 'v6.1', ' 6.1', '1234.1'])('%j is none', (release) => {
    expect(parseRelease(release)).toBeUndefined();
  });
});
