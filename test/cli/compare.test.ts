/** `vmemmap compare` on this machine: what it says where the kernel shows what it made of memory, and where it does not. */
import { accessSync, constants } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Comparison } from '../../dist/src/observe/compare.js';
import { runCli } from '../support/child.js';

/** Why nothing can be compared here; empty when it can. */
function reasonNotTo(): string {
  try {
    accessSync('/proc/kpageflags', constants.R_OK);
    return process.getuid?.() === 0 ? '' : 'only root sees the addresses in /proc/iomem';
  } catch (error) {
    return `/proc/kpageflags cannot be read: ${String(error)}`;
  }
}

const reason = reasonNotTo();
if (reason !== '') process.stderr.write(`skipped, compare on this machine: ${reason}\n`);

describe.skipIf(reason !== '')(`compare on this machine${reason && ` (skipped: ${reason})`}`, () => {
  it('finds nothing that is not explained', async () => {
    const { status, stdout, stderr } = await runCli(['compare']);
    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Linux \S+, \S+: the plan of this machine against what its kernel made of it\n/);
    expect(stdout).toMatch(/\n\d+ disagreements, 0 without an explanation\n$/);
  });

  it('says so in one JSON object, too', async () => {
    const { status, stdout, stderr } = await runCli(['compare', '--json']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { pages, ranges, zones, unexplained } = JSON.parse(stdout) as Comparison;
    expect(unexplained).toBe(0);
    expect(pages.endPfn).toBeGreaterThan(0);
    expect(pages.agreeing + pages.disagreeing).toBe(pages.endPfn);
    expect(ranges.every(({ explanation }) => explanation !== undefined)).toBe(true);
    expect(zones.length).toBeGreaterThan(0);
  });
});

const shows = reason === '' ? ' (skipped: here it shows all)' : '';
describe.skipIf(reason === '')(`compare where the kernel shows nothing${shows}`, () => {
  it('ends with status 1, and tells what to do', async () => {
    const { status, stdout, stderr } = await runCli(['compare']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^vmemmap: (KERNEL_UNREADABLE|DETECT_FAILED): .*run as root.*\n$/);
  });
});

it('compare takes no arguments', async () => {
  const { status, stdout, stderr } = await runCli(['compare', 'me']);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toBe("error: too many arguments for 'compare'. Expected 0 arguments but got 1.\n");
});
