/** Tests of simulated machines: what a SPEC means, and how a wrong one is refused. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { simulate } from '../../dist/src/physical/simulate.js';
import { orRefused, refusalOf } from './errors.ts';

const GiB = 2 ** 30 / 4096;
const cpus8 = [0, 1, 2, 3, 4, 5, 6, 7];

describe('a SPEC', () => {
  it('of :devdax and :devdax1g makes device memory in compound pages of 2 MiB and of 1 GiB', () => {
    const GiB = 262_144;
    expect(simulate('1x1GiB:devdax,1x2GiB:DEVDAX1G', []).memory).toEqual([
      { nid: 0, kind: 'device', mode: 'devdax', compoundPages: 512, pgmap: 1, startPfn: 0, endPfn: GiB },
      { nid: 1, kind: 'device', mode: 'devdax', compoundPages: GiB, pgmap: 2, startPfn: GiB, endPfn: 3 * GiB },
    ]);
  });

  it('of 8x3TiB:pmem makes eight nodes of device memory, one pgmap each, from address 0', () => {
    const machine = simulate('8x3TiB:pmem', []);
    expect(machine.memory).toEqual(
      cpus8.map((nid) => ({
        nid,
        kind: 'device',
        pgmap: nid + 1,
        startPfn: nid * 805_306_368,
        endPfn: (nid + 1) * 805_306_368,
      })),
    );
    expect(machine.source).toBe('simulated');
    expect(machine.zoned).toBe(true);
    expect(machine.notes).toEqual([]);
  });

  it('of several items puts their nodes one behind the other and counts pgmaps over all of them', () => {
    expect(simulate('1x1GiB:pmem,2x16GiB,2x64GiB:pmem', []).memory).toEqual([
      { nid: 0, kind: 'device', pgmap: 1, startPfn: 0, endPfn: GiB },
      { nid: 1, kind: 'ram', startPfn: GiB, endPfn: 17 * GiB },
      { nid: 2, kind: 'ram', startPfn: 17 * GiB, endPfn: 33 * GiB },
      { nid: 3, kind: 'device', pgmap: 2, startPfn: 33 * GiB, endPfn: 97 * GiB },
      { nid: 4, kind: 'device', pgmap: 3, startPfn: 97 * GiB, endPfn: 161 * GiB },
    ]);
  });

  it.each([
    ['1x4KiB', 1],
    ['1x8k', 2],
    ['1x1M', 256],
    ['1x1mib', 256],
    ['1X1GIB', GiB],
    ['1x1g:ram', GiB],
    ['1x1T', 2 ** 28],
    ['1x1PiB', 2 ** 38],
    ['1x1P', 2 ** 38],
    ['1x1.5GiB', 1.5 * GiB],
    ['1x0.00390625MiB', 1],
    ['1x1.50000GiB', 1.5 * GiB],
    ['01x001GiB', GiB],
    ['1x4PiB', 2 ** 40],
    ['1x4398046511100KiB', 2 ** 40 - 1],
  ])('of %s is %i pages', (spec, pages) => {
    expect(simulate(spec, []).memory.map(({ startPfn, endPfn }) => endPfn - startPfn)).toEqual([pages]);
  });

  it('is exact beyond 2^46 bytes', () => {
    // 64 TiB and one page: the second node begins at a pfn that 32 bits cannot hold, and at an odd one
    const [, second] = simulate('1x68719476740KiB,1x4KiB', []).memory;
    expect(second).toEqual({ nid: 1, kind: 'ram', startPfn: 2 ** 34 + 1, endPfn: 2 ** 34 + 2 });
  });

  it.each([
    ['1024x4KiB', 1024],
    ['1000x4KiB,24x4KiB', 1024],
  ])('of %s is the most nodes there can be', (spec, nodes) => {
    expect(simulate(spec, []).nodes).toHaveLength(nodes);
  });
});

describe('a wrong SPEC', () => {
  it('is refused with the place, what was expected and an example', () => {
    const error = refusalOf(() => simulate('2x16GiB,2x64GiX:pmem', []));
    expect(error.code).toBe('SPEC_SYNTAX');
    expect(error.received).toBe('2x16GiB,2x64GiX:pmem');
    expect(error.message).toBe(
      [
        'the machine to simulate, column 13: expected a unit: KiB, MiB, GiB, TiB or PiB (or K, M, G, T, P)',
        '  2x16GiB,2x64GiX:pmem',
        '              ^',
        'Example: 8x3TiB:pmem or 2x16GiB,2x64GiB:pmem (COUNTxSIZE[:ram|:pmem|:devdax|:devdax1g], one node each)',
      ].join('\n'),
    );
  });

  it.each([
    ['', 1, 'a number of nodes'],
    [' 1x1GiB', 1, 'a number of nodes'],
    ['1x1GiB,', 8, 'a number of nodes'],
    ['1x1GiB,,1x1GiB', 8, 'a number of nodes'],
    ['-1x1GiB', 1, 'a number of nodes'],
    ['1', 2, '"x" between'],
    ['1*1GiB', 2, '"x" between'],
    ['1xGiB', 3, 'a size in decimal digits'],
    ['1x.5GiB', 3, 'a size in decimal digits'],
    ['1x5', 4, 'a unit'],
    ['1x5.GiB', 4, 'a unit'],
    ['1x1e3GiB', 4, 'a unit'],
    ['1x5toString', 4, 'a unit'],
    ['1x5GB', 4, 'a unit'],
    ['1x1GiB:', 8, '"ram", "pmem", "devdax" or "devdax1g"'],
    ['1x1GiB:disk', 8, '"ram", "pmem", "devdax" or "devdax1g"'],
    ['1x1GiB:constructor', 8, '"ram", "pmem", "devdax" or "devdax1g"'],
    ['1x1GiB pmem', 7, '":ram", ":pmem", ":devdax", ":devdax1g", a comma and the next nodes, or the end'],
    ['1x1GiB:devdax2m', 8, '"ram", "pmem", "devdax" or "devdax1g"'],
    ['1x1GiB,1x3MiB:devdax', 8, 'nodes that begin and end at a multiple of 2 MiB'],
    ['1x1GiB,1x3GiB:devdax,1x1025MiB:devdax1g', 22, 'nodes that begin and end at a multiple of 1024 MiB'],
    ['1x2MiB,1x1GiB:devdax1g', 8, 'nodes that begin and end at a multiple of 1024 MiB'],
    ['1x1GiB:pmem;1x1GiB', 12, 'a comma and the next nodes, or the end'],
    ['0x1GiB', 1, '1 to 1024 nodes'],
    ['1025x4KiB', 1, '1 to 1024 nodes'],
    [`${'9'.repeat(400)}x4KiB`, 1, '1 to 1024 nodes'],
    ['1000x4KiB,25x4KiB', 11, 'at most 1024 nodes in all'],
    ['1x0GiB', 3, 'at least one page'],
    ['1x0.0GiB', 3, 'at least one page'],
    ['1x1KiB', 3, 'a multiple of 4 KiB'],
    ['1x6KiB', 3, 'a multiple of 4 KiB'],
    ['1x1.1GiB', 3, 'a multiple of 4 KiB'],
    ['1x4398046511108KiB', 3, 'at most 4 PiB'],
    ['1x1PiB,3x1PiB,1x4KiB', 15, 'at most 4 PiB in all'],
    ['2x3PiB', 1, 'at most 4 PiB in all'],
    [`1x${'1'.repeat(65)}KiB`, 3, 'at most 64 digits'],
  ])('%j is refused at column %i: expected %s', (spec, column, expected) => {
    const { message } = refusalOf(() => simulate(spec, []));
    expect(message).toContain(`column ${column}: expected ${expected}`);
  });

  it('cannot send escape sequences to a terminal', () => {
    const { message } = refusalOf(() => simulate('1x1GiB\u001b[31m\n', []));
    expect(message.split('\n').slice(1, 3)).toEqual(['  1x1GiB?[31m?', '        ^']);
  });

  prop.prop([fc.oneof(fc.string(), fc.stringMatching(/^[0-9xkKmMgGtTpPiIbB:.,ramp]{0,30}$/))])(
    'or any other text gives a machine or SPEC_SYNTAX, never another error',
    (spec) => {
      const machine = orRefused(() => simulate(spec, [0]), 'SPEC_SYNTAX');
      if (machine) expect(machine.memory.length).toBeGreaterThan(0);
    },
  );
});

describe('the CPUs of this machine', () => {
  const sharesOf = (nodes: number, cpus: readonly number[]): (readonly number[])[] =>
    simulate(`${nodes}x1GiB`, cpus).nodes.map((node) => node.cpus);

  it('are shared out in contiguous equal parts', () => {
    expect(sharesOf(2, cpus8)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]);
    expect(sharesOf(1, [4, 9])).toEqual([[4, 9]]);
  });

  it('are shared out in parts that differ by one when the nodes do not divide them', () => {
    expect(sharesOf(3, cpus8)).toEqual([
      [0, 1],
      [2, 3, 4],
      [5, 6, 7],
    ]);
  });

  it('as many as nodes are one each, fewer go round', () => {
    expect(sharesOf(2, [3, 5])).toEqual([[3], [5]]);
    expect(sharesOf(5, [3, 5])).toEqual([[3], [5], [3], [5], [3]]);
  });

  it('that are fewer than the nodes are told in a note', () => {
    expect(simulate('3x1GiB', [0, 1]).notes).toEqual(['3 simulated nodes share 2 CPUs of this machine.']);
    expect(simulate('2x1GiB', [0, 1]).notes).toEqual([]);
  });

  it('may be none', () => {
    expect(sharesOf(2, [])).toEqual([[], []]);
  });

  prop.prop([fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 200 })])(
    'all serve, and no node is without',
    (nodes, cpuCount) => {
      const cpus = Array.from({ length: cpuCount }, (_, cpu) => cpu);
      const shares = sharesOf(nodes, cpus);
      expect(shares.every((share) => share.length > 0)).toBe(true);
      expect([...new Set(shares.flat())]).toEqual(cpus);
      if (cpuCount >= nodes) expect(shares.flat()).toEqual(cpus);
    },
  );
});

const units = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
/** A number of pages and one of the ways to write it; exact, as a page in TiB has 28 decimals and toFixed prints them all. */
const size = fc
  .record({
    pages: fc.integer({ min: 1, max: 2 ** 20 }),
    unit: fc.constantFrom('KiB', 'MiB', 'GiB', 'TiB'),
    short: fc.boolean(),
    lower: fc.boolean(),
  })
  .map(({ pages, unit, short, lower }) => {
    const digits = ((pages * 4096) / units[unit]).toFixed(30).replace(/\.?0+$/, '');
    const name = short ? unit.slice(0, 1) : unit;
    return { pages, text: digits + (lower ? name.toLowerCase() : name) };
  });
