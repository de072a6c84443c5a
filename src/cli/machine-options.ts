/** The options that say which machine a command is about: told once, for all commands. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { detect, fromIomemFile, readAllowedCpus } from '../physical/detect.ts';
import { fromDmesgFile } from '../physical/dmesg/dmesg.ts';
import { physicalAddressBits } from '../physical/geometry.ts';
import { fromDevice } from '../physical/namespace.ts';
import { fromNdctlFile } from '../physical/ndctl.ts';
import { type PlatformName, platforms } from '../physical/platforms.ts';
import { bytesOfSize, simulate } from '../physical/simulate.ts';
import type { Topology } from '../physical/topology.ts';

/** What commander makes of the options that {@link addMachineOptions} adds. */
export interface MachineFlags {
  detect?: boolean;
  simulate?: string;
  iomem?: string;
  dmesg?: string;
  ndctl?: string;
  for?: string;
  platform?: PlatformName;
}

/** What commander makes of the option that {@link addMovableOption} adds. */
export interface MovableFlags {
  /** Bytes, at most 2^52; undefined where nothing was said. */
  movable?: number;
}

/** Sources that cannot be had together; only a listing of ndctl goes with the addresses of an iomem. */
const sources = ['detect', 'simulate', 'iomem', 'dmesg', 'ndctl', 'for'] as const;

function rivalsOf(source: (typeof sources)[number]): string[] {
  const friends = source === 'iomem' ? ['ndctl'] : source === 'ndctl' ? ['iomem'] : [];
  return sources.filter((other) => other !== source && !friends.includes(other));
}

/** Adds the options that name a machine; without any of them it is the one that the command runs on. */
export function addMachineOptions(command: Command): Command {
  const source = (name: (typeof sources)[number], flags: string, what: string): Command =>
    command.addOption(new Option(flags, what).conflicts(rivalsOf(name)));
  source('detect', '--detect', "read this machine's own memory map (the default)");
  source(
    'simulate',
    '--simulate <SPEC>',
    'a simulated machine: COUNTxSIZE[:ram|:pmem|:devdax|:devdax1g],… one node each',
  );
  source('iomem', '--iomem <FILE>', 'a machine from a file in the format of /proc/iomem');
  source('dmesg', '--dmesg <FILE>', 'a machine from its boot log, as dmesg or journalctl -k print it');
  source(
    'ndctl',
    '--ndctl <FILE>',
    'persistent memory as ndctl list or daxctl list print it, with --iomem at its addresses',
  );
  source('for', '--for <DEVICE>', 'the persistent memory of a namespace: /dev/pmem0, /dev/dax0.0');
  return command.addOption(
    new Option('--platform <NAME>', 'architecture and page size of a machine that is not this one')
      .choices(Object.keys(platforms))
      .default(undefined, 'what its boot log tells, else x86-64')
      .conflicts(['detect', 'for']),
  );
}

/** Adds the option for memory that is to be movable, which only commands that plan zones can heed. */
export function addMovableOption(command: Command): Command {
  return command.option('--movable <SIZE>', 'RAM for the zone Movable, as movablecore=SIZE: 4GiB, 512M', (text) => {
    const bytes = bytesOfSize(text);
    if (bytes !== undefined && bytes <= 2 ** physicalAddressBits) return bytes;
    throw new InvalidArgumentError(`It must be a size such as 4GiB or 512M, at most 4 PiB.`);
  });
}

/**
 * The machine that the flags name.
 * @throws VmemmapError with the code of its reader; what was typed wrong ends the command with the status for wrong usage.
 */
export function machineOf(flags: MachineFlags, command: Command): Topology {
  const { platform } = flags;
  const named = platform === undefined ? {} : { platform };
  if (flags.simulate !== undefined) return simulate(flags.simulate, readAllowedCpus(), named);
  if (flags.ndctl !== undefined)
    return fromNdctlFile(flags.ndctl, readAllowedCpus(), { ...named, iomemPath: flags.iomem });
  if (flags.iomem !== undefined) return fromIomemFile(flags.iomem, readAllowedCpus(), named);
  if (flags.dmesg !== undefined) return fromDmesgFile(flags.dmesg, readAllowedCpus(), named);
  if (platform !== undefined) {
    command.error(
      'error: --platform goes with --simulate, --iomem, --dmesg or --ndctl: this machine knows what it is.',
    );
  }
  return flags.for === undefined ? detect() : fromDevice(flags.for);
}
