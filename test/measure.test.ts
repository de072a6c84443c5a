/** The measured run: its figures add up, its faults can be had again, and it ends when it is told to. */
import { afterAll, describe, expect, it, vi } from 'vitest';
import { VmemmapError } from '../dist/src/errors.js';
import { type MachineOptions, type MeasureOptions, measureInit } from '../dist/src/measure.js';
import type { Memmap } from '../dist/src/memmap.js';
import type { InitReport } from '../dist/src/observe/init-report.js';
import { releaseThreads } from '../dist/src/pool.js';

/** Two nodes, three ranges, 24,576 pages in 48 chunks. */
const machine: MachineOptions = {
  topology: '1x64MiB,1x32MiB:pmem',
  threadsPerNode: 1,
  backing: 'shared',
  chunkPages: 512,
};

function measured(options: MachineOptions, measure: Partial<MeasureOptions> = {}): Promise<InitReport> {
  return measureInit({ ...machine, ...options }, { faults: 0, seed: 1, verify: false, ...measure });
}

/** What a run does to its memmap, written down. */
function recorder(onFault: (count: number) => void = () => {}): {
  faults: [pfn: number, order: number | undefined][];
  onOpen: (memmap: Memmap) => void;
} {
  const faults: [number, number | undefined][] = [];
  const onOpen = (memmap: Memmap): void => {
    const fault = memmap.fault.bind(memmap);
    vi.spyOn(memmap, 'fault').mockImplementation((pfn, order) => {
      faults.push([pfn, order]);
      onFault(faults.length);
      return fault(pfn, order);
    });
  };
  return { faults, onOpen };
}

afterAll(releaseThreads);

