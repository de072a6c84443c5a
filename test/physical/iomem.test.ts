/** Tests of the /proc/iomem reader: what memory real and made-up maps hold, and how a malformed one is refused. */
import { readFileSync } from 'node:fs';
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { parseIomem } from '../../dist/src/physical/iomem.js';
import { orRefused, refusalOf } from './errors.ts';

const capture = (name: string): string =>
  readFileSync(new URL(`../fixtures/iomem/${name}.txt`, import.meta.url), 'utf8');
const extentsOf = (...lines: string[]): unknown[] =>
  parseIomem(lines.join('\n')).memoryExtents.map(({ kind, startPfn, endPfn }) => [kind, startPfn, endPfn]);

describe('a real map', () => {
  it('with persistent memory that the kernel image splits has RAM between two devices', () => {
    const map = parseIomem(capture('x86-pmem-legacy-kaslr'));
    expect(map.addressesHidden).toBe(false);
    expect(map.memoryExtents).toEqual([
      { kind: 'ram', startPfn: 0x1, endPfn: 0x94 },
      { kind: 'ram', startPfn: 0x100, endPfn: 0x5a7a1 },
      { kind: 'ram', startPfn: 0x5b5e1, endPfn: 0x790ff },
      { kind: 'ram', startPfn: 0x7b7ff, endPfn: 0x7b800 },
      { kind: 'device', mode: 'fsdax', startPfn: 0x100000, endPfn: 0x155e00 },
      { kind: 'ram', startPfn: 0x155e00, endPfn: 0x15982c },
      { kind: 'device', startPfn: 0x15982c, endPfn: 0x200000 },
      { kind: 'ram', startPfn: 0x200000, endPfn: 0x880000 },
    ]);
  });

  it('keeps its tree, with the children of children', () => {
    const map = parseIomem(capture('x86-pmem-legacy-kaslr'));
    const bus = map.resources.find(({ firstByte }) => firstByte === 0x90000000n);
    expect(bus?.children).toHaveLength(6);
    expect(bus?.children[1]?.children[0]).toEqual({
      firstByte: 0x92b00000n,
      lastByte: 0x92bfffffn,
      name: '0000:02:00.1',
      line: 33,
      column: 4,
      children: [{ firstByte: 0x92b00000n, lastByte: 0x92bfffffn, name: 'igb', line: 34, column: 6, children: [] }],
    });
    expect(map.resources.at(-1)?.lastByte).toBe(0x3bfffffffffn);
  });

  it('with two CXL windows has the namespaces inside them and not what is free, though all of it is indented', () => {
    const map = parseIomem(capture('x86-cxl-pmem'));
    const fsdax = (startPfn: number, endPfn: number): object => ({ kind: 'device', mode: 'fsdax', startPfn, endPfn });
    expect(map.memoryExtents).toEqual([
      { kind: 'ram', startPfn: 0x100000, endPfn: 0x280000 },
      fsdax(0xa90000, 0xa98000),
      fsdax(0xa98000, 0xaa8000),
      fsdax(0xc90000, 0xca0000),
      fsdax(0xca0000, 0xca8000),
    ]);
    expect(map.resources.map(({ name }) => name)).toEqual([
      'Reserved',
      'Reserved',
      'Reserved',
      'System RAM',
      'CXL Window 0',
      'CXL Window 1',
      'PCI Bus 0000:0a',
    ]);
  });

  it('keeps two devices that touch apart', () => {
    expect(parseIomem(capture('x86-pmem-section-collision')).memoryExtents).toEqual([
      { kind: 'ram', startPfn: 0x100000, endPfn: 0x200000 },
      { kind: 'device', startPfn: 0x200000, endPfn: 0x304000 },
      { kind: 'ram', startPfn: 0x304000, endPfn: 0x440000 },
      { kind: 'device', startPfn: 0x440000, endPfn: 0x2400000 },
      { kind: 'device', mode: 'fsdax', startPfn: 0x2400000, endPfn: 0x43c0000 },
    ]);
  });
});

