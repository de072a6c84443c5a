/** The file of a memmap: how it is made and found again, and that nothing of anybody else's is ever hurt. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inspectDescriptor, inspectFile, Memmap, type OpenOptions, verifyFile } from '../../dist/src/index.js';
import { lockKind } from '../../dist/src/native.js';
import { addon, named, skipReason } from '../native/built-addon.js';
import { Folder, tinyFolder } from '../native/mapped.js';
import {
  bytesAt,
  dataOffset,
  FileUser,
  flip,
  folders,
  layoutOf,
  rejectionOf,
  small,
  traceOf,
} from '../support/files.js';
import { machine, ram } from '../support/regions.js';

const isRoot = process.geteuid?.() === 0;
const MiB = 2 ** 20;
/** Two MiB before the descriptors of eight chunks, and as much for them. */
const wholeBytes = 4 * MiB;
/** Superblock, and the tables of a range with one segment of one part. */
const headerBytes = layoutOf().session;
/** The lock byte of whoever opens a file. */
const setupByte = 0;

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(() => folder[Symbol.dispose]());

/** Makes the memmap of eight chunks in a file, with the first one initialized. */
async function made(path: string = folder.newPath(), options: OpenOptions = {}): Promise<string> {
  await using memmap = await Memmap.open({ ...small(), file: path, ...options });
  memmap.fault(0);
  return path;
}

/** Opens a file for eight chunks, closes it, and tells what was found. */
async function resumedIn(path: string, options: OpenOptions = {}): Promise<Memmap['resumed']> {
  await using memmap = await Memmap.open({ ...small(), file: path, ...options });
  return memmap.resumed;
}

/** Expects that opening, attaching, inspecting and verifying are refused with one of the codes, and change nothing. */
async function expectRefused(path: string, ...codes: string[]): Promise<void> {
  const before = traceOf(path);
  const calls = [
    () => Memmap.open({ ...small(), file: path, backing: 'file' }),
    () => Memmap.attach({ file: path, backing: 'file' }),
    () => inspectFile(path),
    () => inspectDescriptor(path, 0),
    () => verifyFile(path),
  ];
  for (const call of calls) {
    const { code, message } = await rejectionOf(call());
    expect(codes).toContain(code);
    expect(message.startsWith(`${path}: `)).toBe(true);
  }
  expect(traceOf(path)).toEqual(before);
}

/** The same for rebuilding. */
async function expectNotRebuilt(path: string, code: string): Promise<void> {
  const before = traceOf(path);
  expect((await rejectionOf(Memmap.open({ ...small(), file: path, rebuild: true }))).code).toBe(code);
  expect(traceOf(path)).toEqual(before);
}

/** Changes the header of a file and seals it again with the right checksum. */
function forge(path: string, change: (view: DataView) => void): void {
  const bytes = readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  change(view);
  const sealed = Buffer.from(bytes.subarray(0, headerBytes));
  sealed.fill(0, 12, 16);
  sealed.fill(0, 64, 72);
  view.setUint32(12, crc32(sealed), true);
  writeFileSync(path, bytes);
}

