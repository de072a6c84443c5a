/** Several processes on one file: every chunk once, waiting for each other, coming and going. */
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openerSettings } from '../../dist/src/background.js';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { closeClaims } from '../../dist/src/claims/orders.js';
import { inspectFile, Memmap, releaseThreads, workerFailureChannel } from '../../dist/src/index.js';
import { lockKind } from '../../dist/src/native.js';
import { processSlots } from '../../dist/src/region/layout.js';
import { Region } from '../../dist/src/region/region.js';
import { addon, named, skipReason } from '../native/built-addon.js';
import { Folder } from '../native/mapped.js';
import { runNode } from '../support/child.js';
import { inTime, Peer, Place, stuckIn, until, Watch } from '../support/processes.js';
import { machine, ram, upTo } from '../support/regions.js';

/** 64 chunks of a pageblock. */
const pages = 2 ** 15;
const chunkCount = 64;
const options = { topology: machine(ram(0, pages)), chunkPages: 512, threadsPerNode: 0 } as const;
const allRight = { checked: pages, wrong: 0, firstWrongPfn: -1, failed: 0 };

let place: Place;
let file: string;
const peers: Peer[] = [];

beforeEach(() => {
  place = new Place('/dev/shm');
  file = place.newFile();
});

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.kill()));
  place[Symbol.dispose]();
});

afterAll(releaseThreads);

/** Other processes that have the file open. */
async function open(count: number, more: object = {}): Promise<Peer[]> {
  const opened = await Promise.all(upTo(count).map(() => Peer.start()));
  peers.push(...opened);
  await Promise.all(opened.map((peer) => peer.do('open', { ...options, file, ...more })));
  return opened;
}

const describeWithAddon = describe.skipIf(skipReason !== undefined);

describeWithAddon(named('two processes with two threads each'), () => {
  /** Their threads at work at the same time. @returns how often each process wrote each chunk */
  async function workTogether(both: readonly Peer[], roles: readonly object[], seed: number): Promise<number[][]> {
    await Promise.all(both.map((peer, index) => peer.do('crew', roles, seed * 10 + index)));
    using watch = new Watch(file);
    // each process has an owner slot of its own, too
    await until('starting', () => watch.owners.length === both.length * (1 + roles.length));
    const atMs = Date.now() + 50;
    return Promise.all(both.map((peer) => peer.do<number[]>('go', atMs)));
  }

  async function writeOnce(seed: number): Promise<boolean[]> {
    // off a pageblock, a hole, a one-page range, a short last chunk, two nodes; some 400 chunks
    const memory = [ram(1, 158), ram(256, 90_000), ram(98_304, 1), ram(131_072, 100_001, 1)];
    const both = await open(2, { topology: machine(...memory) });
    const roles = [
      { kind: 'drain', nid: 0 },
      { kind: 'drain', nid: 1 },
      { kind: 'fault', count: 1000 },
    ];
    const counts = await workTogether(both, roles, seed);
    using watch = new Watch(file);
    const sums = upTo(watch.chunks.chunks).map((chunk) => counts.reduce((sum, own) => sum + (own[chunk] ?? 0), 0));
    expect(sums).toEqual(Array(watch.chunks.chunks).fill(1));
    expect(watch.states).toEqual({ ready: watch.chunks.chunks });
    await using memmap = await Memmap.attach({ file });
    const { chunksByDrain, chunksByFault, claimsReleased } = memmap.stats().totals;
    expect([chunksByDrain + chunksByFault, claimsReleased]).toEqual([watch.chunks.chunks, 0]);
    expect(await memmap.verify()).toMatchObject({ checked: 190_160, wrong: 0 });
    await Promise.all(peers.splice(0).map((peer) => peer.kill()));
    return counts.map((own) => own.some((count) => count > 0));
  }

  it('drain and fault: every chunk is written once', { timeout: 60_000 }, async () => {
    const took: boolean[][] = [];
    for (const seed of [1, 2, 3]) {
      took.push(await writeOnce(seed));
      file = place.newFile();
    }
    // on a busy machine one of them may come too late now and then
    expect(took).toContainEqual([true, true]);
  });

  it('hand out every pfn once, where both grow', async () => {
    const both = await open(2, { policy: 'boot' });
    const counts = await workTogether(both, [{ kind: 'drain' }, { kind: 'grow' }], 1);
    const runs = (await Promise.all(both.map((peer) => peer.do<[number, number][]>('handedOut')))).flat();
    runs.sort((a, b) => a[0] - b[0]);
    expect(runs.map(([start]) => start)).toEqual([0, ...runs.slice(0, -1).map(([, end]) => end)]);
    expect(runs.at(-1)?.[1]).toBe(pages);
    // the first section is initialized up front, by whoever opened first
    const [a = [], b = []] = counts;
    expect(upTo(chunkCount).filter((chunk) => (a[chunk] ?? 0) + (b[chunk] ?? 0) > 1)).toEqual([]);
  });
});

