/** What faults and claims allocate on the JS heap. */
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'JS heap';

/** @param {{ tiny: boolean, trials: number }} settings */
export function run({ tiny, trials }) {
  // a nursery that holds a million objects: nothing is collected while it is counted
  const flags = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'];
  const results = interleave(Math.min(trials, 3), {
    all: () => trial('support/heap-trial.mjs', { tiny }, {}, flags),
  }).all;
  const count = results[0].count;
  const what = `${count} each, after warm-up, the least of five rounds, less what the same loop without them takes, nothing collected meanwhile`;
  const of = (name, key) =>
    record({ suite: 'heap', name, unit: 'B', ours: results.map((result) => result[key]), peer: '', what });
  return [
    of(`${count} faults on ready pfns`, 'ready'),
    of(`${count} faults that claim`, 'claim'),
    of(`${count} objects (what would be seen)`, 'objects'),
  ];
}
