/** Workers that die or do not load: reported, replaced, their chunks done by others; ready comes, or rejects. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openerSettings } from '../../dist/src/background.js';
import { Memmap, releaseThreads, workerFailureChannel } from '../../dist/src/index.js';
import { poolSettings } from '../../dist/src/pool.js';
import { machine, ram } from '../support/regions.js';

const standard = { ...poolSettings };
const standardOpener = { ...openerSettings };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vmemmap-test-'));
  // so that it is the workers who do it
  openerSettings.turnMs = 0;
  poolSettings.workerFile = fileURLToPath(new URL('../support/dying-worker.cjs', import.meta.url));
});

afterEach(async () => {
  Object.assign(poolSettings, standard);
  Object.assign(openerSettings, standardOpener);
  await releaseThreads();
  rmSync(folder, { recursive: true });
});

/** Two nodes with two threads each, of which so many die. */
function open(way: string, deaths: number): Promise<Memmap> {
  Object.assign(process.env, {
    VMEMMAP_TEST_FOLDER: folder,
    VMEMMAP_TEST_DEATH: way,
    VMEMMAP_TEST_DEATHS: String(deaths),
  });
  const topology = machine(ram(0, 100_000, 0), ram(131_072, 100_000, 1));
  return Memmap.open({ topology, chunkPages: 512, threadsPerNode: 2 });
}

async function expectAllRight(memmap: Memmap): Promise<void> {
  expect(await memmap.verify()).toEqual({ checked: 200_000, wrong: 0, firstWrongPfn: -1, failed: 0 });
  expect(memmap.stats().chunks).toMatchObject({ free: 0, claimed: 0, failed: 0 });
}

describe.each(['by exit', 'by error'])('a worker that dies in the middle of a chunk %s', (way) => {
  it.each([1, 3, 8])('%i times in all: ready comes all the same', async (deaths) => {
    await using memmap = await open(way, deaths);
    await memmap.ready;
    await expectAllRight(memmap);
    // others may have done all before the death was told; closing waits for that
    await memmap.close();
    expect(memmap.stats().workers.failures.length).toBeGreaterThan(0);
  });
});

describe('workers that fail while loading', () => {
  it('once: ready comes, the failure is reported', async () => {
    const told: unknown[] = [];
    const listen = (message: unknown): void => {
      told.push(message);
    };
    subscribe(workerFailureChannel, listen);
    await using memmap = await open('while loading', 1);
    await memmap.ready;
    await expectAllRight(memmap);
    // the others may have done all before the failure was told
    const failure = { nid: expect.any(Number), message: expect.stringContaining('failed while loading') };
    await expect.poll(() => told, { timeout: 10_000 }).toContainEqual(failure);
    unsubscribe(workerFailureChannel, listen);
    expect(memmap.stats().workers.failures).toEqual(told);
  });

  it('always: ready rejects, and says why; faults, verification and close work', async () => {
    await using memmap = await open('while loading', 1000);
    await expect(memmap.ready).rejects.toMatchObject({
      code: 'WORKERS_FAILED',
      message: expect.stringContaining('failed while loading'),
    });
    expect(memmap.state).toBe('idle');
    expect(memmap.fault(5)).toBe('claimed');
    expect(await memmap.verify()).toEqual({ checked: 512, wrong: 0, firstWrongPfn: -1, failed: 0 });
    // who waits for all does the work when nobody else can
    await memmap.sync();
    await memmap.ready;
    await expectAllRight(memmap);
  });

  it('by never ending to load, on a memmap that faults complete meanwhile: open returns, ready comes, close does not hang', async () => {
    await using memmap = await open('never loads', 1000);
    expect(memmap.state).toBe('active');
    expect(memmap.progressNow().pagesReady).toBe(0);
    for (const range of memmap.ranges) for (let pfn = range.startPfn; pfn < range.endPfn; pfn += 512) memmap.fault(pfn);
    await memmap.ready;
    expect(memmap.state).toBe('idle');
    await releaseThreads();
  });

  it('by never ending to load: others are started in their place', async () => {
    poolSettings.loadMsMax = 300;
    await using memmap = await open('never loads', 4);
    await memmap.ready;
    await expectAllRight(memmap);
  });
});

describe('threads', () => {
  it('that were given back while a background ran are found by the next call', async () => {
    poolSettings.workerFile = standard.workerFile;
    const threads = () => readdirSync('/proc/self/task').length;
    await using memmap = await open('', 0);
    await releaseThreads();
    const before = threads();
    await memmap.ready;
    expect(memmap.stats().workers.failures).toEqual([]);
    await memmap.close();
    await releaseThreads();
    expect(threads()).toBeLessThanOrEqual(before);
  });

  it('are kept for the next memmap, and can be given back while a background runs', async () => {
    poolSettings.workerFile = standard.workerFile;
    for (let round = 0; round < 3; round++) {
      await using memmap = await open('', 0);
      await releaseThreads();
      await memmap.ready;
      await expectAllRight(memmap);
    }
  });
});
