/** Poison: ones in every descriptor that is not initialized, and in no other. */
import { afterAll, describe, expect, it } from 'vitest';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { poisonFree } from '../../dist/src/claims/poison.js';
import { Memmap, type OpenOptions, releaseThreads } from '../../dist/src/index.js';
import { nativeKernels } from '../../dist/src/native.js';
import { named, skipReason } from '../native/built-addon.js';
import { Folder } from '../native/mapped.js';
import { runNode } from '../support/child.js';
import { machine, ram, smallRegion } from '../support/regions.js';

afterAll(releaseThreads);

/** Four chunks from off a pageblock, and two of another range. */
const topology = machine(ram(700, 3000), ram(10_000, 1000, 1));
const options: OpenOptions = { topology, threadsPerNode: 0, chunkPages: 1024, poison: true };

/** Runs of pfns whose descriptors are all ones, half-open. */
function poisonedRuns({ ranges }: Pick<Memmap, 'ranges'>): [number, number][] {
  const runs: [number, number][] = [];
  for (const { startPfn, endPfn, words } of ranges) {
    for (let pfn = startPfn; pfn < endPfn; pfn++) {
      const at = (pfn - startPfn) * 16;
      if (!words.subarray(at, at + 16).every((word) => word === 0xffff_ffff)) continue;
      const last = runs.at(-1);
      if (last?.[1] === pfn && pfn !== startPfn) last[1]++;
      else runs.push([pfn, pfn + 1]);
    }
  }
  return runs;
}

