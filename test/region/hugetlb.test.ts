/** Reserved huge pages: which pool is taken, what is told when there are too few, and real ones where this machine lets us. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { addonState, Memmap } from '../../dist/src/index.js';
import { addon } from '../../dist/src/native.js';
import { allocateData, chooseBacking } from '../../dist/src/region/backing.js';
import {
  chooseHugetlb,
  type HugetlbPool,
  isHugetlbLimited,
  readHugetlbPools,
  refuseHugetlb,
} from '../../dist/src/region/hugetlb.js';
import { refusalOf } from '../physical/errors.js';
import { makeTree } from '../physical/made-tree.js';
import { runNode } from '../support/child.js';
import { machine, ram } from '../support/regions.js';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const isLoaded = addonState().loaded;
const pool = (pageSizeBytes: number, freePages: number, surplusPages = 0): HugetlbPool => ({
  pageSizeBytes,
  freePages,
  surplusPages,
  pages: freePages + 3,
});

function poolFiles(kib: number, values: Record<string, number>): Record<string, string> {
  const all = {
    nr_hugepages: 0,
    free_hugepages: 0,
    resv_hugepages: 0,
    nr_overcommit_hugepages: 0,
    surplus_hugepages: 0,
    ...values,
  };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [`hugepages-${kib}kB/${name}`, `${value}\n`]));
}

describe('the pools', () => {
  it('are read smallest first, less what is promised to others', () => {
    const root = makeTree({
      ...poolFiles(1_048_576, { nr_hugepages: 2, free_hugepages: 1 }),
      ...poolFiles(2048, {
        nr_hugepages: 100,
        free_hugepages: 50,
        resv_hugepages: 20,
        nr_overcommit_hugepages: 7,
        surplus_hugepages: 2,
      }),
    });
    expect(readHugetlbPools(root)).toEqual([
      { pageSizeBytes: 2 * MiB, pages: 100, freePages: 30, surplusPages: 5 },
      { pageSizeBytes: GiB, pages: 2, freePages: 1, surplusPages: 0 },
    ]);
  });

  it('are none where the kernel has no hugetlb', () => {
    expect(readHugetlbPools('/nowhere')).toEqual([]);
  });
});

describe('a limit on reserved huge pages', () => {
  const limited = (cgroup: string, files: Record<string, string>, pageSizeBytes = 2 * MiB): boolean => {
    const root = makeTree({ 'proc/self/cgroup': cgroup, ...files });
    return isHugetlbLimited(pageSizeBytes, { procRoot: `${root}/proc`, sysRoot: `${root}/sys` });
  };

  it.each([
    ['of the group itself', '0::/a/b\n', { 'sys/fs/cgroup/a/b/hugetlb.2MB.max': '4194304\n' }, true],
    [
      'of a group above it',
      '0::/a/b\n',
      { 'sys/fs/cgroup/a/hugetlb.2MB.max': '0\n', 'sys/fs/cgroup/a/b/hugetlb.2MB.max': 'max\n' },
      true,
    ],
    [
      'of the group that a namespace shows as the root',
      '0::/\n',
      { 'sys/fs/cgroup/hugetlb.2MB.max': '2097152\n' },
      true,
    ],
    [
      'of the first hierarchy',
      '3:hugetlb:/a\n0::/\n',
      { 'sys/fs/cgroup/hugetlb/a/hugetlb.2MB.limit_in_bytes': '2097152\n' },
      true,
    ],
    ['that is none', '0::/a\n', { 'sys/fs/cgroup/a/hugetlb.2MB.max': 'max\n' }, false],
    [
      'that is none in the first hierarchy',
      '3:hugetlb:/a\n',
      { 'sys/fs/cgroup/hugetlb/a/hugetlb.2MB.limit_in_bytes': '9223372036852678656\n' },
      false,
    ],
    ['for pages of another size', '0::/a\n', { 'sys/fs/cgroup/a/hugetlb.1GB.max': '0\n' }, false],
    ['of a group beside it', '0::/a\n', { 'sys/fs/cgroup/b/hugetlb.2MB.max': '0\n' }, false],
    ['of another controller', '3:memory:/a\n', { 'sys/fs/cgroup/hugetlb/a/hugetlb.2MB.limit_in_bytes': '0\n' }, false],
  ])('%s is seen for what it is', (_, cgroup, files, wanted) => {
    expect(limited(cgroup, files as Record<string, string>)).toBe(wanted);
  });

  it.each([
    ['beside hierarchies of the first version', '0::/a\n', 'unified/a/hugetlb.2MB.max'],
    ['mounted together with others', '3:pids,hugetlb:/a\n', 'pids,hugetlb/a/hugetlb.2MB.limit_in_bytes'],
    ['mounted together with others, by its own name', '3:pids,hugetlb:/a\n', 'hugetlb/a/hugetlb.2MB.limit_in_bytes'],
  ])('is found where it is %s', (_, cgroup, file) => {
    expect(limited(cgroup, { [`sys/fs/cgroup/${file}`]: '4194304\n' })).toBe(true);
  });

  it.each([
    ['all nodes that have memory', '0-1', '0-1', false],
    ['more nodes than have memory', '0-63', '0', false],
    ['not all nodes', '1', '0-1', true],
  ])('is what a process has that may use %s', (_, allowed, withMemory, wanted) => {
    const files = {
      'proc/self/status': `Name:\tnode\nMems_allowed:\t3\nMems_allowed_list:\t${allowed}\n`,
      'sys/devices/system/node/has_memory': `${withMemory}\n`,
    };
    expect(limited('0::/\n', files)).toBe(wanted);
  });

  it.each([
    ['64KB', 2 ** 16],
    ['32MB', 2 ** 25],
    ['1GB', GiB],
  ])('on pages of %s is looked for under that name', (name, pageSizeBytes) => {
    expect(limited('0::/\n', { [`sys/fs/cgroup/hugetlb.${name}.max`]: '0\n' }, pageSizeBytes)).toBe(true);
  });

  it('is none without control groups', () => {
    expect(isHugetlbLimited(2 * MiB, { procRoot: '/nowhere', sysRoot: '/nowhere' })).toBe(false);
  });
});

describe.skipIf(!isLoaded)(`the choice of a pool${isLoaded ? '' : ' (skipped: the addon is not loaded)'}`, () => {
  it.each([
    ['the small pages, when they are enough', [8 * MiB], [pool(2 * MiB, 4)], 2 * MiB],
    ['what the kernel may add counts, too', [8 * MiB], [pool(2 * MiB, 1, 3)], 2 * MiB],
    ['the large pages, when every range fills half of one', [GiB, GiB / 2], [pool(2 * MiB, 9999), pool(GiB, 2)], GiB],
    [
      'the small pages, when a range would waste more than half of a large one',
      [GiB, GiB / 2 - 64],
      [pool(2 * MiB, 9999), pool(GiB, 2)],
      2 * MiB,
    ],
    ['the small pages, when there are too few large ones', [GiB, GiB], [pool(2 * MiB, 9999), pool(GiB, 1)], 2 * MiB],
    ['the large pages, when there are too few small ones', [GiB], [pool(2 * MiB, 511), pool(GiB, 1)], GiB],
    ['small pages for a range that fills none', [64], [pool(2 * MiB, 1), pool(GiB, 1)], 2 * MiB],
  ] as const)('is %s', (_, sizes, pools, wanted) => {
    expect(chooseHugetlb(sizes, pools).pageSizeBytes).toBe(wanted);
  });

  it('is refused with the command that reserves what lacks', () => {
    const { code, message } = refusalOf(() => chooseHugetlb([8 * MiB, 64], [pool(2 * MiB, 4), pool(GiB, 0)]));
    expect([code, message]).toEqual([
      'BACKING_UNAVAILABLE',
      '5 huge pages of 2 MiB are needed, 4 are free; as root: echo 8 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages',
    ]);
    expect(refusalOf(() => chooseHugetlb([64], []))).toMatchObject({ code: 'BACKING_UNAVAILABLE' });
  });

  it('that the kernel then refuses says so, too', () => {
    expect(refuseHugetlb(pool(GiB, 2), 2, 'ENOMEM').message).toBe(
      '2 huge pages of 1 GiB are needed, 2 are free (ENOMEM); as root: echo 7 > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages',
    );
  });
});

it('without the addon is ADDON_MISSING', async () => {
  const url = new URL('../../dist/src/index.js', import.meta.url).href;
  const code = `import { Memmap } from '${url}'; Memmap.open({ topology: '1x1GiB', backing: 'hugetlb' }).catch(({ code }) => console.log(code));`;
  const { stdout } = await runNode(['--input-type=module', '--eval', code], { env: { VMEMMAP_ADDON: 'off' } });
  expect(stdout).toBe('ADDON_MISSING\n');
});

describe('real huge pages', () => {
  const path = '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages';
  let before: string | undefined;
  afterAll(() => {
    if (before !== undefined) writeFileSync(path, before);
  });
  const small = (): HugetlbPool => readHugetlbPools()[0] as HugetlbPool;

  /** Lets so many pages be free, or the test is skipped and says why. */
  function reserve(context: TestContext, free: number): void {
    if (!isLoaded) context.skip('the addon is not loaded');
    try {
      before ??= readFileSync(path, 'utf8');
      writeFileSync(path, String(small().pages + free - small().freePages));
    } catch (error) {
      context.skip(`huge pages cannot be reserved here: ${(error as Error).message}`);
    }
    const { freePages } = small();
    if (freePages < free) context.skip(`only ${freePages} of ${free} huge pages could be reserved`);
  }

  /** 2^20 pages: 64 MiB of descriptors, and a range of less than a huge page beside it. */
  const topology = machine(ram(0, 2 ** 20), ram(2 ** 21, 4096, 1));

  it('hold the descriptors, are told as what they are, and go back to the pool at close', async (context) => {
    reserve(context, 40);
    const { freePages } = small();
    const memmap = await Memmap.open({ topology, backing: 'hugetlb', threadsPerNode: 1 });
    expect(small().freePages).toBe(freePages - 33);
    memmap.fault(2 ** 21 + 5);
    await memmap.ready;
    expect(await memmap.verify()).toEqual({ checked: 2 ** 20 + 4096, wrong: 0, firstWrongPfn: -1, failed: 0 });
    expect(memmap.backing).toEqual({
      requested: 'hugetlb',
      effective: 'hugetlb',
      pageSize: 2 * MiB,
      firstTouch: 'store',
      durability: 'none',
    });
    expect(memmap.residency()).toEqual({ residentBytes: 66 * MiB, hugeBytes: 66 * MiB, pageSize: 2 * MiB });
    const again = await memmap.reinitialize();
    await again.ready;
    expect(await again.verify()).toMatchObject({ wrong: 0 });
    const [range] = again.ranges;
    await again.close();
    expect(small().freePages).toBe(freePages);
    // a late reader sees zeros, and does not crash
    expect(range?.words[0]).toBe(0);
  });

  it('that are too few are refused, and the command that is told mends it', async (context) => {
    reserve(context, 3);
    const error = await Memmap.open({ topology, backing: 'hugetlb' }).catch((reason) => reason);
    expect(error).toMatchObject({
      code: 'BACKING_UNAVAILABLE',
      message: expect.stringContaining('33 huge pages of 2 MiB are needed, 3 are free'),
    });
    const [, count, file] = /as root: echo (\d+) > (\S+)$/.exec(error.message) ?? [];
    expect(file).toBe(path);
    writeFileSync(path, count ?? '');
    await using memmap = await Memmap.open({ topology, backing: 'hugetlb', threadsPerNode: 0 });
    expect(memmap.fault(0)).toBe('claimed');
  });

  it('are taken for a range when it comes, and go back to the pool when it goes', async (context) => {
    reserve(context, 60);
    const { freePages } = small();
    const hotplug = { ranges: 2, pages: 2 ** 19 };
    const memmap = await Memmap.open({ topology, backing: 'hugetlb', threadsPerNode: 1, hotplug });
    // the pool is counted when nobody touches a page: it is told in two files
    await memmap.ready;
    expect(small().freePages).toBe(freePages - 33);
    // half of the last page of them is nobody's
    memmap.addRange(ram(2 ** 22, 2 ** 19 - 2 ** 14));
    await memmap.ready;
    expect(small().freePages).toBe(freePages - 33 - 16);
    expect(memmap.residency()).toEqual({ residentBytes: 98 * MiB, hugeBytes: 98 * MiB, pageSize: 2 * MiB });
    expect(await memmap.verify()).toMatchObject({ wrong: 0, failed: 0 });
    const add = (): unknown => memmap.addRange(ram(2 ** 23, 2 ** 19));
    writeFileSync(path, String(small().pages - small().freePages + 11));
    expect(refusalOf(add)).toMatchObject({
      code: 'BACKING_UNAVAILABLE',
      message: expect.stringContaining('16 huge pages of 2 MiB are needed, 11 are free (ENOMEM)'),
    });
    expect(memmap.ranges.length).toBe(3);
    const { words } = memmap.rangeOf(2 ** 22);
    await memmap.removeRange(2 ** 22);
    expect(small().freePages).toBe(11 + 16);
    expect([words[0], words.at(-1)]).toEqual([0, 0]);
    add();
    await memmap.ready;
    expect(await memmap.verify()).toMatchObject({ checked: 2 ** 20 + 4096 + 2 ** 19, wrong: 0 });
    await memmap.close();
    expect(small().freePages).toBe(11 + 16 + 33);
  });

  it('that vanish between the question and the mapping are refused, too', (context) => {
    reserve(context, 40);
    if (!addon) return;
    const { mapHugePages } = addon;
    addon.mapHugePages = () => 12;
    try {
      expect(refusalOf(() => allocateData(chooseBacking('hugetlb'), [{ sizeBytes: 2 * MiB }]))).toMatchObject({
        code: 'BACKING_UNAVAILABLE',
        message: expect.stringContaining('(ENOMEM)'),
      });
    } finally {
      addon.mapHugePages = mapHugePages;
    }
  });
});

describe.skipIf(!isLoaded)('mapHugePages and unmapHugePages refuse', () => {
  const view = new Uint32Array(new SharedArrayBuffer(64 * MiB));
  it.each(['mapHugePages', 'unmapHugePages'] as const)('what is not aligned, nothing, and misuse: %s', (name) => {
    const call = addon?.[name] as (view: Uint32Array, pageSizeBytes: number) => number;
    expect(call(view, 2 * MiB)).toBe(22);
    expect(call(view.subarray(0, 0), 2 * MiB)).toBe(22);
    expect(() => call(view, 3)).toThrow(RangeError);
    expect(() => call([] as never, 2 * MiB)).toThrow(TypeError);
  });
});
