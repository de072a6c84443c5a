/** Options of open: what they become, and that a wrong one is refused by its name. */
import { describe, expect, it } from 'vitest';
import {
  type AttachOptions,
  checkAttachOptions,
  checkOptions,
  defaults,
  isAttachOptions,
  type OpenOptions,
} from '../dist/src/options.js';
import { readAllowedCpus } from '../dist/src/physical/detect.js';
import { refusalOf } from './physical/errors.js';
import { machine, ram } from './support/regions.js';

const small = machine(ram(0, 512));

/** Checks options whose types are deliberately wrong, beside a small machine. */
function check(options: Record<string, unknown>): ReturnType<typeof checkOptions> {
  return checkOptions({ topology: small, ...options } as OpenOptions);
}

function checkTable(options: Record<string, unknown>): ReturnType<typeof checkOptions> {
  return checkOptions({ slots: 10, ...options } as OpenOptions);
}

describe('options that are left out', () => {
  it('get their defaults', () => {
    expect(checkOptions({ topology: small })).toEqual({
      topology: small,
      table: undefined,
      backing: 'huge',
      policy: 'hotplug',
      threadsPerNode: undefined,
      chunkPages: undefined,
      profile: 'linux-6.1',
      sharesTails: false,
      poison: false,
      signal: undefined,
    });
    expect(defaults).toEqual({ backing: 'huge', policy: 'hotplug', profile: 'linux-6.1' });
    expect(Object.isFrozen(defaults)).toBe(true);
  });

  it('may also be given as undefined', () => {
    const options = { backing: undefined, policy: undefined, threadsPerNode: undefined, slots: undefined };
    expect(check(options)).toEqual(checkOptions({ topology: small }));
  });
});

