/** Memory beyond the descriptors: the control buffer, and what the process and its threads take. */
import { releaseHugePages } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'Memory beyond the descriptors';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  releaseHugePages();
  const sizes = tiny ? ['1GiB'] : ['1GiB', '64GiB', '256GiB'];
  const results = interleave(
    Math.min(trials, 3),
    Object.fromEntries(sizes.map((size) => [size, () => trial('support/overhead-trial.mjs', { size, threads })])),
  );
  return sizes.flatMap((size) => {
    const of = (key) => results[size].map((result) => result[key] / 2 ** 20);
    const what = `${size} of pmem, ${threads} threads asked for, ${results[size][0].started} started`;
    const descriptors = of('descriptors');
    return [
      record({
        suite: 'overhead',
        name: `${size}: control buffer (superblock, owners, chunk words)`,
        unit: 'MiB',
        ours: of('control'),
        peer: 'descriptors',
        peerValues: descriptors,
        what,
      }),
      record({
        suite: 'overhead',
        name: `${size}: resident beyond the descriptors, over a bare Node`,
        unit: 'MiB',
        ours: of('beyond'),
        peer: 'descriptors',
        peerValues: descriptors,
        what,
      }),
    ];
  });
}
