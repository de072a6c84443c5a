/** Claim, fault and drain leave nothing behind for the garbage collector. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../support/allocation.mjs', import.meta.url));

/** Half of the smallest object that V8 can make: less than this per operation is no object per operation. */
const bytesMax = 8;

describe.each(['on', 'off'])('with the addon %s', (addon) => {
  it('claim, fault and drain allocate nothing on the JS heap after warm-up, and the measurement would see it', () => {
    const output = execFileSync(
      process.execPath,
      ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64', script],
      { encoding: 'utf8', env: { ...process.env, VMEMMAP_ADDON: addon } },
    );
    const bytesPerOperation = Object.entries(JSON.parse(output) as Record<string, number>);
    expect(bytesPerOperation.length).toBe(10);
    for (const [name, bytes] of bytesPerOperation) {
      if (name.startsWith('control')) expect(bytes, name).toBeGreaterThan(2 * bytesMax);
      else expect(bytes, name).toBeLessThan(bytesMax);
    }
  });
});
