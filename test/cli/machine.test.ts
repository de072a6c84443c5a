/** The options that name a machine: each reader is reached, what goes together and what does not, and how errors are told. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { InitReport } from '../../dist/src/observe/init-report.js';
import { makeTree } from '../physical/made-tree.js';
import { runCli } from '../support/child.js';

const files = {
  'boot.log': [
    '[    0.000000] Linux version 6.1.0 (root@host) (gcc 12.2.0) #1 SMP',
    '[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x0000000000ffffff] usable',
    '[    0.000000] BIOS-e820: [mem 0x0000000001000000-0x0000000001ffffff] persistent (type 12)',
    '[    0.000000] No NUMA configuration found',
  ].join('\n'),
  'cut.log': 'BIOS-e820: [mem 0x0000000000100000-0x0',
  'list.json': '[{"dev":"namespace0.0","mode":"fsdax","map":"mem","size":14680064,"align":2097152,"numa_node":0}]',
  'bad.json': '[{"dev":"namespace0.0",}]',
  'map.txt': [
    '00100000-00ffffff : System RAM',
    '01000000-01ffffff : Persistent Memory',
    '  01000000-01ffffff : namespace0.0',
  ].join('\n'),
};

const initOn = async (...words: string[]): Promise<InitReport> => {
  const { status, stdout, stderr } = await runCli(['init', '--threads', '0', '--json', ...words]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout) as InitReport;
};
const runs = ({ ranges }: InitReport): unknown => ranges.map(({ kind, startPfn, endPfn }) => [kind, startPfn, endPfn]);

/** 15 MiB of RAM and 16 MiB of pmem: all of the section has descriptors, its holes, too. */
const sectionOfRam = [
  ['ram', 0, 0x1000],
  ['device', 0x1000, 0x2000],
  ['ram', 0x2000, 0x8000],
];

describe('a machine', () => {
  it('of a boot log', async () => {
    const root = makeTree(files);
    const report = await initOn('--dmesg', join(root, 'boot.log'), '--verify');
    expect(report.source).toBe('dmesg');
    expect(runs(report)).toEqual(sectionOfRam);
    expect(report.ranges.map(({ uses }) => uses.unavailable)).toEqual([0x100, 0, 0x6000]);
    expect(report.verify.wrong).toBe(0);
  });

  it('of a listing of ndctl, and of one with the addresses of a memory map', async () => {
    const root = makeTree(files);
    const alone = await initOn('--ndctl', join(root, 'list.json'));
    expect(alone.source).toBe('ndctl');
    expect(runs(alone)).toEqual([['device', 2 ** 26, 2 ** 26 + 4096]]);
    expect(runs(await initOn('--ndctl', join(root, 'list.json'), '--iomem', join(root, 'map.txt')))).toEqual(
      sectionOfRam,
    );
  });

  it.each([
    [['--dmesg', 'boot.log', '--ndctl', 'list.json'], '--dmesg <FILE>', '--ndctl <FILE>'],
    [['--dmesg', 'boot.log', '--iomem', 'map.txt'], '--iomem <FILE>', '--dmesg <FILE>'],
    [['--ndctl', 'list.json', '--simulate', '1x1GiB'], '--simulate <SPEC>', '--ndctl <FILE>'],
    [['--for', '/dev/pmem0', '--ndctl', 'list.json'], '--ndctl <FILE>', '--for <DEVICE>'],
    [['--detect', '--platform', 'arm64-64k'], '--platform <NAME>', '--detect'],
  ])('is one: %j', async (words, one, other) => {
    const { status, stdout, stderr } = await runCli(['init', ...words]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toBe(`error: option '${one}' cannot be used with option '${other}'\n`);
  });

  it('that is this one knows its platform', async () => {
    const { status, stderr } = await runCli(['init', '--platform', 'arm64-64k']);
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /^error: --platform goes with --simulate, --iomem, --dmesg or --ndctl: this machine knows what it is\.\n$/,
    );
  });

  it.each([
    ['--dmesg', 'cut.log', /^vmemmap: DMESG_SYNTAX: \S+cut\.log, line 1, column 1: expected \[mem FIRST-LAST\].*\n$/],
    [
      '--ndctl',
      'bad.json',
      /^vmemmap: NDCTL_SYNTAX: \S+bad\.json, line 1, column 24: expected the name of a member.*\n$/,
    ],
    ['--dmesg', 'gone.log', /^vmemmap: DETECT_FAILED: \S+gone\.log cannot be read: ENOENT.*\n$/],
  ])('by %s %s that cannot be read is told in one line', async (option, file, told) => {
    const { status, stdout, stderr } = await runCli(['init', option, join(makeTree(files), file)]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(told);
  });
});
