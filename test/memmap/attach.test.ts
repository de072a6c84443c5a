/** Attaching from a user's own threads: the same memmap, by a handle that is plain data. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { Memmap, type MemmapHandle, releaseThreads } from '../../dist/src/index.js';
import { Attached } from '../support/attached.js';
import { machine, ram } from '../support/regions.js';

afterAll(releaseThreads);

const options = { topology: machine(ram(0, 2 ** 18)), chunkPages: 512 } as const;

describe('a thread that attached', () => {
  it('faults for the opener, and the opener for it', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    const thread = await Attached.to(memmap.handle());
    expect(await thread.do('fault', 5000, 9)).toBe('claimed');
    expect(memmap.fault(5000)).toBe('ready');
    expect(memmap.fault(100_000)).toBe('claimed');
    expect(await thread.do('faultAsync', 100_000, 0)).toBe('ready');
    expect(await thread.do('flags', 100_000)).toBe(0x0017ffffc0000000n);
    await thread.do('close');
  });

  it('sees ready and state, pauses and resumes, and verifies', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 1 });
    const thread = await Attached.to(memmap.handle());
    await thread.do('ready');
    expect(memmap.progressNow().pagesReady).toBe(2 ** 18);
    expect(await thread.do('state')).toBe('idle');
    expect(await thread.do('verify')).toEqual({ checked: 2 ** 18, wrong: 0, firstWrongPfn: -1, failed: 0 });
    await thread.do('close');
  });

  it('waits for ready without a background, and keeps its thread alive for it', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    const thread = await Attached.to(memmap.handle());
    expect(await thread.do('state')).toBe('active');
    const ready = thread.do('ready');
    await memmap.sync();
    expect(await ready).toBeUndefined();
    await thread.do('close');
  });

  it('grows beside the opener, and nobody gets a pfn twice', async () => {
    await using memmap = await Memmap.open({ ...options, policy: 'boot', threadsPerNode: 1 });
    const threads = await Promise.all([Attached.to(memmap.handle()), Attached.to(memmap.handle())]);
    const runs: { startPfn: number; endPfn: number }[] = [];
    const growing = threads.map(async (thread) => {
      for (;;) {
        const run = await thread.do('grow', 0, 3000);
        if (!run) return;
        runs.push(run as (typeof runs)[0]);
      }
    });
    for (let run = memmap.grow(0, 3000); run; run = memmap.grow(0, 3000)) {
      runs.push(run);
      await new Promise(setImmediate);
    }
    await Promise.all(growing);
    runs.sort((a, b) => a.startPfn - b.startPfn);
    expect(runs[0]?.startPfn).toBe(0);
    for (let i = 1; i < runs.length; i++) expect(runs[i]?.startPfn).toBe(runs[i - 1]?.endPfn);
    expect(runs.at(-1)?.endPfn).toBe(2 ** 18);
    await Promise.all(threads.map((thread) => thread.do('close')));
  });

  it('after the opener closed is told CLOSED', async () => {
    const memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    const thread = await Attached.to(memmap.handle());
    await memmap.close();
    expect(await thread.do('fault', 50_000, 0)).toBe('CLOSED');
    expect(await thread.do('ready')).toBe('CLOSED');
    await thread.do('close');
  });

  it('is told when the thread of the opener has died', async () => {
    const library = new URL('../../dist/src/index.js', import.meta.url).href;
    const code = `const { parentPort } = require('node:worker_threads');
      import(${JSON.stringify(library)}).then(async ({ Memmap }) => {
        const memmap = await Memmap.open({ topology: '1x1GiB', threadsPerNode: 0 });
        parentPort.postMessage(memmap.handle());
        setInterval(() => {}, 1000);
      });`;
    const opener = new Worker(code, { eval: true });
    const [handle] = (await once(opener, 'message')) as [MemmapHandle];
    await using memmap = Memmap.attach(handle);
    const ready = memmap.ready.catch((error) => error.code);
    await opener.terminate();
    expect(await ready).toBe('WORKERS_FAILED');
    expect(memmap.state).toBe('idle');
    expect(memmap.fault(77)).toBe('claimed');
  });

  it('and ends without closing leaves nothing stuck', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 1 });
    const threads = await Promise.all(Array.from({ length: 4 }, () => Attached.to(memmap.handle())));
    for (const thread of threads) {
      thread.worker.postMessage(['fault', 200_000, 18]);
      await thread.worker.terminate();
    }
    await memmap.ready;
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 18, wrong: 0 });
  });
});

describe('attach', () => {
  it('in the same thread sees the same memmap', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    await using again = Memmap.attach(memmap.handle());
    expect(again.fault(77)).toBe('claimed');
    expect(memmap.fault(77)).toBe('ready');
  });

  it('of something that is no handle is HANDLE_INVALID', () => {
    for (const handle of [null, undefined, 7, {}, { kind: 'vmemmap-region' }]) {
      expect(() => Memmap.attach(handle as never)).toThrow(expect.objectContaining({ code: 'HANDLE_INVALID' }));
    }
  });

  it('retry belongs to the opener', async () => {
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    await using again = Memmap.attach(memmap.handle());
    expect(() => again.retry()).toThrow(TypeError);
    expect(memmap.retry()).toBe(0);
  });
});
