/**
 * Waiting for a word that a thread of another process changes: Atomics.wait and Atomics.notify know only their own process,
 * so this is the kernel's futex, on memory that processes share (futex(2), without FUTEX_PRIVATE_FLAG).
 *
 * Waking is a system call, and hardly ever is anybody there to be woken. So whoever is about to sleep counts itself in one
 * word of the region first, and whoever has changed a word looks at that: the one stores its count and then compares the word
 * (the kernel does, before it lets it sleep), the other stores the word and then looks at the count, all sequentially
 * consistent, so one of them sees the other. A sleeper that is killed leaves its count behind, which costs system calls, and
 * no more, until the file is opened with nobody in it.
 */
import { constants } from 'node:os';
import { invariant } from '../errors.ts';
import { addon } from '../native.ts';

const timedOut: number = constants.errno.ETIMEDOUT;

/** See the top of the file. */
export class ProcessWaits {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #waiters: number;

  /** @param waiters index of the word that counts who sleeps. */
  constructor(words: Int32Array<SharedArrayBuffer>, waiters: number) {
    this.#words = words;
    this.#waiters = waiters;
  }

  /** Blocks while the word at index `at` is `value`, at most `ms` milliseconds. False when the time was over. */
  wait(at: number, value: number, ms: number): boolean {
    invariant(addon !== undefined, 'who has a file has the addon');
    // sequentially consistent, and that is needed: partner of the load in wake
    Atomics.add(this.#words, this.#waiters, 1);
    const errno = addon.futexWait(this.#words, at, value, ms);
    // relaxed would do
    Atomics.sub(this.#words, this.#waiters, 1);
    return errno !== timedOut;
  }

  /** Wakes whoever waits for the word at index `at`, which the caller has changed. */
  wake(at: number): void {
    // sequentially consistent, and that is needed: partner of the add in wait
    if (Atomics.load(this.#words, this.#waiters) !== 0) addon?.futexWake(this.#words, at);
  }
}