describe.skipIf(skipReason !== undefined).each(folders)(named('a file in %s'), (parent) => {
  it('is made for its owner alone, as large as it must be, with all of its blocks', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const before = process.umask(0);
    try {
      await made(path);
    } finally {
      process.umask(before);
    }
    const { mode, size, blocks } = statSync(path);
    expect(mode & 0o777).toBe(0o600);
    expect(size).toBe(wholeBytes);
    expect(blocks * 512).toBeGreaterThanOrEqual(wholeBytes);
    expect(layoutOf()).toMatchObject({ totalSizeBytes: wholeBytes, data: [dataOffset] });
  });

  it('that is opened again is the same, and keeps what is initialized', async () => {
    using own = new Folder(parent);
    const path = await made(own.newPath());
    const { uuid, epoch } = await inspectFile(path);
    expect(epoch).toBe(1);
    expect(await resumedIn(path)).toEqual({ chunksKept: 1, chunksRedone: 7 });
    expect(await inspectFile(path)).toMatchObject({ uuid, epoch: 2, pages: 4096, sizeBytes: wholeBytes });
    expect(statSync(path).size).toBe(wholeBytes);
  });

  it('that was empty is made by open, and keeps its mode and its place', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    writeFileSync(path, '', { mode: 0o640 });
    const { ino } = statSync(path);
    await expectNothingFound(path);
    await made(path);
    expect(statSync(path)).toMatchObject({ ino, size: wholeBytes });
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });

  it('gets blocks again, when it is opened, where somebody has punched holes', async () => {
    using own = new Folder(parent);
    const path = await made(own.newPath());
    execFileSync('fallocate', ['--punch-hole', '--offset', String(dataOffset + MiB), '--length', String(MiB), path]);
    expect(statSync(path).blocks * 512).toBeLessThan(wholeBytes);
    await resumedIn(path);
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(wholeBytes);
  });

  it('is refused, and left as it is, when any bit of a byte of its superblock or range table is flipped', async () => {
    using own = new Folder(parent);
    const path = await made(own.newPath());
    const whole = traceOf(path);
    const fd = own.open(path, 'r+');
    const { controlSizeBytes } = layoutOf();
    const codes = new Map<string, number>();
    for (let offset = 0; offset < headerBytes; offset++) {
      flip(fd, offset, 1 << (offset % 8));
      const [bytes, stats] = [bytesAt(fd, 0, controlSizeBytes), fstatSync(fd, { bigint: true })];
      const { code } = await rejectionOf(Memmap.open({ ...small(), file: path }));
      codes.set(code, (codes.get(code) ?? 0) + 1);
      expect(bytesAt(fd, 0, controlSizeBytes).equals(bytes), `byte ${offset}`).toBe(true);
      expect(fstatSync(fd, { bigint: true }).mtimeNs, `byte ${offset}`).toBe(stats.mtimeNs);
      flip(fd, offset, 1 << (offset % 8));
    }
    // eight bytes of magic number, four of the version; all others are covered by a checksum
    expect(Object.fromEntries(codes)).toEqual({ FILE_FOREIGN: 8, FILE_VERSION: 4, FILE_DAMAGED: headerBytes - 12 });
    expect(traceOf(path)['sha256']).toBe(whole['sha256']);
    expect(await resumedIn(path)).toEqual({ chunksKept: 1, chunksRedone: 7 });
  });

  /** An empty file: `attach` and the like have nothing to find in it. */
  async function expectNothingFound(path: string): Promise<void> {
    const before = traceOf(path);
    for (const call of [() => Memmap.attach({ file: path }), () => inspectFile(path), () => verifyFile(path)]) {
      expect((await rejectionOf(call())).code).toBe('FILE_FOREIGN');
    }
    expect(traceOf(path)).toEqual(before);
  }
});

