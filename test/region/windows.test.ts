/** A range's descriptors are visited in windows of 1 GiB: what a visitor is told on both sides of a border. */
import { describe, expect, it } from 'vitest';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { VmemmapError } from '../../dist/src/errors.js';
import { makePlan } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import { Region } from '../../dist/src/region/region.js';
import { lanesIn, referenceLanes } from '../support/reference.js';
import { firstRange, machine, patternOf, ram } from '../support/regions.js';

const window = 2 ** 24;
const start = 3;
/** Two windows, the second of 1000 descriptors. Nothing but what a test touches takes memory. */
const region = Region.create(
  makePlan(machine(ram(start, window + 1000)), { profile: 'linux-6.1' }),
  'hotplug',
  chooseBacking('shared'),
);
const range = firstRange(region);

/** What a visitor is told for descriptors `[from, to)`, counted from the start of the range. */
function visitsOf(from: number, to: number): unknown[] {
  const visits: unknown[] = [];
  const plain: unknown[] = [];
  range.sumOver(from, to, (words, at, count) => {
    plain.push({ byteOffset: words.byteOffset - range.words.byteOffset, length: words.length, at, count });
    return 0;
  });
  range.sumOverContent(from, to, (words, at, count, pattern, index) => {
    expect(pattern).toBe(patternOf(range));
    const byteOffset = words.byteOffset - range.words.byteOffset;
    visits.push({ byteOffset, length: words.length, at, count, index });
    return 0;
  });
  expect(visits).toMatchObject(plain);
  return visits;
}

const firstWindow = { byteOffset: 0, length: window * 16 };
const secondWindow = { byteOffset: 2 ** 30, length: 1000 * 16 };

describe('sumOver', () => {
  it('visits a run inside a window once', () => {
    expect(visitsOf(5, 7)).toEqual([{ ...firstWindow, at: 80, count: 2, index: 5 }]);
  });

  it('visits a run up to the border once, and one from the border on once', () => {
    expect(visitsOf(window - 3, window)).toEqual([
      { ...firstWindow, at: (window - 3) * 16, count: 3, index: window - 3 },
    ]);
    expect(visitsOf(window, window + 5)).toEqual([{ ...secondWindow, at: 0, count: 5, index: window }]);
  });

  it('splits a run over the border at the border', () => {
    expect(visitsOf(window - 3, window + 5)).toEqual([
      { ...firstWindow, at: (window - 3) * 16, count: 3, index: window - 3 },
      { ...secondWindow, at: 0, count: 5, index: window },
    ]);
  });

  it('visits the whole range window by window', () => {
    expect(visitsOf(0, window + 1000)).toEqual([
      { ...firstWindow, at: 0, count: window, index: 0 },
      { ...secondWindow, at: 0, count: 1000, index: window },
    ]);
  });

  it('visits nothing for an empty run', () => {
    expect(visitsOf(window, window)).toEqual([]);
  });

  it('adds up what its visitor returns', () => {
    expect(range.sumOver(window - 3, window + 5, (_words, _at, count) => count * 10)).toBe(80);
  });

  it('stops at the first result that is not 0 when told to, as with errnos', () => {
    const counts: number[] = [];
    const fail = (_words: Uint32Array, _at: number, count: number): number => counts.push(count) * 5;
    expect(range.sumOver(window - 3, window + 5, fail, true)).toBe(5);
    expect(counts).toEqual([3]);
    counts.length = 0;
    expect(range.sumOverContent(window - 3, window + 5, fail, true)).toBe(5);
    expect(counts).toEqual([3]);
  });

  it('lets the kernel write across the border as if there were none', () => {
    range.sumOverContent(window - 2, window + 2, jsKernel.fill);
    const wanted = [-2, -1, 0, 1].flatMap((i) => referenceLanes(patternOf(range), window + i));
    expect(lanesIn(range.words, (window - 2) * 16, 4)).toEqual(wanted);
    expect(range.words[(window - 2) * 16 - 1]).toBe(0);
    expect(range.words[(window + 2) * 16]).toBe(0);
  });
});

describe('a range of 1 TiB', () => {
  it('has a last descriptor that can be written and read', (context) => {
    let huge: Region;
    try {
      huge = Region.create(
        makePlan(machine(ram(0, 2 ** 28)), { profile: 'linux-6.1' }),
        'hotplug',
        chooseBacking('shared'),
      );
    } catch (error) {
      if (!(error instanceof VmemmapError && error.code === 'NO_MEMORY')) throw error;
      return context.skip('the kernel of this machine refuses to reserve 16 GiB of address space');
    }
    const whole = firstRange(huge);
    const last = 2 ** 28 - 1;
    expect(whole.words.length).toBe(2 ** 32);
    expect(whole.offsetOf(last)).toBe(2 ** 34 - 64);
    whole.sumOverContent(last, last + 1, jsKernel.fill);
    const lane = (at: number): number | undefined => whole.words[last * 16 + at];
    expect([lane(2), lane(3), lane(13)]).toEqual([0xffff_ffc8, 3, 1]);
  });
});
