/** The plan: ranges with their zones, chunks and patterns, made once from a topology. */
import { describe, expect, it } from 'vitest';
import { pagePattern } from '../dist/src/descriptor/content.js';
import { profiles } from '../dist/src/descriptor/profiles.js';
import { simulate } from '../dist/src/physical/simulate.js';
import type { Topology } from '../dist/src/physical/topology.js';
import { type ChunkPages, makePlan, type Plan } from '../dist/src/plan.js';
import { referenceLanes } from './support/reference.js';
import { machine, patternOf, ram } from './support/regions.js';

const profile = 'linux-6.1';
const TiB = 2 ** 28;

/** Ranges without their segments, and without what is computed from the rest. */
function shapes({ ranges }: Plan): unknown[] {
  return ranges.map(({ segments: _segments, pages: _pages, leadPages: _leadPages, ...shape }) => shape);
}

/** First descriptor of each range as the pattern has it: flags and lane 1. */
function firstLanes({ ranges }: Plan): string[] {
  return ranges.map((range) => {
    const [flags = 0n, second = 0n] = referenceLanes(patternOf(range), 0);
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
    const [first = [], second = []] = plan.ranges.map((range) => [...patternOf(range)]);
    expect(first.slice(2)).toEqual(second.slice(2));
  });

  it('takes the pattern of the profile that is asked for', () => {
    const wanted = pagePattern(profiles[profile], { startPfn: 1, endPfn: 160, nid: 7, zone: 2, kind: 'ram' });
    expect(makePlan(machine(ram(1, 159, 7)), { profile }).ranges.map(patternOf)).toEqual([wanted]);
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
    expect(plan.ranges.flatMap((range) => [...new Uint8Array(patternOf(range).buffer)])).toEqual([
      ...template,
      ...new Uint8Array(64),
    ]);
  });

  it('goes on counting slots where it is cut at 1 TiB', () => {
    const plan = makePlan(machine(ram(0, TiB + 5)), { profile, table: { template, indexWord: 3 } });
    expect(plan.ranges.map(patternOf).map((pattern) => [pattern[3], pattern[16 + 3]])).toEqual([
      [0, 1],
      [TiB, 1],
    ]);
  });
});
