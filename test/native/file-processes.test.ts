/** Locks and waiting between descriptors, threads and processes that share a file. */
import { ftruncateSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { lockKind, mapMode } from '../../dist/src/native.js';
import { addon, named, skipReason } from './built-addon.js';
import { Folder, Other, pageBytes, wholePages } from './mapped.js';

const { EAGAIN, EBADF, EINTR, ETIMEDOUT } = constants.errno;
const { none, shared, exclusive } = lockKind;

/** A file of one page, and its descriptor. */
function newFile(folder: Folder): { path: string; fd: number } {
  const path = folder.newPath();
  const fd = folder.open(path);
  ftruncateSync(fd, pageBytes);
  return { path, fd };
}

describe.skipIf(skipReason !== undefined)(named('a lock'), () => {
  it('keeps another descriptor of the same process out until it is released', () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    const other = folder.open(path, 'r+');
    expect(addon.lockByte(fd, 3, exclusive)).toBe(0);
    for (const kind of [shared, exclusive]) expect(addon.lockByte(other, 3, kind)).toBe(EAGAIN);
    expect(addon.lockByte(fd, 3, none)).toBe(0);
    expect(addon.lockByte(other, 3, exclusive)).toBe(0);
    expect(addon.lockByte(fd, 3, exclusive)).toBe(EAGAIN);
  });

  it('that is shared lets others share, and nobody have it alone', () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    const other = folder.open(path, 'r+');
    expect(addon.lockByte(fd, 0, shared)).toBe(0);
    expect(addon.lockByte(other, 0, shared)).toBe(0);
    expect(addon.lockByte(other, 0, exclusive)).toBe(EAGAIN);
    expect(addon.lockByte(fd, 0, none)).toBe(0);
    // other kept its shared lock when it was refused the exclusive one
    expect(addon.lockByte(fd, 0, exclusive)).toBe(EAGAIN);
    expect(addon.lockByte(other, 0, exclusive)).toBe(0);
  });

  it('is on one byte, up to the last number', () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    const other = folder.open(path, 'r+');
    for (const byte of [1, Number.MAX_SAFE_INTEGER]) {
      expect(addon.lockByte(fd, byte, exclusive)).toBe(0);
      expect(addon.testLock(other, byte)).toBe(EAGAIN);
      expect(addon.lockByte(other, byte - 1, exclusive)).toBe(0);
    }
    expect(addon.lockByte(other, 2, exclusive)).toBe(0);
  });

  it('is seen by testLock of others, not by that of its own descriptor', () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    const other = folder.open(path, 'r');
    expect(addon.testLock(other, 5)).toBe(0);
    for (const kind of [shared, exclusive]) {
      expect(addon.lockByte(fd, 5, kind)).toBe(0);
      expect([addon.testLock(fd, 5), addon.testLock(other, 5)]).toEqual([0, EAGAIN]);
    }
    expect(addon.lockByte(fd, 5, none)).toBe(0);
    expect(addon.testLock(other, 5)).toBe(0);
  });

  it('asks for a descriptor that may do what it stands for', () => {
    using folder = new Folder();
    const { path } = newFile(folder);
    expect(addon.lockByte(folder.open(path, 'r'), 0, exclusive)).toBe(EBADF);
    expect(addon.lockByte(folder.open(path, 'a'), 0, shared)).toBe(EBADF);
    expect(addon.lockByte(1_000_000, 0, shared)).toBe(EBADF);
    expect(addon.testLock(1_000_000, 0)).toBe(EBADF);
  });

  it('outlives its descriptor as long as a mapping is there', () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    const other = folder.open(path, 'r+');
    const view = wholePages(1);
    expect(addon.mapFile(view, fd, 0, mapMode.shared)).toBe(0);
    expect(addon.lockByte(fd, 0, exclusive)).toBe(0);
    folder.close(fd);
    expect(addon.testLock(other, 0)).toBe(EAGAIN);
    expect(addon.unmapHugePages(view, pageBytes)).toBe(0);
    expect(addon.testLock(other, 0)).toBe(0);
  });

  it('of a process that is killed is released', async () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    await using other = new Other(path, 'say(addon.lockByte(fd, 9, 2)); setInterval(() => {}, 1000);');
    expect(await other.hear()).toBe('0');
    expect(addon.lockByte(fd, 9, exclusive)).toBe(EAGAIN);
    expect(addon.testLock(fd, 9)).toBe(EAGAIN);
    expect(await other.end()).toBe('SIGKILL');
    expect(addon.testLock(fd, 9)).toBe(0);
    expect(addon.lockByte(fd, 9, exclusive)).toBe(0);
  });
});

describe.skipIf(skipReason !== undefined)(named('a wait'), () => {
  const longMs = 60_000;
  const waiting = `say('waits'); const result = addon.futexWait(view, 7, 0, ${longMs}); say(result + ' ' + view[7]);`;

  it('ends at once when the word holds something else', () => {
    const view = new Int32Array(wholePages(1).buffer, 4096, 4);
    view.set([0, -1, 2 ** 31 - 1, -(2 ** 31)]);
    expect(addon.futexWait(view, 1, 0, longMs)).toBe(EAGAIN);
    expect(addon.futexWait(view, 0, -1, longMs)).toBe(EAGAIN);
    for (const [index, value] of view.entries()) expect(addon.futexWait(view, index, value, 0)).toBe(ETIMEDOUT);
  });

  it('ends after its time, and not before', () => {
    const start = performance.now();
    expect(addon.futexWait(new Int32Array(4), 0, 0, 1050)).toBe(ETIMEDOUT);
    expect(performance.now() - start).toBeGreaterThanOrEqual(1049);
  });

  it('needs nobody to be there to be woken', () => {
    expect(addon.futexWake(new Int32Array(4), 3)).toBe(0);
  });

  it('of two processes is ended by one call of a third that maps the same file', async () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    const page = wholePages(1);
    expect(addon.mapFile(page, fd, 0, mapMode.shared)).toBe(0);
    const words = new Int32Array(page.buffer, page.byteOffset, page.length);
    await using first = new Other(path, waiting);
    await using second = new Other(path, waiting);
    for (const other of [first, second]) {
      expect(await other.hear()).toBe('waits');
      await other.asleep();
    }
    // another word of the file wakes nobody
    expect(addon.futexWake(words, 6)).toBe(0);
    await first.asleep();
    words[7] = -5;
    expect(addon.futexWake(words, 7)).toBe(0);
    expect(await Promise.all([first.hear(), second.hear()])).toEqual(['0 -5', '0 -5']);
  });

  it('is not ended by Atomics.notify, and is by a signal', async () => {
    using folder = new Folder();
    const { path, fd } = newFile(folder);
    const page = wholePages(1);
    expect(addon.mapFile(page, fd, 0, mapMode.shared)).toBe(0);
    await using other = new Other(path, `process.on('SIGUSR2', () => {}); ${waiting}`);
    expect(await other.hear()).toBe('waits');
    await other.asleep();
    expect(Atomics.notify(new Int32Array(page.buffer, page.byteOffset, page.length), 7)).toBe(0);
    await other.asleep();
    other.signal('SIGUSR2');
    expect(await other.hear()).toBe(`${EINTR} 0`);
  });
});
