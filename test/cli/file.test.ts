/** The command line on files: init makes and resumes them, inspect and verify look at them, and errors are told in a line. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, statfsSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inspectFile, Memmap } from '../../dist/src/index.js';
import { named, skipReason } from '../native/built-addon.js';
import { Folder } from '../native/mapped.js';
import { runCli } from '../support/child.js';
import { dataOffset, flip, folders, small, traceOf } from '../support/files.js';

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(() => folder[Symbol.dispose]());

/** 32 chunks of one node, in two ranges: DMA and DMA32. */
const machine = ['--simulate', '1x64MiB', '--chunk-pages', '512', '--threads', '1'];
const pages = 2 ** 14;
const chunks = 32;

/** Runs a command that is expected to be done; what it printed on stdout. */
async function done(...words: string[]): Promise<string> {
  const { status, signal, stdout, stderr } = await runCli(words);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  return stdout;
}

async function json(...words: string[]): Promise<Record<string, unknown>> {
  const stdout = await done(...words, '--json');
  const report = JSON.parse(stdout) as Record<string, unknown>;
  expect(stdout).toBe(`${JSON.stringify(report)}\n`);
  return report;
}

/** Runs a command that is expected to fail; what it says in its one line, and what it printed before. */
async function failure(...words: string[]): Promise<{ told: string; stdout: string }> {
  const { status, signal, stdout, stderr } = await runCli(words);
  expect({ status, signal }).toEqual({ status: 1, signal: null });
  expect(stderr).toMatch(/^vmemmap: [A-Z_]+: [^\n]+\n$/);
  return { told: stderr.slice('vmemmap: '.length, -1), stdout };
}

describe.skipIf(skipReason !== undefined)(named('init --file'), () => {
  it('makes the memmap, and resumes it the second time: everything is kept, nothing redone', async () => {
    const path = folder.newPath();
    const first = await json('init', ...machine, '--file', path, '--faults', '10', '--verify');
    expect(first).toMatchObject({
      pages,
      resumed: { chunksKept: 0, chunksRedone: 0 },
      verify: { checked: pages, wrong: 0, failed: 0 },
      backing: { requested: 'file', effective: 'file', pageSize: 4096 },
      workerFailures: 0,
    });
    const second = await json('init', ...machine, '--file', path, '--faults', '10', '--verify');
    expect(second).toMatchObject({
      pages,
      resumed: { chunksKept: chunks, chunksRedone: 0 },
      faults: { count: 10, claimed: 0, waited: 0, alreadyReady: 10 },
      verify: { checked: pages, wrong: 0, failed: 0 },
    });
    expect(Object.keys(second)).toEqual(Object.keys(first));
    const { durability } = first['backing'] as { durability: string };
    for (const { durableMs } of [first, second]) {
      expect(durableMs).toEqual(durability === 'none' ? null : expect.any(Number));
    }
    expect(await json('inspect', path)).toMatchObject({ epoch: 2 });
  });

  it('tells a person what was kept', async () => {
    const path = folder.newPath();
    const made = await done('init', ...machine, '--file', path);
    expect(made).toMatch(/\n {2}in a file, 1 threads, store path [^\n]+, backing file\n {2}[^\n]+; none was there\n/);
    const resumed = await done('init', ...machine, '--file', path);
    expect(resumed).toMatch(/\n {2}[^\n]+ \(durability [a-z-]+\)[^\n]*; 32 chunks were kept, 0 were left to do\n/);
  });

  it('starts over with --rebuild', async () => {
    const path = folder.newPath();
    await done('init', ...machine, '--file', path);
    const { uuid } = await json('inspect', path);
    const rebuilt = await json('init', ...machine, '--file', path, '--rebuild', '--verify');
    expect(rebuilt).toMatchObject({
      resumed: { chunksKept: 0, chunksRedone: 0 },
      verify: { checked: pages, wrong: 0 },
    });
    const { uuid: next, epoch } = await json('inspect', path);
    expect(next).not.toBe(uuid);
    expect(epoch).toBe(1);
  });

  it('may name the backing and the durability, which is got', async () => {
    const path = folder.newPath();
    const words = ['--file', path, '--backing', 'file', '--durability', 'none'];
    const { backing, durableMs } = await json('init', ...machine, ...words);
    expect(backing).toMatchObject({ durability: 'none', durabilityRequested: 'none' });
    expect(durableMs).toBeNull();
  });

  it('goes on with a file that was only faulted', async () => {
    const path = folder.newPath();
    await using memmap = await Memmap.open({ topology: '1x64MiB', chunkPages: 512, threadsPerNode: 0, file: path });
    memmap.fault(0);
    await memmap.close();
    expect((await json('init', ...machine, '--file', path, '--verify'))['resumed']).toEqual({
      chunksKept: 1,
      chunksRedone: 31,
    });
  });

  it('with --verify fails when a user has changed a descriptor, and says that it may be that', async () => {
    const path = folder.newPath();
    await done('init', ...machine, '--file', path);
    changeDescriptor(path, 5);
    const { told, stdout } = await failure('init', ...machine, '--file', path, '--verify', '--json');
    expect(told).toBe(
      'VERIFY_WRONG: 1 of 16384 descriptors are wrong, the first at pfn 5; what a user has changed differs, too',
    );
    expect(JSON.parse(stdout)).toMatchObject({ verify: { checked: pages, wrong: 1, failed: 0 } });
  });
});

