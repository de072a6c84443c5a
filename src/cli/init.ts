/** `vmemmap init`: reads or simulates a machine, builds its memmap, faults meanwhile, verifies, and reports. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { ProfileName } from '../descriptor/profiles.ts';
import { profiles } from '../descriptor/profiles.ts';
import { VmemmapError } from '../errors.ts';
import { type MachineOptions, measureInit } from '../measure.ts';
import type { InitReport } from '../observe/init-report.ts';
import { formatReport } from '../observe/report.ts';
import { bounds, checkBacking, checkShareTails, defaults } from '../options.ts';
import type { ChunkPages, PolicyName } from '../plan.ts';
import { policies } from '../policy/policies.ts';
import { type BackingName, backingNames } from '../region/backing.ts';
import { type Durability, durabilities } from '../region/durability.ts';
import { Bars } from './bars.ts';
import {
  addMachineOptions,
  addMovableOption,
  type MachineFlags,
  type MovableFlags,
  machineOf,
} from './machine-options.ts';

interface InitFlags extends MachineFlags, MovableFlags {
  shareTails?: boolean;
  backing?: BackingName;
  file?: string;
  durability?: Durability;
  rebuild?: boolean;
  policy: PolicyName;
  threads?: number;
  faults: number;
  seed: number;
  chunkPages?: ChunkPages;
  profile: ProfileName;
  poison?: boolean;
  verify?: boolean;
  json?: boolean;
}

/** Faults are kept in memory to sort their latencies. */
const faultsMax = 10_000_000;
/** Seeds have 32 bits. */
const seedMax: number = 2 ** 32 - 1;

/** Reads a whole number within bounds, which are checked here so that what is typed wrong is told as such. */
function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Defines the command. */
export function initCommand(): Command {
  const command = new Command('init').description('build the memmap of a machine, and tell how it went');
  return addMovableOption(addMachineOptions(command))
    .addOption(
      new Option('--backing <NAME>', 'where the descriptors live')
        .choices(backingNames)
        .default(undefined, `${defaults.backing}; with --file the kind of file that it is`),
    )
    .option('--file <PATH>', 'the file of the backing file, which is made if need be, or the device of devdax')
    .addOption(
      new Option('--durability <NAME>', 'with --file: what must be had')
        .choices(durabilities)
        .default(undefined, 'the best that the file offers'),
    )
    .option('--rebuild', 'with --file: start over, and lose what the file holds')
    .option('--share-tails', 'store the equal tail descriptors of device-dax in units of 2 MiB or 1 GiB once')
    .addOption(
      new Option('--policy <NAME>', 'when chunks are initialized')
        .choices(Object.keys(policies))
        .default(defaults.policy),
    )
    .option(
      '--threads <N>',
      'worker threads per node (default: one per CPU of the node)',
      wholeNumber(...bounds.threadsPerNode),
    )
    .option('--faults <N>', 'random foreground faults while the background runs', wholeNumber(0, faultsMax), 0)
    .option('--seed <N>', 'seed of the random faults', wholeNumber(0, seedMax), 1)
    .option('--chunk-pages <N>', 'pages in a chunk, or 1/1024 of each range (default: 4096)', (text) =>
      text === '1/1024' ? text : wholeNumber(...bounds.chunkPages)(text),
    )
    .addOption(
      new Option('--profile <NAME>', 'the kernel whose descriptors are written')
        .choices(Object.keys(profiles))
        .default(defaults.profile),
    )
    .option('--poison', 'fill descriptors with ones until they are initialized, as debug kernels do')
    .option('--verify', 'compare every descriptor with what it should be')
    .option('--json', 'print one JSON object on stdout and nothing else')
    .addHelpText(
      'after',
      '\nDescriptors take 1/64 of the memory that they describe.\n\nExamples:\n  vmemmap init --detect --verify\n  vmemmap init --simulate 2x32GiB:pmem --faults 2000 --json\n  vmemmap init --for /dev/pmem0 --file /mnt/pmem0/memmap',
    )
    .allowExcessArguments(false)
    .action(runInit);
}

function openOptions(flags: InitFlags, command: Command, signal: AbortSignal): MachineOptions {
  const options: MachineOptions = { policy: flags.policy, profile: flags.profile, signal };
  if (flags.backing !== undefined) options.backing = flags.backing;
  if (flags.file !== undefined) options.file = flags.file;
  if (flags.durability !== undefined) options.durability = flags.durability;
  if (flags.rebuild !== undefined) options.rebuild = flags.rebuild;
  if (flags.shareTails !== undefined) options.shareTails = flags.shareTails;
  if (flags.movable !== undefined) options.movable = flags.movable;
  if (flags.threads !== undefined) options.threadsPerNode = flags.threads;
  if (flags.chunkPages !== undefined) options.chunkPages = flags.chunkPages;
  if (flags.poison !== undefined) options.poison = flags.poison;
  refuseContradiction(options, command);
  options.topology = machineOf(flags, command);
  return options;
}

/** What was typed wrong is told as such, before a machine is read for it. */
function refuseContradiction(options: MachineOptions, command: Command): void {
  try {
    checkBacking(options);
    checkShareTails(options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // thrown from here an InvalidArgumentError would end the command without a word: only parsers' are told by commander
    command.error(`error: Options contradict each other: ${error.message}.`);
  }
}

function isReport(received: unknown): received is InitReport {
  return typeof received === 'object' && received !== null && 'pagesPerSecond' in received;
}

async function runInit(flags: InitFlags, command: Command): Promise<void> {
  const abort = new AbortController();
  const again = flags.file === undefined ? 'run it again' : `${flags.file} keeps what is done; run it again to go on`;
  const interrupted = new VmemmapError('CANCELLED', `interrupted before everything was initialized; ${again}`);
  const interrupt = (): void => abort.abort(interrupted);
  process.once('SIGINT', interrupt);
  const bars = new Bars(process.stderr);
  const print = (report: InitReport): void => {
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : formatReport(report));
  };
  try {
    const report = await measureInit(openOptions(flags, command, abort.signal), {
      faults: flags.faults,
      seed: flags.seed,
      verify: flags.verify ?? false,
      onProgress: (progress) => bars.show(progress),
    });
    bars.stop();
    print(report);
  } catch (error) {
    bars.stop();
    // wrong descriptors are a failure, as are those that cannot be read, but what was found out is worth printing
    if (error instanceof VmemmapError && isReport(error.received)) print(error.received);
    throw error;
  } finally {
    process.removeListener('SIGINT', interrupt);
  }
}
