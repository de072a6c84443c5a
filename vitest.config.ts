/** How the tests run: against the compiled library in dist, each file in a process of its own. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A crash in native code then takes one file down and not the run; worker threads of the library start as in earnest.
    pool: 'forks',
    // Node.js loads dist itself: what is tested is what is published.
    server: { deps: { external: [/\/dist\//] } },
    globalSetup: './test/global-setup.ts',
    reporters: ['default', './test/reporter.ts'],
    // Starting a pool of threads takes about 0.1 s; the rest is for a machine that is busy with other things.
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
