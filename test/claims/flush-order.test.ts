/**
 * What a crash leaves: every store, flush and fence of the durable path is written down, and at every moment of it every loss
 * that the media allow (all combinations up to a bound, else the extreme ones and many at random) is handed to the library's
 * own recovery. See test/support/media.ts for what is written down, losses.ts for what is lost, crash-judge.ts for what must hold.
 */
import { constants } from 'node:os';
import { afterAll, describe, expect, it } from 'vitest';
import type { Background } from '../../dist/src/background.js';
import { ChunkMap, chunkState, isInitialized, stateOf } from '../../dist/src/claims/chunk-map.js';
import { harden } from '../../dist/src/claims/harden.js';
import { recover } from '../../dist/src/claims/recovery.js';
import type { InitKernel } from '../../dist/src/descriptor/kernel.js';
import { Durable } from '../../dist/src/durable.js';
import type { Readiness } from '../../dist/src/readiness.js';
import type { Persistence } from '../../dist/src/region/durability.js';
import { type ControlWriter, writeControl } from '../../dist/src/region/file-making.js';
import { beginSession, keepsReady } from '../../dist/src/region/file-region.js';
import type { RegionRange } from '../../dist/src/region/range.js';
import type { Region } from '../../dist/src/region/region.js';
import { readSession, writeSession } from '../../dist/src/region/session.js';
import { epochExtent, epochWords } from '../../dist/src/region/superblock.js';
import { unknownThread } from '../../dist/src/region/threads.js';
import type { Found, Recover } from '../support/crash-judge.js';
import {
  aDrain,
  dax,
  drainAs,
  msync,
  newPfn,
  newRange,
  oldChunks,
  type Play,
  persistIfItCan,
  Searcher,
  type Setup,
  seed,
  seen,
  userOf,
} from '../support/crash-plays.js';
import { Generations, type Open, others, sessionIn } from '../support/generations.js';
import { makingFault } from '../support/making.js';
import type { Defect, Stage, Stores } from '../support/media.js';
import { deadThread, upTo } from '../support/regions.js';

afterAll(() => {
  process.stdout.write(`flush-order: ${seen.made} images, ${seen.recovered} of them new and recovered; seed ${seed}\n`);
});

const setups: [name: string, setup: Setup][] = [
  ['dax-sync, whole lines, non-temporal stores', dax(64)],
  ['dax-sync, whole lines, stores that are flushed', dax(64, { stores: 'flushed' })],
  ['dax-sync, torn lines, non-temporal stores', dax(8)],
  ['dax-sync, torn lines, stores that are flushed', dax(8, { stores: 'flushed' })],
  ['msync, whole pages', msync(4096)],
  ['msync, sectors', msync(512)],
  ['msync, torn to eight bytes', msync(8, 2)],
];
const fewSetups = setups.filter((_, index) => [0, 2, 4].includes(index));

describe.each(setups)('a crash at any moment of a drain (%s)', (_, setup) => {
  it('leaves chunks that are right, or are done once more', () => {
    expect(new Searcher(setup).play(aDrain)).toBeUndefined();
  });
});

