/**
 * Asking the media to keep something, where it may refuse: by msync, whose errors the kernel tells once for each open file and
 * then counts the lost pages as written. All threads of a process share one open file, so an error that is about one thread's
 * pages may be told to another. Hence
 *
 *   - one thread of a process asks at a time, and what it is told it writes down before the next one asks;
 *   - who was told of no error looks whether one was written down; only then has it succeeded;
 *   - after an error nothing counts as kept any more, in any process, until the file is opened with nobody in it. Then READY is
 *     not trusted either; see session.ts.
 *
 * A thread that dies while it asks may have been told an error: whoever takes its place writes one down.
 */
import { constants } from 'node:os';
import { orderWord } from './layout.ts';
import { isThreadDead, type ThreadIdentity, thisThread } from './threads.ts';

/** How often one who waits for its turn looks whether the one before it lives. */
const lookAroundMs = 50;
/** The word of whose turn it is: thread id (22 bits, the kernel's limit), and what of its start time fits beside it. */
const tidBits = 22;
const startModulus: number = 2 ** 9;

/** See the top of the file. One per region and thread. */
export class Media {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #errno: number;
  readonly #orders: Int32Array<SharedArrayBuffer>;
  /** This thread in the word of whose turn it is. */
  #me: number | undefined;

  /** @param errno index in `control` of the word that errors are written down in. @param orders the process's own words. */
  constructor(control: Int32Array<SharedArrayBuffer>, errno: number, orders: Int32Array<SharedArrayBuffer>) {
    this.#control = control;
    this.#errno = errno;
    this.#orders = orders;
  }

  /** Positive errno with which the media has refused to keep something, else 0. */
  get errno(): number {
    // acquire: pairs with the exchange in #writeDown
    return Atomics.load(this.#control, this.#errno);
  }

  /** Calls `ask`, which returns 0 or a positive errno, in its turn. @returns 0 when all is kept that ever was to be */
  keep(ask: () => number): number {
    const isTaken = this.#take();
    try {
      const errno = ask();
      if (errno !== 0) this.#writeDown(errno);
      return this.errno;
    } finally {
      if (isTaken) this.#release();
    }
  }

  #release(): void {
    // release: pairs with the exchange in #take
    Atomics.store(this.#orders, orderWord.media, 0);
    // pairs with the wait in #take
    Atomics.notify(this.#orders, orderWord.media, 1);
  }

  /** @returns false when it is this thread's turn already: `ask` has asked once more */
  #take(): boolean {
    this.#me ??= wordOf(thisThread());
    for (;;) {
      // acquire: pairs with the store in keep
      const holder: number = Atomics.compareExchange(this.#orders, orderWord.media, 0, this.#me);
      if (holder === 0) return true;
      if (holder === this.#me) return false;
      // pairs with the notify in keep
      Atomics.wait(this.#orders, orderWord.media, holder, lookAroundMs);
      if (!isHolderDead(holder)) continue;
      // acquire, as above; of several who wait one takes it over
      if (Atomics.compareExchange(this.#orders, orderWord.media, holder, this.#me) !== holder) continue;
      this.#writeDown(constants.errno.EIO);
      return true;
    }
  }

  #writeDown(errno: number): void {
    // release: pairs with the load in errno; the first one stays
    Atomics.compareExchange(this.#control, this.#errno, 0, errno);
  }
}

/** Never 0: a thread that cannot be told from others has a start time, and is never taken for dead. */
function wordOf({ tid, startTicks }: ThreadIdentity): number {
  return tid === 0 ? 1 << tidBits : tid | ((startTicks % startModulus) << tidBits);
}

function isHolderDead(word: number): boolean {
  const tid = word & (2 ** tidBits - 1);
  return isThreadDead({ tid, startTicks: word >>> tidBits }, startModulus);
}
