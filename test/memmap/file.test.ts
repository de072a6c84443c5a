/** A memmap in a file: what lasts, and until when; and several memmaps, threads and processes on one file. */
import { readdirSync, readFileSync, readlinkSync, statfsSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inspectFile, Memmap, releaseThreads, verifyFile } from '../../dist/src/index.js';
import { named, skipReason } from '../native/built-addon.js';
import { Folder } from '../native/mapped.js';
import { Attached } from '../support/attached.js';
import { bytesAt, dataOffset, FileUser, folders, layoutOf, rejectionOf, small } from '../support/files.js';
import { machine, ram, upTo } from '../support/regions.js';

afterAll(releaseThreads);

const tmpfs = 0x0102_1994;
/** What a file there offers at best: neither is on DAX. */
function durabilityIn(parent: string): 'msync' | 'none' {
  return statfsSync(parent).type === tmpfs ? 'none' : 'msync';
}

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(() => folder[Symbol.dispose]());

/** Changes a word of a descriptor, as its user might. */
function change(memmap: Memmap, pfn: number, value = 0xdead_beef): void {
  const { words } = memmap.rangeOf(pfn);
  words[memmap.offsetOf(pfn) / 4 + 7] = value;
}

function changed(memmap: Memmap, pfn: number): number | undefined {
  return memmap.rangeOf(pfn).words[memmap.offsetOf(pfn) / 4 + 7];
}

/** Lets a file look as if its last session had begun in another boot of the machine. */
function rebooted(path: string): void {
  using files = new Folder();
  const fd = files.open(path, 'r+');
  const { session } = layoutOf();
  const line = bytesAt(fd, session, 48);
  expect(line.readUInt32LE(44)).toBe(crc32(line.subarray(0, 44)));
  for (let byte = 0; byte < 16; byte++) line[byte] = (line[byte] ?? 0) ^ 0xff;
  line.writeUInt32LE(crc32(line.subarray(0, 44)), 44);
  writeSync(fd, line, 0, 48, session);
}