describe.each(fewSetups)('a crash (%s)', (_, setup) => {
  it('takes back nothing that a user has persisted, or has changed in what was DURABLE', () => {
    expect(new Searcher(setup).sweep(aDrain, userOf(2))).toBeUndefined();
  });

  it('beside a fault of one chunk leaves it right', () => {
    const fault: Play = (stage) => {
      stage.as('A', () => void stage.claimant().settle(newRange(stage), 1));
      userOf(2)(stage);
    };
    expect(new Searcher(setup).sweep(fault, userOf(1))).toBeUndefined();
  });

  it('leaves the neighbours of a batch right, whose words share its line and which another thread has', () => {
    const batch: Play = (stage) => {
      stage.as('A', () => void stage.claimant().initialize(newRange(stage), 0, 3, 'chunksByDrain'));
      userOf(2)(stage);
    };
    const neighbour: Play = (stage) => {
      stage.as('B', () => void stage.claimant().initialize(newRange(stage), 3, 4, 'chunksByFault'));
    };
    expect(new Searcher(setup).sweep(batch, neighbour)).toBeUndefined();
  });

  it('leaves right what another thread has taken over from one that died at any step', () => {
    const searcher = new Searcher(setup);
    const handedOver: Play = (stage) => {
      drainAs(stage, 'A', deadThread);
      expect(drainAs(stage, 'B')).toBe('done');
      userOf(2)(stage);
    };
    expect(searcher.sweep(handedOver, (stage) => stage.kill('A'))).toBeUndefined();
  });

  it('in the middle of a batch of which one chunk cannot be written leaves the others right', () => {
    const batch: Play = (stage) => {
      stage.as('A', () => {
        const sound = stage.kernel();
        const { chunkPages } = newRange(stage);
        const bad = 2 * chunkPages;
        const kernel: InitKernel = {
          ...sound,
          fill(words, at, count, pattern, index) {
            const isBad = index <= bad && bad < index + count;
            const written = isBad ? bad - index : count;
            return sound.fill(words, at, written, pattern, index) || (isBad ? constants.errno.ENOSPC : 0);
          },
        };
        stage.claimant(unknownThread, { kernel }).initialize(newRange(stage), 0, 4, 'chunksByDrain');
      });
      userOf(2)(stage);
    };
    expect(new Searcher(setup).play(batch)).toBeUndefined();
  });
});

describe('a chunk of one descriptor', () => {
  it.each<Stores>(['non-temporal', 'flushed'])(
    'is right whatever is torn of it, of which nothing is left to chance (%s)',
    (stores) => {
      // eight units of it, and its word: every combination is tried
      const setup = { ...dax(8, { stores, chunks: 1, chunkPages: 1 }), combinationsMax: Number.POSITIVE_INFINITY };
      expect(new Searcher(setup).sweep(aDrain, userOf(2), {})).toBeUndefined();
    },
  );
});

/** All is READY, and so it stays until somebody hardens it: as somebody leaves it who did not ask for durability. */
const published: Play = (stage) => {
  stage.as('publisher', () => {
    const { chunks, tag } = stage.claimant();
    chunks.claim(oldChunks, tag, oldChunks + 4);
    newRange(stage).sumOverChunkContent(0, 4, stage.kernel().fill);
    chunks.publish(oldChunks, tag, oldChunks + 4);
  });
};

function hardenAs(stage: Stage, actor: string, first: number, end: number): void {
  stage.as(actor, () => void harden(stage.region, stage.chunks(), oldChunks + first, oldChunks + end));
}

/** Each of these is a process by itself. */
function eachApart(stage: Stage, ...actors: readonly string[]): void {
  for (const actor of actors) stage.apart([actor]);
}

describe.each([
  ['msync, whole pages', msync(4096)],
  ['dax-sync, torn lines', dax(8, { stores: 'plain' })],
])('hardening (%s)', (_, setup) => {
  // threads of one process take turns, those of several do not; a publisher that is apart has no MAP_SYNC
  it.each<[string, Play]>([
    ['threads of one process', () => {}],
    ['threads beside a user in a process by itself', (stage) => stage.apart(['user'])],
    ['threads of four processes', (stage) => eachApart(stage, 'B', 'user', 'publisher')],
    [
      'threads of two processes behind a publisher without MAP_SYNC',
      (stage) => {
        stage.apart(['publisher'], 'none');
        stage.apart(['B', 'user']);
      },
    ],
    [
      'threads of two processes, one of which has no MAP_SYNC, and the user is there',
      (stage) => stage.apart(['B', 'publisher', 'user'], 'msync'),
    ],
    ['threads of two processes, one of which has no MAP_SYNC', (stage) => stage.apart(['B', 'publisher'], 'msync')],
  ])('by two %s, at once and in batches that overlap, keeps what users persist meanwhile', (_, live) => {
    const hardened: Play = (stage) => {
      live(stage);
      published(stage);
      hardenAs(stage, 'A', 0, 3);
      userOf(2)(stage);
      hardenAs(stage, 'A', 3, 4);
    };
    const another: Play = (stage) => {
      userOf(1)(stage);
      hardenAs(stage, 'B', 1, 4);
    };
    expect(new Searcher(setup).sweep(hardened, another)).toBeUndefined();
  });

  it.each([
    ['thread', []],
    ['process', ['A']],
  ])('by a %s that dies at any step is finished by another, or refused', (_, apart) => {
    const hardened: Play = (stage) => {
      stage.apart(apart);
      published(stage);
      hardenAs(stage, 'A', 0, 4);
      userOf(2)(stage);
      hardenAs(stage, 'B', 0, 4);
    };
    expect(new Searcher(setup).sweep(hardened, (stage) => stage.kill('A'))).toBeUndefined();
  });

  it.each([
    ['thread', []],
    ['process', ['A']],
  ])('by a %s that dies at any step is finished before `durable` resolves', async (what, apart) => {
    const searcher = new Searcher(setup);
    let refused = 0;
    const readiness = { ready: Promise.resolve() } as Readiness;
    for (const step of upTo(24)) {
      const stage = searcher.stage();
      await stage.recordAsync(async () => {
        stage.apart(apart);
        published(stage);
        stage.killBefore('A', step);
        hardenAs(stage, 'A', 0, 4);
        try {
          await new Durable(stage.claimant(), undefined as Background | undefined, readiness).promise;
          stage.rely(upTo(stage.region.chunks));
        } catch (error) {
          // it died in its turn, and may have been told something
          expect(error).toMatchObject({ code: 'NOT_DURABLE', errno: constants.errno.EIO });
          refused++;
        }
      });
      expect(searcher.search(stage, { combinationsMax: 256, samples: 20 }), `step ${step}`).toBeUndefined();
    }
    if (what === 'process') expect(refused).toBe(0);
    else expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(12);
  });
});