const item = fc.record({ count: fc.integer({ min: 1, max: 40 }), size, kind: fc.constantFrom('', ':ram', ':pmem') });

prop.prop([fc.array(item, { minLength: 1, maxLength: 8 })])(
  'every SPEC gives exactly the nodes, pages and kinds that it names, without holes',
  (items) => {
    const spec = items.map(({ count, size: { text }, kind }) => `${count}x${text}${kind}`).join(',');
    const { memory } = simulate(spec, []);
    const wanted = items.flatMap(({ count, size: { pages }, kind }) =>
      Array.from({ length: count }, () => ({ pages, kind: kind === ':pmem' ? 'device' : 'ram' })),
    );
    expect(memory.map(({ kind, startPfn, endPfn }) => ({ pages: endPfn - startPfn, kind }))).toEqual(wanted);
    expect(memory.map(({ nid }) => nid)).toEqual(wanted.map((_, nid) => nid));
    expect(memory.map(({ startPfn }) => startPfn)).toEqual([0, ...memory.slice(0, -1).map(({ endPfn }) => endPfn)]);
    const pgmaps = memory.flatMap(({ pgmap }) => pgmap ?? []);
    expect(pgmaps).toEqual(pgmaps.map((_, index) => index + 1));
  },
);

describe('a simulated machine of another platform', () => {
  it('is counted in its pages, to the same end of all memory', () => {
    expect(simulate('1x1GiB,1x64KiB:pmem', [0], { platform: 'power-64k' })).toMatchObject({
      platform: 'power-64k',
      memory: [
        { nid: 0, startPfn: 0, endPfn: 2 ** 14 },
        { nid: 1, startPfn: 2 ** 14, endPfn: 2 ** 14 + 1 },
      ],
    });
    expect(simulate('1x4PiB', [0], { platform: 'arm64-64k' }).memory[0]?.endPfn).toBe(2 ** 36);
    expect(simulate('1x2PiB', [0], { platform: 'power-64k' }).memory[0]?.endPfn).toBe(2 ** 35);
    expect(refusalOf(() => simulate('2x1PiB,1x64KiB', [0], { platform: 'power-64k' })).message).toContain(
      'column 8: expected at most 2 PiB in all: addresses end at 2^51',
    );
  });

  it('has no smaller parts of memory than its pages', () => {
    const problem = (spec: string): string => refusalOf(() => simulate(spec, [0], { platform: 'arm64-16k' })).message;
    expect(problem('1x0KiB')).toContain('expected at least one page, 16 KiB');
    expect(problem('1x4KiB')).toContain('expected a multiple of 16 KiB');
    expect(problem('1x5PiB')).toContain('expected at most 4 PiB');
    expect(problem('2x3PiB')).toContain('expected at most 4 PiB in all');
  });
});
