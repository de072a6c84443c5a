/** Tells why tests were skipped, and ends the output with one plain line, `N passed, N failed, N skipped`, that CI reads. */
import { writeSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

export default class CountsReporter implements Reporter {
  #line: string | undefined;

  onInit(): void {
    // At the very end of the process, because other reporters and vitest itself print after the run has ended.
    process.once('exit', () => writeSync(process.stdout.fd, `${this.#line ?? '0 passed, 1 failed, 0 skipped'}\n`));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skips = new Map<string, number>();
    for (const module of modules) {
      // A file that could not be loaded, or a hook that failed, stands for the tests that therefore did not run.
      counts.failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        // Pending: the run ended before the test did.
        counts[state === 'pending' ? 'failed' : state]++;
        if (state !== 'skipped') continue;
        // The reason is the note given to skip(), or stands in the name of the test or of what it belongs to.
        const result = test.result();
        const reason = ('note' in result && result.note) || test.fullName.split(' > ')[0];
        const key = `${module.relativeModuleId}: ${reason}`;
        skips.set(key, (skips.get(key) ?? 0) + 1);
      }
    }
    for (const [reason, count] of skips) process.stdout.write(`skipped ${count} of ${reason}\n`);
    this.#line = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
  }
}
