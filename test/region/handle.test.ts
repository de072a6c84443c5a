/** Handles: they lead every thread to the same memory, and one that was tampered with leads nowhere. */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Region, type RegionHandle } from '../../dist/src/region/region.js';
import { refusalOf } from '../physical/errors.js';
import { firstRange, ram, smallRegion } from '../support/regions.js';

const region = smallRegion([ram(1, 159), ram(4096, 8 * 512, 1)], 'boot');
const { handle } = region;
const [first, second] = handle.data;

/** A handle of which something was replaced by what its type does not allow. */
function tampered(changes: Record<string, unknown>): RegionHandle {
  return { ...handle, ...changes } as unknown as RegionHandle;
}

const withFirst = (part: unknown): RegionHandle => tampered({ data: [part, second] });

describe('a handle', () => {
  it('that went through a message port leads to the same memory', () => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(handle);
    const attached = Region.attach((receiveMessageOnPort(port2) as { message: RegionHandle }).message);
    port1.close();
    attached.control[attached.word.orders] = 1;
    firstRange(attached).words[159 * 16 - 1] = 77;
    expect(region.control[region.word.orders]).toBe(1);
    expect(firstRange(region).words[159 * 16 - 1]).toBe(77);
  });

  it('that was cloned tells the same region', () => {
    const attached = Region.attach(structuredClone(handle));
    const { policy, profileId, uuid, layout, chunks, pages } = attached;
    expect({ policy, profileId, uuid, layout, chunks, pages }).toEqual({
      policy: 'boot',
      profileId: 1,
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
    expect(attached.ranges.map(({ pattern }) => [...pattern])).toEqual(
      region.ranges.map(({ pattern }) => [...pattern]),
    );
  });

  it('may have buffers that are larger than needed, and fits when they are exactly as large', () => {
    const exact = new SharedArrayBuffer(159 * 64);
    expect(firstRange(Region.attach(withFirst({ buffer: exact, byteOffset: 0 }))).words.length).toBe(159 * 16);
    const larger = { buffer: new SharedArrayBuffer(160 * 64 + 4), byteOffset: 4 };
    expect(firstRange(Region.attach(withFirst(larger))).words.byteOffset).toBe(4);
  });
});

describe('a handle is refused with HANDLE_INVALID', () => {
  it.each([
    ['it is null', null],
    ['it is undefined', undefined],
    ['it is a number', 5],
    ['it is a text', 'vmemmap-region'],
    ['it is empty', {}],
    ['it is a buffer', handle.control],
    ['its kind is another', tampered({ kind: 'vmemmap' })],
    ['it has no control buffer', tampered({ control: undefined })],
    ['its control buffer is not shared', tampered({ control: new ArrayBuffer(handle.control.byteLength) })],
    ['it has no data', tampered({ data: undefined })],
    ['its data is no list', tampered({ data: { 0: first, 1: second, length: 2 } })],
    ['it does not tell its backing', tampered({ backing: undefined })],
    ['its backing is null', tampered({ backing: null })],
  ])('when %s', (_, received) => {
    const error = refusalOf(() => Region.attach(received as RegionHandle));
    expect(error.code).toBe('HANDLE_INVALID');
    expect(error.message).toBe('not a handle: pass what memmap.handle() returned');
  });

  it.each([
    ['a buffer is missing', tampered({ data: [first] })],
    ['there is a buffer too many', tampered({ data: [first, second, second] })],
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

  it('when its control buffer ends before the last chunk word', () => {
    const short = new SharedArrayBuffer(region.layout.controlSizeBytes - 64);
    new Uint8Array(short).set(new Uint8Array(handle.control).subarray(0, short.byteLength));
    expect(refusalOf(() => Region.attach(tampered({ control: short }))).code).toBe('HANDLE_INVALID');
  });
});