describe('a measured run', () => {
  it('reports the ranges, the threads, and where all this came from', async () => {
    const report = await measured({ policy: 'boot' });
    expect(report).toMatchObject({
      pages: 24_576,
      source: 'simulated',
      policy: 'boot',
      profile: 'linux-6.1',
      platform: 'x86-64',
      threads: 2,
      backing: { requested: 'shared', effective: 'shared', durability: 'none' },
      resumed: { chunksKept: 0, chunksRedone: 0 },
      workerFailures: 0,
    });
    const rest = (present: number): object => ({
      pages: present,
      uses: { present, reserved: 0, unavailable: 0, altmap: 0 },
      chunkPages: 512,
    });
    expect(report.ranges).toEqual([
      { nid: 0, zone: 'DMA', kind: 'ram', startPfn: 0, endPfn: 4096, chunks: 8, ...rest(4096) },
      { nid: 0, zone: 'DMA32', kind: 'ram', startPfn: 4096, endPfn: 16_384, chunks: 24, ...rest(12_288) },
      { nid: 1, zone: 'Device', kind: 'device', startPfn: 16_384, endPfn: 24_576, chunks: 16, ...rest(8192) },
    ]);
  });

  it.each([0, 2])(
    'verifies every page, and tells all milestones of every node (%i threads per node)',
    async (threadsPerNode) => {
      const report = await measured({ threadsPerNode }, { verify: true });
      expect(report.threads).toBe(threadsPerNode * 2);
      expect(report.verify).toMatchObject({ checked: 24_576, wrong: 0 });
      for (const nid of [0, 1]) {
        const own = report.milestones.filter((milestone) => milestone.nid === nid);
        expect(own.map(({ share }) => share)).toEqual([0.25, 0.5, 0.75, 1]);
        expect(own.map(({ ms }) => ms)).toEqual(own.map(({ ms }) => ms).toSorted((a, b) => a - b));
        expect(own[0]?.ms).toBeGreaterThan(report.openMs);
      }
      expect(report.milestones).toHaveLength(8);
    },
  );

  it('has times and rates that fit each other', async () => {
    const { openMs, firstFaultUs, totalMs, pages, pagesPerSecond } = await measured({});
    expect(openMs).toBeGreaterThan(0);
    expect(firstFaultUs).toBeGreaterThan(0);
    expect(totalMs).toBeGreaterThan(openMs + firstFaultUs / 1000);
    expect(pagesPerSecond).toBeCloseTo((pages * 1000) / totalMs, 6);
  });

  it.each([1, 2, 99, 100])('sorts each of %i faults under one outcome, and their latencies', async (count) => {
    const { faults } = await measured({}, { faults: count, seed: 5 });
    expect(faults).toMatchObject({ count, seed: 5 });
    expect(faults.claimed + faults.waited + faults.alreadyReady).toBe(count);
    expect(faults.p50Us).toBeGreaterThanOrEqual(0);
    expect(faults.p99Us).toBeGreaterThanOrEqual(faults.p50Us ?? Number.NaN);
    expect(faults.maxUs).toBeGreaterThanOrEqual(faults.p99Us ?? Number.NaN);
  });

  it('has no latencies where there were no faults', async () => {
    const none = { p50Us: null, p99Us: null, maxUs: null, claimed: 0, waited: 0, alreadyReady: 0 };
    expect((await measured({}, { seed: 3 })).faults).toEqual({ count: 0, seed: 3, ...none });
  });

  it('tells its progress, at last that everything is ready, and closes the memmap', async () => {
    const ready: number[] = [];
    let opened: Memmap | undefined;
    await measured(
      {},
      {
        onOpen: (memmap) => {
          opened = memmap;
        },
        onProgress: ({ pagesReady }) => ready.push(pagesReady),
      },
    );
    expect(ready.at(-1)).toBe(24_576);
    expect(ready).toEqual(ready.toSorted((a, b) => a - b));
    expect(opened?.state).toBe('idle');
    expect(() => opened?.fault(0)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('fails with VERIFY_WRONG, and the report, when a descriptor is wrong', async () => {
    const onOpen = (memmap: Memmap): void => {
      memmap.fault(5000);
      const { words } = memmap.rangeOf(5000);
      words[memmap.offsetOf(5000) / 4] = 1;
    };
    const error = await measured({}, { verify: true, onOpen }).catch((reason: unknown) => reason);
    if (!(error instanceof VmemmapError)) throw new Error('a VmemmapError was expected');
    expect(error.code).toBe('VERIFY_WRONG');
    expect(error.message).toMatch(/^1 of 24576 descriptors are wrong, the first at pfn 5000;/);
    expect(error.received).toMatchObject({ pages: 24_576, verify: { checked: 24_576, wrong: 1 } });
  });
});

describe('random faults', () => {
  it('are the same for the same seed, and others for another', async () => {
    const [first, again, other] = [recorder(), recorder(), recorder()];
    await measured({}, { faults: 200, seed: 9, onOpen: first.onOpen });
    await measured({ threadsPerNode: 0 }, { faults: 200, seed: 9, onOpen: again.onOpen });
    await measured({}, { faults: 200, seed: 10, onOpen: other.onOpen });
    expect(first.faults).toHaveLength(201);
    expect(again.faults).toEqual(first.faults);
    expect(other.faults).not.toEqual(first.faults);
  });

  it('begin with one page, meet all ranges and orders, and are aligned unless their range begins later', async () => {
    const { faults, onOpen } = recorder();
    await measured({ threadsPerNode: 0 }, { faults: 500, seed: 2, onOpen });
    expect(faults[0]?.[1]).toBe(0);
    expect([...new Set(faults.map(([, order]) => order))].sort()).toEqual([0, 18, 9]);
    const starts = [0, 4096, 16_384];
    expect(faults.every(([pfn, order = 0]) => pfn % 2 ** order === 0 || starts.includes(pfn))).toBe(true);
    const met = faults.filter(([, order]) => order === 0).map(([pfn]) => starts.findLast((start) => start <= pfn));
    expect([...new Set(met)].toSorted((a = 0, b = 0) => a - b)).toEqual(starts);
    expect(Math.max(...faults.map(([pfn]) => pfn))).toBeLessThan(24_576);
  });
});

describe('a run that is aborted', () => {
  it.each([0, 1])('before it began anything rejects with the reason (%i threads)', async (threadsPerNode) => {
    const abort = new AbortController();
    const reason = new Error('not now');
    const onOpen = (): void => abort.abort(reason);
    await expect(measured({ threadsPerNode, signal: abort.signal }, { onOpen })).rejects.toBe(reason);
  });

  it.each([0, 1])('between two faults makes no more of them (%i threads)', async (threadsPerNode) => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const { faults, onOpen } = recorder((count) => {
      if (count === 6) abort.abort(reason);
    });
    const paused = (memmap: Memmap): void => {
      memmap.pause();
      onOpen(memmap);
    };
    const run = measured({ threadsPerNode, signal: abort.signal }, { faults: 1_000_000, onOpen: paused });
    await expect(run).rejects.toBe(reason);
    expect(faults).toHaveLength(6);
  });

  it('while it verifies rejects with the reason', async () => {
    const abort = new AbortController();
    const reason = new Error('seen enough');
    const onOpen = (memmap: Memmap): void => {
      const { verify } = memmap;
      memmap.verify = () => {
        abort.abort(reason);
        return verify.call(memmap);
      };
    };
    await expect(measured({ signal: abort.signal }, { verify: true, onOpen })).rejects.toBe(reason);
  });

  it('by cancelling its memmap rejects with CANCELLED and makes no more faults', async () => {
    const { faults, onOpen } = recorder();
    const cancelled = (memmap: Memmap): void => {
      onOpen(memmap);
      memmap.cancel();
    };
    // so many chunks that faults, a millisecond apart, cannot have done them all before the worker is there to be cancelled
    const run = measured({ topology: '1x64GiB' }, { faults: 1_000_000, onOpen: cancelled });
    await expect(run).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(faults.length).toBeLessThan(1_000_000);
  });
});