describe('a misuse is refused by the name of the option', () => {
  it.each([
    [{ backing: 'disk' }, 'backing must be huge or shared or hugetlb or file or devdax, not disk'],
    [{ backing: null }, 'backing must be huge or shared or hugetlb or file or devdax, not null'],
    [{ backing: 'toString' }, 'backing must be huge or shared or hugetlb or file or devdax, not toString'],
    [{ backing: 'file' }, 'the backing file needs file, a path'],
    [{ backing: 'devdax' }, 'the backing devdax needs file, a path'],
    [{ file: '' }, 'file must be a path'],
    [{ file: 5 }, 'file must be a path'],
    [{ file: null }, 'file must be a path'],
    [{ file: 'a\0b' }, 'file must be a path'],
    [{ file: 'memmap', backing: 'shared' }, 'file goes with the backings file and devdax'],
    [{ file: 'memmap', backing: 'huge' }, 'file goes with the backings file and devdax'],
    [{ file: 'memmap', backing: 'hugetlb' }, 'file goes with the backings file and devdax'],
    [{ file: 'memmap', backing: null }, 'file goes with the backings file and devdax'],
    [{ file: 'memmap', backing: 'disk' }, 'file goes with the backings file and devdax'],
    [{ file: 'memmap', durability: 'fsync' }, 'durability must be dax-sync or msync or none, not fsync'],
    [{ file: 'memmap', durability: null }, 'durability must be dax-sync or msync or none, not null'],
    [{ durability: 'none' }, 'durability and rebuild go with file'],
    [{ rebuild: true }, 'durability and rebuild go with file'],
    [{ rebuild: 'yes', file: 'memmap' }, 'rebuild must be true or false'],
    [{ rebuild: null }, 'rebuild must be true or false'],
    [{ policy: 'lazy' }, 'policy must be boot or hotplug, not lazy'],
    [{ profile: 'linux-2.6' }, 'profile must be linux-4.17 or linux-6.1 or linux-6.16, not linux-2.6'],
    [{ profile: 'toString' }, 'profile must be linux-4.17 or linux-6.1 or linux-6.16, not toString'],
    [{ shareTails: 1 }, 'shareTails must be true or false'],
    [{ shareTails: true, backing: 'hugetlb' }, 'shareTails goes with the backings huge and shared'],
    [{ shareTails: true, file: '/tmp/memmap' }, 'shareTails goes with the backings huge and shared'],
    [{ poison: 1 }, 'poison must be true or false'],
    [{ poison: null }, 'poison must be true or false'],
    [{ signal: 'SIGINT' }, 'signal must be an AbortSignal'],
    [{ signal: {} }, 'signal must be an AbortSignal'],
    [{ topology: 5 }, 'topology must be a Topology or a SPEC such as "2x64GiB"'],
    [{ topology: null }, 'topology must be a Topology or a SPEC such as "2x64GiB"'],
    [{ topology: {} }, 'topology must be a Topology or a SPEC such as "2x64GiB"'],
    [{ topology: { ...small, memory: undefined } }, 'topology must be a Topology or a SPEC such as "2x64GiB"'],
    [{ topology: { ...small, nodes: undefined } }, 'topology must be a Topology or a SPEC such as "2x64GiB"'],
    [{ topology: { ...small, memory: [null] } }, 'topology.memory must hold MemoryExtent objects'],
    ...[null, {}, { nid: 0 }, { nid: 0, cpus: [-1] }, { nid: 0, cpus: ['x'] }, { nid: 0.5, cpus: [] }].map(
      (node): [Record<string, unknown>, string] => [
        { topology: { ...small, nodes: [node] } },
        'topology.nodes[0] must have a nid of its own and cpus, a list of 0 to 8191',
      ],
    ),
    [
      { topology: { ...small, nodes: [small.nodes[0], small.nodes[0]] } },
      'topology.nodes[1] must have a nid of its own and cpus, a list of 0 to 8191',
    ],
    [{ slots: 10 }, 'give either topology or slots, not both'],
    [{ template: new Uint8Array(64) }, 'template and indexWord go with slots'],
    [{ indexWord: 0 }, 'template and indexWord go with slots'],
    [{ topology: undefined, slots: 10, movable: 4096 }, 'movable goes with a topology, not with slots'],
    [{ threads: 4 }, 'unknown option: threads'],
    [{ Backing: undefined }, 'unknown option: Backing'],
  ])('%j: %s', (options, message) => {
    expect(() => check(options)).toThrow(new TypeError(message));
  });

  it.each([null, undefined, 5, 'shared'])('the options themselves: %s', (options) => {
    expect(() => checkOptions(options as unknown as OpenOptions)).toThrow(new TypeError('options must be an object'));
  });

  it.each([
    ['threadsPerNode', -1, 0, 512],
    ['threadsPerNode', 513, 0, 512],
    ['threadsPerNode', 1.5, 0, 512],
    ['threadsPerNode', '4', 0, 512],
    ['threadsPerNode', Number.NaN, 0, 512],
    ['threadsPerNode', Number.POSITIVE_INFINITY, 0, 512],
    ['chunkPages', 0, 1, 2 ** 28],
    ['chunkPages', 2 ** 28 + 1, 1, 2 ** 28],
    ['chunkPages', 512.5, 1, 2 ** 28],
    ['movable', -1, 0, 2 ** 52],
    ['movable', 2 ** 52 + 1, 0, 2 ** 52],
    ['movable', '1GiB', 0, 2 ** 52],
  ])('%s: %s', (name, value, min, max) => {
    const message = `${name} must be a whole number from ${min} to ${max}, not ${value}`;
    expect(() => check({ [name]: value })).toThrow(new RangeError(message));
  });

  it.each([
    ['slots', 0, 1, 2 ** 40],
    ['slots', 2 ** 40 + 1, 1, 2 ** 40],
    ['slots', 1.5, 1, 2 ** 40],
    ['slots', '10', 1, 2 ** 40],
    ['indexWord', -1, 0, 15],
    ['indexWord', 16, 0, 15],
    ['indexWord', 0.5, 0, 15],
  ])('of a table, %s: %s', (name, value, min, max) => {
    const message = `${name} must be a whole number from ${min} to ${max}, not ${value}`;
    expect(() => checkTable({ [name]: value })).toThrow(new RangeError(message));
  });

  it.each([
    ['63 bytes', new Uint8Array(63)],
    ['65 bytes', new Uint8Array(65)],
    ['16 words', new Uint32Array(16)],
    ['a list', Array.from({ length: 64 }, () => 0)],
    ['a text', 'x'.repeat(64)],
  ])('a template of %s', (_, template) => {
    expect(() => checkTable({ template })).toThrow(new TypeError('template must be a Uint8Array of 64 bytes'));
  });

  it('an indexWord for more slots than a word can number', () => {
    expect(() => checkTable({ slots: 2 ** 32 + 1, indexWord: 0 })).toThrow(
      new RangeError('with indexWord a table has at most 2^32 slots: a word holds no larger number'),
    );
  });
});

describe('a file', () => {
  it('is of the backing file, made if need be, with the best durability that there is', () => {
    expect(check({ file: '/tmp/memmap' }).backing).toEqual({
      path: '/tmp/memmap',
      kind: 'file',
      durability: undefined,
      rebuild: false,
    });
  });

  it('that is a character device is of the backing devdax', () => {
    expect(check({ file: '/dev/null' }).backing).toMatchObject({ kind: 'devdax' });
  });

  it.each(['file', 'devdax'])('is of the backing that is named: %s', (backing) => {
    for (const file of ['/dev/null', '/tmp/none'])
      expect(check({ file, backing }).backing).toMatchObject({ kind: backing });
  });

  it.each(['dax-sync', 'msync', 'none'])('may be asked for durability %s, and to be started over', (durability) => {
    expect(check({ file: 'memmap', durability, rebuild: true }).backing).toMatchObject({ durability, rebuild: true });
  });

  it('may be left out together with rebuild: false', () => {
    expect(check({ rebuild: false }).backing).toBe('huge');
  });
});

