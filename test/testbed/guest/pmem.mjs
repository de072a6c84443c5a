/**
 * A memmap in persistent memory: on ext4 and xfs with DAX and without, and on a device-dax device; two processes, of which one is
 * killed; bad media. Prints one JSON object.
 */
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ChunkMap } from '../../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../../dist/src/claims/claimant.js';
import { inspectFile, Memmap } from '../../../dist/src/index.js';
import { seededRandom } from '../../../dist/src/observe/random.js';
import { Region } from '../../../dist/src/region/region.js';
import { makeFileSystem, makeNamespace, mount, unmount } from './media.mjs';

const cli = fileURLToPath(new URL('../../../dist/src/cli/main.js', import.meta.url));
const self = fileURLToPath(import.meta.url);

/** 64 MiB of descriptors in chunks of 32 KiB. */
const machine = { topology: '1x4GiB:pmem', chunkPages: 512, threadsPerNode: 1 };
/** Longer than anything here may take. */
const longMs = 60_000;
/** Faults between two turns of the event loop. */
const burst = 8;

/** Has the worker thread up: it takes longer to start than the work takes. @param attaches as one who attaches gets it */
async function warmUp(attaches) {
  const file = `/dev/shm/warm-${process.pid}`;
  const first = await Memmap.open({ ...machine, topology: '1x128MiB:pmem', ...(attaches ? { file } : {}) });
  const memmap = attaches ? await Memmap.attach({ file, threadsPerNode: machine.threadsPerNode }) : first;
  await memmap.verify();
  await memmap.close();
  await first.close();
}

/** Faults at random until all is initialized. @returns outcomes, counted */
async function faultUntilReady(memmap, seed) {
  const random = seededRandom(seed);
  const [range] = memmap.ranges;
  const outcomes = { ready: 0, claimed: 0, waited: 0 };
  while (memmap.progressNow().pagesReady < memmap.pages) {
    for (let i = 0; i < burst; i++) {
      const order = random() < 0.8 ? 0 : 9;
      outcomes[memmap.fault(range.startPfn + Math.floor(random() * range.pages), order)]++;
    }
    await new Promise(setImmediate);
  }
  return outcomes;
}

/** The other process, with a memmap of its own over the same file: holds a chunk until somebody waits for it. */
async function hold(file) {
  const memmap = await Memmap.attach({ file });
  const region = Region.attach(memmap.handle());
  const claimant = new Claimant(region);
  const chunk = region.chunks - 1;
  if (claimant.chunks.claim(chunk, claimant.tag) !== 1) throw new Error('the chunk was taken');
  process.send('here');
  while (Atomics.load(region.control, region.word.waiters) === 0) await sleep(1);
  claimant.chunks.abandon(chunk, claimant.tag);
  claimant.leave();
  await memmap.close();
  process.disconnect();
}

/** The other process: initializes along. */
async function help(file) {
  await warmUp(true);
  const memmap = await Memmap.attach({ file, threadsPerNode: machine.threadsPerNode });
  memmap.pause();
  process.send('here');
  await once(process, 'message');
  memmap.resume();
  const faults = await faultUntilReady(memmap, 2);
  await memmap.ready;
  await memmap.close();
  process.send(faults);
  process.disconnect();
}

/** Starts the other process, and returns when it has the file open. */
async function start(file, role) {
  const other = fork(self, [role, file]);
  const [word] = await once(other, 'message');
  if (word !== 'here') throw new Error(`the other process said ${JSON.stringify(word)}`);
  return other;
}

/** What the kernel's futex is for: one process sleeps until another lets go of a chunk. */
async function wakes(file) {
  const memmap = await Memmap.open({ ...machine, file, rebuild: true, threadsPerNode: 0 });
  const other = await start(file, 'hold');
  const chunks = ChunkMap.of(Region.attach(memmap.handle()));
  const chunk = chunks.chunks - 1;
  const changed = chunks.wait(chunk, chunks.load(chunk), longMs);
  const outcome = memmap.fault(memmap.ranges[0].endPfn - 1);
  if (other.exitCode === null) await once(other, 'exit');
  await memmap.close();
  return { changed, outcome };
}

/** Two processes, each with a drain and with faults at random. */
async function together(file) {
  const memmap = await Memmap.open({ ...machine, file, rebuild: true, durability: 'dax-sync' });
  memmap.pause();
  const other = await start(file, 'help');
  other.send('go');
  memmap.resume();
  const [faults, [theirs]] = await Promise.all([faultUntilReady(memmap, 1), once(other, 'message')]);
  if (other.exitCode === null) await once(other, 'exit');
  await memmap.durable;
  const { backing } = memmap;
  const { chunks, totals } = memmap.stats();
  const verify = await memmap.verify();
  await memmap.close();
  return { backing, chunks, totals, faults, theirs, verify };
}

