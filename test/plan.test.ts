/** The plan: ranges with their zones, chunks and contents, made once from a topology. */
import { describe, expect, it } from 'vitest';
import { pagePattern } from '../dist/src/descriptor/content.js';
import type { Pattern } from '../dist/src/descriptor/pattern.js';
import { profiles } from '../dist/src/descriptor/profiles.js';
import { simulate } from '../dist/src/physical/simulate.js';
import type { Topology } from '../dist/src/physical/topology.js';
import { type ChunkPages, makePlan, type Plan, type Segment } from '../dist/src/plan.js';
import { referenceLanes } from './support/reference.js';
import { machine, ram } from './support/regions.js';

const profile = 'linux-6.1';
const TiB = 2 ** 28;

/** Ranges without what is computed from the rest, and without their contents. */
function shapes({ ranges }: Plan): unknown[] {
  return ranges.map(({ segments: _segments, pages: _pages, leadPages: _leadPages, ...shape }) => shape);
}

/** The pattern of each range, which has one segment, all of it alike. */
function patternsOf({ ranges }: Plan): Pattern[] {
  return ranges.map(({ segments }) => {
    expect(segments).toHaveLength(1);
    const { periodPages, parts } = (segments[0] as Segment).content;
    expect([periodPages, parts.length, parts[0]?.at]).toEqual([1, 1, 0]);
    return parts[0]?.pattern as Pattern;
  });
}

/** First descriptor of each range as the pattern has it: flags and lane 1. */
function firstLanes(plan: Plan): string[] {
  return patternsOf(plan).map((pattern) => {
    const [flags = 0n, second = 0n] = referenceLanes(pattern, 0);
    return `${flags.toString(16).padStart(16, '0')} ${second.toString(16)}`;
  });
}

describe('the plan of a machine', () => {
  const plan = makePlan(simulate('1x5GiB,1x1GiB:pmem', []), { profile });

  it('has a range for each zone of each node, cut into chunks', () => {
    const node0 = { nid: 0, kind: 'ram', pgmap: 0 };
    expect(shapes(plan)).toEqual([
      { ...node0, zone: 0, startPfn: 0, endPfn: 4096, basePfn: 0, chunkPages: 4096, chunks: 1 },
      { ...node0, zone: 1, startPfn: 4096, endPfn: 2 ** 20, basePfn: 4096, chunkPages: 4096, chunks: 255 },
      { ...node0, zone: 2, startPfn: 2 ** 20, endPfn: 1_310_720, basePfn: 2 ** 20, chunkPages: 4096, chunks: 64 },
      {
        nid: 1,
        kind: 'device',
        pgmap: 1,
        zone: 4,
        startPfn: 1_310_720,
        endPfn: 1_572_864,
        basePfn: 1_310_720,
        chunkPages: 4096,
        chunks: 64,
      },
    ]);
    expect(plan.profileId).toBe(1);
  });

  it('writes into each range what belongs to its node, zone and kind', () => {
    expect(firstLanes(plan)).toEqual([
      '0007ffffc0000000 8',
      '000fffffc0000000 8',
      '0017ffffc0000000 8',
      '0067ffffc0001000 1',
    ]);
  });

  it('counts the self-pointers of each range from its own start', () => {
    const [first, second] = patternsOf(plan);
    expect([...(first ?? [])].slice(2)).toEqual([...(second ?? [])].slice(2));
  });

  it('takes the pattern of the profile that is asked for', () => {
    const wanted = pagePattern(profiles[profile], { startPfn: 1, endPfn: 160, nid: 7, zone: 2, kind: 'ram' });
    expect(patternsOf(makePlan(machine(ram(1, 159, 7)), { profile }))).toEqual([wanted]);
  });
});

