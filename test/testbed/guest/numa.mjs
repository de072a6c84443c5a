/** Two unequal nodes: where the descriptors' memory lies, what threads help, and what that gains. Prints one JSON object. */
import { readFileSync } from 'node:fs';
import { openerSettings } from '../../../dist/src/background.js';
import { Memmap } from '../../../dist/src/index.js';
import { addon } from '../../../dist/src/native.js';
import { readAllowedCpus } from '../../../dist/src/physical/detect.js';
import { simulate } from '../../../dist/src/physical/simulate.js';
import { readNodes } from '../../../dist/src/physical/sysfs.js';

// what is small enough for one thread would be done by it
openerSettings.turnMs = 0;

/** Bytes of each range on each node, as the kernel tells. */
function placement(memmap) {
  const lines = readFileSync('/proc/self/numa_maps', 'utf8').split('\n');
  return memmap.ranges.map((range) => {
    const start = addon.addressOf(range.words);
    const end = start + BigInt(range.words.byteLength);
    const bytes = {};
    for (const line of lines) {
      const [address = '', ...fields] = line.split(' ');
      const at = BigInt(`0x${address || 0}`);
      // a mapping of ours begins inside the range, or within the huge page before it
      if (at + (1n << 21n) <= start || at >= end) continue;
      const pageKib = Number(/kernelpagesize_kB=(\d+)/.exec(line)?.[1] ?? 4);
      for (const field of fields) {
        const [, node, pages] = /^N(\d+)=(\d+)$/.exec(field) ?? [];
        if (node !== undefined) bytes[node] = (bytes[node] ?? 0) + Number(pages) * pageKib * 1024;
      }
    }
    return { nid: range.nid, pages: range.pages, bytes };
  });
}

/** Node 1 alone with its own two threads: pinned and bound as they are when there is another node beside it. */
function aloneOn(nid, spec) {
  const cpus = readNodes('/sys', readAllowedCpus()).find((node) => node.nid === nid).cpus;
  return { ...simulate(spec, readAllowedCpus()), nodes: [{ nid: 0, cpus }] };
}

const topologies = {
  unequal: '1x2GiB:pmem,1x30GiB:pmem',
  equal: '2x16GiB:pmem',
  alone: aloneOn(1, '1x30GiB:pmem'),
};
/** Rounds of re-initialization, in turns: what disturbs an emulated machine disturbs all three then. */
const rounds = 9;

const subjects = {};
for (const [name, topology] of Object.entries(topologies)) {
  const memmap = await Memmap.open({ topology, threadsPerNode: 2 });
  await memmap.ready;
  subjects[name] = { memmap, placed: placement(memmap), times: [] };
}
for (let round = 0; round < rounds; round++) {
  for (const subject of Object.values(subjects)) {
    subject.memmap = await subject.memmap.reinitialize();
    const startMs = performance.now();
    await subject.memmap.ready;
    subject.times.push(performance.now() - startMs);
  }
}
const told = {};
for (const [name, { memmap, placed, times }] of Object.entries(subjects)) {
  const { wrong, checked } = await memmap.verify();
  await memmap.close();
  told[name] = { placed, times, wrong, checked };
}
process.stdout.write(`${JSON.stringify(told)}\n`);
