/** A memmap from open to close: ready, sync, progress, state, pause, cancel, abort, and their errors. */
import { afterAll, describe, expect, it } from 'vitest';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { addonState, Memmap, releaseThreads } from '../../dist/src/index.js';
import { Region } from '../../dist/src/region/region.js';
import { machine, ram } from '../support/regions.js';

afterAll(releaseThreads);

/** Large enough that workers are at it for some time: 64 MiB of descriptors in 4096 chunks. */
const large = { topology: machine(ram(0, 2 ** 20)), threadsPerNode: 1, chunkPages: 512 } as const;
const small = { topology: machine(ram(0, 4096)), threadsPerNode: 1, chunkPages: 512 } as const;

describe('open', () => {
  it('leads to ready: every descriptor is right, whoever wrote it', async () => {
    await using memmap = await Memmap.open(large);
    memmap.fault(2 ** 19);
    await memmap.ready;
    expect(memmap.state).toBe('idle');
    expect(await memmap.verify()).toEqual({ checked: 2 ** 20, wrong: 0, firstWrongPfn: -1, failed: 0 });
    const { totals, chunks, pagesReady } = memmap.stats();
    expect(pagesReady).toBe(2 ** 20);
    expect(chunks).toEqual({ free: 0, claimed: 0, ready: 2048, durable: 0, failed: 0 });
    expect(totals.chunksByDrain + totals.chunksByFault).toBe(2048);
  });

  it('verify tells how many descriptors are wrong, and the first of them', async () => {
    await using memmap = await Memmap.open(small);
    await memmap.ready;
    const range = memmap.rangeOf(0);
    range.words[memmap.offsetOf(1000) / 4 + 13] = 7;
    range.words[memmap.offsetOf(3000) / 4] = 7;
    expect(await memmap.verify()).toEqual({ checked: 4096, wrong: 2, firstWrongPfn: 1000, failed: 0 });
  });

  it('of several at once shares the process’s threads', async () => {
    const memmaps = await Promise.all(Array.from({ length: 5 }, () => Memmap.open(small)));
    await Promise.all(memmaps.map((memmap) => memmap.ready));
    for (const memmap of memmaps) expect((await memmap.verify()).wrong).toBe(0);
    await Promise.all(memmaps.map((memmap) => memmap.close()));
  });

  it('refuses a machine whose descriptors do not fit into memory, before anything is started', async () => {
    await expect(Memmap.open({ topology: '64x8TiB' })).rejects.toMatchObject({ code: 'NO_MEMORY' });
  });

  it('of such a machine without threads is fine: only what is faulted costs memory', async () => {
    await using memmap = await Memmap.open({ topology: '4x8TiB:pmem', threadsPerNode: 0 });
    expect(memmap.ranges.length).toBe(32);
    const last = 4 * 2 ** 31 - 1;
    expect(memmap.fault(last)).toBe('claimed');
    expect([memmap.page(last).nid, memmap.page(last).pgmap, memmap.page(last).zone]).toEqual([3, 4, 4]);
    await expect(memmap.sync()).rejects.toMatchObject({ code: 'NO_MEMORY' });
  });
});

