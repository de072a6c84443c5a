/** Every edge of the chunk word's state machine, and every method in every state that it must leave alone. */
import { describe, expect, it } from 'vitest';
import {
  ChunkMap,
  chunkState,
  isInitialized,
  isSealed,
  isSettled,
  payloadOf,
  recovered,
  stateOf,
} from '../../dist/src/claims/chunk-map.js';
import { harden, persistExtent } from '../../dist/src/claims/harden.js';
import type { Persistence } from '../../dist/src/region/durability.js';
import { Region } from '../../dist/src/region/region.js';
import { decodeSuperblock, refuseHandle } from '../../dist/src/region/superblock.js';
import { ram, smallRegion, upTo } from '../support/regions.js';

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
  'claimed, sealed'() {
    const map = inState.claimed();
    map.seal(chunk, mine, chunk + 1);
    return map;
  },
  'ready, sealed'() {
    const map = inState.ready();
    map.sealReady(chunk);
    return map;
  },
  durable() {
    const map = inState['claimed, sealed']();
    map.endure(chunk, mine, chunk + 1);
    return map;
  },
};

type Stage = keyof typeof inState;
const stages = Object.keys(inState) as Stage[];
/** All stages but these. */
function stagesBut(...left: Stage[]): Stage[] {
  return stages.filter((stage) => !left.includes(stage));
}

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
    const after = stages.map((state) => {
      const map = inState[state]();
      map.forget(chunk);
      return [state, ...read(map), isSealed(map.load(chunk))];
    });
    expect(after).toEqual([
      ['free', 'free', 0, false],
      ['claimed', 'claimed', mine, false],
      ['ready', 'free', 0, false],
      ['failed', 'failed', 28, false],
      ['claimed, sealed', 'claimed', mine, true],
      ['ready, sealed', 'ready', 0, true],
      ['durable', 'durable', 0, true],
    ]);
  });

  it('CLAIMED → SEALED keeps the tag, up to the largest, and is not initialized', () => {
    const map = freshMap();
    map.claim(chunk, theirs);
    map.seal(chunk, theirs, chunk + 1);
    expect(read(map)).toEqual(['claimed', theirs]);
    expect(isSealed(map.load(chunk))).toBe(true);
    expect(isInitialized(map.load(chunk))).toBe(false);
    // a word is compared as a signed one: SEALED stays below the sign
    expect(map.load(chunk)).toBeGreaterThan(0);
  });

  it('SEALED → DURABLE by its owner', () => {
    expect(read(inState.durable())).toEqual(['durable', 0]);
  });

  it('READY → SEALED is READY for who looks at the state, and SEALED for who hardens', () => {
    const map = inState['ready, sealed']();
    expect(read(map)).toEqual(['ready', 0]);
    expect(isInitialized(map.load(chunk))).toBe(true);
    expect(isSealed(map.load(chunk))).toBe(true);
  });

  it('READY, SEALED → DURABLE', () => {
    const map = inState['ready, sealed']();
    map.endureReady(chunk);
    expect(read(map)).toEqual(['durable', 0]);
  });

  it('CLAIMED, SEALED → FREE by who knows that the owner is dead, and what is written then is written once more', () => {
    const map = inState['claimed, sealed']();
    expect(payloadOf(map.load(chunk))).toBe(mine);
    expect(map.release(chunk, map.load(chunk))).toBe(true);
    expect(map.load(chunk)).toBe(0);
    expect(map.claim(chunk, theirs)).toBe(1);
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

  it('is sealed and made durable up to its end, and what is behind stays claimed', () => {
    const map = freshMap();
    map.claim(0, mine, 6);
    map.seal(0, mine, 5);
    map.endure(0, mine, 3);
    const words = upTo(8).map((number) => [stateOf(map.load(number)), isSealed(map.load(number))]);
    expect(words).toEqual([
      ...Array(3).fill(['durable', true]),
      ...Array(2).fill(['claimed', true]),
      ['claimed', false],
      ...Array(2).fill(['free', false]),
    ]);
  });

  it('of which one is not its own breaks an invariant when it is sealed or made durable', () => {
    const map = freshMap();
    map.claim(0, mine, 2);
    map.claim(2, theirs);
    expect(() => map.seal(0, mine, 4)).toThrow('a chunk is sealed by its owner');
    expect(upTo(4).map((number) => isSealed(map.load(number)))).toEqual([true, true, false, false]);
    expect(() => map.endure(0, mine, 4)).toThrow('a chunk is made durable by its owner');
    expect(states(map).slice(0, 4)).toEqual(['durable', 'durable', 'claimed', 'free']);
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
  for (const state of stagesBut('free')) {
    it(`claim of a ${state} chunk fails`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(map.claim(chunk, theirs)).toBe(0);
      expect(map.load(chunk)).toBe(before);
    });
  }

  for (const state of stages) {
    it(`publish, seal, endure, fail and abandon of a ${state} chunk by another than its owner break an invariant`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(() => map.publish(chunk, theirs)).toThrow('broken invariant');
      expect(() => map.seal(chunk, theirs, chunk + 1)).toThrow('broken invariant');
      expect(() => map.endure(chunk, theirs, chunk + 1)).toThrow('broken invariant');
      expect(() => map.fail(chunk, theirs, 5)).toThrow('broken invariant');
      expect(() => map.abandon(chunk, theirs)).toThrow('broken invariant');
      expect(map.load(chunk)).toBe(before);
    });
  }

  for (const state of stagesBut('claimed')) {
    it(`seal of a ${state} chunk by who had it breaks an invariant`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(() => map.seal(chunk, mine, chunk + 1)).toThrow('a chunk is sealed by its owner');
      expect(map.load(chunk)).toBe(before);
    });
  }

  for (const state of stagesBut('claimed, sealed')) {
    it(`endure of a ${state} chunk by who had it breaks an invariant`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(() => map.endure(chunk, mine, chunk + 1)).toThrow('a chunk is made durable by its owner');
      expect(map.load(chunk)).toBe(before);
    });
  }

  for (const state of stagesBut('ready')) {
    it(`sealReady of a ${state} chunk does nothing`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      map.sealReady(chunk);
      expect(map.load(chunk)).toBe(before);
    });
  }

  for (const state of stagesBut('ready, sealed')) {
    it(`endureReady of a ${state} chunk does nothing`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      map.endureReady(chunk);
      expect(map.load(chunk)).toBe(before);
    });
  }

  it('a claim that was sealed is neither published, failed nor abandoned by its owner: it is made durable', () => {
    const map = inState['claimed, sealed']();
    const before = map.load(chunk);
    expect(() => map.publish(chunk, mine)).toThrow('broken invariant');
    expect(() => map.fail(chunk, mine, 5)).toThrow('broken invariant');
    expect(() => map.abandon(chunk, mine)).toThrow('broken invariant');
    expect(map.load(chunk)).toBe(before);
  });

  it('a claim that was sealed, or made durable, since somebody saw the death is not released by what was seen', () => {
    const map = inState.claimed();
    const word = map.load(chunk);
    map.seal(chunk, mine, chunk + 1);
    expect(map.release(chunk, word)).toBe(false);
    const sealed = map.load(chunk);
    map.endure(chunk, mine, chunk + 1);
    expect(map.release(chunk, sealed)).toBe(false);
    expect(read(map)).toEqual(['durable', 0]);
  });

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

  for (const state of stagesBut('claimed', 'claimed, sealed')) {
    it(`release of a ${state} word breaks an invariant`, () => {
      const map = inState[state]();
      expect(() => map.release(chunk, map.load(chunk))).toThrow('only a claim can be released');
    });
  }

  for (const state of stagesBut('failed')) {
    it(`retry of a ${state} chunk does nothing`, () => {
      const map = inState[state]();
      const before = map.load(chunk);
      expect(map.retry(chunk)).toBe(false);
      expect(map.load(chunk)).toBe(before);
    });
  }
});

