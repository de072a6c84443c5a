/** Tests of what the e820 map in a boot log gives. */
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../errors.ts';
import { deviceOf, early, ramOf, told, usable } from './told.ts';

describe('the e820 map', () => {
  it('gives whole pages of usable memory, without page 0 and what lies below 1 MiB', () => {
    expect(
      ramOf(
        told(
          'BIOS-e820: [mem 0x0000000000000000-0x0000000000099bff] usable',
          'BIOS-e820: [mem 0x0000000000099c00-0x000000000009ffff] reserved',
          'BIOS-e820: [mem 0x00000000000a0000-0x00000000000fffff] usable',
          'BIOS-e820: [mem 0x0000000000100001-0x0000000000200ffe] usable',
        ),
      ),
    ).toEqual([
      [0, 1, 0x99],
      [0, 0x101, 0x200],
    ]);
  });

  it('joins entries that touch before it cuts them to pages', () => {
    const halves = [
      'BIOS-e820: [mem 0x0000000000100000-0x00000000001007ff] usable',
      'BIOS-e820: [mem 0x0000000000100800-0x0000000000100fff] usable',
    ];
    expect(ramOf(told(...halves))).toEqual([[0, 0x100, 0x101]]);
  });

  it.each(['reserved', 'ACPI data', 'ACPI NVS', 'unusable', 'type 9', 'type 20', 'device reserved', 'zebra'])(
    'has no memory in what is %s, also where that overlaps usable memory',
    (type) => {
      const found = told(usable, `BIOS-e820: [mem 0x0000000020000000-0x000000002fffffff] ${type}`);
      expect(ramOf(found)).toEqual([
        [0, 0x100, 0x20000],
        [0, 0x30000, 0x40000],
      ]);
      expect(deviceOf(found)).toEqual([]);
    },
  );

  it.each(['persistent (type 7)', 'persistent (type 12)'])('has device memory in what is %s', (type) => {
    const found = told(usable, `BIOS-e820: [mem 0x0000000100000000-0x000000013fffffff] ${type}`);
    expect(found.memory.at(-1)).toEqual({ nid: 0, kind: 'device', pgmap: 1, startPfn: 0x100000, endPfn: 0x140000 });
  });

  it('tells how much is soft reserved', () => {
    const { memory, notes } = told(usable, 'BIOS-e820: [mem 0x000000c080000000-0x000000c47fffffff] soft reserved');
    expect(memory).toHaveLength(1);
    expect(notes).toContain(
      '17179869184 bytes are soft reserved: a driver may make RAM or device memory of them later; they are left out.',
    );
  });

  it('of kernels since 6.19 has other words, and gaps', () => {
    expect(
      ramOf(
        told(
          'BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff]  System RAM',
          'BIOS-e820: [mem 0x0000000040000000-0x000000004fffffff]  device reserved',
          'BIOS-e820: [gap 0x0000000050000000-0x000000005fffffff]',
        ),
      ),
    ).toEqual([[0, 0x100, 0x40000]]);
  });

  it('of kernels before 3.5 tells the first byte behind', () => {
    expect(
      ramOf(
        told(
          ' BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)',
          ' BIOS-e820: 0000000000100000 - 0000000040000000 (usable)',
          'e820 update range: 0000000000000000 - 0000000000002000 (usable) ==> (reserved)',
          'e820 remove range: 0000000030000000 - 0000000040000000 (usable)',
        ),
      ),
    ).toEqual([
      [0, 2, 0x9f],
      [0, 0x100, 0x30000],
    ]);
  });

  it('is replaced by that of the user, or what else the kernel prints last', () => {
    expect(
      ramOf(
        told(
          'BIOS-provided physical RAM map:',
          usable,
          'user-defined physical RAM map:',
          'user: [mem 0x0000000000100000-0x000000001fffffff] usable',
        ),
      ),
    ).toEqual([[0, 0x100, 0x20000]]);
    // the same map twice is one map: a journal of two boots
    const twice = [
      'BIOS-provided physical RAM map:',
      usable,
      'BIOS-provided physical RAM map:',
      usable.replace('3f', '2f'),
    ];
    expect(ramOf(told(...twice))).toEqual([[0, 0x100, 0x30000]]);
  });

  it('is changed as the kernel says', () => {
    expect(
      ramOf(
        told(
          usable,
          'e820: update [mem 0x10000000-0x1fffffff] usable ==> reserved',
          'e820: remove [mem 0x38000000-0xfffffffffffffffe] usable',
          // what is not usable is not what is removed
          'e820: remove [mem 0x20000000-0x2fffffff] reserved',
          // setup data stays usable
          'e820: update [mem 0x30000000-0x30000fff] usable ==> usable',
        ),
      ),
    ).toEqual([
      [0, 0x100, 0x10000],
      [0, 0x20000, 0x38000],
    ]);
  });

  it('has the image of a kernel that lies outside of usable memory', () => {
    const island = 'e820: remove [mem 0x1683600000-0x168662ffff] ';
    expect(ramOf(told(usable, '.text .data .bss are not marked as E820_TYPE_RAM!', island)).at(-1)).toEqual([
      0, 0x1683600, 0x1686630,
    ]);
    expect(ramOf(told(usable, island))).toEqual([[0, 0x100, 0x40000]]);
  });

  it.each([
    'BIOS-e820: [mem 0x0000000000100000-0x00zebra] usable',
    'BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff]',
    'BIOS-e820: [mem 0x0000000000200000-0x0000000000100000] usable',
    'BIOS-e820: [mem 0x0000000000100000-0x0010000000000000] usable',
    'BIOS-e820: 0000000000100000 - 0000zebra (usable)',
    'e820: update [mem 0x10000000-0x1fff',
  ])('with the damaged line %j is refused at it, unless the kernel printed what it made of it', (line) => {
    const error = refusalOf(() => told(usable, `[    0.000000] ${line}`));
    expect(error.code).toBe('DMESG_SYNTAX');
    expect(error.message).toMatch(/^boot\.log, line 2, column 16: expected /);
    expect(error.received).toBe('boot.log');
    const { memory, notes } = told(usable, line, early);
    expect(memory).toHaveLength(1);
    expect(notes).toEqual([
      expect.stringMatching(/map in the log is of no use \(boot\.log, line 2, column 1: expected/),
    ]);
  });

  it('of an entry that is no memory may lie anywhere', () => {
    expect(ramOf(told(usable, 'BIOS-e820: [mem 0xfffffffffff00000-0xffffffffffffffff] reserved'))).toHaveLength(1);
  });
});
