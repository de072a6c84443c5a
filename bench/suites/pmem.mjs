/** Descriptors on persistent memory beside the same in RAM, in the emulated machine of test/testbed: speed, durability, reopening. */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { record } from '../support/record.mjs';

export const title = 'On persistent memory (fsdax and device-dax), in an emulated machine';

/** Exit status of the testbed where it lacks packages. */
const statusMissing = 77;

/** @param {{ tiny: boolean, trials: number }} settings */
export function run({ tiny, trials }) {
  const at = (path) => fileURLToPath(new URL(path, import.meta.url));
  const gib = tiny ? 1 : 16;
  const words = [
    ...[at('../../test/testbed/run.mjs'), '--timeout', '600', '--prealloc', '--pmem-size', '2G'],
    ...[at('../pmem-guest.mjs'), '--gib', String(gib), '--rounds', String(trials)],
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status === statusMissing) return { skipped: stderr.trim() };
  if (status !== 0) throw new Error(`the testbed failed (exit status ${status}):\n${stderr}`);
  const { kernel, samples } = JSON.parse(stdout);
  return recordsOf(samples, gib, `guest Linux ${kernel}, QEMU TCG, 2 nodes of 2 CPUs on ${cpus().length} of the host`);
}

function recordsOf(samples, gib, machine) {
  const figure = (name, unit, ours, peer, peerValues, more = '') =>
    record({
      ...{ suite: 'pmem', name, unit, ours, peer, peerValues },
      what: `${gib} GiB of simulated memory, 2 threads that are up${more}; the emulation makes a cache line's write-back free; ${machine}`,
    });
  const rate = (name, key = 'readyMs') => samples[name].map((sample) => sample.pages / sample[key] / 1000);
  const ms = (name, key) => samples[name].map((sample) => sample[key]);
  const [perSecond, small, huge] = ['M descriptors/s', 'RAM, 4 KiB pages', 'RAM, huge pages'];
  const written = ', blocks written before';
  return [
    figure('fsdax, dax-sync, blocks that were just allocated', perSecond, rate('fsdaxFresh'), small, rate('ramSmall')),
    figure('fsdax, dax-sync', perSecond, rate('fsdax'), small, rate('ramSmall'), written),
    figure('fsdax, dax-sync', perSecond, rate('fsdax'), huge, rate('ramHuge'), written),
    figure('devdax, dax-sync', perSecond, rate('devdax'), huge, rate('ramBesideDevdax'), written),
    figure('durability dax-sync', 'ms', ms('fsdax', 'durableMs'), 'none', ms('fsdaxNone', 'readyMs'), written),
    figure('durability msync', 'ms', ms('fsdaxMsync', 'durableMs'), 'none', ms('fsdaxNone', 'readyMs'), written),
    figure('opened again until it is ready', 'ms', ms('reopen', 'readyMs'), 'made', ms('fsdaxFresh', 'readyMs')),
    figure('a change of one descriptor, persisted', 'µs', samples.persistUs, '–', []),
  ];
}