describe('hardening', () => {
  const setup = msync(4096);

  it('is refused once more to a user whose change the media have refused: the kernel takes its page for written', () => {
    const refusedTwice: Play = (stage) => {
      published(stage);
      stage.refuseSync(0);
      stage.as('user', () => {
        const chunks = stage.chunks();
        // of an old chunk, which is DURABLE, and then of one that is READY
        for (const pfn of [oldChunks - 1, newPfn]) {
          stage.change(pfn, 6, 0xdef);
          for (let time = 0; time < 2; time++) {
            const refused = expect.objectContaining({ code: 'NOT_DURABLE', errno: constants.errno.EIO });
            expect(() => stage.persist(chunks, pfn)).toThrow(refused);
          }
        }
      });
    };
    expect(new Searcher(setup).play(refusedTwice)).toBeUndefined();
  });

  // threads of one process take turns; each process is told by itself
  const households: [string, Play][] = [
    ['threads of one process', () => {}],
    ['a user in a process by itself', (stage) => stage.apart(['user'])],
    ['three processes', (stage) => eachApart(stage, 'B', 'user')],
  ];

  it.each(households)('stops after an errno of the media, whoever was told of it: %s', (_, live) => {
    const searcher = new Searcher(setup);
    const again: Play = (stage) => {
      userOf(2)(stage);
      stage.as('user', () => {
        const chunks = stage.chunks();
        for (const pfn of [newPfn, oldChunks - 1, newPfn]) {
          if (isInitialized(chunks.load(pfn === newPfn ? oldChunks : pfn))) persistIfItCan(stage, chunks, pfn);
        }
      });
    };
    for (const sync of upTo(12)) {
      const refused: Play = (stage) => {
        live(stage);
        stage.refuseSync(sync);
        drainAs(stage, 'A');
        again(stage);
        drainAs(stage, 'B');
      };
      // the first two are of descriptors and of words
      const found = sync < 2 ? searcher.sweep(refused, again) : searcher.play(refused);
      expect(found, `msync ${sync}`).toBeUndefined();
      // whoever is told dies of it
      const died = sync < 2 ? searcher.sweep(refused, (stage) => stage.kill('A')) : undefined;
      expect(died, `msync ${sync}`).toBeUndefined();
    }
  });

  it.each(households)('finds nothing on the media that the kernel has lost in writing it back: %s', (_, live) => {
    const searcher = new Searcher(setup);
    const lost: Play = (stage) => {
      stage.as('kernel', () => stage.loseWriteBack(newPfn));
      // told to somebody who has nothing to do with that page
      stage.as('user', () => {
        stage.change(oldChunks - 1, 5, 0xdef);
        persistIfItCan(stage, stage.chunks(), oldChunks - 1);
      });
    };
    const drained: Play = (stage) => {
      live(stage);
      drainAs(stage, 'A');
      drainAs(stage, 'B');
    };
    expect(searcher.sweep(drained, lost)).toBeUndefined();
  });

  it('that the media have refused leaves nothing READY to whoever opens the file next', () => {
    const stage = new Searcher(setup).stage();
    const control = new Uint8Array(stage.region.control.buffer);
    const { layout } = stage.ground;
    const now = sessionIn(1, 2);
    stage.record(() => {
      published(stage);
      writeSession(control, layout, sessionIn(1, 1));
      expect(keepsReady(stage.region, readSession(control, layout), now, 1)).toBe(true);
      stage.refuseSync(0);
      hardenAs(stage, 'A', 0, 4);
    });
    expect(keepsReady(stage.region, readSession(control, layout), now, 1)).toBe(false);
  });

  it('is nothing to forget in the same file and boot alone: what is READY in a copy of it was perhaps never written', () => {
    const stage = new Searcher(setup).stage();
    const control = new Uint8Array(stage.region.control.buffer);
    const { layout } = stage.ground;
    const now = sessionIn(1, 2);
    stage.record(() => {
      published(stage);
      writeSession(control, layout, sessionIn(1, 1));
    });
    const asked = [now, ...others(now), { ...now, boot: '' }];
    const last = readSession(control, layout);
    expect(asked.map((session) => keepsReady(stage.region, last, session, 1))).toEqual([true, ...Array(5).fill(false)]);
    // of this epoch and the one before it; a line that does not check out is of none
    expect([0, 2].map((epoch) => keepsReady(stage.region, last, now, epoch))).toEqual([true, false]);
    control[layout.session] = 7;
    expect(keepsReady(stage.region, readSession(control, layout), now, 1)).toBe(false);
  });

  it('finds nothing on the media that the kernel has lost while nobody had the file open', () => {
    const reopened = (stage: Stage): void => {
      const { controlLines } = stage.region;
      const control = new Uint8Array(stage.region.control.buffer);
      const epoch = controlLines[epochExtent.offset / 4] as number;
      stage.reopen(epoch + 1);
      const now = sessionIn(1, epoch + 1);
      stage.opening(() => {
        recover(stage.region, keepsReady(stage.region, readSession(control, stage.ground.layout), now, epoch));
        beginSession(stage.region, control, now);
      });
    };
    const lost: Play = (stage) => {
      reopened(stage);
      published(stage);
      stage.loseWriteBack(newPfn);
      // told to the next one, who is refused, and so nobody after that
      expect(() => reopened(stage)).toThrow(expect.objectContaining({ code: 'NOT_DURABLE' }));
      reopened(stage);
      drainAs(stage, 'A');
      userOf(2)(stage);
    };
    expect(new Searcher(setup).play(lost)).toBeUndefined();
  });

  it.each([0, 1])('is nothing to rely on when msync %i of opening the file is refused: it is not opened', (sync) => {
    const stage = new Searcher(setup).stage();
    stage.record(() => {
      const { region, ground } = stage;
      const control = new Uint8Array(region.control.buffer);
      published(stage);
      writeSession(control, ground.layout, sessionIn(1, region.epoch));
      const now = sessionIn(1, region.epoch + 1);
      stage.reopen(now.epoch);
      stage.refuseSync(sync);
      recover(stage.region, keepsReady(region, readSession(control, ground.layout), now, region.epoch));
      const refused = expect.objectContaining({ code: 'NOT_DURABLE', errno: constants.errno.EIO });
      expect(() => beginSession(stage.region, control, now)).toThrow(refused);
      // what is READY then is not trusted by the next one either
      const [last, epoch] = [readSession(control, ground.layout), stage.region.controlLines[epochExtent.offset / 4]];
      expect(keepsReady(stage.region, last, sessionIn(1, now.epoch + 1), epoch as number)).toBe(false);
    });
  });
});

