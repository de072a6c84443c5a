/** Handles: they lead every thread to the same memory, and one that was tampered with leads nowhere. */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Region, type RegionHandle } from '../../dist/src/region/region.js';
import { refusalOf } from '../physical/errors.js';
import { actorOn, add, hotRegion } from '../support/hot.js';
import { firstRange, ram, smallRegion } from '../support/regions.js';

const region = smallRegion([ram(1, 159), ram(4096, 8 * 512, 1)], 'boot');
const { handle } = region;
const [first, second] = handle.data;

/** A handle of which something was replaced by what its type does not allow. */
function tampered(changes: Record<string, unknown>): RegionHandle {
  return { ...handle, ...changes } as unknown as RegionHandle;
}

const withControl = (buffer: unknown, byteOffset = 0): RegionHandle => tampered({ control: { buffer, byteOffset } });
/** The control part at an offset in a larger buffer. */
function movedControl(byteOffset: number): RegionHandle {
  const whole = new Uint8Array(handle.control.buffer);
  const moved = new Uint8Array(new SharedArrayBuffer(whole.length + byteOffset));
  moved.set(whole, byteOffset);
  return withControl(moved.buffer, byteOffset);
}
const terms = {
  machine: { zoned: false },
  options: { profile: 'linux-6.1' },
  hosts: new Map(),
  hasThreads: false,
  poisons: false,
};
const withFirst = (part: unknown): RegionHandle => tampered({ data: [part, second] });

describe('a handle', () => {
  it('that went through a message port leads to the same memory', () => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(handle);
    const attached = Region.attach((receiveMessageOnPort(port2) as { message: RegionHandle }).message);
    port1.close();
    attached.orders[0] = 1;
    attached.control[attached.word.mediaErrno] = 5;
    firstRange(attached).words[159 * 16 - 1] = 77;
    expect(region.orders[0]).toBe(1);
    expect(region.control[region.word.mediaErrno]).toBe(5);
    expect(firstRange(region).words[159 * 16 - 1]).toBe(77);
  });

  it('that was cloned tells the same region', () => {
    const attached = Region.attach(structuredClone(handle));
    const { policy, profileId, platform, uuid, layout, chunks, pages } = attached;
    expect({ policy, profileId, platform, uuid, layout, chunks, pages }).toEqual({
      policy: 'boot',
      profileId: 1,
      platform: 'x86-64',
      uuid: region.uuid,
      layout: region.layout,
      chunks: 9,
      pages: 159 + 4096,
    });
    const facts = attached.ranges.map(({ startPfn, endPfn, nid, firstChunk, chunks: own }) => ({
      startPfn,
      endPfn,
      nid,
      firstChunk,
      chunks: own,
    }));
    expect(facts).toEqual([
      { startPfn: 1, endPfn: 160, nid: 0, firstChunk: 0, chunks: 1 },
      { startPfn: 4096, endPfn: 8192, nid: 1, firstChunk: 1, chunks: 8 },
    ]);
    expect(attached.ranges.map(({ segments }) => segments)).toEqual(region.ranges.map(({ segments }) => segments));
  });

  it('may have buffers that are larger than needed, and fits when they are exactly as large', () => {
    const exact = new SharedArrayBuffer(159 * 64);
    expect(firstRange(Region.attach(withFirst({ buffer: exact, byteOffset: 0 }))).words.length).toBe(159 * 16);
    const larger = { buffer: new SharedArrayBuffer(160 * 64 + 4), byteOffset: 4 };
    expect(firstRange(Region.attach(withFirst(larger))).words.byteOffset).toBe(4);
  });
});

describe('the control part of a handle', () => {
  it('may begin anywhere in its buffer, as that of a file does, and leads to the words that stand there', () => {
    const whole = new Uint8Array(handle.control.buffer);
    const moved = new Uint8Array(new SharedArrayBuffer(whole.length + 192));
    moved.set(whole, 192);
    const attached = Region.attach(withControl(moved.buffer, 192));
    expect(attached.uuid).toBe(region.uuid);
    attached.control[attached.word.waiters] = 9;
    expect(new DataView(moved.buffer).getInt32(192 + attached.layout.control, true)).toBe(9);
  });
});

