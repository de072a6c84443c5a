/**
 * Device memory that holds its own memmap (map=dev). Its range begins behind a reserve, off every border, so chunk edges do, too:
 * in the asynchronous series of 2018 a fault that straddled such an edge initialized only the chunk in which it began.
 */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { Memmap, type Topology } from '../../dist/src/index.js';
import { refusalOf } from '../physical/errors.js';
import { rejectionOf } from '../support/files.js';

/** As ndctl makes it of 64 MiB at 4 GiB with 4 KiB alignment: info block, then 64 bytes for each page behind it. */
const base = 2 ** 20;
const pages = 16_384;
const reservePages = 2;
const memmapPages = 256;
const dataPfn = base + reservePages + memmapPages;
const endPfn = base + pages;

function device(options: Partial<Topology['memory'][number]> = {}): Topology {
  const altmap = { reservePages, memmapPages };
  return {
    source: 'ndctl',
    nodes: [{ nid: 1, cpus: [] }],
    memory: [{ nid: 1, kind: 'device', pgmap: 3, startPfn: base, endPfn, altmap, ...options }],
    zoned: true,
    notes: [],
  };
}

const open = (topology: Topology = device()): Promise<Memmap> =>
  Memmap.open({ topology, threadsPerNode: 0, chunkPages: 512, backing: 'shared' });

describe('device memory with an altmap', () => {
  it('has no descriptors for the reserve in front, and those of its own memmap are reserved', async () => {
    await using memmap = await open();
    expect(memmap.ranges.map((range) => [range.startPfn, range.endPfn])).toEqual([[base + reservePages, endPfn]]);
    expect(memmap.ranges[0]?.segments.map(({ use, startPfn }) => [use, startPfn])).toEqual([
      ['altmap', base + reservePages],
      ['present', dataPfn],
    ]);
    expect(refusalOf(() => memmap.fault(base + reservePages - 1)).code).toBe('PFN_ABSENT');
    await memmap.sync();
    const first = memmap.page(base + reservePages);
    // an empty list, as every page of RAM has it; no dev_pagemap
    expect(first.toString()).toMatch(/^0067ffffc0001000 0{14}08 0{14}08 (0{16} ){3}00000001ffffffff 0{16}$/);
    expect(memmap.page(dataPfn - 1).toString()).toMatch(/^0067ffffc0001000 /);
    expect(memmap.page(dataPfn).toString()).toMatch(/^0067ffffc0001000 0{15}3 (0{16} ){4}00000001ffffffff 0{16}$/);
    expect(await memmap.verify()).toMatchObject({ checked: pages - reservePages, wrong: 0 });
  });

  it('ends a chunk at every pageblock, though the range begins off one', async () => {
    await using memmap = await open();
    const [range] = memmap.ranges;
    const ends = Array.from({ length: range?.chunks ?? 0 }, (_, chunk) => (range?.chunkEnd(chunk) ?? 0) - base);
    expect(ends).toEqual(Array.from({ length: 32 }, (_, chunk) => (chunk + 1) * 512));
  });

  it.each([
    ['the last page of a chunk', 0, 511, [511, 512]],
    ['both sides of an edge', 9, 256, [0, 1024]],
    ['exactly a chunk', 9, 512, [512, 1024]],
    ['the last chunk and what is behind memory', 9, pages - 1, [pages - 512, pages]],
  ] as const)('a fault on %s initializes what it covers', async (_, order, offset, [first, end]) => {
    await using memmap = await open();
    memmap.fault(base + offset, order);
    const covered = Math.min(endPfn, base + offset + 2 ** order) - Math.max(base + offset, base + reservePages);
    expect(memmap.initializedPages(base + offset, base + offset + 2 ** order)).toBe(covered);
    expect(memmap.initializedPages(base, endPfn)).toBeLessThanOrEqual(Math.ceil((end - first) / 512) * 512);
  });

  prop.prop(
    [
      fc.integer({ min: reservePages, max: pages - 1 }),
      fc.constantFrom(0 as const, 9 as const, 18 as const),
      fc.boolean(),
    ],
    { numRuns: 150 },
  )('a fault at any pfn leaves nothing of what it covers uninitialized', async (offset, order, waits) => {
    await using memmap = await open();
    const startPfn = base + offset;
    const end = Math.min(startPfn + 2 ** order, endPfn);
    if (waits) await memmap.faultAsync(startPfn, order);
    else memmap.fault(startPfn, order);
    expect(memmap.initializedPages(startPfn, end)).toBe(end - startPfn);
    expect(memmap.isInitialized(startPfn, order)).toBe(true);
    for (const pfn of [startPfn, end - 1]) expect(memmap.page(pfn).zone).toBe(4);
    // and no more than the chunks that it meets
    const chunks = Math.ceil(end / 512) - Math.floor(startPfn / 512);
    expect(memmap.initializedPages(base, endPfn)).toBeLessThanOrEqual(chunks * 512);
  });

  it('in compound pages begins them behind its memmap', async () => {
    const altmap = { reservePages: 2, memmapPages: 510 };
    await using memmap = await open(device({ mode: 'devdax', compoundPages: 512, altmap }));
    memmap.fault(base + 512, 9);
    expect(memmap.page(base + 512)).toMatchObject({ head: true, pgmap: 3 });
    expect(memmap.page(base + 513).compoundHead).toBe(base + 512);
    expect(memmap.page(base + 1023).compoundHead).toBe(base + 512);
    await memmap.sync();
    expect(memmap.page(base + 1024)).toMatchObject({ head: true });
    expect(await memmap.verify()).toMatchObject({ checked: pages - 2, wrong: 0 });
  });

  it('cannot share tails: its memmap does not lie in RAM', async () => {
    const altmap = { reservePages: 2, memmapPages: 510 };
    const topology = device({ mode: 'devdax', compoundPages: 512, altmap });
    const { code } = await rejectionOf(Memmap.open({ topology, threadsPerNode: 0, shareTails: true }));
    expect(code).toMatch(/^(BACKING_UNAVAILABLE|ADDON_MISSING)$/);
  });
});