describe('sync', () => {
  it('resolves when all is ready', async () => {
    await using memmap = await Memmap.open(large);
    await memmap.sync();
    expect(memmap.progressNow().pagesReady).toBe(2 ** 20);
  });

  it('without threads does the work itself, and the event loop runs between', async () => {
    const topology = machine(ram(0, 2 ** 22)); // 256 MiB of descriptors: many turns on any machine
    await using memmap = await Memmap.open({ topology, threadsPerNode: 0, chunkPages: 512 });
    expect(memmap.state).toBe('idle');
    let turns = 0;
    const count = (): void => {
      turns++;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    await memmap.sync();
    clearImmediate(timer);
    expect(turns).toBeGreaterThan(2);
    await memmap.ready;
    expect(memmap.stats().totals.chunksByFault).toBe(8192);
  });

  it('gives up after its time, and the background goes on', async () => {
    await using memmap = await Memmap.open(large);
    memmap.pause();
    await expect(memmap.sync({ timeout: 20 })).rejects.toMatchObject({ code: 'SYNC_TIMEOUT' });
    memmap.resume();
    await memmap.sync();
  });

  it('takes Infinity for no limit, and refuses what no timer can be set to', async () => {
    await using memmap = await Memmap.open(small);
    await memmap.sync({ timeout: Number.POSITIVE_INFINITY });
    for (const timeout of [-1, Number.NaN, 2 ** 31]) {
      await expect(memmap.sync({ timeout })).rejects.toThrow(RangeError);
    }
    for (const intervalMs of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(memmap.progress({ intervalMs }).next()).rejects.toThrow(RangeError);
    }
  });

  it('gives up when its signal says so, with its reason', async () => {
    await using memmap = await Memmap.open(large);
    memmap.pause();
    const reason = new Error('enough');
    const abort = new AbortController();
    const sync = memmap.sync({ signal: abort.signal });
    abort.abort(reason);
    await expect(sync).rejects.toBe(reason);
    await expect(memmap.sync({ signal: abort.signal })).rejects.toBe(reason);
    memmap.resume();
  });
});

describe('progress', () => {
  it('only grows, ends with everything, and is told per node', async () => {
    const topology = machine(ram(0, 2 ** 18, 0), ram(2 ** 18, 2 ** 19, 1));
    await using memmap = await Memmap.open({ topology, threadsPerNode: 1, chunkPages: 512 });
    const seen: number[] = [];
    let last: unknown;
    for await (const progress of memmap.progress({ intervalMs: 2 })) {
      seen.push(progress.pagesReady);
      last = progress;
    }
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(last).toMatchObject({
      pages: 3 * 2 ** 18,
      pagesReady: 3 * 2 ** 18,
      nodes: [
        { nid: 0, pages: 2 ** 18, pagesReady: 2 ** 18 },
        { nid: 1, pages: 2 ** 19, pagesReady: 2 ** 19 },
      ],
      state: 'idle',
    });
  });

  it('ends when the background is cancelled', async () => {
    await using memmap = await Memmap.open(large);
    memmap.pause();
    const steps: string[] = [];
    for await (const { state } of memmap.progress({ intervalMs: 2 })) {
      steps.push(state);
      if (steps.length === 3) memmap.cancel();
    }
    expect(steps.at(-1)).toBe('idle');
  });
});

describe('retry', () => {
  /** A memmap of which one chunk could not be written. */
  async function openFailing(): Promise<Memmap> {
    const memmap = await Memmap.open(large);
    memmap.pause();
    const chunks = ChunkMap.of(Region.attach(memmap.handle()));
    expect(chunks.claim(2047, 99)).toBe(1);
    chunks.fail(2047, 99, 5);
    memmap.resume();
    return memmap;
  }

  it('right after ready rejected with CHUNK_FAILED tries the chunk again, and ready comes', async () => {
    await using memmap = await openFailing();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CHUNK_FAILED', errno: 5 });
    expect(memmap.stats().chunks).toMatchObject({ failed: 1, ready: 2047 });
    expect(() => memmap.fault(2 ** 20 - 1)).toThrow(expect.objectContaining({ code: 'CHUNK_FAILED', errno: 5 }));
    expect(memmap.retry()).toBe(1);
    await memmap.ready;
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 20, wrong: 0 });
  });

  it('without threads, too: sync goes on past the failed chunk and tells of it', async () => {
    await using memmap = await Memmap.open({ ...small, threadsPerNode: 0 });
    const chunks = ChunkMap.of(Region.attach(memmap.handle()));
    chunks.claim(3, 99);
    chunks.fail(3, 99, 5);
    await expect(memmap.sync()).rejects.toMatchObject({ code: 'CHUNK_FAILED', errno: 5 });
    expect(memmap.stats().chunks).toMatchObject({ failed: 1, ready: 7 });
    expect(memmap.retry()).toBe(1);
    await memmap.sync();
    expect(memmap.stats().chunks).toMatchObject({ failed: 0, ready: 8 });
  });

  it('takes a cancel back', async () => {
    await using memmap = await Memmap.open(large);
    memmap.cancel();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(memmap.retry()).toBe(0);
    await memmap.ready;
    expect(memmap.progressNow().pagesReady).toBe(2 ** 20);
  });

  it('leaves the signal of open in force', async () => {
    const abort = new AbortController();
    await using memmap = await Memmap.open({ ...large, signal: abort.signal });
    memmap.cancel();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    memmap.retry();
    memmap.pause();
    abort.abort();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('while the background is at work is a TypeError', async () => {
    await using memmap = await Memmap.open(large);
    memmap.pause();
    expect(() => memmap.retry()).toThrow(TypeError);
  });
});

describe('pause and cancel', () => {
  it('a paused memmap leaves the threads to others, and to its own verification', async () => {
    await using paused = await Memmap.open(large);
    paused.pause();
    await using other = await Memmap.open(large);
    await other.ready;
    const { pagesReady } = paused.progressNow();
    expect(await paused.verify()).toEqual({ checked: pagesReady, wrong: 0, firstWrongPfn: -1, failed: 0 });
    expect(paused.state).toBe('active');
    paused.resume();
    await paused.ready;
  });

  it('a paused background stands still, faults go on, and resume lets it finish', async () => {
    await using memmap = await Memmap.open(large);
    memmap.pause();
    await expect(memmap.sync({ timeout: 150 })).rejects.toMatchObject({ code: 'SYNC_TIMEOUT' });
    const { pagesReady } = memmap.progressNow();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(memmap.progressNow().pagesReady).toBe(pagesReady);
    expect(memmap.fault(2 ** 20 - 1)).toBe('claimed');
    expect(memmap.progressNow().pagesReady).toBe(pagesReady + 512);
    expect(memmap.state).toBe('active');
    memmap.resume();
    await memmap.ready;
  });

  it('after cancel ready rejects, the state is idle, faults still work', async () => {
    await using memmap = await Memmap.open(large);
    memmap.cancel();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(memmap.state).toBe('idle');
    memmap.fault(2 ** 20 - 1);
    expect(memmap.isInitialized(2 ** 20 - 1)).toBe(true);
  });

  it('retry starts it again at once, whatever is verified meanwhile', async () => {
    await using memmap = await Memmap.open(large);
    memmap.pause();
    const verified = memmap.verify();
    memmap.cancel();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    memmap.retry();
    expect(memmap.state).toBe('active');
    await memmap.ready;
    await verified;
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 20, wrong: 0 });
  });

  it('without threads, too, cancel ends ready and sync', async () => {
    await using memmap = await Memmap.open({ ...large, threadsPerNode: 0 });
    const sync = memmap.sync();
    memmap.cancel();
    await expect(sync).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(memmap.fault(2 ** 20 - 1)).toBe('claimed');
  });

  it('an aborted signal cancels', async () => {
    const abort = new AbortController();
    await using memmap = await Memmap.open({ ...large, signal: abort.signal });
    abort.abort();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('a signal that was aborted before refuses open with its reason', async () => {
    const reason = new Error('too late');
    await expect(Memmap.open({ ...small, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('a signal that aborts after all was ready changes nothing', async () => {
    const abort = new AbortController();
    await using memmap = await Memmap.open({ ...small, signal: abort.signal });
    await memmap.ready;
    abort.abort();
    await memmap.ready;
    expect(memmap.state).toBe('idle');
  });
});

describe('a chunk that failed and was set free again', () => {
  const rangeOf = (memmap: Memmap) => memmap.ranges[0] as Memmap['ranges'][number];

  /** All initialized but chunk 3, and the last, which has failed. */
  async function failedLast() {
    const memmap = await Memmap.open({ ...small, threadsPerNode: 0 });
    const chunks = ChunkMap.of(Region.attach(memmap.handle()));
    const last = chunks.chunks - 1;
    for (let chunk = 0; chunk < last; chunk++) if (chunk !== 3) memmap.fault(rangeOf(memmap).chunkStart(chunk));
    chunks.claim(last, 99);
    chunks.fail(last, 99, 12);
    return { memmap, last };
  }

  it('while ready waited for another one is not taken for initialized', async () => {
    const { memmap, last } = await failedLast();
    const { ready } = memmap;
    await new Promise(setImmediate);
    expect(memmap.retry()).toBe(1);
    const again = memmap.ready;
    memmap.fault(rangeOf(memmap).chunkStart(3));
    // what was begun before the retry tells what it saw
    await expect(ready).rejects.toMatchObject({ code: 'CHUNK_FAILED', errno: 12 });
    const pfn = rangeOf(memmap).chunkStart(last);
    expect(memmap.isInitialized(pfn)).toBe(false);
    expect(memmap.fault(pfn)).toBe('claimed');
    await again;
    await memmap.close();
  });
});

describe('close', () => {
  it('while everything is at work ends all of it: ready rejects, faults are refused, twice is fine', async () => {
    const memmap = await Memmap.open(large);
    const { ready } = memmap;
    memmap.fault(0);
    await Promise.all([memmap.close(), memmap.close()]);
    await expect(ready).rejects.toMatchObject({ code: 'CLOSED' });
    const closed = expect.objectContaining({ code: 'CLOSED' });
    expect(() => memmap.fault(0)).toThrow(closed);
    expect(() => memmap.page(0)).toThrow(closed);
    expect(() => memmap.offsetOf(0)).toThrow(closed);
    expect(() => memmap.isInitialized(0)).toThrow(closed);
    expect(() => Memmap.attach(memmap.handle())).toThrow(closed);
    expect(() => memmap.fault(2 ** 20 - 1)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('gives the memory back at once', async ({ skip }) => {
    const addon = addonState();
    if (!addon.loaded) return skip(`without the addon it goes when it is collected: ${addon.reason}`);
    const memmap = await Memmap.open(large);
    await memmap.ready;
    expect(memmap.residency()?.residentBytes).toBeGreaterThanOrEqual(2 ** 26);
    await memmap.close();
    expect(memmap.residency()?.residentBytes).toBeLessThan(2 ** 21);
  });

  it('waits for a verification that is at work', async () => {
    const memmap = await Memmap.open(large);
    await memmap.ready;
    const verified = memmap.verify();
    await memmap.close();
    expect(await verified).toEqual({ checked: 2 ** 20, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('of a paused memmap does not hang', async () => {
    const memmap = await Memmap.open(large);
    memmap.pause();
    await memmap.close();
  });

  it('before the workers are up, and without threads', async () => {
    await (await Memmap.open(small)).close();
    const idle = await Memmap.open({ ...small, threadsPerNode: 0 });
    const { ready } = idle;
    await idle.close();
    await expect(ready).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('right after open leaves nothing to come: the state is idle, ready has rejected, verify starts no thread', async () => {
    const memmap = await Memmap.open(large);
    await memmap.close();
    expect(memmap.state).toBe('idle');
    expect(memmap.progressNow().state).toBe('idle');
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CLOSED' });
    expect(memmap.retry()).toBe(0);
    await memmap.verify();
    await new Promise(setImmediate);
    expect(memmap.state).toBe('idle');
    expect(memmap.stats().workers.failures).toEqual([]);
  });

  it('after ready leaves ready as it was', async () => {
    const memmap = await Memmap.open(small);
    await memmap.ready;
    await memmap.close();
    await memmap.ready;
  });
});
