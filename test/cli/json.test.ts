/** `init --json`: one object on stdout, with the keys that scripts rely on, and nothing anywhere else. */
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/child.js';

const machine = ['--simulate', '2x16MiB,2x64MiB:pmem'];

/** Runs init with --json; the object, after checking that it is all there is. */
async function json(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await runCli(['init', '--json', ...words], { env });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const report = JSON.parse(stdout) as Record<string, unknown>;
  expect(stdout).toBe(`${JSON.stringify(report)}\n`);
  return report;
}

/** What a value is made of: types by key, of a list those of its members. */
function shape(value: unknown): unknown {
  if (value === null) return 'null';
  if (Array.isArray(value)) return [...new Set(value.map((member) => JSON.stringify(shape(member))))].map(String);
  if (typeof value !== 'object') return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shape(member)]));
}

const listOf = (...members: unknown[]): string[] => members.map((member) => JSON.stringify(member));

const contract = {
  pages: 'number',
  ranges: listOf({
    nid: 'number',
    zone: 'string',
    kind: 'string',
    startPfn: 'number',
    endPfn: 'number',
    pages: 'number',
    uses: { present: 'number', reserved: 'number', unavailable: 'number', altmap: 'number' },
    chunkPages: 'number',
    chunks: 'number',
  }),
  platform: 'string',
  threads: 'number',
  storePath: 'string',
  backing: { requested: 'string', effective: 'string', pageSize: 'number', durability: 'string' },
  openMs: 'number',
  firstFaultUs: 'number',
  totalMs: 'number',
  pagesPerSecond: 'number',
  faults: {
    count: 'number',
    p50Us: 'number',
    p99Us: 'number',
    maxUs: 'number',
    claimed: 'number',
    waited: 'number',
    alreadyReady: 'number',
  },
  verify: { checked: 'number', wrong: 'number' },
  resumed: { chunksKept: 'number', chunksRedone: 'number' },
};

describe('the object that init --json prints', () => {
  const words = [...machine, '--threads', '1', '--faults', '20', '--backing', 'shared', '--verify'];

  it('has every key of the contract, with and without the addon, and the same ones', async () => {
    const report = await json(words);
    const plain = await json(words, { VMEMMAP_ADDON: 'off' });
    expect(shape(report)).toMatchObject(contract);
    expect(shape(plain)).toMatchObject(contract);
    expect(Object.keys(plain)).toEqual(Object.keys(report));
    expect(plain).toMatchObject({ storePath: 'js-u32', residentBytes: null, verify: { checked: 40_960, wrong: 0 } });
    expect(plain['ranges']).toEqual(report['ranges']);
  });

  it('tells the ranges of the machine: zones and kinds by node, in chunks of pageblocks', async () => {
    const { ranges, pages, threads, source } = await json([...machine, '--threads', '1', '--chunk-pages', '1/1024']);
    const none = { present: 0, reserved: 0, unavailable: 0, altmap: 0 };
    const device = {
      zone: 'Device',
      kind: 'device',
      pages: 16_384,
      uses: { ...none, present: 16_384 },
      chunkPages: 512,
      chunks: 32,
    };
    const ram = { kind: 'ram', pages: 4096, uses: { ...none, present: 4096 }, chunkPages: 512, chunks: 8 };
    expect(ranges).toEqual([
      { nid: 0, zone: 'DMA', startPfn: 0, endPfn: 4096, ...ram },
      { nid: 1, zone: 'DMA32', startPfn: 4096, endPfn: 8192, ...ram },
      { nid: 2, startPfn: 8192, endPfn: 24_576, ...device },
      { nid: 3, startPfn: 24_576, endPfn: 40_960, ...device },
    ]);
    expect({ pages, threads, source }).toEqual({ pages: 40_960, threads: 4, source: 'simulated' });
  });

  it('counts each fault once, names its seed, and has no latencies without faults', async () => {
    const { faults } = (await json([...words, '--seed', '4294967295'])) as { faults: Record<string, number> };
    const { claimed = 0, waited = 0, alreadyReady = 0 } = faults;
    expect(claimed + waited + alreadyReady).toBe(20);
    expect(faults).toMatchObject({ count: 20, seed: 2 ** 32 - 1 });
    const none = await json([...machine, '--threads', '1']);
    expect(none['faults']).toMatchObject({ count: 0, seed: 1, p50Us: null, p99Us: null, maxUs: null });
    expect(none['verify']).toMatchObject({ checked: 0, wrong: 0 });
  });

  it('tells the chunks, the policy and the profile that were asked for', async () => {
    const asked = ['--chunk-pages', '513', '--policy', 'boot', '--profile', 'linux-6.1'];
    const report = await json(['--simulate', '1x16MiB', '--threads', '0', '--verify', ...asked]);
    expect(report).toMatchObject({
      policy: 'boot',
      profile: 'linux-6.1',
      threads: 0,
      verify: { checked: 4096, wrong: 0 },
    });
    expect(report['ranges']).toMatchObject([{ chunkPages: 1024, chunks: 4 }]);
  });

  it('says why the backing is another than was asked for', async () => {
    const { backing } = await json(['--simulate', '1x16MiB', '--threads', '1'], { VMEMMAP_ADDON: 'off' });
    expect(backing).toEqual({
      requested: 'huge',
      effective: 'shared',
      reason: 'the addon is not loaded (VMEMMAP_ADDON=off)',
      pageSize: 4096,
      firstTouch: 'store',
      durability: 'none',
    });
  });
});

describe('without --json', () => {
  it('the report is for a person, and stderr stays empty where it is no terminal', async () => {
    const { status, stdout, stderr } = await runCli(['init', ...machine, '--threads', '0', '--verify']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^vmemmap of a simulated machine · linux-6\.1 · policy hotplug\n/);
    expect(stdout).toMatch(/\nverified 40,960 descriptors in [\d.]+ (µs|ms|s): 0 wrong\n$/);
  });
});
