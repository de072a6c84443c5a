/** The drain: order, orders from outside, and what it does with chunks that others hold. */
import { describe, expect, it, vi } from 'vitest';
import { stateOf } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { drain } from '../../dist/src/claims/drain.js';
import { cancelDrains, closeClaims, pauseDrains, resumeDrains, untilResumed } from '../../dist/src/claims/orders.js';
import { type InitKernel, jsKernel } from '../../dist/src/descriptor/kernel.js';
import { countingKernel, deadThread, firstRange, ram, scripted, smallRegion, upTo } from '../support/regions.js';

function filled(memory = [ram(0, 8 * 512)], onFill: (chunk: number) => void = () => {}) {
  const region = smallRegion(memory);
  const counts = new Int32Array(region.chunks);
  const order: number[] = [];
  const kernel = countingKernel(region, counts, (chunk) => {
    order.push(chunk);
    onFill(chunk);
  });
  return { region, counts, order, kernel };
}

/** Chunks of a pageblock: 64 of them are a batch, and a run. */
const threeBatches = [ram(0, 3 * 64 * 512)];

describe('a drain', () => {
  it('initializes every chunk once, upwards, its own node first, then those behind it, then those before it', () => {
    const { region, order, kernel } = filled([ram(0, 3 * 512, 0), ram(4096, 2 * 512, 1), ram(8192, 512, 0)]);
    expect(drain(new Claimant(region, { kernel }), 1)).toBe('complete');
    expect(order).toEqual([3, 4, 5, 0, 1, 2]);
  });

  it('passes over what a fault took first', () => {
    const { region, counts, kernel } = filled();
    new Claimant(region, { kernel }).settle(firstRange(region), 5);
    drain(new Claimant(region, { kernel }), 0);
    expect([...counts]).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('counts as background what it did, and as faults what faults did', () => {
    const { region, kernel } = filled();
    const claimant = new Claimant(region, { kernel });
    claimant.settle(firstRange(region), 5);
    drain(claimant, 0);
    expect(claimant.owners.totals()).toMatchObject({ chunksByFault: 1, chunksByDrain: 7 });
  });

  it('does chunks, too, that were set free behind its cursor', () => {
    const { region, counts, kernel } = filled();
    const dead = new Claimant(region, { thread: deadThread });
    dead.chunks.claim(1, dead.tag);
    expect(drain(new Claimant(region, { kernel }), 0)).toBe('complete');
    expect([...counts]).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('is not complete before chunks that others hold are ready', () => {
    const { region, kernel } = filled();
    const other = new Claimant(region);
    other.chunks.claim(1, other.tag);
    const { claimant, chunks } = scripted(region, { kernel });
    const waited: number[] = [];
    chunks.insteadOfWait = (chunk) => {
      waited.push(chunk);
      other.chunks.publish(chunk, other.tag);
    };
    expect(drain(claimant, 0)).toBe('complete');
    expect(waited).toEqual([1]);
  });

  it('goes on past chunks that cannot be written', () => {
    const { region } = filled();
    const bad = 2 * 512;
    const kernel: InitKernel = {
      ...jsKernel,
      fill: (_words, _at, count, _pattern, index) => (index <= bad && bad < index + count ? 5 : 0),
    };
    const claimant = new Claimant(region, { kernel });
    expect(drain(claimant, 0)).toBe('complete');
    const states = Array.from({ length: 8 }, (_, chunk) => stateOf(claimant.chunks.load(chunk)));
    expect(states).toEqual(['ready', 'ready', 'failed', 'ready', 'ready', 'ready', 'ready', 'ready']);
  });

  it('ends after the batch that it is at when it is cancelled', () => {
    const { region, order, kernel } = filled(threeBatches, (chunk) => {
      if (chunk === 64) cancelDrains(region);
    });
    expect(drain(new Claimant(region, { kernel }), 0)).toBe('cancelled');
    expect(order).toEqual(upTo(128));
  });

  it('ends after the batch that it is at when the memmap closes', () => {
    const { region, order, kernel } = filled(threeBatches, (chunk) => {
      if (chunk === 0) closeClaims(region);
    });
    const claimant = new Claimant(region, { kernel });
    expect(drain(claimant, 0)).toBe('cancelled');
    expect(order).toEqual(upTo(64));
    expect(Array.from(order, (chunk) => stateOf(claimant.chunks.load(chunk)))).toEqual(Array(64).fill('ready'));
  });

  it('that finds the memmap closed behind its claims gives them all back', () => {
    const { region, order, kernel } = filled();
    const { claimant, chunks } = scripted(region, { kernel });
    chunks.beforeClaim = (chunk) => {
      if (chunk === 6) closeClaims(region);
    };
    expect(drain(claimant, 0)).toBe('cancelled');
    expect(order).toEqual([]);
    expect(upTo(8).map((chunk) => stateOf(chunks.load(chunk)))).toEqual(Array(8).fill('free'));
  });

  it('whose kernel throws in the middle of a batch keeps what was published, and gives the rest back', () => {
    const { region } = filled();
    const kernel: InitKernel = {
      ...jsKernel,
      fill(_words, _at, count, _pattern, index) {
        if (count > 512) return 5;
        if (index === 3 * 512) throw new Error('thrown');
        return index === 512 ? 28 : 0;
      },
    };
    const claimant = new Claimant(region, { kernel });
    expect(() => drain(claimant, 0)).toThrow('thrown');
    const states = upTo(8).map((chunk) => stateOf(claimant.chunks.load(chunk)));
    expect(states).toEqual(['ready', 'failed', 'ready', 'free', 'free', 'free', 'free', 'free']);
  });

  it('that waits for another one ends when it is cancelled', () => {
    const { region, kernel } = filled();
    const other = new Claimant(region);
    other.chunks.claim(1, other.tag);
    const { claimant, chunks } = scripted(region, { kernel });
    chunks.insteadOfWait = () => cancelDrains(region);
    expect(drain(claimant, 0)).toBe('cancelled');
  });

  it('that is paused returns after the batch that it is at, and is begun again where it was', () => {
    const { region, order, kernel } = filled(threeBatches, (chunk) => {
      if (chunk === 1) pauseDrains(region);
    });
    const claimant = new Claimant(region, { kernel });
    expect(drain(claimant, 0)).toBe('paused');
    expect(drain(claimant, 0)).toBe('paused');
    expect(order).toEqual(upTo(64));
    resumeDrains(region);
    expect(drain(claimant, 0)).toBe('complete');
    expect(order).toEqual(upTo(3 * 64));
  });

  it('that is paused and cancelled is cancelled', () => {
    const { region, kernel } = filled();
    pauseDrains(region);
    cancelDrains(region);
    expect(drain(new Claimant(region, { kernel }), 0)).toBe('cancelled');
  });
});

describe('who waits for a resume', () => {
  it.each([resumeDrains, cancelDrains, closeClaims])('is woken by %o', async (order) => {
    const { region } = filled();
    pauseDrains(region);
    const resumed = untilResumed(region);
    const keepAlive = setTimeout(() => {}, 60_000);
    const notify = vi.spyOn(Atomics, 'notify');
    order(region);
    // one thread was woken: that it looks around by itself from time to time is for when this is lost
    expect(notify.mock.results.map(({ value }) => value)).toContain(1);
    notify.mockRestore();
    await resumed;
    clearTimeout(keepAlive);
  });
});
