/** Re-initialization: over memory whose pages are there, with threads that are up, until every descriptor is initialized. */
import { releaseHugePages } from '../support/memory.mjs';
import { gbPerSecond, record } from '../support/record.mjs';
import { interleave, median, rooflineTrial, trial } from '../support/trial.mjs';

export const title = 'Re-initialization';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  releaseHugePages();
  const [size, pages] = tiny ? ['1 GiB', 2 ** 18] : ['256 GiB', 2 ** 26];
  const bytes = pages * 64;
  // long enough that a host which gave two processors one core lets go of it: it takes seconds of load
  const again = tiny ? 2 : 41;
  const ours = (kind, env) => () => {
    const options = { topology: `1x${size.replace(' ', '')}:${kind}`, threadsPerNode: threads };
    return trial('support/open-trial.mjs', { options, warmBytes: bytes, again }, env);
  };
  const peer = (pattern) => () => rooflineTrial({ bytes, threads, pattern, again, warm: 1 });
  const results = interleave(trials, {
    device: ours('pmem', {}),
    rooflineDevice: peer('device'),
    js: ours('pmem', { VMEMMAP_ADDON: 'off' }),
    ram: ours('ram', {}),
    rooflineRam: peer('ram'),
    jsRam: ours('ram', { VMEMMAP_ADDON: 'off' }),
    split: () => trial('peers/static-split.mjs', { pages, threads, warmBytes: bytes }),
  });
  const speeds = (name) =>
    results[name].map(({ againMs }) => gbPerSecond(bytes, Array.isArray(againMs) ? median(againMs) : againMs));
  const compare = (name, subject, peerText, peerName) => {
    const [{ pageSize, againStorePath }] = results[subject];
    const what = `${size}, ${threads} threads, ${pageSize} B pages, ${againStorePath}, median of ${again} rounds per process`;
    return record({
      suite: 'reinit',
      name,
      unit: 'GB/s',
      ours: speeds(subject),
      peer: peerText,
      peerValues: speeds(peerName),
      what,
    });
  };
  return [
    compare('device memory', 'device', 'C++ roofline', 'rooflineDevice'),
    compare('RAM (self-pointers)', 'ram', 'C++ roofline', 'rooflineRam'),
    compare('device memory, JS kernel', 'js', 'C++ roofline', 'rooflineDevice'),
    compare('RAM, JS kernel', 'jsRam', 'C++ roofline', 'rooflineRam'),
    compare('device memory', 'device', 'worker_threads, static split', 'split'),
  ];
}