describe.skipIf(skipReason !== undefined)(named('what is no such file is refused and left alone'), () => {
  it('a symbolic link, to whatever it leads', async () => {
    const whole = await made();
    for (const target of [whole, join(folder.path, 'none'), folder.path]) {
      const path = folder.newPath();
      symlinkSync(target, path);
      const before = traceOf(whole);
      await expectRefused(path, 'FILE_FOREIGN');
      await expectNotRebuilt(path, 'FILE_FOREIGN');
      expect(traceOf(whole)).toEqual(before);
    }
    expect(existsSync(join(folder.path, 'none'))).toBe(false);
  });

  it('a file behind a folder that is a symbolic link is taken: only the last part of a path is looked at', async () => {
    const path = await made();
    const link = folder.newPath();
    symlinkSync(folder.path, link);
    expect(await resumedIn(join(link, path.slice(folder.path.length)))).toEqual({ chunksKept: 1, chunksRedone: 7 });
    unlinkSync(link);
  });

  it('a directory', async () => {
    const path = folder.newPath();
    mkdirSync(path);
    await expectRefused(path, 'FILE_FOREIGN');
    await expectNotRebuilt(path, 'FILE_FOREIGN');
  });

  it('a pipe, which nobody serves, at once', async () => {
    const path = folder.newPath();
    execFileSync('mkfifo', [path]);
    await expectRefused(path, 'FILE_FOREIGN');
    await expectNotRebuilt(path, 'FILE_FOREIGN');
  });

  it('a socket, without connecting to it', async () => {
    const path = folder.newPath();
    const server = createServer(() => {
      throw new Error('connected');
    });
    server.listen(path);
    await once(server, 'listening');
    await expectRefused(path, 'FILE_FOREIGN');
    await expectNotRebuilt(path, 'FILE_FOREIGN');
    server.close();
    await once(server, 'close');
  });

  it.each(['/dev/null', '/dev/zero', '/dev/full'])('a character device: %s', async (path) => {
    await expectRefused(path, 'FILE_FOREIGN');
    await expectNotRebuilt(path, 'FILE_FOREIGN');
    for (const backing of ['file', 'devdax'] as const) {
      expect((await rejectionOf(Memmap.open({ ...small(), file: path, backing }))).code).toBe('FILE_FOREIGN');
    }
  });

  it('a block device', async ({ skip }) => {
    const path = folder.newPath();
    // of the major number that is kept for nobody: if it were opened, that would fail otherwise
    const { status, stderr } = spawnSync('mknod', [path, 'b', '240', '255'], { encoding: 'utf8' });
    if (status !== 0) return skip(`cannot make a block device: ${stderr}`);
    await expectRefused(path, 'FILE_FOREIGN');
    await expectNotRebuilt(path, 'FILE_FOREIGN');
  });

  it('a file as the backing devdax, and a path of nothing, which is not made', async () => {
    const path = await made();
    const before = traceOf(path);
    expect((await rejectionOf(Memmap.open({ ...small(), file: path, backing: 'devdax' }))).code).toBe('FILE_FOREIGN');
    expect(traceOf(path)).toEqual(before);
    const none = folder.newPath();
    expect((await rejectionOf(Memmap.open({ ...small(), file: none, backing: 'devdax' }))).code).toBe('FILE_UNUSABLE');
    expect(existsSync(none)).toBe(false);
  });

  /** The beginning of an ext4 file system: its superblock at 1 KiB with its magic number. */
  function ext4Image(): Buffer {
    const bytes = Buffer.alloc(MiB);
    bytes.writeUInt32LE(0x40, 1024);
    bytes.writeUInt16LE(0xef53, 1024 + 0x38);
    return bytes;
  }

  it.each([
    ['random bytes', () => randomBytes(MiB)],
    ['zeros', () => Buffer.alloc(MiB)],
    ['zeros, as large as a memmap', () => Buffer.alloc(wholeBytes)],
    ['one zero', () => Buffer.alloc(1)],
    ['a file system', ext4Image],
    ['a text', () => Buffer.from('dear diary\n')],
    ['a text that begins as a memmap', () => Buffer.from(`vmemmap is a memmap${' in user space'.repeat(1000)}\n`)],
    ['a superblock page less the last byte of its magic number', () => Buffer.from('vmemmap')],
  ])('%s', async (_, content) => {
    const path = folder.newPath();
    writeFileSync(path, content());
    await expectRefused(path, 'FILE_FOREIGN');
    await expectNotRebuilt(path, 'FILE_FOREIGN');
  });
});

describe.skipIf(skipReason !== undefined)(named('a file that was damaged'), () => {
  it.each([
    ['by its last byte', wholeBytes - 1],
    ['to half', wholeBytes / 2],
    ['behind its header', headerBytes],
    ['to its superblock', 4096],
    ['in its superblock', 100],
    ['to its magic number', 8],
  ])('because it was cut short %s, is refused and left alone, and may be rebuilt', async (_, sizeBytes) => {
    const path = await made();
    truncateSync(path, sizeBytes);
    await expectRefused(path, 'FILE_DAMAGED');
    expect(await resumedIn(path, { rebuild: true })).toEqual({ chunksKept: 0, chunksRedone: 0 });
    expect(statSync(path).size).toBe(wholeBytes);
  });

  it('may have bytes behind its end: they are left alone', async () => {
    const path = await made();
    writeFileSync(path, 'behind', { flag: 'a' });
    expect(await resumedIn(path)).toEqual({ chunksKept: 1, chunksRedone: 7 });
    expect(readFileSync(path).subarray(wholeBytes).toString()).toBe('behind');
  });

  it('of another version is refused and left alone, and may be rebuilt', async () => {
    const path = await made();
    forge(path, (view) => view.setUint32(8, 4, true));
    await expectRefused(path, 'FILE_VERSION');
    const { message } = await rejectionOf(inspectFile(path));
    expect(message).toBe(`${path}: it has region layout 4, this is 3; use that version, or start over with --rebuild`);
    expect(await resumedIn(path, { rebuild: true })).toEqual({ chunksKept: 0, chunksRedone: 0 });
  });

  it('is refused although its checksum is right, and may be rebuilt', async () => {
    const path = await made();
    forge(path, (view) => view.setFloat64(4096, -1, true));
    await expectRefused(path, 'FILE_DAMAGED');
    expect(await resumedIn(path, { rebuild: true })).toEqual({ chunksKept: 0, chunksRedone: 0 });
  });
});

