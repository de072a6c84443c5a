/** How responsive a service stays while its table is initialized: the same load on a table that is ready is the peer. */
import { releaseHugePages } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'Responsiveness of a service while its table is initialized';

/** @param {{ tiny: boolean, trials: number }} settings */
export function run({ tiny, trials }) {
  releaseHugePages();
  const slots = tiny ? 2 ** 18 : 2 ** 26;
  const serve = (isReady) => () => {
    return trial('support/responsiveness-trial.mjs', { slots, isReady, ms: tiny ? 20 : 1000 });
  };
  const { background, ready } = interleave(trials, { background: serve(false), ready: serve(true) });
  const [{ threads, pageSize, chunkPages }] = background;
  const what = `${slots} slots, a request each millisecond, chunks of ${chunkPages}, ${threads} threads, first touch, ${pageSize} B pages`;
  const figures = [
    ['event loop delay, median', 'ms', 'delayP50Ms'],
    ['event loop delay, 99 %', 'ms', 'delayP99Ms'],
    ['event loop delay, longest', 'ms', 'delayMaxMs'],
    ['faultAsync, median', 'µs', 'faultP50Us'],
    ['faultAsync, 99 %', 'µs', 'faultP99Us'],
  ];
  return figures.map(([name, unit, key]) =>
    record({
      suite: 'responsiveness',
      name,
      unit,
      ours: background.map((result) => result[key]),
      peer: 'the same load on a ready table',
      peerValues: ready.map((result) => result[key]),
      what,
    }),
  );
}
