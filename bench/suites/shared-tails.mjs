/** Compound pages of device-dax whose tails are stored once, beside all of them stored: time until ready, and memory. */
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'Shared tails of compound pages, first touch';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  const machines = tiny
    ? ['1x1GiB:devdax', '1x1GiB:devdax1g']
    : ['1x16GiB:devdax', '1x64GiB:devdax1g', '1x1TiB:devdax1g'];
  const open = (topology, shareTails) => () =>
    trial('support/open-trial.mjs', {
      options: { topology, shareTails, threadsPerNode: threads },
      // stored in full, 1 TiB has 16 GiB of descriptors; what a trial needs is in place before its clock starts
      warmBytes: tiny ? 2 ** 24 : 2 ** 30,
    });
  return machines.flatMap((machine) => {
    const { shared, full } = interleave(trials, { shared: open(machine, true), full: open(machine, false) });
    const [{ mappings, storePath }] = shared;
    const what = `${machine}, fresh process, ${threads} threads, ${mappings} mappings, ${storePath}`;
    const compare = (name, unit, of) =>
      record({
        suite: 'shared-tails',
        name: `${machine}: ${name}`,
        unit,
        ours: shared.map(of),
        peer: 'every descriptor stored',
        peerValues: full.map(of),
        what,
      });
    return [
      compare('open', 'ms', ({ openMs }) => openMs),
      compare('until ready', 'ms', ({ readyMs }) => readyMs),
      compare('memory of the descriptors', 'MiB', ({ storedBytes }) => storedBytes / 2 ** 20),
    ];
  });
}
