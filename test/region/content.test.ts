/** What belongs into a range, when it has segments of several kinds: which pattern a visitor is told for which descriptors. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import type { Content, Pattern } from '../../dist/src/descriptor/pattern.js';
import { nativeKernels } from '../../dist/src/native.js';
import { chunkGeometry } from '../../dist/src/physical/geometry.js';
import type { Segment } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import { Region } from '../../dist/src/region/region.js';
import { lanesIn } from '../support/reference.js';
import { firstRange } from '../support/regions.js';

const two64 = 2n ** 64n;

/** A pattern with these lanes in its template and its step; the rest are zeros. */
function patternOfLanes(template: readonly bigint[], step: readonly bigint[] = []): Pattern {
  const lanes = new BigUint64Array(16);
  template.forEach((lane, at) => {
    lanes[at] = lane;
  });
  step.forEach((lane, at) => {
    lanes[8 + at] = lane;
  });
  return new Uint32Array(lanes.buffer);
}

/** A region of one range that begins at pfn `startPfn` and has these segments, of so many pages. */
function regionOf(startPfn: number, segments: readonly (readonly [pages: number, content: Content])[]): Region {
  const tiled: Segment[] = [];
  let next = startPfn;
  for (const [pages, content] of segments) {
    tiled.push({ startPfn: next, endPfn: next + pages, use: 'present', content });
    next += pages;
  }
  const geometry = chunkGeometry({ startPfn, endPfn: next }, 512);
  const range = { ...geometry, nid: 0, zone: 4, kind: 'device' as const, pgmap: 1, segments: tiled };
  return Region.create({ ranges: [range], profileId: 1, platform: 'x86-64' }, 'hotplug', chooseBacking('shared'));
}

/** The eight lanes of each descriptor as the definition of `Content` says, with big integers. */
function wantedLanes(region: Region): bigint[] {
  const range = firstRange(region);
  return range.segments.flatMap(({ startPfn, endPfn, content: { periodPages, parts } }) =>
    Array.from({ length: endPfn - startPfn }, (_, page) => {
      const part = parts.findLast(({ at }) => at <= page % periodPages);
      const lanes = new BigUint64Array(Uint32Array.from(part?.pattern ?? []).buffer);
      const times = BigInt(periodPages === 1 ? startPfn + page - range.startPfn : Math.floor(page / periodPages));
      return Array.from({ length: 8 }, (_unused, lane) => {
        return ((lanes[lane] as bigint) + (lanes[8 + lane] as bigint) * times) % two64;
      });
    }).flat(),
  );
}

const kernels = [jsKernel, ...nativeKernels];
const u64 = fc.bigInt({ min: 0n, max: two64 - 1n });
// steps of descriptors are small; see the kernel in JavaScript
const anyPattern = fc
  .tuple(
    fc.array(u64, { minLength: 8, maxLength: 8 }),
    fc.array(fc.bigInt({ min: 0n, max: 2n ** 24n }), { maxLength: 8 }),
  )
  .map(([template, step]) => patternOfLanes(template, step));
const anyContent: fc.Arbitrary<Content> = fc.oneof(
  anyPattern.map((pattern) => ({ periodPages: 1, parts: [{ at: 0, pattern }] })),
  fc
    .tuple(fc.array(anyPattern, { minLength: 1, maxLength: 4 }), fc.integer({ min: 0, max: 60 }))
    .map(([patterns, more]) => ({
      periodPages: patterns.length + 1 + more,
      parts: patterns.map((pattern, at) => ({ at: at === 3 ? 4 : at, pattern })),
    })),
);
const anySegments = fc.array(fc.tuple(fc.integer({ min: 1, max: 700 }), anyContent), { minLength: 1, maxLength: 5 });

describe('the content of a range', () => {
  prop.prop([fc.integer({ min: 0, max: 2000 }), anySegments], { numRuns: 40 })(
    'is written as it is defined, by every kernel, whatever the chunks, and found right',
    (startPfn, segments) => {
      const region = regionOf(startPfn, segments);
      const range = firstRange(region);
      const wanted = wantedLanes(region);
      for (const kernel of kernels) {
        // that one leaves out zeros, for memory that nobody has written to
        range.words.fill(kernel.storePath === 'native-sparse' ? 0 : 0xdead);
        for (let chunk = range.chunks - 1; chunk >= 0; chunk--)
          range.sumOverChunkContent(chunk, chunk + 1, kernel.fill, true);
        expect(lanesIn(range.words, 0, range.pages)).toEqual(wanted);
        expect(range.sumOverContent(0, range.pages, kernel.check)).toBe(0);
      }
    },
  );

  it('with a period steps from one period to the next, carries into the high half, and begins anew in each segment', () => {
    const head = patternOfLanes([0x1_0000n, 2n ** 32n - 1n], [0n, 1n]);
    const tail = patternOfLanes([0x2n, 9n], [0n, 0x8000n]);
    const compound = {
      periodPages: 4,
      parts: [
        { at: 0, pattern: head },
        { at: 1, pattern: tail },
      ],
    };
    const region = regionOf(8, [
      [8, compound],
      [6, compound],
    ]);
    const range = firstRange(region);
    range.sumOverContent(0, range.pages, jsKernel.fill);
    const seconds = lanesIn(range.words, 0, range.pages).filter((_, lane) => lane % 8 === 1);
    const once = [0xffff_ffffn, 9n, 9n, 9n, 0x1_0000_0000n, 0x8009n, 0x8009n, 0x8009n];
    expect(seconds).toEqual([...once, ...once.slice(0, 6)]);
  });

  it('is told in runs of one pattern, with the number of the first descriptor', () => {
    const [a, b] = [patternOfLanes([1n]), patternOfLanes([2n])];
    const plain = (pattern: Pattern): Content => ({ periodPages: 1, parts: [{ at: 0, pattern }] });
    const range = firstRange(
      regionOf(5, [
        [10, plain(a)],
        [1, plain(b)],
        [600, plain(a)],
      ]),
    );
    const runsOf = (from: number, to: number): unknown[] => {
      const runs: unknown[] = [];
      range.sumOverContent(from, to, (_words, at, count, pattern, index) => {
        expect(at).toBe(index * 16);
        runs.push([index, count, pattern === a ? 'a' : 'b']);
        return 0;
      });
      return runs;
    };
    expect(runsOf(0, 10)).toEqual([[0, 10, 'a']]);
    expect(runsOf(10, 11)).toEqual([[10, 1, 'b']]);
    expect(runsOf(9, 12)).toEqual([
      [9, 1, 'a'],
      [10, 1, 'b'],
      [11, 1, 'a'],
    ]);
    expect(runsOf(11, 611)).toEqual([[11, 600, 'a']]);
    expect(runsOf(11, 11)).toEqual([]);
  });
});
