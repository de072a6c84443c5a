/** Files as memory: mapping, blocks, writing back, and what is told when a page cannot be reached. */
import { spawnSync } from 'node:child_process';
import { existsSync, fstatSync, ftruncateSync, readFileSync, readSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { mapMode } from '../../dist/src/native.js';
import { addon, loaderPath, named, projectRoot, skipReason, untyped } from './built-addon.js';
import { Folder, pageBytes, tinyFolder, wholePages } from './mapped.js';
import { isPresent } from './pagemap.js';

const { EACCES, EBADF, EINVAL, ENODATA, ENOSPC, EFAULT, EOPNOTSUPP } = constants.errno;
/** No process of these tests has as many. */
const noDescriptor = 1_000_000;

const parents = [tmpdir(), '/dev/shm'].filter((parent) => existsSync(parent));

function wordOf(fd: number, byteOffset: number): number {
  const word = Buffer.alloc(4);
  expect(readSync(fd, word, 0, 4, byteOffset)).toBe(4);
  return word.readUInt32LE();
}

describe.skipIf(skipReason !== undefined).each(parents)(named('a file in %s'), (parent) => {
  it('shares its bytes with a view that it is mapped over', () => {
    using folder = new Folder(parent);
    const fd = folder.open();
    ftruncateSync(fd, 4 * pageBytes);
    writeSync(fd, Buffer.from([1, 2, 3, 4]), 0, 4, pageBytes);
    const view = wholePages(3);
    view[0] = 99;
    expect(addon.mapFile(view, fd, pageBytes, mapMode.shared)).toBe(0);
    expect(view[0]).toBe(0x0403_0201);
    view[1] = 0xdead_beef;
    view[view.length - 1] = 7;
    expect(wordOf(fd, pageBytes + 4)).toBe(0xdead_beef);
    expect(wordOf(fd, 4 * pageBytes - 4)).toBe(7);
    writeSync(fd, Buffer.from([5]), 0, 1, 2 * pageBytes);
    expect(view[pageBytes / 4]).toBe(5);
    expect(wordOf(fd, 0)).toBe(0);
  });

  it('stays mapped when its descriptor is closed, until memory is mapped there again', () => {
    using folder = new Folder(parent);
    const path = folder.newPath();
    const fd = folder.open(path);
    ftruncateSync(fd, pageBytes);
    const view = wholePages(1);
    expect(addon.mapFile(view, fd, 0, mapMode.shared)).toBe(0);
    folder.close(fd);
    view[3] = 8;
    expect(readFileSync(path).readUInt32LE(12)).toBe(8);
    expect(addon.unmapHugePages(view, pageBytes)).toBe(0);
    expect(view[3]).toBe(0);
    view[3] = 9;
    expect(readFileSync(path).readUInt32LE(12)).toBe(8);
  });

  it('can be mapped to be read by a descriptor that can only read', () => {
    using folder = new Folder(parent);
    const path = folder.newPath();
    const fd = folder.open(path);
    ftruncateSync(fd, 2 * pageBytes);
    const reader = folder.open(path, 'r');
    const view = wholePages(2);
    expect(addon.mapFile(view, reader, 0, mapMode.shared)).toBe(EACCES);
    expect(addon.mapFile(view, reader, 0, mapMode.read)).toBe(0);
    writeSync(fd, Buffer.from([6]), 0, 1, 0);
    expect(view[0]).toBe(6);
  });

  it('kills whoever stores to it while it is mapped to be read', () => {
    using folder = new Folder(parent);
    const path = folder.newPath();
    ftruncateSync(folder.open(path), pageBytes);
    const script = `
      const addon = require(${JSON.stringify(loaderPath)})(${JSON.stringify(projectRoot)});
      const bytes = new Uint8Array(new SharedArrayBuffer(2 ** 26));
      const view = new Uint32Array(bytes.buffer, addon.bytesToBoundary(bytes, 4096) + 4096, 1024);
      const error = addon.mapFile(view, require('node:fs').openSync(${JSON.stringify(path)}), 0, 2);
      require('node:fs').writeSync(1, [error, view[0]].join());
      view[0] = 1;`;
    const { signal, stdout } = spawnSync(process.execPath, ['-e', script]);
    expect([stdout.toString(), signal]).toEqual(['0,0', 'SIGSEGV']);
  });

  it('cannot be mapped in mode sync where it is not on DAX, and the view then stays what it was', ({ skip }) => {
    using folder = new Folder(parent);
    const fd = folder.open();
    if (addon.isDax(fd) === 1) return skip('this file is on DAX');
    ftruncateSync(fd, 2 * pageBytes);
    const view = wholePages(2);
    view.fill(5);
    expect(addon.mapFile(view, fd, 0, mapMode.sync)).toBe(EOPNOTSUPP);
    expect(view.every((word) => word === 5)).toBe(true);
    view[0] = 6;
    expect(wordOf(fd, 0)).toBe(0);
  });

  it('is refused where a border is not one of pages', () => {
    using folder = new Folder(parent);
    const fd = folder.open();
    ftruncateSync(fd, 4 * pageBytes);
    const pages = wholePages(3);
    pages.fill(5);
    const { shared } = mapMode;
    expect(addon.mapFile(pages.subarray(1, 1 + pageBytes / 4), fd, 0, shared)).toBe(EINVAL);
    expect(addon.mapFile(pages.subarray(0, pageBytes / 4 + 1), fd, 0, shared)).toBe(EINVAL);
    expect(addon.mapFile(pages.subarray(0, 0), fd, 0, shared)).toBe(EINVAL);
    expect(addon.mapFile(pages, fd, 4, shared)).toBe(EINVAL);
    expect(pages.every((word) => word === 5)).toBe(true);
    expect(addon.mapFile(pages.subarray(pageBytes / 4, pageBytes / 2), fd, 0, shared)).toBe(0);
    expect([0, 1, 2].map((page) => pages[(page * pageBytes) / 4])).toEqual([5, 0, 5]);
  });

  it('gets its blocks from allocateFile, which keeps what it holds, and its size', () => {
    using folder = new Folder(parent);
    const fd = folder.open();
    writeSync(fd, Buffer.from([1, 2, 3, 4]));
    expect(addon.allocateFile(fd, 0, 2 ** 20)).toBe(0);
    const { size, blocks } = fstatSync(fd);
    expect(size).toBe(4);
    expect(blocks * 512).toBeGreaterThanOrEqual(2 ** 20);
    expect(wordOf(fd, 0)).toBe(0x0403_0201);
    ftruncateSync(fd, 2 ** 20);
    expect(fstatSync(fd)).toMatchObject({ size: 2 ** 20, blocks });
    expect(wordOf(fd, 0)).toBe(0x0403_0201);
    expect(addon.allocateFile(fd, 0, 0)).toBe(EINVAL);
  });

  it('is written back page by page and as a whole', () => {
    using folder = new Folder(parent);
    const fd = folder.open();
    ftruncateSync(fd, 2 * pageBytes);
    const view = wholePages(2);
    expect(addon.mapFile(view, fd, 0, mapMode.shared)).toBe(0);
    view.fill(5);
    expect(addon.syncPages(view)).toBe(0);
    // msync itself refuses what does not begin at a page
    expect(addon.syncPages(view, pageBytes - 4, 8)).toBe(0);
    expect(addon.syncPages(view, 4, 0)).toBe(0);
  });

  it('can be populated to be read where it must not be written', () => {
    using folder = new Folder(parent);
    const fd = folder.open();
    writeSync(fd, Buffer.alloc(16 * pageBytes, 1));
    const view = wholePages(16);
    expect(addon.mapFile(view, fd, 0, mapMode.read)).toBe(0);
    const isThere = (page: number): boolean => isPresent(addon.addressOf(view) + BigInt(page * pageBytes));
    expect([0, 15].map(isThere)).toEqual([false, false]);
    expect(addon.populate(view)).toBe(EINVAL);
    // from the middle of page 3 to the middle of page 4
    expect(addon.populateRead(view, 3.5 * pageBytes, pageBytes)).toBe(0);
    expect([3, 4].map(isThere)).toEqual([true, true]);
    expect(addon.populateRead(view)).toBe(0);
    expect([0, 15].map(isThere)).toEqual([true, true]);
  });

  it('that was truncated is told so by whyUnreachable where populate says only EFAULT', () => {
    using folder = new Folder(parent);
    const fd = folder.open();
    ftruncateSync(fd, 4 * pageBytes);
    const view = wholePages(4);
    expect(addon.mapFile(view, fd, 0, mapMode.shared)).toBe(0);
    ftruncateSync(fd, 2 * pageBytes);
    expect(addon.populate(view, 0, 2 * pageBytes)).toBe(0);
    for (const populate of [addon.populate, addon.populateRead]) {
      expect(populate(view, 2 * pageBytes, pageBytes)).toBe(EFAULT);
    }
    expect(addon.whyUnreachable(fd, 2 * pageBytes, pageBytes, pageBytes)).toBe(ENODATA);
    expect(addon.whyUnreachable(fd, 0, 2 * pageBytes + 1, pageBytes)).toBe(ENODATA);
    expect(addon.whyUnreachable(fd, 0, 2 * pageBytes, pageBytes)).toBe(EFAULT);
    expect(fstatSync(fd).size).toBe(2 * pageBytes);
  });
});

describe.skipIf(skipReason !== undefined)(named('a full file system'), () => {
  it('is told by allocateFile, which then allocates nothing', (context) => {
    using folder = tinyFolder(context, 2 ** 20);
    const fd = folder.open();
    expect(addon.allocateFile(fd, 0, 2 ** 21)).toBe(ENOSPC);
    expect(fstatSync(fd)).toMatchObject({ size: 0, blocks: 0 });
    expect(addon.allocateFile(fd, 0, 2 ** 19)).toBe(0);
  });

  it('is told by whyUnreachable where populate says only EFAULT', (context) => {
    using folder = tinyFolder(context, 2 ** 20);
    expect(addon.allocateFile(folder.open(), 0, 2 ** 19)).toBe(0);
    const fd = folder.open();
    ftruncateSync(fd, 2 ** 20);
    const view = wholePages(256);
    expect(addon.mapFile(view, fd, 0, mapMode.shared)).toBe(0);
    expect(addon.populate(view)).toBe(EFAULT);
    expect(addon.whyUnreachable(fd, 0, 2 ** 20, pageBytes)).toBe(ENOSPC);
    expect(addon.unmapHugePages(view, pageBytes)).toBe(0);
  });
});

describe.skipIf(skipReason !== undefined)(named('descriptors that are no such files'), () => {
  it('are refused by every call', () => {
    expect(addon.mapFile(wholePages(1), noDescriptor, 0, mapMode.shared)).toBe(EBADF);
    expect(addon.allocateFile(noDescriptor, 0, 1)).toBe(EBADF);
    expect(addon.whyUnreachable(noDescriptor, 0, 1, pageBytes)).toBe(EBADF);
    expect(addon.isDax(noDescriptor)).toBe(-1);
  });

  it('give whyUnreachable nothing to look at when they are character devices', () => {
    using folder = new Folder();
    expect(addon.whyUnreachable(folder.open('/dev/null', 'r+'), 0, pageBytes, pageBytes)).toBe(EFAULT);
  });

  it.skipIf(!existsSync('/dev/shm'))('are not on DAX when they are in memory', () => {
    using folder = new Folder('/dev/shm');
    expect(addon.isDax(folder.open())).toBe(0);
  });
});

describe.skipIf(skipReason !== undefined)(named('flush'), () => {
  it('changes no byte, wherever the part of the view begins and ends', () => {
    const words = new Uint32Array(new SharedArrayBuffer(4096)).map((_, at) => at);
    for (const [offset, length] of [
      [0, 4096],
      [63, 2],
      [1, 4095],
      [4096, 0],
    ] as const) {
      expect(addon.flush(words, offset, length)).toBe(0);
    }
    expect(addon.flush(words)).toBe(0);
    expect(words.every((word, at) => word === at)).toBe(true);
  });

  it.skipIf(process.arch !== 'x64')('uses the best instruction that /proc/cpuinfo lists', () => {
    const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' '));
    const best = ['clwb', 'clflushopt', 'clflush'].find((name) => flags.has(name));
    expect(addon.flushInstruction()).toBe(best);
  });

  it('is needed after every store path but those that stream past the caches', () => {
    const streaming = process.arch === 'x64' ? 'non-temporal' : 'none';
    for (const { kind, needsFlush } of addon.storePaths()) expect(needsFlush).toBe(kind !== streaming);
  });
});

