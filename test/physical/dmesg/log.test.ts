/** Tests of boot logs as texts: prefixes of lines, several boots, what is too long, and anything at all. */
import { join } from 'node:path';
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { fromDmesgFile, readDmesg } from '../../../dist/src/physical/dmesg/dmesg.js';
import { planRanges } from '../../../dist/src/physical/zones.js';
import { orRefused, refusalOf } from '../errors.ts';
import { makeTree } from '../made-tree.ts';
import { early, hex, ramOf, told, usable } from './told.ts';

describe('a line', () => {
  it.each([
    ['', ''],
    ['[    0.000000] ', ''],
    ['[    0.000000][    T0] ', ''],
    ['[  +0.000003] ', ''],
    ['[Jun21 23:09] ', ''],
    ['[Tue Nov  4 21:29:37 2025] ', ''],
    ['[] ', ''],
    ['<6>[    0.000000] ', ''],
    ['kern  :info  : [    0.000000] ', ''],
    ['Sep 25 02:28:53 localhost kernel: ', ''],
    ['Sep 25 02:28:53 localhost kernel: [    0.000000] ', ''],
    ['2026-08-09T08:08:43.080727+00:00 host kernel: ', ''],
    ['2026-08-09T08:08:43,080727+00:00 ', ''],
    ['\t    ', '   \r'],
  ])('may begin with %j', (prefix, suffix) => {
    expect(ramOf(told(`${prefix}${usable}${suffix}`))).toEqual([[0, 0x100, 0x40000]]);
    expect(ramOf(told(`${prefix}  ${early}${suffix}`))).toEqual([[0, 0x100, 0x40000]]);
  });

  it('that only quotes another is none', () => {
    expect(refusalOf(() => told(`> ${usable}`)).code).toBe('DETECT_FAILED');
  });
});

describe('a log', () => {
  it('of several boots is read for the last one that tells memory', () => {
    const boot = (release: string, to: string): string[] => [
      `Linux version ${release} (root@host) (gcc) #1`,
      `node   0: [mem 0x0000000000100000-${to}]`,
    ];
    const found = told(
      ...boot('6.1.0', '0x000000003fffffff'),
      ...boot('6.2.0', '0x000000001fffffff'),
      'Linux version 6.3.0 (a) (gcc)',
    );
    expect(found.kernel).toBe('6.2.0');
    expect(ramOf(found)).toEqual([[0, 0x100, 0x20000]]);
    expect(found.notes[0]).toBe('The log holds 3 boots; the last one that tells memory is taken.');
  });

  it('may come from a file', () => {
    const path = join(makeTree({ log: `${early}\n` }), 'log');
    expect(ramOf(fromDmesgFile(path, [0]))).toEqual([[0, 0x100, 0x40000]]);
    expect(refusalOf(() => fromDmesgFile(`${path}.gone`, [0])).message).toMatch(
      /cannot be read: ENOENT.*--simulate SPEC/,
    );
  });

  it.each(['', '\n\n', 'zebra', 'BIOS-e820: [mem 0x0-0xfff] usable'])('%j that tells no memory is refused', (log) => {
    const error = refusalOf(() => told(log));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(/^boot\.log tells no memory: /);
  });

  it('with more lines of a kind than any machine has is refused, and not read for ever', () => {
    const entries = Array.from(
      { length: 9000 },
      (_, index) => `BIOS-e820: [mem ${hex(index * 8192)}-${hex(index * 8192 + 4095)}] usable`,
    );
    expect(refusalOf(() => told(...entries)).message).toContain(
      'line 8193, column 1: expected at most 8192 lines of e820',
    );
    const ranges = entries.map((_, index) => `node   0: [mem ${hex(index * 8192)}-${hex(index * 8192 + 4095)}]`);
    expect(refusalOf(() => told(...ranges)).message).toContain('expected at most 8192 ranges of memory');
    expect(ramOf(told(...ranges.slice(0, 8192)))).toHaveLength(8192);
  });

  it('longer than any of one machine is refused', () => {
    expect(ramOf(told(`${'\n'.repeat(499_999)}${early}`))).toHaveLength(1);
    expect(refusalOf(() => told(`${'\n'.repeat(500_000)}${early}`)).message).toContain(
      'line 500001, column 1: expected at most 500000 lines; give the beginning of a boot',
    );
  });

  it('with more reservations than any machine has is refused', () => {
    const lines = Array.from(
      { length: 65_537 },
      (_, index) => `memblock_reserve: [${hex(index * 8192)}-${hex(index * 8192)}] a`,
    );
    expect(refusalOf(() => told(early, ...lines)).message).toContain(
      'line 65538, column 1: expected at most 65536 reservations',
    );
    expect(told('psci: probing', early, ...lines.slice(1)).reserved).toHaveLength(65_536);
  });

  it('shows the place without what would reach a terminal', () => {
    const { message } = refusalOf(() => told(`${' '.repeat(300)}node   0: [mem 0x\u001b[2J${'x'.repeat(1e6)}`));
    expect(message).toMatch(/^[\n -~]*$/);
    expect(message.length).toBeLessThan(500);
  });
});

