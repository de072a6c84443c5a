/** Memory that comes and goes while a memmap is in use: addRange and removeRange as a user sees them. */
import { afterAll, describe, expect, it, vi } from 'vitest';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { addonState, Memmap, type OpenOptions, releaseThreads } from '../../dist/src/index.js';
import type { MemoryExtent } from '../../dist/src/physical/topology.js';
import { Region } from '../../dist/src/region/region.js';
import { Attached } from '../support/attached.js';
import { runNode } from '../support/child.js';
import { machine, ram } from '../support/regions.js';

afterAll(releaseThreads);

const here = 2 ** 24;
/** Large enough that workers are at it for some time. */
const large = 2 ** 19;
const room = { ranges: 2, pages: large };
const options = { topology: machine(ram(0, 2 ** 18)), chunkPages: 512, hotplug: room } as const;
const codeOf = (code: string): unknown => expect.objectContaining({ code });
const turn = (): Promise<void> => new Promise(setImmediate);

/** Waits for what another thread brings about; the test's own time limit is its bound. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('room for ranges', () => {
  it('lets a process end that has a memmap open, and one that was opened be collected', async () => {
    const library = new URL('../../dist/src/index.js', import.meta.url).href;
    const code = `
      import { Memmap } from ${JSON.stringify(library)};
      let memmap = await Memmap.open({ topology: '1x1GiB', hotplug: { ranges: 1, pages: 4096 } });
      await memmap.ready;
      const gone = new WeakRef(memmap);
      memmap = undefined;
      for (let round = 0; round < 100 && gone.deref(); round++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        globalThis.gc();
      }
      console.log(gone.deref() === undefined);`;
    const { status, stdout, stderr } = await runNode(['--expose-gc', '--input-type=module', '-e', code]);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'true\n', stderr: '' });
  });

  it('costs address space alone: it counts nowhere, and nothing of it is in memory', async () => {
    // a thousand times what this machine has
    const hotplug = { ranges: 64, pages: 2 ** 28 };
    await using memmap = await Memmap.open({ ...options, hotplug });
    await memmap.ready;
    const { pages, pagesReady, chunks } = memmap.stats();
    expect([pages, pagesReady, memmap.pages, memmap.ranges.length]).toEqual([2 ** 18, 2 ** 18, 2 ** 18, 1]);
    expect(chunks).toEqual({ free: 0, claimed: 0, ready: 512, durable: 0, failed: 0 });
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 18, wrong: 0 });
    const residency = memmap.residency();
    if (residency) expect(residency.residentBytes).toBeLessThan(2 ** 25);
    if (!addonState().loaded) return;
    // with so much that counts no process could be started any more
    const { status } = await runNode(['--eval', '0']);
    expect(status).toBe(0);
  });

  it('is needed to add a range', async () => {
    await using memmap = await Memmap.open({ topology: machine(ram(0, 512)) });
    expect(() => memmap.addRange(ram(here, 512))).toThrow(
      new TypeError('addRange needs room: open the memmap with the option hotplug: { ranges, pages }, not in a file'),
    );
  });

  it.each([
    [{ hotplug: true }, TypeError, 'hotplug must be { ranges, pages }'],
    [{ hotplug: null }, TypeError, 'hotplug must be { ranges, pages }'],
    [{ hotplug: { ranges: 1 } }, TypeError, 'hotplug needs both ranges and pages'],
    [{ hotplug: { pages: 1 } }, TypeError, 'hotplug needs both ranges and pages'],
    [{ hotplug: { ranges: 1, pages: 1, size: 1 } }, TypeError, 'unknown option: hotplug.size'],
    [
      { hotplug: room, file: '/tmp/f' },
      TypeError,
      'hotplug does not go with file: ranges are added to memmaps in memory',
    ],
    [{ hotplug: { ranges: 0, pages: 1 } }, RangeError, 'hotplug.ranges must be a whole number from 1 to 4096, not 0'],
    [
      { hotplug: { ranges: 4097, pages: 1 } },
      RangeError,
      'hotplug.ranges must be a whole number from 1 to 4096, not 4097',
    ],
    [
      { hotplug: { ranges: 1, pages: 0 } },
      RangeError,
      'hotplug.pages must be a whole number from 1 to 268435456, not 0',
    ],
    [
      { hotplug: { ranges: 1, pages: 1.5 } },
      RangeError,
      'hotplug.pages must be a whole number from 1 to 268435456, not 1.5',
    ],
    [
      { hotplug: { ranges: 1, pages: 2 ** 28 + 1 } },
      RangeError,
      'hotplug.pages must be a whole number from 1 to 268435456, not 268435457',
    ],
  ])('%j is refused', async (wrong, kind, message) => {
    const opened = Memmap.open({ topology: machine(ram(0, 512)), ...wrong } as unknown as OpenOptions);
    await expect(opened).rejects.toThrow(new kind(message));
  });
});

describe('addRange', () => {
  it('makes a memmap that was ready active again, until the background has initialized what came', async () => {
    await using memmap = await Memmap.open(options);
    const { ready } = memmap;
    await ready;
    expect(memmap.state).toBe('idle');
    const [range, ...others] = memmap.addRange(ram(here, large));
    expect([range?.startPfn, range?.endPfn, range?.nid, others.length]).toEqual([here, here + large, 0, 0]);
    expect(memmap.state).toBe('active');
    expect(memmap.ready).not.toBe(ready);
    expect(memmap.pages).toBe(2 ** 18 + large);
    memmap.fault(here + large - 1);
    await memmap.ready;
    expect(memmap.state).toBe('idle');
    expect(memmap.progressNow()).toMatchObject({
      pages: 2 ** 18 + large,
      pagesReady: 2 ** 18 + large,
      nodes: [{ nid: 0, pages: 2 ** 18 + large, pagesReady: 2 ** 18 + large }],
    });
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 18 + large, wrong: 0 });
    expect(memmap.page(here + 5)).toMatchObject({ nid: 0, zone: 2, refcount: 1 });
    await ready;
  });

  it('before all is ready is waited for by the ready that is pending', async () => {
    await using memmap = await Memmap.open(options);
    memmap.pause();
    const { ready } = memmap;
    memmap.addRange(ram(here, large, 1));
    expect(memmap.ready).toBe(ready);
    memmap.resume();
    await ready;
    expect(memmap.progressNow().nodes).toEqual([
      { nid: 0, pages: 2 ** 18, pagesReady: 2 ** 18 },
      { nid: 1, pages: large, pagesReady: large },
    ]);
  });

  it('again and again is waited for each time, whatever the background is at', async () => {
    await using memmap = await Memmap.open({ ...options, hotplug: { ranges: 40, pages: 4096 } });
    for (let round = 0; round < 40; round++) {
      memmap.addRange(ram(here + round * 4096, 4096, round % 2));
      if (round % 3 === 0) await memmap.ready;
      if (round % 3 === 1) await turn();
    }
    await memmap.ready;
    expect(memmap.progressNow().pagesReady).toBe(2 ** 18 + 40 * 4096);
    expect(memmap.isInitialized(here, 18)).toBe(true);
  });

  it('right behind a removal, which alone leaves nothing to do, is initialized, too', async () => {
    await using memmap = await Memmap.open(options);
    await memmap.ready;
    for (let round = 0; round < 5; round++) {
      memmap.addRange(ram(here, 4096));
      await memmap.ready;
      await memmap.removeRange(here);
      memmap.addRange(ram(here, 4096));
      expect(memmap.state).toBe('active');
      await memmap.ready;
      expect(memmap.isInitialized(here, 9)).toBe(true);
      await memmap.removeRange(here);
    }
  });

  it('under the boot policy initializes nothing up front, and grow gets to it', async () => {
    await using memmap = await Memmap.open({ ...options, policy: 'boot', threadsPerNode: 0 });
    memmap.addRange(ram(here, large, 1));
    expect(memmap.isInitialized(here)).toBe(false);
    expect(memmap.grow(1, 100)).toEqual({ startPfn: here, endPfn: here + 100 });
    expect(memmap.isInitialized(here)).toBe(true);
  });

  it('makes a node one that grow may be asked for; before, and when all of it has gone, there is nothing', async () => {
    await using memmap = await Memmap.open({ ...options, policy: 'boot', threadsPerNode: 0 });
    expect(memmap.grow(1, 100)).toBeUndefined();
    memmap.addRange(ram(here, 50, 1));
    expect(memmap.grow(1, 100)).toEqual({ startPfn: here, endPfn: here + 50 });
    await memmap.removeRange(here);
    expect(memmap.grow(1, 100)).toBeUndefined();
    for (const nid of [-1, 0.5, 1024]) expect(() => memmap.grow(nid, 1)).toThrow(RangeError);
    const { topology, chunkPages } = options;
    await using plain = await Memmap.open({ topology, chunkPages, policy: 'boot', threadsPerNode: 0 });
    expect(() => plain.grow(1, 100)).toThrow(new RangeError('node 1 has no memory here'));
    await plain.removeRange(0);
    expect(plain.grow(0, 100)).toBeUndefined();
  });

  it('without threads leaves it to sync, also to one that has begun', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    const sync = memmap.sync();
    memmap.addRange(ram(here, 4096));
    await sync;
    expect(memmap.progressNow().pagesReady).toBe(2 ** 18 + 4096);
    memmap.addRange(ram(here + 4096, 4096));
    await memmap.sync();
    expect(memmap.progressNow().pagesReady).toBe(2 ** 18 + 8192);
  });

  it('in a thread that attached is noticed by the background, though nobody asks', async () => {
    await using memmap = await Memmap.open(options);
    await memmap.ready;
    const thread = await Attached.to(memmap.handle());
    expect(await thread.do('addRange', ram(here, large))).toBe(1);
    await until(() => memmap.progressNow().pagesReady === 2 ** 18 + large);
    await thread.do('ready');
    expect(await thread.do('verify')).toMatchObject({ checked: 2 ** 18 + large, wrong: 0 });
    // and the other way round
    memmap.addRange(ram(here + large, 4096));
    await thread.do('ready');
    expect(await thread.do('fault', here + large, 9)).toBe('ready');
    await thread.do('close');
  });

  it('cuts what it is given as open does: by zone, each with a slot, all or none', async () => {
    const topology = { ...machine(ram(0, 512)), zoned: true };
    await using memmap = await Memmap.open({ ...options, topology, hotplug: { ranges: 3, pages: 4096 } });
    // at 4 GiB DMA32 ends
    const border = 2 ** 20;
    expect(memmap.addRange(ram(border - 100, 300)).map(({ startPfn, zone }) => [startPfn, zone])).toEqual([
      [border - 100, 1],
      [border, 2],
    ]);
    expect(() => memmap.addRange({ ...ram(2 ** 12 - 1, 2), nid: 1 })).toThrow(codeOf('NO_RANGE_SLOT'));
    expect(memmap.ranges.length).toBe(3);
    expect(() => memmap.rangeOf(2 ** 12)).toThrow(codeOf('PFN_ABSENT'));
  });

  it('gives device memory a pgmap of its own, unless it has one', async () => {
    const topology = machine(ram(0, 512), { ...ram(1024, 512), kind: 'device', pgmap: 7 });
    await using memmap = await Memmap.open({ ...options, topology });
    const device = (startPfn: number): MemoryExtent => ({ ...ram(startPfn, 512), kind: 'device', mode: 'fsdax' });
    memmap.addRange(device(here));
    memmap.fault(here);
    expect(memmap.page(here)).toMatchObject({ zone: 4, pgmap: 8 });
    memmap.addRange({ ...device(here + 512), pgmap: 3 });
    memmap.fault(here + 512);
    expect(memmap.page(here + 512).pgmap).toBe(3);
  });

  it('writes what is due to compound pages of device memory, and to what an altmap reserves', async () => {
    await using memmap = await Memmap.open(options);
    const [range] = memmap.addRange({
      ...ram(here, 8192),
      kind: 'device',
      mode: 'devdax',
      compoundPages: 512,
      altmap: { reservePages: 512, memmapPages: 512 },
    });
    expect(range?.startPfn).toBe(here + 512);
    expect(range?.segments.map(({ use }) => use)).toEqual(['altmap', 'present']);
    await memmap.ready;
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 18 + 8192 - 512, wrong: 0 });
  });

  it('makes a table longer', async () => {
    const template = new Uint8Array(64).fill(9);
    await using table = await Memmap.open({ slots: 1000, template, indexWord: 0, hotplug: { ranges: 2, pages: 2000 } });
    template.fill(1);
    table.addRange(ram(1000, 2000));
    table.fault(2999);
    const { words } = table.rangeOf(2999);
    const at = table.offsetOf(2999) / 4;
    expect([words[at], words[at + 1]]).toEqual([2999, 0x0909_0909]);
    expect(() => table.addRange(ram(3000, 1, 1))).toThrow(
      new RangeError("in a table extent must have nid 0 and kind 'ram'"),
    );
    expect(() => table.addRange(ram(2 ** 32, 1))).toThrow(
      new RangeError(`extent.endPfn must be at most 2^32 in a table with indexWord, not ${2 ** 32 + 1}`),
    );
    table.addRange(ram(2 ** 32 - 1, 1));
    table.fault(2 ** 32 - 1);
    expect(table.rangeOf(2 ** 32 - 1).words[0]).toBe(2 ** 32 - 1);
  });

  it.each([
    [null, TypeError, 'extent must be a MemoryExtent'],
    [{ nid: 0, kind: 'ram', startPfn: 0.5, endPfn: 1 }, RangeError, 'extent has a pfn that is not an integer'],
    [ram(here, 0), RangeError, `extent is empty or negative: [${here}, ${here})`],
    [ram(-5, 10), RangeError, 'extent is empty or negative: [-5, 5)'],
    [ram(2 ** 40 - 1, 2), RangeError, `extent ends at pfn ${2 ** 40 + 1}, beyond 2^52 bytes`],
    [ram(here, 1, 1024), RangeError, 'extent has nid 1024; 0 to 1023 exist'],
    [{ ...ram(here, 1), kind: 'rom' }, RangeError, "extent has kind rom; it is 'ram' or 'device'"],
    [
      { ...ram(here, 1), pgmap: 1 },
      RangeError,
      'extent has pgmap 1; device memory has one of 1 or more, and RAM has none',
    ],
    [
      { ...ram(here, 4), kind: 'device', altmap: { reservePages: 4, memmapPages: 0 } },
      RangeError,
      'extent has no page that gets a descriptor',
    ],
    [ram(here, large + 1), RangeError, `the range of pfns ${here} to ${here + large} has ${large + 1} pages`],
    [
      ram(2 ** 18 - 1, 2),
      RangeError,
      `pfns ${2 ** 18 - 1} to ${2 ** 18} overlap the range of pfns 0 to ${2 ** 18 - 1}`,
    ],
  ])('of %j is refused, and changes nothing', async (extent, kind, message) => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    const call = (): unknown => memmap.addRange(extent as MemoryExtent);
    expect(call).toThrow(kind);
    expect(call).toThrow(message);
    expect(memmap.ranges.length).toBe(1);
    expect(memmap.addRange(ram(here, large)).length).toBe(1);
  });

  it('refuses what would not fit into memory, unless nobody initializes it', async () => {
    await using memmap = await Memmap.open(options);
    await using lazy = await Memmap.open({ ...options, threadsPerNode: 0 });
    const available = vi.spyOn(process, 'availableMemory').mockReturnValue(large * 64 - 1);
    try {
      expect(() => memmap.addRange(ram(here, large))).toThrow(codeOf('NO_MEMORY'));
      expect(lazy.addRange(ram(here, large)).length).toBe(1);
      available.mockReturnValue(large * 64);
      expect(memmap.addRange(ram(here, large)).length).toBe(1);
    } finally {
      available.mockRestore();
    }
  });

  it('after a cancel waits for retry, as the rest does', async () => {
    await using memmap = await Memmap.open(options);
    memmap.cancel();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    memmap.addRange(ram(here, 4096));
    expect(memmap.state).toBe('idle');
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(memmap.fault(here)).toBe('claimed');
    memmap.retry();
    await memmap.ready;
    expect(memmap.progressNow().pagesReady).toBe(2 ** 18 + 4096);
  });

  it('leaves the signal of open in force for what comes later', async () => {
    const abort = new AbortController();
    await using memmap = await Memmap.open({ ...options, signal: abort.signal });
    await memmap.ready;
    memmap.pause();
    memmap.addRange(ram(here, large));
    const { ready } = memmap;
    abort.abort();
    await expect(ready).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('after a chunk has failed gives ready another chance, which tells of that again', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 1 });
    await memmap.ready;
    memmap.pause();
    memmap.addRange(ram(here, 4096));
    const chunks = ChunkMap.of(Region.attach(memmap.handle()));
    chunks.claim(512 + 3, 99);
    chunks.fail(512 + 3, 99, 5);
    memmap.resume();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CHUNK_FAILED' });
    expect(memmap.stats().failed).toEqual([{ startPfn: here + 3 * 512, endPfn: here + 4 * 512, error: 'EIO' }]);
    memmap.addRange(ram(here + 4096, 4096));
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CHUNK_FAILED' });
    expect(memmap.isInitialized(here + 4096, 9)).toBe(true);
    // the range that failed goes, and with it the failure
    await memmap.removeRange(here);
    await memmap.ready;
    expect(memmap.stats().failed).toEqual([]);
  });
});

describe('removeRange', () => {
  it('takes a range away for everybody: pfns, pages, progress, verification, memory', async () => {
    await using memmap = await Memmap.open(options);
    memmap.addRange(ram(here, large));
    await memmap.ready;
    const thread = await Attached.to(memmap.handle());
    expect(await thread.do('fault', here, 0)).toBe('ready');
    const range = memmap.rangeOf(here);
    const residentBytes = memmap.residency()?.residentBytes ?? 0;
    await memmap.removeRange(here);
    const absent = codeOf('PFN_ABSENT');
    expect(() => memmap.fault(here)).toThrow(absent);
    expect(() => memmap.offsetOf(here)).toThrow(absent);
    expect(() => memmap.page(here)).toThrow(absent);
    expect(() => memmap.isInitialized(here)).toThrow(absent);
    await expect(memmap.faultAsync(here)).rejects.toMatchObject({ code: 'PFN_ABSENT' });
    expect(await thread.do('fault', here, 0)).toBe('PFN_ABSENT');
    expect(await thread.do('faultAsync', here + large - 1, 9)).toBe('PFN_ABSENT');
    expect([memmap.pages, memmap.ranges.length]).toEqual([2 ** 18, 1]);
    expect(memmap.stats()).toMatchObject({ pages: 2 ** 18, pagesReady: 2 ** 18, chunks: { free: 0, ready: 512 } });
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 18, wrong: 0 });
    expect(range.words.every((word) => word === 0)).toBe(true);
    if (addonState().loaded) expect(memmap.residency()?.residentBytes).toBeLessThan(residentBytes - large * 60);
    await memmap.ready;
    expect(memmap.state).toBe('idle');
    await thread.do('close');
  });

  it('in a thread that attached does the same', async () => {
    await using memmap = await Memmap.open(options);
    memmap.addRange(ram(here, large));
    await memmap.ready;
    const thread = await Attached.to(memmap.handle());
    await thread.do('removeRange', here);
    expect(() => memmap.fault(here)).toThrow(codeOf('PFN_ABSENT'));
    expect(await thread.do('removeRange', here)).toBe('PFN_ABSENT');
    memmap.addRange(ram(here, large, 3));
    await thread.do('ready');
    expect(memmap.page(here).nid).toBe(3);
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 18 + large, wrong: 0 });
    await thread.do('close');
  });

  it('of what the background is at lets that finish its batch, and ready comes with the rest', async () => {
    await using memmap = await Memmap.open(options);
    for (let round = 0; round < 10; round++) {
      memmap.addRange(ram(here, large));
      const { ready } = memmap;
      for (let turns = 0; turns < round; turns++) await turn();
      await memmap.removeRange(here);
      await ready;
      await memmap.ready;
      expect(memmap.progressNow()).toMatchObject({ pages: 2 ** 18, pagesReady: 2 ** 18 });
    }
    expect(memmap.stats().workers.failures).toEqual([]);
  });

  it('ends the wait for it of a ready that waits for nothing else', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    await memmap.sync();
    memmap.addRange(ram(here, 4096));
    const { ready } = memmap;
    await memmap.removeRange(here);
    await ready;
  });

  it('of a range of the plan needs no room, and its pfns may come back where there is some', async () => {
    const two = machine(ram(0, 4096), ram(8192, 4096));
    await using plain = await Memmap.open({ topology: two, chunkPages: 512 });
    await plain.removeRange(8192);
    await plain.ready;
    expect(plain.progressNow()).toMatchObject({ pages: 4096, pagesReady: 4096 });
    await plain.removeRange(0);
    expect([plain.pages, plain.ranges.length]).toEqual([0, 0]);
    expect(() => plain.fault(0)).toThrow(codeOf('PFN_ABSENT'));
    await plain.ready;

    await using roomy = await Memmap.open({ ...options, topology: two });
    await roomy.removeRange(0);
    roomy.addRange(ram(0, 4096, 2));
    await roomy.ready;
    expect(roomy.page(0).nid).toBe(2);
  });

  it('of pfns where no range begins, or that are none, is refused', async () => {
    await using memmap = await Memmap.open(options);
    await expect(memmap.removeRange(1)).rejects.toMatchObject({ code: 'PFN_ABSENT' });
    for (const pfn of [-1, 0.5, Number.NaN, 2 ** 53]) {
      await expect(memmap.removeRange(pfn)).rejects.toThrow(
        new RangeError(`startPfn must be a whole number of 0 or more, not ${pfn}`),
      );
    }
  });

  it('waits for a thread that is at a chunk, and tells those who wait for that chunk', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    const [range] = memmap.addRange(ram(here, large));
    const holder = new Claimant(Region.attach(memmap.handle()));
    const number = (range?.firstChunk ?? 0) + 5;
    holder.chunks.claim(number, holder.tag);
    const fault = memmap.faultAsync(here + 5 * 512);
    const removal = memmap.removeRange(here);
    await expect(fault).rejects.toMatchObject({ code: 'RANGE_REMOVED' });
    holder.chunks.publish(number, holder.tag);
    await removal;
    holder.leave();
  });

  it('hands the shared tails of compound pages back, too', async ({ skip }) => {
    const addon = addonState();
    if (!addon.loaded) return skip(`tails are shared by the addon: ${addon.reason}`);
    const device: MemoryExtent = {
      ...ram(2 ** 20, 2 ** 18),
      kind: 'device',
      pgmap: 1,
      mode: 'devdax',
      compoundPages: 2 ** 18,
    };
    const topology = machine(ram(0, 512), device);
    await using memmap = await Memmap.open({ ...options, topology, chunkPages: 2 ** 18, shareTails: true });
    await memmap.ready;
    const { words } = memmap.rangeOf(2 ** 20);
    expect(words[2 ** 21]).not.toBe(0);
    await memmap.removeRange(2 ** 20);
    expect(words.every((word) => word === 0)).toBe(true);
    memmap.addRange(device);
    await memmap.ready;
    expect(await memmap.verify()).toMatchObject({ checked: 512 + 2 ** 18, wrong: 0 });
  });
});

describe('close', () => {
  it('while ranges come and go ends all of it', async () => {
    for (let round = 0; round < 10; round++) {
      const memmap = await Memmap.open(options);
      memmap.addRange(ram(here, large));
      memmap.addRange(ram(here + large, large));
      for (let turns = 0; turns < round; turns++) await turn();
      const removal = memmap.removeRange(here).catch((error) => error.code);
      const { ready } = memmap;
      await memmap.close();
      expect([undefined, 'CLOSED']).toContain(await removal);
      await ready.catch((error) => expect(error.code).toBe('CLOSED'));
      expect(() => memmap.addRange(ram(here, 1))).toThrow(codeOf('CLOSED'));
      await expect(memmap.removeRange(0)).rejects.toMatchObject({ code: 'CLOSED' });
    }
  });

  it('gives the memory of ranges that were added back, too', async ({ skip }) => {
    const addon = addonState();
    if (!addon.loaded) return skip(`without the addon it goes when it is collected: ${addon.reason}`);
    const memmap = await Memmap.open(options);
    memmap.addRange(ram(here, large));
    await memmap.ready;
    expect(memmap.residency()?.residentBytes).toBeGreaterThan(large * 64);
    await memmap.close();
    expect(memmap.residency()?.residentBytes).toBeLessThan(2 ** 21);
  });

  it('in a thread that attached waits for the removal that it is at', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    const [range] = memmap.addRange(ram(here, large));
    const holder = new Claimant(Region.attach(memmap.handle()));
    const number = range?.firstChunk ?? 0;
    holder.chunks.claim(number, holder.tag);
    const attached = Memmap.attach(memmap.handle());
    const removal = attached.removeRange(here);
    let isClosed = false;
    const closed = attached.close().then(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(isClosed).toBe(false);
    holder.chunks.publish(number, holder.tag);
    await removal;
    await closed;
    holder.leave();
  });

  it('is told to threads that attached: they add and remove nothing any more', async () => {
    const memmap = await Memmap.open(options);
    const thread = await Attached.to(memmap.handle());
    await memmap.close();
    expect(await thread.do('addRange', ram(here, 512))).toBe('CLOSED');
    expect(await thread.do('removeRange', 0)).toBe('CLOSED');
    await thread.do('close');
  });
});

describe('reinitialize', () => {
  it('keeps the ranges that there are, and the room', async () => {
    const topology = machine(ram(0, 4096), ram(8192, 4096));
    const first = await Memmap.open({ ...options, topology });
    first.addRange(ram(here, 4096));
    first.addRange(ram(here + 4096, 4096));
    await first.ready;
    await first.removeRange(8192);
    await first.removeRange(here);
    const word = first.offsetOf(here + 4096) / 4 + 11;
    first.rangeOf(here + 4096).words[word] = 77;
    await using again = await first.reinitialize();
    expect(again.ranges.map(({ startPfn }) => startPfn)).toEqual([0, here + 4096]);
    await again.ready;
    expect(again.rangeOf(here + 4096).words[word]).toBe(0);
    again.addRange(ram(8192, 4096, 1));
    await again.ready;
    expect(await again.verify()).toMatchObject({ checked: 3 * 4096, wrong: 0 });
    expect(() => again.addRange(ram(here, 4096))).toThrow(codeOf('NO_RANGE_SLOT'));
  });
});
