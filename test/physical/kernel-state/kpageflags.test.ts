/** What /proc/kpageflags tells is encoded in runs, as it is read. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PageState, readKernelPages } from '../../../dist/src/physical/kernel-state/kpageflags.js';
import { makeTree } from '../made-tree.js';

const flag = { buddy: 1n << 10n, poisoned: 1n << 19n, absent: 1n << 20n, offline: 1n << 23n, reserved: 1n << 32n };

/** A proc with such entries. */
function procOf(entries: readonly bigint[], bytesMore = 0): string {
  const root = makeTree({ kpageflags: '' });
  const bytes = new Uint8Array(entries.length * 8 + bytesMore);
  bytes.set(new Uint8Array(BigUint64Array.from(entries).buffer));
  writeFileSync(join(root, 'kpageflags'), bytes);
  return root;
}

async function runsOf(entries: readonly bigint[], sectionPages = 4): Promise<string[]> {
  const { runs } = await readKernelPages(procOf(entries), sectionPages);
  return runs.map(({ startPfn, endPfn, state }) => `${startPfn}-${endPfn} ${state}`);
}

/** The same page by page, as plainly as it can be said. */
function stateOf(entries: readonly bigint[], pfn: number, sectionPages: number): PageState {
  const start = pfn - (pfn % sectionPages);
  const section = entries.slice(start, start + sectionPages);
  const entry = entries[pfn] ?? 0n;
  if (section.length === sectionPages && section.every((other) => other === 0n)) return 'blank';
  if (entry & flag.absent) return 'absent';
  if (!(entry & flag.reserved)) return 'present';
  return entry & flag.offline ? 'offline' : 'reserved';
}

describe('page frames of the running kernel', () => {
  it('are told in runs, by what is reserved and what is absent', async () => {
    const { buddy, absent, reserved, offline } = flag;
    const entries = [reserved, reserved | buddy, 0n, buddy, absent, absent, reserved | offline, offline];
    expect(await runsOf(entries)).toEqual(['0-2 reserved', '2-4 present', '4-6 absent', '6-7 offline', '7-8 present']);
  });

  it('are blank where a whole section has no flag, and present where a part has none', async () => {
    const { buddy } = flag;
    expect(await runsOf([0n, 0n, 0n, 0n, 0n, 0n, 0n, buddy])).toEqual(['0-4 blank', '4-8 present']);
    expect(await runsOf([buddy, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n])).toEqual(['0-4 present', '4-12 blank']);
    // a section that is not whole is none
    expect(await runsOf([0n, 0n, 0n, 0n, 0n, 0n, 0n])).toEqual(['0-4 blank', '4-7 present']);
  });

  it('may be more than are read at once', async () => {
    const entries = Array<bigint>(2 ** 19 + 3).fill(flag.buddy);
    entries[2 ** 19 - 1] = flag.reserved;
    entries[2 ** 19] = flag.reserved;
    const { runs, endPfn } = await readKernelPages(procOf(entries), 2 ** 15);
    expect(runs.map(({ startPfn, endPfn: end, state }) => [startPfn, end, state])).toEqual([
      [0, 2 ** 19 - 1, 'present'],
      [2 ** 19 - 1, 2 ** 19 + 1, 'reserved'],
      [2 ** 19 + 1, 2 ** 19 + 3, 'present'],
    ]);
    expect(endPfn).toBe(2 ** 19 + 3);
  });

  it('with bad memory are counted, whatever else they are', async () => {
    const { poisoned, buddy, reserved } = flag;
    const { poisonedPages, runs } = await readKernelPages(procOf([poisoned, buddy, poisoned | reserved, buddy]), 4);
    expect(poisonedPages).toBe(2);
    expect(runs.length).toBe(3);
  });

  it('are what they are one by one', async () => {
    const { buddy, absent, reserved, offline } = flag;
    const anyEntry = fc.constantFrom(0n, 0n, 0n, buddy, absent, reserved, reserved | offline, offline, 1n << 63n);
    const anyEntries = fc.array(anyEntry, { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(anyEntries, fc.constantFrom(1, 2, 8), async (entries, sectionPages) => {
        const { runs, endPfn } = await readKernelPages(procOf(entries), sectionPages);
        expect(endPfn).toBe(entries.length);
        const states = runs.flatMap(({ startPfn, endPfn: end, state }) => Array(end - startPfn).fill(state));
        expect(states).toEqual(entries.map((_, pfn) => stateOf(entries, pfn, sectionPages)));
        // neighbours differ
        for (const [index, { state }] of runs.entries()) expect(state).not.toBe(runs[index - 1]?.state);
      }),
      { numRuns: 50 },
    );
  });

  it.each<[string, bigint[], number, string]>([
    ['ends in the middle of an entry', [1n, 1n], 3, 'ends in the middle of an entry, at byte 19'],
    ['is empty', [], 0, 'is empty'],
  ])('are refused where the file %s', async (_, entries, bytesMore, problem) => {
    const root = procOf(entries, bytesMore);
    await expect(readKernelPages(root, 4)).rejects.toMatchObject({
      code: 'KERNEL_UNREADABLE',
      message: `${root}/kpageflags ${problem}; is it the kernel's own?`,
    });
  });

  it('are refused where the file is missing, or a directory, with what to do', async () => {
    const root = makeTree({ 'kpageflags/entry': '' });
    await expect(readKernelPages(root, 4)).rejects.toMatchObject({
      code: 'KERNEL_UNREADABLE',
      message: expect.stringMatching(
        /cannot be read: EISDIR.*; run as root on the machine itself, not in a container$/,
      ),
    });
    await expect(readKernelPages(`${root}/none`, 4)).rejects.toMatchObject({
      code: 'KERNEL_UNREADABLE',
      message: expect.stringMatching(
        /kpageflags does not exist: \/proc is not mounted, or the kernel was built without it; run as root /,
      ),
    });
  });
});