describeWithAddon(named('a thread that waits for a chunk of another process'), () => {
  it('is woken when that is published, and not by the end of its time', async () => {
    const [owner, waiter] = (await open(2)) as [Peer, Peer];
    await owner.do('hold', 3, 5);
    using watch = new Watch(file);
    const woken = waiter.do('sleep', 4, 15_000);
    await until('sleeping', () => watch.sleepers === 1 && waiter.isAsleep);
    await owner.do('publish', 3, 5);
    expect(await woken).toBe(true);
    expect(watch.sleepers).toBe(0);
  });

  it('is woken when the owner gives the chunk up', async () => {
    const [owner, waiter] = (await open(2)) as [Peer, Peer];
    await owner.do('hold', 3, 4);
    using watch = new Watch(file);
    const woken = waiter.do('sleep', 3, 15_000);
    await until('sleeping', () => watch.sleepers === 1 && waiter.isAsleep);
    await owner.do('giveUp', 3);
    expect(await woken).toBe(true);
    expect(await waiter.do('settle', 3)).toBe('claimed');
  });

  it('is not woken by what happens to another chunk: its time ends', async () => {
    const [owner, waiter] = (await open(2)) as [Peer, Peer];
    await owner.do('hold', 3, 5);
    using watch = new Watch(file);
    const woken = waiter.do('sleep', 4, 300);
    await until('sleeping', () => watch.sleepers === 1 && waiter.isAsleep);
    await owner.do('publish', 3, 4);
    expect(await woken).toBe(false);
  });

  it('all at once are woken by one publish, as are those who fault and drain', async () => {
    const [owner, ...waiters] = (await open(4)) as [Peer, ...Peer[]];
    await owner.do('hold', 9, 10);
    const outcomes = waiters.map((waiter) => waiter.do('settle', 9));
    using watch = new Watch(file);
    await until('waiting', () => waiters.every((waiter) => waiter.isAsleep) && watch.sleepers > 0);
    await owner.do('publish', 9, 10);
    expect(await Promise.all(outcomes)).toEqual(['waited', 'waited', 'waited']);
  });

  it('gives up after its bound while the owner is stopped in the middle, and has the chunk when that goes on', async () => {
    const [owner, waiter] = (await open(2)) as [Peer, Peer];
    const done = owner.do('standStillInChunk', 'fault', 4);
    await owner.stopped();
    await expect(waiter.do('settle', 3, 60)).rejects.toMatchObject({ code: 'FAULT_TIMEOUT' });
    using watch = new Watch(file);
    expect(watch.states).toMatchObject({ ready: 3, claimed: 1 });
    const settled = waiter.do('settle', 3);
    await until('waiting', () => waiter.isAsleep && watch.sleepers === 1);
    owner.signal('SIGCONT');
    expect(await settled).toBe('waited');
    expect(await done).toBe('complete');
    expect(watch.states).toEqual({ ready: chunkCount });
    expect((await waiter.do<{ totals: object }>('stats')).totals).toMatchObject({
      chunksByFault: chunkCount,
      claimsReleased: 0,
    });
  });

  it('and drains leave the chunks of a stopped process alone, and are ready when it goes on', async () => {
    const [owner] = (await open(1)) as [Peer];
    const done = owner.do('standStillInChunk', 'drain', 1);
    await owner.stopped();
    await using memmap = await Memmap.open({ ...options, file, threadsPerNode: 2 });
    using watch = new Watch(file);
    const before = watch.states;
    expect(before).toEqual({ claimed: chunkCount });
    // an impatient claimant that lives cannot have it either
    const claimant = new Claimant(Region.attach(memmap.handle()), { waitMsMax: 50 });
    expect(() => claimant.settle(claimant.region.rangeOfChunk(7), 7)).toThrow(
      expect.objectContaining({ code: 'FAULT_TIMEOUT' }),
    );
    claimant.leave();
    expect(watch.states).toEqual(before);
    owner.signal('SIGCONT');
    await inTime('ready', memmap.ready, stuckIn(file));
    await done;
    expect(await memmap.verify()).toEqual(allRight);
    expect(memmap.stats().totals).toMatchObject({ chunksByDrain: chunkCount, claimsReleased: 0 });
  });
});

