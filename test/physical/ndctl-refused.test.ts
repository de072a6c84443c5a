/** Tests of listings of ndctl that make no sense, and of anything at all. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { fromNdctlFile, readNdctl } from '../../dist/src/physical/ndctl.js';
import { planRanges } from '../../dist/src/physical/zones.js';
import { orRefused, refusalOf } from './errors.ts';
import { mib, namespace, told } from './listed.ts';

describe('refused at its place is', () => {
  it.each<[string, unknown, string]>([
    ['a namespace without a mode', [namespace({ mode: undefined })], 'column 2: expected a "mode": fsdax'],
    ['one without a size', [namespace({ size: undefined })], 'column 2: expected a "size" in bytes'],
    ['a size that is rounded', [namespace({ size: '1008.00 GiB (1082.33 GB)' })], 'list without -u'],
    ['a size of less than a page', [namespace({ size: 4095 })], 'expected "size" to be at least a page'],
    ['a negative size', [namespace({ size: -4096 })], 'expected "size" to be a whole number'],
    [
      'a size beyond all memory',
      [namespace({ size: 2 ** 52 + 1 })],
      'expected "size" to be a whole number up to 4503599627370496',
    ],
    [
      'a size that would end beyond 2^52',
      [namespace({ size: 2 ** 52 - 4096 })],
      'expected namespace0.0 to end below 2^52',
    ],
    ['a fraction', [namespace({ size: 4096.5 })], 'expected "size" to be a whole number'],
    ['an alignment that is none', [namespace({ align: 3 * mib })], 'expected "align" to be a power of two from 4096'],
    ['a map that is none', [namespace({ map: 'none' })], 'expected "map" to be "mem" or "dev"'],
    ['a map that is no text', [namespace({ map: 1 })], 'expected "map" to be a text'],
    ['a node that cannot be', [namespace({ numa_node: 1024 })], 'expected "numa_node" to be a whole number up to 1023'],
    [
      'the same bytes twice',
      [namespace({ resource: 0 }), namespace({ dev: 'namespace0.1', resource: mib })],
      'expected namespace0.1 to overlap',
    ],
  ])('%s', (_, value, message) => {
    const error = refusalOf(() => told(value));
    expect(error.code).toBe('NDCTL_SYNTAX');
    expect(error.message).toContain('list.json, line 1, column ');
    expect(error.message).toContain(message);
    expect(error.received).toBe('list.json');
  });

  it.each([[[]], [{}], [[namespace({ mode: 'raw' })]], ['text'], [null]])('what lists no device: %j', (value) => {
    const error = refusalOf(() => told(value));
    expect(error.code).toBe('DETECT_FAILED');
    expect(error.message).toMatch(/^list\.json lists no device with page descriptors/);
  });

  it('a file that is not there', () => {
    expect(refusalOf(() => fromNdctlFile('/nonexistent', [0])).message).toMatch(
      /^\/nonexistent cannot be read: ENOENT/,
    );
  });
});

const anyValue = fc.oneof(
  fc.constantFrom('fsdax', 'devdax', 'system-ram', 'mem', 'dev', 'raw', 'disabled', '0x100000000', true, false, null),
  fc.integer({ min: -2, max: 2048 }),
  fc.integer({ min: 0, max: 52 }).map((bits) => 2 ** bits),
  fc.double(),
  fc.string(),
);
const anyDevice = fc.record(
  {
    dev: fc.constantFrom('namespace0.0', 'namespace0.1', 'namespace1.0', 'region0', 'x'),
    chardev: fc.constantFrom('dax0.0', 'dax1.0', 7),
    mode: fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom('fsdax', 'devdax', 'system-ram') },
      { weight: 1, arbitrary: anyValue },
    ),
    map: fc.oneof({ weight: 5, arbitrary: fc.constantFrom('mem', 'dev') }, { weight: 1, arbitrary: anyValue }),
    size: anyValue,
    align: fc.oneof(fc.constantFrom(4096, 2 * mib, 2 ** 30), anyValue),
    numa_node: anyValue,
    target_node: anyValue,
    resource: anyValue,
    state: anyValue,
  },
  { requiredKeys: [] },
);
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { weight: 6, arbitrary: anyDevice },
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('regions', 'namespaces', 'numa_node'), tie('node'), { maxKeys: 3 }),
  ),
})).node;

prop.prop(
  [
    fc.oneof(
      fc.string(),
      tree.map((value) => JSON.stringify(value)),
    ),
  ],
  { numRuns: 300 },
)('any text gives memory that can be planned, NDCTL_SYNTAX or DETECT_FAILED', (text) => {
  const found = orRefused(() => readNdctl(text, [0]), 'NDCTL_SYNTAX', 'DETECT_FAILED');
  if (found !== undefined) {
    expect(planRanges(found).length).toBeGreaterThan(0);
    for (const { altmap, startPfn, endPfn } of found.memory) {
      expect((altmap?.reservePages ?? 0) + (altmap?.memmapPages ?? 0)).toBeLessThan(endPfn - startPfn);
    }
  }
});
