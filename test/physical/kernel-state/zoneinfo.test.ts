/** What is read of /proc/zoneinfo, and what is refused. */
import { describe, expect, it } from 'vitest';
import { parseZoneinfo, readZoneinfo } from '../../../dist/src/physical/kernel-state/zoneinfo.js';
import { refusalOf } from '../errors.js';
import { makeTree } from '../made-tree.js';

/** As Linux 6.1 prints it, of each zone the part that is read, and what could be taken for it. */
const text = `Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 1
  pages free     3840
        boost    0
        min      33
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 1835, 2747, 2747, 2747)
      nr_free_pages 3840
  pagesets
    cpu: 0
              count: 0
              high:  0
  vm stats threshold: 6
  node_unreclaimable:  0
  start_pfn:           1
Node 1, zone  Movable
  pages free     0
        spanned  0
        present  0
        managed  0
Node 1, zone   Device
  pages free     0
        spanned  1048576
        present  0
        managed  0
        protection: (0, 0, 0, 0, 0)
`;

function refusal(text_: string): string {
  const { code, message } = refusalOf(() => parseZoneinfo(text_, '/p/zoneinfo'));
  return `${code}: ${message}`;
}

describe('zones of the running kernel', () => {
  it('are read with their figures; those that span nothing are left out', () => {
    expect(parseZoneinfo(text)).toEqual([
      { nid: 0, zone: 0, startPfn: 1, spannedPages: 4095, presentPages: 3998, managedPages: 3840 },
      { nid: 1, zone: 4, startPfn: undefined, spannedPages: 1_048_576, presentPages: 0, managedPages: 0 },
    ]);
  });

  it('of a name that no platform here has are passed over', () => {
    expect(parseZoneinfo(text.replace('zone      DMA', 'zone  HighMem')).map(({ zone }) => zone)).toEqual([4]);
  });

  it('are none in a text without any', () => {
    expect(parseZoneinfo('')).toEqual([]);
  });

  it.each([
    ['a figure of no zone', '        spanned  4095\n', 'tells pages of no zone'],
    ['a zone without figures', 'Node 0, zone      DMA\n', 'tells no pages of node 0, zone DMA'],
    ['a node that cannot be', text.replaceAll('Node 1', 'Node 1024'), 'names node 1024; 0 to 1023 exist'],
    [
      'more pages than can be',
      text.replace('4095', `${2 ** 40 + 1}`),
      'tells 1099511627777 pages, more than can exist',
    ],
    ['a number that is none', text.replace('4095', '9'.repeat(400)), 'tells Infinity pages, more than can exist'],
  ])('are refused with %s', (_, wrong, problem) => {
    expect(refusal(wrong)).toBe(`KERNEL_UNREADABLE: /p/zoneinfo ${problem}; is it the kernel's own?`);
  });

  it('may be 2^40 pages, and are not read where there is no file', () => {
    const most = parseZoneinfo(text.replace('4095', `${2 ** 40}`));
    expect(most[0]?.spannedPages).toBe(2 ** 40);
    const root = makeTree({ other: '' });
    expect(refusalOf(() => readZoneinfo(root))).toMatchObject({
      code: 'KERNEL_UNREADABLE',
      received: `${root}/zoneinfo`,
    });
  });
});