/** The same, but one of them is killed when a third is done; this one has left all to the other until then. */
async function killed(file) {
  const memmap = await Memmap.open({ ...machine, file, rebuild: true });
  memmap.pause();
  const other = await start(file, 'help');
  other.send('go');
  while (memmap.progressNow().pagesReady < memmap.pages / 3) await sleep(1);
  other.kill('SIGKILL');
  const [, signal] = await once(other, 'exit');
  const shareAtDeath = memmap.progressNow().pagesReady / memmap.pages;
  memmap.resume();
  await faultUntilReady(memmap, 3);
  await memmap.durable;
  const { chunks } = memmap.stats();
  const verify = await memmap.verify();
  await memmap.close();
  return { signal, shareAtDeath, chunks, verify };
}

/** Opened again, nothing is to be done. */
async function reopened(file) {
  const memmap = await Memmap.open({ ...machine, file });
  await memmap.durable;
  const { resumed, durability } = memmap;
  const { totals, chunks } = memmap.stats();
  await memmap.close();
  return { resumed, durability, totals, chunks };
}

const command = (...words) =>
  JSON.parse(execFileSync(process.execPath, [cli, ...words, '--json'], { encoding: 'utf8' }));

async function onMedium(file) {
  return {
    wakes: await wakes(file),
    together: await together(file),
    killed: await killed(file),
    reopened: await reopened(file),
    inspect: command('inspect', file),
    verify: command('verify', file),
  };
}

/** How an error is told outside; undefined when there was none. */
const codeOf = (promise) =>
  promise.then(
    () => undefined,
    ({ code, errno }) => ({ code, errno }),
  );

/** A file that was made with DAX, where there is none now. */
async function withoutDax(file) {
  const refused = await codeOf(Memmap.open({ ...machine, file, durability: 'dax-sync' }));
  const refusedRebuild = await codeOf(Memmap.open({ ...machine, file, durability: 'dax-sync', rebuild: true }));
  const kept = await reopened(file);
  rmSync(file);
  const refusedNew = await codeOf(Memmap.open({ ...machine, file, durability: 'dax-sync' }));
  const memmap = await Memmap.open({ ...machine, file, durability: 'msync' });
  await memmap.durable;
  const { resumed, durability } = memmap;
  const { chunks } = memmap.stats();
  const verify = await memmap.verify();
  await memmap.close();
  return { refused, refusedRebuild, kept, refusedNew, resumed, durability, chunks, verify };
}

/** Byte offset of the first bad page of a file: the middle of a chunk in the middle of its descriptors. */
const badOffset = 34 * 2 ** 20 + 3 * 4096;
const badBytes = 4096;

/** Where a byte of a file lies on the device, in bytes. */
function deviceOffset(file, offset) {
  const block = offset / 4096;
  for (const line of execFileSync('filefrag', ['-v', file], { encoding: 'utf8' }).split('\n')) {
    const [, first, last, physical] = /^ *\d+: *(\d+)\.\. *(\d+): *(\d+)\.\./.exec(line)?.map(Number) ?? [];
    if (first <= block && block <= last) return (physical + block - first) * 4096;
  }
  throw new Error(`${file} has no block ${block}`);
}

/** Bad media under a file that is whole: every access to one page of it is an error, as the pmem driver sees to it. */
async function onBadMedia(file) {
  const first = await Memmap.open({ ...machine, file, rebuild: true });
  await first.durable;
  await first.close();
  const sector = deviceOffset(file, badOffset) / 512;
  writeFileSync('/sys/block/pmem0/badblocks', `${sector} ${badBytes / 512}\n`);
  // what is in the page cache would be read from there
  writeFileSync('/proc/sys/vm/drop_caches', '3\n');
  const memmap = await Memmap.open({ ...machine, file });
  const pfn = (badOffset - 2 * 2 ** 20) / 64;
  const told = {
    pfn,
    resumed: memmap.resumed,
    fault: await codeOf(memmap.faultAsync(pfn)),
    beside: memmap.fault(pfn + machine.chunkPages),
    verify: await memmap.verify(),
  };
  await memmap.close();
  const again = await Memmap.open({ ...machine, file, rebuild: true });
  told.rebuilt = {
    ready: await codeOf(again.ready),
    fault: await codeOf(again.faultAsync(pfn)),
    beside: again.fault(pfn + machine.chunkPages),
    failed: again.stats().failed,
    verify: await again.verify(),
  };
  await again.close();
  told.rebuilt.chunks = (await inspectFile(file)).chunks;
  return told;
}

async function main() {
  await warmUp(false);
  const told = {};
  for (const fileSystem of ['ext4', 'xfs']) {
    makeNamespace('fsdax');
    makeFileSystem(fileSystem);
    const media = await onMedium(mount('always'));
    unmount();
    media.withoutDax = await withoutDax(mount('never'));
    unmount();
    told[fileSystem] = media;
  }
  makeNamespace('devdax');
  told.devdax = await onMedium('/dev/dax0.0');
  told.badMedia = {};
  for (const dax of ['always', 'never']) {
    // the namespace, too: what is bad stays bad as long as it is there
    makeNamespace('fsdax');
    makeFileSystem('ext4');
    told.badMedia[dax] = await onBadMedia(mount(dax));
    unmount();
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}

const roles = { main, hold, help };
const [role = 'main', file] = process.argv.slice(2);
await roles[role](file);
