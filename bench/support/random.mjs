/** Random numbers that a seed replays: xorshift32. */

/** @param {number} seed not 0 @returns {(below: number) => number} whole numbers of 0 or more and less than `below`, each equally likely */
export function xorshift(seed) {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}
