/**
 * Measures what claim, fault and drain allocate on the JS heap once they are warm, in bytes per operation. Run with
 * --expose-gc and a nursery that holds all of it, so that nothing is collected meanwhile.
 */
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { Faults } from '../../dist/src/claims/fault.js';
import { makePlan } from '../../dist/src/plan.js';
import { chooseBacking } from '../../dist/src/region/backing.js';
import { Region } from '../../dist/src/region/region.js';

// as many as one drain of a real memmap has at least: what a drain makes when it begins it makes once
const chunks = 1024;
const pages = chunks * 512;
const rounds = 32;
/** The least of so many is told: until V8 has compiled a path, which takes longer on a busy machine, it allocates. */
const repeats = 8;

function engine(kind) {
  const memory = [{ nid: 0, kind, startPfn: 0, endPfn: pages, ...(kind === 'device' && { pgmap: 1 }) }];
  const topology = { source: 'simulated', nodes: [], memory, zoned: false, notes: [] };
  const region = Region.create(
    makePlan(topology, { profile: 'linux-6.1', chunkPages: 512 }),
    'hotplug',
    chooseBacking('shared'),
  );
  const claimant = new Claimant(region);
  const words = region.control.subarray(region.layout.chunkWords / 4, region.layout.chunkWords / 4 + chunks);
  /** Makes everything free again, as nobody but a test may. */
  const forget = () => {
    words.fill(0);
    for (const range of region.ranges) range.seen.fill(0);
    region.control[region.ranges[0].drainCursor] = 0;
  };
  return { claimant, faults: new Faults(claimant), forget };
}

const works = {
  drain({ claimant, forget }) {
    for (let round = 0; round < rounds; round++) {
      forget();
      drain(claimant, 0);
    }
  },
  claimByFault({ faults, forget }) {
    for (let round = 0; round < rounds; round++) {
      forget();
      for (let chunk = 0; chunk < chunks; chunk++) faults.fault(chunk * 512 + (round % 512), 0);
    }
  },
  claimByLargeFault({ faults, forget }) {
    for (let round = 0; round < rounds; round++) {
      forget();
      for (let chunk = 0; chunk < chunks; chunk++) faults.fault(chunk * 512, 9);
    }
  },
  faultOnReady({ faults }) {
    for (let i = 0; i < rounds * chunks; i++) faults.fault((i * 7919) % pages, 0);
  },
  /** Shows that the measurement sees an object per operation. */
  control({ kept }) {
    for (let i = 0; i < rounds * chunks; i++) kept[i % kept.length] = { i };
  },
};

const result = {};
for (const kind of ['ram', 'device']) {
  const subject = { ...engine(kind), kept: new Array(16) };
  for (const [name, work] of Object.entries(works)) {
    let least = Number.POSITIVE_INFINITY;
    for (let repeat = 0; repeat < repeats; repeat++) {
      globalThis.gc();
      const before = process.memoryUsage().heapUsed;
      work(subject);
      least = Math.min(least, (process.memoryUsage().heapUsed - before) / (rounds * chunks));
    }
    result[`${name}, ${kind}`] = least;
  }
}
process.stdout.write(JSON.stringify(result));
