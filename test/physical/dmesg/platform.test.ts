/** Tests of how a boot log gives its platform away. */
import { describe, expect, it } from 'vitest';
import { readDmesg } from '../../../dist/src/physical/dmesg/dmesg.js';
import { refusalOf } from '../errors.ts';
import { early, told } from './told.ts';

describe('the platform', () => {
  const version = (release: string, compiler = 'gcc'): string =>
    `Linux version ${release} (root@host) (${compiler} 12.2.0) #1 SMP`;
  const dma = (last: string): string[] => ['Zone ranges:', `  DMA      [mem 0x0000000000001000-${last}]`];

  it.each<[string, string[], string]>([
    ['of an e820 map', ['BIOS-e820: [mem 0x0-0xfff] reserved'], 'x86-64'],
    ['of a zone DMA of 16 MiB', dma('0x0000000000ffffff'), 'x86-64'],
    ['of a larger zone DMA', dma('0x00000000ffffffff'), 'arm64-4k'],
    ['of its compiler', [version('6.1.0', 'aarch64-linux-gnu-gcc')], 'arm64-4k'],
    ['of the name of its kernel', [version('5.14.0-503.el9.aarch64+64k')], 'arm64-64k'],
    [
      'of a hash table of 64 KiB pages',
      ['psci: probing', 'Dentry cache hash table entries: 1048576 (order: 7, 8388608 bytes, linear)'],
      'arm64-64k',
    ],
    [
      'of a hash table of 16 KiB pages',
      ['psci: probing', 'Dentry cache hash table entries: 1048576 (order: 9, 8388608 bytes, linear)'],
      'arm64-16k',
    ],
    ['of per-cpu memory', ['psci: probing', 'percpu: Embedded 8 pages/cpu s95512 r8192 d27368 u131072'], 'arm64-16k'],
    ['of per-cpu allocations', ['psci: probing', 'pcpu-alloc: s95512 r8192 d43752 u147456 alloc=9*16384'], 'arm64-16k'],
    ['of its pages', ['psci: probing', 'On node 0 totalpages: 16368'], 'arm64-64k'],
    ['of words of Power', ['phys_mem_size     = 0x1e4600000000'], 'power-64k'],
    ['of a compiler for Power', [version('6.1.0', 'powerpc64le-linux-gnu-gcc')], 'power-64k'],
    ['that is nowhere', [], 'x86-64'],
  ])('%s is found', (_, lines, platform) => {
    expect(told(...lines, early).platform).toBe(platform);
  });

  it('that is assumed is a note; borders that only small pages have are certain', () => {
    expect(told(early).notes).toEqual([
      'The log does not tell its architecture; x86-64 is assumed (--platform says otherwise).',
    ]);
    expect(told('psci: probing', early).notes).toEqual([
      'The log does not tell the size of pages; 4 KiB is assumed (--platform says otherwise).',
    ]);
    expect(told('psci: probing', early.replace('3fffffff', '3fff0fff')).notes).toEqual([]);
    expect(told('psci: probing', early, 'On node 0 totalpages: 261888').notes).toEqual([]);
  });

  it('that the caller names holds, if memory lies in whole pages of it', () => {
    const log = `BIOS-e820: [mem 0x0-0xfff] reserved\n${early}`;
    expect(readDmesg(log, [], { platform: 'arm64-64k' })).toMatchObject({
      platform: 'arm64-64k',
      memory: [{ startPfn: 16 }],
    });
    const odd = early.replace('3fffffff', '3fff7fff');
    expect(refusalOf(() => readDmesg(odd, [], { platform: 'arm64-64k' })).message).toContain(
      'line 1, column 1: expected whole pages of arm64-64k, 64 KiB each; see --platform',
    );
  });

  it('that is none of those known is refused', () => {
    const error = refusalOf(() => told(version('6.1.0', 'riscv64-linux-gnu-gcc'), early));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(
      /^boot\.log is the log of a machine that is none of x86-64, .*; --platform NAME reads it/,
    );
  });

  it('has a kernel release where the log tells one', () => {
    expect(told(version('5.11.0-rc4-00015-g45dfb8a5659a'), early).kernel).toBe('5.11.0-rc4-00015-g45dfb8a5659a');
    expect(told(version('zebra'), early)).not.toHaveProperty('kernel');
    expect(told(early)).not.toHaveProperty('kernel');
  });
});
