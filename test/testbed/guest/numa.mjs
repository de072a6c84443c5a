/** Two unequal nodes: where the descriptors' memory lies, what threads help, and what that gains. Prints one JSON object. */
import { readFileSync } from 'node:fs';
import { openerSettings } from '../../../dist/src/background.js';
import { Memmap } from '../../../dist/src/index.js';
import { addon } from '../../../dist/src/native.js';

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

/** Milliseconds until the larger node is done when the smaller one's threads help, and when there is nothing to help with. */
async function time(topology) {
  let memmap = await Memmap.open({ topology, threadsPerNode: 2 });
  await memmap.ready;
  const placed = placement(memmap);
  const times = [];
  for (let round = 0; round < 5; round++) {
    memmap = await memmap.reinitialize();
    const startMs = performance.now();
    await memmap.ready;
    times.push(performance.now() - startMs);
  }
  const verified = await memmap.verify();
  await memmap.close();
  return { placed, ms: times.sort((a, b) => a - b)[2], wrong: verified.wrong, checked: verified.checked };
}

const unequal = await time('1x2GiB:pmem,1x30GiB:pmem');
const equal = await time('2x16GiB:pmem');
process.stdout.write(`${JSON.stringify({ unequal, equal })}\n`);