describe('with poison', () => {
  it('all descriptors are ones when the memmap is open, and none is initialized', async () => {
    await using memmap = await Memmap.open(options);
    expect(poisonedRuns(memmap)).toEqual([
      [700, 3700],
      [10_000, 11_000],
    ]);
    expect(memmap.isInitialized(700)).toBe(false);
    expect(memmap.page(3699).isPoisoned).toBe(true);
    expect(memmap.progressNow().pagesReady).toBe(0);
  });

  it('a fault takes it from the chunks that it initializes, and from no others', async () => {
    await using memmap = await Memmap.open(options);
    expect(memmap.fault(2000)).toBe('claimed');
    expect(poisonedRuns(memmap)).toEqual([
      [700, 1536],
      [2560, 3700],
      [10_000, 11_000],
    ]);
    expect(memmap.page(2000).isPoisoned).toBe(false);
  });

  it('a range that comes later is ones as well, also when its memory was used before', async () => {
    await using memmap = await Memmap.open({ ...options, hotplug: { ranges: 1, pages: 2048 } });
    for (const startPfn of [20_000, 40_000]) {
      memmap.addRange(ram(startPfn, 2000));
      expect(poisonedRuns(memmap).at(-1)).toEqual([startPfn, startPfn + 2000]);
      memmap.fault(startPfn);
      await memmap.sync();
      expect(poisonedRuns(memmap)).toEqual([]);
      expect(await memmap.verify()).toMatchObject({ checked: 6000, wrong: 0 });
      await memmap.removeRange(startPfn);
    }
  });

  it.each(['shared', 'huge'] as const)('nothing of it is left when all is initialized (%s)', async (backing) => {
    await using memmap = await Memmap.open({ ...options, backing, threadsPerNode: 1 });
    await memmap.ready;
    expect(poisonedRuns(memmap)).toEqual([]);
    expect(await memmap.verify()).toEqual({ checked: 4000, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('memory does not count as fresh any more', async () => {
    await using memmap = await Memmap.open(options);
    expect(memmap.handle().memory).toBe('touched');
  });

  it('the boot policy initializes its first section over it', async () => {
    const boot = { ...options, topology: machine(ram(0, 100_000)), policy: 'boot' } as const;
    await using memmap = await Memmap.open(boot);
    expect(memmap.initializedPages(0, 100_000)).toBe(32_768);
    expect(poisonedRuns(memmap)).toEqual([[32_768, 100_000]]);
  });

  it('reinitializing poisons once more, whatever stands there', async () => {
    const first = await Memmap.open(options);
    await first.sync();
    await using again = await first.reinitialize();
    expect(poisonedRuns(again)).toEqual([
      [700, 3700],
      [10_000, 11_000],
    ]);
    await again.sync();
    expect(await again.verify()).toMatchObject({ checked: 4000, wrong: 0 });
    await using third = await again.reinitialize();
    expect(third.page(700).isPoisoned).toBe(true);
  });

  it('a memmap of compound pages is right when it is initialized', async () => {
    const memory = {
      nid: 0,
      kind: 'device',
      pgmap: 3,
      mode: 'devdax',
      compoundPages: 512,
      startPfn: 0,
      endPfn: 5120,
    } as const;
    await using memmap = await Memmap.open({ ...options, topology: machine(memory) });
    memmap.fault(0);
    expect([memmap.page(0).head, memmap.page(1).isPoisoned, memmap.page(1024).isPoisoned]).toEqual([true, false, true]);
    await memmap.sync();
    expect(await memmap.verify()).toMatchObject({ checked: 5120, wrong: 0 });
    expect(memmap.page(5119).compoundHead).toBe(4608);
  });
});

describe.skipIf(skipReason !== undefined)(named('with poison and shared tails'), () => {
  it('a memmap of compound pages is right when it is initialized', async () => {
    const extent = { nid: 0, kind: 'device', pgmap: 3, mode: 'devdax', startPfn: 0, endPfn: 2 ** 20 } as const;
    const memory = { ...extent, compoundPages: 2 ** 18 };
    await using memmap = await Memmap.open({ ...options, topology: machine(memory), shareTails: true });
    expect([0, 1, 2 ** 18, 2 ** 20 - 1].map((pfn) => memmap.page(pfn).isPoisoned)).toEqual([true, true, true, true]);
    expect(memmap.initializedPages(0, 2 ** 20)).toBe(0);
    await memmap.sync();
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 20, wrong: 0 });
    expect(memmap.page(2 ** 20 - 1).compoundHead).toBe(3 * 2 ** 18);
  });
});

describe('without poison', () => {
  it('and after reinitializing, what was there is left', async () => {
    const first = await Memmap.open({ ...options, poison: false });
    expect(poisonedRuns(first)).toEqual([]);
    first.fault(700);
    await using again = await first.reinitialize();
    expect(poisonedRuns(again)).toEqual([]);
  });
});

describe('poisonFree', () => {
  it('leaves chunks alone that are claimed, initialized or failed, and frees what it claims', () => {
    const region = smallRegion([ram(0, 6 * 512)]);
    const chunks = ChunkMap.of(region);
    chunks.claim(1, 77);
    chunks.claim(3, 77);
    chunks.publish(3, 77);
    chunks.claim(4, 77);
    chunks.fail(4, 77, 28);
    const before = [0, 1, 2, 3, 4, 5].map((chunk) => chunks.load(chunk));
    poisonFree(region);
    expect([0, 1, 2, 3, 4, 5].map((chunk) => chunks.load(chunk))).toEqual(before);
    expect(poisonedRuns(region)).toEqual([
      [0, 512],
      [1024, 1536],
      [2560, 3072],
    ]);
  });

  it('gives its owner slot back', () => {
    const region = smallRegion([ram(0, 512)]);
    // one more than there are slots
    for (let i = 0; i <= 1024; i++) poisonFree(region);
    expect(poisonedRuns(region)).toEqual([[0, 512]]);
  });
});

const sparse = nativeKernels.find(({ kind }) => kind === 'sparse');

describe.skipIf(sparse === undefined)(named('sparse stores'), () => {
  it('which the environment asks for, are refused: they would leave ones', async () => {
    const index = new URL('../../dist/src/index.js', import.meta.url).href;
    const script = `
      import { Memmap } from '${index}';
      await Memmap.open({ slots: 512, threadsPerNode: 0, poison: true }).catch((error) => console.log(String(error)));
    `;
    const { stdout } = await runNode(['--input-type=module', '--eval', script], {
      env: { VMEMMAP_STORES: String(sparse?.storePath) },
    });
    expect(stdout).toBe('TypeError: poison does not go with native-sparse in VMEMMAP_STORES\n');
  });
});

describe.skipIf(skipReason !== undefined)(named('in a file, poison'), () => {
  it('lies over chunks that are not initialized, and over no others', async () => {
    using folder = new Folder();
    const file = folder.newPath();
    const first = await Memmap.open({ ...options, poison: false, file });
    first.fault(2000);
    first.fault(10_500);
    const words = first.rangeOf(2000).words.slice((2000 - 700) * 16, (2001 - 700) * 16);
    await first.close();
    await using again = await Memmap.open({ ...options, file });
    expect(again.resumed.chunksKept).toBe(2);
    // chunk borders of the second range: 9728 + 1024
    expect(poisonedRuns(again)).toEqual([
      [700, 1536],
      [2560, 3700],
      [10_752, 11_000],
    ]);
    expect(again.rangeOf(2000).words.slice((2000 - 700) * 16, (2001 - 700) * 16)).toEqual(words);
    await again.sync();
    expect(await again.verify()).toMatchObject({ checked: 4000, wrong: 0 });
  });

  it('by a second opener leaves alone what the first has initialized, and both go on', async () => {
    using folder = new Folder();
    const file = folder.newPath();
    await using first = await Memmap.open({ ...options, file });
    first.fault(700);
    await using second = await Memmap.open({ ...options, file });
    expect(poisonedRuns(second)).toEqual([
      [1536, 3700],
      [10_000, 11_000],
    ]);
    expect(second.fault(700)).toBe('ready');
    expect(second.fault(3000)).toBe('claimed');
    await first.sync();
    expect(await first.verify()).toMatchObject({ checked: 4000, wrong: 0 });
  });
});
