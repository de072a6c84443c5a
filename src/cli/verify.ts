/** `vmemmap verify`: whether the descriptors of a file are what they should be. */
import { Command } from 'commander';
import { VmemmapError } from '../errors.ts';
import { verifyFile } from '../observe/inspect.ts';
import { formatVerified } from '../observe/report.ts';

/** Defines the command. */
export function verifyCommand(): Command {
  return new Command('verify')
    .description('compare every initialized descriptor of a file with what was written first, without changing it')
    .argument('<FILE>', 'a file that init --file has made, or a device-dax device')
    .option('--json', 'print one JSON object on stdout and nothing else')
    .allowExcessArguments(false)
    .action(async (file: string, flags: { json?: boolean }) => {
      const result = await verifyFile(file);
      process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : formatVerified(result));
      if (result.wrong > 0) {
        const what = `${result.wrong} of ${result.checked} descriptors differ, the first at pfn ${result.firstWrongPfn}`;
        throw new VmemmapError('VERIFY_WRONG', `${what}; what a user has changed differs, too: see inspect --pfn`);
      }
      if (result.failed > 0) {
        const what = `${result.failed} descriptors could not be written, or cannot be read`;
        throw new VmemmapError('CHUNK_FAILED', `${what}; see vmemmap inspect, and the kernel's log`);
      }
    });
}
