/** `vmemmap compare` on a machine of two nodes with persistent memory: the plan is what the kernel has made, page for page. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Comparison } from '../../dist/src/observe/compare.js';
import { type Ended, runNode } from '../support/child.js';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
const script = fileURLToPath(new URL('guest/compare.mjs', import.meta.url));
/**
 * The log is to tell all that memblock does, and to keep it; and 128 MiB in the middle of RAM are persistent memory that no driver
 * takes up, so that there is a hole with sections of its own.
 */
const kernel = 'crashkernel=64M memblock=debug log_buf_len=16M memmap=128M!4G';
const nodePages = 3 * 2 ** 18;
const legacyPages = 2 ** 15;

interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Told {
  readonly text: Run;
  readonly withoutRoot: Run;
  readonly withoutLog: Comparison;
  readonly modes: Readonly<Record<string, Comparison>>;
  /** Of the last mode. */
  readonly json: Run;
}

const modes = ['raw', 'fsdax mem 2M', 'fsdax dev 2M', 'devdax mem 2M', 'devdax dev 1G'];
const devicePages: Readonly<Record<string, number>> = { raw: 0 };

describe.skipIf(skipReason !== undefined)(named('the plan of a running machine'), () => {
  let ended: Ended;
  let told: Told;

  beforeAll(async () => {
    ended = await runNode([run, '--timeout', '290', '--kernel', kernel, script]);
    expect(ended, ended.stderr).toMatchObject({ signal: null, status: 0, stdout: expect.stringMatching(/^\{.*\}\n$/) });
    told = JSON.parse(ended.stdout);
  }, bootTimeoutMs);

  const comparisonOf = (mode: string): Comparison => told.modes[mode] as Comparison;

  describe.each(modes)('with its NVDIMM as %s', (mode) => {
    it('differs in nothing that is not explained', () => {
      const { ranges, zones, blocks, unexplained } = comparisonOf(mode);
      expect(ranges.filter(({ explanation }) => explanation === undefined)).toEqual([]);
      expect(zones.filter(({ differing }) => differing.length > 0)).toEqual([]);
      expect(blocks.disagreements).toEqual([]);
      expect(blocks.compared).toBe((2 * nodePages - legacyPages) / 2 ** 15);
      expect(unexplained).toBe(0);
    });

    it('has a descriptor for exactly those page frames of RAM that the kernel has one for', () => {
      const { ranges, pages } = comparisonOf(mode);
      const other = ranges.filter(({ kind }) => kind !== 'device');
      expect(other.filter(({ plan, kernel: shown }) => plan === 'absent' || shown === 'absent')).toEqual([]);
      const device = ranges.filter(({ kind }) => kind === 'device');
      expect(device.reduce((sum, { startPfn, endPfn }) => sum + endPfn - startPfn, 0)).toBe(
        devicePages[mode] ?? 2 ** 20 - (mode.includes(' dev ') ? 2 : 0),
      );
      // two nodes, of which 2 GiB lie below the hole up to 4 GiB; behind them the NVDIMM
      expect(pages.endPfn).toBe(2 ** 21 + (mode === 'raw' ? 0 : 2 ** 20));
    });

    it('has the zones of the kernel, of RAM and of device memory', () => {
      const zones = comparisonOf(mode).zones.map(({ nid, zone, kernel: shown }) => [nid, zone, shown?.spannedPages]);
      expect(zones).toEqual([
        [0, 0, 4095],
        [0, 1, 2 ** 20 - 4096],
        [0, 2, 2 ** 18],
        [1, 2, nodePages],
        ...(mode === 'raw' ? [] : [[1, 4, 2 ** 20]]),
      ]);
    });

    it('leaves out of what is reserved only what the kernel kept when it booted, to the page', () => {
      for (const { zone, kernel: shown, reservedPages } of comparisonOf(mode).zones) {
        if (!shown || zone === 4) continue;
        expect({ zone, reservedPages }).toEqual({ zone, reservedPages: shown.presentPages - shown.managedPages });
      }
    });
  });

  it('knows by the log, function by function, what memory was kept for', () => {
    const { ranges } = comparisonOf('raw');
    const kept = ranges.filter(({ plan, kernel: shown }) => plan === 'present' && shown === 'reserved');
    expect([...new Set(kept.map(({ reason }) => reason))].sort()).toEqual(['boot-log', 'kernel-image']);
    const pagesBy = new Map<string, number>();
    for (const { explanation = '', startPfn, endPfn } of kept) {
      pagesBy.set(explanation, (pagesBy.get(explanation) ?? 0) + endPfn - startPfn);
    }
    const log = (what: string): number | undefined => pagesBy.get(`${what}, by the kernel's log`);
    // 64 MiB, and the memmap of 47 sections
    expect(log('software IO TLB')).toBe(2 ** 14);
    expect(log('memblock: sparse_init_nid')).toBeGreaterThanOrEqual(47 * 512);
    expect(log('NODE_DATA')).toBeGreaterThan(0);
  });

  it('finds the memmap of each node without the log, by its size', () => {
    const { ranges, notes, unexplained } = told.withoutLog;
    expect(unexplained).toBe(0);
    expect(notes).toContainEqual(expect.stringContaining('The log of the kernel cannot be read'));
    const memmaps = ranges.filter(({ reason }) => reason === 'memmap');
    expect(memmaps.map(({ nid, explanation, startPfn, endPfn }) => [nid, explanation, endPfn - startPfn])).toEqual([
      [0, 'the memmap of node 0', 23 * 512],
      [1, 'the memmap of node 1', 24 * 512],
    ]);
    expect([...new Set(ranges.map(({ reason }) => reason))].sort()).toEqual([
      'boot',
      'given-back',
      'kernel-image',
      'low-memory',
      'memmap',
    ]);
  });

  it('is told in lines for people', () => {
    const { status, stdout, stderr } = told.text;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^Linux 6\.\S+, x86-64: the plan of this machine against what its kernel made of it$/);
    expect(lines).toContainEqual(expect.stringMatching(/^ {2}node 1, zone Normal: spanned 786,432, .* — agrees$/));
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^ {2}pfns 0x\w+-0x\w+ \(16,384 pages\): plan: present, kernel: reserved — software IO TLB, by the kernel's log$/,
      ),
    );
    expect(lines.at(-2)).toMatch(/^\d+ disagreements, 0 without an explanation$/);
  });

  it('is told as JSON', () => {
    const { status, stdout, stderr } = told.json;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const pages = { readMs: expect.any(Number), perSecond: expect.any(Number) };
    const { pages: others, ...rest } = comparisonOf('devdax dev 1G');
    expect(JSON.parse(stdout)).toEqual({ ...rest, pages: { ...others, ...pages } });
  });

  it('cannot be had without root', () => {
    const { status, stdout, stderr } = told.withoutRoot;
    expect({ status, stdout, stderr }).toEqual({
      status: 1,
      stdout: '',
      stderr:
        'vmemmap: KERNEL_UNREADABLE: /proc/iomem shows its addresses only to root; run as root on the machine itself, not in a container\n',
    });
  });
});
