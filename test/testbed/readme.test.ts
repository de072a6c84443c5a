/** The README's way from a namespace to a service, walked as it stands there. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runNode } from '../support/child.js';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
const script = fileURLToPath(new URL('guest/readme.mjs', import.meta.url));

describe.skipIf(skipReason !== undefined)(named('who follows the README on persistent memory'), () => {
  it(
    'gets a memmap of the namespace on the media, and a service that counts in it',
    async () => {
      const { status, stdout, stderr } = await runNode([run, '--timeout', '240', script]);
      expect(status, stderr).toBe(0);
      expect(stdout).toContain('vmemmap of the namespace of a device');
      expect(stdout).toMatch(/verified 1,048,576 descriptors in .*: 0 wrong/);
      expect(stdout).toContain('(durability dax-sync)');
      expect(stdout).toMatch(/1,048,576 page descriptors; chunks: 25[67] durable\nnobody has it open/);
      const services = [...stdout.matchAll(/^\d+ was used (\d+) times \(durability dax-sync\)$/gm)];
      expect(services.map(([, times]) => times)).toEqual(['1', '2']);
    },
    bootTimeoutMs,
  );
});
