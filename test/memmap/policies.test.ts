/** The two policies over the same engine: what is done up front, and how an allocator is fed. */
import { afterAll, describe, expect, it } from 'vitest';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { Faults } from '../../dist/src/claims/fault.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { Memmap, type PfnExtent, releaseThreads } from '../../dist/src/index.js';
import { policies } from '../../dist/src/policy/policies.js';
import { machine, ram, smallRegion } from '../support/regions.js';

afterAll(releaseThreads);

const section = 32_768;

/** Two nodes; the first section of node 0 has a hole, node 1 begins in the middle of a section. */
const memory = [ram(1, 158), ram(256, 3 * section), ram(5 * section + 512, 2 * section, 1)];
const boot = { topology: machine(...memory), policy: 'boot', chunkPages: 512 } as const;

function growAll(memmap: Memmap, nid: number, pages: number): PfnExtent[] {
  const runs: PfnExtent[] = [];
  for (let run = memmap.grow(nid, pages); run; run = memmap.grow(nid, pages)) runs.push(run);
  return runs;
}

describe('boot', () => {
  it('has the first section of each node ready when open returns, and nothing else', async () => {
    await using memmap = await Memmap.open({ ...boot, threadsPerNode: 0 });
    const ready = (pfn: number): boolean => memmap.isInitialized(pfn);
    expect([ready(1), ready(158), ready(256), ready(section - 1), ready(section)]).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    const node1 = 5 * section;
    expect([ready(node1 + 512), ready(node1 + section - 1), ready(node1 + section)]).toEqual([true, true, false]);
    expect(memmap.progressNow().pagesReady).toBe(158 + section - 256 + section - 512);
  });

  it('initializes the rest in the background', async () => {
    await using memmap = await Memmap.open({ ...boot, threadsPerNode: 1 });
    await memmap.ready;
    expect(await memmap.verify()).toMatchObject({ checked: memmap.pages, wrong: 0 });
  });
});

describe('grow', () => {
  it('before the background hands out initialized runs, upwards, every pfn of the node once', async () => {
    await using memmap = await Memmap.open({ ...boot, threadsPerNode: 0 });
    expect(memmap.grow(0, 100)).toEqual({ startPfn: 1, endPfn: 101 });
    expect(memmap.grow(0, 100)).toEqual({ startPfn: 101, endPfn: 159 }); // shorter: the range ends
    expect(memmap.grow(0, 2 * section)).toEqual({ startPfn: 256, endPfn: 256 + 2 * section });
    expect(memmap.isInitialized(256 + 2 * section - 1)).toBe(true);
    expect(memmap.isInitialized(256 + 3 * section - 1)).toBe(false);
    expect(memmap.grow(1, 1)).toEqual({ startPfn: 5 * section + 512, endPfn: 5 * section + 513 });
    const rest = growAll(memmap, 0, 10_000);
    expect(rest.at(-1)?.endPfn).toBe(256 + 3 * section);
    expect(memmap.grow(0, 1)).toBeUndefined();
  });

  it('while the background runs and after it', async () => {
    await using memmap = await Memmap.open({ ...boot, threadsPerNode: 1 });
    const during = growAll(memmap, 0, 777);
    for (const { startPfn, endPfn } of during) {
      expect(memmap.isInitialized(startPfn) && memmap.isInitialized(endPfn - 1)).toBe(true);
    }
    expect(during.reduce((sum, run) => sum + run.endPfn - run.startPfn, 0)).toBe(158 + 3 * section);
    await memmap.ready;
    const after = growAll(memmap, 1, 10_000);
    expect(after.reduce((sum, run) => sum + run.endPfn - run.startPfn, 0)).toBe(2 * section);
  });

  it('hands out RAM only, no device memory', async () => {
    const device = { nid: 0, kind: 'device', startPfn: 2 * section, endPfn: 3 * section, pgmap: 1 } as const;
    await using memmap = await Memmap.open({ ...boot, topology: machine(ram(0, section), device), threadsPerNode: 0 });
    expect(growAll(memmap, 0, 2 ** 30)).toEqual([{ startPfn: 0, endPfn: section }]);
  });

  it('takes no pages when their descriptors cannot be initialized', async () => {
    const region = smallRegion([ram(0, 8 * 512)], 'boot');
    let errno = 0;
    const faults = new Faults(new Claimant(region, { kernel: { ...jsKernel, fill: () => errno } }));
    const grow = (pages: number) => policies.boot.grow?.(faults, region, 0, pages);
    expect(grow(512)).toEqual({ startPfn: 0, endPfn: 512 });
    errno = 12;
    expect(() => grow(1024)).toThrow(expect.objectContaining({ code: 'CHUNK_FAILED', errno: 12 }));
    errno = 0;
    for (let chunk = 0; chunk < 8; chunk++) ChunkMap.of(region).retry(chunk);
    expect(grow(1024)).toEqual({ startPfn: 512, endPfn: 1536 });
  });

  it.each([0, -1, 0.5, Number.NaN])('of %d pages is a RangeError', async (pages) => {
    await using memmap = await Memmap.open({ ...boot, threadsPerNode: 0 });
    expect(() => memmap.grow(0, pages)).toThrow(RangeError);
  });

  it('on a node without memory is a RangeError, with the hotplug policy a TypeError', async () => {
    await using memmap = await Memmap.open({ ...boot, threadsPerNode: 0 });
    expect(() => memmap.grow(7, 1)).toThrow(RangeError);
    await using hotplug = await Memmap.open({ ...boot, policy: 'hotplug', threadsPerNode: 0 });
    expect(() => hotplug.grow(0, 1)).toThrow(TypeError);
    expect(hotplug.progressNow().pagesReady).toBe(0);
  });
});