describe.skipIf(skipReason !== undefined).each(folders)(named('a memmap in a file in %s'), (parent) => {
  const durability = durabilityIn(parent);

  it('whose word of a range was damaged is refused by who only reads it, and mended by who opens it', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await (await Memmap.open({ ...small(8), policy: 'boot', file: path })).close();
    const fd = own.open(path, 'r+');
    const { rangeWords } = layoutOf();
    // the state of the range, and how far grow has come in it, with a half that says of another range
    for (const line of [3, 1]) writeSync(fd, Buffer.from([5, 0, 0, 0, 4, 0, 0, 0]), 0, 8, rangeWords + line * 64);
    await expect(inspectFile(path)).rejects.toMatchObject({ code: 'FILE_DAMAGED' });
    await using memmap = await Memmap.open({ ...small(8), policy: 'boot', file: path });
    expect(memmap.pages).toBe(8 * 512);
    expect(memmap.grow(0, 100)).toEqual({ startPfn: 0, endPfn: 100 });
    await memmap.sync();
    expect((await inspectFile(path)).pages).toBe(8 * 512);
  });

  it('has no ranges that come and go', async () => {
    using own = new Folder(parent);
    await using memmap = await Memmap.open({ ...small(8), file: own.newPath() });
    expect(() => memmap.addRange(ram(8192, 512))).toThrow(TypeError);
    await expect(memmap.removeRange(0)).rejects.toThrow(new TypeError('removeRange is not for memmaps in files'));
    expect(memmap.fault(0)).toBe('claimed');
  });

  it('is opened, faulted, ready, verified and closed as one in memory, and says where it lives', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using memmap = await Memmap.open({ ...small(64), threadsPerNode: 2, file: path });
    expect(memmap.backing).toMatchObject({ requested: 'file', effective: 'file', pageSize: 4096, durability });
    expect(memmap.durability).toBe(durability);
    memmap.fault(12_345);
    expect(memmap.isInitialized(12_345)).toBe(true);
    await memmap.ready;
    expect(await memmap.verify()).toEqual({ checked: 64 * 512, wrong: 0, firstWrongPfn: -1, failed: 0 });
    expect(memmap.page(12_345)).toMatchObject({ pfn: 12_345, nid: 0, refcount: 1 });
    await memmap.close();
    expect(() => memmap.fault(12_345)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(await verifyFile(path)).toEqual({ checked: 64 * 512, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('tells what was found in it, in chunks kept and to be done', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    for (const [chunks, kept, redone] of [
      [[0, 1, 2], 0, 0],
      [[7], 3, 5],
      [upTo(8), 4, 4],
      [[], 8, 0],
    ] as const) {
      await using memmap = await Memmap.open({ ...small(), file: path });
      expect(memmap.resumed).toEqual({ chunksKept: kept, chunksRedone: redone });
      for (const chunk of chunks) memmap.fault(chunk * 512);
    }
    await using memmap = await Memmap.open({ ...small(), threadsPerNode: 1, file: path });
    await memmap.ready;
    expect(memmap.stats().totals).toMatchObject({ chunksByDrain: 0, chunksByFault: 0 });
  });

  it('begins with counters, orders and a cursor of its own each time that nobody had it open', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const first = await Memmap.open({ ...small(), policy: 'boot', file: path });
    expect(first.grow(0, 1000)).toEqual({ startPfn: 0, endPfn: 1000 });
    first.cancel();
    await first.close();
    await using memmap = await Memmap.attach({ file: path, threadsPerNode: 1 });
    expect(memmap.policy).toBe('boot');
    expect(memmap.grow(0, 1000)).toEqual({ startPfn: 0, endPfn: 1000 });
    await memmap.ready;
    expect(memmap.stats().chunks).toMatchObject({ free: 0, claimed: 0, failed: 0 });
  });

  it('keeps READY in the same boot of the machine, and not when it went down since', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const options = { ...small(), file: path, durability: 'none' } as const;
    await using first = await Memmap.open(options);
    for (const chunk of [1, 5]) first.fault(chunk * 512);
    await first.close();
    expect((await inspectFile(path)).chunks).toMatchObject({ ready: 2, durable: 0 });
    await using second = await Memmap.open(options);
    expect(second.resumed).toEqual({ chunksKept: 2, chunksRedone: 6 });
    await second.close();
    rebooted(path);
    await using third = await Memmap.open(options);
    expect(third.resumed).toEqual({ chunksKept: 0, chunksRedone: 8 });
    expect(third.fault(512)).toBe('claimed');
    await third.close();
    // that session began in this boot again
    await using fourth = await Memmap.open(options);
    expect(fourth.resumed).toEqual({ chunksKept: 1, chunksRedone: 7 });
  });

  it('does not keep READY where the session line was torn, or is of a session before, or of another file', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const options = { ...small(), file: path, durability: 'none' } as const;
    const { session } = layoutOf();
    for (const tear of [
      (line: Buffer) => line.fill(0),
      (line: Buffer) => line.writeUInt8(line.readUInt8(47) ^ 1, 47),
      (line: Buffer) => line.writeUInt32LE(line.readUInt32LE(40) - 1, 40),
      // another session, another device, another inode, another mount
      ...[40, 16, 24, 32].map((at) => (line: Buffer) => {
        line.writeUInt32LE(line.readUInt32LE(at) - 1, at);
        line.writeUInt32LE(crc32(line.subarray(0, 44)), 44);
      }),
    ]) {
      await using memmap = await Memmap.open(options);
      memmap.fault(0);
      await memmap.close();
      const fd = own.open(path, 'r+');
      const line = bytesAt(fd, session, 48);
      tear(line);
      writeSync(fd, line, 0, 48, session);
      await using next = await Memmap.open(options);
      expect(next.resumed).toEqual({ chunksKept: 0, chunksRedone: 8 });
    }
  });

  it('is shared by two memmaps of one process exactly: what one claims the other finds ready', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using first = await Memmap.open({ ...small(), file: path });
    await using second = await Memmap.attach({ file: path });
    expect(first.handle().file?.process).not.toBe(second.handle().file?.process);
    expect([first.fault(0), second.fault(0)]).toEqual(['claimed', 'ready']);
    expect([second.fault(512), first.fault(512)]).toEqual(['claimed', 'ready']);
    change(first, 3, 42);
    expect(changed(second, 3)).toBe(42);
    expect(second.stats().totals).toEqual(first.stats().totals);
    expect(first.stats().totals).toMatchObject({ chunksByFault: 2, faultsWaited: 0 });
    expect((await inspectFile(path)).processes).toEqual([
      { slot: 1, pid: process.pid },
      { slot: 2, pid: process.pid },
    ]);
  });

  it('is drained by two memmaps of one process at once, every chunk once', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using first = await Memmap.open({ ...small(256), threadsPerNode: 1, file: path });
    await using second = await Memmap.attach({ file: path, threadsPerNode: 1 });
    await Promise.all([first.ready, second.ready]);
    const { chunksByDrain, chunksByFault, chunksFailed } = first.stats().totals;
    expect([chunksByDrain + chunksByFault, chunksFailed]).toEqual([256, 0]);
    expect(await second.verify()).toEqual({ checked: 256 * 512, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('that one closes stays open for the other', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const first = await Memmap.open({ ...small(), file: path });
    await using second = await Memmap.attach({ file: path });
    first.fault(0);
    await first.close();
    expect([second.fault(0), second.fault(512)]).toEqual(['ready', 'claimed']);
    expect((await inspectFile(path)).epoch).toBe(1);
    // its slot is free for the next
    await using third = await Memmap.attach({ file: path });
    expect(third.handle().file?.process).toBe(1);
    expect(third.fault(512)).toBe('ready');
    expect(third.fault(1024)).toBe('claimed');
  });

  it('is initialized by who attaches with threads, for who opened it with none', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using opener = await Memmap.open({ ...small(64), file: path });
    await using helper = await Memmap.attach({ file: path, threadsPerNode: 2 });
    await helper.ready;
    expect(opener.progressNow()).toMatchObject({ pagesReady: 64 * 512, state: 'idle' });
    expect(opener.stats().totals.chunksByFault).toBe(0);
    await opener.sync();
    await opener.ready;
  });

  it('is faulted by a thread that attached by its handle, and that is refused when it was closed', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path });
    const thread = await Attached.to(memmap.handle());
    expect(await thread.do('fault', 5, 0)).toBe('claimed');
    expect(memmap.fault(5)).toBe('ready');
    expect(memmap.fault(512)).toBe('claimed');
    expect(await thread.do('faultAsync', 512, 0)).toBe('ready');
    expect(await thread.do('flags', 512)).toBe(memmap.page(512).flags);
    expect(await thread.do('verify')).toEqual({ checked: 1024, wrong: 0, firstWrongPfn: -1, failed: 0 });
    // in the wrong order: the file goes while the thread still has it
    await memmap.close();
    expect(await thread.do('fault', 1024, 0)).toBe('CLOSED');
    await thread.do('close');
    expect((await inspectFile(path)).chunks).toMatchObject({ free: 6, claimed: 0 });
    expect(() => Memmap.attach(memmap.handle())).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('is used by another process, which goes on when this one has closed it', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const memmap = await Memmap.open({ ...small(), file: path });
    expect(memmap.fault(0)).toBe('claimed');
    await using other = new FileUser(`
      const memmap = await Memmap.attach({ file: ${JSON.stringify(path)}, threadsPerNode: 0 });
      say(memmap.resumed.chunksKept + memmap.fault(0) + memmap.fault(512));
      await told();
      say(memmap.fault(0) + memmap.fault(512) + memmap.fault(1024) + JSON.stringify(await memmap.verify()));
      await memmap.close();
      say('closed');`);
    expect(await other.hear()).toBe('1readyclaimed');
    expect(memmap.fault(512)).toBe('ready');
    await memmap.close();
    expect((await inspectFile(path)).processes).toEqual([{ slot: 2, pid: other.pid }]);
    other.tell('go on');
    expect(await other.hear()).toBe('readyreadyclaimed{"checked":1536,"wrong":0,"firstWrongPfn":-1,"failed":0}');
    expect(await other.hear()).toBe('closed');
    expect(await other.ended()).toBe(0);
    await using again = await Memmap.open({ ...small(), file: path });
    expect(again.resumed).toEqual({ chunksKept: 3, chunksRedone: 5 });
  });

  it('goes on for this process when another has closed it, or was killed', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path });
    const statements = `
      const memmap = await Memmap.attach({ file: ${JSON.stringify(path)} });
      say(memmap.fault(Number(await told())));
      await told();
      await memmap.close();`;
    await using killed = new FileUser(statements);
    await using closed = new FileUser(statements);
    killed.tell('0');
    expect(await killed.hear()).toBe('claimed');
    closed.tell('512');
    expect(await closed.hear()).toBe('claimed');
    closed.tell('close');
    expect(await closed.ended()).toBe(0);
    await killed.kill();
    expect([0, 512, 1024].map((pfn) => memmap.fault(pfn))).toEqual(['ready', 'ready', 'claimed']);
    expect((await inspectFile(path)).processes).toEqual([{ slot: 1, pid: process.pid }]);
    expect(await memmap.verify()).toEqual({ checked: 1536, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('leaves no descriptor and no mapping behind, however often it is opened and closed', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    for (let round = 0; round < 50; round++) {
      const options = { ...small(), file: path, threadsPerNode: round % 10 === 0 ? 1 : 0 };
      await using memmap = await Memmap.open(options);
      await using other = await Memmap.attach({ file: path });
      other.fault((round % 8) * 512);
      await verifyFile(path);
      if (options.threadsPerNode > 0) await memmap.ready;
    }
    expect(opensOf(path)).toEqual([]);
    expect(mappingsOf(path)).toEqual([]);
    // and that is how they would be seen
    await using memmap = await Memmap.open({ ...small(), file: path });
    expect(opensOf(path)).toHaveLength(1);
    expect(mappingsOf(path)).toHaveLength(2);
    expect(memmap.resumed.chunksKept).toBe(8);
  });

  it('leaves none behind, either, when it is refused', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const memmap = await Memmap.open({ ...small(), file: path });
    await memmap.close();
    const refused = [
      () => Memmap.open({ ...small(9), file: path }),
      () => Memmap.open({ ...small(), file: path, policy: 'boot' }),
      () => Memmap.open({ ...small(), file: path, durability: 'dax-sync' }),
      () => Memmap.open({ ...small(), file: path, durability: 'dax-sync', rebuild: true }),
      () => Memmap.attach({ file: path, durability: 'dax-sync' }),
      () => Memmap.attach({ file: path, backing: 'devdax' }),
      () => Memmap.attach({ file: path, signal: AbortSignal.abort(new Error('never mind')) }),
    ];
    for (const call of refused) await expect(call()).rejects.toThrow();
    expect([opensOf(path), mappingsOf(path)]).toEqual([[], []]);
    // and no lock
    await using again = await Memmap.open({ ...small(), file: path, rebuild: true });
    expect(again.resumed).toEqual({ chunksKept: 0, chunksRedone: 0 });
  });

  it('has as many users at a time as its process table has slots for, and one more when one has left', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const memmaps = [await Memmap.open({ ...small(), file: path })];
    while (memmaps.length < 127) memmaps.push(await Memmap.attach({ file: path }));
    expect(await rejectionOf(Memmap.attach({ file: path }))).toMatchObject({
      code: 'NO_PROCESS_SLOT',
      message: `${path}: 127 processes have it open already; close it in some of them`,
    });
    expect(opensOf(path)).toHaveLength(127);
    await memmaps[70]?.close();
    await using next = await Memmap.attach({ file: path });
    expect(next.handle().file?.process).toBe(71);
    expect([memmaps[126]?.fault(0), next.fault(0)]).toEqual(['claimed', 'ready']);
    await Promise.all(memmaps.map((memmap) => memmap.close()));
  });

  it('that another machine has open, over a file system that they share, is refused with FILE_BUSY', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path });
    rebooted(path);
    const refused = { code: 'FILE_BUSY', message: expect.stringContaining('another machine uses it') };
    expect(await rejectionOf(Memmap.attach({ file: path }))).toMatchObject(refused);
    expect(await rejectionOf(Memmap.open({ ...small(), file: path }))).toMatchObject(refused);
    expect(memmap.fault(0)).toBe('claimed');
    expect(opensOf(path)).toHaveLength(1);
  });

  it('leaves none behind, either, when it was open already and cannot be begun', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    const options = { topology: machine(ram(0, 512), ram(512, 512, 1)), chunkPages: 512, file: path };
    await using memmap = await Memmap.open({ ...options, threadsPerNode: 0 });
    memmap.fault(0);
    await memmap.close();
    const { code } = await rejectionOf(Memmap.open({ ...options, threadsPerNode: 512 }));
    expect(code).toBe('NO_OWNER_SLOT');
    expect([opensOf(path), mappingsOf(path)]).toEqual([[], []]);
    await using again = await Memmap.open({ ...options, threadsPerNode: 0 });
    expect(again.resumed).toEqual({ chunksKept: 1, chunksRedone: 1 });
  });

  it('that is dropped without being closed gives its slots back to who opens it next', async () => {
    using own = new Folder(parent);
    const path = own.newPath();
    await using other = new FileUser(`
      const memmap = await Memmap.open({
        topology: ${JSON.stringify(small().topology)}, chunkPages: 512, threadsPerNode: 0, file: ${JSON.stringify(path)},
      });
      memmap.fault(0);
      say('done');
      process.exit(0);`);
    expect(await other.hear()).toBe('done');
    expect(await other.ended()).toBe(0);
    await using memmap = await Memmap.open({ ...small(), file: path });
    expect(memmap.resumed).toEqual({ chunksKept: 1, chunksRedone: 7 });
    expect(memmap.handle().file?.process).toBe(1);
  });
});

