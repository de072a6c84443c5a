/** Wrong usage: exit status 2, the reason on stderr, nothing on stdout. And what is asked for help: exit status 0. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/child.js';

const durabilityChoices =
  "error: option '--durability <NAME>' argument 'fsync' is invalid. Allowed choices are dax-sync, msync, none.\n";
const small = ['init', '--simulate', '1x4KiB', '--threads', '0'];

/** What stderr says of wrong usage. */
async function complaint(words: readonly string[]): Promise<string> {
  const { status, signal, stdout, stderr } = await runCli(words);
  expect({ status, signal, stdout }).toEqual({ status: 2, signal: null, stdout: '' });
  return stderr;
}

describe('wrong usage ends with status 2, and tells', () => {
  it.each([
    ['a command that does not exist', ['start'], "error: unknown command 'start'\n"],
    ['an option without its command', ['--json'], "error: unknown option '--json'\n"],
    ['an option that does not exist', ['init', '--nodes', '2'], "error: unknown option '--nodes'\n"],
    [
      'an argument too many',
      [...small, 'now'],
      "error: too many arguments for 'init'. Expected 0 arguments but got 1.\n",
    ],
    ['a missing value', ['init', '--threads'], "error: option '--threads <N>' argument missing\n"],
    ['a missing file', ['init', '--iomem'], "error: option '--iomem <FILE>' argument missing\n"],
  ])('%s', async (_, words, told) => {
    expect(await complaint(words)).toBe(told);
  });

  it.each([
    ['--threads', '-1', '0 to 512'],
    ['--threads', '513', '0 to 512'],
    ['--threads', '1.5', '0 to 512'],
    ['--threads', '', '0 to 512'],
    ['--threads', '1e2', '0 to 512'],
    ['--chunk-pages', '0', '1 to 268435456'],
    ['--chunk-pages', '268435457', '1 to 268435456'],
    ['--faults', 'many', '0 to 10000000'],
    ['--faults', '10000001', '0 to 10000000'],
    ['--seed', '0x10', '0 to 4294967295'],
    ['--seed', '4294967296', '0 to 4294967295'],
    ['--seed', '99999999999999999999', '0 to 4294967295'],
  ])('a bad number: %s %j', async (option, value, bounds) => {
    expect(await complaint([...small, option, value])).toBe(
      `error: option '${option} <N>' argument '${value}' is invalid. It must be a whole number from ${bounds}.\n`,
    );
  });

  it.each([
    ['--backing', 'disk', 'huge, shared, hugetlb, file, devdax'],
    ['--policy', 'lazy', 'boot, hotplug'],
    ['--profile', 'linux-2.6', 'linux-4.17, linux-6.1, linux-6.16'],
  ])('a bad choice: %s %s', async (option, value, choices) => {
    expect(await complaint([...small, option, value])).toBe(
      `error: option '${option} <NAME>' argument '${value}' is invalid. Allowed choices are ${choices}.\n`,
    );
  });

  it.each([
    [['--simulate', '1x1GiB', '--iomem', 'map.txt'], '--simulate <SPEC>', '--iomem <FILE>'],
    [['--detect', '--simulate', '1x1GiB'], '--detect', '--simulate <SPEC>'],
    [['--iomem', 'map.txt', '--detect'], '--detect', '--iomem <FILE>'],
    [['--for', '/dev/pmem0', '--detect'], '--detect', '--for <DEVICE>'],
    [['--for', '/dev/pmem0', '--simulate', '1x1GiB'], '--simulate <SPEC>', '--for <DEVICE>'],
    [['--for', '/dev/pmem0', '--iomem', 'map.txt'], '--iomem <FILE>', '--for <DEVICE>'],
  ])('two machines at once: %j', async (words, one, other) => {
    expect(await complaint(['init', ...words])).toBe(`error: option '${one}' cannot be used with option '${other}'\n`);
  });

  it('a bad SPEC, with a mark below the place', async () => {
    expect(await complaint(['init', '--simulate', '2x16GiB,2y64GiB'])).toBe(
      [
        'vmemmap: SPEC_SYNTAX: the machine to simulate, column 10: expected "x" between the number of nodes and their size',
        '  2x16GiB,2y64GiB',
        '           ^',
        'Example: 8x3TiB:pmem or 2x16GiB,2x64GiB:pmem (COUNTxSIZE[:ram|:pmem|:devdax|:devdax1g], one node each)',
        '',
      ].join('\n'),
    );
  });

  it.each(['', '1x', '0x1GiB', '1x1GiB:disk', '1x1GiB,', '1x1KiB', '1x5PiB', 'x'.repeat(10_000)])(
    'a bad SPEC: %.20s',
    async (spec) => {
      expect(await complaint(['init', '--simulate', spec])).toMatch(
        /^vmemmap: SPEC_SYNTAX: the machine to simulate, column \d/,
      );
    },
  );
});