describe('a handle is refused with HANDLE_INVALID', () => {
  it.each([
    ['it is null', null],
    ['it is undefined', undefined],
    ['it is a number', 5],
    ['it is a text', 'vmemmap-region'],
    ['it is empty', {}],
    ['it is a buffer', handle.control.buffer],
    ['it is a part', handle.control],
    ['its kind is another', tampered({ kind: 'vmemmap' })],
    ['it has no control part', tampered({ control: undefined })],
    ['its control part is null', tampered({ control: null })],
    ['its control part is a buffer', tampered({ control: handle.control.buffer })],
    ['its control buffer is not shared', withControl(new ArrayBuffer(handle.control.buffer.byteLength))],
    ['its control buffer is smaller than a superblock', withControl(new SharedArrayBuffer(4095))],
    ['its control part begins too late for a superblock', withControl(new SharedArrayBuffer(4096), 4)],
    ['its control part begins between two words', withControl(handle.control.buffer, 2)],
    ['its control part begins before its buffer', withControl(handle.control.buffer, -64)],
    ['its control part begins nowhere', withControl(handle.control.buffer, Number.NaN)],
    ['it has no buffer of orders', tampered({ orders: undefined })],
    ['its buffer of orders is not shared', tampered({ orders: new ArrayBuffer(handle.orders.byteLength) })],
    ['its buffer of orders is a byte too small', tampered({ orders: new SharedArrayBuffer(127) })],
    ['it has no data', tampered({ data: undefined })],
    ['its data is no list', tampered({ data: { 0: first, 1: second, length: 2 } })],
    ['it does not tell its backing', tampered({ backing: undefined })],
    ['its backing is null', tampered({ backing: null })],
    ['its backing has no page size', tampered({ backing: { ...handle.backing, pageSize: undefined } })],
    ['it does not tell what was in its memory', tampered({ memory: undefined })],
    ['it tells something else of its memory', tampered({ memory: 'clean' })],
    ['its file is null', tampered({ file: null })],
    ['its file is a path', tampered({ file: '/tmp/memmap' })],
    ['its file has no descriptor', tampered({ file: { path: '/tmp/memmap', process: 1 } })],
    ['its file has a descriptor that is no number', tampered({ file: { path: '/tmp/memmap', fd: '3', process: 1 } })],
    ['its file has no path', tampered({ file: { fd: 3, process: 1 } })],
    ['its file has no process', tampered({ file: { path: '/tmp/memmap', fd: 3 } })],
    ['its terms for ranges that come later are null', tampered({ hotplug: null })],
    ['those terms are empty', tampered({ hotplug: {} })],
    ['they tell nothing of the machine', tampered({ hotplug: { ...terms, machine: null } })],
    ['they do not tell whether it has zones', tampered({ hotplug: { ...terms, machine: {} } })],
    ['they have no options', tampered({ hotplug: { ...terms, options: null } })],
    ['their profile is none', tampered({ hotplug: { ...terms, options: { profile: 'toString' } } })],
    ['their nodes are a list', tampered({ hotplug: { ...terms, hosts: [] } })],
    ['they do not tell of threads', tampered({ hotplug: { ...terms, hasThreads: undefined } })],
    ['they do not tell of poison', tampered({ hotplug: { ...terms, poisons: undefined } })],
  ])('when %s', (_, received) => {
    const error = refusalOf(() => Region.attach(received as RegionHandle));
    expect(error.code).toBe('HANDLE_INVALID');
    expect(error.message).toBe('not a handle: pass what memmap.handle() returned');
  });

  it.each([
    ['a buffer is missing', tampered({ data: [first] })],
    ['there is a buffer too many', tampered({ data: [first, second, second] })],
    ['there are only places for buffers', tampered({ data: new Array(2) })],
    ['its control part begins between two units of eight bytes', movedControl(4)],
    ['a part is null', withFirst(null)],
    ['a part is undefined', withFirst(undefined)],
    ['a part is empty', withFirst({})],
    ['a buffer is not shared', withFirst({ ...first, buffer: new ArrayBuffer(2 ** 20) })],
    ['there is no byteOffset', withFirst({ buffer: first?.buffer })],
    ['the byteOffset is between two words', withFirst({ ...first, byteOffset: 2 })],
    ['the byteOffset is negative', withFirst({ ...first, byteOffset: -64 })],
    ['the byteOffset is no whole number', withFirst({ ...first, byteOffset: 64.5 })],
    ['the byteOffset is no number', withFirst({ ...first, byteOffset: '64' })],
    ['the byteOffset is NaN', withFirst({ ...first, byteOffset: Number.NaN })],
    ['the byteOffset is beyond the buffer', withFirst({ ...first, byteOffset: 2 ** 50 })],
    ['a buffer is one byte too small', withFirst({ buffer: new SharedArrayBuffer(159 * 64 - 1), byteOffset: 0 })],
    ['a byteOffset leaves too little', withFirst({ buffer: new SharedArrayBuffer(159 * 64), byteOffset: 4 })],
  ])('when %s', (_, received) => {
    const error = refusalOf(() => Region.attach(received));
    expect(error.code).toBe('HANDLE_INVALID');
    expect(error.message).toBe('the buffers do not fit the superblock; make the handle again');
  });

  it('of a region with room when a buffer for a range that comes later is missing or too small', () => {
    const roomy = hotRegion([ram(0, 512)], { ranges: 1, pages: 1024 });
    const [own, later] = roomy.handle.data;
    const small = { buffer: new SharedArrayBuffer(1024 * 64 - 1), byteOffset: 0 };
    for (const data of [[own], [own, undefined], [own, small], [own, later, later]]) {
      expect(refusalOf(() => Region.attach({ ...roomy.handle, data } as RegionHandle)).code).toBe('HANDLE_INVALID');
    }
  });

  it('when an entry of a range that was added was damaged, as soon as somebody looks', () => {
    const roomy = hotRegion([ram(0, 512)], { ranges: 1, pages: 1024 });
    add(actorOn(roomy), ram(4096, 1024));
    const entry = roomy.layout.hotEntries / 4;
    const pagesOf = (endPfn: number): void => {
      new DataView(roomy.control.buffer).setFloat64(roomy.layout.hotEntries + 8, endPfn, true);
      new DataView(roomy.control.buffer).setFloat64(roomy.layout.hotEntries + 64 + 8, endPfn, true);
    };
    const damages: readonly (() => void)[] = [
      () => pagesOf(4096 + 1025),
      () => pagesOf(4096),
      () => roomy.control.fill(-1, entry, entry + 100),
      () => roomy.control.fill(0, entry, entry + 100),
    ];
    const whole = roomy.control.slice(entry, entry + 100);
    for (const damage of damages) {
      damage();
      const error = refusalOf(() => Region.attach(roomy.handle).ranges);
      expect([error.code, error.message]).toEqual(['HANDLE_INVALID', expect.stringContaining('table of added ranges')]);
      roomy.control.set(whole, entry);
    }
    pagesOf(4096 + 1023);
    expect(Region.attach(roomy.handle).ranges.length).toBe(2);
  });

  it('when its control buffer ends before the last chunk word', () => {
    const short = new SharedArrayBuffer(region.layout.controlSizeBytes - 64);
    new Uint8Array(short).set(new Uint8Array(handle.control.buffer).subarray(0, short.byteLength));
    expect(refusalOf(() => Region.attach(withControl(short))).code).toBe('HANDLE_INVALID');
  });
});
