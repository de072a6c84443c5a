/**
 * Memory for trials of first touch. Below a hypervisor free memory is a poor subject: the host takes it away within moments
 * and brings it back at a tenth of the speed, whoever touches it. Reserved huge pages stay where they are between two trials,
 * and the kernel still clears each when it is first touched, so suites reserve them where they may (root, enough memory).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { warmUp } from './trial.mjs';

const hugePageBytes = 2 ** 21;
const folder = '/sys/kernel/mm/hugepages/hugepages-2048kB';

const read = (name) => Number(readFileSync(`${folder}/${name}`, 'utf8'));

/** Pages that this process has added to the pool. */
let added = 0;

function giveBack() {
  if (added === 0) return;
  writeFileSync(`${folder}/nr_hugepages`, String(read('nr_hugepages') - added));
  added = 0;
}
process.on('exit', giveBack);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/**
 * Reserves huge pages until so many bytes of them are free, and touches them once, so that the host has them in place.
 * @param {number} bytes
 * @returns {string | undefined} why they cannot be had
 */
function reserve(bytes) {
  try {
    const lacking = Math.ceil(bytes / hugePageBytes) - read('free_hugepages') + read('resv_hugepages');
    if (lacking <= 0) return undefined;
    const before = read('nr_hugepages');
    writeFileSync(`${folder}/nr_hugepages`, String(before + lacking));
    added += read('nr_hugepages') - before;
    if (read('free_hugepages') * hugePageBytes < bytes) {
      giveBack();
      return `the kernel has too little memory for ${bytes / 2 ** 30} GiB of reserved huge pages`;
    }
  } catch (error) {
    return `huge pages cannot be reserved (${error.code ?? error.message})`;
  }
  warmUp(bytes, 'hugetlb');
  return undefined;
}

/**
 * @typedef {object} TrialMemory
 * @property {'hugetlb' | 'huge'} backing of our trials
 * @property {'hugetlb' | 'huge'} pages of the roofline's
 * @property {string} note why it is not what it should be, for the conditions; empty where it is
 */

/**
 * Huge pages for trials that need so many bytes: reserved ones, or transparent ones with the reason.
 * @param {number} bytes
 * @returns {TrialMemory}
 */
export function hugePagesFor(bytes) {
  const obstacle = reserve(bytes);
  if (obstacle === undefined) return { backing: 'hugetlb', pages: 'hugetlb', note: '' };
  return { backing: 'huge', pages: 'huge', note: `, transparent huge pages, for ${obstacle}` };
}

/** Gives reserved pages back, for suites that need the memory as ordinary one. */
export function releaseHugePages() {
  giveBack();
}
