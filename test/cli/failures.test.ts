/** Failures: exit status 1 and exactly one line, `vmemmap: CODE: what happened and what to do`, on stderr. */

import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { addonState } from '../../dist/src/index.js';
import { cliFile, runCli } from '../support/child.js';

const folder = mkdtempSync(join(tmpdir(), 'vmemmap-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file of this text, and its path. */
function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** The one line of a failure. */
async function failure(words: readonly string[]): Promise<string> {
  const { status, signal, stdout, stderr } = await runCli(['init', '--threads', '0', ...words]);
  expect({ status, signal, stdout }).toEqual({ status: 1, signal: null, stdout: '' });
  expect(stderr).toMatch(/^vmemmap: [A-Z_]+: [^\n]+\n$/);
  return stderr.slice('vmemmap: '.length, -1);
}

const orElse = 'give a readable file, or use --simulate SPEC';

describe('a memory map', () => {
  it('that does not exist fails with DETECT_FAILED', async () => {
    const path = join(folder, 'none');
    expect(await failure(['--iomem', path])).toBe(
      `DETECT_FAILED: ${path} cannot be read: ENOENT: no such file or directory, open '${path}'; ${orElse}`,
    );
  });

  it('that is a folder fails with DETECT_FAILED', async () => {
    mkdirSync(join(folder, 'folder'));
    expect(await failure(['--iomem', join(folder, 'folder')])).toMatch(/^DETECT_FAILED: .*EISDIR.*--simulate SPEC$/);
  });

  it('with a name that would break the line is told in one line all the same', async () => {
    expect(await failure(['--iomem', join(folder, 'a\n  b\u001b[31m')])).toMatch(
      /^DETECT_FAILED: .*a\? {2}b\?\[31m'?; give a readable file, or use --simulate SPEC$/,
    );
  });

  it.each([
    [
      '00001000-0009fbff : System RAM\n00100000_3fffffff : System RAM\n',
      2,
      9,
      '"-" between the first and the last address',
    ],
    ['zero-0009fbff : System RAM', 1, 1, 'the first address in hexadecimal digits'],
    ['# a map\n\n  00001000-: System RAM', 3, 12, 'the last address in hexadecimal digits'],
    ['00001000-0009fbff System RAM', 1, 18, '" : " and a name behind the addresses'],
    ['00002000-00001000 : System RAM', 1, 10, 'a last address that is not below the first'],
  ])('that is malformed fails with the place and what was expected (%j)', async (text, line, column, expected) => {
    const path = file('malformed', text);
    expect(await failure(['--iomem', path])).toBe(
      `IOMEM_SYNTAX: ${path}, line ${line}, column ${column}: expected ${expected}`,
    );
  });

  it('that was captured without root fails, and says how to capture it', async () => {
    const path = file('hidden', '00000000-00000000 : System RAM\n00000000-00000000 : Reserved\n');
    expect(await failure(['--iomem', path])).toBe(
      `DETECT_FAILED: ${path} was captured without root, so that all addresses are zero; capture it again with sudo cat /proc/iomem`,
    );
  });

  it.each([
    ['is empty', ''],
    ['lists no memory', '00000000-00000fff : Reserved\n'],
    ['lists less than a page', '00001000-00001ffe : System RAM\n'],
  ])('that %s fails with DETECT_FAILED', async (_, text) => {
    expect(await failure(['--iomem', file('bare', text)])).toMatch(
      /^DETECT_FAILED: .* lists no whole page of "System RAM" /,
    );
  });

  it('that is sound is done: page 0 is never memory, and what follows stays where it is', async () => {
    const path = file(
      'sound',
      '00000000-0009fbff : System RAM\n000a0000-000fffff : Reserved\n00100000-001fffff : System RAM\n',
    );
    const { status, stdout } = await runCli([
      'init',
      '--iomem',
      path,
      '--threads',
      '0',
      '--chunk-pages',
      '512',
      '--verify',
      '--json',
    ]);
    expect(status).toBe(0);
    // descriptors are there for the rest of the section, too
    const uses = { present: 158 + 256, reserved: 0, unavailable: 32_768 - 414, altmap: 0 };
    expect(JSON.parse(stdout)).toMatchObject({
      pages: 32_768,
      source: 'iomem-file',
      ranges: [{ nid: 0, zone: 'DMA', kind: 'ram', startPfn: 0, endPfn: 32_768, pages: 32_768, uses, chunkPages: 512 }],
      verify: { checked: 32_768, wrong: 0 },
    });
  });
});

describe('the backing devdax', () => {
  it('on a file that is none fails, and makes no file', async () => {
    const path = join(folder, 'none');
    const words = ['--simulate', '1x4KiB', '--backing', 'devdax', '--file', path];
    expect(await failure(words)).toMatch(addonState().loaded ? /^FILE_UNUSABLE: .*no such file/ : /^ADDON_MISSING: /);
    expect(existsSync(path)).toBe(false);
  });
});

describe('a machine that is too large', () => {
  it.each(['0', '1'])('fails with NO_MEMORY instead of being killed (%s threads)', async (threads) => {
    expect(await failure(['--simulate', '8x100TiB', '--threads', threads])).toMatch(
      /^NO_MEMORY: 12800\.0 GiB of descriptors, 64 bytes each, .* room for a machine of [\d.]+ GiB, or \d+ slots;/,
    );
  });
});

describe('a report that cannot be written', () => {
  it('fails and says why', () => {
    const full = openSync('/dev/full', 'w');
    const words = [cliFile, 'init', '--simulate', '1x4KiB', '--threads', '0', '--json'];
    const { status, stderr } = spawnSync(process.execPath, words, {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(stderr).toMatch(/^vmemmap: OUTPUT: the report could not be written: ENOSPC: [^\n]+; write it elsewhere\n$/);
    expect(status).toBe(1);
  });

  it('because its reader went away fails without a word', async () => {
    const meanwhile = async ({ stdout }: { stdout: { destroy(): void } | null }): Promise<void> => stdout?.destroy();
    const words = ['init', '--simulate', '1x4KiB', '--threads', '0', '--json'];
    expect(await runCli(words, { meanwhile })).toEqual({ status: 1, signal: null, stdout: '', stderr: '' });
  });
});
