/** fill, check and firstDifference of the addon against a naive reference. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { contentOf } from '../../dist/src/descriptor/content.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { type Content, packContent, partsMax } from '../../dist/src/descriptor/pattern.js';
import { profiles } from '../../dist/src/descriptor/profiles.js';
import { nativeKernels } from '../../dist/src/native.js';
import { anyContent, contentLanes } from '../support/reference.js';
import { addon, loaderPath, named, projectRoot, skipReason, untyped } from './built-addon.js';

const untouched = 0xa5a5_a5a5;
const descriptorWords = 16;
const lanes = 8;

/** A pattern as 32 words from its eight template and eight step lanes. */
function lineOf(template: readonly bigint[], step: readonly bigint[]): Uint32Array {
  return new Uint32Array(BigUint64Array.from([...template, ...step]).buffer);
}

/** What descriptor `index` has to hold, word by word, from the definition. */
function expectedWords(line: Uint32Array, index: number): number[] {
  const values = new BigUint64Array(line.slice().buffer);
  return Array.from({ length: lanes }, (_, lane) => {
    const value = BigInt.asUintN(64, (values[lane] as bigint) + (values[lanes + lane] as bigint) * BigInt(index));
    return [Number(value & 0xffff_ffffn), Number(value >> 32n)];
  }).flat();
}

const constant = lineOf([0x0123_4567_89ab_cdefn, 8n, 8n, 0n, 0xffff_ffff_ffff_ffffn, 1n, 2n, 3n], Array(8).fill(0n));
const selfPointers = lineOf(
  [0x1ff_ff00_0000_0000n, 8n, 8n, 0n, 0n, 0n, 0x1_ffff_ffffn, 0n],
  [0n, 64n, 64n, 0n, 0n, 0n, 0n, 0n],
);
/** Carries into the high word, wraps at 2^64, steps down, and multiplies high words. */
const carries = lineOf(
  [0xffff_ffffn, 0xffff_fff0n, 2n ** 64n - 1n, 1n, 0x8000_0000n, 0xffff_ffffn, 5n, 2n ** 64n - 4n],
  [1n, 0x10n, 1n, 2n ** 64n - 1n, 0x8000_0000n, 0x1_0000_0001n, 0xffff_ffff_0000_0001n, 0x9e37_79b9_7f4a_7c15n],
);
const lines = { constant, selfPointers, carries };

/** The numbers and kinds of the store paths of this processor. */
const paths = skipReason === undefined ? [...addon.storePaths().entries()] : [];

/** Fills by every path and compares ALL the memory, so that a word too many in front or behind is seen. */
function expectFilled(words: Uint32Array, at: number, count: number, line: Uint32Array, index: number): void {
  for (const [path, { name, kind }] of paths) {
    words.fill(untouched);
    // sparse stores are for memory that is zero
    if (kind === 'sparse') words.fill(0, at, at + count * descriptorWords);
    const wanted = words.slice();
    for (let k = 0; k < count; k++) wanted.set(expectedWords(line, index + k), at + k * descriptorWords);
    expect(addon.fill(words, at, count, line, index, path), name).toBe(0);
    expect(Buffer.compare(bytesOf(words), bytesOf(wanted)), name).toBe(0);
  }
  expect(addon.check(words, at, count, line, index)).toBe(0);
  expect(addon.firstDifference(words, at, count, line, index)).toBe(-1);
}

const bytesOf = (words: Uint32Array): Buffer => Buffer.from(words.buffer, words.byteOffset, words.byteLength);

const memories = {
  'an ArrayBuffer': (length: number) => new Uint32Array(length),
  'a SharedArrayBuffer': (length: number) => new Uint32Array(new SharedArrayBuffer(length * 4)),
  'a window of a SharedArrayBuffer that begins at an odd word': (length: number) =>
    new Uint32Array(new SharedArrayBuffer(length * 4 + 8), 4, length),
};

/** Address space that is used at two of its ends only; nothing where the kernel refuses so much. */
function tryAllocate(length: number): Uint32Array | undefined {
  try {
    return new Uint32Array(new SharedArrayBuffer(length * 4));
  } catch {
    return undefined;
  }
}

