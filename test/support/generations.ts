/** A file over several boots of its machine, whose power fails at any moment of each. */
import { isInitialized } from '../../dist/src/claims/chunk-map.js';
import { recover } from '../../dist/src/claims/recovery.js';
import { VmemmapError } from '../../dist/src/errors.js';
import { seededRandom } from '../../dist/src/observe/random.js';
import { makePlan } from '../../dist/src/plan.js';
import type { Durability, Persistence } from '../../dist/src/region/durability.js';
import { beginSession, keepsReady } from '../../dist/src/region/file-region.js';
import type { Region } from '../../dist/src/region/region.js';
import { readSession, type Session } from '../../dist/src/region/session.js';
import { decodeSuperblock, epochExtent } from '../../dist/src/region/superblock.js';
import { Expectations, type Found, Judge, search } from './crash-judge.js';
import { drainAs, type Play, persistIfItCan, type Setup, seed, seen } from './crash-plays.js';
import type { Image } from './losses.js';
import { freshParts, type Ground, groundOf, Stage } from './media.js';
import { deadThread, machine, ram, upTo } from './regions.js';

/** Opens the file of a stage as the library does. Nobody sees its chunks before that has ended. */
export type Open = (region: Region, control: Uint8Array<SharedArrayBuffer>, isTrusted: boolean, now: Session) => void;

const soundOpen: Open = (region, control, isTrusted, now) => {
  recover(region, isTrusted);
  beginSession(region, control, now);
};

/** A session of a file in a boot with this number. */
export function sessionIn(boot: number, epoch: number): Session {
  return { boot: Buffer.alloc(16, boot).toString('hex'), device: 0x801n, inode: 4711n, mount: 29n, epoch };
}

/** Sessions of copies of a file in the same boot, and of the file itself in the next one. */
export function others(now: Session): Session[] {
  const { boot, device, inode, mount } = now;
  const next = sessionIn(Number.parseInt(boot.slice(0, 2), 16) + 1, now.epoch);
  return [next, { ...now, device: device + 1n }, { ...now, inode: inode + 1n }, { ...now, mount: mount + 1n }];
}

/** What one boot finds, and what holds then. */
interface Origin {
  readonly parts: readonly Uint32Array[];
  readonly expected: Expectations | undefined;
}

/** What is found out in one boot. */
interface BootSearch {
  readonly boot: number;
  readonly seen: Set<string>;
  /** Images of which nothing was wrong, and those of them that the next boot begins with. */
  sound: number;
  readonly next: Origin[];
  readonly width: number;
}

/** A file over several boots of its machine: opened, used, lost with the power at any moment, opened again. */
export class Generations {
  readonly ground: Ground;
  readonly #open: Open;
  readonly #keepsReady: typeof keepsReady;
  readonly #setup: Setup;
  readonly #random: () => number;
  readonly #epochs: { bytes: Buffer; epoch: number }[] = [];
  /** So that no change of a boot is like another. */
  #changes = 0;

  constructor(
    setup: Omit<Setup, 'ground'>,
    durability: Persistence['durability'],
    open: Open = soundOpen,
    trusts: typeof keepsReady = keepsReady,
  ) {
    // as a plan cuts them: the border of a pageblock makes two chunks of each range
    const memory = machine(...upTo(3).map((nid) => ram(nid * 1024 + 510, 4, nid)));
    this.ground = groundOf(makePlan(memory, { profile: 'linux-6.1', chunkPages: 512 }), durability);
    this.#setup = { ...setup, ground: this.ground };
    this.#open = open;
    this.#keepsReady = trusts;
    this.#random = seededRandom(seed);
  }

