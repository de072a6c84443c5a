/**
 * A real thread of the stress with ranges that come and go: faults, drains, verifies, grows, or adds and removes ranges, as it is
 * told, until all who add and remove are done. It dawdles where others may come in between: behind a claim, in the middle of a
 * chunk, before it publishes.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { addRanges } from '../../dist/src/claims/add-ranges.js';
import { ChunkMap } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { Faults } from '../../dist/src/claims/fault.js';
import { removeRange } from '../../dist/src/claims/remove-range.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { sharesOf, verifyShare } from '../../dist/src/observe/verify.js';
import { makePlan } from '../../dist/src/plan.js';
import { policies } from '../../dist/src/policy/policies.js';
import { rangeStateOf } from '../../dist/src/region/range-states.js';
import { Region } from '../../dist/src/region/region.js';

const { handle, gate, role, seed, windows } = workerData;
const random = seededRandom(seed);
const below = (limit) => Math.floor(random() * limit);
const never = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms) => Atomics.wait(never, 0, 0, ms);
const dawdle = (share) => random() < share && pause(random() / 4);
const region = Region.attach(handle);
const { states } = region.slots;

class Dawdling extends ChunkMap {
  claim(first, tag, end) {
    const count = super.claim(first, tag, end);
    if (count > 0) dawdle(0.2);
    return count;
  }

  publish(first, tag, end) {
    dawdle(0.1);
    super.publish(first, tag, end);
  }
}

const done = { faults: 0, late: 0, verified: 0, grown: 0, added: 0, removed: 0, written: 0 };
const kernel = {
  ...jsKernel,
  fill(words, at, count, pattern, index) {
    done.written += count;
    jsKernel.fill(words, at, count >> 1, pattern, index);
    dawdle(0.2);
    return jsKernel.fill(words, at, count, pattern, index);
  },
};
const chunks = new Dawdling(region.control, region.layout.chunkWords / 4, region.chunks);
const claimant = new Claimant(region, { kernel, chunks });
const faults = new Faults(claimant);

/** Whatever a call is told that meets a removal. */
function isLate(error) {
  if (error.code !== 'PFN_ABSENT' && error.code !== 'RANGE_REMOVED') throw error;
  done.late++;
  return true;
}

function anyPfn() {
  const { startPfn, endPfn } = windows[below(windows.length)];
  return startPfn + below(endPfn - startPfn);
}

function fault() {
  const pfn = anyPfn();
  try {
    const range = faults.rangeOf(pfn);
    faults.fault(pfn, [0, 0, 0, 9, 18][below(5)]);
    done.faults++;
    const at = range.offsetOf(pfn) / 4;
    const { pattern } = range.segments[0].content.parts[0];
    const isRight = range.words[at] === pattern[0] && range.words[at + 1] === pattern[1];
    // looked at behind the words: then it was so while the range was there
    if (!isRight && states.isLive(range)) throw new Error(`pfn ${pfn} is not what it was told to be: ready`);
  } catch (error) {
    isLate(error);
  }
}

function verify() {
  const result = verifyShare(region, sharesOf(region), new Int32Array(new SharedArrayBuffer(4)));
  if (result.wrong > 0 || result.failed > 0) throw new Error(`verification: ${JSON.stringify(result)}`);
  done.verified += result.checked;
}

function grow() {
  const run = policies.boot.grow(faults, region, below(2), 1 + below(2000));
  if (run) done.grown += run.endPfn - run.startPfn;
  else pause(1);
}

/** Nobody writes to an empty slot: what does not stay zeros was written late. */
function mustStayZero(slot) {
  const word = states.load(slot);
  if (rangeStateOf(word) !== 'absent') return;
  const { buffer, byteOffset } = handle.data[slot];
  const words = new Uint32Array(buffer, byteOffset, region.slots.pagesOf(slot) * 16);
  for (let round = 0; round < 2; round++) {
    const dirty = words.findIndex((value) => value !== 0);
    // another range has come meanwhile
    if (states.load(slot) !== word) return;
    if (dirty >= 0) throw new Error(`somebody has written to word ${dirty} of slot ${slot}, which is empty`);
    pause(random());
  }
}

function extentIn({ startPfn, endPfn }) {
  const start = startPfn + below(endPfn - startPfn);
  const pages = 1 + below(Math.min(endPfn - start, role.pagesMax));
  return { nid: below(2), kind: 'ram', startPfn: start, endPfn: start + pages };
}

async function comeAndGo() {
  const memory = [extentIn(windows[role.window])];
  const plan = () =>
    makePlan(
      { source: 'simulated', nodes: [], memory, zoned: false, notes: [] },
      { profile: 'linux-6.1', chunkPages: 512 },
    ).ranges;
  const [range] = addRanges(claimant, plan, new Map());
  done.added++;
  // sometimes nobody has the time to begin
  if (random() < 0.8) pause(random() * 3);
  if (random() < 0.3) faults.fault(range.startPfn, 9);
  await removeRange(claimant, range.startPfn);
  done.removed++;
  mustStayZero(range.slot);
}

const isOver = () => Atomics.load(gate, 1) === gate[2];
const steps = { fault, verify, grow, drain: () => drain(claimant, below(2)) };

// all threads begin at once
Atomics.wait(gate, 0, 0);
if (role.kind === 'hotplug') {
  for (let cycle = 0; cycle < role.cycles; cycle++) await comeAndGo();
  Atomics.add(gate, 1, 1);
} else while (!isOver()) steps[role.kind]();
claimant.leave();
parentPort.postMessage(done);