/** Changes the descriptor of a pfn in the file of a machine of one range. */
function changeDescriptor(path: string, pfn: number): void {
  const fd = openSync(path, 'r+');
  flip(fd, dataOffset + pfn * 64 + 28, 0xff);
  closeSync(fd);
}

describe.skipIf(skipReason !== undefined)(named('inspect and verify'), () => {
  /** A file whose chunks 0 and 3 are initialized. */
  async function made(): Promise<string> {
    const path = folder.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path, durability: 'none' });
    memmap.fault(0);
    memmap.fault(3 * 512);
    return path;
  }

  it('inspect tells a person what the file holds', async () => {
    const path = await made();
    const before = traceOf(path);
    const lines = (await done('inspect', path)).split('\n');
    expect(lines[0]).toBe(`${path}: linux-6.1 · policy hotplug · 4.00 MiB`);
    expect(lines[1]).toMatch(/^ {2}uuid [0-9a-f]{32} · session 1$/);
    expect(lines.slice(-3)).toEqual(['4,096 page descriptors; chunks: 6 free · 2 ready', 'nobody has it open', '']);
    expect(traceOf(path)).toEqual(before);
  });

  it('inspect --json is one object', async () => {
    const path = await made();
    const { uuid, ...rest } = await json('inspect', path);
    expect(uuid).toMatch(/^[0-9a-f]{32}$/);
    expect(rest).toEqual({
      path,
      epoch: 1,
      profile: 'linux-6.1',
      platform: 'x86-64',
      policy: 'hotplug',
      pages: 4096,
      sizeBytes: 2 ** 22,
      ranges: [
        {
          nid: 0,
          zone: 'Normal',
          kind: 'ram',
          startPfn: 0,
          endPfn: 4096,
          pages: 4096,
          uses: { present: 4096, reserved: 0, unavailable: 0, altmap: 0 },
          chunkPages: 512,
          chunks: 8,
        },
      ],
      chunks: { free: 6, claimed: 0, ready: 2, durable: 0, failed: 0 },
      failed: [],
      mediaError: null,
      processes: [],
    });
  });

  it('inspect names the processes that have it open', async () => {
    const path = await made();
    await using memmap = await Memmap.attach({ file: path });
    expect((await json('inspect', path))['processes']).toEqual([{ slot: 1, pid: process.pid }]);
    expect(await done('inspect', path)).toMatch(new RegExp(`\nopen in the processes ${process.pid}\n$`));
    expect(memmap.fault(0)).toBe('ready');
  });

  it.each([
    ['1540', 1540],
    ['0x604', 1540],
    ['0X604', 1540],
  ])('inspect --pfn %s tells one descriptor', async (text, pfn) => {
    const path = await made();
    const told = await json('inspect', path, '--pfn', text);
    expect(told).toMatchObject({ pfn, nid: 0, zone: 'Normal', use: 'present', chunk: 3, state: 'ready' });
    expect(told['words']).toHaveLength(16);
    expect(told['fields']).toEqual(expect.objectContaining({}));
    const lines = (await done('inspect', path, '--pfn', text)).split('\n');
    expect(lines[0]).toBe('pfn 1540 (0x604): node 0, zone Normal, present, chunk 3, which is ready');
    expect(lines[1]).toMatch(/^ {2}([0-9a-f]{16} ){3}[0-9a-f]{16}$/);
    expect(lines[2]).toMatch(/^ {2}([0-9a-f]{16} ){3}[0-9a-f]{16}$/);
  });

  it('inspect --pfn tells one that is not initialized as it stands there', async () => {
    const told = await json('inspect', await made(), '--pfn', '600');
    expect(told).toMatchObject({ pfn: 600, chunk: 1, state: 'free', words: Array(16).fill(0) });
  });

  it('inspect --pfn of no descriptor fails with PFN_ABSENT', async () => {
    const path = await made();
    expect(await failure('inspect', path, '--pfn', '4096')).toEqual({
      told: `PFN_ABSENT: pfn 4096 lies in no range of ${path}; see vmemmap inspect ${path}`,
      stdout: '',
    });
  });

  it('verify is done when all that is initialized is as it was written', async () => {
    const path = await made();
    const before = traceOf(path);
    expect(await done('verify', path)).toBe('verified 1,024 descriptors: 0 wrong\n');
    expect(await json('verify', path)).toEqual({ checked: 1024, wrong: 0, firstWrongPfn: -1, failed: 0 });
    expect(traceOf(path)).toEqual(before);
  });

  it('verify fails when a descriptor was changed, and tells which', async () => {
    const path = await made();
    changeDescriptor(path, 1999);
    changeDescriptor(path, 2000);
    // not initialized: nothing is compared there
    changeDescriptor(path, 600);
    const { told, stdout } = await failure('verify', path);
    expect(told).toBe(
      'VERIFY_WRONG: 2 of 1024 descriptors differ, the first at pfn 1999; what a user has changed differs, too: see inspect --pfn',
    );
    expect(stdout).toBe('verified 1,024 descriptors: 2 wrong\n');
    const { stdout: object } = await failure('verify', path, '--json');
    expect(JSON.parse(object)).toEqual({ checked: 1024, wrong: 2, firstWrongPfn: 1999, failed: 0 });
  });

  it('look at a file while it is being used', async () => {
    const path = await made();
    await using memmap = await Memmap.attach({ file: path });
    memmap.fault(512);
    expect(await json('verify', path)).toMatchObject({ checked: 1536 });
    expect(await json('inspect', path)).toMatchObject({ chunks: { free: 5 } });
  });
});

