/** Finds the boot that a log is read for: a journal may hold several. */
import { logLines } from './lines.ts';

/** Lines of one boot. */
export interface Boot {
  /** Counted from 1. */
  readonly firstLine: number;
  /** The last one of the boot, or infinity. */
  readonly lastLine: number;
  /** Boots in the log. */
  readonly boots: number;
}

/** Lines that say which memory there is. */
const memoryPattern =
  /^(?:BIOS-e820: |user: \[mem|node +\d+: \[mem|Node \d+ Memory:|efi: mem|memory\[0x|[Ee]arly_node_map)/;

/** The last boot of the log that tells memory; the whole log where none does. A boot begins with the kernel's version. */
export function lastBoot(log: string): Boot {
  let boots = 1;
  let firstLine = 1;
  let tellsMemory = false;
  let chosen = { firstLine: 1, lastLine: Number.POSITIVE_INFINITY };
  let hasBegun = false;
  for (const { text, line } of logLines(log)) {
    if (/^Linux version \d/.test(text)) {
      // what stands before the first version belongs to that boot: earlier messages of some platforms
      if (hasBegun) {
        boots++;
        if (tellsMemory) chosen = { firstLine, lastLine: line - 1 };
        firstLine = line;
        tellsMemory = false;
      }
      hasBegun = true;
    }
    tellsMemory ||= memoryPattern.test(text);
  }
  if (tellsMemory) chosen = { firstLine, lastLine: Number.POSITIVE_INFINITY };
  return { ...chosen, boots };
}
