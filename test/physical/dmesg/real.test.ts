/** Tests of the boot-log reader with the logs of real machines. */
import { describe, expect, it } from 'vitest';
import { readDmesg } from '../../../dist/src/physical/dmesg/dmesg.js';
import { refusalOf } from '../errors.ts';
import { bootedMachines, captureOf, machine, noCaptures } from '../machines.ts';
import { deviceOf, hex } from './told.ts';

describe.skipIf(noCaptures !== '')(`a real boot log ${noCaptures}`, () => {
  it.each(bootedMachines)('of %s gives the machine', (_, { capture, topology }) => {
    const { source, notes: __, ...found } = readDmesg(captureOf(capture), [], { file: capture });
    expect(source).toBe('dmesg');
    expect(found).toEqual(topology);
  });

  const differs = 'in the log is not all that the kernel saw';
  it.each([
    ['x86-sun-x4600m2-8node-128g', false],
    ['x86-hp-dl585g7-8node-1t', false],
    ['x86-supermicro-epyc-8node-1t', false],
    ['x86-vm-2node-64g-zoneinfo', false],
    // cut by its poster: the maps begin in the middle
    ['x86-hpz8-memmap-reserve-kaslr', true],
  ])('of %s has an e820 that gives what the kernel printed, or else a note: %s', (name, isCut) => {
    const { notes } = readDmesg(captureOf(machine(name).capture), []);
    expect(notes.some((note) => note.includes(differs))).toBe(isCut);
  });

  it.each([
    'x86-sun-x4600m2-8node-128g',
    'x86-hp-dl585g7-8node-1t',
    'x86-supermicro-epyc-8node-1t',
    'x86-vm-2node-64g-zoneinfo',
  ])('of %s without what the kernel printed of its memory gives the same from the map of the firmware', (name) => {
    const { capture, topology } = machine(name);
    const log = captureOf(capture).replace(/^.*\bnode +\d+: \[mem.*\n/gm, '');
    const found = readDmesg(log, []);
    expect(found.memory).toEqual(topology.memory);
    expect(found.notes).toEqual([]);
  });

  it('of an arm64 machine tells what was garbled, and what was assumed', () => {
    const { notes } = readDmesg(captureOf(machine('arm64-hpe-apollo70-tx2-2node-6.17').capture), []);
    expect(notes).toEqual([
      'The log does not tell the size of pages; 4 KiB is assumed (--platform says otherwise).',
      'Line 35 is garbled: 0xfc840000-0xfedeffff is taken as memory of node 0.',
    ]);
  });

  it('of a server with memmap=4G!4G has device memory where the kernel was told', () => {
    const log = captureOf('x86-pmem-legacy-kaslr-iomem.txt');
    expect(deviceOf(readDmesg(log, []))).toEqual([[0, 0x100000, 0x200000]]);
  });

  it('that tells soft reserved memory and nothing else is of no use', () => {
    const error = refusalOf(() => readDmesg(captureOf('x86-cxl-intel-softreserved-iomem.txt'), []));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(
      /tells no memory: neither .* nor a map of e820 or EFI; give the beginning of a boot log/,
    );
  });
});

it.each(bootedMachines)('what the kernel of %s printed of its memory is read back', (_, { topology, answers }) => {
  const lines = answers.earlyRanges.map(({ nid, startPfn, endPfn }) => {
    const pageBytes = { '4k': 4096, '16k': 16_384, '64k': 65_536 }[topology.platform?.split('-')[1] ?? ''] ?? 4096;
    return `  node ${String(nid).padStart(3)}: [mem ${hex(startPfn * pageBytes)}-${hex(endPfn * pageBytes - 1)}]`;
  });
  const found = readDmesg(['Early memory node ranges', ...lines].join('\n'), [], { platform: topology.platform });
  const ram = topology.memory.filter(({ kind }) => kind === 'ram');
  expect(found.memory).toEqual(ram);
});
