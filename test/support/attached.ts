/** A user's own thread that attaches to a memmap by its handle. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { MemmapHandle } from '../../dist/src/index.js';

/** See the top of the file; attached.mjs is what runs there. */
export class Attached {
  readonly worker: Worker;

  private constructor(handle: MemmapHandle) {
    this.worker = new Worker(new URL('./attached.mjs', import.meta.url), { workerData: { handle } });
  }

  static async to(handle: MemmapHandle): Promise<Attached> {
    const attached = new Attached(handle);
    await once(attached.worker, 'message');
    return attached;
  }

  async do(...words: unknown[]): Promise<unknown> {
    const answer = once(this.worker, 'message');
    this.worker.postMessage(words);
    const [{ result, code }] = (await answer) as [{ result?: unknown; code?: string }];
    return code ?? result;
  }
}
