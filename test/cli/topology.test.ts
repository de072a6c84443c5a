/** `vmemmap topology`: what it prints, what it draws, and how it fails. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { TopologyReport } from '../../dist/src/observe/topology-report.js';
import { runCli } from '../support/child.js';

const folder = mkdtempSync(join(tmpdir(), 'vmemmap-topology-'));
afterAll(() => rmSync(folder, { recursive: true }));

const machine = ['--simulate', '2x16GiB,2x64GiB:pmem'];

/** What a kernel said when it booted, of one more page than there is in the last line. */
const bootLog = `[    0.000000] Linux version 6.1.0 (somebody@somewhere) #1 SMP
[    0.000000] BIOS-provided physical RAM map:
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009efff] usable
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable
[    0.000000] Zone ranges:
[    0.000000]   DMA      [mem 0x0000000000001000-0x0000000000ffffff]
[    0.000000]   DMA32    [mem 0x0000000001000000-0x000000003fffffff]
[    0.000000]   Normal   empty
[    0.000000] Early memory node ranges
[    0.000000]   node   0: [mem 0x0000000000001000-0x000000000009efff]
[    0.000000]   node   0: [mem 0x0000000000100000-0x000000003fffffff]
[    0.000000] Initmem setup node 0 [mem 0x0000000000001000-0x000000003fffffff]
[    0.000000] On node 0, zone DMA: 1 pages in unavailable ranges
[    0.000000] On node 0, zone DMA: 98 pages in unavailable ranges
`;