describe('the plan of a real machine', () => {
  const usesOf = (topology: Topology, movablePages?: number): unknown[] =>
    makePlan(topology, { profile, movablePages }).ranges.map(({ zone, startPfn, endPfn, segments }) => [
      zone,
      startPfn,
      endPfn,
      segments.map((segment) => `${segment.use} ${segment.startPfn}`),
    ]);
  const real: Topology = { ...machine(ram(1, 158), ram(256, 2 ** 18 - 256)), source: 'iomem-file', zoned: true };

  it('has the holes of its sections, and what is reserved, as segments', () => {
    const reserved = [{ startPfn: 100, endPfn: 5000, what: 'Crash kernel' }];
    expect(usesOf({ ...real, reserved })).toEqual([
      [0, 0, 4096, ['unavailable 0', 'present 1', 'reserved 100', 'unavailable 159', 'reserved 256']],
      [1, 4096, 2 ** 18, ['reserved 4096', 'present 5000']],
    ]);
  });

  it('has a zone Movable of the pages that are asked for', () => {
    expect(usesOf(real, 2 ** 16)).toEqual([
      [0, 0, 4096, ['unavailable 0', 'present 1', 'unavailable 159', 'present 256']],
      [1, 4096, 196_608, ['present 4096']],
      [3, 196_608, 2 ** 18, ['present 196608']],
    ]);
  });

  it('follows the kernel of the profile, whatever kernel the machine was found with', () => {
    const topology: Topology = { ...real, platform: 'arm64-4k', kernel: '5.4', memory: [ram(2 ** 18, 2 ** 18 + 1)] };
    // sections of 128 MiB, and one zone DMA below 4 GiB
    expect(usesOf(topology)).toEqual([[0, 2 ** 18, 2 ** 19 + 32_768, ['present 262144', 'unavailable 524289']]]);
  });

  it('has chunks of whole pageblocks of its platform', () => {
    const topology: Topology = { ...real, platform: 'arm64-64k', memory: [ram(0, 2 ** 20)] };
    expect(makePlan(topology, { profile, chunkPages: 1000 }).ranges.map(({ chunkPages }) => chunkPages)).toEqual([
      8192, 8192,
    ]);
  });

  it.each([
    [65_536, undefined],
    [65_537, /^topology has 65537 ranges with 65537 segments; at most 65536 and 262144 are possible$/],
  ])('of %i ranges: %s', (ranges, message) => {
    const memory = Array.from({ length: ranges }, (_, index) => ram(2 * index * 32_768, 32_768));
    const plan = (): unknown => makePlan({ ...real, zoned: false, memory }, { profile });
    if (message) expect(plan).toThrow(message);
    else expect(plan).not.toThrow();
  });
});

describe('the chunks of a plan', () => {
  const cutOf = (topology: Topology, chunkPages?: ChunkPages): number[][] =>
    makePlan(topology, { profile, chunkPages }).ranges.map((range) => [
      range.startPfn,
      range.endPfn,
      range.chunkPages,
      range.chunks,
    ]);

  it('are 1/1024 of each range by itself, in whole pageblocks, when that is asked for', () => {
    expect(cutOf(machine(ram(0, TiB), ram(TiB, 512 * 1025), ram(2 * TiB, 1)), '1/1024')).toEqual([
      [0, TiB, 262_144, 1024],
      [TiB, TiB + 512 * 1025, 1024, 513],
      [2 * TiB, 2 * TiB + 1, 512, 1],
    ]);
  });

  it('have the pages that are asked for in every range', () => {
    expect(cutOf(machine(ram(1, 159), ram(4096, 5000)), 1000)).toEqual([
      [1, 160, 1024, 1],
      [4096, 9096, 1024, 5],
    ]);
  });

  it('begin anew where memory is cut at 1 TiB', () => {
    expect(cutOf(machine(ram(159, TiB + 1)), '1/1024')).toEqual([
      [159, TiB, 262_144, 1024],
      [TiB, TiB + 160, 512, 1],
    ]);
  });

  it('are 256 KiB of descriptors by default', () => {
    expect(cutOf(machine(ram(0, TiB)))).toEqual([[0, TiB, 4096, 65_536]]);
  });
});

describe('the plan of a table', () => {
  const template = Uint8Array.from({ length: 64 }, (_, byte) => byte);

  it('has no profile, and the records of the user', () => {
    const plan = makePlan(machine(ram(0, 100)), { profile, table: { template } });
    expect(plan.profileId).toBe(0);
    expect(patternsOf(plan).map(({ buffer }) => [...new Uint8Array(buffer)])).toEqual([
      [...template, ...new Uint8Array(64)],
    ]);
  });

  it('goes on counting slots where it is cut at 1 TiB', () => {
    const plan = makePlan(machine(ram(0, TiB + 5)), { profile, table: { template, indexWord: 3 } });
    expect(patternsOf(plan).map((pattern) => [pattern[3], pattern[16 + 3]])).toEqual([
      [0, 1],
      [TiB, 1],
    ]);
  });
});
