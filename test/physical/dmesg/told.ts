/** What tests of the boot-log reader share: short logs, and what is read of them. */
import { readDmesg } from '../../../dist/src/physical/dmesg/dmesg.js';
import type { Topology } from '../../../dist/src/physical/topology.js';

/** The machine of a log of some lines, which errors call `boot.log`. */
export function told(...lines: string[]): Topology {
  return readDmesg(lines.join('\n'), [0, 1], { file: 'boot.log' });
}

/** An address as the kernel prints it. */
export function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(16, '0')}`;
}

function runsOf({ memory }: Topology, wanted: string): number[][] {
  return memory.filter(({ kind }) => kind === wanted).map(({ nid, startPfn, endPfn }) => [nid, startPfn, endPfn]);
}

/** RAM as nid, first pfn and the one behind. */
export function ramOf(machine: Topology): number[][] {
  return runsOf(machine, 'ram');
}

/** Device memory as nid, first pfn and the one behind. */
export function deviceOf(machine: Topology): number[][] {
  return runsOf(machine, 'device');
}

/** An entry of the e820, and the same memory as the kernel printed it: 0x100 to 0x40000 of node 0. */
export const usable = 'BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable';
export const early = 'node   0: [mem 0x0000000000100000-0x000000003fffffff]';