/** What the command prints when it succeeds. */
async function printed(words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runCli(['topology', ...words]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

async function json(words: readonly string[]): Promise<TopologyReport> {
  const stdout = await printed(['--json', ...words]);
  const report = JSON.parse(stdout) as TopologyReport;
  expect(stdout).toBe(`${JSON.stringify(report)}\n`);
  return report;
}

/** What stderr says of wrong usage. */
async function complaint(words: readonly string[]): Promise<string> {
  const { status, signal, stdout, stderr } = await runCli(['topology', ...words]);
  expect({ status, signal, stdout }).toEqual({ status: 2, signal: null, stdout: '' });
  return stderr;
}

describe('topology', () => {
  it('prints the plan of a machine for a person', async () => {
    const text = await printed(machine);
    expect(text).toMatch(/^a simulated machine · x86-64, pages of 4 KiB · kernel not known\n/);
    expect(text).toContain('\n  4 nodes · 8,388,608 pages of RAM (32.0 GiB) · 33,554,432 of devices (128 GiB)\n');
    expect(text).toContain('\n    Normal   [mem 0x0000000100000000-0x00000007ffffffff]\n');
  });

  it('prints one object with --json, and nothing else', async () => {
    const report = await json(machine);
    expect(report).toMatchObject({
      source: 'simulated',
      kernel: null,
      rulesRelease: '6.1',
      pages: 41_943_040,
      answers: null,
      unavailable: { rule: 'per-zone', totalPages: 0, gaps: [] },
    });
    expect(report.ranges.map(({ nid, zone, startPfn }) => [nid, zone, startPfn])).toEqual([
      [0, 'DMA', 0],
      [0, 'DMA32', 0x1000],
      [0, 'Normal', 0x10_0000],
      [1, 'Normal', 0x40_0000],
      [2, 'Device', 0x80_0000],
      [3, 'Device', 0x180_0000],
    ]);
  });

  it('reads a memory map, and finds the holes in it', async () => {
    const path = join(folder, 'iomem');
    writeFileSync(path, '00001000-0009fbff : System RAM\n00100000-3fffffff : System RAM\n');
    const { unavailable, log } = await json(['--iomem', path]);
    expect(unavailable.totalPages).toBe(98);
    expect(log.slice(-2)).toEqual([
      'On node 0, zone DMA: 1 pages in unavailable ranges',
      'On node 0, zone DMA: 97 pages in unavailable ranges',
    ]);
  });

  it('reads a boot log, and puts what the kernel said beside the plan', async () => {
    const path = join(folder, 'boot.log');
    writeFileSync(path, bootLog);
    const { kernel, rulesRelease, answers } = await json(['--dmesg', path]);
    expect({ kernel, rulesRelease }).toEqual({ kernel: '6.1.0', rulesRelease: '6.1.0' });
    expect(answers).toHaveLength(9);
    expect(answers?.filter(({ agrees }) => !agrees)).toEqual([
      {
        about: 'unavailable pages',
        kernel: 'On node 0, zone DMA: 98 pages in unavailable ranges',
        planned: 'On node 0, zone DMA: 97 pages in unavailable ranges',
        agrees: false,
        why: null,
      },
    ]);
    expect(await printed(['--dmesg', path])).toContain("\nthe kernel's own answers: 8 of 9 as planned\n");
  });

  it('reads a boot log that can be read only once', async () => {
    const path = join(folder, 'pipe');
    spawnSync('mkfifo', [path]);
    const meanwhile = async (): Promise<void> => writeFile(path, bootLog);
    const { stdout } = await runCli(['topology', '--dmesg', path, '--json'], { meanwhile });
    expect((JSON.parse(stdout) as TopologyReport).answers).toHaveLength(9);
  });

  it('follows the rules of another kernel with --release', async () => {
    const path = join(folder, 'iomem-old');
    writeFileSync(path, '00001000-0009fbff : System RAM\n00100000-3fffffff : System RAM\n');
    const { rulesRelease, log } = await json(['--iomem', path, '--release', '5.10.0']);
    expect(rulesRelease).toBe('5.10.0');
    expect(log.at(-1)).toBe('Zeroed struct page in unavailable ranges: 98 pages');
  });

  it('plans a zone Movable with --movable', async () => {
    const { zones } = await json(['--simulate', '1x16GiB', '--movable', '4GiB']);
    expect(zones.find(({ zone }) => zone === 'Movable')).toMatchObject({ presentPages: 2 ** 20, endPfn: 2 ** 22 });
    expect((await json(['--simulate', '1x16GiB'])).zones.map(({ zone }) => zone)).toEqual(['DMA', 'DMA32', 'Normal']);
  });

  it('draws with --svg, beside what it prints', async () => {
    const path = join(folder, 'machine.svg');
    const text = await printed([...machine, '--svg', path]);
    expect(text).toBe(await printed(machine));
    const svg = readFileSync(path, 'utf8');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
    expect(svg).toContain('Physical memory of a simulated machine');
    expect(svg.endsWith('</svg>\n')).toBe(true);
    expect((await json([...machine, '--svg', path])).nodes).toHaveLength(4);
  });

  it('tells this machine without being asked for another', async () => {
    const { nodes, pages } = await json([]);
    expect(pages).toBeGreaterThan(0);
    expect(nodes.length).toBeGreaterThan(0);
  });
});

describe('a picture that cannot be written', () => {
  it('fails with one line that says what to do, and prints nothing else', async () => {
    const path = join(folder, 'none', 'machine.svg');
    const { status, stdout, stderr } = await runCli(['topology', ...machine, '--svg', path]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(
      /^vmemmap: OUTPUT: [^\n]*machine\.svg could not be written: ENOENT: [^\n]+; name a file [^\n]+\n$/,
    );
    expect(existsSync(path)).toBe(false);
  });

  it('leaves an older one as it was, and no other file', async () => {
    const path = join(folder, 'kept');
    writeFileSync(path, 'old');
    const before = readdirSync(folder);
    const bad = await runCli(['topology', '--simulate', 'nonsense', '--svg', path]);
    expect(bad.status).toBe(2);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(before);
  });
});

describe('wrong usage ends with status 2, and tells', () => {
  it.each([
    [['--svg'], "error: option '--svg <FILE>' argument missing\n"],
    [['now'], "error: too many arguments for 'topology'. Expected 0 arguments but got 1.\n"],
    [['--policy', 'boot'], "error: unknown option '--policy'\n"],
    [
      ['--simulate', '1x1GiB', '--iomem', 'map.txt'],
      "error: option '--simulate <SPEC>' cannot be used with option '--iomem <FILE>'\n",
    ],
  ])('%j', async (words, told) => {
    expect(await complaint(words)).toBe(told);
  });

  it.each(['', '6', 'six', '.1', '6.', '-6.1', '1234.5', '6.1234'])('a bad release: %j', async (release) => {
    expect(await complaint([...machine, '--release', release])).toBe(
      `error: option '--release <VERSION>' argument '${release}' is invalid. ` +
        'It must begin with the version of a kernel, such as 6.1 or 5.11.0-rc4.\n',
    );
  });

  it.each(['', 'many', '-1GiB'])('a bad size of Movable: %j', async (size) => {
    expect(await complaint([...machine, '--movable', size])).toBe(
      `error: option '--movable <SIZE>' argument '${size}' is invalid. It must be a size such as 4GiB or 512M, at most 4 PiB.\n`,
    );
  });
});

describe('help', () => {
  it('names the options and says what the columns mean', async () => {
    const { status, stdout } = await runCli(['topology', '--help']);
    expect(status).toBe(0);
    expect(stdout.startsWith('Usage: vmemmap topology [options]\n')).toBe(true);
    for (const option of ['--simulate <SPEC>', '--movable <SIZE>', '--release <VERSION>', '--svg <FILE>', '--json']) {
      expect(stdout).toContain(`\n  ${option} `);
    }
    for (const word of ['spanned', 'present', 'holes', 'unavailable', 'reserved', 'altmap']) {
      expect(stdout).toMatch(new RegExp(`\n${word} {2,}\\w`));
    }
  });

  it('of the whole command line names it', async () => {
    expect((await runCli(['--help'])).stdout).toMatch(/\n {2}topology \[options\] +\w/);
  });
});
