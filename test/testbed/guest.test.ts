/** What the testbed promises, and what vmemmap finds on a machine of two nodes; one boot for all of it. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { InitReport } from '../../dist/src/observe/init-report.js';
import { type Ended, runNode } from '../support/child.js';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
const script = fileURLToPath(new URL('guest/facts.mjs', import.meta.url));

interface Facts {
  readonly cwd: string;
  readonly args: readonly string[];
  readonly addon: unknown;
  readonly nodes: readonly unknown[];
  readonly init: InitReport;
  readonly workers: readonly { readonly allowed: string; readonly lastCpu: number }[];
}

describe.skipIf(skipReason !== undefined)(named('a machine of two nodes'), () => {
  let ended: Ended;
  let facts: Facts;

  beforeAll(async () => {
    ended = await runNode([run, '--timeout', '240', script, 'two words', "it's"]);
    // Told here with all that was said: without its output nothing below means anything.
    expect(ended, ended.stderr).toMatchObject({ signal: null, stdout: expect.stringMatching(/^\{.*\}\n$/) });
    facts = JSON.parse(ended.stdout);
  }, bootTimeoutMs);

  it('tells the exit status, the output and the errors of its script, and nothing else', () => {
    expect(ended.status).toBe(7);
    expect(ended.stderr).toBe('told on stderr\n');
  });

  it('starts the script in the same folder, with its arguments as they are', () => {
    expect(facts.cwd).toBe(process.cwd());
    expect(facts.args).toEqual(['two words', "it's"]);
  });

  it('loads the addon that was built outside', () => {
    expect(facts.addon).toEqual({ loaded: true });
  });

  it('is seen with both nodes and their CPUs', () => {
    expect(facts.nodes).toEqual([
      { nid: 0, cpus: [0, 1] },
      { nid: 1, cpus: [2, 3] },
    ]);
  });

  it('has descriptors of RAM on both nodes and of persistent memory on node 1, none of them wrong', () => {
    const { init } = facts;
    const pages = (nid: number, kind: string) =>
      init.ranges
        .filter((range) => range.nid === nid && range.kind === kind)
        .reduce((sum, range) => sum + range.pages, 0);
    const gib = 2 ** 18;
    // its first page and what the firmware keeps are no memory, and have descriptors all the same
    expect(pages(0, 'ram')).toBe(3 * gib);
    expect(pages(0, 'device')).toBe(0);
    expect(pages(1, 'ram')).toBe(3 * gib);
    expect(pages(1, 'device')).toBe(4 * gib);
    expect(init.source).toBe('iomem');
    expect(init.verify).toMatchObject({ checked: init.pages, wrong: 0 });
  });

  it('has two workers per node, which may run on its CPUs and do', () => {
    expect(facts.workers.map(({ allowed }) => allowed).sort()).toEqual(['0-1', '0-1', '2-3', '2-3']);
    for (const { allowed, lastCpu } of facts.workers) {
      expect(allowed === '0-1' ? [0, 1] : [2, 3]).toContain(lastCpu);
    }
  });
});
