/**
 * One boot between two power cuts: takes up the memmap that the last one has left, tells in what state it was, then initializes
 * and changes descriptors until it is cut, and tells of each step behind it. Its argument is an object in JSON.
 *
 *     here                          the file can be opened
 *     found {…}                     see `look`; rebuilding says that all is given up and begun anew
 *     persisted PFN VALUE           `persist` has returned
 *     initialized CHUNKS            so many chunks were durable a moment ago
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Memmap, verifyFile } from '../../../dist/src/index.js';
import { changedWord, pfnOfChange } from './changes.mjs';
import { makeFileSystem, makeNamespace, mount } from './media.mjs';

const descriptorWords = 16;
/** Changes between two looks around. */
const burst = 8;
/** The drain, too, works in bursts, so that initializing takes a while: of 64 MiB it writes some batches of 2 MiB in each. */
const drainMs = 3;

const { topology, chunkPages, medium, isFirst, mayRebuild, lastValue, seed, isLast } = JSON.parse(process.argv[2]);
const tell = (line) => process.stdout.write(`${line}\n`);

function fileOf() {
  if (medium === 'devdax') return isFirst ? makeNamespace('devdax') : '/dev/dax0.0';
  if (isFirst) {
    makeNamespace('fsdax');
    makeFileSystem('ext4');
  }
  // replays the journal
  return mount(medium === 'ext4' ? 'always' : 'never');
}

/** Changed descriptors, as pairs of pfn and value, and how many of them differ elsewhere, too. */
function changesIn(memmap) {
  const [range] = memmap.ranges;
  const { words } = range;
  const changes = [];
  let otherwise = 0;
  // one line of words is the template of all: the first that nobody has changed
  let template;
  for (let chunk = 0; chunk < range.chunks; chunk++) {
    if (!memmap.isInitialized(range.chunkStart(chunk))) continue;
    for (let pfn = range.chunkStart(chunk); pfn < range.chunkEnd(chunk); pfn++) {
      const value = words[pfn * descriptorWords + changedWord];
      if (value === 0) template ??= words.slice(pfn * descriptorWords, (pfn + 1) * descriptorWords);
      else changes.push([pfn, value]);
    }
  }
  for (const [pfn] of changes) {
    const differs = (word, index) => index !== changedWord && word !== words[pfn * descriptorWords + index];
    if (template?.some(differs)) otherwise++;
  }
  return { changes, otherwise };
}

const file = fileOf();
tell('here');
const durability = medium === 'page cache' ? 'msync' : 'dax-sync';
const options = { topology, chunkPages, file, durability, threadsPerNode: 1 };
let memmap = await Memmap.open(options);
memmap.pause();
const { resumed } = memmap;
const { changes, otherwise } = changesIn(memmap);
const verify = await verifyFile(file);
const isComplete = memmap.progressNow().pagesReady === memmap.pages;
const rebuilding = mayRebuild && isComplete;
const upMs = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
tell(
  `found ${JSON.stringify({ resumed, durability: memmap.durability, changes, otherwise, verify, rebuilding, upMs })}`,
);
if (isLast) process.exit();

if (rebuilding) {
  await memmap.close();
  memmap = await Memmap.open({ ...options, rebuild: true });
  memmap.pause();
}
const [range] = memmap.ranges;
for (let value = lastValue + 1; ; ) {
  for (let i = 0; i < burst; i++, value++) {
    const pfn = pfnOfChange(seed, value, memmap.pages);
    memmap.fault(pfn);
    range.words[pfn * descriptorWords + changedWord] = value;
    memmap.persist(pfn);
    tell(`persisted ${pfn} ${value}`);
  }
  memmap.resume();
  await sleep(drainMs);
  memmap.pause();
  tell(`initialized ${memmap.stats().chunks.durable}`);
}