describe.skipIf(skipReason !== undefined)(named('misuse'), () => {
  const words = new Uint32Array(8);
  const floats = new Float64Array(1);
  it.each([
    ['mapFile: view must be a typed array', TypeError, 'mapFile', [{}, 0, 0, 0]],
    ['mapFile: fd must be a number', TypeError, 'mapFile', [words, '3', 0, 0]],
    ['mapFile: fd must be an integer from 0 to 2147483647, received -1', RangeError, 'mapFile', [words, -1, 0, 0]],
    ['mapFile: fileOffset must be an integer', RangeError, 'mapFile', [words, 0, -4096, 0]],
    ['mapFile: mode must be an integer from 0 to 2, received 3', RangeError, 'mapFile', [words, 0, 0, 3]],
    ['mapFile: mode must be a number', TypeError, 'mapFile', [words, 0, 0, 'shared']],
    ['allocateFile: fd must be an integer', RangeError, 'allocateFile', [2 ** 31, 0, 0]],
    ['allocateFile: offset must be an integer', RangeError, 'allocateFile', [0, 0.5, 1]],
    ['allocateFile: length must be an integer', RangeError, 'allocateFile', [0, 0, 2 ** 53]],
    ['isDax: fd must be a number', TypeError, 'isDax', []],
    ['mountId: fd must be a number', TypeError, 'mountId', [null]],
    ['syncPages: byteOffset must be an integer from 0 to 32', RangeError, 'syncPages', [words, 33]],
    ['populateRead: byteLength must be an integer from 0 to 28', RangeError, 'populateRead', [words, 4, 29]],
    ['flush: byteLength must be an integer from 0 to 0', RangeError, 'flush', [floats, 8, 1]],
    ['flush: view must be a typed array', TypeError, 'flush', [new ArrayBuffer(8)]],
    ['whyUnreachable: length must be an integer from 1', RangeError, 'whyUnreachable', [0, 0, 0, 4096]],
    ['whyUnreachable: pageSizeBytes must be a power of two', RangeError, 'whyUnreachable', [0, 0, 1, 4095]],
    ['lockByte: byte must be an integer', RangeError, 'lockByte', [0, -1, 0]],
    ['lockByte: kind must be an integer from 0 to 2, received 3', RangeError, 'lockByte', [0, 0, 3]],
    ['testLock: byte must be a number', TypeError, 'testLock', [0]],
    ['futexWait: view must be an Int32Array', TypeError, 'futexWait', [words, 0, 0, 0]],
    [
      'futexWait: index must be an integer from 0 to 1, received 2',
      RangeError,
      'futexWait',
      [new Int32Array(2), 2, 0, 0],
    ],
    ['futexWait: index must be the place of an element', RangeError, 'futexWait', [new Int32Array(0), 0, 0, 0]],
    ['futexWait: expected must be an integer', RangeError, 'futexWait', [new Int32Array(2), 0, 2 ** 31, 0]],
    ['futexWait: expected must be an integer', RangeError, 'futexWait', [new Int32Array(2), 0, -(2 ** 31) - 1, 0]],
    [
      'futexWait: timeoutMs must be an integer',
      RangeError,
      'futexWait',
      [new Int32Array(2), 0, 0, Number.POSITIVE_INFINITY],
    ],
    ['futexWake: index must be a number', TypeError, 'futexWake', [new Int32Array(2)]],
  ] as const)('is rejected: %s', (text, error, name, args) => {
    expect(() => untyped[name](...args)).toThrow(error);
    expect(() => untyped[name](...args)).toThrow(text);
  });
});
