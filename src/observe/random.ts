/** A small seeded generator, so that a run's random faults can be had again by its seed. Not for secrets. */

/** Numbers in [0, 1), the same sequence for the same 32-bit seed (the mulberry32 mixing function). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
