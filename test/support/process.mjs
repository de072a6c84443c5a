/**
 * A process of its own on the file of a memmap. Told what to do by lines of JSON, `[deed, ...words]`, which it does one after
 * the other, and answers with a line for each: `{ result }`, or `{ code }` of the error. It can stand still at chosen instants:
 * it stops itself (SIGSTOP), to be continued or killed by whoever told it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { openerSettings } from '../../dist/src/background.js';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { Memmap } from '../../dist/src/index.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { Region } from '../../dist/src/region/region.js';
import { thisThread } from '../../dist/src/region/threads.js';

// so that it is the workers who do it
openerSettings.turnMs = 0;

let memmap;
let region;
let chunks;
let claimant;
const threads = new Map();

/** A word of a descriptor that its user changes. */
const changedWord = 8;

/** As it was before anything stood still in it. */
const { writeSync } = fs;

function standStill() {
  process.kill(process.pid, 'SIGSTOP');
}

/** Lets `functions` of an object stand still before the call number `count` of any of them. */
function standStillAt(object, functions, count) {
  let calls = 0;
  for (const name of functions) {
    const original = object[name];
    object[name] = (...words) => {
      if (++calls === count) standStill();
      return original(...words);
    };
  }
  return () => calls;
}

function use(opened) {
  memmap = opened;
  region = Region.attach(memmap.handle());
  chunks = ChunkMap.of(region);
  const { resumed, durability } = memmap;
  return { resumed, durability, epoch: region.epoch, process: region.handle.file.process };
}

function mine() {
  claimant ??= new Claimant(region);
  return claimant;
}

/** The only range, or the one of a chunk, and the number of the chunk in it. */
function placeOf(number) {
  const range = region.rangeOfChunk(number);
  return [range, number - range.firstChunk];
}

function faultAtRandom(random) {
  const range = memmap.ranges[Math.floor(random() * memmap.ranges.length)];
  const pfn = range.startPfn + Math.floor(random() * range.pages);
  memmap.fault(pfn, random() < 0.2 ? 9 : 0);
  const at = memmap.offsetOf(pfn) / 4;
  // the flags word of an initialized descriptor is never 0: the last cpupid is all ones
  if (range.words[at] === 0 && range.words[at + 1] === 0)
    throw new Error(`pfn ${pfn} was published before it was written`);
}

let calls = () => 0;
let handedOut = [];