describe.skipIf(skipReason !== undefined)(named('a file that holds another memmap'), () => {
  const template = new Uint8Array(64).fill(7);

  it.each<[string, OpenOptions, OpenOptions]>([
    ['of a larger machine', {}, { topology: machine(ram(0, 8 * 512 + 1)) }],
    ['of a smaller machine', {}, { topology: machine(ram(0, 8 * 512 - 1)) }],
    ['of memory at other pfns', {}, { topology: machine(ram(512, 8 * 512)) }],
    ['of another platform', {}, { topology: { ...machine(ram(0, 8 * 512)), platform: 'arm64-4k' } }],
    ['of another node', {}, { topology: machine(ram(0, 8 * 512, 1)) }],
    ['of two ranges', {}, { topology: machine(ram(0, 8 * 512), ram(16 * 512, 512)) }],
    ['of other memory', {}, { topology: { ...machine({ ...ram(0, 8 * 512), kind: 'device', pgmap: 1 }) } }],
    ['in other chunks', {}, { chunkPages: 1024 }],
    ['with another policy', {}, { policy: 'boot' }],
  ])('%s is refused, and left as it is', async (_, first, second) => {
    const path = await made(undefined, first);
    const before = traceOf(path);
    const { code, message } = await rejectionOf(Memmap.open({ ...small(), file: path, ...second }));
    expect(code).toBe('FILE_GEOMETRY');
    expect(message).toMatch(/: it holds another memmap: .+; describe that machine, name another file, or start over/);
    expect(traceOf(path)).toEqual(before);
    // whoever takes what is there gets it
    await using memmap = await Memmap.attach({ file: path });
    expect(memmap.resumed).toEqual({ chunksKept: 1, chunksRedone: 7 });
  });

  it('of records where page descriptors are wanted, or of other records, is refused and left as it is', async () => {
    const path = folder.newPath();
    const table = { slots: 4096, chunkPages: 512, threadsPerNode: 0, file: path } as const;
    await using memmap = await Memmap.open(table);
    memmap.fault(0);
    await memmap.close();
    const before = traceOf(path);
    const others: OpenOptions[] = [
      { ...small(), file: path },
      { ...table, template },
      { ...table, indexWord: 0 },
      { ...table, slots: 4095 },
    ];
    for (const options of others) expect((await rejectionOf(Memmap.open(options))).code).toBe('FILE_GEOMETRY');
    expect(traceOf(path)).toEqual(before);
    expect(await inspectFile(path)).toMatchObject({ profile: null, chunks: { free: 7 } });
  });

  it('is made anew for the machine that is asked for, by rebuild', async () => {
    const path = await made(undefined, small(100));
    expect(statSync(path).size).toBe(wholeBytes + 2 * MiB);
    const { uuid } = await inspectFile(path);
    expect(await resumedIn(path, { rebuild: true })).toEqual({ chunksKept: 0, chunksRedone: 0 });
    const { size, blocks } = statSync(path);
    expect(size).toBe(wholeBytes);
    expect(blocks * 512).toBeGreaterThanOrEqual(wholeBytes);
    const rebuilt = await inspectFile(path);
    expect(rebuilt.uuid).not.toBe(uuid);
    expect(rebuilt).toMatchObject({ epoch: 1, pages: 4096, chunks: { free: 8 } });
  });
});

describe.skipIf(skipReason !== undefined)(named('a durability that cannot be had'), () => {
  // neither is on DAX, and what is in memory keeps nothing
  const asked = folders.flatMap((parent, index) =>
    (['dax-sync', 'msync'] as const).slice(0, index + 1).map((durability) => [parent, durability] as const),
  );

  it.each(asked)('in %s (%s) is refused, and no file is made or rebuilt for it', async (parent, durability) => {
    using own = new Folder(parent);
    const none = own.newPath();
    const refused = { code: 'BACKING_UNAVAILABLE' };
    await expect(Memmap.open({ ...small(), file: none, durability })).rejects.toMatchObject(refused);
    expect(existsSync(none)).toBe(false);
    const path = await made(own.newPath());
    const before = traceOf(path);
    await expect(Memmap.open({ ...small(), file: path, durability })).rejects.toMatchObject(refused);
    await expect(Memmap.open({ ...small(), file: path, durability, rebuild: true })).rejects.toMatchObject(refused);
    expect(traceOf(path)).toEqual(before);
  });
});

