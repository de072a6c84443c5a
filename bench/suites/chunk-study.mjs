/** The study behind the default chunk: what a fault costs under load, and what everything costs, by the size of a chunk. */
import { hugePagesFor } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';
import { latencies, percentiles } from './fault-latency.mjs';

export const title = 'Chunk size';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  const [size, bytes] = tiny ? ['1 GiB', 2 ** 24] : ['1 TiB', 2 ** 34];
  const [smallSize, smallBytes] = tiny ? ['1 GiB', 2 ** 24] : ['256 GiB', 2 ** 32];
  const chunks = tiny ? [512, 32_768] : [512, 2048, 4096, 8192, 32_768, 131_072, '1/1024'];
  const memory = hugePagesFor(bytes);
  const subjects = [memory.backing, 'shared'].flatMap((backing) =>
    chunks.map((chunkPages) => {
      const [topology, warm] = backing === 'shared' ? [smallSize, smallBytes] : [size, bytes];
      const options = { topology: `1x${topology.replace(' ', '')}:pmem`, threadsPerNode: threads, chunkPages, backing };
      const run = () => {
        return trial('support/open-trial.mjs', {
          warmBytes: warm,
          options,
          faultEveryMs: 1,
          seed: 1 + Math.floor(Math.random() * 2 ** 31),
        });
      };
      return [`${backing} ${chunkPages}`, { run, backing, size: topology }];
    }),
  );
  const results = interleave(trials, Object.fromEntries(subjects.map(([name, { run }]) => [name, run])));
  return subjects.flatMap(([name, { backing, size: of }]) => {
    const [{ chunkPages, pageSize, storePath }] = results[name];
    const missed = results[name].map((result) => latencies(result).missed);
    const what = `${of} of pmem, a fault a millisecond at random pfns, first touch, ${threads} threads, ${pageSize} B pages, ${storePath}, ${missed.flat().length} faults that found nothing ready, medians of ${missed.length} processes${backing === 'shared' ? '' : memory.note}`;
    const point = { chunkPages, backing: backing === 'shared' ? 'shared' : 'huge', isRange: name.endsWith('1/1024') };
    const label = `${point.backing === 'shared' ? 'small' : 'huge'} pages, chunks of ${chunkPages}${point.isRange ? ' (1/1024)' : ''}`;
    return [
      ...[
        ['p50', 0.5],
        ['p99', 0.99],
      ].map(([share, value]) =>
        record({
          suite: 'chunk-study',
          name: `${label}: fault ${share}`,
          unit: 'µs',
          ours: percentiles(missed, value),
          peer: '',
          what,
          ...point,
          figure: share,
        }),
      ),
      record({
        suite: 'chunk-study',
        name: `${label}: everything`,
        unit: 'ms',
        ours: results[name].map(({ readyMs }) => readyMs),
        peer: '',
        what,
        ...point,
        figure: 'ready',
      }),
    ];
  });
}
