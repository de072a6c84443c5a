/** The JS kernel where the processor flushes denormals: a native library that was linked with -ffast-math makes it do so. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runNode } from '../support/child.js';

const compiler = ['c++', 'g++', 'cc'].find((name) => spawnSync(name, ['--version']).status === 0);
const reason = process.arch !== 'x64' ? 'it sets bits of x86-64' : compiler === undefined ? 'there is no compiler' : '';
if (reason !== '') process.stderr.write(`skipped, denormals: ${reason}\n`);

const folder = mkdtempSync(join(tmpdir(), 'vmemmap-denormals-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What crtfastmath.o does to the thread that loads a library, and so to those that come from it: FTZ and DAZ. */
const source = `#include <xmmintrin.h>
__attribute__((constructor)) static void flush(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }
`;

const url = (path: string): string => new URL(`../../dist/src/descriptor/${path}`, import.meta.url).href;
const script = `
  import { jsKernel } from '${url('kernel.js')}';
  import { pagePattern } from '${url('content.js')}';
  import { profiles } from '${url('profiles.js')}';
  const pattern = pagePattern(profiles['linux-6.1'], { startPfn: 0, endPfn: 512, nid: 0, zone: 2, kind: 'ram' });
  const words = new Uint32Array(512 * 16);
  jsKernel.fill(words, 0, 512, pattern, 0);
  const bits = new Uint32Array([1, 0, 0, 0]);
  const doubles = new Float64Array(bits.buffer);
  doubles[1] = doubles[0] + doubles[0];
  console.log(JSON.stringify({ flushes: bits[2] === 0, wrong: jsKernel.check(words, 0, 512, pattern, 0) }));
`;

describe.skipIf(reason !== '')(`the JavaScript kernel${reason && ` (skipped: ${reason})`}`, () => {
  it.each([true, false])('writes the same whether denormals are flushed (%s)', async (flushes) => {
    const library = join(folder, 'flush.so');
    writeFileSync(join(folder, 'flush.c'), source);
    const built = spawnSync(compiler as string, ['-shared', '-fPIC', join(folder, 'flush.c'), '-o', library], {
      encoding: 'utf8',
    });
    expect(built.status, built.stderr).toBe(0);
    const ended = await runNode(['--input-type=module', '--eval', script], {
      env: { VMEMMAP_ADDON: 'off', ...(flushes && { LD_PRELOAD: library }) },
    });
    expect(JSON.parse(ended.stdout)).toEqual({ flushes, wrong: 0 });
  });
});
