/** Every store path that this processor has, on fresh and on touched memory, beside the one that is chosen for it. */
import { releaseHugePages } from '../support/memory.mjs';
import { record } from '../support/record.mjs';
import { interleave, trial } from '../support/trial.mjs';

export const title = 'Store paths, one thread';

/** @param {{ tiny: boolean, trials: number }} settings */
export function run({ tiny, trials }) {
  releaseHugePages();
  const descriptors = tiny ? 2 ** 18 : 2 ** 23;
  const [first] = interleave(trials, {
    all: () => {
      return trial('support/store-paths-trial.mjs', { descriptors });
    },
  }).all.map((result, _, all) => ({ result, all }));
  if (first.result.skipped) return { skipped: first.result.skipped };
  const all = first.all;
  const { chosen } = all[0];
  return Object.keys(all[0].speeds).flatMap((condition) =>
    Object.keys(all[0].speeds[condition]).map((path) =>
      record({
        suite: 'store-paths',
        name: `${condition}: ${path}`,
        unit: 'GB/s',
        ours: all.map(({ speeds }) => speeds[condition][path]),
        peer: `${chosen[condition]} (chosen)`,
        peerValues: all.map(({ speeds }) => speeds[condition][chosen[condition]]),
        what: `${descriptors} descriptors in pieces of 2 MiB (cached: one piece of 512 KiB again and again)`,
      }),
    ),
  );
}
