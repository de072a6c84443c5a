/** What a user changes between two power cuts: numbered changes, each of a descriptor that follows from its number. */
import { seededRandom } from '../../../dist/src/observe/random.js';

/** Word of a descriptor that is changed: the lower half of its private field. */
export const changedWord = 10;

/**
 * The pfn whose descriptor a change is made to, its number being the new value: so whoever finds a value knows whether it was put
 * there.
 * @param {number} seed
 * @param {number} value 1 and above.
 * @param {number} pages of a range that begins with pfn 0.
 */
export function pfnOfChange(seed, value, pages) {
  return Math.floor(seededRandom(Math.imul(value, 0x9e3779b1) ^ seed)() * pages);
}