  /** @param width how many images of one boot are opened in the next. */
  run(boots: number, width: number): Found | undefined {
    let origins: Origin[] = [{ parts: freshParts(this.ground).map(({ words }) => words), expected: undefined }];
    for (const boot of upTo(boots)) {
      const next: Origin[] = [];
      const search: BootSearch = { boot: boot + 1, seen: new Set(), sound: 0, next, width };
      for (const origin of origins) {
        for (const { play, steps, isTriedAtEach } of this.#plays) {
          // in the first boot all is still to be done
          for (const step of boot === 0 && isTriedAtEach ? upTo(steps) : [this.#below(steps)]) {
            const found = this.#boot(origin, search, (stage) => play(stage, search.boot, step));
            if (found) return { ...found, where: `boot ${boot}, step ${step}; ${found.where}` };
          }
        }
      }
      origins = next;
    }
    return undefined;
  }

  #boot({ parts: image, expected: from }: Origin, bootSearch: BootSearch, play: Play): Found | undefined {
    const parts = freshParts(this.ground);
    for (const [part, { words }] of parts.entries()) words.set(image[part] as Uint32Array);
    const stage = new Stage(this.ground, parts, this.#setup.stores, {}, epochIn(parts[0]?.words as Uint32Array) + 1);
    this.#changes = 0;
    stage.record(() => play(stage));
    const judge = new Judge(this.ground, recover, (region, control, crash) => {
      const epoch = this.#decodedEpoch(control);
      const last = readSession(control, this.ground.layout);
      const now = sessionIn(bootSearch.boot, epoch + 1);
      const asked = crash === 'process' ? [now] : others(now);
      return asked.some((session) => this.#keepsReady(region, last, session, epoch));
    });
    const { session, processes } = this.ground.layout;
    const { found, made } = search(stage, judge, {
      ...this.#setup,
      random: this.#random,
      seen: bootSearch.seen,
      read: [
        [0, 32],
        [session / 4, processes / 4],
      ],
      expected: new Expectations(judge.targets, from, image),
      onSound: (sound, expected) => this.#keep(sound, expected, judge, bootSearch),
    });
    seen.made += made;
    seen.recovered += judge.judged;
    return found;
  }

  /** Any image is as likely as any other to be among those that are opened in the next boot. */
  #keep(image: Image, expected: Expectations, judge: Judge, bootSearch: BootSearch): void {
    const { next, width } = bootSearch;
    bootSearch.sound++;
    const place = next.length < width ? next.length : this.#below(bootSearch.sound);
    if (place >= width) return;
    const parts = image.parts.map((words) => Uint32Array.from(words));
    next[place] = { parts, expected: new Expectations(judge.targets, expected, parts) };
  }

  /** Each with a step before which somebody dies. */
  readonly #plays: readonly {
    play: (stage: Stage, boot: number, step: number) => void;
    steps: number;
    isTriedAtEach: boolean;
  }[] = [
    {
      // one session, in which a thread dies, and a user changes what is there
      steps: 60,
      isTriedAtEach: false,
      play: (stage, boot, step) => {
        this.#openAs(stage, 'opener', boot);
        stage.killBefore('A', step);
        stage.before('B', this.#below(60), () => this.#change(stage, boot));
        drainAs(stage, 'A', deadThread);
        this.#change(stage, boot);
        drainAs(stage, 'B');
        this.#change(stage, boot);
      },
    },
    {
      // two sessions: the processes of the first one have died, the kernel and what it has of the file went on
      steps: 60,
      isTriedAtEach: true,
      play: (stage, boot, step) => {
        this.#openAs(stage, 'opener', boot);
        stage.killBefore('A', step);
        drainAs(stage, 'A', deadThread);
        this.#change(stage, boot);
        this.#reopenAs(stage, 'second', boot);
        this.#change(stage, boot);
        drainAs(stage, 'B');
        this.#change(stage, boot);
      },
    },
    {
      // the first opener dies in the middle of it
      steps: 16,
      isTriedAtEach: true,
      play: (stage, boot, step) => {
        stage.killBefore('opener', step);
        this.#openAs(stage, 'opener', boot);
        this.#reopenAs(stage, 'second', boot);
        this.#change(stage, boot);
        drainAs(stage, 'B');
      },
    },
    {
      // the second one, who wants no durability, finds what was on the way to the media; a third one joins it, who does
      steps: 60,
      isTriedAtEach: true,
      play: (stage, boot, step) => {
        this.#openAs(stage, 'opener', boot);
        stage.killBefore('A', step);
        drainAs(stage, 'A', deadThread);
        this.#change(stage, boot);
        this.#reopenAs(stage, 'second', boot, 'none');
        this.#change(stage, boot);
        stage.apart(['B', 'user']);
        this.#change(stage, boot);
        drainAs(stage, 'B');
        this.#change(stage, boot);
      },
    },
  ];

  /** Decoding takes longer than all else, and there are few headers. */
  #decodedEpoch(control: Uint8Array): number {
    const header = control.subarray(0, this.ground.header.length);
    const known = this.#epochs.find(({ bytes }) => bytes.equals(header));
    if (known) return known.epoch;
    const { epoch } = decodeSuperblock(control, refuse);
    this.#epochs.push({ bytes: Buffer.from(header), epoch });
    return epoch;
  }

  #openAs(stage: Stage, actor: string, boot: number): void {
    const control = new Uint8Array(stage.region.control.buffer);
    const now = sessionIn(boot, stage.region.epoch);
    const last = readSession(control, this.ground.layout);
    const isTrusted = this.#keepsReady(stage.region, last, now, epochIn(stage.region.controlLines));
    stage.as(actor, () => stage.opening(() => this.#open(stage.region, control, isTrusted, now)));
  }

  #reopenAs(stage: Stage, actor: string, boot: number, durability: Durability = this.ground.durability): void {
    stage.reopen(epochIn(stage.region.controlLines) + 1, durability);
    this.#openAs(stage, actor, boot);
  }

  /** A user changes some of what is initialized, and persists some of that. */
  #change(stage: Stage, boot: number): void {
    stage.as('user', () => {
      const chunks = stage.chunks();
      for (const { firstChunk, chunks: count, startPfn } of stage.region.ranges) {
        for (const chunk of upTo(count)) {
          if (!isInitialized(chunks.load(firstChunk + chunk)) || this.#random() < 0.5) continue;
          const pfn = startPfn + chunk * 2 + this.#below(2);
          stage.change(pfn, 6, ++this.#changes, boot);
          if (this.#random() < 0.5) persistIfItCan(stage, chunks, pfn);
        }
      }
    });
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

function refuse(problem: string, what: string): VmemmapError {
  return new VmemmapError('FILE_DAMAGED', `${problem}: ${what}`);
}

function epochIn(control: Uint32Array): number {
  return control[epochExtent.offset / 4] as number;
}
