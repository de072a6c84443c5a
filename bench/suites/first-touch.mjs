/** First touch: from the call of open until every descriptor is initialized, on memory that nobody has touched. */
import { hugePagesFor, releaseHugePages } from '../support/memory.mjs';
import { gbPerSecond, record } from '../support/record.mjs';
import { alternate, interleave, rooflineFirstMs, Subject, trial } from '../support/trial.mjs';

export const title = 'First touch';

/**
 * A process that opens its first memmap also starts its threads, each some 40 ms of a processor for Node itself; one that has
 * had a memmap before has them. Both are told.
 * @param {{ tiny: boolean, trials: number, threads: number }} settings
 */
export async function run({ tiny, trials, threads }) {
  const [size, pages] = tiny ? ['1 GiB', 2 ** 18] : ['256 GiB', 2 ** 26];
  const [largeSize, largePages] = tiny ? ['1 GiB', 2 ** 18] : ['1 TiB', 2 ** 28];
  releaseHugePages();
  const ordinary = besideNode(subjectOf(size, pages, threads), trials);
  const up = await withThreadsUp(subjectOf(size, pages, threads), trials, tiny ? 2 : 10);
  const large = withThreadsStarting(subjectOf(largeSize, largePages, threads), trials);
  return [...up, ...large, ...ordinary];
}

function subjectOf(size, pages, threads) {
  return { size, pages, threads, bytes: pages * 64, topology: `1x${size.replace(' ', '')}:pmem` };
}

/** Ordinary memory, which the peers in JavaScript have. */
function besideNode(subject, trials) {
  const { bytes, pages, threads, topology } = subject;
  const options = { topology, threadsPerNode: threads };
  const results = interleave(trials, {
    ours: () => trial('support/open-trial.mjs', { options, warmBytes: bytes }),
    roofline: () => rooflineFirstMs({ bytes, threads }),
    small: () => trial('support/open-trial.mjs', { options: { ...options, backing: 'shared' }, warmBytes: bytes }),
    rooflineSmall: () => rooflineFirstMs({ bytes, threads, pages: 'small' }),
    split: () => trial('peers/static-split.mjs', { pages, threads, warmBytes: bytes }),
    serial: () => trial('peers/serial.mjs', { pages, warmBytes: bytes }),
  });
  const inMs = {
    ...Object.fromEntries(['ours', 'small'].map((name) => [name, results[name].map(asRound)])),
    ...Object.fromEntries(['roofline', 'rooflineSmall'].map((name) => [name, results[name].map((ms) => ({ ms }))])),
    ...Object.fromEntries(
      ['split', 'serial'].map((name) => [name, results[name].map(({ firstMs }) => ({ ms: firstMs }))]),
    ),
  };
  const huge = 'transparent huge pages, threads start';
  return [
    compare(subject, huge, inMs, 'ours', 'C++ roofline', 'roofline'),
    compare(subject, huge, inMs, 'ours', 'worker_threads, static split', 'split'),
    compare(subject, huge, inMs, 'ours', 'serial JS loop', 'serial'),
    compare(subject, 'small pages, threads start', inMs, 'small', 'C++ roofline', 'rooflineSmall'),
  ];
}

/** Reserved huge pages, which stay in place between two rounds, and threads from the round before. */
async function withThreadsUp(subject, trials, rounds) {
  const { bytes, threads, topology } = subject;
  const memory = hugePagesFor(2 * bytes);
  const results = await alternate(trials, rounds, () => ({
    ours: Subject.script('support/rounds-trial.mjs', {
      options: { topology, threadsPerNode: threads, backing: memory.backing },
      touch: 'first',
    }),
    roofline: Subject.roofline({ bytes, threads, pages: memory.pages, 'on-demand': 'first' }),
  }));
  const note = `${memory.note}, ${trials} processes of ${rounds} rounds each`;
  return [compare(subject, `${kindOf(memory)}, threads up`, results, 'ours', 'C++ roofline', 'roofline', note)];
}

/** As large as it gets, each time in a process that has no threads yet. */
function withThreadsStarting(subject, trials) {
  const { bytes, threads, topology } = subject;
  const memory = hugePagesFor(bytes);
  const options = { topology, threadsPerNode: threads, backing: memory.backing };
  const results = interleave(trials, {
    ours: () => asRound(trial('support/open-trial.mjs', { options, warmBytes: bytes })),
    roofline: () => ({ ms: rooflineFirstMs({ bytes, threads, pages: memory.pages }) }),
  });
  const name = `${kindOf(memory)}, threads start`;
  return [compare(subject, name, results, 'ours', 'C++ roofline', 'roofline', memory.note)];
}

const asRound = ({ readyMs, storePath, pageSize }) => ({ ms: readyMs, storePath, pageSize });

const kindOf = ({ backing }) => (backing === 'hugetlb' ? 'reserved huge pages' : 'transparent huge pages');

function compare({ size, threads, bytes }, name, results, ours, peerText, peer, note = '') {
  const speeds = (of) => results[of].map(({ ms }) => gbPerSecond(bytes, ms));
  const [{ pageSize, storePath }] = results[ours];
  return record({
    suite: 'first-touch',
    name: `${size}: ${name}`,
    unit: 'GB/s',
    ours: speeds(ours),
    peer: peerText,
    peerValues: speeds(peer),
    what: `${size} of pmem, ${threads} threads, ${pageSize} B pages, ${storePath}, open to ready${note}`,
  });
}
