/** The main job on the machine that runs the test, beside what its kernel says. */
import { expect, it } from 'vitest';
import type { InitReport } from '../../dist/src/observe/init-report.js';
import { runCli } from '../support/child.js';
import { presentOfKernel, reasonNotToCompare } from '../support/zoneinfo.js';

const skipped = reasonNotToCompare();
if (skipped !== '') process.stderr.write(`skipped, the memmap of this machine beside /proc/zoneinfo: ${skipped}\n`);

it.skipIf(skipped !== '')(
  `init --detect builds a descriptor for every page that /proc/zoneinfo has present, and verifies all ${skipped}`,
  async () => {
    const { status, stdout, stderr } = await runCli(['init', '--detect', '--verify', '--json']);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const report = JSON.parse(stdout) as InitReport;
    const kernel = presentOfKernel();
    const ours = new Map<string, number>();
    for (const { nid, zone, uses, kind } of report.ranges) {
      const pages = uses.present + uses.reserved;
      if (kind === 'ram') ours.set(`node ${nid} ${zone}`, (ours.get(`node ${nid} ${zone}`) ?? 0) + pages);
    }
    process.stdout.write('zone             /proc/zoneinfo    descriptors\n');
    for (const zone of new Set([...kernel.keys(), ...ours.keys()])) {
      const [theirs, pages] = [kernel, ours].map((zones) => String(zones.get(zone) ?? 0).padStart(14));
      process.stdout.write(`${zone.padEnd(16)} ${theirs} ${pages}\n`);
    }
    expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(kernel));
    expect(report.verify).toMatchObject({ checked: report.pages, wrong: 0 });
  },
);
