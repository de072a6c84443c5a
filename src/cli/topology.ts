/** `vmemmap topology`: the plan of a machine, as text, as JSON, and drawn. */
import { Command, InvalidArgumentError } from 'commander';
import { topologyReport } from '../observe/topology-making.ts';
import { drawTopology } from '../observe/topology-svg.ts';
import { writePicture } from '../observe/topology-svg-file.ts';
import { formatTopology } from '../observe/topology-text.ts';
import { readAllowedCpus } from '../physical/detect.ts';
import { type KernelAnswers, readAnswers } from '../physical/dmesg/answers.ts';
import { logBytesMax, readDmesg } from '../physical/dmesg/dmesg.ts';
import { pfnOfByte } from '../physical/geometry.ts';
import { planMachine } from '../physical/machine-plan.ts';
import { platformOf } from '../physical/platforms.ts';
import { readTextFile } from '../physical/text-file.ts';
import type { Topology } from '../physical/topology.ts';
import {
  addMachineOptions,
  addMovableOption,
  type MachineFlags,
  type MovableFlags,
  machineOf,
} from './machine-options.ts';

interface TopologyFlags extends MachineFlags, MovableFlags {
  release?: string;
  json?: boolean;
  svg?: string;
}

const words = `
spanned      pages from the first to the last of a zone or node, holes included
present      pages of memory, the reserved ones included
holes        spanned pages that are not present
unavailable  pages of holes that have descriptors all the same, as their section holds memory; they belong to the
             zone of the memory behind them
reserved     pages that were taken before anybody could allocate them: the kernel, a crash kernel
altmap       pages of a device that hold its own descriptors (map=dev)

Examples:
  vmemmap topology
  vmemmap topology --simulate 8x3TiB:pmem --svg machine.svg
  vmemmap topology --dmesg boot.log --json`;

/** A release as `uname -r` tells it; what it begins with decides. */
function release(text: string): string {
  if (/^\d{1,3}\.\d{1,3}(?!\d)/.test(text)) return text;
  throw new InvalidArgumentError('It must begin with the version of a kernel, such as 6.1 or 5.11.0-rc4.');
}

/** Defines the command. */
export function topologyCommand(): Command {
  const command = new Command('topology').description('tell which page frames of a machine get descriptors, and why');
  return addMovableOption(addMachineOptions(command))
    .option('--release <VERSION>', 'kernel whose rules are followed (default: the one found there, else 6.1)', release)
    .option('--svg <FILE>', 'draw the physical address space into this file, too')
    .option('--json', 'print one JSON object on stdout and nothing else')
    .addHelpText('after', words)
    .allowExcessArguments(false)
    .action(runTopology);
}

function runTopology(flags: TopologyFlags, command: Command): void {
  const { topology, answers } = readMachine(flags, command);
  const { pageSizeBytes } = platformOf(topology.platform);
  const movablePages = flags.movable === undefined ? undefined : pfnOfByte(flags.movable, pageSizeBytes);
  const plan = planMachine(topology, { release: flags.release, movablePages });
  const report = topologyReport(topology, plan, answers);
  // first: what cannot be written should not look as if it had been
  if (flags.svg !== undefined) writePicture(flags.svg, drawTopology(report));
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : formatTopology(report));
}

/** The machine, and what its kernel itself said of it where it comes from a boot log. */
function readMachine(flags: TopologyFlags, command: Command): { topology: Topology; answers?: KernelAnswers } {
  const { dmesg: file, platform } = flags;
  if (file === undefined) return { topology: machineOf(flags, command) };
  // read once: it may be a pipe
  const log = readTextFile(file, logBytesMax);
  const options = { file, platform };
  return { topology: readDmesg(log, readAllowedCpus(), options), answers: readAnswers(log, options) };
}