const torn = { stores: 'non-temporal', lossBytes: 8, combinationsMax: 24, samples: 3 } as const;
const generations: [string, Omit<Setup, 'ground'>, Persistence['durability']][] = [
  ['dax-sync, whole lines', { ...torn, lossBytes: 64 }, 'dax-sync'],
  ['dax-sync, torn lines', { ...torn, stores: 'flushed' }, 'dax-sync'],
  ['msync, whole pages', { ...torn, stores: 'plain', lossBytes: 4096 }, 'msync'],
  ['msync, torn to eight bytes', { ...torn, stores: 'plain' }, 'msync'],
];

describe.each(generations)(
  'a file that is opened, lost, and opened again, boot after boot (%s)',
  (_, setup, durability) => {
    it('keeps what was DURABLE or persisted in any of them, also when opening it is what the crash interrupts', () => {
      expect(new Generations(setup, durability).run(3, 3)).toBeUndefined();
    });
  },
);

describe('a crash while a file is made', () => {
  it.each([
    ['an empty file', 'msync', 4096],
    ['an empty file', 'msync', 512],
    ['an old region', 'msync', 4096],
    ['an old region', 'msync', 512],
    ['an old region', 'dax-sync', 64],
    ['an old region', 'dax-sync', 8],
    ['zeros', 'dax-sync', 64],
    ['zeros', 'dax-sync', 8],
    ['garbage', 'dax-sync', 64],
  ] as const)(
    'leaves it as it was, unfinished, or whole: %s (%s, lost in units of %i bytes)',
    (site, durability, loss) => {
      expect(makingFault(site, durability, loss)).toBeUndefined();
    },
  );
});

