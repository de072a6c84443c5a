/**
 * Descriptors that a memmap of this machine has of chosen page frames, for the host to compare with the kernel's own: of RAM, and
 * of the NVDIMM in every mode. Prints a JSON object in a line for each step, and goes on when the host says a line.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { Memmap } from '../../../dist/src/index.js';
import { detect } from '../../../dist/src/physical/detect.js';
import { planMachine } from '../../../dist/src/physical/machine-plan.js';
import { nextLine } from './host.mjs';
import { makeNamespace } from './media.mjs';

const descriptorWords = 16;
const entryBytes = 8;
/** Flags of include/uapi/linux/kernel-page-flags.h, alone: what has others the kernel has used. */
const free = 1n << 10n;
const reserved = 1n << 32n;
/** Pages in the largest block of the page allocator, MAX_ORDER 10. */
const blockPages = 1024;
/** Enough of a kind, in one range. */
const picksMax = 6;

const modes = [
  ['fsdax', 'mem', '2M'],
  ['fsdax', 'dev', '2M'],
  ['devdax', 'mem', '4K'],
  ['devdax', 'mem', '2M'],
  ['devdax', 'dev', '2M'],
  ['devdax', 'mem', '1G'],
  ['devdax', 'dev', '1G'],
];

/** Says a line whole: its end must not wait in a buffer while this process waits for the host. */
function tell(object) {
  const bytes = Buffer.from(`${JSON.stringify(object)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
  nextLine();
}

/** Flags of page frames, as the kernel shows them. */
function flagsOf(startPfn, endPfn) {
  const fd = openSync('/proc/kpageflags', 'r');
  const flags = new BigUint64Array(endPfn - startPfn);
  const bytes = new Uint8Array(flags.buffer);
  for (let at = 0, count = 1; at < bytes.length && count > 0; at += count) {
    count = readSync(fd, bytes, at, bytes.length - at, startPfn * entryBytes + at);
  }
  closeSync(fd);
  return flags;
}

/** Of a segment that is RAM: what the kernel has left as it was when it was initialized, or all but. */
function picksOfRam({ startPfn, endPfn, use }) {
  const flags = flagsOf(startPfn, endPfn);
  const picks = [];
  const pick = (kind, pfn) => {
    if (picks.filter((one) => one.kind === kind).length < picksMax) picks.push({ kind, pfn });
  };
  for (const [index, flag] of flags.entries()) {
    const isBorder = flags[index - 1] !== flag || flags[index + 1] !== flag;
    if (flag === reserved && isBorder) pick(use === 'present' ? 'kept' : use, startPfn + index);
  }
  // the allocator writes into the first page of a free block only; those in the middle of memory are handed out last
  const firstBlock = Math.ceil(startPfn / blockPages) * blockPages - startPfn;
  const blocks = Math.floor((flags.length - firstBlock) / blockPages);
  for (let block = Math.floor(blocks / 2); block < blocks; block++) {
    const index = firstBlock + block * blockPages;
    const isFree = flags.subarray(index, index + blockPages).every((flag) => flag === free);
    if (isFree) pick('free', startPfn + index + blockPages / 2 + 1);
  }
  return picks;
}

/** Of a segment of device memory: both ends, and of compound pages all kinds of descriptors. */
function picksOfDevice({ startPfn, endPfn, use }, compoundPages) {
  if (use === 'altmap' || compoundPages === 1) {
    return [startPfn, startPfn + 1, endPfn - 1].map((pfn) => ({ kind: use === 'altmap' ? use : 'device', pfn }));
  }
  const heads = [startPfn, startPfn + compoundPages, endPfn - compoundPages];
  return heads.flatMap((head) => [
    { kind: 'head', pfn: head },
    { kind: 'first tail', pfn: head + 1 },
    // page frames 64 and on have their descriptors in a page of their own
    ...[2, 3, 63, 64, compoundPages - 1].map((tail) => ({ kind: 'tail', pfn: head + tail })),
  ]);
}

/** Our descriptors of what `wants` is true of. */
async function descriptors(wants) {
  const topology = detect();
  const memmap = await Memmap.open({ topology, threadsPerNode: 0, chunkPages: 512 });
  const picks = planMachine(topology)
    .ranges.filter(wants)
    .flatMap(({ kind, segments, compoundPages = 1 }) =>
      segments.flatMap((one) => (kind === 'ram' ? picksOfRam(one) : picksOfDevice(one, compoundPages))),
    );
  const told = picks.map(({ kind, pfn }) => {
    memmap.fault(pfn);
    const range = memmap.ranges.find(({ startPfn, endPfn }) => startPfn <= pfn && pfn < endPfn);
    const at = range.offsetOf(pfn) / Uint32Array.BYTES_PER_ELEMENT;
    const words = new BigUint64Array(range.words.slice(at, at + descriptorWords).buffer);
    return { kind, pfn, rangeStartPfn: range.startPfn, words: Array.from(words, (word) => word.toString(16)) };
  });
  await memmap.close();
  return told;
}

tell({ step: 'RAM', descriptors: await descriptors(({ kind }) => kind === 'ram') });
for (const [mode, map, align] of modes) {
  makeNamespace(mode, map, align);
  const told = await descriptors(({ kind }) => kind === 'device');
  // what the altmap reserves, which has no descriptors here
  const [{ startPfn, altmap }] = detect().memory.filter(({ kind }) => kind === 'device');
  tell({ step: `${mode} ${map} ${align}`, descriptors: told, altmap, startPfn });
}
