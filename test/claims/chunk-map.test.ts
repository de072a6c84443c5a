/** Every edge of the chunk word's state machine, and every method in every state that it must leave alone. */
import { describe, expect, it } from 'vitest';
import { ChunkMap, isInitialized, payloadOf, stateOf } from '../../dist/src/claims/chunk-map.js';
import { ram, smallRegion } from '../support/regions.js';

const mine = 7;
const theirs = 2 ** 18 - 1; // the largest tag: slot 1023, generation 255
const chunk = 3;

function freshMap(): ChunkMap {
  return ChunkMap.of(smallRegion([ram(0, 8 * 512)]));
}

/** A map whose chunk 3 is in a state. */
const inState = {
  free: freshMap,
  claimed() {
    const map = freshMap();
    map.claim(chunk, mine);
    return map;
  },
  ready() {
    const map = inState.claimed();
    map.publish(chunk, mine);
    return map;
  },
  failed() {
    const map = inState.claimed();
    map.fail(chunk, mine, 28);
    return map;
  },
};

function read(map: ChunkMap): [string, number] {
  const word = map.load(chunk);
  return [stateOf(word), payloadOf(word)];
}

describe('edges', () => {
  it('a fresh chunk is free', () => {
    expect(read(inState.free())).toEqual(['free', 0]);
  });

  it('FREE → CLAIMED carries the tag, up to the largest', () => {
    const map = freshMap();
    expect(map.claim(chunk, theirs)).toBe(1);
    expect(read(map)).toEqual(['claimed', theirs]);
  });

  it('CLAIMED → READY', () => {
    expect(read(inState.ready())).toEqual(['ready', 0]);
  });

  it('CLAIMED → FAILED carries the errno', () => {
    expect(read(inState.failed())).toEqual(['failed', 28]);
  });

  it('CLAIMED → FREE by its owner', () => {
    const map = inState.claimed();
    map.abandon(chunk, mine);
    expect(read(map)).toEqual(['free', 0]);
  });

  it('CLAIMED → FREE by who knows that the owner is dead', () => {
    const map = inState.claimed();
    expect(map.release(chunk, map.load(chunk))).toBe(true);
    expect(read(map)).toEqual(['free', 0]);
  });

  it('FAILED → FREE', () => {
    const map = inState.failed();
    expect(map.retry(chunk)).toBe(true);
    expect(read(map)).toEqual(['free', 0]);
  });

  it('READY → FREE when the memory has been given back, and no other state', () => {
    const after = (['free', 'claimed', 'ready', 'failed'] as const).map((state) => {
      const map = inState[state]();
      map.forget(chunk);
      return read(map);
    });
    expect(after).toEqual([
      ['free', 0],
      ['claimed', mine],
      ['free', 0],
      ['failed', 28],
    ]);
  });

  it('an edge of one chunk leaves its neighbours alone', () => {
    const map = inState.ready();
    expect(stateOf(map.load(chunk - 1))).toBe('free');
    expect(stateOf(map.load(chunk + 1))).toBe('free');
  });
});

describe('a row of chunks', () => {
  const states = (map: ChunkMap): string[] => Array.from({ length: 8 }, (_, number) => stateOf(map.load(number)));

  it('is claimed up to the first that is not free, and before its end', () => {
    const map = inState.ready();
    expect(map.claim(0, mine, 8)).toBe(3);
    expect(map.claim(4, mine, 6)).toBe(2);
    expect(map.claim(3, mine, 8)).toBe(0);
    expect(states(map)).toEqual(['claimed', 'claimed', 'claimed', 'ready', 'claimed', 'claimed', 'free', 'free']);
  });

  it('is published up to its end, and wakes those who wait for any of it', async () => {
    const map = freshMap();
    map.claim(0, mine, 4);
    const woken = [0, 2].map((number) => map.waitAsync(number, map.load(number), 60_000));
    const keepAlive = setTimeout(() => {}, 60_000);
    map.publish(0, mine, 3);
    expect(await Promise.all(woken)).toEqual(['ok', 'ok']);
    clearTimeout(keepAlive);
    expect(states(map)).toEqual(['ready', 'ready', 'ready', 'claimed', 'free', 'free', 'free', 'free']);
  });

  it('of which one is not its own breaks an invariant when it is published', () => {
    const map = freshMap();
    map.claim(0, mine, 2);
    map.claim(2, theirs);
    expect(() => map.publish(0, mine, 4)).toThrow('broken invariant');
    expect(states(map).slice(0, 4)).toEqual(['ready', 'ready', 'claimed', 'free']);
  });
});

