/** Faults of a memmap: what they initialize, what they leave alone, and what they refuse. */
import { afterAll, describe, expect, it } from 'vitest';
import { Memmap } from '../../dist/src/index.js';
import { machine, ram } from '../support/regions.js';

const opened: Memmap[] = [];
afterAll(() => Promise.all(opened.map((memmap) => memmap.close())));

/** No background: what is initialized was faulted. Chunks of 1024 pages from pfn 512; a hole; another range off a pageblock. */
async function open(): Promise<Memmap> {
  const memory = [ram(700, 5000), ram(10_000, 1), ram(20_000, 300_000)];
  const memmap = await Memmap.open({
    topology: machine(...memory),
    threadsPerNode: 0,
    chunkPages: 1024,
    backing: 'shared',
  });
  opened.push(memmap);
  return memmap;
}

/** The initialized chunks of a range, by their first and last pfn. */
function initialized(memmap: Memmap, rangeIndex = 0): [number, number][] {
  const range = memmap.ranges[rangeIndex] as Memmap['ranges'][number];
  return Array.from({ length: range.chunks }, (_, chunk): [number, number] => [
    range.chunkStart(chunk),
    range.chunkEnd(chunk),
  ]).filter(([start]) => memmap.isInitialized(start));
}

describe('fault', () => {
  it('of order 0 initializes the one chunk that holds the pfn', async () => {
    const memmap = await open();
    expect(memmap.fault(2000)).toBe('claimed');
    expect(initialized(memmap)).toEqual([[1536, 2560]]);
    expect(memmap.fault(2559)).toBe('ready');
    expect(memmap.fault(2560)).toBe('claimed');
    expect(initialized(memmap)).toEqual([
      [1536, 2560],
      [2560, 3584],
    ]);
  });

  it('reaches the short first and last chunk of a range', async () => {
    const memmap = await open();
    memmap.fault(700);
    memmap.fault(5699);
    expect(initialized(memmap)).toEqual([
      [700, 1536],
      [5632, 5700],
    ]);
    expect(await memmap.verify()).toMatchObject({ checked: 836 + 68, wrong: 0 });
  });

  it('of order 9, aligned, never straddles two chunks', async () => {
    const memmap = await open();
    for (let pfn = 1024; pfn < 5120; pfn += 512) {
      const before = initialized(memmap).length;
      memmap.fault(pfn, 9);
      expect(initialized(memmap).length - before).toBeLessThanOrEqual(1);
    }
  });

  it('that straddles a chunk border initializes both chunks (the defect of 2018 did only the first)', async () => {
    const memmap = await open();
    expect(memmap.fault(2560 - 1, 9)).toBe('claimed');
    expect(initialized(memmap)).toEqual([
      [1536, 2560],
      [2560, 3584],
    ]);
  });

  it('whose last page is the last of a chunk leaves the next one alone', async () => {
    const memmap = await open();
    memmap.fault(2560 - 512, 9);
    expect(initialized(memmap)).toEqual([[1536, 2560]]);
  });

  it('of order 18 goes over a hole into other ranges and ends exactly', async () => {
    const memmap = await open();
    memmap.fault(5699, 18);
    expect(initialized(memmap)).toEqual([[5632, 5700]]);
    expect(initialized(memmap, 1)).toEqual([[10_000, 10_001]]);
    const covered = initialized(memmap, 2);
    const end = 5699 + 2 ** 18;
    expect(covered.every(([start]) => start < end)).toBe(true);
    expect(covered.at(-1)?.[1]).toBeGreaterThanOrEqual(end);
    expect(memmap.isInitialized(5699, 18)).toBe(true);
  });

  it('that runs behind the end of memory initializes what there is', async () => {
    const memmap = await open();
    expect(memmap.fault(319_999, 18)).toBe('claimed');
    expect(initialized(memmap, 2).length).toBe(1);
  });

  it('of a one-page range', async () => {
    const memmap = await open();
    expect(memmap.fault(10_000)).toBe('claimed');
    expect(memmap.page(10_000).refcount).toBe(1);
    expect(await memmap.verify()).toEqual({ checked: 1, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('without blocking does the same', async () => {
    const memmap = await open();
    expect(await memmap.faultAsync(2559, 9)).toBe('claimed');
    expect(initialized(memmap)).toEqual([
      [1536, 2560],
      [2560, 3584],
    ]);
    expect(await memmap.faultAsync(2559, 9)).toBe('ready');
  });

  it('in a hole, before and behind memory is PFN_ABSENT and initializes nothing', async () => {
    const memmap = await open();
    for (const pfn of [0, 699, 5700, 9999, 10_001, 320_000, 2 ** 40]) {
      expect(() => memmap.fault(pfn, 18)).toThrow(expect.objectContaining({ code: 'PFN_ABSENT', received: pfn }));
      await expect(memmap.faultAsync(pfn)).rejects.toMatchObject({ code: 'PFN_ABSENT' });
    }
    expect(memmap.progressNow().pagesReady).toBe(0);
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 700.5])('of %d is a RangeError', async (pfn) => {
    const memmap = await open();
    expect(() => memmap.fault(pfn)).toThrow(RangeError);
  });

  it.each([1, 8, 10, 17, 19, -9, 0.5])('of order %d is a RangeError', async (order) => {
    const memmap = await open();
    expect(() => memmap.fault(700, order as 0)).toThrow(RangeError);
  });
});

describe('initializedPages', () => {
  it('counts the pages of an extent that are initialized, cut to the extent', async () => {
    const memmap = await open();
    const counts = (...extents: [number, number][]): number[] =>
      extents.map(([start, end]) => memmap.initializedPages(start, end));
    expect(counts([700, 5700], [0, 2 ** 40])).toEqual([0, 0]);
    memmap.fault(2000);
    expect(counts([1536, 2560], [1536, 2561], [1535, 2560], [1600, 1700], [2559, 2560], [2560, 3000])).toEqual([
      1024, 1024, 1024, 100, 1, 0,
    ]);
    expect(counts([700, 1536], [1536, 1536], [0, 0], [2 ** 40, 2 ** 41])).toEqual([0, 0, 0, 0]);
  });

  it('does not count the pages of holes, wherever the extent begins and ends', async () => {
    const memmap = await open();
    memmap.fault(700);
    memmap.fault(5699);
    memmap.fault(10_000);
    memmap.fault(20_000);
    const [first, last, one] = [1536 - 700, 5700 - 5632, 1];
    expect(memmap.initializedPages(0, 700)).toBe(0);
    expect(memmap.initializedPages(0, 701)).toBe(1);
    expect(memmap.initializedPages(0, 9000)).toBe(first + last);
    expect(memmap.initializedPages(6000, 10_000)).toBe(0);
    expect(memmap.initializedPages(6000, 15_000)).toBe(one);
    expect(memmap.initializedPages(10_001, 20_000)).toBe(0);
    // from pageblock border 19968 on
    expect(memmap.initializedPages(0, 400_000)).toBe(first + last + one + 19_968 + 1024 - 20_000);
    expect(memmap.initializedPages(320_000, 400_000)).toBe(0);
  });

  it('is all of them when all is initialized', async () => {
    const memmap = await open();
    await memmap.sync();
    expect(memmap.initializedPages(0, 2 ** 40)).toBe(memmap.pages);
  });

  it.each([
    [-1, 5],
    [5, 4],
    [0.5, 4],
    [0, 1.5],
    [Number.NaN, 4],
    [0, Number.POSITIVE_INFINITY],
    [0, 2 ** 53],
  ])('refuses [%d, %d), which is no extent', async (start, end) => {
    const memmap = await open();
    expect(() => memmap.initializedPages(start, end)).toThrow(RangeError);
  });

  it('is refused when the memmap is closed', async () => {
    const memmap = await Memmap.open({ topology: machine(ram(0, 512)), threadsPerNode: 0 });
    await memmap.close();
    expect(() => memmap.initializedPages(0, 512)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });
});

describe('offsets', () => {
  it('are plain: 64 bytes a pfn from the start of the range', async () => {
    const memmap = await open();
    expect([memmap.offsetOf(700), memmap.offsetOf(701), memmap.offsetOf(5699)]).toEqual([0, 64, 4999 * 64]);
    expect(memmap.offsetOf(20_000)).toBe(0);
    expect(() => memmap.offsetOf(9000)).toThrow(expect.objectContaining({ code: 'PFN_ABSENT' }));
  });

  it('and initialize nothing', async () => {
    const memmap = await open();
    memmap.offsetOf(700);
    memmap.page(700);
    expect(memmap.isInitialized(700)).toBe(false);
  });
});

describe('page', () => {
  it('reads what the kernel would have written', async () => {
    const memmap = await open();
    memmap.fault(2000);
    expect(memmap.page(2000).toString()).toBe(
      [
        '0017ffffc0000000', // node 0, zone Normal, last cpupid all ones
        ((2000 - 700) * 64 + 8).toString(16).padStart(16, '0'),
        ((2000 - 700) * 64 + 8).toString(16).padStart(16, '0'),
        '0000000000000000',
        '0000000000000000',
        '0000000000000000',
        '00000001ffffffff',
        '0000000000000000',
      ].join(' '),
    );
  });
});
