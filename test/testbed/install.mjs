/** Installs what the testbed needs: Debian packages by apt-get, and the kernel into a cache. Does nothing when all is there. */
import { execFileSync } from 'node:child_process';
import { fetchKernel, findKernel } from './kernel.mjs';
import { missingPackages, whatIsMissing } from './requirements.mjs';

/** @param {readonly string[]} words */
function aptGet(...words) {
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '--non-interactive', '--preserve-env=DEBIAN_FRONTEND'];
  const [program = '', ...args] = [...asRoot, 'apt-get', ...words];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync(program, args, { env, stdio: ['ignore', 2, 2] });
}

if (whatIsMissing() !== undefined) {
  const packages = missingPackages();
  // Always: lists that are older than the mirror name versions that are gone from it.
  aptGet('update', '-qq');
  if (packages.length > 0) aptGet('install', '-y', '-qq', '--no-install-recommends', ...packages);
  if (!findKernel()) fetchKernel();
  const still = whatIsMissing();
  if (still !== undefined) {
    process.stderr.write(`vmemmap: ${still}\n`);
    process.exit(1);
  }
}
