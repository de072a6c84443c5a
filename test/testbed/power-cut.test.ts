/**
 * Power cuts at random moments, of which each finds the memmap in the middle of something: what was promised before is there
 * afterwards. `VMEMMAP_SEED=N` repeats a run, as far as an emulated machine takes the same time twice.
 *
 * The file behind the NVDIMM keeps every store that the guest has made, also those that were not flushed. So with DAX this tests the
 * protocol: what is written before what, and what whoever comes next makes of it; that each store is flushed in time is seen
 * by the tests that record flushes and fences. Without DAX the guest's page cache is lost, and with it all that msync has not
 * brought to the media.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Resumed, VerifyResult } from '../../dist/src/index.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { pfnOfChange } from './guest/changes.mjs';
import { boot } from './machine.mjs';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const script = fileURLToPath(new URL('guest/power-cut.mjs', import.meta.url));

/** 64 MiB of descriptors in 2048 chunks. */
const memory = { topology: '1x4GiB:pmem', chunkPages: 512, pages: 2 ** 20, chunks: 2 ** 11 };
const machine = { pmemBytes: 2 ** 28, nodeBytes: 2 ** 30 };
/** Cuts come so long, at most, behind what the guest has found; it then is somewhere between the first chunk and long done. */
const workMsMax = 2000;
/** Of some boots the cut comes so long behind the mounting: they are still opening the file, or looking at it. */
const openingMsMax = 1500;
const openingShare = 0.2;

/** A machine that has not been cut by then never comes to it. */
const bootMsMax = bootTimeoutMs / 3;
const testTimeoutMs = 5 * bootTimeoutMs;

type Machine = ReturnType<typeof boot>;

const seed = Number(process.env['VMEMMAP_SEED'] ?? Date.now() % 2 ** 31);

interface Found {
  readonly resumed: Resumed;
  readonly durability: string;
  readonly changes: readonly (readonly [pfn: number, value: number])[];
  readonly otherwise: number;
  readonly verify: VerifyResult;
  readonly rebuilding: boolean;
  readonly upMs: number;
}

/** What the guest has promised, by what it said before the cuts. */
interface Promised {
  /** Last value that was persisted, by pfn. */
  readonly values: Map<number, number>;
  /** So many chunks were durable. */
  chunks: number;
  /** Number of the last change. */
  lastValue: number;
  /** Whether this boot has told what it found. */
  found: boolean;
}

/** Where the cuts fell, for the reader. */
interface Tally {
  opening: number;
  initializing: number;
  complete: number;
  rebuilt: number;
  persisted: number;
}

/** Compares what was found with what was promised. */
function check(found: Found, promised: Promised, durability: string): void {
  expect(found.durability).toBe(durability);
  expect(found.resumed.chunksKept).toBeGreaterThanOrEqual(promised.chunks);
  if (promised.chunks > 0) expect(found.resumed.chunksRedone).toBeLessThan(memory.chunks);
  // what differs is what the user has changed, and nowhere else
  expect(found.verify).toMatchObject({ wrong: found.changes.length, failed: 0 });
  expect(found.otherwise).toBe(0);
  const values = new Map(found.changes);
  for (const [pfn, value] of values) expect(pfnOfChange(seed, value, memory.pages)).toBe(pfn);
  const lost = [...promised.values].filter(([pfn, value]) => !((values.get(pfn) ?? 0) >= value));
  expect(lost.slice(0, 8), `${lost.length} of ${promised.values.size} changes are lost`).toEqual([]);
}

/** Takes in a line of the guest's. @returns its first word */
function take(line: string, promised: Promised, tally: Tally, durability: string): string {
  const [, word = '', rest = ''] = /^(\w+) ?(.*)$/.exec(line) ?? [];
  if (word === 'found') {
    const found = JSON.parse(rest) as Found;
    check(found, promised, durability);
    promised.found = true;
    // from now on anything may be there: the file as it was, none, or a new one
    if (found.rebuilding) {
      promised.values.clear();
      promised.chunks = 0;
      tally.rebuilt++;
    }
  } else if (word === 'persisted') {
    const [pfn = 0, value = 0] = rest.split(' ').map(Number);
    promised.values.set(pfn, value);
    promised.lastValue = value;
    tally.persisted++;
  } else if (word === 'initialized') promised.chunks = Number(rest);
  return word;
}

/** Reads whole lines until the machine is gone: one that a cut has torn promises nothing. */
async function readLines(guest: Machine, onLine: (line: string) => void): Promise<void> {
  let text = '';
  for await (const bytes of guest.stdout.setEncoding('utf8')) {
    const lines = `${text}${bytes}`.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  }
}

describe.skipIf(skipReason !== undefined)(named(`power cuts, VMEMMAP_SEED=${seed}`), () => {
  let folder: string;
  const tallies: Record<string, Tally> = {};
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmemmap-power-cut-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
    process.stderr.write(`power cuts, VMEMMAP_SEED=${seed}: ${JSON.stringify(tallies)}\n`);
  });

  it.each([
    ['ext4', 8, 'dax-sync'],
    ['page cache', 6, 'msync'],
    ['devdax', 6, 'dax-sync'],
  ] as const)(
    'take nothing back that was promised (%s, %i cuts)',
    async (medium, cuts, durability) => {
      const random = seededRandom(seed + cuts);
      const pmemFile = join(folder, medium);
      const promised: Promised = { values: new Map(), chunks: 0, lastValue: 0, found: false };
      const tally: Tally = { opening: 0, initializing: 0, complete: 0, rebuilt: 0, persisted: 0 };
      tallies[medium] = tally;
      // the last one is not cut: it only looks
      for (let cut = 0; cut <= cuts; cut++) {
        const isLast = cut === cuts;
        const cutWhileOpening = !isLast && random() < openingShare;
        const cutMs = random() * (cutWhileOpening ? openingMsMax : workMsMax);
        const mayRebuild = !cutWhileOpening && random() < 0.5;
        const job = { ...memory, medium, isFirst: cut === 0, isLast, mayRebuild, seed, lastValue: promised.lastValue };
        const guest = boot({ ...machine, command: [process.execPath, script, JSON.stringify(job)], pmemFile });
        let errors = '';
        guest.stderr.on('data', (bytes) => {
          errors += bytes;
        });
        const guard = setTimeout(guest.kill, bootMsMax);
        let cutTimer: NodeJS.Timeout | undefined;
        promised.found = false;
        await readLines(guest, (line) => {
          const word = take(line, promised, tally, durability);
          if (!isLast && word === (cutWhileOpening ? 'here' : 'found')) cutTimer = setTimeout(guest.kill, cutMs);
        }).finally(guest.kill);
        const ending = await guest.ended;
        clearTimeout(guard);
        clearTimeout(cutTimer);
        const told = `${errors}\n${ending.kernelLog.split('\n').slice(-30).join('\n')}`;
        expect({ errors, status: ending.status }, told).toEqual({ errors: '', status: isLast ? 0 : undefined });
        expect(cutTimer !== undefined || isLast, told).toBe(true);
        if (isLast) continue;
        if (!promised.found) tally.opening++;
        else tally[promised.chunks < memory.chunks ? 'initializing' : 'complete']++;
      }
      expect(promised.found).toBe(true);
      expect(tally.persisted).toBeGreaterThan(0);
      expect(tally.initializing).toBeGreaterThan(0);
    },
    testTimeoutMs,
  );
});
