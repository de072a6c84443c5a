/** What the right to write a chunk costs: claim and publish alone, and with other threads at the same words. */
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'Claims';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  const counts = [...new Set([1, 2, threads, 2 * threads])];
  const results = interleave(
    trials,
    Object.fromEntries(
      counts.map((count) => [count, () => trial('support/claim-trial.mjs', { threads: count, tiny })]),
    ),
  );
  return counts.flatMap((count) => {
    const what = `${count === 1 ? 'one thread' : `${count} threads at the same chunks in the same order`}, chunk words alone, nothing written`;
    const of = (key) => results[count].map((result) => result[key]);
    return [
      record({
        suite: 'claim',
        name: `claim and publish, ${count} ${count === 1 ? 'thread' : 'threads'}`,
        unit: 'ns',
        ours: of('wonNs'),
        peer: 'an exchange by Atomics.compareExchange, alone',
        peerValues: of('exchangeNs'),
        what,
      }),
      ...(count === 1
        ? []
        : [
            record({
              suite: 'claim',
              name: `share of chunks claimed twice, ${count} threads`,
              unit: '%',
              ours: of('twicePercent'),
              peer: '',
              what,
            }),
          ]),
    ];
  });
}
