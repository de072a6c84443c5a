/** Tails of compound pages that are stored once: how large the blocks are, what is mapped, and who is refused. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { Memmap } from '../../dist/src/index.js';
import { addon } from '../../dist/src/native.js';
import { simulate } from '../../dist/src/physical/simulate.js';
import { makePlan } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import { Region, type RegionHandle, storedBytes } from '../../dist/src/region/region.js';
import { chooseBlocks, mappingsMax, mappingsOf, storedBytesOf } from '../../dist/src/region/shared-tails.js';
import { refusalOf } from '../physical/errors.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
/** Descriptors of compound pages of 2 MiB and of 1 GiB. */
const [small, large] = [32 * KiB, 16 * MiB];
const skipReason = addon === undefined ? 'without the addon' : undefined;

describe('the blocks of shared tails', () => {
  it('are a page where there are mappings enough, and then two are kept of eight, or of 4096', () => {
    expect(chooseBlocks([{ sizeBytes: GiB, periodBytes: large }], 65_530 * 100)).toEqual([4096]);
    expect(mappingsOf({ sizeBytes: small, periodBytes: small }, 4096)).toBe(7);
    expect(storedBytesOf({ sizeBytes: small, periodBytes: small }, 4096)).toBe(8 * KiB);
    expect(mappingsOf({ sizeBytes: large, periodBytes: large }, 4096)).toBe(4095);
    expect(storedBytesOf({ sizeBytes: large, periodBytes: large }, 4096)).toBe(8 * KiB);
  });

  it.each([
    // 64 compound pages, of which one takes 4095, 2047, … mappings with blocks of 4, 8, … KiB; three quarters may be taken
    [(64 * 4095 * 4) / 3, 4 * KiB],
    [(64 * 4095 * 4) / 3 - 1, 8 * KiB],
    [(64 * 3 * 4) / 3, 4 * MiB],
  ])('grow until they fit (%d mappings: %d bytes)', (mappings, block) => {
    expect(chooseBlocks([{ sizeBytes: 64 * large, periodBytes: large }], mappings)).toEqual([block]);
  });

  it('are none where even the largest that save anything are too many', () => {
    expect(chooseBlocks([{ sizeBytes: 64 * large, periodBytes: large }], (64 * 3 * 4) / 3 - 1)).toBeUndefined();
    expect(chooseBlocks([{ sizeBytes: 1000 * small, periodBytes: small }], 3999)).toBeUndefined();
    expect(chooseBlocks([{ sizeBytes: 1000 * small, periodBytes: small }], 4000)).toEqual([8192]);
    expect(chooseBlocks([{ sizeBytes: 1000 * small, periodBytes: small }], 9333)).toEqual([8192]);
    expect(chooseBlocks([{ sizeBytes: 1000 * small, periodBytes: small }], 9334)).toEqual([4096]);
  });

  it('are larger where most mappings are, and none where nothing repeats', () => {
    const needs = [
      { sizeBytes: 5 * small },
      { sizeBytes: 100 * small, periodBytes: small },
      { sizeBytes: 4 * large, periodBytes: large },
    ];
    expect(chooseBlocks(needs, 2000)).toEqual([0, 4096, 128 * KiB]);
    expect(storedBytesOf({ sizeBytes: 5 * small }, 0)).toBe(5 * small);
  });

  it('go by what the administrator allows, else by what kernels allow by themselves', () => {
    expect(mappingsMax()).toBe(Number(readFileSync('/proc/sys/vm/max_map_count', 'utf8')));
    expect(mappingsMax('/nowhere')).toBe(65_530);
    expect(mappingsMax('/proc/self/status')).toBe(65_530);
  });
});

/** A region of a simulated machine whose tails are shared. */
function sharing(spec: string): Region {
  const plan = makePlan(simulate(spec, []), { profile: 'linux-6.1', sharesTails: true });
  return Region.create(plan, 'hotplug', chooseBacking('shared', true));
}