const anyHex = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 20 }).map((page) => (page * 4096).toString(16)),
  fc.integer({ min: 1, max: 2 ** 20 }).map((page) => (page * 4096 - 1).toString(16)),
  fc.bigInt({ min: 0n, max: 2n ** 65n }).map((byte) => byte.toString(16)),
);
const mem = fc.tuple(anyHex, anyHex).map(([from, to]) => `[mem 0x${from}-0x${to}]`);
const anyNode = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2000 }));
const anyLine = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('BIOS-e820', 'user'),
      mem,
      fc.constantFrom('usable', 'reserved', 'persistent (type 7)', 'soft reserved'),
    )
    .map(([who, range, type]) => `${who}: ${range} ${type}`),
  fc
    .tuple(mem, fc.constantFrom('usable', 'reserved'))
    .map(([range, type]) => `e820: update ${range} ${type} ==> reserved`),
  mem.map((range) => `e820: remove ${range} usable`),
  fc.tuple(anyNode, mem).map(([node, range]) => `node ${node}: ${range}`),
  fc
    .tuple(anyNode, mem, fc.constantFrom('', ' hotplug', ' non-volatile'))
    .map(([node, range, words]) => `ACPI: SRAT: Node ${node} PXM 0 ${range}${words}`),
  fc.tuple(anyNode, mem).map(([node, range]) => `Faking node ${node} at ${range} (1MB)`),
  fc.tuple(anyNode, anyHex, anyHex).map(([node, from, to]) => `Node ${node} Memory: 0x${from}-0x${to}`),
  fc.tuple(anyNode, anyHex).map(([node, from]) => `Node ${node}: 0x${from}`),
  fc
    .tuple(fc.constantFrom('memory', 'reserved'), anyHex, anyHex)
    .map(([kind, from, to]) => `${kind}[0x0] [0x${from}-0x${to}], 0x1000 bytes flags: 0x4`),
  fc
    .tuple(anyNode, anyHex, anyHex)
    .map(([node, from, to]) => `memory[0x0] [0x${from}-0x${to}], 0x1000 bytes on node ${node} flags: 0x0`),
  fc.tuple(anyHex, anyHex).map(([from, to]) => `efi: 0x00000${from}-0x00000${to} [Reserved|   |  |WB|  |  |  ]`),
  fc
    .tuple(fc.constantFrom('reserve', 'free'), anyHex, anyHex)
    .map(([kind, from, to]) => `memblock_${kind}: [0x${from}-0x${to}] a`),
  fc
    .tuple(anyHex, anyHex)
    .map(([from, to]) => `efi: mem00: [Conventional Memory|   |  |WB] range=[0x${from}-0x${to}] (0MB)`),
  fc.tuple(anyHex, anyHex).map(([from, to]) => `crashkernel reserved: 0x${from} - 0x${to} (1 MB)`),
  fc.constantFrom(
    'Linux version 6.1.0 (a) (aarch64-linux-gnu-gcc)',
    'Early memory node ranges',
    'early_node_map[1] active PFN ranges',
    'MEMBLOCK configuration:',
    'NUMA turned off',
    '.text .data .bss are not marked as E820_TYPE_RAM!',
    'e820: remove [mem 0x1000-0x1fff] ',
    'Reserving 999999999MB of memory at 9999999999MB for crashkernel (',
    'On node 0 totalpages: 0',
    'node 0: [mem 0x0000000000100000-0x0 node',
    '0: 0x00000001 -> 0xfffffffffffff',
  ),
  fc.string(),
);

prop.prop([fc.array(anyLine, { maxLength: 30 }), fc.constantFrom('x86-64' as const, 'arm64-64k' as const, undefined)], {
  numRuns: 1000,
})('any text gives a sound machine, DMESG_SYNTAX or DETECT_FAILED', (lines, platform) => {
  const found = orRefused(() => readDmesg(lines.join('\n'), [0, 1], { platform }), 'DMESG_SYNTAX', 'DETECT_FAILED');
  if (found === undefined) return;
  expect(planRanges(found).length).toBeGreaterThan(0);
  for (const extents of [found.memory, found.reserved ?? [], found.nomap ?? []]) {
    let behind = 0;
    for (const { startPfn, endPfn } of extents) {
      expect(startPfn).toBeGreaterThanOrEqual(behind);
      expect(endPfn).toBeGreaterThan(startPfn);
      behind = endPfn;
    }
  }
  const nids = found.nodes.map(({ nid }) => nid);
  expect(nids).toEqual([...new Set(nids)].sort((a, b) => a - b));
  expect(nids).toEqual(expect.arrayContaining(found.memory.map(({ nid }) => nid)));
  expect(nids.every((nid) => nid < 1024)).toBe(true);
});