describe('options of attach', () => {
  /** Checks options whose types are deliberately wrong. */
  const checkAttach = (options: Record<string, unknown>): ReturnType<typeof checkAttachOptions> =>
    checkAttachOptions({ file: 'memmap', ...options } as AttachOptions);

  it('are told from a handle by the file, and by having no kind', () => {
    expect(isAttachOptions({ file: 'memmap' })).toBe(true);
    for (const other of [{ kind: 'vmemmap-region', file: {} }, {}, null, undefined, 'memmap', 5]) {
      expect(isAttachOptions(other)).toBe(false);
    }
  });

  it('start no threads unless told to, and never start over', () => {
    expect(checkAttach({})).toEqual({
      file: { path: 'memmap', kind: 'file', durability: undefined, rebuild: false },
      settings: { threadsPerNode: 0, signal: undefined },
    });
    const { signal } = new AbortController();
    expect(checkAttach({ threadsPerNode: 3, durability: 'none', signal })).toEqual({
      file: { path: 'memmap', kind: 'file', durability: 'none', rebuild: false },
      settings: { threadsPerNode: 3, signal },
    });
  });

  it.each([
    [{ rebuild: true }, 'unknown option: rebuild'],
    [{ topology: '1x4KiB' }, 'unknown option: topology'],
    [{ policy: 'boot' }, 'unknown option: policy'],
    [{ file: '' }, 'file must be a path'],
    [{ backing: 'huge' }, 'file goes with the backings file and devdax'],
    [{ signal: 'SIGINT' }, 'signal must be an AbortSignal'],
    [{ file: undefined }, 'file must be a path'],
  ])('%j is refused: %s', (options, message) => {
    expect(() => checkAttach(options)).toThrow(new TypeError(message));
  });

  it.each([-1, 513, 0.5, '1'])('threadsPerNode: %s is refused', (threadsPerNode) => {
    expect(() => checkAttach({ threadsPerNode })).toThrow(
      new RangeError(`threadsPerNode must be a whole number from 0 to 512, not ${threadsPerNode}`),
    );
  });
});

describe('options at their bounds', () => {
  it.each([
    ['threadsPerNode', 0],
    ['threadsPerNode', 512],
    ['chunkPages', 1],
    ['chunkPages', 2 ** 28],
  ] as const)('are taken: %s %i', (name, value) => {
    expect(check({ [name]: value })[name]).toBe(value);
  });

  it.each([
    [0, undefined, 0],
    [4095, undefined, 0],
    [2 ** 52, undefined, 2 ** 40],
    [2 ** 30, 'arm64-64k', 2 ** 14],
  ] as const)('are taken: %i movable bytes, as pages of the platform %s', (movable, platform, movablePages) => {
    const topology = { ...small, ...(platform && { platform }) };
    expect(check({ topology, movable }).movablePages).toBe(movablePages);
  });

  it.each([1, 2 ** 40])('are taken: %i slots', (slots) => {
    expect(checkTable({ slots }).topology.memory).toEqual([{ nid: 0, kind: 'ram', startPfn: 0, endPfn: slots }]);
  });

  it.each([0, 15])('are taken: indexWord %i, for as many as 2^32 slots', (indexWord) => {
    expect(checkTable({ slots: 2 ** 32, indexWord }).table).toEqual({ template: new Uint8Array(64), indexWord });
  });
});

describe('a machine', () => {
  it('is taken as it is, or made from a SPEC', () => {
    expect(check({}).topology).toBe(small);
    expect(check({ topology: '1x8KiB,1x4KiB:pmem' }).topology.memory).toEqual([
      { nid: 0, kind: 'ram', startPfn: 0, endPfn: 2 },
      { nid: 1, kind: 'device', pgmap: 1, startPfn: 2, endPfn: 3 },
    ]);
  });

  it('is refused as SPEC_SYNTAX when the SPEC is wrong', () => {
    expect(refusalOf(() => check({ topology: '' })).code).toBe('SPEC_SYNTAX');
  });
});

describe('a table', () => {
  it('is one node with the CPUs of the process, one run of records, and no zones', () => {
    const { topology, table } = checkTable({});
    expect(topology).toEqual({
      source: 'table',
      nodes: [{ nid: 0, cpus: readAllowedCpus() }],
      memory: [{ nid: 0, kind: 'ram', startPfn: 0, endPfn: 10 }],
      zoned: false,
      notes: [],
    });
    expect(table).toEqual({ template: new Uint8Array(64) });
  });

  it('keeps the template that it is given', () => {
    const template = Uint8Array.from({ length: 64 }, (_, byte) => byte);
    expect(checkTable({ template, indexWord: 4 }).table).toEqual({ template, indexWord: 4 });
  });
});
