/** Which memory belongs to which node, as a boot log tells it: the SRAT of ACPI, faked nodes, and the device tree of Power. */
import type { ByteRun } from '../byte-runs.ts';
import type { RefuseLine } from '../caret.ts';
import { nodesMax } from '../zones.ts';
import type { LogLine } from './lines.ts';
import { nodeRunOf, Told, type ToldNodeRun } from './told.ts';

/** Addresses of one node; some of them may hold no memory. */
export interface NodeRun extends ByteRun {
  readonly nid: number;
}

/** An entry of the SRAT. */
interface SratRun extends ToldNodeRun {
  readonly nonVolatile: boolean;
}

const hex = '([0-9a-f]{1,16})';
const sratPattern = new RegExp(
  `^(?:ACPI: )?SRAT: Node (\\d{1,5}) PXM \\d+ \\[mem 0x${hex}-0x${hex}\\]((?: [a-z-]{1,20})*)$`,
);
/** Before 3.5: the end is the first byte behind. */
const oldSratPattern = new RegExp(`^SRAT: Node (\\d{1,5}) PXM \\d+ ${hex}-${hex}((?: [a-z-]{1,20})*)$`);
const sratHead = /^(?:ACPI: )?SRAT: Node \d+ PXM/;
const fakePattern = new RegExp(`^(?:NUMA: )?Faking node (\\d{1,5}) at \\[mem 0x${hex}-0x${hex}\\]`);
const oldFakePattern = new RegExp(`^Faking node (\\d{1,5}) at ${hex}-${hex} `);
const fakeHead = /^(?:NUMA: )?Faking node \d+ at/;
/** `Node 0 Memory: 0x0-0x1fb50000000`: the end is the first byte behind (dump_numa_memory_topology of Power). */
const powerPattern = /^Node (\d{1,5}) Memory:((?: 0x[0-9a-f]{1,16}-0x[0-9a-f]{1,16})+)$/;
const powerHead = /^Node \d+ Memory:/;
const singlePattern = /^(?:NUMA: )?(?:No NUMA configuration found|Faking a node at|NUMA turned off)/;
const namedPattern = /^(?:Initmem setup node (\d{1,5}) |NODE_DATA\((\d{1,5})\) )/;

/** Reads the lines about nodes. */
export class NodeLines {
  readonly srat: Told<SratRun> = new Told('lines of the SRAT');
  readonly faked: Told<ToldNodeRun> = new Told('faked nodes');
  readonly power: Told<ToldNodeRun> = new Told('ranges of nodes');
  /** Nodes that some line names, with memory or without. */
  readonly nids: Set<number> = new Set();
  /** The kernel has found no nodes in its firmware, or was told to look for none: all memory is on node 0. */
  #isSingle = false;

  /** Whether the line was about nodes and nothing else. */
  take(line: LogLine): boolean {
    const { text } = line;
    if (sratHead.test(text)) return this.#takeSrat(line);
    if (fakeHead.test(text)) return this.#takeFake(line);
    if (powerHead.test(text)) return this.#takePower(line);
    if (singlePattern.test(text)) {
      this.#isSingle = true;
      return true;
    }
    const named = namedPattern.exec(text);
    const nid = Number(named?.[1] ?? named?.[2] ?? Number.NaN);
    if (nid < nodesMax) this.nids.add(nid);
    // others read more in it
    return false;
  }

  #takeSrat(line: LogLine): true {
    const told = sratPattern.exec(line.text);
    const found = told ?? oldSratPattern.exec(line.text);
    if (found === null) {
      this.srat.add(line, 'expected [mem FIRST-LAST] in hexadecimal');
      return true;
    }
    const [, nid = '', from = '', to = '', words = ''] = found;
    const run = nodeRunOf(line, nid, from, to, { endIsBehind: told === null });
    // hotplug memory may reach up to the end of all addresses, where there is none
    if (typeof run === 'string' && words.includes('hotplug')) return true;
    this.srat.add(line, typeof run === 'string' ? run : { ...run, nonVolatile: words.includes('non-volatile') });
    return true;
  }

  #takeFake(line: LogLine): true {
    const told = fakePattern.exec(line.text);
    const found = told ?? oldFakePattern.exec(line.text);
    const [, nid = '', from = '', to = ''] = found ?? [];
    this.faked.add(
      line,
      found
        ? nodeRunOf(line, nid, from, to, { endIsBehind: told === null })
        : 'expected [mem FIRST-LAST] in hexadecimal',
    );
    return true;
  }

  #takePower(line: LogLine): true {
    const found = powerPattern.exec(line.text);
    if (found === null) this.power.add(line, 'expected ranges such as 0x0-0x1fb50000000');
    for (const range of found?.[2]?.trim().split(' ') ?? []) {
      const [from = '', to = ''] = range.split('-');
      this.power.add(line, nodeRunOf(line, found?.[1] ?? '', from.slice(2), to.slice(2), { endIsBehind: true }));
    }
    return true;
  }

  /** What tells the nodes; undefined where nothing does. */
  get #source(): Told<ToldNodeRun> | undefined {
    if (this.faked.items.length + this.faked.damaged.length > 0) return this.faked;
    if (this.#isSingle) return undefined;
    return [this.srat as Told<ToldNodeRun>, this.power].find(({ items, damaged }) => items.length + damaged.length > 0);
  }

  /** Whether it is known that all memory is on node 0. */
  get isOneNode(): boolean {
    return this.#isSingle && this.#source === undefined;
  }

  /** All nodes that are named anywhere, ascending. */
  get known(): readonly number[] {
    const told = [this.#source?.items ?? []].flat().map(({ nid }) => nid);
    return [...new Set([...this.nids, ...told])].sort((a, b) => a - b);
  }

  /**
   * The addresses of the nodes, sorted and without overlaps; neighbours of one node are joined over what lies between them, as
   * Linux does (numa_cleanup_meminfo). Undefined where the log does not tell nodes.
   * @param refuse told of damaged lines, and of memory that two nodes claim.
   */
  runs(refuse: RefuseLine): readonly NodeRun[] | undefined {
    const source = this.#source;
    if (source === undefined) return undefined;
    source.refuseDamage(refuse);
    return joinedNodes(source.items, refuse);
  }
}

/** Runs of nodes sorted, and neighbours of one node joined over what lies between them; memory that two nodes claim is refused. */
export function joinedNodes(runs: readonly ToldNodeRun[], refuse: RefuseLine): readonly ToldNodeRun[] {
  const joined: ToldNodeRun[] = [];
  for (const run of runs.toSorted((a, b) => a.firstByte - b.firstByte)) {
    const last = joined.at(-1);
    if (last?.nid === run.nid) {
      joined[joined.length - 1] = { ...last, lastByte: Math.max(last.lastByte, run.lastByte) };
    } else if (last && last.lastByte >= run.firstByte) {
      refuse(run.line, run.column, `expected memory that is not that of node ${last.nid} in line ${last.line}`);
    } else joined.push(run);
  }
  return joined;
}