describe.skipIf(skipReason !== undefined)(named('what cannot be done is told in one line'), () => {
  const commands = [['init', ...machine, '--file'], ['inspect'], ['verify']] as const;

  it.each(commands)('by %s, of a file of somebody else', async (...command) => {
    const path = folder.newPath();
    writeFileSync(path, 'dear diary\n'.repeat(1000));
    const before = traceOf(path);
    expect(await failure(...command, path)).toEqual({
      told: `FILE_FOREIGN: ${path}: it is no vmemmap region; it was left alone; name another file`,
      stdout: '',
    });
    expect(traceOf(path)).toEqual(before);
  });

  it.each(commands)('by %s, of a file that was cut short', async (...command) => {
    const path = folder.newPath();
    await done('init', ...machine, '--file', path);
    truncateSync(path, statSync(path).size - 1);
    const before = traceOf(path);
    const { told } = await failure(...command, path);
    expect(told).toMatch(/^FILE_DAMAGED: .+: it was cut short: 6291456 bytes are needed, it has 6291455; restore it/);
    expect(traceOf(path)).toEqual(before);
  });

  it.each(commands)('by %s, of a path that breaks the line', async (...command) => {
    const path = `${folder.path}/none/a\nb\u001b[31m`;
    const { told } = await failure(...command, path);
    expect(told).toMatch(/^FILE_UNUSABLE: .*\/none\/a\?b\?\[31m: /);
  });

  it('by init, of a file of another machine', async () => {
    const path = folder.newPath();
    await done('init', ...machine, '--file', path);
    const { told } = await failure('init', '--simulate', '1x128MiB', '--chunk-pages', '512', '--file', path);
    expect(told).toMatch(
      /^FILE_GEOMETRY: .+: it holds another memmap: .+; describe that machine, name another file, or/,
    );
  });

  it('by init, of a file that another process uses', async () => {
    const path = folder.newPath();
    await done('init', ...machine, '--file', path);
    await using memmap = await Memmap.attach({ file: path });
    const { told } = await failure('init', ...machine, '--file', path, '--rebuild');
    expect(told).toBe(`FILE_BUSY: ${path}: it cannot be rebuilt while another process uses it; close it there first`);
    expect(memmap.fault(0)).toBe('ready');
  });

  it('by init, of a durability that cannot be had, and no file is made', async () => {
    const path = folder.newPath();
    const { told } = await failure('init', ...machine, '--file', path, '--durability', 'dax-sync');
    expect(told).toMatch(/^BACKING_UNAVAILABLE: .+: durability dax-sync cannot be had: .+, or ask for msync$/);
    expect(existsSync(path)).toBe(false);
  });

  it.each(commands)('by %s, without the addon', async (...command) => {
    const path = folder.newPath();
    const { status, stdout, stderr } = await runCli([...command, path], { env: { VMEMMAP_ADDON: 'off' } });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toBe('vmemmap: ADDON_MISSING: the backings file and devdax need the addon: VMEMMAP_ADDON=off\n');
    expect(existsSync(path)).toBe(false);
  });
});

describe.skipIf(skipReason !== undefined)(named('init --file that is interrupted'), () => {
  /** 1 GiB of descriptors: the JavaScript kernel of one thread takes about a second. In memory, to spare the disk. */
  const large = ['--simulate', '1x64GiB', '--threads', '1'];
  const largePages = 2 ** 24;
  const largeChunks = largePages / 4096;
  const neededBytes = 2 ** 31;
  const parent = folders.at(-1) as string;
  const { bavail, bsize } = statfsSync(parent);
  const noRoom = Math.min(bavail * bsize, process.availableMemory()) < neededBytes;

  /** Resolves when a chunk of a file is initialized. */
  async function working(path: string, child: ChildProcess): Promise<void> {
    for (let ready = 0; ready === 0 && child.exitCode === null && child.signalCode === null; ) {
      await sleep(2);
      // not there yet, or not whole
      const found = await inspectFile(path).catch(() => undefined);
      ready = (found?.chunks.ready ?? 0) + (found?.chunks.durable ?? 0);
    }
  }

  it.for([
    ['by SIGINT', 'SIGINT'],
    ['by a crash', 'SIGKILL'],
  ] as const)('%s leaves a file that the next one resumes', async ([, signal], { skip }) => {
    skip(noRoom, `less than 2 GiB are free in ${parent}`);
    using own = new Folder(parent);
    const path = own.newPath();
    const words = ['init', ...large, '--file', path, '--json'];
    const interrupted = await runCli(words, {
      env: { VMEMMAP_STORES: 'js-u32' },
      meanwhile: async (child) => {
        await working(path, child);
        child.kill(signal);
      },
    });
    if (signal === 'SIGKILL') expect(interrupted).toEqual({ status: null, signal, stdout: '', stderr: '' });
    else {
      expect(interrupted).toEqual({
        status: 1,
        signal: null,
        stdout: '',
        stderr: `vmemmap: CANCELLED: interrupted before everything was initialized; ${path} keeps what is done; run it again to go on\n`,
      });
    }
    const { chunks: left, processes } = await json('inspect', path);
    const { ready, durable, free, claimed, failed } = left as Record<string, number>;
    expect(processes).toEqual([]);
    expect(failed).toBe(0);
    if (signal === 'SIGINT') expect(claimed).toBe(0);
    const kept = (ready ?? 0) + (durable ?? 0);
    expect(kept).toBeGreaterThan(0);
    expect((free ?? 0) + (claimed ?? 0)).toBe(largeChunks - kept);
    expect(kept).toBeLessThan(largeChunks);
    const resumed = await json('init', ...large, '--file', path, '--verify');
    expect(resumed).toMatchObject({
      resumed: { chunksKept: kept, chunksRedone: largeChunks - kept },
      verify: { checked: largePages, wrong: 0, failed: 0 },
    });
  });

  it('while it is being made leaves a file that the next one makes anew', async () => {
    const path = folder.newPath();
    await done('init', ...machine, '--file', path);
    const fd = folder.open(path, 'r+');
    writeSync(fd, Buffer.from('vmemnew\0', 'latin1'), 0, 8, 0);
    expect((await failure('verify', path)).told).toBe(
      `FILE_DAMAGED: ${path}: it was never finished; whoever made it was interrupted; vmemmap init makes it anew`,
    );
    expect(await json('init', ...machine, '--file', path, '--verify')).toMatchObject({
      resumed: { chunksKept: 0, chunksRedone: 0 },
      verify: { checked: pages, wrong: 0, failed: 0 },
    });
  });
});
