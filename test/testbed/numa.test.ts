/** Memory on its node, and threads that help, on a machine of two nodes: each range lies where it belongs, and nobody idles. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Ended, runNode } from '../support/child.js';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
const script = fileURLToPath(new URL('guest/numa.mjs', import.meta.url));

interface Timed {
  readonly placed: readonly { nid: number; pages: number; bytes: Record<string, number> }[];
  readonly checked: number;
  readonly wrong: number;
}

describe.skipIf(skipReason !== undefined)(named('a memmap of two nodes'), () => {
  let ended: Ended;
  let told: { unequal: Timed; equal: Timed };

  beforeAll(async () => {
    ended = await runNode([run, '--timeout', '240', script]);
    expect(ended, ended.stderr).toMatchObject({ signal: null, status: 0, stdout: expect.stringMatching(/^\{.*\}\n$/) });
    told = JSON.parse(ended.stdout);
  }, bootTimeoutMs);

  it.each(['unequal', 'equal'] as const)('has the memory of each node on that node, whoever wrote it (%s)', (which) => {
    const { placed, checked, wrong } = told[which];
    expect({ checked, wrong }).toEqual({ checked: 2 ** 23, wrong: 0 });
    for (const { nid, pages, bytes } of placed) {
      const all = Object.values(bytes).reduce((sum, each) => sum + each, 0);
      expect(all).toBeGreaterThanOrEqual(pages * 64);
      // the pages at the ends of a mapping may be shared with another
      expect(bytes[nid] ?? 0).toBeGreaterThan(0.99 * all);
    }
  });
});
