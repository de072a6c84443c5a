/** Re-initialization: over memory whose pages are there, with threads that are up, until every descriptor is initialized. */
import { releaseHugePages } from '../support/memory.mjs';
import { gbPerSecond, record } from '../support/record.mjs';
import { alternate, Subject } from '../support/trial.mjs';

export const title = 'Re-initialization';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export async function run({ tiny, trials, threads }) {
  releaseHugePages();
  const [size, pages] = tiny ? ['1 GiB', 2 ** 18] : ['256 GiB', 2 ** 26];
  const bytes = pages * 64;
  const rounds = tiny ? 2 : 15;
  const ours = (kind, env = {}) => {
    const options = { topology: `1x${size.replace(' ', '')}:${kind}`, threadsPerNode: threads };
    return Subject.script('support/rounds-trial.mjs', { options, touch: 'again' }, env);
  };
  const roofline = (pattern) => Subject.roofline({ bytes, threads, pattern, 'on-demand': 'again' });
  const withoutAddon = { VMEMMAP_ADDON: 'off' };
  const device = await alternate(trials, rounds, () => ({
    ours: ours('pmem'),
    roofline: roofline('device'),
    js: ours('pmem', withoutAddon),
    split: Subject.script('peers/static-split.mjs', { pages, threads, onDemand: true }),
  }));
  const ram = await alternate(trials, rounds, () => ({
    ours: ours('ram'),
    roofline: roofline('ram'),
    js: ours('ram', withoutAddon),
  }));
  const compare = (name, results, subject, peerText, peer) => {
    const [{ pageSize, storePath }] = results[subject];
    const speeds = (of) => results[of].map(({ ms }) => gbPerSecond(bytes, ms));
    return record({
      suite: 'reinit',
      name,
      unit: 'GB/s',
      ours: speeds(subject),
      peer: peerText,
      peerValues: speeds(peer),
      what: `${size}, ${threads} threads, ${pageSize} B pages, ${storePath}, ${trials} processes of ${rounds} rounds each`,
    });
  };
  return [
    compare('device memory', device, 'ours', 'C++ roofline', 'roofline'),
    compare('RAM (self-pointers)', ram, 'ours', 'C++ roofline', 'roofline'),
    compare('device memory, JS kernel', device, 'js', 'C++ roofline', 'roofline'),
    compare('RAM, JS kernel', ram, 'js', 'C++ roofline', 'roofline'),
    compare('device memory', device, 'ours', 'worker_threads, static split', 'split'),
  ];
}
