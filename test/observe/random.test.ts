/** The seeded generator: one seed, one sequence, spread evenly. */
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../dist/src/observe/random.js';

function sequence(seed: number, count: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, random);
}

describe('a seeded generator', () => {
  it('replays its sequence for the same seed', () => {
    expect(sequence(42, 1000)).toEqual(sequence(42, 1000));
  });

  it('does not change from version to version: reports name seeds', () => {
    expect(sequence(1, 4).map((value) => Math.floor(value * 2 ** 32))).toEqual([
      2_693_262_067, 11_749_833, 2_265_367_787, 4_213_581_821,
    ]);
  });

  it('gives another sequence for another seed, also for one that differs in the highest bit only', () => {
    expect(sequence(1, 10)).not.toEqual(sequence(2, 10));
    expect(sequence(1, 10)).not.toEqual(sequence(1 + 2 ** 31, 10));
  });

  it('is independent of other generators with the same seed', () => {
    const [one, other] = [seededRandom(7), seededRandom(7)];
    const mixed = [one(), other(), one(), other()];
    expect(mixed.filter((_, index) => index % 2 === 0)).toEqual(sequence(7, 2));
    expect(mixed.filter((_, index) => index % 2 === 1)).toEqual(sequence(7, 2));
  });

  it('stays in [0, 1) and meets every hundredth of it about equally often', () => {
    const counts = new Int32Array(100);
    for (const value of sequence(3, 100_000)) {
      expect(value >= 0 && value < 1).toBe(true);
      const hundredth = Math.floor(value * 100);
      counts[hundredth] = (counts[hundredth] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  });
});
