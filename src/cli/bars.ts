/** Progress bars on stderr, one per node; nothing where stderr is no terminal. */
import cliProgress from 'cli-progress';
import type { Progress } from '../observe/progress.ts';

/** Bars that follow a memmap's progress. */
export class Bars {
  readonly #multi: cliProgress.MultiBar | undefined;
  readonly #bars = new Map<number, cliProgress.SingleBar>();

  constructor(stream: NodeJS.WriteStream) {
    if (!stream.isTTY) return;
    this.#multi = new cliProgress.MultiBar({
      stream,
      format: 'node {nid}  {bar}  {percentage} %  {value}/{total} pages  {rate}M pages/s',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      hideCursor: true,
      clearOnComplete: false,
      emptyOnZero: true,
    });
  }

  /** Shows how far each node is. */
  show({ nodes, elapsedMs }: Progress): void {
    for (const { nid, pages, pagesReady } of nodes) {
      const rate = (pagesReady / elapsedMs / 1000).toFixed(1);
      const bar = this.#bars.get(nid) ?? this.#multi?.create(pages, 0, { nid, rate });
      if (!bar) return;
      this.#bars.set(nid, bar);
      // the rate is that of the run, not of how long the bar stays on the screen
      if (bar.getProgress() < 1) bar.update(pagesReady, { rate });
    }
  }

  /** Leaves the bars as they are and goes on below them. */
  stop(): void {
    this.#multi?.stop();
  }
}
