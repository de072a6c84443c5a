/** Latency of faults at random pfns while the background works at full load, and what they cost the background. */
import { hugePagesFor } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { alternate, interleave, percentile, Subject, sorted, trial } from '../support/trial.mjs';

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
 * Latencies of all faults of a trial, and of those which had to initialize or wait, ascending, in microseconds.
 * @param {{ latenciesUs: number[], outcomes: string[] }} trial
 */
export function latencies({ latenciesUs, outcomes }) {
  return { all: sorted(latenciesUs), missed: sorted(latenciesUs.filter((_, index) => outcomes[index] !== 'ready')) };
}

/**
 * What a share of the faults did not exceed, for each trial that had any.
 * @param {readonly (readonly number[])[]} trials latencies, ascending @param {number} share
 */
export function percentiles(trials, share) {
  const some = trials.filter((ascending) => ascending.length > 0);
  return some.length === 0 ? [0] : some.map((ascending) => percentile(ascending, share));
}

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export async function run(settings) {
  // losses first: their huge pages are a part of those that the latencies need
  const losses = [...(await lossOf('first', settings)), ...(await lossOf('again', settings))];
  return [...latencyOf(settings), ...losses];
}

function latencyOf({ tiny, trials, threads }) {
  const [size, bytes] = tiny ? ['1 GiB', 2 ** 24] : ['1 TiB', 2 ** 34];
  const { backing, note } = hugePagesFor(bytes);
  const options = { topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: threads, backing };
  const rounds = tiny ? 2 : 10;
  let seed = 1;
  const open = (particular) => () => {
    return trial('support/open-trial.mjs', {
      options: { ...options, ...particular },
      warmBytes: bytes,
      faultEveryMs: 1,
      again: rounds,
      seed: seed++,
    });
  };
  const results = interleave(trials, { ours: open({}), original: open({ chunkPages: '1/1024' }) });
  const [{ pageSize, storePath, againStorePath, chunkPages }] = results.ours;
  const figures = (name, mine, peers, touch) =>
    shares.map(([share, value]) =>
      record({
        suite: 'fault-latency',
        name: `${name}, ${share}`,
        unit: 'µs',
        ours: percentiles(mine, value),
        peer,
        peerValues: percentiles(peers, value),
        what: `${size} of pmem, ${mine.flat().length} faults of order 0 in ${mine.length} processes, medians of them, at random pfns, one a millisecond, ${touch}, ${threads} threads, ${pageSize} B pages, chunks of ${chunkPages}${note}`,
      }),
    );
  const of = (trials, which) => trials.map((trial) => latencies(trial)[which]);
  const during = (key, which) => of(results[key], which);
  const duringAgain = (key, which) =>
    of(
      results[key].map(({ again }) => again),
      which,
    );
  const first = `first touch, ${storePath}`;
  const again = `re-initialization, ${againStorePath}`;
  return [
    ...figures('first touch, all faults', during('ours', 'all'), during('original', 'all'), first),
    ...figures(
      'first touch, faults that found nothing ready',
      during('ours', 'missed'),
      during('original', 'missed'),
      first,
    ),
    ...figures('re-initialization, all faults', duringAgain('ours', 'all'), duringAgain('original', 'all'), again),
    ...figures(
      're-initialization, faults that found nothing ready',
      duringAgain('ours', 'missed'),
      duringAgain('original', 'missed'),
      again,
    ),
  ];
}

/**
 * What a thousand faults a second cost the background, in rounds that alternate with undisturbed ones, and with ones in which
 * the event loop wakes up as often for nothing.
 */
async function lossOf(touch, { tiny, trials, threads }) {
  const [size, bytes] = tiny ? ['1 GiB', 2 ** 24] : ['256 GiB', 2 ** 32];
  const { backing, note } = hugePagesFor(3 * bytes);
  const options = { topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: threads, backing };
  const rounds = tiny ? 2 : 15;
  let seed = 1;
  const subject = (particular) =>
    Subject.script('support/rounds-trial.mjs', { options, touch, seed: seed++, ...particular });
  const results = await alternate(trials, rounds, () => ({
    faults: subject({ wakeEveryMs: 1, faults: true }),
    wakes: subject({ wakeEveryMs: 1 }),
    quiet: subject({}),
  }));
  const [{ pageSize, storePath }] = results.faults;
  const beside = (peer, name) =>
    record({
      suite: 'fault-latency',
      name: `${touch === 'first' ? 'first touch' : 're-initialization'}, throughput lost to 1000 faults a second`,
      unit: '%',
      ours: results.faults.map(({ ms }, index) => (1 - results[peer][index].ms / ms) * 100),
      peer: `median of neighbouring rounds with them and ${name}`,
      what: `${size} of pmem, ${threads} threads that are up, ${pageSize} B pages, ${storePath}, ${trials} processes of ${rounds} rounds each${note}`,
    });
  return [beside('wakes', 'with as many timers that do nothing'), beside('quiet', 'with nothing')];
}
