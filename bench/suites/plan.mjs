/** How long the plan of a machine takes: which page frames get descriptors, in which zone and node, and what holes there are. */
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'The plan of a machine';

/** Machines of support/plan-trial.mjs. */
const machines = {
  nodes: '16 nodes, 64 TiB of addresses',
  extents: '100,000 extents on 16 nodes, holes in all sections',
  scattered: '32,768 extents on 16 nodes in turn, which make as many ranges as a memmap can have',
};

/** @param {{ tiny: boolean, trials: number }} settings */
export function run({ tiny, trials }) {
  const results = interleave(
    trials,
    Object.fromEntries(
      Object.keys(machines).map((machine) => [machine, () => trial('support/plan-trial.mjs', { machine, tiny })]),
    ),
  );
  return Object.entries(machines).flatMap(([machine, name]) => {
    const of = (key) => results[machine].map((result) => result[key]);
    const { ranges, segments } = results[machine][0];
    const peer = { peer: 'JSON.parse of the same topology' };
    const what = `planMachine, ${ranges} ranges with ${segments} segments`;
    return [
      record({
        suite: 'plan',
        name: `${name}: first plan of a process`,
        unit: 'ms',
        ours: of('firstMs'),
        ...peer,
        peerValues: of('parseFirstMs'),
        what,
      }),
      record({
        suite: 'plan',
        name: `${name}: later ones`,
        unit: 'ms',
        ours: of('laterMs'),
        ...peer,
        peerValues: of('parseLaterMs'),
        what: `${what}, median of 9`,
      }),
    ];
  });
}