describe.skipIf(skipReason !== undefined)(named('the init kernel of the addon'), () => {
  describe.each(Object.entries(memories))('in %s', (_, make) => {
    it.each(Object.entries(lines))(
      'writes the %s line as defined, whatever the length and the offset',
      (_name, line) => {
        for (const count of [0, 1, 2, 3, 63, 64, 65]) {
          for (const at of [0, 1, 2, 15, 16, 17])
            expectFilled(make(at + count * descriptorWords + 3), at, count, line, 7);
        }
      },
    );

    it('writes up to the last word', () => {
      expectFilled(make(3 + 5 * descriptorWords), 3, 5, carries, 0);
    });
  });

  it.each([0, 1, 2 ** 28 - 1, 2 ** 31 - 2, 2 ** 32 - 2, 2 ** 52, Number.MAX_SAFE_INTEGER])(
    'counts on from index %d without losing a bit',
    (index) => {
      // The reference is exact: indices are BigInts there. Behind the greatest safe integer only one descriptor can be named.
      const count = index === Number.MAX_SAFE_INTEGER ? 1 : 5;
      for (const line of Object.values(lines)) expectFilled(new Uint32Array(100), 2, count, line, index);
    },
  );

  property.prop([
    fc.uint8Array({ minLength: 128, maxLength: 128 }),
    fc.nat({ max: 40 }),
    fc.nat({ max: 33 }),
    fc.maxSafeNat().map((index) => Math.min(index, Number.MAX_SAFE_INTEGER - 64)),
  ])('writes any pattern as defined', (bytes, count, at, index) => {
    expectFilled(new Uint32Array(at + count * descriptorWords + 5), at, count, new Uint32Array(bytes.buffer), index);
  });

  it('takes a line from a window that is not aligned for 64-bit lanes', () => {
    const line = new Uint32Array(new ArrayBuffer(4 + carries.byteLength), 4);
    line.set(carries);
    expectFilled(new Uint32Array(64), 1, 3, line, 9);
  });

  it('reaches the end of the longest typed array, 16 GiB', ({ skip }) => {
    const length = 2 ** 32;
    const words = tryAllocate(length);
    if (words === undefined) return skip('this machine does not give out 16 GiB of address space');
    expect(addon.fill(words, length - 2 * descriptorWords, 2, selfPointers, 2 ** 28 - 2, 0)).toBe(0);
    expect(Array.from(words.subarray(length - 32))).toEqual([
      ...expectedWords(selfPointers, 2 ** 28 - 2),
      ...expectedWords(selfPointers, 2 ** 28 - 1),
    ]);
    expect(words[length - 33]).toBe(0);
    expect(words[0]).toBe(0);
    expect(addon.firstDifference(words, length - 3 * descriptorWords, 3, selfPointers, 2 ** 28 - 3)).toBe(0);
    expect(() => addon.fill(words, length - 31, 2, constant, 0, 0)).toThrow(RangeError);
  });

  describe('a content with a period', () => {
    const words32 = (lanes64: readonly bigint[]): Uint32Array => new Uint32Array(BigUint64Array.from(lanes64).buffer);

    /** Fills by every path, as `expectFilled` does, and finds one wrong word in each descriptor that is told. */
    function expectWritten(content: Content, startIndex: number, first: number, count: number): void {
      const packed = packContent(content, startIndex);
      const index = startIndex + first;
      const words = new Uint32Array(5 + count * descriptorWords);
      for (const [path, { name, kind }] of paths) {
        words.fill(untouched);
        if (kind === 'sparse') words.fill(0, 2, 2 + count * descriptorWords);
        const wanted = words.slice();
        for (let k = 0; k < count; k++) {
          wanted.set(words32(contentLanes(content, startIndex, index + k)), 2 + k * descriptorWords);
        }
        expect(addon.fill(words, 2, count, packed, index, path), name).toBe(0);
        expect(Buffer.compare(bytesOf(words), bytesOf(wanted)), name).toBe(0);
      }
      expect(addon.check(words, 2, count, packed, index)).toBe(0);
      expect(addon.firstDifference(words, 2, count, packed, index)).toBe(-1);
      for (let place = 0; place < count; place += 17) {
        const at = 2 + place * descriptorWords + 9;
        words[at] = (words[at] as number) ^ 0x8000_0000;
        expect(addon.check(words, 2, count, packed, index)).toBe(1);
        expect(addon.firstDifference(words, 2, count, packed, index)).toBe(place);
        words[at] = (words[at] as number) ^ 0x8000_0000;
      }
    }

    property.prop([anyContent, fc.nat({ max: 2 ** 27 }), fc.nat({ max: 2 ** 20 }), fc.nat({ max: 200 })])(
      'is written as defined, whatever its periods and parts, by every store path',
      expectWritten,
    );

    const whole = { startPfn: 0, endPfn: 4096 } as const;
    const ramRange = { ...whole, nid: 3, zone: 2, kind: 'ram' } as const;
    const device = { ...whole, nid: 3, zone: 4, kind: 'device', pgmap: 7 } as const;
    const ranges = {
      ram: ramRange,
      fsdax: { ...device, mode: 'fsdax' },
      devdax: { ...device, mode: 'devdax' },
      '2 MiB devdax': { ...device, mode: 'devdax', compoundPages: 512 },
      '1 GiB devdax': { ...device, mode: 'devdax', compoundPages: 2 ** 18 },
    } as const;
    const uses = ['present', 'reserved', 'unavailable', 'altmap'] as const;
    const cases = Object.values(profiles).flatMap((profile) =>
      Object.entries(ranges).flatMap(([name, range]) => uses.map((use) => ({ profile, name, range, use }))),
    );

    it.each(cases)(
      'of $profile.name, $name that is $use, is the same bytes by all kernels',
      ({ profile, range, use }) => {
        const content = contentOf(profile, range, { ...whole, startPfn: 7, use });
        expectWritten(content, 7, 0, 700);
        const packed = packContent(content, 7);
        const byAddon = new Uint32Array(700 * descriptorWords);
        const byJs = new Uint32Array(byAddon.length);
        addon.fill(byAddon, 0, 700, packed, 300, 0);
        jsKernel.fill(byJs, 0, 700, packed, 300);
        expect(Buffer.compare(bytesOf(byAddon), bytesOf(byJs))).toBe(0);
      },
    );

    it('takes as many parts as are promised', () => {
      const parts = Array.from({ length: partsMax }, (_, at) => ({ at, pattern: new Uint32Array(32).fill(at + 1) }));
      expectWritten({ periodPages: partsMax + 3, parts }, 5, 4, 40);
      const more = [...parts, { at: partsMax, pattern: new Uint32Array(32) }];
      const packed = packContent({ periodPages: partsMax + 3, parts: more }, 5);
      expect(() => addon.fill(new Uint32Array(16), 0, 1, packed, 5, 0)).toThrow(RangeError);
    });

    const two = (): Uint32Array => {
      const part = (at: number): Content['parts'][number] => ({ at, pattern: new Uint32Array(32) });
      return packContent({ periodPages: 10, parts: [part(0), part(4)] }, 100);
    };

    it.each<[string, (packed: Uint32Array) => Uint32Array | undefined, string]>([
      ['no period', (packed) => packed.fill(0, 0, 1), 'line must be parts in order'],
      ['a first part behind the start', (packed) => packed.fill(1, 2, 3), 'line must be parts in order'],
      ['a second part at the first', (packed) => packed.fill(0, 2 + 33, 3 + 33), 'line must be parts in order'],
      ['a part behind the period', (packed) => packed.fill(10, 2 + 33, 3 + 33), 'line must be parts in order'],
      ['a word too many', (packed) => new Uint32Array([...packed, 0]), 'line must be 32 words long'],
      ['a word too few', (packed) => packed.subarray(1), 'line must be 32 words long'],
      ['no part', (packed) => packed.subarray(0, 2), 'line must be 32 words long'],
      ['nothing', () => new Uint32Array(), 'line must be 32 words long'],
    ])('that has %s is refused, and nothing is written', (_, spoil, text) => {
      const words = new Uint32Array(32 * descriptorWords).fill(untouched);
      const packed = spoil(two());
      for (const name of ['fill', 'check', 'firstDifference'] as const) {
        expect(() => untyped[name](words, 0, 3, packed, 100, 0)).toThrow(`${name}: ${text}`);
        expect(() => untyped[name](words, 0, 3, packed, 100, 0)).toThrow(RangeError);
      }
      expect(words.every((word) => word === untouched)).toBe(true);
    });

    it('has no descriptors before its start', () => {
      const words = new Uint32Array(16);
      expect(() => addon.fill(words, 0, 1, two(), 99, 0)).toThrow('fill: firstIndex must be an integer from 100 to');
      expect(addon.fill(words, 0, 1, two(), 100, 0)).toBe(0);
    });
  });

  describe('check and firstDifference', () => {
    const count = 9;
    const filled = (): Uint32Array => {
      const words = new Uint32Array(1 + count * descriptorWords);
      addon.fill(words, 1, count, selfPointers, 100, 0);
      return words;
    };

    it.each(Array.from({ length: descriptorWords }, (_, word) => word))('see one wrong bit in word %d', (word) => {
      const words = filled();
      const at = 1 + 4 * descriptorWords + word;
      words[at] = (words[at] as number) ^ 0x8000_0000;
      expect(addon.check(words, 1, count, selfPointers, 100)).toBe(1);
      expect(addon.firstDifference(words, 1, count, selfPointers, 100)).toBe(4);
    });

    it('count descriptors and not words, and find the first', () => {
      const words = filled().fill(0, 1 + 2 * descriptorWords);
      expect(addon.check(words, 1, count, selfPointers, 100)).toBe(count - 2);
      expect(addon.firstDifference(words, 1, count, selfPointers, 100)).toBe(2);
    });

    it('see descriptors that were written for another index', () => {
      expect(addon.check(filled(), 1, count, selfPointers, 101)).toBe(count);
      expect(addon.firstDifference(filled(), 1, count, selfPointers, 101)).toBe(0);
    });

    it('do not look behind the run', () => {
      const words = filled();
      words[words.length - 1] = 1;
      expect(addon.check(words, 1, count - 1, selfPointers, 100)).toBe(0);
      expect(addon.firstDifference(words, 1, count - 1, selfPointers, 100)).toBe(-1);
      expect(addon.firstDifference(words, 1, 0, selfPointers, 100)).toBe(-1);
    });
  });

  describe.each(['fill', 'check', 'firstDifference'] as const)('%s rejects misuse:', (name) => {
    const words = new Uint32Array(48);
    const right: unknown[] = [words, 0, 3, constant, 0, 0];

    it.each([
      ['words', 'undefined', 0, undefined, TypeError],
      ['words', 'a Uint8Array', 0, new Uint8Array(64), TypeError],
      ['words', 'an Int32Array', 0, new Int32Array(64), TypeError],
      ['words', 'a buffer', 0, new SharedArrayBuffer(64), TypeError],
      ['words', 'an array', 0, [1, 2], TypeError],
      ['wordOffset', 'a string', 1, '0', TypeError],
      ['wordOffset', 'a BigInt', 1, 0n, TypeError],
      ['wordOffset', '−1', 1, -1, RangeError],
      ['wordOffset', 'a fraction', 1, 0.5, RangeError],
      ['wordOffset', 'NaN', 1, Number.NaN, RangeError],
      ['wordOffset', 'one behind the end', 1, 49, RangeError],
      ['wordOffset', '2^64', 1, 2 ** 64, RangeError],
      ['count', 'null', 2, null, TypeError],
      ['count', '−1', 2, -1, RangeError],
      ['count', 'one too many', 2, 4, RangeError],
      ['count', 'a fraction', 2, 1.5, RangeError],
      // 2^60 descriptors are 2^64 words: a product that wraps to 0.
      ['count', '2^60', 2, 2 ** 60, RangeError],
      ['count', 'infinity', 2, Number.POSITIVE_INFINITY, RangeError],
      ['line', 'undefined', 3, undefined, TypeError],
      ['line', 'a Uint8Array', 3, new Uint8Array(128), TypeError],
      ['line', 'a word too short', 3, new Uint32Array(31), RangeError],
      ['line', 'a word too long', 3, new Uint32Array(33), RangeError],
      ['firstIndex', 'undefined', 4, undefined, TypeError],
      ['firstIndex', '−1', 4, -1, RangeError],
      ['firstIndex', '2^53', 4, 2 ** 53, RangeError],
      ['firstIndex', 'a fraction', 4, 0.1, RangeError],
    ] as const)('%s as %s', (argument, _title, at, value, error) => {
      words.fill(untouched);
      const call = (): unknown => untyped[name](...right.with(at, value));
      expect(call).toThrow(error);
      expect(call).toThrow(`${name}: ${argument} must be `);
      expect(words.every((word) => word === untouched)).toBe(true);
    });

    it('no arguments at all', () => {
      expect(() => untyped[name]()).toThrow(TypeError);
    });

    it('a run that the offset leaves no room for', () => {
      expect(() => untyped[name](words, 1, 3, constant, 0, 0)).toThrow(
        `${name}: count must be an integer from 0 to 2, received 3`,
      );
    });
  });

  describe('store paths', () => {
    const onThisProcessor = /^flags\t*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' ') ?? [];

    it.each([
      ['x64', 'avx512f', 'avx512'],
      ['x64', 'avx2', 'avx2'],
      ['x64', 'sse2', 'sse2'],
      ['arm64', undefined, 'neon'],
    ] as const)('on %s with %s are native-%3$s, plain and non-temporal', (arch, flag, name) => {
      const wanted = process.arch === arch && (flag === undefined || onThisProcessor.includes(flag));
      const found = paths.map(([, path]) => path).filter((path) => path.name.startsWith(`native-${name}`));
      const both = [
        { name: `native-${name}`, kind: 'plain', needsFlush: true },
        { name: `native-${name}-nt`, kind: 'non-temporal', needsFlush: arch !== 'x64' },
      ];
      expect(found).toEqual(wanted ? both : []);
    });

    it('are told widest first, and the sparse one last', () => {
      expect(paths.map(([, { kind }]) => kind).filter((kind) => kind === 'sparse')).toHaveLength(1);
      expect(paths.at(-1)?.[1]).toEqual({ name: 'native-sparse', kind: 'sparse', needsFlush: true });
      expect(nativeKernels.map(({ storePath, kind, needsFlush }) => ({ name: storePath, kind, needsFlush }))).toEqual(
        paths.map(([, path]) => path),
      );
    });

    it.each([
      ['undefined', undefined, TypeError],
      ['−1', -1, RangeError],
      ['a fraction', 0.5, RangeError],
      ['one behind the last', paths.length, RangeError],
    ] as const)('%s is refused', (_, path, error) => {
      const words = new Uint32Array(16);
      expect(() => addon.fill(words, 0, 1, constant, 0, path as number)).toThrow(error);
      expect(() => addon.fill(words, 0, 1, constant, 0, path as number)).toThrow('fill: path must be ');
      expect(words.every((word) => word === 0)).toBe(true);
    });

    property.prop([
      fc.uint8Array({ minLength: 128, maxLength: 128 }),
      fc.nat({ max: 2000 }),
      fc.nat({ max: 40 }),
      fc.nat({ max: 2 ** 28 - 2001 }),
    ])('write the same bytes as the JS kernel', (bytes, count, at, index) => {
      // the JS kernel is exact for steps of up to 2^24 in a word
      const line = new Uint32Array(bytes.buffer).map((word, place) =>
        place < descriptorWords ? word : word % 2 ** 24,
      );
      const wanted = new Uint32Array(at + count * descriptorWords + 5);
      jsKernel.fill(wanted, at, count, line, index);
      for (const [path, { name }] of paths) {
        const words = new Uint32Array(wanted.length);
        addon.fill(words, at, count, line, index, path);
        expect(Buffer.compare(bytesOf(words), bytesOf(wanted)), name).toBe(0);
      }
    });
  });

  it('finds no memory in a buffer that was transferred away', () => {
    const words = new Uint32Array(16);
    structuredClone(words.buffer, { transfer: [words.buffer] });
    expect(() => addon.fill(words, 0, 1, constant, 0, 0)).toThrow(RangeError);
    expect(addon.fill(words, 0, 0, constant, 0, 0)).toBe(0);
  });

  it('allocates nothing on the JavaScript heap', () => {
    // In a process of its own, where nobody else allocates, with a young generation so large that nothing is collected.
    const script = `
      const addon = require(${JSON.stringify(loaderPath)})(${JSON.stringify(projectRoot)});
      const words = new Uint32Array(new SharedArrayBuffer(4096));
      const line = new Uint32Array(32).fill(7);
      function run(calls) {
        let wrong = 0;
        for (let i = 0; i < calls; i++) {
          wrong += addon.fill(words, i % 16, 3, line, i, i % 3) + addon.check(words, i % 16, 3, line, i);
          wrong += addon.firstDifference(words, i % 16, 3, line, i) + 1;
        }
        return wrong;
      }
      let wrong = 0;
      const grown = [];
      for (let round = 0; round < 8; round++) {
        const before = process.memoryUsage().heapUsed;
        wrong += run(100000);
        grown.push(process.memoryUsage().heapUsed - before);
      }
      process.stdout.write(JSON.stringify({ wrong, grown }));
    `;
    const output = execFileSync(process.execPath, [
      '--max-semi-space-size=64',
      '--min-semi-space-size=64',
      '-e',
      script,
    ]);
    const { wrong, grown } = JSON.parse(output.toString()) as { wrong: number; grown: number[] };
    expect(wrong).toBe(0);
    // The rounds in which V8 compiles count its notes as well: the least is what the calls take. One object a call would be
    // megabytes; what is seen is the memory report itself.
    expect(Math.min(...grown)).toBeLessThan(10_000);
  });
});
