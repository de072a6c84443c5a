/** `vmemmap inspect`: what the file of a memmap holds. */
import { Command, InvalidArgumentError } from 'commander';
import { inspectDescriptor, inspectFile } from '../observe/inspect.ts';
import { formatDescriptor, formatInspection } from '../observe/report.ts';
import { pfnLimit } from '../physical/geometry.ts';

/** A pfn as people write it: decimal, or hexadecimal with 0x. */
function pfn(text: string): number {
  const value = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value < pfnLimit) return value;
  throw new InvalidArgumentError(`It must be a pfn below 0x${pfnLimit.toString(16)}, such as 4096 or 0x1000.`);
}

/** Defines the command. */
export function inspectCommand(): Command {
  return new Command('inspect')
    .description('tell what the file of a memmap holds, without changing it, whoever has it open')
    .argument('<FILE>', 'a file that init --file has made, or a device-dax device')
    .option('--pfn <N>', 'one descriptor instead, initialized or not', pfn)
    .option('--json', 'print one JSON object on stdout and nothing else')
    .allowExcessArguments(false)
    .action(async (file: string, flags: { pfn?: number; json?: boolean }) => {
      const text =
        flags.pfn === undefined
          ? told(await inspectFile(file), flags.json, formatInspection)
          : told(await inspectDescriptor(file, flags.pfn), flags.json, formatDescriptor);
      process.stdout.write(text);
    });
}

function told<T>(found: T, asJson: boolean | undefined, format: (found: T) => string): string {
  return asJson ? `${JSON.stringify(found)}\n` : format(found);
}
