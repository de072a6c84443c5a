/** How a run in the testbed ends when the script has not: the time is over, the kernel panics, the power is cut, packages are missing. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runNode } from '../support/child.js';
import { boot } from './machine.mjs';
import { bootTimeoutMs, named, skipReason } from './skip.js';

const run = fileURLToPath(new URL('run.mjs', import.meta.url));
const script = (name: string) => fileURLToPath(new URL(`guest/${name}`, import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vmemmap-endings-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

// elsewhere the machine itself is what is wrong
it.runIf(process.arch === 'x64')('names the packages that are missing, and ends with a status of its own', async () => {
  const nothing = { PATH: folder, XDG_CACHE_HOME: folder };
  const { status, stdout, stderr } = await runNode([run, script('panic.sh')], { env: nothing });
  expect(stderr).toMatch(/^ {2}apt-get install --no-install-recommends qemu-system-x86 busybox-static cpio .*numactl/m);
  expect(stderr).toContain('linux-image-amd64');
  expect(stdout).toBe('');
  expect(status).toBe(77);
});

it('says how it is used when no script is named', async () => {
  const { status, stderr } = await runNode([run, '--timeout', '10']);
  expect(stderr).toContain('no script was named');
  expect(status).toBe(2);
});

describe.skipIf(skipReason !== undefined)(named('a machine that does not come to its end'), () => {
  it('is killed when the time is over, and leaves nothing behind', async () => {
    const env = { TMPDIR: folder };
    const { status, stderr } = await runNode([run, '--timeout', '0.5', script('panic.sh')], { env });
    expect(stderr).toContain('vmemmap: the guest has not begun the script in 0.5 s; the machine was killed');
    expect(status).toBe(124);
    expect(readdirSync(folder)).toEqual([]);
  });

  it(
    "tells a panic of the guest's kernel",
    async () => {
      const env = { TMPDIR: folder };
      const { status, stdout, stderr } = await runNode([run, '--timeout', '240', script('panic.sh')], { env });
      expect(stdout).toBe('before the panic\n');
      expect(stderr).toMatch(/^vmemmap: the machine ended while the script ran: Kernel panic - .*sysrq/m);
      expect(status).toBe(125);
      expect(readdirSync(folder)).toEqual([]);
    },
    bootTimeoutMs,
  );

  it(
    'keeps in the file what was stored in persistent memory before a power cut, and shows its memory to the monitor',
    async () => {
      const pmemFile = join(folder, 'pmem');
      const machine = boot({ command: ['/bin/bash', script('store.sh')], pmemFile, pmemBytes: 2 ** 30 });
      let said = '';
      machine.stderr.resume();
      for await (const bytes of machine.stdout) {
        said += bytes;
        if (said.includes('stored\n')) break;
      }
      // Where the NVDIMM lies in the guest's memory: the script tells. QEMU's own word beside the file's.
      const address = /^at (0x[0-9a-f]+)$/m.exec(said)?.[1];
      const seen = join(folder, 'seen');
      await machine.monitor(`pmemsave ${address} 16 "${seen}"`);
      expect(readFileSync(seen, 'utf8')).toBe('before the cut!\n');
      machine.kill();
      expect(await machine.ended).toMatchObject({ started: true, status: undefined });
      expect(readFileSync(pmemFile).subarray(0, 16).toString()).toBe('before the cut!\n');
    },
    bootTimeoutMs,
  );
});