describe('a file on the command line that cannot be meant', () => {
  const contradiction = 'error: Options contradict each other: ';

  it.each([
    [['--backing', 'file'], 'the backing file needs file, a path'],
    [['--backing', 'devdax'], 'the backing devdax needs file, a path'],
    [['--backing', 'huge', '--file', 'memmap'], 'file goes with the backings file and devdax'],
    [['--backing', 'shared', '--file', 'memmap'], 'file goes with the backings file and devdax'],
    [['--file', ''], 'file must be a path'],
    [['--durability', 'none'], 'durability and rebuild go with file'],
    [['--rebuild'], 'durability and rebuild go with file'],
  ])('is wrong usage: %j', async (words, told) => {
    expect(await complaint([...small, ...words])).toBe(`${contradiction}${told}.\n`);
    expect(existsSync('memmap')).toBe(false);
  });

  it.each([
    [['inspect'], "error: missing required argument 'FILE'\n"],
    [['verify'], "error: missing required argument 'FILE'\n"],
    [['inspect', 'a', 'b'], "error: too many arguments for 'inspect'. Expected 1 argument but got 2.\n"],
    [['verify', 'a', 'b'], "error: too many arguments for 'verify'. Expected 1 argument but got 2.\n"],
    [['verify', 'a', '--pfn', '1'], "error: unknown option '--pfn'\n"],
    [['init', '--durability', 'fsync', '--file', 'a'], durabilityChoices],
  ])('%j', async (words, told) => {
    expect(await complaint(words)).toBe(told);
  });

  it.each(['-1', '1.5', 'one', '', '0x', '0xg', '1e3', ' 1', '1099511627776', '0x10000000000'])(
    'a bad pfn: %j',
    async (pfn) => {
      expect(await complaint(['inspect', 'a', '--pfn', pfn])).toBe(
        `error: option '--pfn <N>' argument '${pfn}' is invalid. It must be a pfn below 0x10000000000, such as 4096 or 0x1000.\n`,
      );
    },
  );
});

describe('help', () => {
  it.each([
    [['--help'], 'Usage: vmemmap [options] [command]\n'],
    [['help'], 'Usage: vmemmap [options] [command]\n'],
    [['init', '--help'], 'Usage: vmemmap init [options]\n'],
    [['help', 'init'], 'Usage: vmemmap init [options]\n'],
    [['inspect', '--help'], 'Usage: vmemmap inspect [options] <FILE>\n'],
    [['verify', '--help'], 'Usage: vmemmap verify [options] <FILE>\n'],
  ])('%j is printed on stdout and is no failure', async (words, first) => {
    const { status, stdout, stderr } = await runCli(words);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.startsWith(first)).toBe(true);
  });

  it('names every option of the contract, and what runs without a command', async () => {
    const { stdout } = await runCli(['init', '--help']);
    const options = ['detect', 'simulate <SPEC>', 'iomem <FILE>', 'backing <NAME>', 'file <PATH>', 'policy <NAME>'];
    const more = [
      'threads <N>',
      'faults <N>',
      'profile <NAME>',
      'poison',
      'verify',
      'json',
      'durability <NAME>',
      'rebuild',
    ];
    expect([...options, ...more].filter((option) => !stdout.includes(`\n  --${option} `))).toEqual([]);
    expect((await runCli(['--help'])).stdout).toContain('Without a command: init --faults 1000 --verify\n');
  });

  it.each(['--version', '-V'])('%s prints the version of the package', async (word) => {
    const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(file) as { version: string };
    expect(await runCli([word])).toEqual({ status: 0, signal: null, stdout: `${version}\n`, stderr: '' });
  });
});
