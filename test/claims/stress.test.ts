/** Real threads on one region: every chunk exactly once, no pfn handed out twice, nothing stuck when a thread dies. */
import { describe, expect, it } from 'vitest';
import { ChunkMap, isInitialized } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { verifyChunk } from '../../dist/src/observe/verify.js';
import type { Region } from '../../dist/src/region/region.js';
import { ram, smallRegion } from '../support/regions.js';
import { Crew, type Deed, type Role } from '../support/threads.js';

/** Off a pageblock, a hole, a one-page range, a short last chunk, two nodes; some 400 chunks. */
const memory = [ram(1, 158), ram(256, 90_000), ram(98_304, 1), ram(131_072, 100_001, 1)];

function expectAllRight(region: Region): void {
  const chunks = ChunkMap.of(region);
  for (const range of region.ranges) {
    for (let chunk = 0; chunk < range.chunks; chunk++) expect(verifyChunk(region, chunks, range, chunk).wrong).toBe(0);
  }
  const words = region.control.subarray(region.layout.chunkWords / 4, region.layout.chunkWords / 4 + region.chunks);
  expect(words.every(isInitialized)).toBe(true);
}

describe.each([1, 2, 3, 4, 5, 6])('seed %i', (seed) => {
  it('drains and faults of all orders write every chunk once', async () => {
    const region = smallRegion(memory);
    const roles: Role[] = [
      { kind: 'drain' },
      { kind: 'drain', nid: 1 },
      { kind: 'fault', count: 2000 },
      { kind: 'fault', count: 2000 },
    ];
    const crew = new Crew(region, roles, seed);
    crew.begin();
    const deeds = await crew.deeds();
    expect(deeds).not.toContain(undefined);
    expect([...crew.counts]).toEqual(Array(region.chunks).fill(1));
    expectAllRight(region);
    const { chunksByDrain, chunksByFault } = new Claimant(region).owners.totals();
    expect(chunksByDrain + chunksByFault).toBe(region.chunks);
  });

  it('threads that grow while drains run get every pfn of RAM once', async () => {
    const region = smallRegion(memory, 'boot');
    const crew = new Crew(region, [{ kind: 'drain' }, { kind: 'grow' }, { kind: 'grow' }, { kind: 'grow' }], seed);
    crew.begin();
    const runs = (await crew.deeds()).flatMap((deed) => (deed as Deed).handedOut).sort((a, b) => a[0] - b[0]);
    const pages = runs.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i));
    const all = memory.flatMap(({ startPfn, endPfn }) =>
      Array.from({ length: endPfn - startPfn }, (_, i) => startPfn + i),
    );
    expect(pages).toEqual(all);
    expect([...crew.counts]).toEqual(Array(region.chunks).fill(1));
    expectAllRight(region);
  });
});

describe.each([false, true])('a thread that dies in the middle of a chunk (by its own exit: %s)', (exit) => {
  it('loses it to the others: faults and drains go on, all is right', async () => {
    const random = seededRandom(7);
    for (let round = 0; round < 5; round++) {
      const region = smallRegion(memory);
      const afterChunks = 1 + Math.floor(random() * 200);
      const crew = new Crew(region, [{ kind: 'stop-in-chunk', afterChunks, exit }], round);
      crew.begin();
      await crew.standstill();
      const claimant = new Claimant(region);
      const stuck = Array.from({ length: region.chunks }, (_, chunk) => chunk)
        .filter((chunk) => crew.counts[chunk] === 1)
        .at(-1) as number;
      if (!exit) {
        // while it lives nobody takes the chunk from it: whoever faults it gives up after the bound
        const range = region.ranges.findLast(({ firstChunk }) => firstChunk <= stuck) as Region['ranges'][number];
        const impatient = new Claimant(region, { waitMsMax: 60 });
        expect(() => impatient.settle(range, stuck - range.firstChunk)).toThrow(
          expect.objectContaining({ code: 'FAULT_TIMEOUT' }),
        );
        await (crew.workers[0] as Crew['workers'][0]).terminate();
      }
      expect(drain(claimant, 0)).toBe('complete');
      await crew.deeds();
      expectAllRight(region);
      expect([...crew.counts].filter((count) => count > 1).length).toBe(0);
    }
  });
});