describe('initialized', () => {
  it('only READY and DURABLE are, not FREE, CLAIMED or FAILED, whatever their payload', () => {
    const initialized = stages.filter((state) => isInitialized(inState[state]().load(chunk)));
    expect(initialized).toEqual(['ready', 'ready, sealed', 'durable']);
    const large = freshMap();
    large.claim(chunk, theirs);
    expect(isInitialized(large.load(chunk))).toBe(false);
    large.fail(chunk, theirs, 0x7fff);
    expect(isInitialized(large.load(chunk))).toBe(false);
  });
});

describe('settled', () => {
  it('is what is initialized, and what has failed', () => {
    const settled = stages.filter((state) => isSettled(inState[state]().load(chunk)));
    expect(settled).toEqual(['ready', 'failed', 'ready, sealed', 'durable']);
  });
});

describe('sealed', () => {
  it('is what has the mark, and DURABLE, which needs none', () => {
    expect(stages.filter((state) => isSealed(inState[state]().load(chunk)))).toEqual([
      'claimed, sealed',
      'ready, sealed',
      'durable',
    ]);
  });

  it('is no part of the payload', () => {
    const map = inState['claimed, sealed']();
    expect(payloadOf(map.load(chunk))).toBe(mine);
  });
});

describe('who opens a file that nobody has open', () => {
  it.each([
    ['free', true, 'free'],
    ['free', false, 'free'],
    ['claimed', true, 'free'],
    ['claimed', false, 'free'],
    ['ready', true, 'ready'],
    ['ready', false, 'free'],
    ['failed', true, 'free'],
    ['failed', false, 'free'],
    ['claimed, sealed', true, 'durable'],
    ['claimed, sealed', false, 'durable'],
    ['ready, sealed', true, 'durable'],
    ['ready, sealed', false, 'durable'],
    ['durable', true, 'durable'],
    ['durable', false, 'durable'],
  ] as const)('finds %s (READY is kept: %s), and it becomes %s', (stage, keepsReady, becomes) => {
    const map = inState[stage]();
    expect(recovered(map.load(chunk), keepsReady, true)).toBe(chunkState[becomes]);
    expect(map.recover(keepsReady, true)).toBe(becomes === 'free' ? 0 : 1);
    // and nothing of the payload or the mark is left
    expect(map.load(chunk)).toBe(chunkState[becomes]);
  });

  it.each(['claimed, sealed', 'ready, sealed'] as const)(
    'and brings nothing to the media makes of what is %s no more than READY, with the mark',
    (stage) => {
      const map = inState[stage]();
      expect(map.recover(false, false)).toBe(1);
      expect([stateOf(map.load(chunk)), isSealed(map.load(chunk)), payloadOf(map.load(chunk))]).toEqual([
        'ready',
        true,
        0,
      ]);
      // and who does bring it there finds it so
      expect(map.recover(false, true)).toBe(1);
      expect(map.load(chunk)).toBe(chunkState.durable);
    },
  );

  it('and does so again, because a crash came in between, finds what it left', () => {
    for (const stage of stages) {
      for (const keepsReady of [true, false]) {
        for (const persists of [true, false]) {
          const once = recovered(inState[stage]().load(chunk), keepsReady, persists);
          expect(recovered(once, keepsReady, persists)).toBe(once);
        }
      }
    }
  });

  it('counts what is initialized, and frees whatever else there is', () => {
    const map = freshMap();
    map.claim(0, mine, 7);
    map.publish(0, mine, 2);
    map.sealReady(1);
    map.seal(2, mine, 4);
    map.endure(2, mine, 3);
    map.fail(4, mine, 5);
    map.abandon(5, mine);
    // ready; ready, sealed; durable; claimed, sealed; failed; free; claimed; free
    expect(map.recover(true, true)).toBe(4);
    const { ready, durable, free } = chunkState;
    expect(upTo(8).map((number) => map.load(number))).toEqual([
      ready,
      durable,
      durable,
      durable,
      free,
      free,
      free,
      free,
    ]);
    expect(map.recover(false, true)).toBe(3);
  });

  it('frees a word of a state that no version has', () => {
    for (const state of [5, 6, 7]) expect(recovered(state, true, true)).toBe(chunkState.free);
  });
});

