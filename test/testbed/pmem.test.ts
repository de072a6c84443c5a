/** A memmap in persistent memory, on a machine that has some: DAX file systems, a device, two processes, bad media; one boot. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BackingReport, Inspection, OwnerTotals, Resumed, VerifyResult } from '../../dist/src/index.js';
import { type Ended, runNode } from '../support/child.js';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
const script = fileURLToPath(new URL('guest/pmem.mjs', import.meta.url));

type Chunks = Inspection['chunks'];
type Refusal = { readonly code: string; readonly errno?: number } | undefined;
type Outcomes = Readonly<Record<'ready' | 'claimed' | 'waited', number>>;

interface Reopened {
  readonly resumed: Resumed;
  readonly durability: string;
  readonly totals: OwnerTotals;
  readonly chunks: Chunks;
}

interface Medium {
  readonly wakes: { readonly changed: boolean; readonly outcome: string };
  readonly together: {
    readonly backing: BackingReport;
    readonly chunks: Chunks;
    readonly totals: OwnerTotals;
    readonly faults: Outcomes;
    readonly theirs: Outcomes;
    readonly verify: VerifyResult;
  };
  readonly killed: {
    readonly signal: string;
    readonly shareAtDeath: number;
    readonly chunks: Chunks;
    readonly verify: VerifyResult;
  };
  readonly reopened: Reopened;
  readonly inspect: Inspection;
  readonly verify: VerifyResult;
}

interface WithoutDax {
  readonly refused: Refusal;
  readonly refusedRebuild: Refusal;
  readonly kept: Reopened;
  readonly refusedNew: Refusal;
  readonly resumed: Resumed;
  readonly durability: string;
  readonly chunks: Chunks;
  readonly verify: VerifyResult;
}

interface BadMedia {
  readonly pfn: number;
  readonly resumed: Resumed;
  readonly fault: Refusal;
  readonly beside: string;
  readonly verify: VerifyResult;
  readonly rebuilt: {
    readonly ready: Refusal;
    readonly fault: Refusal;
    readonly beside: string;
    readonly failed: readonly unknown[];
    readonly verify: VerifyResult;
    readonly chunks: Chunks;
  };
}

interface Told {
  readonly ext4: Medium & { readonly withoutDax: WithoutDax };
  readonly xfs: Medium & { readonly withoutDax: WithoutDax };
  readonly devdax: Medium;
  readonly badMedia: Readonly<Record<'always' | 'never', BadMedia>>;
}

const pages = 2 ** 20;
const chunkPages = 512;
const chunks = pages / chunkPages;
const allDurable: Chunks = { free: 0, claimed: 0, ready: 0, durable: chunks, failed: 0 };
const allRight: VerifyResult = { checked: pages, wrong: 0, firstWrongPfn: -1, failed: 0 };
const allKept: Resumed = { chunksKept: chunks, chunksRedone: 0 };

describe.skipIf(skipReason !== undefined)(named('a memmap in persistent memory'), () => {
  let ended: Ended;
  let told: Told;

  beforeAll(async () => {
    ended = await runNode([run, '--timeout', '290', '--pmem-size', '1G', script]);
    expect(ended, ended.stderr).toMatchObject({ signal: null, status: 0, stdout: expect.stringMatching(/^\{.*\}\n$/) });
    told = JSON.parse(ended.stdout);
  }, bootTimeoutMs);

  describe.each([
    ['ext4', 'file'],
    ['xfs', 'file'],
    ['devdax', 'devdax'],
  ] as const)('on %s', (name, kind) => {
    it('is durable by cache lines alone, when that is asked for', () => {
      const { backing } = told[name].together;
      const expected = { requested: kind, effective: kind, durability: 'dax-sync', durabilityRequested: 'dax-sync' };
      expect(backing).toMatchObject(expected);
    });

    it('is initialized by two processes at once, by their drains and their faults, each chunk once', () => {
      const { together } = told[name];
      expect(together.chunks).toEqual(allDurable);
      expect(together.verify).toEqual(allRight);
      const { chunksByDrain, chunksByFault, chunksFailed, claimsReleased } = together.totals;
      expect({ chunksFailed, claimsReleased }).toEqual({ chunksFailed: 0, claimsReleased: 0 });
      expect(chunksByDrain + chunksByFault).toBe(chunks);
      expect(chunksByDrain).toBeGreaterThan(0);
      expect(together.faults.claimed).toBeGreaterThan(0);
      expect(together.theirs.claimed).toBeGreaterThan(0);
    });

    it('lets a thread of one process sleep until one of the other lets go of a chunk', () => {
      expect(told[name].wakes).toEqual({ changed: true, outcome: 'claimed' });
    });

    it('is completed by one process when the other is killed in the middle', () => {
      const { signal, shareAtDeath, ...rest } = told[name].killed;
      expect(signal).toBe('SIGKILL');
      expect(shareAtDeath).toBeGreaterThanOrEqual(1 / 3);
      expect(shareAtDeath).toBeLessThan(1);
      expect(rest).toEqual({ chunks: allDurable, verify: allRight });
    });

    it('is there at once when it is opened again: no chunk is written', () => {
      const { totals, ...rest } = told[name].reopened;
      expect(rest).toEqual({ resumed: allKept, durability: 'dax-sync', chunks: allDurable });
      expect(totals).toMatchObject({ chunksByDrain: 0, chunksByFault: 0 });
    });

    it('is seen by vmemmap inspect and verify', () => {
      const { inspect, verify } = told[name];
      expect(inspect).toMatchObject({ pages, chunks: allDurable, failed: [], mediaError: null, processes: [] });
      expect(verify).toEqual(allRight);
    });
  });

  describe.each(['ext4', 'xfs'] as const)('on %s mounted without DAX', (name) => {
    it('is refused durability by cache lines, before anything is made or lost', () => {
      const { refused, refusedRebuild, refusedNew, kept, resumed } = told[name].withoutDax;
      const refusal = { code: 'BACKING_UNAVAILABLE' };
      expect({ refused, refusedRebuild, refusedNew }).toEqual({
        refused: refusal,
        refusedRebuild: refusal,
        refusedNew: refusal,
      });
      // what was there is there still, and where nothing was nothing is
      expect(kept).toMatchObject({ resumed: allKept, durability: 'msync', chunks: allDurable });
      expect(resumed).toEqual({ chunksKept: 0, chunksRedone: 0 });
    });

    it('becomes durable by msync', () => {
      const { durability, chunks: states, verify } = told[name].withoutDax;
      expect({ durability, states, verify }).toEqual({ durability: 'msync', states: allDurable, verify: allRight });
    });
  });

  describe.each([
    ['DAX', 'always'],
    ['the page cache', 'never'],
  ] as const)('over bad media, by %s', (_, dax) => {
    const refusal = { code: 'CHUNK_FAILED', errno: 5 };
    const oneFailed: VerifyResult = { ...allRight, checked: pages - chunkPages, failed: chunkPages };

    it('tells by EIO which descriptors cannot be read any more, and gives the others', () => {
      const { resumed, fault, beside, verify } = told.badMedia[dax];
      expect({ resumed, fault, beside, verify }).toEqual({
        resumed: allKept,
        fault: refusal,
        beside: 'ready',
        verify: oneFailed,
      });
    });

    it('tells by EIO which descriptors cannot be written, and writes the others', () => {
      const { pfn, rebuilt } = told.badMedia[dax];
      const startPfn = pfn - (pfn % chunkPages);
      expect(rebuilt).toEqual({
        ready: refusal,
        fault: refusal,
        beside: 'ready',
        failed: [{ startPfn, endPfn: startPfn + chunkPages, error: 'EIO' }],
        verify: oneFailed,
        chunks: { ...allDurable, durable: chunks - 1, failed: 1 },
      });
    });
  });
});