/** Chunk words that are DURABLE before they have reached the media. */
class EarlyDurable extends ChunkMap {
  readonly #region: Region;

  constructor(region: Region) {
    super(region.control, region.layout.chunkWords / 4, region.chunks);
    this.#region = region;
  }

  override seal(first: number, _tag: number, end: number): void {
    const { control, layout } = this.#region;
    for (let chunk = first; chunk < end; chunk++)
      Atomics.store(control, layout.chunkWords / 4 + chunk, chunkState.durable);
  }

  override endure(): void {}
}

/** Chunk words that are on the media before the descriptors are. */
class WordsFirst extends ChunkMap {
  readonly #region: Region;

  constructor(region: Region) {
    super(region.control, region.layout.chunkWords / 4, region.chunks);
    this.#region = region;
  }

  override endure(first: number, tag: number, end: number): void {
    const range = this.#region.rangeOfChunk(first);
    const start = (first - range.firstChunk) * range.chunkPages;
    this.#region.persistDescriptors(range, start, start + (end - first) * range.chunkPages, 'persist');
    super.endure(first, tag, end);
  }
}

/** Another persistence for the chunk words, or for the descriptors. */
function persisting(
  which: 'words' | 'descriptors',
  change: (sound: Persistence, ...args: [...Parameters<Persistence['persist']>, Stage]) => number,
): Defect['persistence'] {
  return (sound, stage) => {
    const changed =
      (how: 'persist' | 'persistAll'): Persistence['persist'] =>
      (view, byteOffset, byteLength) => {
        const isWords = view.buffer === stage.parts[0]?.words.buffer;
        if (isWords !== (which === 'words')) return sound[how](view, byteOffset, byteLength);
        return change({ ...sound, persist: sound[how] }, view, byteOffset, byteLength, stage);
      };
    return { ...sound, persist: changed('persist'), persistAll: changed('persistAll') };
  };
}

const lineShort = persisting('words', (sound, view, byteOffset, byteLength) => {
  const last = Math.floor((byteOffset + byteLength - 1) / 64) * 64;
  return last > byteOffset ? sound.persist(view, byteOffset, last - byteOffset) : 0;
});

const sealsFirst = persisting('descriptors', (sound, view, byteOffset, byteLength, stage) => {
  const chunks = ChunkMap.of(stage.region);
  for (const chunk of upTo(chunks.chunks)) chunks.sealReady(chunk);
  return sound.persist(view, byteOffset, byteLength);
});

const userAtAnyStep = (searcher: Searcher): Found | undefined => searcher.sweep(aDrain, userOf(2));

interface Mutation {
  readonly setup: Setup;
  readonly defect?: Defect;
  readonly recover?: Recover;
  readonly rule: Found['rule'];
}

