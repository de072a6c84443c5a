#!/usr/bin/env node
/** The command line: commands, exit statuses, and how errors are told. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { VmemmapError } from '../errors.ts';
import { harmless } from '../observe/report.ts';
import { compareCommand } from './compare.ts';
import { initCommand } from './init.ts';
import { inspectCommand } from './inspect.ts';
import { topologyCommand } from './topology.ts';
import { verifyCommand } from './verify.ts';

/** Exit statuses of the contract. */
const exitStatus = { done: 0, failed: 1, wrongUsage: 2 } as const;

/** Codes of errors that point at a place in a file. */
const pointing: ReadonlySet<string> = new Set(['IOMEM_SYNTAX', 'DMESG_SYNTAX', 'NDCTL_SYNTAX']);

/** What runs when no command is named: the main job on this machine. */
const mainJob: readonly string[] = ['init', '--faults', '1000', '--verify'];

function version(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Builds the command line. */
function program(): Command {
  return new Command('vmemmap')
    .description(
      "Linux's memmap in user space: every page descriptor of a machine, initialized in parallel, any usable at once",
    )
    .version(version())
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', `\nWithout a command: ${mainJob.join(' ')}`)
    .addCommand(initCommand().exitOverride())
    .addCommand(inspectCommand().exitOverride())
    .addCommand(topologyCommand().exitOverride())
    .addCommand(compareCommand().exitOverride())
    .addCommand(verifyCommand().exitOverride());
}

/** An error in one line. Names of files may hold anything: what would break the line or move the cursor is made harmless. */
function oneLine({ code, message }: NodeJS.ErrnoException | VmemmapError): string {
  const lines = message.split('\n');
  // the last three lines show the place in the text, which the first one names by line and column
  const told = pointing.has(code ?? '') ? lines.slice(0, -3) : lines;
  return harmless(told.join('\n'));
}

/** Tells an error on stderr and returns the exit status that goes with it. */
function tell(error: unknown): number {
  // commander has told its own errors already; asking for help or the version is no failure
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.done : exitStatus.wrongUsage;
  if (error instanceof VmemmapError) {
    const isUsage = error.code === 'SPEC_SYNTAX';
    // one line for what failed; what was typed wrong is pointed at in the lines below
    process.stderr.write(`vmemmap: ${error.code}: ${isUsage ? error.message : oneLine(error)}\n`);
    return isUsage ? exitStatus.wrongUsage : exitStatus.failed;
  }
  process.stderr.write(`vmemmap: INTERNAL: ${error instanceof Error ? error.stack : String(error)}\n`);
  return exitStatus.failed;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // a reader that went away (`| head`) wants no more words
  if (error.code !== 'EPIPE') {
    process.stderr.write(`vmemmap: OUTPUT: the report could not be written: ${oneLine(error)}; write it elsewhere\n`);
  }
  process.exitCode = exitStatus.failed;
});
// nobody is left to be told
process.stderr.on('error', () => {});

const words: readonly string[] = process.argv.slice(2);
try {
  await program().parseAsync(words.length === 0 ? mainJob : words, { from: 'user' });
} catch (error) {
  process.exitCode = tell(error);
}
