/** Backings: what is asked for, what is got, why they differ, and what of it is in memory. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, type TestContext } from 'vitest';
import { type Addon, addon, addonState } from '../../dist/src/native.js';
import { makePlan } from '../../dist/src/plan.js';
import {
  allocateData,
  type BackingReport,
  chooseBacking,
  errnoName,
  type MemoryBackingName,
} from '../../dist/src/region/backing.js';
import { Region } from '../../dist/src/region/region.js';
import { readResidency } from '../../dist/src/region/residency.js';
import { refusalOf } from '../physical/errors.js';
import { runNode } from '../support/child.js';
import { actorOn, add } from '../support/hot.js';
import { firstRange, machine, ram } from '../support/regions.js';

const MiB = 2 ** 20;
const backingUrl = new URL('../../dist/src/region/backing.js', import.meta.url).href;
const residencyUrl = new URL('../../dist/src/region/residency.js', import.meta.url).href;

/** The addon, or the test is skipped and says why. */
function needAddon(context: TestContext): Addon {
  const state = addonState();
  if (!addon || !state.loaded) return context.skip(`the addon is not loaded: ${state.loaded ? '' : state.reason}`);
  return addon;
}

/** The addon, where the kernel gives transparent huge pages to who asks. */
function needHugePages(context: TestContext): Addon {
  const loaded = needAddon(context);
  const setting = readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').trim();
  if (setting.includes('[never]')) return context.skip(`transparent huge pages are off on this machine: ${setting}`);
  return loaded;
}