const mutations: [name: string, mutation: Mutation][] = [
  [
    'DURABLE before its word has reached the media, without SEALED',
    { setup: dax(64), defect: { chunks: (region) => new EarlyDurable(region) }, rule: 'durable is kept' },
  ],
  [
    'words that are flushed before their descriptors',
    {
      setup: dax(64),
      defect: { stores: 'plain', chunks: (region) => new WordsFirst(region) },
      rule: 'right descriptors',
    },
  ],
  [
    'no fence behind non-temporal stores',
    { setup: dax(64), defect: { stores: 'non-temporal, no fence' }, rule: 'right descriptors' },
  ],
  ['stores that nobody flushes', { setup: dax(64), defect: { stores: 'plain' }, rule: 'right descriptors' }],
  [
    'a flush of chunk words that is a line short',
    { setup: dax(64), defect: { persistence: lineShort }, rule: 'durable is kept' },
  ],
  [
    'hardening that seals before the descriptors are on the media',
    { setup: msync(4096), defect: { persistence: sealsFirst }, rule: 'right descriptors' },
  ],
  [
    'persist that does not harden a READY chunk',
    {
      setup: msync(4096),
      defect: {
        persistExtent(region, _, startPfn, endPfn) {
          const range = region.rangeOf(startPfn) as RegionRange;
          region.persistDescriptors(range, startPfn - range.startPfn, endPfn - range.startPfn, 'persist');
        },
      },
      rule: 'durable is kept',
    },
  ],
  [
    'persist that brings nothing to the media',
    { setup: dax(64), defect: { persistExtent: () => {} }, rule: 'changes survive' },
  ],
  [
    'recovery that keeps READY in another boot',
    { setup: msync(4096), recover: (region) => recover(region, true), rule: 'right descriptors' },
  ],
  [
    'recovery that keeps CLAIMED',
    {
      setup: dax(64),
      recover(region, isTrusted) {
        const first = region.layout.chunkWords / 4;
        for (const at of upTo(region.chunks).map((chunk) => first + chunk)) {
          if (stateOf(region.control[at] as number) === 'claimed') region.control[at] = chunkState.durable;
        }
        recover(region, isTrusted);
      },
      rule: 'right descriptors',
    },
  ],
  [
    'recovery that does SEALED chunks once more',
    {
      setup: dax(64),
      recover(region, isTrusted) {
        const first = region.layout.chunkWords / 4;
        for (const at of upTo(region.chunks).map((chunk) => first + chunk)) {
          if ((region.control[at] as number) >= 2 ** 30) region.control[at] = chunkState.free;
        }
        recover(region, isTrusted);
      },
      rule: 'durable is kept',
    },
  ],
];