describe('what is not an edge changes nothing', () => {
  for (const state of ['claimed', 'ready', 'failed'] as const) {
    it(`claim of a ${state} chunk fails`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(map.claim(chunk, theirs)).toBe(0);
      expect(map.load(chunk)).toBe(before);
    });
  }

  for (const state of ['free', 'claimed', 'ready', 'failed'] as const) {
    it(`publish, fail and abandon of a ${state} chunk by another than its owner break an invariant`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(() => map.publish(chunk, theirs)).toThrow('broken invariant');
      expect(() => map.fail(chunk, theirs, 5)).toThrow('broken invariant');
      expect(() => map.abandon(chunk, theirs)).toThrow('broken invariant');
      expect(map.load(chunk)).toBe(before);
    });
  }

  it('a claim is released by one of two who saw the death', () => {
    const map = inState.claimed();
    const word = map.load(chunk);
    expect([map.release(chunk, word), map.release(chunk, word)]).toEqual([true, false]);
  });

  it('a claim that was published meanwhile is not released', () => {
    const map = inState.claimed();
    const word = map.load(chunk);
    map.publish(chunk, mine);
    expect(map.release(chunk, word)).toBe(false);
    expect(read(map)).toEqual(['ready', 0]);
  });

  for (const state of ['free', 'ready', 'failed'] as const) {
    it(`release of a ${state} word breaks an invariant`, () => {
      const map = inState[state]();
      expect(() => map.release(chunk, map.load(chunk))).toThrow('only a claim can be released');
    });
  }

  for (const state of ['free', 'claimed', 'ready'] as const) {
    it(`retry of a ${state} chunk does nothing`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(map.retry(chunk)).toBe(false);
      expect(map.load(chunk)).toBe(before);
    });
  }
});

describe('initialized', () => {
  it('only READY is, not FREE, CLAIMED or FAILED, whatever their payload', () => {
    const all = (['free', 'claimed', 'ready', 'failed'] as const).map((state) =>
      isInitialized(inState[state]().load(chunk)),
    );
    expect(all).toEqual([false, false, true, false]);
    const large = freshMap();
    large.claim(chunk, theirs);
    expect(isInitialized(large.load(chunk))).toBe(false);
    large.fail(chunk, theirs, 0x7fff);
    expect(isInitialized(large.load(chunk))).toBe(false);
  });
});

describe('waiting', () => {
  const changes: [string, (map: ChunkMap) => void][] = [
    ['publish', (map) => map.publish(chunk, mine)],
    ['fail', (map) => map.fail(chunk, mine, 5)],
    ['abandon', (map) => map.abandon(chunk, mine)],
    ['release', (map) => map.release(chunk, map.load(chunk))],
    ['wakeAll', (map) => map.wakeAll(chunk)],
  ];
  for (const [name, change] of changes) {
    it(`${name} wakes who waits`, async () => {
      const map = inState.claimed();
      const woken = map.waitAsync(chunk, map.load(chunk), 60_000);
      const keepAlive = setTimeout(() => {}, 60_000);
      change(map);
      expect(await woken).toBe('ok');
      clearTimeout(keepAlive);
    });
  }

  it('retry wakes who waits', async () => {
    const map = inState.failed();
    const woken = map.waitAsync(chunk, map.load(chunk), 60_000);
    const keepAlive = setTimeout(() => {}, 60_000);
    map.retry(chunk);
    expect(await woken).toBe('ok');
    clearTimeout(keepAlive);
  });

  it('nobody goes to sleep on a word that has changed already', () => {
    const map = inState.claimed();
    const old = map.load(chunk);
    map.publish(chunk, mine);
    expect(map.wait(chunk, old, 60_000)).toBe(true);
    expect(map.waitAsync(chunk, old, 60_000)).toBeUndefined();
  });

  it('a wait has a bound', () => {
    const map = inState.claimed();
    expect(map.wait(chunk, map.load(chunk), 1)).toBe(false);
  });
});