describeWithAddon(named('a thread of another process'), () => {
  it('that has died in the middle of a chunk is found out while its process lives', async () => {
    const [owner] = (await open(1)) as [Peer];
    expect(await owner.do('threadHolds', 20, 23)).toBe(3);
    expect(await owner.do('threadHolds', 30, 31)).toBe(1);
    await using memmap = await Memmap.open({ ...options, file });
    const claimant = new Claimant(Region.attach(memmap.handle()), { waitMsMax: 60 });
    const settle = (chunk: number) => claimant.settle(claimant.region.rangeOfChunk(chunk), chunk);
    expect(() => settle(20)).toThrow(expect.objectContaining({ code: 'FAULT_TIMEOUT' }));
    await owner.do('threadEnds', 20);
    expect([20, 21, 22].map(settle)).toEqual(['claimed', 'claimed', 'claimed']);
    // the other one lives
    expect(() => settle(30)).toThrow(expect.objectContaining({ code: 'FAULT_TIMEOUT' }));
    expect(claimant.owners.totals()).toMatchObject({ claimsReleased: 3 });
    claimant.leave();
  });

  it('that has died does not keep its owner slot: whoever reaps gets it', async () => {
    const [owner] = (await open(1)) as [Peer];
    await owner.do('threadHolds', 20, 23);
    await using memmap = await Memmap.open({ ...options, file });
    const claimant = new Claimant(Region.attach(memmap.handle()));
    expect(claimant.reapDead()).toBe(0);
    await owner.do('threadEnds', 20);
    expect(claimant.reapDead()).toBe(1);
    expect(claimant.chunks.claim(20, claimant.tag, 23)).toBe(3);
    claimant.chunks.publish(20, claimant.tag, 23);
    claimant.leave();
  });
});