describe('memory', () => {
  it('is RAM under any name that begins with System RAM, at any depth', () => {
    expect(
      extentsOf(
        'c080000000-17dbfffffff : CXL Window 0',
        '   c080000000-c47fffffff : region2',
        '     c080000000-c47fffffff : dax0.0',
        '       c080000000-c47fffffff : System RAM (kmem)',
        '20000000000-203ffffffff : virtio0',
        '  20000000000-200ffffffff : System RAM (virtio_mem)',
      ),
    ).toEqual([
      ['ram', 0xc080000, 0xc480000],
      ['ram', 0x20000000, 0x20100000],
    ]);
  });

  it('is no reserved, soft reserved or similarly named resource', () => {
    expect(
      extentsOf(
        '100000000-1ffffffff : Soft Reserved',
        '200000000-2ffffffff : System RAMdisk',
        '300000000-3ffffffff : RAM buffer',
        '400000000-4ffffffff : Persistent Memory Controller',
        '500000000-5ffffffff : Crash kernel',
      ),
    ).toEqual([]);
  });

  it('that is persistent ends where RAM inside it begins', () => {
    expect(
      extentsOf(
        '100000000-1ffffffff : Persistent Memory',
        '  140000000-17fffffff : region0',
        '    140000000-17fffffff : System RAM (kmem)',
        '  1c0000000-1ffffffff : System RAM (kmem)',
        '200000000-2ffffffff : Persistent Memory',
        '  200000000-2ffffffff : System RAM (kmem)',
      ),
    ).toEqual([
      ['device', 0x100000, 0x140000],
      ['ram', 0x140000, 0x180000],
      ['device', 0x180000, 0x1c0000],
      ['ram', 0x1c0000, 0x300000],
    ]);
  });

  it('that is persistent loses each page of which a single byte is RAM', () => {
    expect(extentsOf('1000-5fff : Persistent Memory', '  3000-3000 : System RAM', '  5fff-5fff : System RAM')).toEqual([
      ['device', 1, 3],
      ['device', 4, 5],
    ]);
  });

  it('inside memory of its own kind adds nothing', () => {
    expect(
      extentsOf(
        '100000000-1ffffffff : System RAM',
        '  140000000-17fffffff : System RAM (kmem)',
        '200000000-2ffffffff : Persistent Memory',
        '  200000000-2ffffffff : Persistent Memory (legacy)',
        '    200000000-20fffffff : System RAM (kmem)',
      ),
    ).toEqual([
      // the RAM of the first line and the RAM inside the device touch, but that of kmem is a kind of its own
      ['ram', 0x100000, 0x200000],
      ['ram', 0x200000, 0x210000],
      ['device', 0x210000, 0x300000],
    ]);
  });

  it('is whole pages: the start rounds up and the end down', () => {
    expect(extentsOf('00001001-00003ffe : System RAM')).toEqual([['ram', 2, 3]]);
    expect(extentsOf('00001000-00003fff : System RAM')).toEqual([['ram', 1, 4]]);
    expect(extentsOf('00001001-00002ffe : System RAM')).toEqual([]);
  });

  it('never includes page 0 as RAM', () => {
    expect(extentsOf('00000000-0009fbff : System RAM')).toEqual([['ram', 1, 0x9f]]);
    expect(extentsOf('00000000-00000fff : System RAM')).toEqual([]);
    expect(extentsOf('00000000-00001fff : System RAM')).toEqual([['ram', 1, 2]]);
  });

  it('that touches is merged, also in the middle of a page; memory a byte apart is not', () => {
    expect(extentsOf('00001000-000027ff : System RAM', '00002800-00004fff : System RAM')).toEqual([['ram', 1, 5]]);
    expect(extentsOf('00001000-000027ff : System RAM', '00002801-00004fff : System RAM')).toEqual([
      ['ram', 1, 2],
      ['ram', 3, 5],
    ]);
  });

  it('is sorted whatever the order of the lines', () => {
    expect(extentsOf('200000000-2ffffffff : System RAM', '100000000-10fffffff : Persistent Memory')).toEqual([
      ['device', 0x100000, 0x110000],
      ['ram', 0x200000, 0x300000],
    ]);
  });

  it.each([
    ['2^32', '100001000-100001fff', 2 ** 20 + 1, 2 ** 20 + 2],
    ['2^44', '100000001000-100000001fff', 2 ** 32 + 1, 2 ** 32 + 2],
    ['2^46', '3fffffffe000-400000000fff', 2 ** 34 - 2, 2 ** 34 + 1],
    ['2^52', 'fffffffffe000-fffffffffffff', 2 ** 40 - 2, 2 ** 40],
  ])('is exact around %s', (_, addresses, startPfn, endPfn) => {
    expect(extentsOf(`${addresses} : System RAM`)).toEqual([['ram', startPfn, endPfn]]);
  });
});