describe.skipIf(skipReason !== undefined)(named('a file that cannot be used'), () => {
  /** Does something as another user than root: root may read and write everything. */
  async function asNobody<T>(action: () => Promise<T>): Promise<T> {
    if (!isRoot) return action();
    process.seteuid?.(65_534);
    try {
      return await action();
    } finally {
      process.seteuid?.(0);
    }
  }

  it('because its owner may only read it, can be inspected and verified, and nothing else', async () => {
    const path = await made();
    chmodSync(path, 0o400);
    if (isRoot) {
      chownSync(path, 65_534, 65_534);
      chmodSync(folder.path, 0o755);
    }
    const before = traceOf(path);
    await asNobody(async () => {
      for (const call of [() => Memmap.open({ ...small(), file: path }), () => Memmap.attach({ file: path })]) {
        expect(await rejectionOf(call())).toMatchObject({ code: 'FILE_UNUSABLE', errno: 13 });
      }
      expect(await verifyFile(path)).toEqual({ checked: 512, wrong: 0, firstWrongPfn: -1, failed: 0 });
      expect(await inspectFile(path)).toMatchObject({ chunks: { free: 7 }, processes: [] });
    });
    expect(traceOf(path)).toEqual(before);
  });

  it('because its file system was mounted read-only, can be inspected and verified, and nothing else', async (context) => {
    using own = tinyFolder(context, 8 * MiB);
    const path = await made(own.newPath());
    const before = traceOf(path);
    execFileSync('mount', ['-o', 'remount,ro', own.path.slice(0, own.path.lastIndexOf('/'))]);
    try {
      expect(await rejectionOf(Memmap.open({ ...small(), file: path }))).toMatchObject({
        code: 'FILE_UNUSABLE',
        message: `${path}: its file system is mounted read-only; mount it for writing`,
      });
      const other = own.newPath();
      expect((await rejectionOf(Memmap.open({ ...small(), file: other }))).code).toBe('FILE_UNUSABLE');
      expect(await verifyFile(path)).toMatchObject({ checked: 512, wrong: 0 });
      expect(await inspectDescriptor(path, 0)).toMatchObject({ pfn: 0, state: 'ready' });
      expect(traceOf(path)).toEqual(before);
    } finally {
      execFileSync('mount', ['-o', 'remount,rw', own.path.slice(0, own.path.lastIndexOf('/'))]);
    }
  });

  it.each([
    ['in a folder that does not exist', 'none/memmap', 'its folder does not exist; make that first'],
    ['behind a file', 'file/memmap', 'a part of its path is no directory'],
    ['of a name that is too long', 'x'.repeat(300), 'it cannot be opened (ENAMETOOLONG); see the cause'],
  ])('%s', async (_, name, what) => {
    writeFileSync(join(folder.path, 'file'), '');
    const path = join(folder.path, name);
    expect(await rejectionOf(Memmap.open({ ...small(), file: path }))).toMatchObject({
      code: 'FILE_UNUSABLE',
      message: `${path}: ${what}`,
    });
  });

  it('because it lies in hugetlbfs, which keeps no files, is refused, and not made', async ({ skip }) => {
    const mountPoint = folder.newPath();
    mkdirSync(mountPoint);
    const { status, stderr } = spawnSync('mount', ['-t', 'hugetlbfs', 'none', mountPoint], { encoding: 'utf8' });
    if (status !== 0) return skip(`cannot mount hugetlbfs: ${stderr}`);
    const path = join(mountPoint, 'memmap');
    try {
      expect((await rejectionOf(Memmap.open({ ...small(), file: path }))).code).toBe('FILE_FOREIGN');
      expect(existsSync(path)).toBe(false);
      writeFileSync(path, '');
      expect((await rejectionOf(Memmap.open({ ...small(), file: path }))).code).toBe('FILE_FOREIGN');
      expect(statSync(path).size).toBe(0);
    } finally {
      execFileSync('umount', [mountPoint]);
    }
  });

  it('that is not there is not made by attach, nor by looking', async () => {
    const path = folder.newPath();
    for (const call of [() => Memmap.attach({ file: path }), () => inspectFile(path), () => verifyFile(path)]) {
      expect(await rejectionOf(call())).toMatchObject({
        code: 'FILE_UNUSABLE',
        message: `${path}: there is no such file; make one with vmemmap init --file`,
      });
    }
    expect(existsSync(path)).toBe(false);
  });
});

