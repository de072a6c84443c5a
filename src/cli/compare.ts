/** `vmemmap compare`: whether the running kernel has made of this machine's memory what the plan says. */
import { Command } from 'commander';
import { VmemmapError } from '../errors.ts';
import { type Comparison, compareMachine } from '../observe/compare.ts';
import { firstUnexplained, formatComparison } from '../observe/compare-report.ts';

/** Defines the command. */
export function compareCommand(): Command {
  return new Command('compare')
    .description(
      'hold the plan of this machine against the zones, descriptors and nodes of its running kernel (as root)',
    )
    .option('--json', 'print one JSON object on stdout and nothing else')
    .allowExcessArguments(false)
    .action(async (flags: { json?: boolean }) => {
      const comparison = await compareMachine();
      process.stdout.write(flags.json ? `${JSON.stringify(comparison)}\n` : formatComparison(comparison));
      refuseUnexplained(comparison);
    });
}

function refuseUnexplained(comparison: Comparison): void {
  if (comparison.unexplained === 0) return;
  const what = `nothing explains ${comparison.unexplained} of the disagreements, of which the first is: `;
  throw new VmemmapError('DISAGREES', `${what}${firstUnexplained(comparison)}; report it with what --json prints`);
}
