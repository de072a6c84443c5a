/** Ranges of several contents: each descriptor gets that of its segment, however a run is cut, and an attaching thread sees the same. */
import { describe, expect, it } from 'vitest';
import { contentOf } from '../../dist/src/descriptor/content.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { type Content, type ContentPart, partsMax } from '../../dist/src/descriptor/pattern.js';
import { profiles } from '../../dist/src/descriptor/profiles.js';
import { VmemmapError } from '../../dist/src/errors.js';
import { chunkGeometry } from '../../dist/src/physical/geometry.js';
import type { PageUse } from '../../dist/src/physical/zones.js';
import type { Plan } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import type { RegionRange } from '../../dist/src/region/range.js';
import { Region } from '../../dist/src/region/region.js';
import { decodeSuperblock, encodeSuperblock } from '../../dist/src/region/superblock.js';
import { contentLanes, lanesIn } from '../support/reference.js';

const startPfn = 2 ** 33 + 700;
const profile = profiles['linux-6.16'];

/** A devdax range: an altmap off a pageblock, compound pages behind it, and a piece that is reserved. */
function planOf(compoundPages: number): Plan {
  const extent = { startPfn, endPfn: startPfn + 20_000 };
  const range = { ...extent, nid: 2, zone: 4, kind: 'device', pgmap: 8, mode: 'devdax', compoundPages } as const;
  const uses: [PageUse, number, number][] = [
    ['altmap', 0, 333],
    ['present', 333, 17_000],
    ['reserved', 17_000, 20_000],
  ];
  const segments = uses.map(([use, first, end]) => {
    const segment = { use, startPfn: startPfn + first, endPfn: startPfn + end };
    return { ...segment, content: contentOf(profile, range, segment) };
  });
  return { ranges: [{ ...chunkGeometry(extent, 512), ...range, segments }], profileId: profile.id, platform: 'x86-64' };
}

const regionOf = (plan: Plan): Region => Region.create(plan, 'hotplug', chooseBacking('shared'));

/** The lanes that descriptor `index` of the range has to have. */
function wantedLanes({ segments }: RegionRange, index: number): bigint[] {
  const segment = segments.find(({ endPfn }) => startPfn + index < endPfn);
  if (!segment) throw new Error('a page of no segment');
  return contentLanes(segment.content, segment.startPfn - startPfn, index);
}

describe.each([512, 4096])('a range of segments, one of them with compound pages of %i pages,', (compoundPages) => {
  it.each([
    ['all at once', [0, 20_000]],
    ['cut at each chunk', Array.from({ length: 41 }, (_, chunk) => Math.min(20_000, Math.max(0, chunk * 512 - 188)))],
    ['cut at odd places', [0, 1, 332, 333, 334, 335, 336, 845, 846, 847, 16_999, 17_000, 17_001, 20_000]],
  ])('is written %s', (_, cuts) => {
    const region = regionOf(planOf(compoundPages));
    const range = region.ranges[0] as RegionRange;
    for (let i = 1; i < cuts.length; i++) {
      expect(range.sumOverContent(cuts[i - 1] as number, cuts[i] as number, jsKernel.fill, true)).toBe(0);
    }
    for (const index of [0, 332, 333, 334, 335, 844, 845, 846, 847, 10_000, 16_999, 17_000, 19_999]) {
      expect([index, ...lanesIn(range.words, index * 16)]).toEqual([index, ...wantedLanes(range, index)]);
    }
    expect(range.sumOverContent(0, 20_000, jsKernel.check)).toBe(0);
  });

  it('is checked by an attaching thread with what the opener has written', () => {
    const region = regionOf(planOf(compoundPages));
    const [range] = region.ranges as [RegionRange];
    range.sumOverContent(0, 20_000, jsKernel.fill);
    const attached = Region.attach(structuredClone(region.handle)).ranges[0] as RegionRange;
    expect(attached.segments).toEqual(range.segments);
    expect(attached.sumOverContent(0, 20_000, jsKernel.check)).toBe(0);
    const word = (333 + compoundPages + 1) * 16 + 3;
    range.words[word] = (range.words[word] as number) ^ 4;
    expect(attached.sumOverContent(0, 20_000, jsKernel.check)).toBe(1);
  });
});

describe('a superblock', () => {
  const refuse = (_: string, what: string): VmemmapError => new VmemmapError('FILE_DAMAGED', what);

  /** Contents of so many parts. */
  function planWithParts(count: number): Plan {
    const plan = planOf(512);
    const part = (at: number): ContentPart => ({ at, pattern: new Uint32Array(32).fill(at) });
    const content: Content = { periodPages: 512, parts: Array.from({ length: count }, (_, at) => part(at)) };
    const [range] = plan.ranges as [Plan['ranges'][number]];
    return { ...plan, ranges: [{ ...range, segments: range.segments.map((segment) => ({ ...segment, content })) }] };
  }

  it('takes contents of as many parts as the addon does, and of no more', () => {
    const read = (count: number): unknown => {
      const { header } = encodeSuperblock(planWithParts(count), 'hotplug');
      return decodeSuperblock(header, refuse).ranges[0]?.segments[1]?.content.parts.length;
    };
    expect(read(partsMax)).toBe(partsMax);
    expect(() => read(partsMax + 1)).toThrow('its range 0 has an impossible segment');
  });
});
