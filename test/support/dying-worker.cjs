/**
 * A pool's worker that dies as often as VMEMMAP_TEST_DEATHS says, in the way that VMEMMAP_TEST_DEATH names, and is a good
 * one afterwards. Deaths are counted as folders, so that every thread sees them. CommonJS as the worker itself is: a thread
 * that is ended while it loads ES modules can take the process with it.
 */
const { existsSync, mkdirSync } = require('node:fs');
const run = require('../../dist/workers/worker.cjs');

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

// piscina loads a file that failed a second time, in another way: a thread that is to die dies of both
if (way === 'while loading') globalThis.isDying ??= mayDie();
if (globalThis.isDying) throw new Error('failed while loading');
if (way === 'never loads' && mayDie()) while (Atomics.wait(never, 0, 0) !== 'not-equal');

let isDead = false;

/** Lets this thread die with its tenth claim in hand: whatever wins an exchange of a free chunk's word is one. */
function dieInChunk() {
  const { compareExchange } = Atomics;
  let claims = 0;
  Atomics.compareExchange = (words, index, expected, next) => {
    const found = compareExchange(words, index, expected, next);
    const isClaim = expected === 0 && found === 0 && (next & 7) === 1;
    if (!isClaim || ++claims < 10) return found;
    mkdirSync(`${folder}/somebody-died`, { recursive: true });
    if (way === 'by exit') process.exit(1);
    isDead = true;
    // an error that nobody catches, of a thread that holds the chunk; what is done while the stack unwinds is not to be seen
    Atomics.compareExchange = () => -1;
    Atomics.store = () => 0;
    setImmediate(() => {
      throw new Error('died');
    });
    throw new Error('died in a chunk');
  };
}

module.exports = function runOrDie(task) {
  if (task.kind !== 'drain' || (way !== 'by exit' && way !== 'by error')) return run(task);
  if (mayDie()) {
    dieInChunk();
    const reply = run(task);
    // no reply when the error that ends the thread is on its way; too few chunks may have been left to die in
    return isDead ? new Promise(() => {}) : reply;
  }
  // the others begin after the first death, so that there is enough left to die in
  while (!existsSync(`${folder}/somebody-died`)) Atomics.wait(never, 0, 0, 5);
  return run(task);
};