describe.skipIf(skipReason !== undefined)(named('a file system without room'), () => {
  /** Takes all that is left of a file system. */
  function fill(own: Folder): void {
    const path = join(own.path, 'filler');
    const { bavail, bsize } = statfsSync(own.path);
    if (bavail > 0) execFileSync('fallocate', ['--length', String(bavail * bsize), path]);
  }

  it.for([
    ['for all of it', false],
    ['for anything', true],
  ] as const)('%s refuses with NO_SPACE, and the file that was made for it is gone', async ([, isFull], context) => {
    using own = tinyFolder(context, 3 * MiB);
    if (isFull) fill(own);
    const path = own.newPath();
    const { code, message } = await rejectionOf(Memmap.open({ ...small(), file: path }));
    expect(code).toBe('NO_SPACE');
    const left = isFull ? '0.0' : '3.0';
    expect(message).toBe(
      `${path}: 4.0 MiB are needed, its file system has ${left} MiB left; make room, or describe less memory`,
    );
    expect(existsSync(path)).toBe(false);
    // and nothing is kept by anybody
    rmSync(join(own.path, 'filler'), { force: true });
    const { blocks, bavail } = statfsSync(own.path);
    expect(bavail).toBe(blocks);
  });

  it('leaves an empty file empty, and one whose making was interrupted as it is', async (context) => {
    using own = tinyFolder(context, 3 * MiB);
    const empty = own.newPath();
    writeFileSync(empty, '');
    const { mode, ino } = lstatSync(empty);
    expect((await rejectionOf(Memmap.open({ ...small(), file: empty }))).code).toBe('NO_SPACE');
    expect(lstatSync(empty)).toMatchObject({ mode, ino, size: 0 });
    const interrupted = own.newPath();
    writeFileSync(interrupted, Buffer.concat([Buffer.from('vmemnew\0'), randomBytes(10_000)]));
    const { sha256 } = traceOf(interrupted);
    expect((await rejectionOf(Memmap.open({ ...small(), file: interrupted }))).code).toBe('NO_SPACE');
    expect(traceOf(interrupted)['sha256']).toBe(sha256);
  });

  it('for a larger machine leaves the memmap that is there whole', async (context) => {
    using own = tinyFolder(context, 5 * MiB);
    const path = await made(own.newPath());
    const { sha256 } = traceOf(path);
    const larger = { ...small(200), file: path, rebuild: true };
    expect((await rejectionOf(Memmap.open(larger))).code).toBe('NO_SPACE');
    expect(traceOf(path)['sha256']).toBe(sha256);
    expect(await resumedIn(path)).toEqual({ chunksKept: 1, chunksRedone: 7 });
  });

  it('to fill a hole refuses when the file is opened, rather than when it is used', async (context) => {
    using own = tinyFolder(context, 5 * MiB);
    const path = await made(own.newPath());
    execFileSync('fallocate', ['--punch-hole', '--offset', String(dataOffset + MiB), '--length', String(MiB), path]);
    fill(own);
    const { sha256 } = traceOf(path);
    expect((await rejectionOf(Memmap.open({ ...small(), file: path }))).code).toBe('NO_SPACE');
    expect(traceOf(path)['sha256']).toBe(sha256);
    expect(await verifyFile(path)).toMatchObject({ checked: 512, wrong: 0, failed: 0 });
  });
});

describe.skipIf(skipReason !== undefined)(named('a file whose making was interrupted'), () => {
  it.each([
    ['when it had its mark alone', 8],
    ['in its first page', 100],
    ['when it had a page', 4096],
    ['when it had all its blocks', wholeBytes],
    ['when it was larger than it is now', wholeBytes + 4 * MiB],
  ])('%s, is refused by who looks, and made anew by open', async (_, sizeBytes) => {
    const path = folder.newPath();
    const bytes = randomBytes(sizeBytes);
    bytes.write('vmemnew\0', 'latin1');
    writeFileSync(path, bytes);
    const before = traceOf(path);
    for (const call of [() => Memmap.attach({ file: path }), () => inspectFile(path), () => verifyFile(path)]) {
      expect(await rejectionOf(call())).toMatchObject({
        code: 'FILE_DAMAGED',
        message: `${path}: it was never finished; whoever made it was interrupted; vmemmap init makes it anew`,
      });
    }
    expect(traceOf(path)).toEqual(before);
    await using memmap = await Memmap.open({ ...small(), file: path });
    expect(memmap.resumed).toEqual({ chunksKept: 0, chunksRedone: 0 });
    await memmap.sync();
    expect(await memmap.verify()).toEqual({ checked: 4096, wrong: 0, firstWrongPfn: -1, failed: 0 });
    expect(statSync(path).size).toBe(wholeBytes);
  });
});

