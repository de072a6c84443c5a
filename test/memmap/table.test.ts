/** A table of the user's own 64-byte records instead of page descriptors. */
import { afterAll, describe, expect, it } from 'vitest';
import { Memmap, releaseThreads } from '../../dist/src/index.js';

afterAll(releaseThreads);

const template = Uint8Array.from({ length: 64 }, (_, i) => i + 1);

describe('a table', () => {
  it('holds the template and the slot number in every record', async () => {
    await using memmap = await Memmap.open({ slots: 100_000, template, indexWord: 3, threadsPerNode: 1 });
    await memmap.ready;
    const { words } = memmap.rangeOf(0);
    const expected = new Uint32Array(template.slice().buffer);
    for (const slot of [0, 1, 511, 512, 99_999]) {
      expected[3] = slot;
      expect([...words.subarray(slot * 16, slot * 16 + 16)]).toEqual([...expected]);
    }
    expect(await memmap.verify()).toEqual({ checked: 100_000, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('of zeros when no template is given, with slot numbers alone', async () => {
    await using memmap = await Memmap.open({ slots: 5, indexWord: 15, threadsPerNode: 0 });
    memmap.fault(4);
    expect([...memmap.rangeOf(4).words.subarray(4 * 16)]).toEqual([...Array(15).fill(0), 4]);
  });

  it('numbers slots on behind the first range of 2^28', async () => {
    await using memmap = await Memmap.open({ slots: 2 ** 28 + 10, indexWord: 0, threadsPerNode: 0, chunkPages: 512 });
    const slot = 2 ** 28 + 9;
    memmap.fault(slot);
    expect(memmap.ranges.length).toBe(2);
    expect(memmap.rangeOf(slot).words[memmap.offsetOf(slot) / 4]).toBe(slot);
    expect(memmap.progressNow().pagesReady).toBe(10);
  });

  it('is no memmap of pages: page() says so', async () => {
    await using memmap = await Memmap.open({ slots: 5, threadsPerNode: 0 });
    expect(() => memmap.page(0)).toThrow(TypeError);
    expect(() => memmap.fault(5)).toThrow(expect.objectContaining({ code: 'PFN_ABSENT' }));
  });
});