describeWithAddon(named('processes that come and go'), () => {
  it('all at once make a new file: one makes it, the others find it', async () => {
    for (let time = 0; time < 5; time++) {
      const path = place.newFile();
      const memmaps = await Promise.all(upTo(6).map(() => Memmap.open({ ...options, file: path })));
      expect(new Set(memmaps.map((memmap) => memmap.handle().file?.process)).size).toBe(6);
      await memmaps[3]?.sync();
      for (const memmap of memmaps) expect(memmap.isInitialized(0, 18)).toBe(true);
      await Promise.all(memmaps.map((memmap) => memmap.close()));
      expect((await inspectFile(path)).epoch).toBe(1);
    }
  });

  it('leave no owner slot behind when they close', async () => {
    await using first = await Memmap.open({ ...options, file });
    using watch = new Watch(file);
    for (let time = 0; time < 3; time++) {
      const second = await Memmap.open({ ...options, file, threadsPerNode: 2 });
      if (time > 0) await second.ready;
      await second.close();
      expect(watch.owners).toEqual([{ life: 'alive', process: first.handle().file?.process }]);
    }
  });

  it('ten open and close twenty times each while one drains', { timeout: 60_000 }, async () => {
    const topology = machine(ram(0, 2 ** 18));
    await using memmap = await Memmap.open({ ...options, topology, file, threadsPerNode: 1 });
    const storms = await Promise.all(upTo(10).map(() => Peer.start()));
    peers.push(...storms);
    const epochs = await Promise.all(storms.map((peer, seed) => peer.do<number[]>('storm', 20, seed, { file })));
    expect(epochs).toEqual(Array(10).fill([1]));
    await inTime('ready', memmap.ready, stuckIn(file));
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 18, wrong: 0 });
    const { totals, chunks } = memmap.stats();
    expect(chunks).toMatchObject({ ready: 512, claimed: 0 });
    expect([totals.chunksByDrain + totals.chunksByFault, totals.claimsReleased]).toEqual([512, 0]);
    using watch = new Watch(file);
    await until('leaving', () => watch.owners.every((owner) => owner.process === 1), stuckIn(file));
    expect((await inspectFile(file)).processes).toMatchObject([{ slot: 1, pid: process.pid }]);
  });

  it('and are the only ones behind the last: the epoch tells, and the sums begin again', async () => {
    for (const epoch of [1, 2, 3]) {
      const first = await Memmap.open({ ...options, file });
      const second = await Memmap.open({ ...options, file });
      await first.close();
      const third = await Memmap.open({ ...options, file });
      await second.close();
      expect((await inspectFile(file)).epoch).toBe(epoch);
      expect(third.stats().totals.chunksByFault).toBe(0);
      expect(third.fault(epoch * 512)).toBe('claimed');
      expect(third.stats().totals.chunksByFault).toBe(1);
      await third.close();
      expect((await inspectFile(file)).processes).toEqual([]);
    }
  });

  it('are refused when every slot is taken, and let in when one is free', async () => {
    await using memmap = await Memmap.open({ ...options, file });
    using folder = new Folder('/dev/shm');
    const fd = folder.open(file, 'r+');
    // lock bytes of slots begin behind those for setup and use; the first is the memmap's own
    const slotByte = (slot: number): number => 2 + slot;
    for (let slot = 2; slot < processSlots; slot++)
      expect(addon.lockByte(fd, slotByte(slot), lockKind.exclusive)).toBe(0);
    expect(addon.lockByte(fd, slotByte(1), lockKind.exclusive)).toBe(constants.errno.EAGAIN);
    await expect(Memmap.open({ ...options, file })).rejects.toMatchObject({ code: 'NO_PROCESS_SLOT' });
    await expect(Memmap.attach({ file })).rejects.toMatchObject({ code: 'NO_PROCESS_SLOT' });
    expect(addon.lockByte(fd, slotByte(77), lockKind.none)).toBe(0);
    await using second = await Memmap.attach({ file });
    expect(second.handle().file?.process).toBe(77);
    expect(second.fault(5)).toBe('claimed');
    expect(memmap.fault(5)).toBe('ready');
  });

  it('leave no descriptor behind when they were refused', async () => {
    await using _ = await Memmap.open({ ...options, file });
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const before = descriptors();
    for (let time = 0; time < 5; time++) {
      const other = { ...options, topology: machine(ram(0, 512)), file };
      await expect(Memmap.open(other)).rejects.toMatchObject({ code: 'FILE_GEOMETRY' });
      await expect(Memmap.open({ ...options, file, rebuild: true })).rejects.toMatchObject({ code: 'FILE_BUSY' });
    }
    expect(descriptors()).toBe(before);
  });

  it('do not hold the file through programs that they have started', async () => {
    const [owner] = (await open(1)) as [Peer];
    await owner.do('hold', 0, 10);
    const sleeper = await owner.do<number>('spawns');
    try {
      await owner.kill();
      expect(spawnSync('kill', ['-0', String(sleeper)]).status).toBe(0);
      await using memmap = await Memmap.open({ ...options, file });
      // alone: epoch 2, and the claims are gone
      expect((await inspectFile(file)).epoch).toBe(2);
      expect(memmap.stats().chunks).toMatchObject({ free: chunkCount });
    } finally {
      process.kill(sleeper, 'SIGKILL');
    }
  });

  it('do not hold the file when they are killed while they start programs', { timeout: 60_000 }, async () => {
    await using memmap = await Memmap.open({ ...options, file });
    for (let time = 0; time < 5; time++) {
      const [owner] = (await open(1)) as [Peer];
      await owner.do('hold', time, time + 1);
      void owner.tell('spawnsOnAndOn');
      await until('starting programs', () => owner.hasChildren);
      await owner.kill();
      expect(await inTime('a fault', memmap.faultAsync(time * 512), stuckIn(file))).toBe('claimed');
    }
  });
});

describeWithAddon(named('a process that attaches without threads'), () => {
  it('lives as long as it waits for ready, which another one brings about', async () => {
    await using memmap = await Memmap.open({ ...options, file });
    const library = new URL('../../dist/src/index.js', import.meta.url).href;
    const code = `import { Memmap } from ${JSON.stringify(library)};
      const memmap = await Memmap.attach({ file: ${JSON.stringify(file)} });
      process.stdout.write('waits ');
      await memmap.ready;
      await memmap.close();
      process.stdout.write('has waited');`;
    let heard = '';
    const { status, stdout } = await runNode(['--input-type=module', '-e', code], {
      meanwhile: async (child) => {
        child.stdout?.on('data', (text: string) => {
          heard += text;
        });
        await until('attaching', () => heard !== '' || child.exitCode !== null);
        // more turns than a process has that nothing keeps alive
        await new Promise((resolve) => setTimeout(resolve, 100));
        await memmap.sync();
      },
    });
    expect([status, stdout]).toEqual([0, 'waits has waited']);
  });
});

