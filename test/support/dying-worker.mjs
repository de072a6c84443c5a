/**
 * A pool's worker that dies as often as VMEMMAP_TEST_DEATHS says, in the way that VMEMMAP_TEST_DEATH names, and is a good
 * one afterwards. Deaths are counted as folders, so that every thread sees them.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { Region } from '../../dist/src/region/region.js';
import run from '../../dist/workers/worker.js';

const { VMEMMAP_TEST_FOLDER: folder, VMEMMAP_TEST_DEATHS: deaths, VMEMMAP_TEST_DEATH: way } = process.env;

/** Nobody ever changes it. */
const never = new Int32Array(new SharedArrayBuffer(4));

function mayDie() {
  for (let death = 0; death < Number(deaths); death++) {
    try {
      mkdirSync(`${folder}/${death}`);
      return true;
    } catch {
      // somebody died this death already
    }
  }
  return false;
}

if (way === 'while loading' && mayDie()) throw new Error('failed while loading');
// Blocked, not awaited at the top level: V8 of Node 20 aborts when a thread is terminated just as it evaluates a module that awaits.
if (way === 'never loads' && mayDie()) while (Atomics.wait(never, 0, 0) !== 'not-equal');

function dieInChunk(task) {
  let written = 0;
  const kernel = {
    ...jsKernel,
    fill(words, at, count, pattern, index) {
      if (++written < 10) return jsKernel.fill(words, at, count, pattern, index);
      jsKernel.fill(words, at, count >> 1, pattern, index);
      mkdirSync(`${folder}/somebody-died`, { recursive: true });
      if (way === 'by exit') process.exit(1);
      // an error that nobody catches; the claimant cannot abandon the chunk when the stack is gone
      setImmediate(() => {
        throw new Error('died');
      });
      throw new Error('died in a chunk');
    },
  };
  drain(new Claimant(Region.attach(task.handle), { kernel }), task.nid);
}

export default function runOrDie(task) {
  if (task.kind === 'drain' && (way === 'by exit' || way === 'by error')) {
    if (mayDie()) {
      Atomics.store(task.started, 0, 1);
      dieInChunk(task);
    }
    // the others begin after the first death, so that there is enough left to die in
    while (!existsSync(`${folder}/somebody-died`)) Atomics.wait(never, 0, 0, 5);
  }
  return run(task);
}