/** A region whose media writes down what it is told to keep, and can be told to refuse or to call back. */
function hardRegion(persist: Persistence['persist'] = () => 0): {
  region: Region;
  map: ChunkMap;
  media: FakeMedia;
} {
  const { handle } = smallRegion([ram(0, 8 * 512)]);
  const media = fakeMedia(persist);
  const superblock = decodeSuperblock(new Uint8Array(handle.control.buffer), refuseHandle);
  const region = Region.ofFile(handle, superblock, media.persistence);
  return { region, map: ChunkMap.of(region), media };
}

interface FakeMedia {
  /** Where it was told to keep something, in the order of the calls. */
  readonly told: [what: 'words' | 'descriptors', byteOffset: number, byteLength: number][];
  persist: Persistence['persist'];
  readonly persistence: Persistence;
}

/** Whether it is the descriptors of the region below, and not its words. */
function isDescriptors(view: Uint32Array): boolean {
  return view.byteLength === 8 * 512 * 64;
}

function fakeMedia(persist: Persistence['persist']): FakeMedia {
  const tell: Persistence['persist'] = (view, byteOffset, byteLength) => {
    media.told.push([isDescriptors(view) ? 'descriptors' : 'words', byteOffset, byteLength]);
    return media.persist(view, byteOffset, byteLength);
  };
  const media: FakeMedia = {
    told: [],
    persist,
    persistence: { durability: 'msync', isCertain: false, persist: tell, persistAll: tell },
  };
  return media;
}