describe.skipIf(skipReason !== undefined)(named('a memmap that is started over'), () => {
  it('is not reinitialized in place, as one in memory is', async () => {
    await using memmap = await Memmap.open({ ...small(), file: folder.newPath() });
    await expect(memmap.reinitialize()).rejects.toThrow(
      new TypeError('a file is started over by open({ file, rebuild: true })'),
    );
    expect(memmap.fault(0)).toBe('claimed');
  });
});

/** A file system whose files the kernel brings to media. */
const lasting = folders.find((parent) => durabilityIn(parent) === 'msync');
const whyNot = lasting === undefined ? 'every folder for files is in memory' : undefined;

describe.skipIf((skipReason ?? whyNot) !== undefined)(named('a memmap on media'), () => {
  it('is durable when all of it is there, drains and faults together', async () => {
    const path = folder.newPath();
    await using memmap = await Memmap.open({ ...small(64), threadsPerNode: 1, file: path });
    memmap.fault(0);
    await memmap.durable;
    expect(memmap.stats()).toMatchObject({ chunks: { free: 0, ready: 0, durable: 64 }, mediaError: null });
    await memmap.close();
    rebooted(path);
    await using again = await Memmap.open({ ...small(64), file: path });
    expect(again.resumed).toEqual({ chunksKept: 64, chunksRedone: 0 });
    await again.sync();
    await again.durable;
    expect(await again.verify()).toEqual({ checked: 64 * 512, wrong: 0, firstWrongPfn: -1, failed: 0 });
  });

  it('that was faulted is durable when it was closed, and what nobody asked for is still to be done', async () => {
    const path = folder.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path });
    memmap.fault(512);
    expect(memmap.stats().chunks).toMatchObject({ ready: 1, durable: 0 });
    await memmap.close();
    expect((await inspectFile(path)).chunks).toMatchObject({ free: 7, ready: 0, durable: 1 });
    rebooted(path);
    await using again = await Memmap.open({ ...small(), file: path });
    expect(again.resumed).toEqual({ chunksKept: 1, chunksRedone: 7 });
  });

  it('keeps what its user has changed and persisted, in the same boot and in another, and initializes nothing over it', async () => {
    const path = folder.newPath();
    const first = await Memmap.open({ ...small(), file: path });
    first.fault(1000);
    change(first, 1000);
    first.persist(1000);
    expect(first.stats().chunks).toMatchObject({ ready: 0, durable: 1 });
    await first.close();
    for (const boot of ['same', 'other']) {
      if (boot === 'other') rebooted(path);
      await using memmap = await Memmap.open({ ...small(), threadsPerNode: 1, file: path });
      expect(memmap.resumed.chunksKept).toBe(boot === 'same' ? 1 : 8);
      await memmap.durable;
      expect(changed(memmap, 1000)).toBe(0xdead_beef);
      expect(await memmap.verify()).toMatchObject({ checked: 4096, wrong: 1, firstWrongPfn: 1000 });
    }
  });

  it('keeps what was persisted by a process that was killed then, whatever else it left', async () => {
    const path = folder.newPath();
    await using other = new FileUser(`
      const memmap = await Memmap.open({
        topology: ${JSON.stringify(small().topology)}, chunkPages: 512, threadsPerNode: 0, file: ${JSON.stringify(path)},
      });
      for (const pfn of [0, 512, 1024]) memmap.fault(pfn);
      const { words } = memmap.rangeOf(0);
      words[512 * 16 + 7] = 0xdeadbeef;
      memmap.persist(512);
      say('persisted');
      await told();`);
    expect(await other.hear()).toBe('persisted');
    await other.kill();
    rebooted(path);
    await using memmap = await Memmap.open({ ...small(), file: path });
    // the chunk of the change was made durable with it; the others were only ready
    expect(memmap.resumed).toEqual({ chunksKept: 1, chunksRedone: 7 });
    expect(memmap.fault(512)).toBe('ready');
    expect(changed(memmap, 512)).toBe(0xdead_beef);
    await memmap.sync();
    expect(await memmap.verify()).toMatchObject({ checked: 4096, wrong: 1, firstWrongPfn: 512 });
  });

  it('persists what lies across chunks, and leaves out holes', async () => {
    await using memmap = await Memmap.open({ ...small(), file: folder.newPath() });
    memmap.fault(0, 18);
    memmap.persist(511, 2);
    expect(memmap.stats().chunks).toMatchObject({ durable: 2, ready: 6 });
    memmap.persist(4095, 1000);
    expect(memmap.stats().chunks).toMatchObject({ durable: 3, ready: 5 });
  });

  it('refuses to persist what is not initialized, and what is no descriptor', async () => {
    await using memmap = await Memmap.open({ ...small(), file: folder.newPath() });
    memmap.fault(0);
    expect(() => memmap.persist(512)).toThrow(
      new RangeError('the descriptor of pfn 512 is not initialized: fault it before you change it'),
    );
    expect(() => memmap.persist(511, 2)).toThrow(/^the descriptor of pfn 512 is not/);
    for (const count of [0, -1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => memmap.persist(0, count)).toThrow(new RangeError(`count must be 1 or more, not ${count}`));
    }
    expect(() => memmap.persist(4096)).toThrow(expect.objectContaining({ code: 'PFN_ABSENT' }));
    expect(() => memmap.persist(-1)).toThrow(RangeError);
    memmap.persist(0, 512);
  });

  it('has nothing that is durable where that was not asked for', async () => {
    await using memmap = await Memmap.open({ ...small(), file: folder.newPath(), durability: 'none' });
    expect(memmap.backing).toMatchObject({ durability: 'none', durabilityRequested: 'none' });
    memmap.fault(0);
    expect(() => memmap.persist(0)).toThrow(expect.objectContaining({ code: 'NOT_DURABLE' }));
    expect((await rejectionOf(memmap.durable)).code).toBe('NOT_DURABLE');
    expect(memmap.stats().chunks).toMatchObject({ ready: 1, durable: 0 });
  });

  it('becomes durable by another that asks for it, though who wrote it did not', async () => {
    const path = folder.newPath();
    await using first = await Memmap.open({ ...small(), file: path, durability: 'none' });
    await first.sync();
    await using second = await Memmap.attach({ file: path });
    expect(second.durability).toBe('msync');
    await second.sync();
    await second.durable;
    expect(first.stats().chunks).toMatchObject({ ready: 0, durable: 8 });
    expect(first.fault(0)).toBe('ready');
  });

  it('does not trust READY after the media has refused something, and begins anew with that', async () => {
    const path = folder.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path });
    memmap.fault(0);
    memmap.persist(0);
    memmap.fault(512);
    const { control, layout } = wordsOf(memmap);
    Atomics.store(control, (layout.control + 64) / 4, 5);
    expect(memmap.stats().mediaError).toBe('EIO');
    expect(() => memmap.persist(512)).toThrow(expect.objectContaining({ code: 'NOT_DURABLE', errno: 5 }));
    // nor is anything promised of what has reached the media before: the kernel may have lost a later change of it
    expect(() => memmap.persist(0)).toThrow(expect.objectContaining({ code: 'NOT_DURABLE', errno: 5 }));
    await memmap.sync();
    expect(await rejectionOf(memmap.durable)).toMatchObject({ code: 'NOT_DURABLE', errno: 5 });
    await memmap.close();
    expect(await inspectFile(path)).toMatchObject({ mediaError: 'EIO', chunks: { durable: 1, ready: 7 } });
    await using again = await Memmap.open({ ...small(), file: path });
    expect(again.resumed).toEqual({ chunksKept: 1, chunksRedone: 7 });
    expect(again.stats().mediaError).toBeNull();
  });

  it('that is closed tells what the media has refused to whoever has not asked, when all is given back', async () => {
    const path = folder.newPath();
    const memmap = await Memmap.open({ ...small(), file: path });
    memmap.fault(0);
    const { control, layout } = wordsOf(memmap);
    Atomics.store(control, (layout.control + 64) / 4, 5);
    expect(await rejectionOf(memmap.close())).toMatchObject({ code: 'NOT_DURABLE', errno: 5 });
    expect((await inspectFile(path)).processes).toEqual([]);
  });
});

/** The control words of a memmap, as a defect of the media would find them. */
function wordsOf(memmap: Memmap): { control: Int32Array; layout: ReturnType<typeof layoutOf> } {
  const { buffer, byteOffset } = memmap.handle().control;
  const layout = layoutOf();
  return { control: new Int32Array(buffer, byteOffset, layout.controlSizeBytes / 4), layout };
}

/** Descriptors of this process that lead to a file. */
function opensOf(path: string): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // that of the folder itself
    }
  });
}

/** Lines of /proc/self/maps that name a file. */
function mappingsOf(path: string): string[] {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.endsWith(path));
}

describe.skipIf(skipReason !== undefined)(named('a file in its place'), () => {
  it('has its descriptors where its layout says, as they are in memory', async () => {
    const path = folder.newPath();
    await using memmap = await Memmap.open({ ...small(), file: path });
    memmap.fault(4095);
    const { words } = memmap.rangeOf(4095);
    const last = Buffer.from(words.slice(4095 * 16).buffer);
    expect(bytesAt(folder.open(path, 'r'), dataOffset + 4095 * 64, 64).equals(last)).toBe(true);
    expect(last.some((byte) => byte !== 0)).toBe(true);
  });
});
