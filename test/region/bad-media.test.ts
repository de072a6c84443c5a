/** Files whose bytes cannot be had: holes in a full file system, and a file that somebody cuts short while it is mapped. */
import { execFileSync } from 'node:child_process';
import { statfsSync, truncateSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { inspectDescriptor, Memmap, releaseThreads, verifyFile } from '../../dist/src/index.js';
import { named, skipReason } from '../native/built-addon.js';
import { Folder, tinyFolder } from '../native/mapped.js';
import { chunkBytes, dataOffset, FileUser, folders, rejectionOf, small } from '../support/files.js';

const { ENODATA, ENOSPC } = constants.errno;
const MiB = 2 ** 20;

afterAll(releaseThreads);

/** Takes the blocks of so many chunks from a file. */
function punchHole(path: string, firstChunk: number, chunks: number): void {
  const [offset, length] = [dataOffset + firstChunk * chunkBytes, chunks * chunkBytes].map(String) as [string, string];
  execFileSync('fallocate', ['--punch-hole', '--offset', offset, '--length', length, path]);
}

/** Takes all that is left of the file system, until the returned file is removed. */
function fill(folder: Folder): string {
  const path = join(folder.path, 'filler');
  const { bavail, bsize } = statfsSync(folder.path);
  if (bavail > 0) execFileSync('fallocate', ['--length', String(bavail * bsize), path]);
  return path;
}

/** The memmap of eight chunks with holes where chunks 2 and 3 were, and no blocks left for them. */
async function withHole(context: TestContext, before: (memmap: Memmap) => void = () => {}) {
  const folder = tinyFolder(context, 5 * MiB);
  const path = folder.newPath();
  const memmap = await Memmap.open({ ...small(), file: path });
  before(memmap);
  punchHole(path, 2, 2);
  const filler = fill(folder);
  return {
    memmap,
    path,
    makeRoom: () => unlinkSync(filler),
    async [Symbol.asyncDispose]() {
      await memmap.close();
      folder[Symbol.dispose]();
    },
  };
}

describe.skipIf(skipReason !== undefined)(named('a hole for which no blocks can be had'), () => {
  const failed = [{ startPfn: 2 * 512, endPfn: 4 * 512, error: 'ENOSPC' }];

  it('fails the fault there with ENOSPC, and no other', async (context) => {
    await using set = await withHole(context);
    const { memmap } = set;
    expect(memmap.fault(0)).toBe('claimed');
    expect(() => memmap.fault(2 * 512)).toThrow(expect.objectContaining({ code: 'CHUNK_FAILED', errno: ENOSPC }));
    expect(await rejectionOf(memmap.faultAsync(3 * 512))).toMatchObject({ code: 'CHUNK_FAILED', errno: ENOSPC });
    // a second time it is told, not tried
    expect(() => memmap.fault(2 * 512)).toThrow(/could not be written: ENOSPC; mend the cause, then call retry\(\)/);
    expect(memmap.fault(4 * 512)).toBe('claimed');
    expect(memmap.stats()).toMatchObject({ failed, chunks: { free: 4, ready: 2, failed: 2 }, mediaError: null });
    expect(await memmap.verify()).toEqual({ checked: 1024, wrong: 0, firstWrongPfn: -1, failed: 1024 });
  });

  it('fails a fault that begins in front of it at the first chunk there', async (context) => {
    await using set = await withHole(context);
    const { memmap } = set;
    expect(() => memmap.fault(0, 18)).toThrow(/pfns 1024 to 1535 could not be written: ENOSPC/);
    expect(memmap.stats().chunks).toMatchObject({ ready: 2, failed: 1, free: 5 });
  });

  it('does not keep the rest from being initialized, and is tried again when asked to', async (context) => {
    await using set = await withHole(context);
    const { memmap, makeRoom, path } = set;
    expect(await rejectionOf(memmap.sync())).toMatchObject({ code: 'CHUNK_FAILED', errno: ENOSPC });
    expect(memmap.stats()).toMatchObject({ failed, chunks: { free: 0, ready: 6, failed: 2 } });
    makeRoom();
    expect(memmap.retry()).toBe(2);
    await memmap.sync();
    expect(memmap.stats()).toMatchObject({ failed: [], chunks: { ready: 8, failed: 0 } });
    expect(await verifyFile(path)).toEqual({ checked: 4096, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('fails the chunks that drains are at, and the others are done', async (context) => {
    using folder = tinyFolder(context, 5 * MiB);
    const path = folder.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path, threadsPerNode: 2 });
    // before the first turn of the event loop nothing is initialized yet
    memmap.pause();
    punchHole(path, 2, 2);
    fill(folder);
    memmap.resume();
    expect(await rejectionOf(memmap.ready)).toMatchObject({ code: 'CHUNK_FAILED', errno: ENOSPC });
    expect(memmap.stats()).toMatchObject({ failed, chunks: { ready: 6, failed: 2 } });
    expect(memmap.stats().workers.failures).toEqual([]);
    await memmap.close();
  });

  it('behind what was initialized is told to who has not seen it yet, instead of ending the process', async (context) => {
    await using set = await withHole(context, (memmap) => memmap.fault(0, 18));
    const { memmap, path } = set;
    const other = Memmap.attach(memmap.handle());
    expect(other.fault(512)).toBe('ready');
    expect(() => other.fault(2 * 512)).toThrow(
      expect.objectContaining({
        code: 'CHUNK_FAILED',
        errno: ENOSPC,
        message: expect.stringContaining('pfns 1024 to 1535 cannot be read: ENOSPC; see the kernel'),
      }),
    );
    expect(await rejectionOf(other.faultAsync(3 * 512))).toMatchObject({ code: 'CHUNK_FAILED', errno: ENOSPC });
    expect(await other.verify()).toEqual({ checked: 6 * 512, wrong: 0, firstWrongPfn: -1, failed: 1024 });
    expect(await verifyFile(path)).toEqual({ checked: 6 * 512, wrong: 0, firstWrongPfn: -1, failed: 1024 });
    // who only reads cannot ask the file system why
    expect((await rejectionOf(inspectDescriptor(path, 3 * 512))).code).toBe('CHUNK_FAILED');
    expect((await inspectDescriptor(path, 4 * 512)).state).toBe('ready');
    await other.close();
  });
});

describe.skipIf(skipReason !== undefined).each(folders)(
  named('a file in %s that is cut short while it is mapped'),
  (parent) => {
    const chunks = 64;
    const cutBytes = dataOffset + (chunks / 2) * chunkBytes;
    const failed = [{ startPfn: (chunks / 2) * 512, endPfn: chunks * 512, error: 'ENODATA' }];

    it('fails the faults behind its end with ENODATA, and those before it go on', async () => {
      using folder = new Folder(parent);
      const path = folder.newPath();
      await using memmap = await Memmap.open({ ...small(chunks), file: path });
      truncateSync(path, cutBytes);
      expect(memmap.fault((chunks / 2) * 512 - 1)).toBe('claimed');
      for (const chunk of [chunks / 2, chunks - 1]) {
        expect(() => memmap.fault(chunk * 512)).toThrow(
          expect.objectContaining({
            code: 'CHUNK_FAILED',
            errno: ENODATA,
            message: expect.stringContaining('ENODATA'),
          }),
        );
      }
      expect(memmap.fault(0)).toBe('claimed');
      expect(await memmap.verify()).toEqual({ checked: 1024, wrong: 0, firstWrongPfn: -1, failed: 1024 });
    });

    it('fails what drains find behind its end, all of the rest is done, and the process lives', async () => {
      using folder = new Folder(parent);
      const path = folder.newPath();
      await using other = new FileUser(`
      const memmap = await Memmap.open({
        topology: ${JSON.stringify(small(chunks).topology)},
        chunkPages: 512,
        threadsPerNode: 2,
        file: ${JSON.stringify(path)},
      });
      memmap.pause();
      say('open');
      await told();
      memmap.resume();
      const { code, errno } = await memmap.ready.then(() => ({}), (error) => error);
      const { failed, chunks } = memmap.stats();
      say(JSON.stringify({ code, errno, failed, chunks: chunks.failed, verified: await memmap.verify() }));
      await memmap.close();
      say('closed');
      process.exit(0);`);
      expect(await other.hear()).toBe('open');
      truncateSync(path, cutBytes);
      other.tell('go on');
      const told = JSON.parse((await other.hear()) ?? '') as Record<string, unknown>;
      expect(told).toMatchObject({ code: 'CHUNK_FAILED', errno: ENODATA, chunks: 32 });
      expect(told['failed']).toEqual(failed);
      expect(told['verified']).toEqual({ checked: 32 * 512, wrong: 0, firstWrongPfn: -1, failed: 32 * 512 });
      expect(await other.hear()).toBe('closed');
      expect(await other.ended()).toBe(0);
    });

    it('is told to who faults what another has initialized there, instead of ending the process', async () => {
      using folder = new Folder(parent);
      const path = folder.newPath();
      await using memmap = await Memmap.open({ ...small(chunks), file: path });
      memmap.fault(0, 18);
      truncateSync(path, cutBytes);
      const other = Memmap.attach(memmap.handle());
      expect(() => other.fault(chunks * 512 - 1)).toThrow(
        expect.objectContaining({ code: 'CHUNK_FAILED', errno: ENODATA }),
      );
      expect(await other.verify()).toEqual({ checked: 32 * 512, wrong: 0, firstWrongPfn: -1, failed: 32 * 512 });
      await other.close();
    });

    it('is refused by who comes next, and may be rebuilt when it was closed', async () => {
      using folder = new Folder(parent);
      const path = folder.newPath();
      const memmap = await Memmap.open({ ...small(chunks), file: path });
      memmap.fault(0);
      truncateSync(path, cutBytes);
      expect((await rejectionOf(Memmap.attach({ file: path }))).code).toBe('FILE_DAMAGED');
      expect((await rejectionOf(verifyFile(path))).code).toBe('FILE_DAMAGED');
      await memmap.close();
      await using again = await Memmap.open({ ...small(chunks), file: path, rebuild: true });
      await again.sync();
      expect(await again.verify()).toMatchObject({ checked: chunks * 512, wrong: 0, failed: 0 });
    });
  },
);