describe('a map', () => {
  it('keeps resources up to 2^64 exact', () => {
    const { resources } = parseIomem('fffffffffffff001-ffffffffffffffff : far away');
    expect(resources).toEqual([
      {
        firstByte: 0xfffffffffffff001n,
        lastByte: 0xffffffffffffffffn,
        name: 'far away',
        line: 1,
        column: 0,
        children: [],
      },
    ]);
  });

  it('may be indented by tabs, end its lines with CR LF, and have comments, blank lines and nameless resources', () => {
    const map = parseIomem(
      [
        '# cat /proc/iomem',
        '',
        '\t100000000-1ffffffff : CXL Window 0',
        '\t  100000000-1ffffffff : ',
        '\t\t100000000-1ffffffff : Persistent Memory',
        ' \t ',
        '',
      ].join('\r\n'),
    );
    expect(map.resources).toHaveLength(1);
    expect(map.resources[0]?.children[0]?.name).toBe('');
    expect(map.resources[0]?.children[0]?.children[0]?.line).toBe(5);
    expect(map.memoryExtents).toEqual([{ kind: 'device', startPfn: 0x100000, endPfn: 0x200000 }]);
  });

  it('that a reader without root sees is told apart', () => {
    const names = ['Reserved', 'System RAM', 'System RAM'];
    const map = parseIomem(names.map((name) => `00000000-00000000 : ${name}\n  00000000-00000000 : inside\n`).join(''));
    expect(map.addressesHidden).toBe(true);
    expect(map.memoryExtents).toEqual([]);
    expect(map.resources).toHaveLength(3);
  });

  it('with one address that is not zero is not hidden, nor is an empty one', () => {
    expect(parseIomem('00000000-00000000 : Reserved\n00000000-00000001 : x').addressesHidden).toBe(false);
    expect(parseIomem('').addressesHidden).toBe(false);
    expect(parseIomem('# nothing').resources).toEqual([]);
  });

  it('may be nested a hundred thousand deep', () => {
    const lines = Array.from(
      { length: 100_000 },
      (_, depth) => `${' '.repeat(Math.min(depth, 50))}1000-1fff : x${depth}`,
    );
    expect(parseIomem(lines.join('\n')).resources).toHaveLength(1);
    const tabs = Array.from({ length: 3000 }, (_, depth) => `${'\t'.repeat(depth)}1000-1fff : System RAM`);
    expect(extentsOf(...tabs)).toEqual([['ram', 1, 2]]);
  });
});

it('a map of more lines than any machine has is refused', () => {
  const lines = (count: number): string => Array.from({ length: count }, () => '1000-1fff : x').join('\n');
  expect(parseIomem(lines(131_072)).resources).toHaveLength(131_072);
  expect(refusalOf(() => parseIomem(lines(131_073))).message).toContain(
    'line 131073, column 1: expected at most 131072',
  );
});

describe('a malformed map', () => {
  it('is refused with file, line, column, the line, a caret and what was expected', () => {
    const text = '100000000-1ffffffff : System RAM\n  200000000-2fffffgff : System RAM\n';
    const error = refusalOf(() => parseIomem(text, 'server.txt'));
    expect(error.code).toBe('IOMEM_SYNTAX');
    expect(error.message).toBe(
      [
        'server.txt, line 2, column 19: expected " : " and a name behind the addresses',
        '    200000000-2fffffgff : System RAM',
        '                    ^',
        'Example: 100000000-87fffffff : System RAM',
      ].join('\n'),
    );
  });

  it.each([
    ['...', 1, 1, 'the first address in hexadecimal digits'],
    ['$ sudo cat /proc/iomem', 1, 1, 'the first address'],
    ['  root@host:~# cat', 1, 3, 'the first address'],
    ['1000', 1, 5, '"-" between'],
    ['0x1000-0x1fff : System RAM', 1, 2, '"-" between'],
    ['1000-', 1, 6, 'the last address'],
    ['1000-1fff', 1, 10, '" : " and a name'],
    ['1000-1fff System RAM', 1, 10, '" : " and a name'],
    ['1001-1000 : Reserved', 1, 6, 'a last address that is not below the first'],
    ['10000000000000000-10000000000000001 : x', 1, 1, 'an address below 2^64'],
    ['0-10000000000000000 : x', 1, 3, 'an address below 2^64'],
    ['0-10000000000000 : System RAM', 1, 1, 'memory below 2^52'],
    ['# ok\n\n  0-ffffffffffffffff : Persistent Memory', 3, 3, 'memory below 2^52'],
    ['1000-1fff : System RAM\n1fff-2fff : System RAM', 2, 1, 'memory that does not overlap that of line 1'],
    ['1000-1fff : System RAM\n1000-1fff : System RAM', 2, 1, 'memory that does not overlap that of line 1'],
    ['1000-1fff : System RAM\n0-8fff : Persistent Memory', 2, 1, 'memory that does not overlap that of line 1'],
    [
      '0-ffff : Persistent Memory\n  0-1fff : System RAM\n  1000-2fff : System RAM',
      3,
      3,
      'memory that does not overlap that of line 2',
    ],
    ['1000-1fff : System RAM\n  1000-2fff : System RAM (kmem)', 2, 3, 'memory that lies inside that of line 1'],
    ['1000-1fff : Persistent Memory\n  0-1fff : System RAM', 2, 3, 'memory that lies inside that of line 1'],
    ['1000-1fff : System RAM\n  1000-1fff : Persistent Memory', 2, 3, 'no persistent memory inside the RAM of line 1'],
  ])('%j is refused at line %i, column %i: expected %s', (text, line, column, expected) => {
    const { code, message } = refusalOf(() => parseIomem(text));
    expect(code).toBe('IOMEM_SYNTAX');
    expect(message).toContain(`/proc/iomem, line ${line}, column ${column}: expected ${expected}`);
  });

  it('shows only the part of a long line around the place, and nothing that a terminal obeys', () => {
    const { message } = refusalOf(() => parseIomem(`${'1'.repeat(16)}-${'1'.repeat(16)}${' '.repeat(300)}\u001b[2J`));
    const [, shown = '', caret = ''] = message.split('\n');
    expect(shown.trimEnd()).toBe(`  ${'1'.repeat(16)}-${'1'.repeat(16)}`);
    expect(caret).toBe(`${' '.repeat(2 + 33)}^`);
    const far = refusalOf(() => parseIomem(`${'\t'.repeat(500)}zebra\u001b[2J`)).message.split('\n');
    expect(far[1]).toBe(`  ...${' '.repeat(60)}zebra?[2J`);
    expect(far[2]).toBe(`${' '.repeat(2 + 3 + 60)}^`);
  });
});

