/**
 * What bench/linux.mjs runs in the testbed's machine: Linux's own initializers and ours, one after the other, on as many pages.
 * Prints samples as one JSON object. Options: --rounds N, --pmem-gib N.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openerSettings } from '../dist/src/background.js';
import { Memmap } from '../dist/src/index.js';
import { median } from './support/trial.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '1' },
    'pmem-gib': { type: 'string', default: '1' },
    trial: { type: 'string' },
    threads: { type: 'string', default: '2' },
  },
});

const sectionPages = 2 ** 15;
const pagesPerMib = 256;

const tracing = '/sys/kernel/debug/tracing';

const run = (program, ...words) =>
  execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 26 });
const kernelLog = () => run('dmesg');

/** From open until everything is initialized, and until one page is; the machine's threads may have to start first. */
async function timeOpen(topology) {
  const startMs = performance.now();
  const memmap = await Memmap.open({ topology, threadsPerNode: Number(values.threads) });
  const { startPfn, pages } = memmap.ranges.at(-1);
  memmap.fault(startPfn + Math.floor(pages / 2));
  const usableMs = performance.now() - startMs;
  await memmap.ready;
  const readyMs = performance.now() - startMs;
  const { pageSize } = memmap.residency() ?? {};
  const { storePath } = memmap.stats();
  const timed = { pages: memmap.pages, usableMs, readyMs, pageSize, storePath };
  await memmap.close();
  return timed;
}

/** Ours in a process of its own: at once, and again when its threads are there, as the kernel's always are. */
function ours(topology, threads, nid) {
  const trial = [process.execPath, fileURLToPath(import.meta.url), '--trial', topology, '--threads', String(threads)];
  const pinned = nid === undefined ? trial : ['numactl', `--cpunodebind=${nid}`, `--membind=${nid}`, ...trial];
  return JSON.parse(run(...pinned));
}

/** The kernel's times and pages for device memory, each time that it initialized some. */
function deviceInits() {
  const lines = kernelLog().matchAll(/memmap_init_zone_device initialised (\d+) pages in (\d+)ms/g);
  return [...lines].map(([, pages, ms]) => ({ pages: Number(pages), ms: Number(ms) }));
}

/** Makes the kernel tell how long its initializer takes, and how long all that a namespace's memmap needs does. */
function watchLinux() {
  writeFileSync('/sys/kernel/debug/dynamic_debug/control', 'func memmap_init_zone_device +p');
  // This one function only, so that nothing else becomes slower.
  writeFileSync(`${tracing}/set_ftrace_filter`, 'memremap_pages');
  writeFileSync(`${tracing}/current_tracer`, 'function_graph');
}

/**
 * Makes the kernel initialize the memmap of the NVDIMM anew, in RAM as ours is. `initMs` is the initializer on memory that is
 * mapped and cleared already; `mapMs` has both in it, as first touch has for us.
 */
function linuxDevice() {
  const before = deviceInits().length;
  writeFileSync(`${tracing}/trace`, '');
  run('ndctl', 'create-namespace', '-f', '-e', 'namespace0.0', '-m', 'fsdax', '-M', 'mem');
  const init = deviceInits()[before];
  const mapUs = /([\d.]+) us +\|/.exec(readFileSync(`${tracing}/trace`, 'utf8'))?.[1];
  if (!init || mapUs === undefined) throw new Error('the kernel told no time for the memmap of the namespace');
  run('ndctl', 'destroy-namespace', '-f', 'namespace0.0');
  return { pages: init.pages, initMs: init.ms, mapMs: Number(mapUs) / 1000 };
}

/**
 * What the boot deferred: of each node's last zone all but a first section (defer_init in the kernel). The kernel tells the
 * time only, and reckons it until the pages are in its free lists.
 */
function linuxDeferred() {
  const lines = kernelLog().matchAll(/node (\d+) deferred pages initialised in (\d+)ms/g);
  const zones = readFileSync('/proc/zoneinfo', 'utf8').split(/^(?=Node )/m);
  return [...lines].map(([, nid, ms]) => {
    const ends = zones
      .filter((zone) => zone.startsWith(`Node ${nid},`))
      .map((zone) => [/spanned +(\d+)/, /start_pfn: +(\d+)/].map((pattern) => Number(pattern.exec(zone)?.[1] ?? 0)))
      .filter(([spanned]) => spanned > 0);
    const [spanned, startPfn] = ends.at(-1);
    const deferredPfn = Math.ceil(startPfn / sectionPages + 1) * sectionPages;
    return { nid: Number(nid), ms: Number(ms), pages: startPfn + spanned - deferredPfn };
  });
}

/** Over memory that is mapped and was written before, as the kernel's initializers find it: the median of five. */
async function timeAgain(topology) {
  let memmap = await Memmap.open({ topology, threadsPerNode: Number(values.threads) });
  await memmap.ready;
  const times = [];
  for (let round = 0; round < 5; round++) {
    memmap = await memmap.reinitialize();
    const startMs = performance.now();
    await memmap.ready;
    times.push(performance.now() - startMs);
  }
  const timed = { pages: memmap.pages, readyMs: median(times), storePath: memmap.stats().storePath };
  await memmap.close();
  return timed;
}

async function trial(topology) {
  const fresh = await timeOpen(topology);
  // what is small enough for the opener alone has started no threads; the kernel's are always there
  openerSettings.turnMs = 0;
  await timeOpen(topology);
  const running = await timeOpen(topology);
  const again = await timeAgain(topology);
  return { fresh, running, again };
}

function rounds() {
  watchLinux();
  const deferred = linuxDeferred();
  const ram = deferred.map(({ pages }) => `1x${pages / pagesPerMib}MiB`).join(',');
  const samples = { device: [], ram: [] };
  for (let round = 0; round < Number(values.rounds); round++) {
    const linux = linuxDevice();
    samples.device.push({ linux, ours: ours(`1x${values['pmem-gib']}GiB:pmem`, 2, 1) });
    samples.ram.push({ ours: ours(ram, 2) });
  }
  return { kernel: release(), node: process.version, deferred, ...samples };
}

process.stdout.write(`${JSON.stringify(values.trial ? await trial(values.trial) : rounds())}\n`);
