/** Processes that share a file and are killed: at random instants, and at those where something is in the middle. */
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openerSettings } from '../../dist/src/background.js';
import { isInitialized } from '../../dist/src/claims/chunk-map.js';
import { inspectDescriptor, inspectFile, Memmap, releaseThreads } from '../../dist/src/index.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { named, skipReason } from '../native/built-addon.js';
import { inTime, Peer, Place, stuckIn, until, Watch } from '../support/processes.js';
import { machine, ram, upTo } from '../support/regions.js';

/** 1,024 chunks of a pageblock: 32 MiB of descriptors. */
const pages = 2 ** 19;
const chunkCount = 1024;
const options = { topology: machine(ram(0, pages)), chunkPages: 512 } as const;
const allRight = { checked: pages, wrong: 0, firstWrongPfn: -1, failed: 0 };

const seed = Number(process.env['VMEMMAP_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const standardOpener = { ...openerSettings };

beforeAll(() => {
  // so that it is the workers who do it
  openerSettings.turnMs = 0;
});

afterAll(async () => {
  Object.assign(openerSettings, standardOpener);
  await releaseThreads();
});

/** A process whose next memmap finds its threads waiting. */
async function warmPeer(threadsPerNode: number): Promise<Peer> {
  const peer = await Peer.start();
  await peer.do('warm', { ...options, threadsPerNode });
  return peer;
}

/** What the kills of a run met. */
interface Kills {
  /** The process was alive. */
  alive: number;
  /** Not everything was initialized. */
  inWork: number;
  /** It held claims. */
  holding: number;
}

/** One process is killed while two drain and fault; the other one must end as if nothing had been. */
class Round {
  readonly #random: () => number;
  readonly #path: string;
  readonly #kills: Kills;

  constructor(random: () => number, path: string, kills: Kills) {
    this.#random = random;
    this.#path = path;
    this.#kills = kills;
  }

  async run(peer: Peer): Promise<void> {
    const file = this.#path;
    // Of four kills one is at any moment since the process was told to open the file, the others while both work.
    const memmap = await (this.#random() < 0.25 ? this.#killedAnytime(peer) : this.#killedInWork(peer));
    await inTime('ready', memmap.ready, stuckIn(file));
    if (memmap.durability !== 'none') await inTime('durable', memmap.durable, stuckIn(file));
    expect(await memmap.verify()).toEqual(allRight);
    const { chunks, totals, workers } = memmap.stats();
    expect(chunks).toMatchObject({ free: 0, claimed: 0, failed: 0 });
    if (memmap.durability !== 'none') expect(chunks.durable).toBe(chunkCount);
    expect(workers.failures).toEqual([]);
    if (totals.claimsReleased > 0) this.#kills.holding++;
    await inTime('close', memmap.close(), stuckIn(file));
    await using again = await Memmap.open({ ...options, file, threadsPerNode: 0 });
    expect(again.resumed).toEqual({ chunksKept: chunkCount, chunksRedone: 0 });
  }

  async #killedAnytime(peer: Peer): Promise<Memmap> {
    const file = this.#path;
    const told = peer.tell('open', { ...options, file, threadsPerNode: 2 });
    const killed = new Promise((resolve) => setTimeout(resolve, this.#random() * 40)).then(() => {
      if (peer.isAlive) this.#kills.alive++;
      return peer.kill();
    });
    const memmap = await Memmap.open({ ...options, file, threadsPerNode: 2 });
    await Promise.all([told, killed]);
    return memmap;
  }

  async #killedInWork(peer: Peer): Promise<Memmap> {
    const file = this.#path;
    const open = (): Promise<Memmap> => Memmap.open({ ...options, file, threadsPerNode: 2 });
    const early = this.#random() < 0.5 ? await open() : undefined;
    early?.pause();
    await peer.do('open', { ...options, file, threadsPerNode: 2, paused: true });
    const memmap = early ?? (await open());
    memmap.pause();
    const { region, chunks } = new Watch(file);
    const initialized = (): number => {
      let count = 0;
      for (let chunk = 0; chunk < chunkCount; chunk++) if (isInitialized(chunks.load(chunk))) count++;
      return count;
    };
    const target = initialized() + Math.floor(this.#random() * 0.9 * (chunkCount - initialized()));
    await peer.do('resume');
    const told = peer.tell('faults', 1e6, this.#random());
    memmap.resume();
    while (initialized() < target) {
      memmap.fault(Math.floor(this.#random() * pages));
      await turn();
    }
    peer.signal('SIGKILL');
    this.#kills.alive++;
    if (initialized() < chunkCount) this.#kills.inWork++;
    region.discard();
    memmap.fault(Math.floor(this.#random() * pages));
    await Promise.all([told, peer.kill()]);
    return memmap;
  }
}

async function killInRounds(parent: string, rounds: number, kills: Kills): Promise<void> {
  using place = new Place(parent);
  let next = warmPeer(2);
  for (let number = 0; number < rounds; number++) {
    await using peer = await next;
    next = warmPeer(2);
    try {
      await new Round(seededRandom(seed + number), place.newFile(), kills).run(peer);
    } catch (error) {
      await (await next).kill();
      throw new Error(`round ${number} in ${parent} with VMEMMAP_SEED=${seed}`, { cause: error });
    }
  }
  await (await next).kill();
}

describe.skipIf(skipReason !== undefined)(named('of two processes that drain and fault one file'), () => {
  it('one is killed at 100 random instants: the other one completes it', { timeout: 200_000 }, async () => {
    const kills: Kills = { alive: 0, inWork: 0, holding: 0 };
    await killInRounds('/dev/shm', 75, kills);
    await killInRounds(tmpdir(), 25, kills);
    process.stderr.write(`100 kills, VMEMMAP_SEED=${seed}: ${JSON.stringify(kills)}\n`);
    expect(kills.alive).toBe(100);
    expect(kills.inWork).toBeGreaterThan(50);
    expect(kills.holding).toBeGreaterThan(25);
  });
});

/** Processes come, drain, fault, change what they got, and are killed, now and then all of them, until all is initialized. */
async function expectChangesStay(random: () => number, place: Place): Promise<number> {
  const [file, journal] = [place.newFile(), place.newFile()];
  writeFileSync(journal, '');
  const living = new Set<Peer>();
  for (let life = 0; life < 6; life++) {
    const peer = await Peer.start();
    living.add(peer);
    const opening = { ...options, file, threadsPerNode: Math.floor(random() * 2) };
    const told = Promise.all([peer.tell('open', opening), peer.tell('changes', 1e6, life, journal)]);
    told.catch(() => peer.kill());
    await new Promise((resolve) => setTimeout(resolve, random() * 40));
    const victims = random() < 0.3 ? [...living] : [...living].filter(() => random() < 0.4);
    await Promise.all(victims.map((victim) => victim.kill()));
    for (const victim of victims) living.delete(victim);
  }
  await using memmap = await Memmap.open({ ...options, file, threadsPerNode: 1 });
  await inTime('ready', memmap.ready, stuckIn(file));
  await Promise.all([...living].map((peer) => peer.kill()));
  const words = memmap.ranges[0]?.words as Uint32Array;
  const changed = [...new Set(readFileSync(journal, 'utf8').split('\n').slice(0, -1).map(Number))];
  expect(changed.filter((pfn) => words[pfn * 16 + 8] !== pfn + 1)).toEqual([]);
  const isMarked = (pfn: number): boolean => words[pfn * 16 + 8] === pfn + 1;
  const { checked, wrong } = await memmap.verify();
  expect([checked, wrong]).toEqual([pages, upTo(pages).filter(isMarked).length]);
  expect(memmap.stats().chunks).toMatchObject({ free: 0, claimed: 0, failed: 0 });
  return changed.length;
}

describe.skipIf(skipReason !== undefined)(named('of processes that are killed again and again'), () => {
  it('nothing is written a second time: what users have changed stays', { timeout: 120_000 }, async () => {
    using place = new Place('/dev/shm');
    let changes = 0;
    for (let round = 0; round < 2; round++) {
      try {
        changes += await expectChangesStay(seededRandom(seed + round), place);
      } catch (error) {
        throw new Error(`round ${round} with VMEMMAP_SEED=${seed}`, { cause: error });
      }
    }
    expect(changes).toBeGreaterThan(100);
  });
});

/** Whether there is a process that goes on, or the file is left alone by the kill. */
const companies = ['beside one that goes on', 'with nobody else there'] as const;

/** A small memmap for kills at instants that are known: 64 chunks. */
const few = { topology: machine(ram(0, 2 ** 15)), chunkPages: 512, threadsPerNode: 0 } as const;
const fewChunks = 64;
const fewRight = { checked: 2 ** 15, wrong: 0, firstWrongPfn: -1, failed: 0 };

/** The rest of what was killed: whoever goes on completes it, a third process opens it, and so does one behind all others. */
async function expectGoesOn(file: string, beside: Memmap | undefined, changed = 0): Promise<void> {
  const right = { checked: 2 ** 15, wrong: changed, failed: 0 };
  if (beside) {
    await inTime('sync beside a killed process', beside.sync(), stuckIn(file));
    expect(await beside.verify()).toMatchObject(right);
  }
  await using third = await Peer.start();
  await third.do('open', { ...few, file, threadsPerNode: 1 });
  await third.do('ready');
  expect(await third.do('verify')).toMatchObject(right);
  expect(await third.do('stats')).toMatchObject({ chunks: { free: 0, claimed: 0, failed: 0 } });
  await third.do('close');
  await beside?.close();
  await using last = await Memmap.open({ ...few, file });
  expect(last.resumed).toEqual({ chunksKept: fewChunks, chunksRedone: 0 });
  expect((await inspectFile(file)).processes).toMatchObject([{ slot: 1, pid: process.pid }]);
}

describe.skipIf(skipReason !== undefined).each(companies)(named('a process that is killed %s'), (company) => {
  const isBeside = company === companies[0];
  let place: Place;
  let file: string;
  let beside: Memmap | undefined;
  let peer: Peer;

  beforeEach(async () => {
    place = new Place('/dev/shm');
    file = place.newFile();
    peer = await Peer.start();
  });

  afterEach(async () => {
    await beside?.close();
    beside = undefined;
    await peer.kill();
    place[Symbol.dispose]();
  });

  async function openBoth(): Promise<void> {
    if (isBeside) beside = await Memmap.open({ ...few, file });
    await peer.do('open', { ...few, file });
  }

  it.each([
    ['in the middle of one chunk', 'fault', 20, 20, 1],
    ['in the middle of a batch', 'drain', 1, 0, 64],
  ])('%s', async (_, way, after, ready, claimed) => {
    await openBoth();
    const told = peer.tell('standStillInChunk', way, after);
    await peer.stopped();
    using watch = new Watch(file);
    expect(watch.states).toMatchObject({ claimed });
    expect(watch.states['ready'] ?? 0).toBe(Math.max(0, ready - 1));
    await peer.kill();
    expect(await told).toBeUndefined();
    expect(watch.claimed).toBe(claimed);
    await expectGoesOn(file, beside);
  });

  it('holding claims with gaps, with faults waiting for them', async () => {
    await openBoth();
    for (const first of [0, 7, 40]) expect(await peer.do('hold', first, first + 3)).toBe(3);
    const waiting = beside?.faultAsync(7 * 512, 9);
    await peer.kill();
    // it waited first, and then did it itself
    if (waiting) expect(await inTime('a fault', waiting, stuckIn(file))).toBe('claimed');
    expect(beside?.stats().totals).toEqual(beside && expect.objectContaining({ faultsWaited: 1, claimsReleased: 1 }));
    await expectGoesOn(file, beside);
  });

  it('while it takes an owner slot', async () => {
    await openBoth();
    void peer.tell('standStillJoining');
    await peer.stopped();
    await peer.kill();
    using watch = new Watch(file);
    expect(watch.owners).toContainEqual({ life: 'joining', process: isBeside ? 2 : 1 });
    await expectGoesOn(file, beside);
    // whoever comes next into its place, or is alone, has cleared up
    expect(watch.owners.filter(({ life }) => life === 'joining')).toEqual([]);
  });

  it('while threads of it sleep until a chunk changes', async () => {
    await openBoth();
    await using holder = await Peer.start();
    await holder.do('open', { ...few, file });
    await holder.do('hold', 5, 6);
    await peer.do('threadsSleep', 3, 5);
    using watch = new Watch(file);
    await until('sleeping', () => watch.sleepers === 3);
    await peer.kill();
    // they are counted for ever, which costs whoever publishes a system call
    expect(watch.sleepers).toBe(3);
    await holder.do('publish', 5, 6);
    await holder.do('close');
    await expectGoesOn(file, beside);
    // until somebody was alone
    expect(watch.sleepers).toBe(0);
  });

  it('at any atomic operation of opening the file', { timeout: 120_000 }, async () => {
    const random = seededRandom(seed);
    await using counter = await Peer.start();
    await leaveBehind(file);
    await counter.do('standStillAtAtomic', 0);
    if (isBeside) beside = await Memmap.open({ ...few, file });
    await counter.do('open', { ...few, file });
    const operations = await counter.do<number>('calls');
    expect(operations).toBeGreaterThan(100);
    for (let time = 0; time < 6; time++) {
      await beside?.close();
      file = place.newFile();
      await leaveBehind(file);
      if (isBeside) beside = await Memmap.open({ ...few, file });
      const operation = 1 + Math.floor(random() * operations);
      await using opener = await Peer.start();
      await opener.do('standStillAtAtomic', operation);
      const told = opener.tell('open', { ...few, file });
      await opener.stopped();
      await opener.kill();
      expect(await told).toBeUndefined();
      try {
        await expectGoesOn(file, beside, 1);
        using watch = new Watch(file);
        expect(watch.region.ranges[0]?.words[changedWord]).toBe(4711);
      } catch (error) {
        throw new Error(`atomic operation ${operation} of ${operations}, VMEMMAP_SEED=${seed}`, { cause: error });
      }
    }
  });
});

const changedWord = (10 * 512 + 5) * 16 + 8;

/** A file with chunks that are free, claimed by a process that was killed, and initialized; a user has changed one of those. */
async function leaveBehind(file: string): Promise<void> {
  await using former = await Peer.start();
  await former.do('open', { ...few, file });
  for (let chunk = 10; chunk < 30; chunk++) await former.do('fault', chunk * 512, 0);
  await former.do('change', 10 * 512 + 5, 8, 4711);
  await former.do('hold', 40, 50);
}

describe.skipIf(skipReason !== undefined)(named('what a process has persisted before it is killed'), () => {
  it('is durable for all others, and nothing is written over it', async () => {
    using place = new Place(tmpdir());
    const file = place.newFile();
    await using former = await Peer.start();
    await former.do('open', { ...few, file });
    await former.do('fault', 10 * 512, 0);
    await former.do('change', 10 * 512 + 5, 8, 4711, true);
    await former.do('hold', 11, 12);
    await former.kill();
    const note = await inspectDescriptor(file, 10 * 512 + 5);
    expect([note.state, note.words[8]]).toEqual(['durable', 4711]);
    await using memmap = await Memmap.open({ ...few, file, threadsPerNode: 1 });
    await inTime('durable', memmap.durable, stuckIn(file));
    expect(memmap.ranges[0]?.words[changedWord]).toBe(4711);
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 15, wrong: 1, firstWrongPfn: 10 * 512 + 5 });
  });
});

describe.skipIf(skipReason !== undefined)(named('the opener of a file that nobody else has open'), () => {
  it('is killed before it tells that its session has begun: what was initialized stays', async () => {
    using place = new Place('/dev/shm');
    const file = place.newFile();
    await leaveBehind(file);
    await using opener = await Peer.start();
    await opener.do('standStillAtEpoch');
    const told = opener.tell('open', { ...few, file });
    await opener.stopped();
    expect((await inspectFile(file)).epoch).toBe(1);
    await opener.kill();
    expect(await told).toBeUndefined();
    await using memmap = await Memmap.open({ ...few, file });
    expect(memmap.resumed).toEqual({ chunksKept: 20, chunksRedone: fewChunks - 20 });
    expect(memmap.ranges[0]?.words[changedWord]).toBe(4711);
    expect((await inspectFile(file)).epoch).toBe(2);
  });

  it('is stopped and then killed at each write with which it makes the file: whoever waits makes it', async () => {
    using place = new Place(tmpdir());
    let instant = 1;
    for (let isMade = false; !isMade; instant++) {
      const file = place.newFile();
      await using maker = await Peer.start();
      await maker.do('standStillAtWrite', instant);
      const told = maker.tell('open', { ...few, file });
      await Promise.race([told, maker.stopped()]);
      isMade = maker.states().includes('S');
      const waiting = isMade ? undefined : Memmap.open({ ...few, file, threadsPerNode: 1 });
      await maker.kill();
      await told;
      if (waiting) {
        await using memmap = await inTime('opening what a killed process was making', waiting);
        await inTime('durable', memmap.durable, stuckIn(file));
        expect(await memmap.verify()).toEqual(fewRight);
        expect(memmap.stats().chunks).toMatchObject({ durable: fewChunks });
      }
    }
    // marks and header, each brought to the media
    expect(instant).toBeGreaterThan(7);
  });

  it('is killed at each write with which it makes the file: attach refuses what is not whole, open makes it anew', async () => {
    using place = new Place('/dev/shm');
    const refusals: string[] = [];
    for (let instant = 1; instant <= 3; instant++) {
      const file = place.newFile();
      await using maker = await Peer.start();
      await maker.do('standStillAtWrite', instant);
      const told = maker.tell('open', { ...few, file });
      await maker.stopped();
      await maker.kill();
      await told;
      refusals.push(await Memmap.attach({ file }).then(String, (error) => error.code));
      await using memmap = await Memmap.open({ ...few, file });
      await memmap.sync();
      expect(await memmap.verify()).toEqual(fewRight);
    }
    // at the mark, the header, and the magic number
    expect(refusals).toEqual(['FILE_FOREIGN', 'FILE_DAMAGED', 'FILE_DAMAGED']);
  });
});