const line = fc.oneof(
  { weight: 1, arbitrary: fc.string() },
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom('', '  ', '    ', '\t'),
        fc.bigInt({ min: 0n, max: 2n ** 65n }),
        fc.bigInt({ min: 0n, max: 2n ** 45n }),
        fc.constantFrom(
          'System RAM',
          'Persistent Memory',
          'Persistent Memory (legacy)',
          'System RAM (kmem)',
          'namespace0.0',
          'dax0.0',
          'Device Backed Vmemmap',
          'Kernel code',
          'reserved',
          'PCI',
          '',
        ),
      )
      .map(
        ([indent, first, length, name]) => `${indent}${first.toString(16)}-${(first + length).toString(16)} : ${name}`,
      ),
  },
);

prop.prop([
  fc.oneof(
    fc.string(),
    fc.array(line).map((lines) => lines.join('\n')),
  ),
])('any text gives sorted extents without overlaps or IOMEM_SYNTAX, never another error', (text) => {
  const map = orRefused(() => parseIomem(text), 'IOMEM_SYNTAX');
  for (const extents of [map?.memoryExtents ?? [], map?.reserved ?? []]) {
    let behind = 0;
    for (const { startPfn, endPfn } of extents) {
      expect(startPfn).toBeGreaterThanOrEqual(behind);
      expect(endPfn).toBeGreaterThan(startPfn);
      behind = endPfn;
    }
    expect(behind).toBeLessThanOrEqual(2 ** 40);
  }
  for (const { startPfn, endPfn, altmap } of map?.memoryExtents ?? []) {
    expect((altmap?.reservePages ?? 0) + (altmap?.memmapPages ?? 0)).toBeLessThanOrEqual(endPfn - startPfn);
  }
});

/** Memory of whole pages, by gaps and lengths; a gap of at least one page keeps neighbours from merging. */
const runs = fc.array(
  fc.record({
    gap: fc.integer({ min: 1, max: 2 ** 31 }),
    pages: fc.integer({ min: 1, max: 2 ** 31 }),
    kind: fc.constantFrom('ram' as const, 'device' as const),
  }),
  { maxLength: 50 },
);

const indents = fc.constantFrom('', '  ', '\t');
prop.prop([runs, indents])('what is printed as the kernel prints it is read back exactly', (list, indent) => {
  let at = 0;
  const extents = list.map(({ gap, pages, kind }) => {
    const startPfn = at + gap;
    at = startPfn + pages;
    return { kind, startPfn, endPfn: at };
  });
  const hex = (byte: number): string => byte.toString(16).padStart(8, '0');
  const text = extents
    .map(({ kind, startPfn, endPfn }) => {
      const name = kind === 'ram' ? 'System RAM' : 'Persistent Memory';
      return `${indent}${hex(startPfn * 4096)}-${hex(endPfn * 4096 - 1)} : ${name}\n`;
    })
    .join('');
  expect(parseIomem(text).memoryExtents).toEqual(extents);
});
