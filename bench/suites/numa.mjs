/**
 * What it gains that the threads of a node help another. On this machine two simulated nodes of a CPU each, whose first touch
 * one thread cannot do as fast as two; and, where the testbed
 * can run, two real nodes in its emulated machine, whose four CPUs share those of the host: there is nothing to gain there, and
 * helpers must not cost anything.
 */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { hugePagesFor } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { alternate, Subject } from '../support/trial.mjs';

export const title = 'Threads that help another node';

/** Exit status of the testbed where it lacks packages. */
const statusMissing = 77;

/** @param {{ tiny: boolean, trials: number }} settings */
export async function run({ tiny, trials }) {
  return [...(await simulated(tiny, trials)), ...emulated()];
}

const recordOf = (name, ours, peer, peerValues, what) =>
  record({ suite: 'numa', name, unit: 'ms', ours, peer, peerValues, what });

async function simulated(tiny, trials) {
  const [small, large] = tiny ? ['8GiB', '16GiB'] : ['32GiB', '224GiB'];
  const rounds = tiny ? 2 : 10;
  const { backing, note } = hugePagesFor(tiny ? 2 ** 30 : 2 ** 33);
  const subject = (topology) => {
    const options = { topology, threadsPerNode: 1, backing };
    return Subject.script('support/rounds-trial.mjs', { options, touch: 'first' });
  };
  const { both, alone } = await alternate(trials, rounds, () => ({
    both: subject(`1x${small}:pmem,1x${large}:pmem`),
    alone: subject(`1x${large}:pmem`),
  }));
  const msOf = (results) => results.map(({ ms }) => ms);
  const what = `pmem, first touch, a thread a node, simulated nodes, ${trials} processes of ${rounds} rounds each${note}`;
  const name = `simulated: ${small} on node 0 and ${large} on node 1`;
  return [recordOf(name, msOf(both), `the ${large} by one thread alone`, msOf(alone), what)];
}

function emulated() {
  const at = (path) => fileURLToPath(new URL(`../../test/testbed/${path}`, import.meta.url));
  const words = [at('run.mjs'), '--timeout', '240', at('guest/numa.mjs')];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status === statusMissing) {
    process.stderr.write(`bench: numa without the emulated machine: ${stderr.trim()}\n`);
    return [];
  }
  if (status !== 0) throw new Error(`the testbed failed (exit status ${status}):\n${stderr}`);
  const { unequal, equal, alone } = JSON.parse(stdout);
  const name = 'emulated: 2 GiB on node 0 and 30 GiB on node 1';
  const what = `pmem, re-initialization, ${unequal.times.length} rounds in turns, 2 threads a node, QEMU TCG, 2 nodes of 2 CPUs on ${cpus().length} of the host`;
  return [
    recordOf(name, unequal.times, 'the 30 GiB by the threads of node 1 alone', alone.times, what),
    recordOf(name, unequal.times, '16 GiB on each', equal.times, what),
  ];
}
