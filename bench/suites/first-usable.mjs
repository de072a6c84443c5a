/** How long until one can work: open, and one fault at a random pfn, beside waiting for everything. */
import { hugePagesFor } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'Time to the first usable page';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  const sizes = tiny ? ['1 GiB'] : ['1 GiB', '16 GiB', '64 GiB', '256 GiB', '1 TiB'];
  const bytes = tiny ? 2 ** 24 : 2 ** 34;
  const { backing, note } = hugePagesFor(bytes);
  const open = (options) => () => {
    return trial('support/open-trial.mjs', {
      options,
      // reserved pages are in place, and what a warm-up leaves in the caches is not what a process finds that starts
      warmBytes: backing === 'hugetlb' ? 0 : bytes,
      seed: 1 + Math.floor(Math.random() * 2 ** 31),
    });
  };
  const results = interleave(
    trials,
    Object.fromEntries(
      sizes.map((size) => [
        size,
        open({ topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: threads, backing }),
      ]),
    ),
  );
  return sizes.flatMap((size) => {
    const [{ pageSize, storePath, chunkPages }] = results[size];
    const what = `${size} of pmem, fresh process, first touch, ${threads} threads, ${pageSize} B pages, chunks of ${chunkPages}, ${storePath}${note}`;
    const of = (key) => results[size].map((result) => result[key]);
    return [
      record({
        suite: 'first-usable',
        name: `${size}: open and the first fault`,
        unit: 'ms',
        ours: of('firstFaultMs'),
        peer: 'waiting for everything',
        peerValues: of('readyMs'),
        what,
        size,
      }),
      record({
        suite: 'first-usable',
        name: `${size}: open alone`,
        unit: 'ms',
        ours: of('openMs'),
        peer: 'waiting for everything',
        peerValues: of('readyMs'),
        what,
        size,
      }),
    ];
  });
}
