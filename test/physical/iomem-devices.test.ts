/** Tests of what a /proc/iomem tells beside memory: devices, what is reserved, and maps of other platforms. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromIomemFile } from '../../dist/src/physical/detect.js';
import { parseIomem } from '../../dist/src/physical/iomem.js';
import { platforms } from '../../dist/src/physical/platforms.js';
import { refusalOf } from './errors.ts';
import { captureOf, machine, noCaptures } from './machines.ts';
import { makeTree } from './made-tree.ts';

const capture = (name: string): string =>
  readFileSync(new URL(`../fixtures/iomem/${name}.txt`, import.meta.url), 'utf8');

describe('the devices of a map', () => {
  const devices = (...lines: string[]): unknown[] =>
    parseIomem(lines.join('\n')).memoryExtents.map(({ kind, startPfn, endPfn, ...rest }) => [
      kind,
      startPfn,
      endPfn,
      rest,
    ]);
  const pmem = '100000000-17fffffff : Persistent Memory';

  it('are namespaces, with the memmap that lies in them', () => {
    expect(
      devices(
        pmem,
        '  100000000-10fffffff : namespace0.0',
        '    100000000-1005fffff : Device Backed Vmemmap',
        '  110000000-11fffffff : namespace0.1',
      ),
    ).toEqual([
      ['device', 0x100000, 0x110000, { mode: 'fsdax', altmap: { reservePages: 2, memmapPages: 1534 } }],
      ['device', 0x110000, 0x120000, { mode: 'fsdax' }],
    ]);
  });

  it('are device-dax from the info block on, behind which their data is, or inside of which', () => {
    const devdax = { mode: 'devdax', compoundPages: 512 };
    expect(devices(pmem, '  100000000-1001fffff : namespace0.0', '  100200000-17fffffff : dax0.0')).toEqual([
      ['device', 0x100000, 0x180000, devdax],
    ]);
    expect(devices(pmem, '  100000000-17fffffff : namespace0.0', '    100200000-17fffffff : dax0.0')).toEqual([
      ['device', 0x100000, 0x180000, devdax],
    ]);
    expect(
      devices(
        pmem,
        '  100000000-1011fffff : namespace0.0',
        '    100000000-1011fffff : Device Backed Vmemmap',
        '  101200000-13fffffff : dax0.0',
      ),
    ).toEqual([['device', 0x100000, 0x140000, { ...devdax, altmap: { reservePages: 2, memmapPages: 4606 } }]]);
  });

  it('that kmem has made RAM of are RAM, and nothing is left of them', () => {
    expect(
      devices(
        pmem,
        '  100000000-1001fffff : namespace0.0',
        '  108000000-17fffffff : dax0.0',
        '    108000000-17fffffff : System RAM (kmem)',
      ),
    ).toEqual([['ram', 0x108000, 0x180000, { isKmem: true }]]);
  });

  it('may be device-dax that is none of persistent memory, in a window of CXL or soft reserved', () => {
    const lines = ['100000000-1ffffffff : CXL Window 0', '  100000000-17fffffff : region0'];
    const dax = '    100000000-17fffffff : dax0.0';
    expect(devices(...lines, dax)).toEqual([['device', 0x100000, 0x180000, { mode: 'devdax', compoundPages: 512 }]]);
    expect(devices(...lines, dax, '      100000000-17fffffff : System RAM (kmem)')).toEqual([
      ['ram', 0x100000, 0x180000, { isKmem: true }],
    ]);
  });

  it('that stick out of their memory are none of it; a memmap that fills one, or sticks out, is none', () => {
    expect(devices(pmem, '  0ff000000-10fffffff : namespace0.0')).toEqual([]);
    expect(devices(pmem, '  170000000-180000000 : namespace0.0')).toEqual([]);
    for (const end of ['10fffffff', '110000000']) {
      const memmap = `    100000000-${end} : Device Backed Vmemmap`;
      expect(devices(pmem, '  100000000-10fffffff : namespace0.0', memmap)).toEqual([
        ['device', 0x100000, 0x110000, { mode: 'fsdax' }],
      ]);
    }
  });

  it('that overlap are refused at the later line', () => {
    const lines = [pmem, '  100000000-10fffffff : namespace0.0', '  10ffff000-11fffffff : namespace0.1'];
    expect(refusalOf(() => parseIomem(lines.join('\n'))).message).toContain(
      'line 3, column 3: expected memory that does',
    );
  });

  it('lose their memmap with the part that RAM cuts off', () => {
    expect(
      devices(
        pmem,
        '  100000000-17fffffff : namespace0.0',
        '    100000000-1021fffff : Device Backed Vmemmap',
        '    140000000-14fffffff : System RAM',
      ),
    ).toEqual([
      ['device', 0x100000, 0x140000, { mode: 'fsdax', altmap: { reservePages: 2, memmapPages: 8702 } }],
      ['ram', 0x140000, 0x150000, {}],
      ['device', 0x150000, 0x180000, { mode: 'fsdax' }],
    ]);
  });
});

describe('what is reserved in RAM', () => {
  it('is told with its name, in whole pages', () => {
    expect(parseIomem(capture('x86-pmem-legacy-kaslr')).reserved).toEqual([
      { startPfn: 0x69000, endPfn: 0x79000, what: 'Crash kernel' },
      { startPfn: 0x155e00, endPfn: 0x156a01, what: 'Kernel code' },
      { startPfn: 0x156a01, endPfn: 0x15765e, what: 'Kernel data' },
      { startPfn: 0x157837, endPfn: 0x159800, what: 'Kernel bss' },
      { startPfn: 0x858000, endPfn: 0x878000, what: 'Crash kernel' },
    ]);
  });

  it('is cut to the RAM that it lies in, and what lies deeper has its bytes', () => {
    const { reserved } = parseIomem(
      [
        '40000000-4fffffff : System RAM',
        '  3f000000-42ffffff : reserved',
        '    40800000-41ffffff : Kernel code',
        '  48000000-48ffffff : PCI ECAM',
        '50000000-5fffffff : Reserved',
      ].join('\n'),
    );
    expect(reserved).toEqual([
      { startPfn: 0x40000, endPfn: 0x40800, what: 'reserved' },
      { startPfn: 0x40800, endPfn: 0x42000, what: 'Kernel code' },
      { startPfn: 0x42000, endPfn: 0x43000, what: 'reserved' },
    ]);
  });
});

describe('a map of another platform', () => {
  const text = '00000000-0001ffff : System RAM\n  00000000-00000fff : reserved';

  it('has page 0 where it is none of x86', () => {
    expect(parseIomem(text, 'x', platforms['arm64-4k']).memoryExtents).toEqual([
      { kind: 'ram', startPfn: 0, endPfn: 32 },
    ]);
    expect(parseIomem(text).memoryExtents).toEqual([{ kind: 'ram', startPfn: 1, endPfn: 32 }]);
  });

  it('is counted in its own pages', () => {
    const map = parseIomem(text, 'x', platforms['power-64k']);
    expect(map.memoryExtents).toEqual([{ kind: 'ram', startPfn: 0, endPfn: 2 }]);
    expect(map.reserved).toEqual([{ startPfn: 0, endPfn: 1, what: 'reserved' }]);
  });
});

describe.skipIf(noCaptures !== '')(`a real map ${noCaptures}`, () => {
  it.each([
    'x86-pmem-altmap-iomem',
    'x86-pmem-legacy-kaslr-iomem',
    'x86-pmem-section-collision-iomem',
    'x86-cxl-intel-softreserved-iomem',
  ])('of %s gives the machine', (name) => {
    const { capture: file, topology } = machine(name);
    // what its poster typed around it is no part of the map
    const lines = captureOf(file)
      .split('\n')
      .filter((line) => /^\s*[0-9a-f]+-[0-9a-f]+ : /.test(line));
    const path = join(makeTree({ map: lines.join('\n') }), 'map');
    const { source, notes: _, ...found } = fromIomemFile(path, [], { platform: 'x86-64' });
    expect(source).toBe('iomem-file');
    expect(found).toEqual(topology);
  });
});

it('a map with memory of kmem, and one with device-dax, tell what was assumed', () => {
  const notesOf = (...lines: string[]): readonly string[] =>
    fromIomemFile(join(makeTree({ map: lines.join('\n') }), 'map'), [0]).notes.slice(1);
  expect(notesOf('100000000-17fffffff : dax0.0', '  100000000-17fffffff : System RAM (kmem)')).toEqual([
    'A memory map does not tell zones; RAM of kmem is taken as movable, as daxctl makes it.',
  ]);
  expect(notesOf('100000000-17fffffff : dax0.0')).toEqual([
    'A memory map does not tell alignments; device-dax is taken as aligned to 2 MiB, as ndctl makes it.',
  ]);
});
