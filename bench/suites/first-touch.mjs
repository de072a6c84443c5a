/** First touch: from the call of open until every descriptor is initialized, on memory that nobody has touched. */
import { hugePagesFor, releaseHugePages } from '../support/memory.mjs';
import { gbPerSecond, record } from '../support/record.mjs';
import { interleave, rooflineTrial, trial } from '../support/trial.mjs';

export const title = 'First touch';

/**
 * A process that opens its first memmap also starts its threads, each some 40 ms of a processor for Node itself; one that has
 * had a memmap before has them. Both are told.
 * @param {{ tiny: boolean, trials: number, threads: number }} settings
 */
export function run({ tiny, trials, threads }) {
  releaseHugePages();
  const beside = tiny ? [['1 GiB', 2 ** 18]] : [['256 GiB', 2 ** 26]];
  const [largeSize, largePages] = tiny ? ['1 GiB', 2 ** 18] : ['1 TiB', 2 ** 28];
  return [
    ...beside.flatMap(([size, pages]) => besideNode(size, pages, threads, trials)),
    ...besideRoofline(largeSize, largePages, threads, trials),
  ];
}

/** Ordinary memory, which the peers in JavaScript have. */
function besideNode(size, pages, threads, trials) {
  const bytes = pages * 64;
  const options = { topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: threads };
  const results = interleave(trials, {
    ours: () => trial('support/open-trial.mjs', { options, warmBytes: bytes }),
    threadsUp: () => trial('support/open-trial.mjs', { options, warmBytes: bytes, threadsUp: true }),
    roofline: () => rooflineTrial({ bytes, threads, stores: 'plain', again: 0, warm: 1 }),
    small: () => trial('support/open-trial.mjs', { options: { ...options, backing: 'shared' }, warmBytes: bytes }),
    rooflineSmall: () => rooflineTrial({ bytes, threads, stores: 'plain', pages: 'small', again: 0, warm: 1 }),
    split: () => trial('peers/static-split.mjs', { pages, threads, warmBytes: bytes }),
    serial: () => trial('peers/serial.mjs', { pages, warmBytes: bytes }),
  });
  return [
    compare(results, bytes, size, threads, 'transparent huge pages, threads start', 'ours', 'roofline'),
    compare(results, bytes, size, threads, 'transparent huge pages, threads up', 'threadsUp', 'roofline'),
    compare(results, bytes, size, threads, 'small pages, threads start', 'small', 'rooflineSmall'),
    compare(results, bytes, size, threads, 'transparent huge pages, threads start', 'ours', 'split'),
    compare(results, bytes, size, threads, 'transparent huge pages, threads start', 'ours', 'serial'),
  ];
}

/** Reserved huge pages, which stay in place between two trials however many they are. */
function besideRoofline(size, pages, threads, trials) {
  const bytes = pages * 64;
  const memory = hugePagesFor(bytes);
  const options = { topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: threads, backing: memory.backing };
  const results = interleave(trials, {
    ours: () => trial('support/open-trial.mjs', { options, warmBytes: bytes }),
    threadsUp: () => trial('support/open-trial.mjs', { options, warmBytes: bytes, threadsUp: true }),
    roofline: () => rooflineTrial({ bytes, threads, stores: 'plain', pages: memory.pages, again: 0, warm: 1 }),
  });
  const kind = memory.backing === 'hugetlb' ? 'reserved huge pages' : 'transparent huge pages';
  return [
    compare(results, bytes, size, threads, `${kind}, threads start`, 'ours', 'roofline', memory.note),
    compare(results, bytes, size, threads, `${kind}, threads up`, 'threadsUp', 'roofline', memory.note),
  ];
}

const peers = {
  roofline: 'C++ roofline',
  rooflineSmall: 'C++ roofline, small pages',
  split: 'worker_threads, static split',
  serial: 'serial JS loop',
};

function compare(results, bytes, size, threads, name, subject, peer, note = '') {
  const speeds = (of, key) => results[of].map((result) => gbPerSecond(bytes, result[key]));
  const [{ pageSize, storePath }] = results[subject];
  return record({
    suite: 'first-touch',
    name: `${size}: ${name}`,
    unit: 'GB/s',
    ours: speeds(subject, 'readyMs'),
    peer: peers[peer],
    peerValues: speeds(peer, 'firstMs'),
    what: `${size} of pmem, ${threads} threads, ${pageSize} B pages, ${storePath}, open to ready${note}`,
    size,
    peerName: peer,
  });
}
