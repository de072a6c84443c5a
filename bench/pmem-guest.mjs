/**
 * What bench/suites/pmem.mjs runs in the testbed's machine: the same memmap in RAM, in a file on an fsdax namespace, and on a
 * device-dax device, in turns; what durability costs; how long it takes to open what is there. Prints samples as one JSON
 * object. Options: --rounds N, --gib N (simulated memory).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { openerSettings } from '../dist/src/background.js';
import { Memmap } from '../dist/src/index.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '1' }, gib: { type: 'string', default: '4' } },
});
const rounds = Number(values.rounds);
const options = { topology: `1x${values.gib}GiB:pmem`, threadsPerNode: 2 };
/** Persisted changes of one descriptor each, for the time of one. */
const changes = 2000;

// what is small enough for the opener alone would start no threads, and not be measured as they are
openerSettings.turnMs = 0;

const run = (program, ...words) => execFileSync(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });

/** From open until all is initialized, and until all is on the media. */
async function timed(more) {
  const startMs = performance.now();
  const memmap = await Memmap.open({ ...options, ...more });
  const openMs = performance.now() - startMs;
  await memmap.ready;
  const readyMs = performance.now() - startMs;
  if (memmap.durability !== 'none') await memmap.durable;
  const durableMs = performance.now() - startMs;
  const { pages, durability } = memmap;
  const told = { pages, durability, openMs, readyMs, durableMs, storePath: memmap.stats().storePath };
  return { memmap, told };
}

async function sample(more) {
  const { memmap, told } = await timed(more);
  await memmap.close();
  return told;
}

/** Microseconds of a change of one descriptor that is brought to the media. */
async function persistUs(more) {
  const { memmap } = await timed(more);
  const [{ words, startPfn, pages }] = memmap.ranges;
  const stride = Math.floor(pages / changes);
  const startMs = performance.now();
  for (let change = 0; change < changes; change++) {
    const pfn = startPfn + change * stride;
    words[memmap.offsetOf(pfn) / 4 + 10] = change;
    memmap.persist(pfn);
  }
  const us = ((performance.now() - startMs) * 1000) / changes;
  await memmap.close();
  return us;
}

const samples = {};
const add = (name, value) => {
  samples[name] ??= [];
  samples[name].push(value);
};

async function inRam() {
  add('ramSmall', await sample({ backing: 'shared' }));
  add('ramHuge', await sample({ backing: 'huge' }));
}

const mount = '/mnt/pmem-bench';
const file = `${mount}/memmap`;

/** Threads of the pool are there, and the page cache and the code are warm. */
async function warmUp() {
  await inRam();
  for (const name of Object.keys(samples)) delete samples[name];
}

async function onFsdax() {
  run('ndctl', 'create-namespace', '-f', '-e', 'namespace0.0', '-m', 'fsdax', '-M', 'mem');
  run('mkfs.ext4', '-F', '-q', '/dev/pmem0');
  mkdirSync(mount, { recursive: true });
  run('mount', '-o', 'dax=always', '/dev/pmem0', mount);
  for (let round = 0; round < rounds; round++) {
    await inRam();
    rmSync(file, { force: true });
    add('fsdaxFresh', await sample({ file }));
    // blocks that were written before: what remains are the stores
    add('fsdax', await sample({ file, rebuild: true }));
    add('fsdaxNone', await sample({ file, rebuild: true, durability: 'none' }));
    add('fsdaxMsync', await sample({ file, rebuild: true, durability: 'msync' }));
    add('reopen', await sample({ file }));
    add('persistUs', await persistUs({ file, rebuild: true }));
  }
  run('umount', mount);
}

async function onDevdax() {
  run('ndctl', 'create-namespace', '-f', '-e', 'namespace0.0', '-m', 'devdax', '-M', 'mem');
  for (let round = 0; round < rounds; round++) {
    add('ramBesideDevdax', await sample({ backing: 'huge' }));
    add('devdax', await sample({ file: '/dev/dax0.0', rebuild: true }));
  }
}

await warmUp();
await onFsdax();
await onDevdax();
process.stdout.write(`${JSON.stringify({ kernel: release(), samples })}\n`);
