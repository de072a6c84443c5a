/** What the addon tells of memory, threads and CPUs, and asks of the kernel, against what /proc says. */
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { descriptorLanes, layoutFacts } from '../../dist/src/descriptor/layout.js';
import { addon, loaderPath, named, projectRoot, skipReason, untyped } from './built-addon.js';
import { isPresent } from './pagemap.js';

const hugePageBytes = 2 * 1024 * 1024;
const hasHugePages = existsSync('/sys/kernel/mm/transparent_hugepage/enabled');

/** Whether the kernel was advised to use huge pages for the mapping that holds `address`. */
function isAdvised(address: bigint): boolean {
  let inside = false;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const bounds = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (bounds) inside = BigInt(`0x${bounds[1]}`) <= address && address < BigInt(`0x${bounds[2]}`);
    if (inside && line.startsWith('VmFlags:')) return line.split(' ').includes('hg');
  }
  throw new Error('no mapping holds this address');
}

/** Runs statements in a thread that has loaded the addon for itself; what they return comes back. */
async function inThread<T>(statements: string, data: unknown = undefined): Promise<T> {
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const addon = require(${JSON.stringify(loaderPath)})(${JSON.stringify(projectRoot)});
     parentPort.postMessage((() => { ${statements} })());`,
    { eval: true, workerData: data },
  );
  try {
    return await new Promise<T>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  } finally {
    await worker.terminate();
  }
}

describe.skipIf(skipReason !== undefined)(named('populate'), () => {
  it('maps every page that the view meets, also in part, and no other', ({ skip }) => {
    const always =
      hasHugePages && readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').includes('[always]');
    if (always) return skip('transparent huge pages are always on here, and map the neighbours of a page, too');
    const bytes = new Uint8Array(new SharedArrayBuffer(2 ** 26));
    // page 0 of the buffer holds its allocator's own words
    const first = addon.bytesToBoundary(bytes, 4096) + 16 * 4096;
    const words = new Uint32Array(bytes.buffer, first + 4096 - 64, (128 + 4096) / 4);
    const pageAt = (page: number): bigint => addon.addressOf(words) + 64n - 4096n + BigInt(page) * 4096n;
    expect([-1, 0, 1, 2, 3].map((page) => isPresent(pageAt(page)))).toEqual([false, false, false, false, false]);
    expect(addon.populate(words)).toBe(0);
    expect([-1, 0, 1, 2, 3].map((page) => isPresent(pageAt(page)))).toEqual([false, true, true, true, false]);
    expect(addon.populate(words, 0, 0)).toBe(0);
  });
});

describe.skipIf(skipReason !== undefined)(named('bytesToBoundary'), () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(2 ** 16));

  it.each([1, 2, 64, 4096, hugePageBytes, 2 ** 30])('leads to the next multiple of %d', (boundary) => {
    for (const offset of [0, 1, 63, 64, 4095, 4096]) {
      const view = bytes.subarray(offset);
      const distance = addon.bytesToBoundary(view, boundary);
      expect(distance).toBeGreaterThanOrEqual(0);
      expect(distance).toBeLessThan(boundary);
      expect((addon.addressOf(view as never) + BigInt(distance)) % BigInt(boundary)).toBe(0n);
    }
  });

  it('is 0 at the boundary and boundary − 1 right behind it', () => {
    const at = addon.bytesToBoundary(bytes, 4096);
    expect(addon.bytesToBoundary(bytes.subarray(at), 4096)).toBe(0);
    expect(addon.bytesToBoundary(bytes.subarray(at + 1), 4096)).toBe(4095);
  });

  it.each([0, 3, -4096, 2 ** 31, 1.5, Number.NaN])('rejects the boundary %d', (boundary) => {
    expect(() => addon.bytesToBoundary(bytes, boundary)).toThrow(RangeError);
    expect(() => addon.bytesToBoundary(bytes, boundary)).toThrow('bytesToBoundary: boundary must be ');
  });

  it.each([undefined, {}, new ArrayBuffer(8), new DataView(new ArrayBuffer(8))])(
    'rejects a view that is %o',
    (view) => {
      expect(() => untyped.bytesToBoundary(view, 64)).toThrow(TypeError);
      expect(() => untyped.addressOf(view)).toThrow(TypeError);
    },
  );
});

describe.skipIf(skipReason !== undefined)(named('addressOf'), () => {
  it('moves with the start of the view, whatever its elements', () => {
    const buffer = new SharedArrayBuffer(64);
    const start = untyped.addressOf(new Uint8Array(buffer)) as bigint;
    expect(untyped.addressOf(new Uint8Array(buffer, 3))).toBe(start + 3n);
    expect(untyped.addressOf(new BigUint64Array(buffer, 8))).toBe(start + 8n);
    expect(untyped.addressOf(new Float32Array(buffer, 12))).toBe(start + 12n);
  });
});

describe.skipIf(skipReason !== undefined)(named('adviseHugePages'), () => {
  const sizeBytes = 64 * 1024 * 1024;
  const made = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(sizeBytes));
  const advise = untyped.adviseHugePages as (...args: unknown[]) => number;
  const addressAt = (view: Uint8Array, offset: number): bigint => addon.addressOf(view.subarray(offset) as never);

  it.skipIf(!hasHugePages)('advises the whole view when no part is named', () => {
    const view = made();
    expect(advise(view)).toBe(0);
    for (const offset of [8192, sizeBytes / 2, sizeBytes - 8192]) expect(isAdvised(addressAt(view, offset))).toBe(true);
  });

  it.skipIf(!hasHugePages)('advises whole pages inside the part that is named, and nothing else', () => {
    const view = made();
    const page = addon.bytesToBoundary(view, 4096) + 4096 * 100;
    // From the middle of one page to the middle of the fourth behind it: two whole ones and a third.
    expect(advise(view, page + 2048, 4 * 4096)).toBe(0);
    const advised = Array.from({ length: 6 }, (_, at) => isAdvised(addressAt(view, page + at * 4096)));
    expect(advised).toEqual([false, true, true, true, false, false]);
  });

  it('does nothing where no whole page lies inside', () => {
    const view = made();
    const page = addon.bytesToBoundary(view, 4096);
    for (const [offset, length] of [
      [page, 4095],
      [page + 1, 4096],
      [page + 1, 8190],
      [page, 0],
      [sizeBytes, 0],
    ] as const) {
      expect(advise(view, offset, length)).toBe(0);
      if (offset < sizeBytes) expect(isAdvised(addressAt(view, page))).toBe(false);
    }
  });

  it('knows how many bytes wide the elements are', () => {
    expect(() => advise(new BigUint64Array(8), 0, 65)).toThrow(
      'byteLength must be an integer from 0 to 64, received 65',
    );
    expect(() => advise(new Uint16Array(8), 17)).toThrow('byteOffset must be an integer from 0 to 16, received 17');
  });

  it.each([
    ['byteOffset', [made(), -1, 1]],
    ['byteOffset', [made(), sizeBytes + 1, 0]],
    ['byteLength', [made(), 1, sizeBytes]],
    ['byteLength', [made(), 0, 2 ** 63]],
    ['byteLength', [made(), 0, 0.5]],
  ] as const)('rejects a wrong %s', (argument, args) => {
    expect(() => advise(...args)).toThrow(RangeError);
    expect(() => advise(...args)).toThrow(`adviseHugePages: ${argument} must be `);
  });
});

describe.skipIf(skipReason !== undefined)(named('discard'), () => {
  const sizeBytes = 64 * 1024 * 1024;

  it('lets whole pages read as zeros and leaves the rest', () => {
    const view = new Uint8Array(new SharedArrayBuffer(sizeBytes)).fill(7);
    const page = addon.bytesToBoundary(view, 4096) + 4096 * 100;
    const discard = untyped.discard as (...args: unknown[]) => number;
    // From the middle of one page to the middle of the third behind it: two whole ones.
    expect(discard(view, page + 2048, 3 * 4096)).toBe(0);
    expect(view.subarray(page, page + 4096).every((byte) => byte === 7)).toBe(true);
    expect(view.subarray(page + 4096, page + 3 * 4096).every((byte) => byte === 0)).toBe(true);
    expect(view.subarray(page + 3 * 4096, page + 4 * 4096).every((byte) => byte === 7)).toBe(true);
    view[page + 4096] = 9;
    expect(view[page + 4096]).toBe(9);
  });

  it('of the whole view leaves nothing of it in memory', () => {
    const view = new Uint8Array(new SharedArrayBuffer(sizeBytes)).fill(7);
    const before = process.memoryUsage.rss();
    expect(addon.discard(view as never)).toBe(0);
    expect(before - process.memoryUsage.rss()).toBeGreaterThan(sizeBytes / 2);
  });
});

describe.skipIf(skipReason !== undefined)(named('threads and CPUs'), () => {
  it('threadId is that of the calling thread', async () => {
    const main = addon.threadId();
    const other = await inThread<{ id: number; exists: boolean }>(
      `const id = addon.threadId(); return { id, exists: require('node:fs').existsSync('/proc/self/task/' + id) };`,
    );
    expect(existsSync(`/proc/self/task/${main}`)).toBe(true);
    expect(other.exists).toBe(true);
    expect(other.id).not.toBe(main);
  });

  it('allowedCpus rises and names as many CPUs as /proc does', () => {
    const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1] ?? '';
    const told = list.split(',').flatMap((run) => {
      const [first = 0, last = first] = run.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
    expect(addon.allowedCpus()).toEqual(told);
  });

  it('pinThread pins its own thread and no other, to those of the CPUs that exist', async () => {
    const before = addon.allowedCpus();
    const last = before.at(-1) as number;
    const result = await inThread<unknown>(
      'return [addon.pinThread([workerData, 5000, 1048575, workerData]), addon.allowedCpus()];',
      last,
    );
    expect(result).toEqual([0, [last]]);
    expect(addon.allowedCpus()).toEqual(before);
  });

  it('pinThread does not win back CPUs that were taken from the thread', async () => {
    const before = addon.allowedCpus();
    const result = await inThread<unknown>(
      'return [addon.pinThread([workerData[0]]), addon.pinThread(workerData), addon.allowedCpus()];',
      before,
    );
    expect(result).toEqual([0, 0, [before[0]]]);
  });

  it('pinThread says EINVAL and changes nothing when no CPU is left', async () => {
    const before = addon.allowedCpus();
    const result = await inThread<unknown>(
      'return [addon.pinThread([]), addon.pinThread([1048575]), addon.allowedCpus()];',
    );
    expect(result).toEqual([constants.errno.EINVAL, constants.errno.EINVAL, before]);
  });

  it.each([
    ['cpus must be an array', TypeError, undefined],
    ['cpus must be an array', TypeError, new Uint32Array(1)],
    ['cpus[1] must be a number', TypeError, [0, '1']],
    ['cpus[0] must be a number', TypeError, new Array(1)],
    ['cpus[0] must be an integer', RangeError, [-1]],
    ['cpus[0] must be an integer', RangeError, [0.5]],
    ['cpus[2] must be an integer from 0 to 1048575, received 1048576', RangeError, [0, 1, 2 ** 20]],
  ] as const)('pinThread rejects what is no list of CPUs: %s', (text, error, cpus) => {
    expect(() => untyped.pinThread(cpus)).toThrow(error);
    expect(() => untyped.pinThread(cpus)).toThrow(`pinThread: ${text}`);
  });
});

describe.skipIf(skipReason !== undefined)(named('the addon'), () => {
  it('was compiled with the layouts of the table', () => {
    expect(addon.layout()).toEqual(layoutFacts());
    expect(addon.layout()['lanes']).toBe(descriptorLanes);
  });

  it('works in many threads at once and after threads have ended', async () => {
    const [threads, count] = [8, 100];
    const shared = new SharedArrayBuffer(threads * count * 64);
    const line = new Uint32Array(32).fill(3);
    for (let round = 1; round <= 2; round++) {
      const statuses = await Promise.all(
        Array.from({ length: threads }, (_, thread) =>
          inThread<number>(
            `const { shared, line, at, count, index } = workerData;
             return addon.fill(new Uint32Array(shared), at, count, line, index, 0);`,
            { shared, line, at: thread * count * 16, count, index: round * 1000 + thread * count },
          ),
        ),
      );
      expect(statuses).toEqual(Array(threads).fill(0));
      expect(addon.check(new Uint32Array(shared), 0, threads * count, line, round * 1000)).toBe(0);
    }
  });
});
