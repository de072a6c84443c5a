/** First touch by size and by number of threads, beside the roofline. */
import { hugePagesFor } from '../support/memory.mjs';
import { gbPerSecond, record } from '../support/record.mjs';
import { interleave, rooflineFirstMs, trial } from '../support/trial.mjs';

export const title = 'Scaling';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  const sizes = tiny
    ? [['1 GiB', 2 ** 18]]
    : [
        ['1 GiB', 2 ** 18],
        ['4 GiB', 2 ** 20],
        ['16 GiB', 2 ** 22],
        ['64 GiB', 2 ** 24],
        ['256 GiB', 2 ** 26],
        ['1 TiB', 2 ** 28],
      ];
  const [threadSize, threadPages] = tiny ? ['1 GiB', 2 ** 18] : ['256 GiB', 2 ** 26];
  const counts = tiny ? [1, 2] : [...new Set([1, 2, threads, threads * 2])];
  const memory = hugePagesFor(sizes.at(-1)[1] * 64);
  const pair = (size, pages, count) => {
    const bytes = pages * 64;
    const options = { topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: count, backing: memory.backing };
    const results = interleave(trials, {
      ours: () => {
        return trial('support/open-trial.mjs', { options, warmBytes: bytes });
      },
      roofline: () => rooflineFirstMs({ bytes, threads: count, pages: memory.pages }),
    });
    const [{ pageSize, storePath }] = results.ours;
    return {
      unit: 'GB/s',
      ours: results.ours.map(({ readyMs }) => gbPerSecond(bytes, readyMs)),
      peer: 'C++ roofline',
      peerValues: results.roofline.map((ms) => gbPerSecond(bytes, ms)),
      what: `${size} of pmem, first touch, open to ready, ${count} threads, ${pageSize} B pages, ${storePath}${memory.note}`,
    };
  };
  return [
    ...sizes.map(([size, pages]) =>
      record({
        suite: 'scaling',
        name: `${size}, ${threads} threads`,
        ...pair(size, pages, threads),
        gib: pages / 2 ** 18,
      }),
    ),
    ...counts.map((count) =>
      record({
        suite: 'scaling',
        name: `${threadSize}, ${count} ${count === 1 ? 'thread' : 'threads'}`,
        ...pair(threadSize, threadPages, count),
        threads: count,
      }),
    ),
  ];
}
