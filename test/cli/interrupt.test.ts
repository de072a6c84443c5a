/** Ctrl-C while it works: exit status 1 and CANCELLED, in one line, and no thread that goes on. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/child.js';

/** 4 GiB of descriptors: the JavaScript kernel of one thread takes seconds. */
const machine = ['--simulate', '1x256GiB'];
const neededBytes = 2 ** 32 + 2 ** 30;
/** More than Node.js takes by itself, and a small part of all: then it works, and has not finished. */
const workingBytes = 2 ** 28;

/** Bytes that a process has in memory. */
function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

async function interruptWhenWorking(child: ChildProcess): Promise<void> {
  while (child.pid !== undefined && child.exitCode === null && residentBytes(child.pid) < workingBytes) await sleep(5);
  child.kill('SIGINT');
}

describe('SIGINT', () => {
  it.for([
    ['the background works', ['--threads', '1']],
    ['the background works and is faulted', ['--threads', '1', '--faults', '10000000']],
    ['the main thread does all the work', ['--threads', '0']],
  ] as const)('while %s ends it with CANCELLED', async ([, words], { skip }) => {
    skip(process.availableMemory() < neededBytes, 'less than 5 GiB of memory are available');
    const ended = await runCli(['init', ...machine, ...words, '--json'], {
      env: { VMEMMAP_ADDON: 'off' },
      meanwhile: interruptWhenWorking,
    });
    expect(ended).toEqual({
      status: 1,
      signal: null,
      stdout: '',
      stderr: 'vmemmap: CANCELLED: interrupted before everything was initialized; run it again\n',
    });
  });
});