describe('the checker finds', () => {
  it.each(mutations)('%s', (_, { setup, defect, recover: recoverRegion, rule }) => {
    expect(userAtAnyStep(new Searcher(setup, defect, recoverRegion))).toMatchObject({ rule });
  });

  it('hardening that goes on after an errno of the media', () => {
    const refused: Play = (stage) => {
      stage.refuseSync(0);
      drainAs(stage, 'A');
      // nobody remembers it
      stage.as('A', () => Atomics.store(stage.region.control, stage.region.word.mediaErrno, 0));
      drainAs(stage, 'B');
    };
    expect(new Searcher(msync(4096)).play(refused)).toMatchObject({ rule: 'right descriptors' });
  });

  it('an errno that is told to one thread while another looks whether one was: the media are asked by all at once', () => {
    const searcher = new Searcher(msync(4096), { turns: 'none' });
    const refused: Play = (stage) => {
      stage.refuseSync(0);
      drainAs(stage, 'A');
    };
    const another: Play = (stage) => void drainAs(stage, 'B');
    expect(searcher.sweep(refused, another)).toMatchObject({ rule: 'right descriptors' });
  });

  it('an errno that only a thread was told which has died', () => {
    const searcher = new Searcher(msync(4096), { turns: 'after the dead as after the living' });
    const refused: Play = (stage) => {
      stage.refuseSync(0);
      drainAs(stage, 'A');
      drainAs(stage, 'B');
    };
    expect(searcher.sweep(refused, (stage) => stage.kill('A'))).toMatchObject({ rule: 'right descriptors' });
  });

  it('hardening that brings to the media only what its own process has stored, on DAX', () => {
    const forgetful = (sound: Persistence): Persistence => ({ ...sound, persistAll: sound.persist });
    const searcher = new Searcher(dax(8, { stores: 'plain' }), { persistence: forgetful });
    const hardened: Play = (stage) => {
      stage.apart(['publisher'], 'none');
      published(stage);
      hardenAs(stage, 'A', 0, 4);
    };
    expect(searcher.play(hardened)).toMatchObject({ rule: 'right descriptors' });
  });

  it('a session that does not tell of which file it is', () => {
    const [, setup, durability] = generations[2] as (typeof generations)[0];
    const bootAlone: typeof keepsReady = (region, last, now, epoch) =>
      keepsReady(region, last, { ...now, ...last, boot: now.boot }, epoch);
    expect(new Generations(setup, durability, undefined, bootAlone).run(3, 3)).toMatchObject({
      rule: 'right descriptors',
    });
  });

  it('DURABLE that recovery makes of what is on its way to the media, and does not bring it there', () => {
    const open: Open = (region, control, isTrusted, now) => {
      ChunkMap.of(region).recover(isTrusted, true);
      recover(region, isTrusted);
      beginSession(region, control, now);
    };
    for (const [, setup, durability] of generations.filter((_, index) => index % 2 === 0)) {
      expect(new Generations(setup, durability, open).run(3, 3)).toMatchObject({ rule: 'durable is kept' });
    }
  });

  it('a session that begins before the words of recovery are on the media', () => {
    const open: Open = (region, control, isTrusted, now) => {
      const { persistence } = region;
      recover(region, isTrusted);
      beginSession(Object.create(region, { persistence: { value: undefined } }), control, now);
      persistence?.persist(region.controlLines, 0, region.layout.processes);
    };
    const [, setup, durability] = generations[0] as (typeof generations)[0];
    expect(new Generations(setup, durability, open).run(3, 3)).toMatchObject({ rule: 'durable is kept' });
  });

  it('a session that is written down before recovery', () => {
    const open: Open = (region, control, isTrusted, now) => {
      const { uuid, epoch, layout } = region;
      writeSession(control, layout, now);
      const [low, high] = epochWords(uuid, epoch);
      Atomics.store(new BigInt64Array(control.buffer, epochExtent.offset, 1), 0, (BigInt(high) << 32n) | BigInt(low));
      recover(region, isTrusted);
      beginSession(region, control, now);
    };
    const [, setup, durability] = generations[2] as (typeof generations)[0];
    expect(new Generations(setup, durability, open).run(3, 3)).toMatchObject({ rule: 'right descriptors' });
  });

  it('an epoch that is stored in two halves', () => {
    const open: Open = (region, control, isTrusted, now) => {
      recover(region, isTrusted);
      const words = epochWords(region.uuid, region.epoch);
      for (const [half, word] of words.entries())
        Atomics.store(region.control, epochExtent.offset / 4 + half, word | 0);
      beginSession(region, control, now);
    };
    const [, setup, durability] = generations[1] as (typeof generations)[0];
    expect(new Generations(setup, durability, open).run(2, 2)).toMatchObject({ rule: 'header' });
  });

  it.each([
    ['an old region', 'msync', 512],
    ['an empty file', 'msync', 512],
    ['garbage', 'dax-sync', 64],
  ] as const)('a magic number that is written first: %s (%s)', (site, durability, loss) => {
    const magicFirst: typeof writeControl = (writer, header, layout, isEmpty) => {
      writer.resize();
      writer.write(header.slice(0, 8), 0);
      writer.persist();
      if (!isEmpty) writer.write(new Uint8Array(layout.controlSizeBytes - 8), 8);
      writer.write(header.subarray(8), 8);
      writer.persist();
    };
    expect(makingFault(site, durability, loss, magicFirst)).toMatch(/neither what it was nor whole|file of zeros/);
  });

  it.each([
    ['marking', 0, 'an empty file', 'file of zeros'],
    ['marking', 0, 'an old region', 'neither what it was nor whole'],
    ['all but the magic number', 1, 'an old region', 'neither what it was nor whole'],
  ] as const)('nothing brought to the media behind %s (fsync %i, %s)', (_, skipped, site, wanted) => {
    let calls = 0;
    const forgetful = (sound: ControlWriter): ControlWriter => ({
      ...sound,
      persist() {
        if (calls++ !== skipped) sound.persist();
      },
    });
    expect(makingFault(site, 'msync', 512, writeControl, forgetful)).toMatch(wanted);
  });
});