describe.skipIf(skipReason !== undefined)(named('while another opens the file'), () => {
  /** Lets whoever waits for a lock look several times. */
  const manyLooks = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 50));

  it('an opener waits until it is done, also for one that is killed', async () => {
    const path = await made();
    await using other = new FileUser(`
      const { addon } = await inside('native.js');
      const { openSync } = await import('node:fs');
      say(addon.lockByte(openSync(${JSON.stringify(path)}, 'r+'), ${setupByte}, ${lockKind.exclusive}));
      await told();`);
    expect(await other.hear()).toBe('0');
    let isOpen = false;
    const opening = Memmap.open({ ...small(), file: path }).then((memmap) => {
      isOpen = true;
      return memmap;
    });
    await manyLooks();
    expect(isOpen).toBe(false);
    // who only looks does not wait
    expect(await inspectFile(path)).toMatchObject({ pages: 4096 });
    await other.kill();
    await using memmap = await opening;
    expect(memmap.resumed).toEqual({ chunksKept: 1, chunksRedone: 7 });
  });

  it('and makes it, the one who waits finds it made, as large as it is now', async () => {
    const path = folder.newPath();
    const fd = folder.open(path, 'w+');
    expect(addon.lockByte(fd, setupByte, lockKind.exclusive)).toBe(0);
    const opening = Memmap.open({ ...small(), file: path });
    await manyLooks();
    const whole = await made();
    writeSync(fd, readFileSync(whole), 0, wholeBytes, 0);
    addon.lockByte(fd, setupByte, lockKind.none);
    await using memmap = await opening;
    expect(memmap.resumed.chunksKept).toBe(1);
    expect(statSync(path).size).toBe(wholeBytes);
  });

  it('many openers at once make it once, and all have the same', async () => {
    const path = folder.newPath();
    const memmaps = await Promise.all(Array.from({ length: 8 }, () => Memmap.open({ ...small(), file: path })));
    const outcomes = memmaps.map((memmap, index) => memmap.fault(index * 512));
    expect(outcomes).toEqual(Array(8).fill('claimed'));
    for (const memmap of memmaps) expect(memmap.fault(0, 18)).toBe('ready');
    expect((await inspectFile(path)).processes.map(({ pid }) => pid)).toEqual(Array(8).fill(process.pid));
    await Promise.all(memmaps.map((memmap) => memmap.close()));
    expect(await inspectFile(path)).toMatchObject({ epoch: 1, processes: [] });
  });

  it('many processes at once make it once, and all have the same', async () => {
    const path = folder.newPath();
    const users = Array.from(
      { length: 6 },
      (_, index) =>
        new FileUser(`
          say('up');
          await told();
          const memmap = await Memmap.open({
            topology: ${JSON.stringify(small().topology)}, chunkPages: 512, threadsPerNode: 0, file: ${JSON.stringify(path)},
          });
          say(memmap.fault(${index} * 512));
          await told();
          await memmap.close();`),
    );
    for (const user of users) expect(await user.hear()).toBe('up');
    for (const user of users) user.tell('open');
    for (const user of users) expect(await user.hear()).toBe('claimed');
    const { epoch, processes, chunks } = await inspectFile(path);
    expect({ epoch, free: chunks.free }).toEqual({ epoch: 1, free: 2 });
    expect(processes.map(({ pid }) => pid).sort()).toEqual(users.map(({ pid }) => pid).sort());
    for (const user of users) user.tell('close');
    for (const user of users) expect(await user.ended()).toBe(0);
    expect(await resumedIn(path)).toEqual({ chunksKept: 6, chunksRedone: 2 });
  });

  it('and is killed at any moment of it, whoever comes next can open it', async () => {
    const path = folder.newPath();
    for (let round = 0; round < 12; round++) {
      await using user = new FileUser(`
        say('up');
        for (;;) {
          const memmap = await Memmap.open({
            topology: ${JSON.stringify(small().topology)}, chunkPages: 512, threadsPerNode: 0,
            file: ${JSON.stringify(path)}, rebuild: true,
          });
          memmap.fault(0);
          await memmap.close();
        }`);
      expect(await user.hear()).toBe('up');
      await new Promise((resolve) => setTimeout(resolve, 5 + round * 3));
      await user.kill();
      await using memmap = await Memmap.open({ ...small(), file: path });
      await memmap.sync();
      expect(await memmap.verify()).toEqual({ checked: 4096, wrong: 0, firstWrongPfn: -1, failed: 0 });
      expect(statSync(path).size).toBe(wholeBytes);
    }
  });

  it('and removes it because it had no room, the one who waits makes another', async () => {
    const path = folder.newPath();
    const fd = folder.open(path, 'w+');
    expect(addon.lockByte(fd, setupByte, lockKind.exclusive)).toBe(0);
    const opening = Memmap.open({ ...small(), file: path });
    await manyLooks();
    unlinkSync(path);
    folder.close(fd);
    await using memmap = await opening;
    expect(memmap.fault(0)).toBe('claimed');
    expect(statSync(path).size).toBe(wholeBytes);
    expect(await inspectFile(path)).toMatchObject({ epoch: 1, chunks: { free: 7 } });
  });

  it('and puts another file in its place, the one who waits takes that', async () => {
    const path = await made();
    const fd = folder.open(path, 'r+');
    expect(addon.lockByte(fd, setupByte, lockKind.exclusive)).toBe(0);
    const opening = rejectionOf(Memmap.open({ ...small(), file: path }));
    await manyLooks();
    unlinkSync(path);
    writeFileSync(path, 'dear diary\n');
    folder.close(fd);
    expect((await opening).code).toBe('FILE_FOREIGN');
    expect(readFileSync(path, 'utf8')).toBe('dear diary\n');
  });
});