function initialize(map: ChunkMap, first: number, end: number): void {
  map.claim(first, mine, end);
  map.publish(first, mine, end);
}

const statesOf = (map: ChunkMap): string[] => upTo(8).map((number) => stateOf(map.load(number)));

describe('a chunk that is hardened', () => {
  it('reaches the media before its word, and its word before it is DURABLE', () => {
    const { region, map, media } = hardRegion();
    const seen: [string, boolean][] = [];
    media.persist = () => {
      seen.push([stateOf(map.load(chunk)), isSealed(map.load(chunk))]);
      return 0;
    };
    initialize(map, chunk, chunk + 1);
    expect(harden(region, map, 0, 8)).toBe(0);
    expect(media.told).toEqual([
      ['descriptors', chunk * 512 * 64, 512 * 64],
      ['words', region.layout.chunkWords + chunk * 4, 4],
    ]);
    expect(seen).toEqual([
      ['ready', false],
      ['ready', true],
    ]);
    expect(read(map)).toEqual(['durable', 0]);
  });

  it('goes in runs of those that are READY, and the others are passed over', () => {
    const { region, map, media } = hardRegion();
    initialize(map, 0, 2);
    initialize(map, 3, 6);
    map.claim(6, mine);
    map.claim(7, mine);
    map.fail(7, mine, 5);
    harden(region, map, 0, 5);
    expect(media.told.filter(([what]) => what === 'descriptors')).toEqual([
      ['descriptors', 0, 2 * 512 * 64],
      ['descriptors', 3 * 512 * 64, 2 * 512 * 64],
    ]);
    expect(statesOf(map)).toEqual(['durable', 'durable', 'free', 'durable', 'durable', 'ready', 'claimed', 'failed']);
    media.told.length = 0;
    harden(region, map, 0, 5);
    expect(media.told).toEqual([]);
  });

  it('by two at once, the second within the first at any step, is DURABLE once both words are on the media', () => {
    // descriptors, words: the second hardener runs its whole course within the first one's first or second call
    for (const within of ['descriptors', 'words'] as const) {
      const { region, map, media } = hardRegion();
      initialize(map, 2, 5);
      let isNested = false;
      media.persist = (view) => {
        const what = isDescriptors(view) ? 'descriptors' : 'words';
        if (isNested || what !== within) return 0;
        isNested = true;
        expect(harden(region, map, 2, 4)).toBe(0);
        expect(statesOf(map).slice(2, 5)).toEqual(['durable', 'durable', 'ready']);
        return 0;
      };
      expect(harden(region, map, 0, 8)).toBe(0);
      expect(isNested).toBe(true);
      expect(statesOf(map).slice(2, 5)).toEqual(['durable', 'durable', 'durable']);
    }
  });

  it('by one who stops between sealing and the media is made DURABLE by another, who brings the word there itself', () => {
    const { region, map, media } = hardRegion();
    initialize(map, chunk, chunk + 1);
    map.sealReady(chunk);
    expect(harden(region, map, 0, 8)).toBe(0);
    expect(media.told.map(([what]) => what)).toEqual(['descriptors', 'words']);
    expect(read(map)).toEqual(['durable', 0]);
  });

  it('that another makes DURABLE before this one seals it stays DURABLE', () => {
    const { map } = hardRegion();
    initialize(map, chunk, chunk + 1);
    // the other's two steps, between this one's descriptors and its own two
    map.sealReady(chunk);
    map.endureReady(chunk);
    map.sealReady(chunk);
    map.endureReady(chunk);
    expect(read(map)).toEqual(['durable', 0]);
  });

  it('is not SEALED when the media refuses its descriptors, and nothing is hardened from then on', () => {
    const { region, map, media } = hardRegion(() => 5);
    initialize(map, 0, 4);
    expect(harden(region, map, 0, 2)).toBe(5);
    expect(statesOf(map).slice(0, 4)).toEqual(['ready', 'ready', 'ready', 'ready']);
    expect(isSealed(map.load(0))).toBe(false);
    media.persist = () => 0;
    media.told.length = 0;
    // the kernel tells of a lost page once, and counts it as written from then on
    expect(harden(region, map, 2, 4)).toBe(5);
    expect(media.told).toEqual([]);
    expect(region.mediaErrno).toBe(5);
  });

  it('is SEALED and not DURABLE when the media refuses its word; the first errno stays', () => {
    const { region, map, media } = hardRegion();
    initialize(map, chunk, chunk + 1);
    media.persist = (view) => (isDescriptors(view) ? 0 : 28);
    expect(harden(region, map, 0, 8)).toBe(28);
    expect([...read(map), isSealed(map.load(chunk))]).toEqual(['ready', 0, true]);
    media.persist = () => 5;
    expect(harden(region, map, 0, 8)).toBe(28);
  });
});

