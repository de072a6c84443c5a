/** The fast path: a fault on a ready pfn, beside offsetOf alone, in a loop that does nothing else. */
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'Fast path';

/** @param {{ tiny: boolean, trials: number }} settings */
export function run({ tiny, trials }) {
  const results = interleave(trials, { all: () => trial('support/fast-path-trial.mjs', { tiny }) }).all;
  const of = (name) => results.map((result) => result[name]);
  const what = '16 GiB of pmem, all ready, one thread, per call, the empty loop taken off, tinybench';
  const beside = (name, key, peer, peerKey) =>
    record({ suite: 'fast-path', name, unit: 'ns', ours: of(key), peer, peerValues: of(peerKey), what });
  return [
    beside('fault and offsetOf, random pfns', 'randomFault', 'offsetOf alone', 'randomOffset'),
    beside('fault and offsetOf, ascending pfns', 'ascendingFault', 'offsetOf alone', 'ascendingOffset'),
    record({
      suite: 'fast-path',
      name: 'fault over offsetOf, random pfns',
      unit: 'ns',
      ours: results.map((result) => result.randomFault - result.randomOffset),
      peer: '',
      what,
    }),
    record({
      suite: 'fast-path',
      name: 'fault over offsetOf, before ready resolved',
      unit: 'ns',
      ours: results.map((result) => result.seenFault - result.randomOffset),
      peer: '',
      what,
    }),
  ];
}
