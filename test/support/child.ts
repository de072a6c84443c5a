/** Runs Node.js programs, such as the command line, as a script would: another process, its streams not terminals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The compiled command line. */
export const cliFile: string = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

/** How a process ended, and what it said. */
export interface Ended {
  /** Exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What may be different about a run. */
export interface RunOptions {
  /** Environment beside that of the tests. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called as soon as the process is there; what it throws fails the run. */
  readonly meanwhile?: (child: ChildProcess) => Promise<void>;
}

/** Runs Node.js and resolves when the process has ended by itself and closed its streams. */
export async function runNode(words: readonly string[], { env, meanwhile }: RunOptions = {}): Promise<Ended> {
  const child = spawn(process.execPath, words, {
    // no warnings of the tests' own options, and nothing to read
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  try {
    await meanwhile?.(child);
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    throw error;
  }
  return ended;
}

/** Runs the command line. */
export function runCli(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return runNode([cliFile, ...words], options);
}
