/** Tests of the EFI memory map in a boot log. */
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../errors.ts';
import { deviceOf, ramOf, told } from './told.ts';

describe('the EFI map', () => {
  const x86 = (index: number, type: string, attributes: string, range: string): string =>
    `efi: mem${index}: [${type.padEnd(19)}|   |  |  |  |  |  |  |  |   |${attributes}] range=${range} (0MB)`;

  it('of x86 gives memory that is free after boot and can be written back', () => {
    const found = told(
      'x86/PAT: Configuration',
      x86(0, 'Boot Code', 'WB|WT|WC|UC', '[0x0000000000000000-0x0000000000000fff]'),
      x86(1, 'Conventional Memory', 'WB|WT|WC|UC', '[0x0000000000100000-0x0000000000ffffff]'),
      x86(2, 'Loader Data', 'WB|  |  |  ', '[0x0000000001000000-0x0000000001ffffff]'),
      x86(3, 'Conventional Memory', '  |WT|WC|UC', '[0x0000000002000000-0x0000000002ffffff]'),
      x86(4, 'Runtime Data', 'WB|WT|WC|UC', '[0x0000000003000000-0x0000000003ffffff]'),
      x86(5, 'Persistent Memory', 'WB|WT|WC|UC', '[0x0000000100000000-0x000000010fffffff]'),
      x86(6, 'MMIO', '  |  |  |UC', '[0xfffffffffff00000-0xffffffffffffffff]'),
    );
    expect(ramOf(found)).toEqual([[0, 0x100, 0x2000]]);
    expect(deviceOf(found)).toEqual([[0, 0x100000, 0x110000]]);
  });

  it('of x86 before 4.3 tells the first byte behind, and before 4.0 types as numbers', () => {
    expect(
      ramOf(
        told('x86/PAT: y', x86(0, 'Conventional Memory', 'WB|WT|WC|UC', '[0x0000000000100000-0x0000000001000000)')),
      ),
    ).toEqual([[0, 0x100, 0x1000]]);
    expect(
      ramOf(
        told(
          'x86/PAT: y',
          'efi: mem00: type=7, attr=0xf, range=[0x0000000000100000-0x0000000001000000) (15MB)',
          'efi: mem01: type=7, attr=0x1, range=[0x0000000001000000-0x0000000002000000) (16MB)',
          'efi: mem02: type=5, attr=0x800000000000000f, range=[0x0000000002000000-0x0000000003000000) (16MB)',
        ),
      ),
    ).toEqual([[0, 0x100, 0x1000]]);
  });

  it('sets special-purpose memory aside', () => {
    const line = x86(0, 'Conventional Memory', 'WB|WT|WC|UC', '[0x0000000000100000-0x0000000000ffffff]');
    const special = line
      .replace('|   |  |  |', '|   |  |SP|')
      .replace('mem0', 'mem1')
      .replaceAll('000000000', '000000004');
    expect(told('x86/PAT: y', line, special).notes).toEqual([
      expect.stringContaining('do not tell nodes'.slice(7)),
      expect.stringContaining('bytes are soft reserved'),
    ]);
  });

  it('of arm64 keeps all that is cacheable as memory, and tells what of it is not to be mapped', () => {
    const arm = (range: string, type: string, attributes: string): string =>
      `efi:   ${range} [${type.padEnd(19)}|   |  |  |  |  |  |  |   |${attributes}]`;
    const found = told(
      'Booting Linux on physical CPU 0x0000000000 [0x431f0af1]',
      'efi: Processing EFI memory map:',
      arm('0x000080000000-0x0000800fffff', 'Reserved', 'WB|WT|WC|UC'),
      arm('0x000080100000-0x0000bfffffff', 'Conventional Memory', 'WB|WT|WC|UC'),
      arm('0x0000c0000000-0x0000c00fffff', 'ACPI Reclaim Memory', 'WB|WT|WC|UC'),
      arm('0x0000c0100000-0x0000c01fffff', 'Runtime Data', 'WB|WT|WC|UC'),
      arm('0x0000c0200000-0x0000c02fffff', 'Memory Mapped I/O', '  |  |  |UC'),
      'percpu: Embedded 30 pages/cpu s84120 r8192 d30568 u122880',
    );
    expect(found.platform).toBe('arm64-4k');
    expect(ramOf(found)).toEqual([[0, 0x80000, 0xc0200]]);
    expect(found.nomap).toEqual([
      { startPfn: 0x80000, endPfn: 0x80100 },
      { startPfn: 0xc0100, endPfn: 0xc0200 },
    ]);
  });

  it('that is damaged is refused', () => {
    expect(refusalOf(() => told('x86/PAT: y', 'efi: mem00: [Conventional Memory|   | range=zebra')).message).toContain(
      'boot.log, line 2, column 1: expected [TYPE|ATTRIBUTES]',
    );
  });
});
