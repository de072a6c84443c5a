/** Progress bars: one per node on a terminal, and not a byte anywhere else. */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Bars } from '../../dist/src/cli/bars.js';
import type { Progress } from '../../dist/src/observe/progress.js';

/** A stream that says that it is a terminal, or that it is none, and what was written to it. */
function stream(isTTY: boolean): { stream: NodeJS.WriteStream; written: () => string } {
  const chunks: string[] = [];
  const through = new PassThrough().setEncoding('utf8').on('data', (text: string) => chunks.push(text));
  const terminal = { isTTY, columns: 200, cursorTo: () => true, clearLine: () => true, moveCursor: () => true };
  return { stream: Object.assign(through, terminal) as unknown as NodeJS.WriteStream, written: () => chunks.join('') };
}

/** Two nodes, of which so many pages are ready. */
function progress(...pagesReady: [number, number]): Progress {
  const nodes = pagesReady.map((ready, nid) => ({ nid, pages: 4000, pagesReady: ready }));
  const total = pagesReady[0] + pagesReady[1];
  return { pages: 8000, pagesReady: total, nodes, elapsedMs: 2, state: total < 8000 ? 'active' : 'idle' };
}

describe('progress bars', () => {
  it('write nothing to what is no terminal', async () => {
    const { stream: file, written } = stream(false);
    const bars = new Bars(file);
    bars.show(progress(1000, 4000));
    bars.stop();
    await new Promise(setImmediate);
    expect(written()).toBe('');
  });

  it('show on a terminal how far each node is, and its rate', async () => {
    const { stream: terminal, written } = stream(true);
    const bars = new Bars(terminal);
    bars.show(progress(1000, 2000));
    bars.show(progress(1000, 4000));
    bars.stop();
    await new Promise(setImmediate);
    const line = (nid: number): string | undefined =>
      written()
        .match(new RegExp(`node ${nid} .*?M pages/s`, 'g'))
        ?.at(-1);
    expect(line(0)).toMatch(/^node 0 {2}█{10}░{30} {2}25 % {2}1000\/4000 pages {2}0\.5M pages\/s$/);
    expect(line(1)).toMatch(/^node 1 {2}█{40} {2}100 % {2}4000\/4000 pages {2}2\.0M pages\/s$/);
  });

  it('keep the rate that a node ended with', async () => {
    const { stream: terminal, written } = stream(true);
    const bars = new Bars(terminal);
    bars.show(progress(4000, 0));
    bars.show({ ...progress(4000, 4000), elapsedMs: 2000 });
    bars.stop();
    await new Promise(setImmediate);
    expect(
      written()
        .match(/node 0 .*?M pages\/s/g)
        ?.at(-1),
    ).toContain(' 2.0M pages/s');
  });
});
