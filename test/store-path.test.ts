/** The choice of a store path, by backing and by what was done to the memory before. */
import { afterEach, describe, expect, it } from 'vitest';
import { jsKernel } from '../dist/src/descriptor/kernel.js';
import { addon, nativeKernels } from '../dist/src/native.js';
import type { BackingReport } from '../dist/src/region/backing.js';
import { kernelFor } from '../dist/src/store-path.js';

const isLoaded = nativeKernels.length > 0;
const skipped = isLoaded ? '' : ' (skipped: the addon is not loaded)';
const pattern = new Uint32Array(32).fill(7, 0, 16);

function chosen(firstTouch: BackingReport['firstTouch'], memory: 'fresh' | 'touched', sizeBytes = 2 ** 30) {
  return kernelFor({
    backing: { requested: 'shared', effective: 'shared', pageSize: 4096, firstTouch, durability: 'none' },
    memory,
    sizeBytes,
  });
}

afterEach(() => {
  delete process.env['VMEMMAP_STORES'];
});

describe.skipIf(!isLoaded)(`the store path${skipped}`, () => {
  const plain = nativeKernels.find(({ kind }) => kind === 'plain')?.storePath;
  const nonTemporal = nativeKernels.find(({ kind }) => kind === 'non-temporal')?.storePath;

  it.each([
    ['store', 'fresh', plain],
    ['populate', 'fresh', `${plain}+populate`],
    ['store', 'touched', nonTemporal],
    ['populate', 'touched', nonTemporal],
  ] as const)('for memory whose pages come by %s and that is %s is %s', (firstTouch, memory, wanted) => {
    expect(chosen(firstTouch, memory).storePath).toBe(wanted);
  });

  it('for what fits into the cache is plain stores, though it was touched', () => {
    expect(chosen('store', 'touched', 16 * 2 ** 20).storePath).toBe(plain);
    expect(chosen('store', 'touched', 16 * 2 ** 20 + 64).storePath).toBe(nonTemporal);
  });

  it('can be set to any that is there, and to no other', () => {
    for (const { storePath } of [...nativeKernels, jsKernel]) {
      process.env['VMEMMAP_STORES'] = storePath;
      expect(chosen('populate', 'fresh').storePath).toBe(storePath);
    }
    process.env['VMEMMAP_STORES'] = 'native-mmx';
    expect(() => chosen('populate', 'fresh')).toThrow(/^VMEMMAP_STORES must be one of .*js-u32 here, not native-mmx$/);
  });

  it('with populate maps the pages, writes them, and hands an errno on without writing', () => {
    const words = new Uint32Array(new SharedArrayBuffer(2 ** 20));
    const kernel = chosen('populate', 'fresh');
    expect(kernel.fill(words, 16, 100, pattern, 0)).toBe(0);
    expect(kernel.check(words, 16, 100, pattern, 0)).toBe(0);
    if (!addon) return;
    const { populate } = addon;
    try {
      addon.populate = () => 133;
      expect(kernel.fill(words, 1616, 100, pattern, 0)).toBe(133);
      expect(words[1616]).toBe(0);
      // a kernel that is too old for it: touched one by one, and not asked again
      let asked = 0;
      addon.populate = () => {
        asked++;
        return 22;
      };
      for (let round = 0; round < 3; round++) expect(kernel.fill(words, 1616, 100, pattern, 0)).toBe(0);
      expect(kernel.check(words, 1616, 100, pattern, 0)).toBe(0);
      expect(asked).toBe(1);
    } finally {
      addon.populate = populate;
    }
  });
});

describe.skipIf(isLoaded)('without the addon the store path', () => {
  it('is that of the JS kernel', () => {
    expect(chosen('store', 'fresh')).toBe(jsKernel);
    expect(chosen('store', 'touched')).toBe(jsKernel);
  });
});
