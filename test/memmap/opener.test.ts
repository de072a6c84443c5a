/** The opener's own thread initializes until the first worker is up, and small memmaps alone; threads start one by one. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openerSettings } from '../../dist/src/background.js';
import { Memmap, releaseThreads } from '../../dist/src/index.js';
import { poolSettings } from '../../dist/src/pool.js';
import { runNode } from '../support/child.js';
import { machine, ram } from '../support/regions.js';

const standard = { ...openerSettings };
/** Worker threads of the pools: they are niced. */
function workerThreads(): number {
  return readdirSync('/proc/self/task').filter((tid) => {
    const stat = readFileSync(`/proc/self/task/${tid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19 - 3] === '10';
  }).length;
}

const small = { topology: machine(ram(0, 2 ** 16)), threadsPerNode: 2, chunkPages: 512 } as const;
const right = { checked: 2 ** 16, wrong: 0, firstWrongPfn: -1, failed: 0 };
const indexUrl = new URL('../../dist/src/index.js', import.meta.url).href;

beforeEach(releaseThreads);
afterEach(() => {
  Object.assign(openerSettings, standard);
});
afterAll(releaseThreads);

describe('a small memmap', () => {
  it('is initialized and verified without a thread being started', async () => {
    // the time that it may take alone is no part of what is tested
    openerSettings.aloneMsMax = 60_000;
    await using memmap = await Memmap.open(small);
    expect(memmap.state).toBe('active');
    await memmap.ready;
    expect(memmap.state).toBe('idle');
    expect(await memmap.verify()).toEqual(right);
    expect(workerThreads()).toBe(0);
    expect(memmap.stats().workers).toEqual({ threads: 2, failures: [], pinErrnos: [] });
    expect(memmap.stats().totals).toMatchObject({ chunksByDrain: 128, chunksByFault: 0 });
  });

  it('that takes the opener too long gets its threads', async () => {
    Object.assign(openerSettings, { aloneMsMax: 0, turnMs: 0.001 });
    await using memmap = await Memmap.open({ ...small, topology: machine(ram(0, 2 ** 20)) });
    await memmap.ready;
    await expect.poll(workerThreads).toBeGreaterThan(0);
    expect(await memmap.verify()).toEqual({ ...right, checked: 2 ** 20 });
  });

  it('uses threads that are there and idle', async () => {
    await using large = await Memmap.open({ ...small, topology: machine(ram(0, 2 ** 21)) });
    await large.ready;
    await large.verify();
    openerSettings.turnMs = 60_000; // a turn of the opener would do all
    await using memmap = await Memmap.open(small);
    await memmap.ready;
    expect(memmap.stats().totals.chunksByDrain).toBe(128);
    expect(await memmap.verify()).toEqual(right);
  });

  it('that is paused before its first turn waits for the resume', async () => {
    await using memmap = await Memmap.open(small);
    memmap.pause();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(memmap.progressNow()).toMatchObject({ pagesReady: 0, state: 'active' });
    expect(memmap.fault(5)).toBe('claimed');
    memmap.resume();
    await memmap.ready;
    expect(await memmap.verify()).toEqual(right);
  });

  it('that is cancelled before its first turn rejects ready, and retry takes it back', async () => {
    await using memmap = await Memmap.open(small);
    memmap.cancel();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(memmap.progressNow()).toMatchObject({ pagesReady: 0, state: 'idle' });
    expect(memmap.retry()).toBe(0);
    await memmap.ready;
    expect(await memmap.verify()).toEqual(right);
  });

  it('that is closed before its first turn is not written to', async () => {
    const memmap = await Memmap.open(small);
    const [range] = memmap.ranges;
    const closing = memmap.close();
    await expect(memmap.ready).rejects.toMatchObject({ code: 'CLOSED' });
    await closing;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(range?.words.every((word) => word === 0)).toBe(true);
  });

  it('beside others at once becomes ready as they do', async () => {
    const memmaps = await Promise.all(Array.from({ length: 5 }, () => Memmap.open(small)));
    await Promise.all(memmaps.map(({ ready }) => ready));
    for (const memmap of memmaps) {
      expect(await memmap.verify()).toEqual(right);
      await memmap.close();
    }
  });
});

describe('a large memmap', () => {
  const large = { ...small, topology: machine(ram(0, 2 ** 21)) };

  it('whose workers never come up is initialized by its opener', async () => {
    const { workerFile } = poolSettings;
    poolSettings.workerFile = '/nowhere.cjs';
    try {
      await using memmap = await Memmap.open(large);
      await memmap.sync();
      expect(await memmap.verify()).toEqual({ ...right, checked: 2 ** 21 });
    } finally {
      await releaseThreads();
      poolSettings.workerFile = workerFile;
    }
  });

  it('gets all of its threads, one after another', async () => {
    openerSettings.turnMs = 0;
    await using memmap = await Memmap.open({ ...large, threadsPerNode: 3 });
    await memmap.verify();
    await memmap.ready;
    expect(workerThreads()).toBe(3);
  });
});

describe('a process', () => {
  it('that opens and does nothing else ends when all is initialized, without having waited for it', async () => {
    const code = `import { Memmap } from '${indexUrl}';
      const memmap = await Memmap.open({ topology: '1x1GiB' });
      process.on('exit', () => console.log(memmap.progressNow().pagesReady));`;
    const { status, stdout } = await runNode(['--input-type=module', '--eval', code]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${2 ** 18}\n` });
  });
});
