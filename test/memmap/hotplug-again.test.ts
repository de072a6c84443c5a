/** Memory that was added, when everything is begun once more, and when it comes at the end of a wait or behind a cancel. */
import { afterAll, expect, it } from 'vitest';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { Memmap, releaseThreads } from '../../dist/src/index.js';
import { Region } from '../../dist/src/region/region.js';
import { planned, stateOfSlot } from '../support/hot.js';
import { deadThread, machine, ram } from '../support/regions.js';

afterAll(releaseThreads);

const here = 2 ** 20;
const options = {
  topology: machine(ram(0, 4096)),
  threadsPerNode: 0,
  chunkPages: 512,
  hotplug: { ranges: 2, pages: 4096 },
} as const;

it('is handed out by grow once more after reinitialize, from its start', async () => {
  const first = await Memmap.open({ ...options, policy: 'boot' });
  // another range was in this slot before
  first.addRange(ram(here - 4096, 1));
  await first.removeRange(here - 4096);
  first.addRange(ram(here, 4096, 1));
  expect(first.grow(1, 1000)).toEqual({ startPfn: here, endPfn: here + 1000 });
  await using memmap = await first.reinitialize();
  expect(memmap.grow(1, 1000)).toEqual({ startPfn: here, endPfn: here + 1000 });
  expect(memmap.grow(1, 4096)).toEqual({ startPfn: here + 1000, endPfn: here + 4096 });
  expect(memmap.grow(1, 1)).toBeUndefined();
});

it('keeps no sync waiting that has no threads to do it, at whatever step of it the memory comes', async () => {
  for (let steps = 0; steps < 40; steps++) {
    await using memmap = await Memmap.open(options);
    const synced = memmap.sync();
    for (let step = 0; step < steps; step++) await undefined;
    memmap.addRange(ram(here, 4096));
    await synced;
    // told just before the memory came, it was about the rest
    await memmap.sync();
    expect([steps, memmap.progressNow().pagesReady]).toEqual([steps, 8192]);
  }
});

it.each([0, 1])('is told not to be ready when it comes behind a cancel, with %i threads', async (threadsPerNode) => {
  await using memmap = await Memmap.open({ ...options, threadsPerNode });
  await memmap.sync();
  await using attached = Memmap.attach(memmap.handle());
  await attached.ready;
  memmap.cancel();
  await memmap.ready;
  memmap.addRange(ram(here, 4096));
  await expect(memmap.ready).rejects.toMatchObject({ code: 'CANCELLED' });
  await expect(attached.ready).rejects.toMatchObject({ code: 'CANCELLED' });
  await expect(memmap.sync()).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(memmap.state).toBe('idle');
  expect(memmap.fault(here)).toBe('claimed');
  memmap.retry();
  await memmap.sync();
  expect(memmap.progressNow().pagesReady).toBe(8192);
  await attached.sync();
  expect(attached.ready).toBe(attached.ready);
  // what only goes leaves the rest as ready as it was
  memmap.cancel();
  await memmap.removeRange(here);
  await memmap.ready;
});

it('comes for all threads although who added it died before it told anybody', async () => {
  await using memmap = await Memmap.open({ ...options, threadsPerNode: 1 });
  await memmap.ready;
  const region = Region.attach(memmap.handle());
  const dead = new Claimant(region, { thread: deadThread });
  const { states, entries } = region.slots;
  dead.keepers.take(region.word.addersKeeper);
  for (const slot of [1, 2]) states.begin(slot);
  const [range] = planned(ram(here, 4096));
  if (range) entries.write(0, range);
  states.publish(1);
  // one that came behind it sees it, and waits for it
  await using late = Memmap.attach(memmap.handle());
  expect(late.ranges.map(({ startPfn }) => startPfn)).toEqual([0, here]);
  await late.ready;
  expect(memmap.ranges.map(({ startPfn }) => startPfn)).toEqual([0, here]);
  expect(late.initializedPages(here, here + 4096)).toBe(4096);
  // the other one never came
  expect(stateOfSlot(region, 2)).toBe('absent');
});
