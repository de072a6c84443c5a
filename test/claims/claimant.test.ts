/** Forced interleavings: what one thread does at a chosen moment of another's fault, for every edge of the state machine. */
import { describe, expect, it } from 'vitest';
import { payloadOf, stateOf } from '../../dist/src/claims/chunk-map.js';
import { Claimant } from '../../dist/src/claims/claimant.js';
import { closeClaims } from '../../dist/src/claims/orders.js';
import { jsKernel } from '../../dist/src/descriptor/kernel.js';
import { verifyChunk } from '../../dist/src/observe/verify.js';
import { countingKernel, deadThread, firstRange, ram, scripted, smallRegion } from '../support/regions.js';

const chunk = 2;

function setUp() {
  const region = smallRegion([ram(0, 8 * 512)]);
  const counts = new Int32Array(region.chunks);
  const kernel = countingKernel(region, counts);
  return { region, range: firstRange(region), counts, kernel };
}

describe('a fault on a free chunk', () => {
  it('claims it, writes it once, and publishes it', () => {
    const { region, range, counts, kernel } = setUp();
    const { claimant } = scripted(region, { kernel });
    expect(claimant.settle(range, chunk)).toBe('claimed');
    expect(claimant.settle(range, chunk)).toBe('ready');
    expect([...counts]).toEqual([0, 0, 1, 0, 0, 0, 0, 0]);
    expect(verifyChunk(region, claimant.chunks, range, chunk)).toEqual({
      checked: 512,
      wrong: 0,
      firstWrongPfn: -1,
      failed: 0,
    });
  });

  it('is CLAIMED by its tag while it is written, and not yet READY', () => {
    const { region, range, counts } = setUp();
    const words: number[] = [];
    const kernel = countingKernel(region, counts, (number) => words.push(claimant.chunks.load(number)));
    const claimant = new Claimant(region, { kernel });
    claimant.settle(range, chunk);
    expect(words.map(stateOf)).toEqual(['claimed']);
    expect((words[0] as number) >>> 3).toBe(claimant.tag);
  });

  it('that another thread claims and publishes first is found ready, not written again', () => {
    const { region, range, counts, kernel } = setUp();
    const other = new Claimant(region, { kernel });
    const { claimant, chunks } = scripted(region, { kernel });
    chunks.beforeClaim = () => {
      chunks.beforeClaim = undefined;
      other.settle(range, chunk);
    };
    expect(claimant.settle(range, chunk)).toBe('ready');
    expect(counts[chunk]).toBe(1);
  });

  it('that another thread claims first is waited for', () => {
    const { region, range, counts, kernel } = setUp();
    const { claimant, chunks } = scripted(region, { kernel });
    const other = new Claimant(region);
    chunks.beforeClaim = () => {
      chunks.beforeClaim = undefined;
      other.chunks.claim(chunk, other.tag);
    };
    chunks.insteadOfWait = () => other.chunks.publish(chunk, other.tag);
    expect(claimant.settle(range, chunk)).toBe('waited');
    expect(counts[chunk]).toBe(0);
  });
});

