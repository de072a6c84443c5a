/** reinitialize: the same memory once more, whatever stands there. */
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { Memmap, releaseThreads } from '../../dist/src/index.js';
import { Region } from '../../dist/src/region/region.js';
import { machine, ram } from '../support/regions.js';

afterAll(releaseThreads);

const topology = machine(ram(3, 100_000), ram(200_000, 5000, 1));
const options = { topology, threadsPerNode: 1, chunkPages: 512 } as const;
const right = { checked: 105_000, wrong: 0, firstWrongPfn: -1, failed: 0 };

describe('reinitialize', () => {
  it('writes every descriptor anew, over whatever its user had made of it', async () => {
    const first = await Memmap.open(options);
    await first.ready;
    expect(first.handle().memory).toBe('fresh');
    for (const { words } of first.ranges) words.fill(0xdead_beef);
    const again = await first.reinitialize();
    expect(again.handle().memory).toBe('touched');
    await again.ready;
    expect(await again.verify()).toEqual(right);
    expect(again.ranges.map(({ words }) => words.buffer)).toEqual(first.ranges.map(({ words }) => words.buffer));
    expect(again.stats()).toMatchObject({ pagesReady: 105_000, chunks: { free: 0, claimed: 0, failed: 0 } });
    await again.close();
  });

  it('closes the memmap that it is called on, there and where it was attached to', async () => {
    const first = await Memmap.open(options);
    await first.ready;
    const attached = Memmap.attach(first.handle());
    attached.fault(5);
    await using again = await first.reinitialize();
    expect(() => first.fault(5)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    // seen before, so it is not looked at again; what was never seen is refused
    expect(() => attached.fault(204_000)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(() => Memmap.attach(first.handle())).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    await attached.close();
    await again.ready;
    expect(await again.verify()).toEqual(right);
  });

  it('lets any pfn be faulted at once', async () => {
    const first = await Memmap.open({ ...options, threadsPerNode: 0 });
    first.fault(50_000);
    await using again = await first.reinitialize();
    expect(again.isInitialized(50_000)).toBe(false);
    expect(again.fault(50_000)).toBe('claimed');
    expect(again.fault(50_000)).toBe('ready');
  });

  it('while the background is at work begins from the start', async () => {
    const first = await Memmap.open(options);
    const again = await first.reinitialize();
    await expect(first.ready).rejects.toMatchObject({ code: 'CLOSED' });
    await again.ready;
    expect(await again.verify()).toEqual(right);
    await again.close();
  });

  it('does up front what the boot policy wants', async () => {
    const first = await Memmap.open({ ...options, policy: 'boot', threadsPerNode: 0 });
    const ready = first.progressNow().pagesReady;
    await using again = await first.reinitialize();
    expect(ready).toBeGreaterThan(0);
    expect(again.progressNow().pagesReady).toBe(ready);
  });

  it('belongs to the thread that opened the memmap', async () => {
    await using first = await Memmap.open({ ...options, threadsPerNode: 0 });
    const attached = Memmap.attach(first.handle());
    await expect(attached.reinitialize()).rejects.toThrow(TypeError);
    await attached.close();
  });

  it('after close, and twice at once, is refused', async () => {
    const first = await Memmap.open({ ...options, threadsPerNode: 0 });
    const [one, two] = await Promise.allSettled([first.reinitialize(), first.reinitialize()]);
    expect(one?.status).toBe('fulfilled');
    expect(two).toMatchObject({ status: 'rejected', reason: { code: 'CLOSED' } });
    if (one?.status === 'fulfilled') await one.value.close();
    await expect(first.reinitialize()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('with a signal that is aborted leaves the memmap open; one that aborts later cancels', async () => {
    const first = await Memmap.open({ ...options, threadsPerNode: 0 });
    await expect(first.reinitialize({ signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
    expect(first.fault(5)).toBe('claimed');
    const abort = new AbortController();
    await using again = await first.reinitialize({ signal: abort.signal });
    const { ready } = again;
    abort.abort();
    await expect(ready).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('gives the claims of a thread that died back first', async () => {
    const first = await Memmap.open({ ...options, threadsPerNode: 0 });
    const url = new URL('../../dist/src/claims/', import.meta.url).href;
    const worker = new Worker(
      `import('${url}claimant.js').then(async ({ Claimant }) => {
         const { Region } = await import('${new URL('../region/region.js', url).href}');
         const claimant = new Claimant(Region.attach(require('node:worker_threads').workerData));
         claimant.chunks.claim(7, claimant.tag);
         process.exit();
       });`,
      { eval: true, workerData: first.handle() },
    );
    await new Promise((resolve) => worker.once('exit', resolve));
    await using again = await first.reinitialize();
    await again.sync();
    expect(await again.verify()).toEqual(right);
  });

  it('is refused while a living thread holds a chunk, which might write to it later', async () => {
    const first = await Memmap.open({ ...options, threadsPerNode: 0 });
    const region = Region.attach(first.handle());
    const other = new Claimant(region);
    const chunks = ChunkMap.of(region);
    chunks.claim(7, other.tag);
    const words = first.ranges[0]?.words;
    words?.fill(1, 0, 16);
    const again = first.reinitialize();
    await expect(again).rejects.toMatchObject({ code: 'FAULT_TIMEOUT' });
    expect(words?.[0]).toBe(1);
    expect(other.tag).toBeGreaterThanOrEqual(0);
  }, 60_000);
});
