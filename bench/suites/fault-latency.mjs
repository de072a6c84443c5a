/** Latency of faults at random pfns while the background works at full load, and what they cost the background. */
import { hugePagesFor } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { interleave, percentile, sorted, trial } from '../support/trial.mjs';

export const title = 'Fault latency under load';

/** Shares of faults whose latency is told. */
const shares = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['p99.9', 0.999],
  ['max', 1],
];
const peer = 'chunks of 1/1024 of the range';

/**
 * Latencies of all faults of some trials, and of those which had to initialize or wait, ascending, in microseconds.
 * @param {readonly { latenciesUs: number[], outcomes: string[] }[]} trials
 */
export function latencies(trials) {
  const all = trials.flatMap((result) => result.latenciesUs);
  const outcomes = trials.flatMap((result) => result.outcomes);
  return { all: sorted(all), missed: sorted(all.filter((_, index) => outcomes[index] !== 'ready')) };
}

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  const [size, bytes] = tiny ? ['1 GiB', 2 ** 24] : ['1 TiB', 2 ** 34];
  const { backing, note } = hugePagesFor(bytes);
  let seed = 1;
  const open = (faultEveryMs, chunkPages) => () => {
    const options = {
      topology: `1x${size.replace(' ', '')}:pmem`,
      threadsPerNode: threads,
      backing,
      ...(chunkPages && { chunkPages }),
    };
    return trial('support/open-trial.mjs', { options, warmBytes: bytes, faultEveryMs, seed: seed++ });
  };
  const results = interleave(trials, { faults: open(1), quiet: open(0), original: open(1, '1/1024') });
  const ours = latencies(results.faults);
  const theirs = latencies(results.original);
  const [{ pageSize, storePath, chunkPages }] = results.faults;
  const what = (count) =>
    `${size} of pmem, ${count} faults of order 0 at random pfns, one a millisecond, first touch, ${threads} threads, ${pageSize} B pages, chunks of ${chunkPages}, ${storePath}${note}`;
  const figures = (name, mine, peers) =>
    shares.map(([share, value]) =>
      record({
        suite: 'fault-latency',
        name: `${name}, ${share}`,
        unit: 'µs',
        ours: [percentile(mine, value) ?? 0],
        peer,
        peerValues: [percentile(peers, value) ?? 0],
        what: what(mine.length),
      }),
    );
  const rounds = tiny ? 4 : 20;
  const again = interleave(trials, {
    all: () => {
      const options = { topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: threads, backing };
      return trial('support/open-trial.mjs', {
        options,
        warmBytes: bytes,
        again: rounds,
        againFaultEveryMs: 1,
        seed: seed++,
      });
    },
  }).all;
  const duringAgain = latencies(again.map((result) => result.again));
  const whatAgain =
    `${size} of pmem, re-initialization, ${rounds} rounds a process, every second one with a fault a millisecond, ` +
    `${threads} threads, ${again[0].pageSize} B pages, chunks of ${chunkPages}, ${again[0].againStorePath}`;
  const faulted = again.flatMap((result) => result.againFaultedMs);
  const unfaulted = again.flatMap((result) => result.againMs);
  const ready = (name) => results[name].map(({ readyMs }) => readyMs);
  const lost = results.faults.map(({ readyMs }, index) => (readyMs / results.quiet[index].readyMs - 1) * 100);
  return [
    ...figures('all faults', ours.all, theirs.all),
    ...figures('faults that found nothing ready', ours.missed, theirs.missed),
    record({
      suite: 'fault-latency',
      name: 'everything ready, with a fault a millisecond',
      unit: 'ms',
      ours: ready('faults'),
      peer: 'without faults',
      peerValues: ready('quiet'),
      what: what(ours.all.length),
    }),
    record({
      suite: 'fault-latency',
      name: 'time lost to the faults',
      unit: '%',
      ours: lost,
      peer: 'median of pairs',
      what: what(ours.all.length),
    }),
    ...shares.map(([share, value]) =>
      record({
        suite: 'fault-latency',
        name: `during re-initialization, faults that found nothing ready, ${share}`,
        unit: 'µs',
        ours: [percentile(duringAgain.missed, value) ?? 0],
        peer: '',
        what: `${whatAgain}, ${duringAgain.missed.length} such faults`,
      }),
    ),
    record({
      suite: 'fault-latency',
      name: 're-initialization, with a fault a millisecond',
      unit: 'ms',
      ours: faulted,
      peer: 'without faults',
      peerValues: unfaulted,
      what: whatAgain,
    }),
    record({
      suite: 'fault-latency',
      name: 're-initialization: time lost to the faults',
      unit: '%',
      ours: faulted.map((ms, index) => (ms / unfaulted[index] - 1) * 100),
      peer: 'median of pairs',
      what: whatAgain,
    }),
  ];
}