describe('a fault on a claimed chunk', () => {
  function claimedByOther() {
    const set = setUp();
    const { claimant, chunks } = scripted(set.region, { kernel: set.kernel, waitMsMax: 40 });
    const other = new Claimant(set.region);
    other.chunks.claim(chunk, other.tag);
    return { ...set, claimant, chunks, other };
  }

  it('waits for its owner', () => {
    const { claimant, chunks, range, other, counts } = claimedByOther();
    chunks.insteadOfWait = () => other.chunks.publish(chunk, other.tag);
    expect(claimant.settle(range, chunk)).toBe('waited');
    expect(counts[chunk]).toBe(0);
    expect(claimant.owners.totals().faultsWaited).toBe(1);
  });

  it('whose owner fails gets its errno', () => {
    const { claimant, chunks, range, other } = claimedByOther();
    chunks.insteadOfWait = () => other.chunks.fail(chunk, other.tag, 28);
    expect(() => claimant.settle(range, chunk)).toThrow(
      expect.objectContaining({ code: 'CHUNK_FAILED', errno: 28, message: expect.stringContaining('ENOSPC') }),
    );
  });

  it('whose owner gives it up writes it itself', () => {
    const { claimant, chunks, range, other, counts } = claimedByOther();
    chunks.insteadOfWait = () => other.chunks.abandon(chunk, other.tag);
    expect(claimant.settle(range, chunk)).toBe('claimed');
    expect(counts[chunk]).toBe(1);
  });

  it('whose owner lives but never ends is an error after the bound, and the claim stays', () => {
    const { claimant, chunks, range } = claimedByOther();
    expect(() => claimant.settle(range, chunk)).toThrow(expect.objectContaining({ code: 'FAULT_TIMEOUT' }));
    expect(stateOf(chunks.load(chunk))).toBe('claimed');
  });

  it('is an error when the memmap closes meanwhile', () => {
    const { claimant, chunks, range, region } = claimedByOther();
    chunks.insteadOfWait = () => closeClaims(region);
    expect(() => claimant.settle(range, chunk)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('waits without blocking the thread when asked to', async () => {
    const { claimant, range, other } = claimedByOther();
    const fault = claimant.settleAsync(range, chunk);
    setImmediate(() => other.chunks.publish(chunk, other.tag));
    expect(await fault).toBe('waited');
  });

  it('without blocking, too, is an error after the bound', async () => {
    const { claimant, chunks, range, other } = claimedByOther();
    await expect(claimant.settleAsync(range, chunk)).rejects.toMatchObject({ code: 'FAULT_TIMEOUT' });
    // still held; and the owner, which would lose its slot if it were collected, is kept until here
    expect(payloadOf(chunks.load(chunk))).toBe(other.tag);
  });

  it('of another chunk is not waited for', () => {
    const { claimant, chunks, range } = claimedByOther();
    chunks.insteadOfWait = () => {
      throw new Error('waited');
    };
    expect(claimant.settle(range, chunk + 1)).toBe('claimed');
  });
});

describe('a fault on a chunk whose owner died between claim and publish', () => {
  function claimedByDead() {
    const set = setUp();
    const dead = new Claimant(set.region, { thread: deadThread });
    dead.chunks.claim(chunk, dead.tag);
    const { claimant, chunks } = scripted(set.region, { kernel: set.kernel });
    chunks.insteadOfWait = () => {};
    return { ...set, claimant, chunks, dead };
  }

  it('takes it over', () => {
    const { claimant, region, range, counts } = claimedByDead();
    expect(claimant.settle(range, chunk)).toBe('claimed');
    expect(counts[chunk]).toBe(1);
    expect(claimant.owners.totals().claimsReleased).toBe(1);
    expect(verifyChunk(region, claimant.chunks, range, chunk).wrong).toBe(0);
  });

  it('takes it over without blocking', async () => {
    const { claimant, range, counts } = claimedByDead();
    expect(await claimant.settleAsync(range, chunk)).toBe('claimed');
    expect(counts[chunk]).toBe(1);
  });

  it('lets one of two win who both saw the death', () => {
    const { claimant, chunks, region, range, counts, kernel } = claimedByDead();
    const second = scripted(region, { kernel });
    second.chunks.insteadOfWait = () => {};
    chunks.beforeRelease = () => {
      chunks.beforeRelease = undefined;
      expect(second.claimant.settle(range, chunk)).toBe('claimed');
    };
    expect(claimant.settle(range, chunk)).toBe('waited');
    expect(counts[chunk]).toBe(1);
    expect(claimant.owners.totals().claimsReleased).toBe(1);
  });

  it('does not take the chunk from the one who has it after the dead one', () => {
    const { claimant, chunks, region, range, counts } = claimedByDead();
    const second = new Claimant(region);
    chunks.beforeRelease = () => {
      chunks.beforeRelease = undefined;
      second.chunks.release(chunk, second.chunks.load(chunk));
      second.chunks.claim(chunk, second.tag);
    };
    chunks.insteadOfWait = (number, word) => {
      if (word >>> 3 === second.tag) second.chunks.publish(number, second.tag);
    };
    expect(claimant.settle(range, chunk)).toBe('waited');
    expect(counts[chunk]).toBe(0);
  });

  it('is woken when somebody reaps the dead, and its claims are free', () => {
    const { claimant, chunks, region, dead } = claimedByDead();
    dead.chunks.claim(chunk + 1, dead.tag);
    expect(new Claimant(region).reapDead()).toBe(1);
    expect(stateOf(chunks.load(chunk))).toBe('free');
    expect(stateOf(chunks.load(chunk + 1))).toBe('free');
    expect(claimant.reapDead()).toBe(0);
  });
});

describe('a chunk that cannot be written', () => {
  it('is FAILED with the errno for who tries and for who comes later, and may be tried again', () => {
    const { region, range } = setUp();
    let errno = 12;
    const claimant = new Claimant(region, { kernel: { ...jsKernel, fill: () => errno } });
    const failed = expect.objectContaining({ code: 'CHUNK_FAILED', errno: 12 });
    expect(() => claimant.settle(range, chunk)).toThrow(failed);
    expect(() => new Claimant(region).settle(range, chunk)).toThrow(failed);
    expect(claimant.owners.totals().chunksFailed).toBe(1);
    errno = 0;
    expect(claimant.chunks.retry(chunk)).toBe(true);
    expect(claimant.settle(range, chunk)).toBe('claimed');
  });

  it('because the code threw is free again, and the error reaches the caller', () => {
    const { region, range } = setUp();
    const broken = {
      ...jsKernel,
      fill: (): number => {
        throw new Error('defect');
      },
    };
    const claimant = new Claimant(region, { kernel: broken });
    expect(() => claimant.settle(range, chunk)).toThrow('defect');
    expect(stateOf(claimant.chunks.load(chunk))).toBe('free');
    expect(new Claimant(region).settle(range, chunk)).toBe('claimed');
  });
});

describe('after close', () => {
  it('what is ready stays usable until its memory is given back, nothing is claimed any more', () => {
    const { region, range } = setUp();
    const claimant = new Claimant(region);
    claimant.settle(range, chunk);
    closeClaims(region);
    expect(claimant.settle(range, chunk)).toBe('ready');
    expect(() => claimant.settle(range, chunk + 1)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(stateOf(claimant.chunks.load(chunk + 1))).toBe('free');
    claimant.forget();
    expect(() => claimant.settle(range, chunk)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('a claim that was won while it closed is given up, and nothing written', () => {
    const { region, range, counts, kernel } = setUp();
    const { claimant, chunks } = scripted(region, { kernel });
    chunks.beforeClaim = () => closeClaims(region);
    expect(() => claimant.settle(range, chunk)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(counts[chunk]).toBe(0);
    expect(stateOf(chunks.load(chunk))).toBe('free');
  });

  it('claims are waited for before the memory goes: a living owner finishes, a dead one loses its claim', async () => {
    const { region } = setUp();
    const claimant = new Claimant(region);
    const alive = new Claimant(region);
    alive.chunks.claim(chunk, alive.tag);
    const dead = new Claimant(region, { thread: deadThread });
    dead.chunks.claim(chunk + 1, dead.tag);
    closeClaims(region);
    const ended = claimant.claimsEnded();
    setTimeout(() => alive.chunks.publish(chunk, alive.tag), 30);
    expect(await ended).toBe(true);
    expect(stateOf(claimant.chunks.load(chunk))).toBe('ready');
    expect(stateOf(claimant.chunks.load(chunk + 1))).toBe('free');
  });

  it('a claim that never ends is waited for until the bound', async () => {
    const { region } = setUp();
    const alive = new Claimant(region);
    alive.chunks.claim(chunk, alive.tag);
    expect(await new Claimant(region, { waitMsMax: 50 }).claimsEnded()).toBe(false);
  });

  it('a claimant that left claims nothing any more; others do', () => {
    const { region, range } = setUp();
    const claimant = new Claimant(region);
    claimant.leave();
    expect(() => claimant.settle(range, chunk)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(new Claimant(region).settle(range, chunk)).toBe('claimed');
  });
});