describe('a change that is brought to the media', () => {
  it('makes its chunks DURABLE before the change itself goes there, so that a crash does not write over it', () => {
    const { region, map, media } = hardRegion();
    initialize(map, 1, 3);
    persistExtent(region, map, 1023, 1025);
    expect(media.told).toEqual([
      ['descriptors', 512 * 64, 512 * 64],
      ['words', region.layout.chunkWords + 4, 4],
      ['descriptors', 1024 * 64, 512 * 64],
      ['words', region.layout.chunkWords + 8, 4],
      ['descriptors', 1023 * 64, 2 * 64],
    ]);
    media.told.length = 0;
    persistExtent(region, map, 1023, 1024);
    expect(media.told).toEqual([['descriptors', 1023 * 64, 64]]);
  });

  it.each(stagesBut('ready', 'ready, sealed', 'durable'))(
    'is refused in a %s chunk by the first pfn there',
    (stage) => {
      const { region } = hardRegion();
      const map = ChunkMap.of(region);
      initialize(map, chunk - 1, chunk);
      const words = inState[stage]();
      Atomics.store(region.control, region.layout.chunkWords / 4 + chunk, words.load(chunk));
      const refusal = new RangeError(
        `the descriptor of pfn ${chunk * 512} is not initialized: fault it before you change it`,
      );
      expect(() => persistExtent(region, map, chunk * 512 - 1, chunk * 512 + 1)).toThrow(refusal);
    },
  );

  it('that the media refuses is told as NOT_DURABLE with its errno, and so is all that follows', () => {
    const { region, map, media } = hardRegion();
    initialize(map, chunk, chunk + 2);
    harden(region, map, 0, chunk + 1);
    media.persist = () => 5;
    const refused = expect.objectContaining({
      code: 'NOT_DURABLE',
      errno: 5,
      message: expect.stringContaining('EIO'),
    });
    expect(() => persistExtent(region, map, chunk * 512, chunk * 512 + 1)).toThrow(refused);
    expect(region.mediaErrno).toBe(5);
    // the kernel told it once: from here on it would say that all is well, of the lost page, too
    media.persist = () => 0;
    expect(() => persistExtent(region, map, chunk * 512, chunk * 512 + 1)).toThrow(refused);
    expect(harden(region, map, chunk + 1, chunk + 2)).toBe(5);
    expect(stateOf(map.load(chunk + 1))).toBe('ready');
  });

  it('is not said to be there when another thread was told that the media refused, meanwhile', () => {
    const { region, map, media } = hardRegion();
    initialize(map, 0, 2);
    harden(region, map, 0, 1);
    media.persist = () => {
      media.persist = () => 5;
      expect(harden(region, map, 1, 2)).toBe(5);
      return 0;
    };
    expect(() => persistExtent(region, map, 0, 1)).toThrow(expect.objectContaining({ code: 'NOT_DURABLE', errno: 5 }));
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

  it('endure wakes who waits, though they went to sleep on the word before it was sealed', async () => {
    const map = inState.claimed();
    const woken = map.waitAsync(chunk, map.load(chunk), 60_000);
    const keepAlive = setTimeout(() => {}, 60_000);
    map.seal(chunk, mine, chunk + 1);
    map.endure(chunk, mine, chunk + 1);
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
