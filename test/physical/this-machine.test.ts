/** Tests of what kind of machine this is: by architecture and size of pages. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { platformOfHost, readPageBytes, thisMachine } from '../../dist/src/physical/this-machine.js';

function auxv(...entries: readonly (readonly [number, number])[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'vmemmap-auxv-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'auxv');
  writeFileSync(path, new BigUint64Array(entries.flat().map(BigInt)));
  return path;
}

describe('the size of pages', () => {
  it('is what the kernel tells every process', () => {
    expect(readPageBytes(auxv([33, 7], [6, 65_536], [0, 0]))).toBe(65_536);
    expect(readPageBytes()).toBe(Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' })));
  });

  it('is not known where the vector lacks it, is cut, or is not there', () => {
    expect(readPageBytes(auxv([33, 7], [0, 0]))).toBeUndefined();
    expect(readPageBytes(auxv())).toBeUndefined();
    expect(readPageBytes('/nonexistent')).toBeUndefined();
  });
});

describe('the platform', () => {
  it.each([
    ['x64', 4096, 'x86-64'],
    ['x64', undefined, 'x86-64'],
    ['arm64', 4096, 'arm64-4k'],
    ['arm64', 16_384, 'arm64-16k'],
    ['arm64', 65_536, 'arm64-64k'],
    ['arm64', undefined, 'arm64-4k'],
    ['ppc64', 65_536, 'power-64k'],
  ])('of %s with pages of %s is %s', (arch, pageBytes, platform) => {
    expect(platformOfHost(arch, pageBytes)).toEqual({ platform, notes: [] });
  });

  it.each([
    ['riscv64', 4096, 'riscv64 with pages of 4096 bytes'],
    ['ppc64', 4096, 'ppc64 with pages of 4096 bytes'],
    ['toString', undefined, 'toString'],
  ])('of %s with pages of %s is none that is known, and a note says what is taken', (arch, pageBytes, what) => {
    expect(platformOfHost(arch, pageBytes)).toEqual({
      platform: undefined,
      notes: [`This is a machine of the architecture ${what}; it is taken as x86-64.`],
    });
  });

  it('of this machine is one of its architecture', () => {
    expect(thisMachine()).toEqual(platformOfHost(process.arch, readPageBytes()));
  });
});
