/** The README's examples, run as they stand there. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { addonState } from '../../dist/src/index.js';
import { runCli, runNode } from '../support/child.js';

const root = new URL('../../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');
// inside the package, so that `import 'vmemmap'` finds it
const folder = new URL(`.run-${process.pid}/`, import.meta.url);
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a code block of the README into a file. */
function example(marker: string): string {
  const block = new RegExp(`${marker}\\n\`\`\`js\\n([\\s\\S]*?)\`\`\``).exec(readme)?.[1];
  if (block === undefined) throw new Error(`README.md has no example ${marker}`);
  // await using is newer than Node 20
  const code = block.replace('await using', 'const');
  const file = fileURLToPath(new URL('example.mjs', folder));
  writeFileSync(file, code);
  return file;
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (data) => {
      text += data;
      const [line, rest] = text.split('\n', 2);
      if (rest !== undefined) resolve(line as string);
    });
    child.once('exit', (status) => reject(new Error(`the example ended with status ${status}`)));
  });
}

describe('the service', () => {
  it('answers with initialized slots while the background still runs, and after it', async () => {
    const child = spawn(process.execPath, [example('<!-- example: slot-service -->')], {
      env: { ...process.env, PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const url = new URL(await firstLine(child));
      const get = async (slot: unknown): Promise<[number, Record<string, unknown>]> => {
        const response = await fetch(new URL(`/accounts/${slot}`, url));
        return [response.status, (await response.json()) as Record<string, unknown>];
      };
      const [, first] = await get(15_999_999);
      expect(first).toMatchObject({ account: 15_999_999, balance: 100, background: 'active' });
      for (let i = 0; i < 200; i++) {
        const slot = (i * 7_919_993) % 16_000_000;
        expect(await get(slot)).toMatchObject([200, { account: slot, balance: 100 }]);
      }
      expect(await get(16_000_000)).toEqual([404, { error: 'no such account' }]);
      let background: unknown;
      while (background !== 'idle') [, { background }] = await get(0);
      expect(await get(12_345_678)).toMatchObject([200, { account: 12_345_678, fault: 'ready', background: 'idle' }]);
    } finally {
      child.kill();
    }
  });
});

describe('the service over a file', () => {
  it.skipIf(!addonState().loaded)('counts in a descriptor, and goes on counting when it is started again', async () => {
    const file = fileURLToPath(new URL('memmap', folder));
    const { status } = await runCli(['init', '--simulate', '1x1GiB:pmem', '--file', file, '--json']);
    expect(status).toBe(0);
    for (const times of [1, 2, 3]) {
      const { stdout, stderr } = await runNode([example('<!-- example: pmem-service -->')], { env: { MEMMAP: file } });
      expect(stderr).toBe('');
      expect(stdout).toMatch(new RegExp(`^42 was used ${times} times \\(durability (msync|dax-sync|none)\\)\n$`));
    }
  });
});

describe('the program', () => {
  it('prints what the descriptor holds', async () => {
    const child = spawn(process.execPath, [example('## In a program\n')], { stdio: ['ignore', 'pipe', 'inherit'] });
    expect(await firstLine(child)).toBe('0 2 1');
  });
});

describe('memory that comes and goes', () => {
  it('is faulted at once, initialized, and absent when it has gone', async () => {
    const { stdout, stderr, status } = await runNode([example('<!-- example: hot-ranges -->')]);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toMatch(/^(claimed|waited|ready)\nPFN_ABSENT\n$/);
  });
});
