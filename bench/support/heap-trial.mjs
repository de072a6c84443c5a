/** One trial of the JS heap: bytes in use before and after a million of each, with a nursery that holds all of them. */
import { Claimant } from '../../dist/src/claims/claimant.js';
import { Faults } from '../../dist/src/claims/fault.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { makePlan } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import { Region } from '../../dist/src/region/region.js';

const { tiny } = JSON.parse(process.argv[2] ?? '{}');
const count = tiny ? 20_000 : 1_000_000;
const memory = [{ nid: 0, kind: 'device', startPfn: 0, endPfn: count * 512, pgmap: 1 }];
const pieces = [];
// ranges end at 1 TiB
for (let startPfn = 0; startPfn < count * 512; startPfn += 2 ** 28) {
  pieces.push({ ...memory[0], startPfn, endPfn: Math.min(count * 512, startPfn + 2 ** 28) });
}
const topology = { source: 'simulated', nodes: [], memory: pieces, zoned: false, notes: [] };
const region = Region.create(
  makePlan(topology, { profile: 'linux-6.1', chunkPages: 512 }),
  'hotplug',
  chooseBacking('shared'),
);
// The chunks are claimed and published; filling 32 GiB is not what is measured here.
const claimant = new Claimant(region, { kernel: { ...jsKernel, fill: () => 0 } });
const faults = new Faults(claimant);
const words = region.control.subarray(region.layout.chunkWords / 4, region.layout.chunkWords / 4 + region.chunks);

/** Bytes that a loop allocates: the least of five. */
function left(prepare, loop) {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    prepare();
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    loop();
    least = Math.min(least, process.memoryUsage().heapUsed - before);
  }
  return least;
}

const nothing = () => {};
const forget = () => {
  words.fill(0);
  for (const range of region.ranges) range.seen.fill(0);
};
const faultAll = () => {
  for (let chunk = 0; chunk < count; chunk++) faults.fault(chunk * 512, 0);
};
const kept = new Array(16);
const store = () => {
  for (let i = 0; i < count; i++) kept[i % 16] = i % 100;
};
// what Node itself allocates at the beginning is not told
left(nothing, store);
const idle = left(nothing, store);
const objects = left(nothing, () => {
  for (let i = 0; i < count; i++) kept[i % 16] = { i };
});
const claim = left(forget, faultAll);
const ready = left(nothing, faultAll);
process.stdout.write(JSON.stringify({ count, objects: objects - idle, claim: claim - idle, ready: ready - idle }));
