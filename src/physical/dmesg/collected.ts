/** All that a boot log says about memory, line by line, before anything is made of it. */
import { nodesMax } from '../zones.ts';
import type { Boot } from './boots.ts';
import { E820 } from './e820.ts';
import { EarlyRanges } from './early.ts';
import { EfiMap } from './efi.ts';
import { type LogLine, logLines } from './lines.ts';
import { Memblock } from './memblock.ts';
import { NodeLines } from './nodes.ts';
import { PlatformHints } from './platform.ts';
import { Reservations } from './reserved.ts';

const movablePattern = /^Node (\d{1,5}): 0x([0-9a-f]{1,16})$/;

/** What was said. */
export class Collected {
  readonly e820: E820 = new E820();
  readonly efi: EfiMap = new EfiMap();
  readonly nodes: NodeLines = new NodeLines();
  readonly early: EarlyRanges = new EarlyRanges();
  readonly memblock: Memblock = new Memblock();
  readonly reservations: Reservations = new Reservations();
  readonly hints: PlatformHints = new PlatformHints();
  /** First byte of the zone Movable by node, where kernelcore= or movablecore= was given. */
  readonly movableStarts: Map<number, number> = new Map();

  /** Reads a line. */
  take(line: LogLine): void {
    this.hints.see(line);
    const [, nid, start] = movablePattern.exec(line.text) ?? [];
    if (nid !== undefined && start !== undefined) {
      if (Number(nid) < nodesMax) this.movableStarts.set(Number(nid), Number.parseInt(start, 16));
      return;
    }
    // each line belongs to one of them, but for those about nodes, which others read, too
    const readers = [this.e820, this.efi, this.nodes, this.early, this.memblock, this.reservations];
    readers.some((reader) => reader.take(line));
  }
}

/** Reads the lines of one boot. */
export function collect(log: string, { firstLine, lastLine }: Boot): Collected {
  const collected = new Collected();
  for (const line of logLines(log)) {
    if (line.line > lastLine) break;
    if (line.line >= firstLine) collected.take(line);
  }
  return collected;
}