describe.skipIf(skipReason !== undefined)(named('rebuild'), () => {
  it('of a file that another process has open is refused with FILE_BUSY, and nothing happens to it', async () => {
    const path = await made();
    await using other = new FileUser(`
      const memmap = await Memmap.attach({ file: ${JSON.stringify(path)} });
      say(memmap.fault(512));
      await told();
      say(memmap.fault(1024) + memmap.fault(512) + JSON.stringify(await memmap.verify()));
      await memmap.close();`);
    expect(await other.hear()).toBe('claimed');
    await expectNotRebuilt(path, 'FILE_BUSY');
    other.tell('go on');
    expect(await other.hear()).toBe('claimedready{"checked":1536,"wrong":0,"firstWrongPfn":-1,"failed":0}');
    expect(await other.ended()).toBe(0);
    expect(await resumedIn(path, { rebuild: true })).toEqual({ chunksKept: 0, chunksRedone: 0 });
  });

  it('of a file that this process has open is refused, too', async () => {
    const path = folder.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path });
    expect(memmap.fault(0)).toBe('claimed');
    expect((await rejectionOf(Memmap.open({ ...small(), file: path, rebuild: true }))).code).toBe('FILE_BUSY');
    expect(memmap.fault(512)).toBe('claimed');
  });

  it('of a file that is not there makes it', async () => {
    expect(await resumedIn(folder.newPath(), { rebuild: true })).toEqual({ chunksKept: 0, chunksRedone: 0 });
  });

  it('of a file whose process was killed is done at once', async () => {
    const path = await made();
    await using other = new FileUser(`
      const memmap = await Memmap.attach({ file: ${JSON.stringify(path)} });
      say('open');
      await told();`);
    expect(await other.hear()).toBe('open');
    expect((await inspectFile(path)).processes).toEqual([{ slot: 1, pid: other.pid }]);
    await other.kill();
    expect((await inspectFile(path)).processes).toEqual([]);
    expect(await resumedIn(path, { rebuild: true })).toEqual({ chunksKept: 0, chunksRedone: 0 });
  });

  it('writes the chunks anew over whatever stood there', async () => {
    const path = await made();
    const fd = folder.open(path, 'r+');
    flip(fd, dataOffset + 5, 0xff);
    expect(await verifyFile(path)).toMatchObject({ checked: 512, wrong: 1, firstWrongPfn: 0 });
    await using memmap = await Memmap.open({ ...small(), file: path, rebuild: true });
    await memmap.sync();
    expect(await memmap.verify()).toMatchObject({ checked: 4096, wrong: 0 });
  });
});

describe.skipIf(skipReason === undefined)('without the addon', () => {
  it('files are refused with ADDON_MISSING, and none is made', async () => {
    const path = join(tmpdir(), `vmemmap-none-${process.pid}`);
    expect((await rejectionOf(Memmap.open({ ...small(), file: path }))).code).toBe('ADDON_MISSING');
    expect(existsSync(path)).toBe(false);
  });
});