describeWithAddon(named('a process that closes'), () => {
  it('does not wait for the claims of others', async () => {
    const [owner] = (await open(1)) as [Peer];
    await owner.do('hold', 3, 5);
    const memmap = await Memmap.open({ ...options, file });
    await memmap.close();
    await owner.do('publish', 3, 5);
    using watch = new Watch(file);
    expect(watch.states).toEqual({ free: chunkCount - 2, ready: 2 });
  });

  it('in the middle of its drain leaves the rest to others', async () => {
    await using other = await Memmap.open({ ...options, file });
    const memmap = await Memmap.open({ ...options, file, threadsPerNode: 1 });
    await memmap.close();
    expect(other.stats().chunks.claimed).toBe(0);
    await other.sync();
    expect(await other.verify()).toEqual(allRight);
  });
});

describeWithAddon(named('a file that was closed'), () => {
  it('is told as CLOSED to whoever attaches by a handle of it', async () => {
    const memmap = await Memmap.open({ ...options, file });
    const handle = memmap.handle();
    await memmap.close();
    expect(() => Memmap.attach(handle)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('is no failure of workers that load too late for it', async () => {
    const failures: unknown[] = [];
    const listen = (message: unknown): void => {
      failures.push(message);
    };
    const { turnMs } = openerSettings;
    openerSettings.turnMs = 0;
    subscribe(workerFailureChannel, listen);
    for (let turns = 0; turns < 4; turns++) {
      const memmap = await Memmap.open({ ...options, file, threadsPerNode: 2 });
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      await memmap.close();
      // the late ones have ended when these have
      await using other = await Memmap.open({ ...options, threadsPerNode: 2 });
      await other.ready;
      await releaseThreads();
    }
    unsubscribe(workerFailureChannel, listen);
    openerSettings.turnMs = turnMs;
    expect(failures).toEqual([]);
  });

  it('refuses a thread that won a claim in the very moment, though the claim is unmapped', async () => {
    await using other = await Memmap.open({ ...options, file });
    const memmap = await Memmap.open({ ...options, file });
    const region = Region.attach(memmap.handle());
    class UnmappedBehindClaim extends ChunkMap {
      override claim(first: number, tag: number, end?: number): number {
        const won = super.claim(first, tag, end);
        // as close does, when it has looked for claims already
        closeClaims(region);
        region.discard();
        return won;
      }
    }
    const chunks = new UnmappedBehindClaim(region.control, region.layout.chunkWords / 4, region.chunks, region.waits);
    const claimant = new Claimant(region, { chunks });
    expect(() => claimant.settle(region.rangeOfChunk(9), 9)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    // the claim stands in the file; its process is gone, as others see it
    expect(other.stats().chunks).toMatchObject({ claimed: 1 });
    expect(await inTime('a fault', other.faultAsync(9 * 512), stuckIn(file))).toBe('claimed');
  });
});

describe.skipIf(skipReason !== undefined)(named('durable'), () => {
  it('cannot come when the media refuses to keep what was recovered, so that open is refused', async () => {
    using folder = new Folder();
    const path = folder.newPath();
    const first = await Memmap.open({ ...options, file: path });
    await first.sync();
    await first.close();
    vi.spyOn(addon, 'syncPages').mockReturnValue(constants.errno.EIO);
    const opened = Memmap.open({ ...options, file: path });
    await expect(opened).rejects.toMatchObject({ code: 'NOT_DURABLE', errno: constants.errno.EIO });
    vi.restoreAllMocks();
    // and nothing is left of the attempt
    await using memmap = await Memmap.open({ ...options, file: path });
    await memmap.durable;
    expect(memmap.resumed.chunksKept).toBe(chunkCount);
  });

  it('does not come while the words of chunks are still on their way to the media with somebody else', async () => {
    using folder = new Folder();
    await using memmap = await Memmap.open({ ...options, file: folder.newPath() });
    expect(memmap.durability).toBe('msync');
    for (let chunk = 0; chunk < chunkCount; chunk++) memmap.fault(chunk * 512);
    const chunks = ChunkMap.of(Region.attach(memmap.handle()));
    // as one who hardens has left them when it is killed before it brings the words to the media
    for (let chunk = 0; chunk < chunkCount; chunk++) chunks.sealReady(chunk);
    await memmap.durable;
    expect(memmap.stats().chunks).toMatchObject({ ready: 0, durable: chunkCount });
  });
});
