/** First touch: from the call of open until every descriptor is initialized, on memory that nobody has touched. */
import { gbPerSecond, record } from '../support/record.mjs';
import { interleave, rooflineTrial, trial } from '../support/trial.mjs';

export const title = 'First touch';

/** @param {{ tiny: boolean, trials: number, threads: number }} settings */
export function run({ tiny, trials, threads }) {
  const sizes = tiny
    ? [['1 GiB', 2 ** 18]]
    : [
        ['64 GiB', 2 ** 24],
        ['1 TiB', 2 ** 28],
      ];
  return sizes.flatMap(([size, pages]) => {
    const bytes = pages * 64;
    const options = { topology: `1x${size.replace(' ', '')}:pmem`, threadsPerNode: threads };
    const results = interleave(trials, {
      ours: () => trial('support/open-trial.mjs', { options, warmBytes: bytes }),
      roofline: () => rooflineTrial({ bytes, threads, stores: 'plain', again: 0, warm: 1 }),
      small: () => trial('support/open-trial.mjs', { options: { ...options, backing: 'shared' }, warmBytes: bytes }),
      rooflineSmall: () => rooflineTrial({ bytes, threads, stores: 'plain', pages: 'small', again: 0, warm: 1 }),
      split: () => trial('peers/static-split.mjs', { pages, threads, warmBytes: bytes }),
      // one loop takes ten seconds for a tebibyte, and says nothing more there
      ...(pages <= 2 ** 24 && { serial: () => trial('peers/serial.mjs', { pages, warmBytes: bytes }) }),
    });
    const [ours] = results.ours;
    const [small] = results.small;
    const speeds = (name, key) => results[name].map((result) => gbPerSecond(bytes, result[key]));
    const huge = `${size} of pmem, ${threads} threads, ${ours.pageSize} B pages, ${ours.storePath}, open to ready`;
    const little = `${size} of pmem, ${threads} threads, ${small.pageSize} B pages, ${small.storePath}, open to ready`;
    const compare = (name, mine, peer, peerName, what) =>
      record({
        suite: 'first-touch',
        name: `${size}: ${name}`,
        unit: 'GB/s',
        ours: mine,
        peer,
        peerValues: speeds(peerName, 'firstMs'),
        what,
        size,
        peerName,
      });
    return [
      compare('huge pages', speeds('ours', 'readyMs'), 'C++ roofline', 'roofline', huge),
      compare('small pages', speeds('small', 'readyMs'), 'C++ roofline, small pages', 'rooflineSmall', little),
      compare('huge pages', speeds('ours', 'readyMs'), 'worker_threads, static split', 'split', huge),
      ...(results.serial ? [compare('huge pages', speeds('ours', 'readyMs'), 'serial JS loop', 'serial', huge)] : []),
    ];
  });
}