/** Runs a module without the addon, and gives back what it prints as JSON. */
async function withoutAddon(module: string): Promise<unknown> {
  const { status, stdout, stderr } = await runNode(['--input-type=module', '--eval', module], {
    env: { VMEMMAP_ADDON: 'off' },
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** What is got for ranges of so many bytes. */
function allocate(name: MemoryBackingName, sizesBytes: readonly number[]): ReturnType<typeof allocateData> {
  return allocateData(
    chooseBacking(name),
    sizesBytes.map((sizeBytes) => ({ sizeBytes })),
  );
}

describe('the backing shared', () => {
  it('is got as asked for, and promises no durability', () => {
    expect(allocate('shared', [4096]).report).toEqual({
      requested: 'shared',
      effective: 'shared',
      pageSize: 4096,
      firstTouch: addon ? 'populate' : 'store',
      durability: 'none',
    } satisfies BackingReport);
  });

  it('gives each range a buffer of its own with room for its bytes, which read as zeros', () => {
    const sizes = [64, 64 * 32_768, 64 * 32_769];
    const { data } = allocate('shared', sizes);
    expect(new Set(data.map(({ buffer }) => buffer)).size).toBe(3);
    for (const [index, { buffer, byteOffset }] of data.entries()) {
      const bytes = new Uint8Array(buffer, byteOffset, sizes[index]);
      expect(bytes.every((byte) => byte === 0)).toBe(true);
    }
  });

  it('starts descriptors at a cache line', (context) => {
    const { addressOf } = needAddon(context);
    for (const { buffer, byteOffset } of allocate('shared', [64, 4 * MiB]).data) {
      expect(addressOf(new Uint32Array(buffer, byteOffset, 1)) % 64n).toBe(0n);
    }
  });

  it('refuses what no address space has room for with NO_MEMORY', () => {
    const { code, message, cause } = refusalOf(() => allocate('shared', [2 ** 52]));
    expect([code, message]).toEqual([
      'NO_MEMORY',
      '4194304.0 GiB of descriptors cannot be reserved; use a smaller machine',
    ]);
    expect(cause).toBeInstanceOf(RangeError);
  });
});

describe('the backing huge', () => {
  it('falls back to shared without the addon, and says why', async () => {
    const code = `import { allocateData, chooseBacking } from '${backingUrl}'; const { report } = allocateData(chooseBacking('huge'), [{ sizeBytes: 4e6 }]); console.log(JSON.stringify(report));`;
    expect(await withoutAddon(code)).toEqual({
      requested: 'huge',
      effective: 'shared',
      reason: 'the addon is not loaded (VMEMMAP_ADDON=off)',
      pageSize: 4096,
      firstTouch: 'store',
      durability: 'none',
    });
  });

  it('is shared where no range fills a huge page, and says so', (context) => {
    needHugePages(context);
    expect(allocate('huge', [2 * MiB - 64, 4096]).report).toEqual({
      requested: 'huge',
      effective: 'shared',
      reason: 'no range fills a huge page of descriptors',
      pageSize: 4096,
      firstTouch: 'populate',
      durability: 'none',
    });
  });

  it('starts descriptors at 2 MiB, but those of less than 2 MiB at a cache line', (context) => {
    const { addressOf } = needHugePages(context);
    const { data, report } = allocate('huge', [2 * MiB - 64, 2 * MiB, 5 * MiB]);
    const [small, ...large] = data.map(({ buffer, byteOffset }) => addressOf(new Uint32Array(buffer, byteOffset, 1)));
    expect(large.map((address) => address % 2n ** 21n)).toEqual([0n, 0n]);
    expect((small ?? 1n) % 64n).toBe(0n);
    expect(data[0]?.buffer.byteLength).toBe(2 * MiB - 64 + 64);
    expect(report).toEqual({
      requested: 'huge',
      effective: 'huge',
      pageSize: 2 * MiB,
      firstTouch: 'store',
      durability: 'none',
    });
  });
});

describe('memory that is to come from a node', () => {
  it('is bound to it, and what the kernel says against that is told', (context) => {
    const loaded = needAddon(context);
    const { preferNode } = loaded;
    const asked: number[] = [];
    try {
      loaded.preferNode = (_, nid) => {
        asked.push(nid);
        return nid === 2 ? 1 : 0;
      };
      const need = (hostNid?: number) => ({ sizeBytes: 4096, hostNid });
      expect(allocateData(chooseBacking('shared'), [need(0), need(), need(2), need(1)]).report.nodeErrno).toBe(1);
      expect(asked).toEqual([0, 2, 1]);
      expect(allocateData(chooseBacking('shared'), [need(0)]).report).not.toHaveProperty('nodeErrno');
    } finally {
      loaded.preferNode = preferNode;
    }
  });
});

describe('residency', () => {
  it('of huge pages is what was touched, in pages of 2 MiB', (context) => {
    needHugePages(context);
    const region = Region.create(
      makePlan(machine(ram(0, 2 ** 20)), { profile: 'linux-6.1' }),
      'hotplug',
      chooseBacking('huge'),
    );
    expect(readResidency(region)).toEqual({ residentBytes: 0, hugeBytes: 0, pageSize: 4096 });
    firstRange(region).words.fill(1, 0, 4 * MiB);
    const residency = readResidency(region);
    expect(residency?.residentBytes).toBe(16 * MiB);
    const given = (residency?.hugeBytes ?? 0) / (2 * MiB);
    if (given < 8) return context.skip(`the kernel had only ${given} of 8 huge pages to give`);
    expect(residency).toEqual({ residentBytes: 16 * MiB, hugeBytes: 16 * MiB, pageSize: 2 * MiB });
  });

  it('of small pages counts what was touched in every range, and hardly more', (context) => {
    needAddon(context);
    const topology = machine(ram(0, 2 ** 20), ram(2 ** 21, 2 ** 20));
    const region = Region.create(makePlan(topology, { profile: 'linux-6.1' }), 'hotplug', chooseBacking('shared'));
    // page 0 holds what the allocator notes about the buffer, too
    const before = readResidency(region)?.residentBytes ?? 0;
    for (const { words } of region.ranges) for (let page = 1; page <= 1024; page++) words[page * 1024] = 1;
    const grown = (readResidency(region)?.residentBytes ?? 0) - before;
    // the kernel counts by mapping, and one that touches ours may be of somebody else, and grow or shrink meanwhile
    expect(grown).toBeGreaterThan(7 * MiB);
    expect(grown).toBeLessThan(10 * MiB);
    expect(readResidency(region)?.pageSize).toBe(4096);
  });

  it('is unknown without the addon, which knows the addresses', async () => {
    const code = `import { readResidency } from '${residencyUrl}'; console.log(String(readResidency({ ranges: [] })) === 'undefined');`;
    expect(await withoutAddon(code)).toBe(true);
  });
});

describe('errnoName', () => {
  it('names what this system knows, and numbers the rest', () => {
    expect([errnoName(12), errnoName(28), errnoName(99_999)]).toEqual(['ENOMEM', 'ENOSPC', 'errno 99999']);
  });
});

describe('room for ranges that come later', () => {
  const GiB = 2 ** 30;

  it.each([
    ['smaller than a huge page, all in one buffer', 'huge', { ranges: 100, pages: 1000 }, 1],
    ['of a section each, in one buffer', 'huge', { ranges: 100, pages: 32_768 }, 1],
    ['of small pages', 'shared', { ranges: 100, pages: 32_769 }, 1],
    ['of 96 MiB each, ten in a buffer', 'huge', { ranges: 21, pages: 96 * 2 ** 14 }, 3],
    ['of half a buffer and more, each in its own', 'shared', { ranges: 3, pages: 2 ** 23 + 1 }, 3],
    ['larger than a buffer for several', 'huge', { ranges: 2, pages: 2 ** 25 }, 2],
  ] as const)('has a place for each, apart from all others: %s', (_, name, room, buffers) => {
    const { data } = allocateData(chooseBacking(name), [{ sizeBytes: 4096 }], room);
    expect(data.length).toBe(1 + room.ranges);
    expect(new Set(data.slice(1).map(({ buffer }) => buffer)).size).toBe(buffers);
    const ends = new Map<SharedArrayBuffer, number>();
    for (const { buffer, byteOffset } of data.slice(1)) {
      expect(byteOffset).toBeGreaterThanOrEqual(ends.get(buffer) ?? 0);
      expect(byteOffset + room.pages * 64).toBeLessThanOrEqual(buffer.byteLength);
      ends.set(buffer, byteOffset + room.pages * 64);
    }
    for (const { byteLength } of ends.keys()) expect(byteLength).toBeLessThan(2 * GiB + 4 * MiB);
  });

  it('begins at huge pages where it is to have some, and is advised to the kernel', (context) => {
    const loaded = needHugePages(context);
    const { data } = allocateData(chooseBacking('huge'), [{ sizeBytes: 64 }], { ranges: 3, pages: 32_768 + 1 });
    for (const { buffer, byteOffset } of data.slice(1)) {
      expect(loaded.bytesToBoundary(new Uint8Array(buffer, byteOffset, 1), 2 * MiB)).toBe(0);
    }
    const region = Region.create(
      makePlan(machine(ram(0, 2 ** 20)), { profile: 'linux-6.1' }),
      'hotplug',
      chooseBacking('huge'),
      undefined,
      {
        room: { ranges: 1, pages: 2 ** 20, chunks: 2049 },
        terms: {
          machine: { zoned: false },
          options: { profile: 'linux-6.1' },
          hosts: new Map(),
          hasThreads: false,
          poisons: false,
        },
      },
    );
    const actor = actorOn(region);
    add(actor, ram(2 ** 20, 2 ** 20));
    actor.faults.fault(2 ** 20 + 5, 0);
    expect(readResidency(actor.region)).toMatchObject({ pageSize: 2 * MiB });
  });

  it('is nothing when nobody asks for it', () => {
    expect(allocateData(chooseBacking('shared'), [{ sizeBytes: 4096 }]).data.length).toBe(1);
  });
});