const deeds = {
  /** Nothing: it is there. */
  begin: () => {},
  /** Makes the threads that the next memmap with as many for its only node will use. */
  async warm(options) {
    const other = await Memmap.open({ ...options, backing: 'shared' });
    await other.ready;
    await other.close();
  },
  async open({ paused, ...options }) {
    const opened = await Memmap.open(options);
    if (paused) opened.pause();
    return use(opened);
  },
  resume: () => memmap.resume(),
  ready: () => memmap.ready,
  verify: () => memmap.verify(),
  stats: () => memmap.stats(),
  async close() {
    claimant?.leave();
    claimant = undefined;
    await memmap.close();
  },
  fault: (pfn, order) => memmap.fault(pfn, order),
  async faults(count, seed) {
    const random = seededRandom(seed);
    for (let fault = 0; fault < count; fault++) {
      faultAtRandom(random);
      if (fault % 8 === 0) await turn();
    }
  },
  /** Faults at random, changes what it gets, and writes down in another file what it has changed. */
  async changes(count, seed, journal) {
    const random = seededRandom(seed);
    const fd = fs.openSync(journal, 'a');
    for (let change = 0; change < count; change++) {
      const range = memmap.ranges[Math.floor(random() * memmap.ranges.length)];
      const pfn = range.startPfn + Math.floor(random() * range.pages);
      memmap.fault(pfn);
      range.words[memmap.offsetOf(pfn) / 4 + changedWord] = pfn + 1;
      writeSync(fd, `${pfn}\n`);
      if (change % 8 === 0) await turn();
    }
    fs.closeSync(fd);
  },
  /** Opens and closes so many times, and faults a little each time. */
  async storm(count, seed, options) {
    const random = seededRandom(seed);
    const epochs = new Set();
    for (let time = 0; time < count; time++) {
      epochs.add(use(await Memmap.attach(options)).epoch);
      for (let fault = 0; fault < 3; fault++) faultAtRandom(random);
      await memmap.close();
    }
    return [...epochs];
  },
  /** Changes a descriptor and brings the change to the media, or leaves it where it is. */
  change(pfn, word, value, persists) {
    const range = memmap.rangeOf(pfn);
    range.words[memmap.offsetOf(pfn) / 4 + word] = value;
    if (persists) memmap.persist(pfn);
  },
  /** Claims chunks and goes on. */
  hold: (first, end) => chunks.claim(first, mine().tag, end),
  /** Writes and publishes what it holds. */
  publish(first, end) {
    for (let number = first; number < end; number++) {
      const [range, chunk] = placeOf(number);
      range.sumOverChunkContent(chunk, chunk + 1, jsKernel.fill);
    }
    chunks.publish(first, mine().tag, end);
  },
  giveUp: (number) => chunks.abandon(number, mine().tag),
  /** Sleeps as one who waits for a chunk does, once. */
  sleep: (number, ms) => chunks.wait(number, chunks.load(number), ms),
  /** Waits for a chunk, or makes it initialized. */
  settle(number, waitMsMax) {
    const own = new Claimant(region, { waitMsMax });
    try {
      return own.settle(...placeOf(number));
    } finally {
      own.leave();
    }
  },
  reapDead: () => mine().reapDead(),
  /** Drains or faults, and stands still when half of what it writes at once is written and `after` chunks were. */
  standStillInChunk(way, after) {
    let written = 0;
    const kernel = {
      ...jsKernel,
      fill(words, at, count, pattern, index) {
        const before = written;
        written += Math.ceil(count / region.ranges[0].chunkPages);
        jsKernel.fill(words, at, count >> 1, pattern, index);
        if (before < after && written >= after) standStill();
        return jsKernel.fill(words, at, count, pattern, index);
      },
    };
    const own = new Claimant(region, { kernel });
    try {
      if (way === 'drain') return drain(own, 0);
      for (let number = 0; number < region.chunks; number++) own.settle(...placeOf(number));
      return 'complete';
    } finally {
      own.leave();
    }
  },
  /** Stands still before one of the writes with which a file is made. */
  standStillAtWrite(count) {
    calls = standStillAt(fs, ['writeSync', 'fsyncSync'], count);
    syncBuiltinESMExports();
  },
  /** Stands still before an atomic operation of the main thread. */
  standStillAtAtomic(count) {
    calls = standStillAt(Atomics, ['load', 'store', 'compareExchange', 'add', 'sub', 'or', 'and'], count);
  },
  /** How many of them there were. */
  calls: () => calls(),
  /** Stands still before it stores the epoch, which is the only word of 64 bits. */
  standStillAtEpoch() {
    const { store } = Atomics;
    Atomics.store = (words, index, value) => {
      if (words instanceof BigInt64Array) standStill();
      return store(words, index, value);
    };
  },
  /** Stands still when it has taken an owner slot and is not ALIVE in it. */
  standStillJoining() {
    const { compareExchange } = Atomics;
    const { tid } = thisThread();
    Atomics.compareExchange = (words, index, expected, next) => {
      const found = compareExchange(words, index, expected, next);
      if (expected === 0 && found === 0 && (next & 3) === 1 && ((next >>> 2) & (2 ** 22 - 1)) === tid) standStill();
      return found;
    };
    new Claimant(region);
  },
  /** A thread that claims chunks and does nothing with them until it ends. */
  async threadHolds(first, end) {
    const library = new URL('../../dist/src/', import.meta.url).href;
    const code = `const { parentPort, workerData } = require('node:worker_threads');
      (async () => {
        const { Claimant } = await import(${JSON.stringify(`${library}claims/claimant.js`)});
        const { Region } = await import(${JSON.stringify(`${library}region/region.js`)});
        const claimant = new Claimant(Region.attach(workerData.handle));
        const count = claimant.chunks.claim(${first}, claimant.tag, ${end});
        parentPort.once('message', () => process.exit());
        parentPort.postMessage(count);
      })();`;
    const worker = new Worker(code, { eval: true, workerData: { handle: memmap.handle() } });
    threads.set(first, worker);
    const [count] = await once(worker, 'message');
    return count;
  },
  async threadEnds(first) {
    const worker = threads.get(first);
    const ended = once(worker, 'exit');
    worker.postMessage('end');
    await ended;
  },
  /** Threads that sleep until chunks change, for ever as long as nobody ends them. */
  async threadsSleep(count, number) {
    const library = new URL('../../dist/src/', import.meta.url).href;
    const code = `const { parentPort, workerData } = require('node:worker_threads');
      (async () => {
        const { ChunkMap } = await import(${JSON.stringify(`${library}claims/chunk-map.js`)});
        const { Region } = await import(${JSON.stringify(`${library}region/region.js`)});
        const chunks = ChunkMap.of(Region.attach(workerData.handle));
        const word = chunks.load(${number});
        parentPort.postMessage('begins');
        while (chunks.load(${number}) === word) chunks.wait(${number}, word, 60_000);
      })();`;
    await Promise.all(
      Array.from({ length: count }, () => {
        const worker = new Worker(code, { eval: true, workerData: { handle: memmap.handle() } });
        return once(worker, 'message');
      }),
    );
  },
  /** Threads at a starting line: see actor.mjs. */
  async crew(roles, seed) {
    const counts = new Int32Array(new SharedArrayBuffer(region.chunks * 4));
    const gate = new Int32Array(new SharedArrayBuffer(12));
    const workers = roles.map((role, index) => {
      const workerData = { handle: memmap.handle(), counts, gate, role, seed: seed * 100 + index };
      return new Worker(new URL('./actor.mjs', import.meta.url), { workerData });
    });
    // a thread that fails rejects
    threads.set('crew', { counts, gate, done: Promise.all(workers.map((worker) => once(worker, 'message'))) });
    await Promise.all(workers.map((worker) => once(worker, 'online')));
  },
  /** Lets them begin at a time of day. @returns how often each chunk was written by this process */
  async go(atMs) {
    const { counts, gate, done } = threads.get('crew');
    while (Date.now() < atMs);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const answers = await done;
    handedOut = answers.flatMap(([deed]) => deed.handedOut);
    return [...counts];
  },
  /** Runs that the threads of the crew got by growing. */
  handedOut: () => handedOut,
  /** Starts another program, which lives on. */
  async spawns() {
    const child = spawn('sleep', ['600'], { stdio: 'ignore', detached: true });
    await once(child, 'spawn');
    child.unref();
    return child.pid;
  },
  /** Starts programs as fast as it can until it is killed. */
  spawnsOnAndOn() {
    for (;;) spawn('sleep', ['5'], { stdio: 'ignore', detached: true }).unref();
  },
};

const say = (answer) => writeSync(1, `${JSON.stringify(answer)}\n`);

for await (const line of createInterface(process.stdin)) {
  const [name, ...words] = JSON.parse(line);
  try {
    say({ result: (await deeds[name](...words)) ?? null });
  } catch (error) {
    say({ code: error.code ?? error.name, message: error.message });
  }
}
// whoever told it has gone: nothing is left to do
process.exit();