describe.skipIf(skipReason !== undefined)(
  `memory in which tails are shared${skipReason ? ` (${skipReason})` : ''}`,
  () => {
    it('has in each period two blocks of its own, and the second again and again', () => {
      const view = new Uint32Array(new SharedArrayBuffer(64 * MiB + 4096), 0, (4 * 64 * KiB) / 4);
      const aligned = addon?.bytesToBoundary(new Uint8Array(view.buffer, 0, 1), 4096) ?? 0;
      const words = new Uint32Array(view.buffer, aligned, view.length);
      const at = (bytes: number): number => bytes / 4;
      expect(addon?.mapSharedTails(words, 64 * KiB, 8 * KiB)).toBe(0);
      expect(words.every((word) => word === 0)).toBe(true);
      words[at(64 * KiB)] = 1;
      words[at(64 * KiB + 8 * KiB)] = 2;
      words[at(64 * KiB + 7 * 8 * KiB) + 1] = 3;
      const found = [0, 1, 2, 3, 4, 5, 6, 7].map((block) => {
        const start = at(64 * KiB + block * 8 * KiB);
        return [words[start], words[start + 1]];
      });
      expect(found).toEqual([[1, 0], ...Array.from({ length: 7 }, () => [2, 3])]);
      // and nothing of it in the periods before and behind
      expect(words.subarray(0, at(64 * KiB)).every((word) => word === 0)).toBe(true);
      expect(words.subarray(at(128 * KiB)).every((word) => word === 0)).toBe(true);
      expect(addon?.unmapHugePages(words, 4096)).toBe(0);
      expect(words.every((word) => word === 0)).toBe(true);
    });

    it.each([
      ['a period that is no multiple of the view', 128 * KiB, 4096],
      ['a block below a page', 32 * KiB, 2048],
      ['blocks of a whole period', 32 * KiB, 32 * KiB],
    ])('refuses %s', (_, period, block) => {
      const buffer = new SharedArrayBuffer(64 * MiB + 4096);
      const aligned = addon?.bytesToBoundary(new Uint8Array(buffer, 0, 1), 4096) ?? 0;
      expect(addon?.mapSharedTails(new Uint32Array(buffer, aligned, (96 * KiB) / 4), period, block)).toBe(22);
    });

    it.each([
      ['1x64MiB:devdax', 4],
      ['1x1GiB:devdax1g', 2048],
      ['1x1GiB:ram,1x64MiB:devdax', 1],
    ])('holds all descriptors of %s as they are without, in a part of the memory', (spec, saves) => {
      const region = sharing(spec);
      const plain = Region.create(
        makePlan(simulate(spec, []), { profile: 'linux-6.1' }),
        'hotplug',
        chooseBacking('shared'),
      );
      for (const each of [region, plain]) expect(drain(new Claimant(each), 0)).toBe('complete');
      for (const [index, range] of region.ranges.entries()) {
        const wanted = plain.ranges[index];
        expect(
          Buffer.from(range.words.buffer, range.words.byteOffset, range.words.byteLength).equals(
            Buffer.from(wanted?.words.buffer as SharedArrayBuffer, wanted?.words.byteOffset, wanted?.words.byteLength),
          ),
        ).toBe(true);
      }
      const { sharedTails } = region.handle.backing;
      expect(Math.floor((region.pages * 64) / (sharedTails?.storedBytes ?? 0))).toBe(saves);
      expect(region.storedBytes).toBe(sharedTails?.storedBytes);
      region.discard();
      const last = region.ranges.at(-1)?.words.subarray(0, 1000) ?? [];
      expect([...last]).toEqual(Array.from({ length: 1000 }, () => 0));
    });

    it('is told to be no huge pages for what its blocks are, and not for want of memory', async () => {
      const topology = simulate('1x1GiB:devdax', []);
      await using memmap = await Memmap.open({ topology, threadsPerNode: 0, shareTails: true });
      await memmap.sync();
      // where the kernel has none at all, that is the reason
      expect(memmap.backing.reason).toMatch(
        /: blocks of shared tails are smaller$|^transparent huge pages are off|no transparent/,
      );
      expect(memmap.backing.sharedTails).toEqual({ storedBytes: 4 * MiB, mappings: 512 * 7 });
    });

    it('takes whole compound pages for a chunk', () => {
      expect(sharing('1x2GiB:devdax1g').ranges.map(({ chunkPages, chunks }) => [chunkPages, chunks])).toEqual([
        [262_144, 2],
      ]);
      expect(sharing('1x64MiB:devdax').ranges.map(({ chunkPages, chunks }) => [chunkPages, chunks])).toEqual([
        [4096, 4],
      ]);
    });

    it('is told beforehand how much it will be', () => {
      const plan = makePlan(simulate('1x1GiB:devdax1g', []), { profile: 'linux-6.1', sharesTails: true });
      expect(storedBytes(plan, chooseBacking('shared', true))).toBe(8 * KiB);
      expect(storedBytes(plan, chooseBacking('shared'))).toBe(16 * MiB);
    });

    it.each([0, -64, 63, 0.5, Number.NaN, '4096'])(
      'is refused to who attaches with blocks of %s bytes',
      (tailBlockBytes) => {
        const { handle } = sharing('1x64MiB:devdax');
        const data = handle.data.map((part) => ({ ...part, tailBlockBytes }));
        expect(refusalOf(() => Region.attach({ ...handle, data } as RegionHandle)).code).toBe('HANDLE_INVALID');
      },
    );
  },
);
