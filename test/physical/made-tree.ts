/** Makes a directory of small files and links in a temporary place, such as a sysfs that no machine has. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Files by path; a value that begins with `-> ` makes a symbolic link. The tree is gone when the test is over. */
export function makeTree(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'vmemmap-tree-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    if (content.startsWith('-> ')) symlinkSync(content.slice(3), full);
    else writeFileSync(full, content);
  }
  return root;
}

/** Files of a sysfs with nodes (nid to CPU list) and memory blocks (number to the nodes that link it, and its state). */
export function sysfsFiles(
  nodes: Readonly<Record<number, string>>,
  blocks: Readonly<Record<number, { nids: readonly number[]; state?: string }>> = {},
  blockSizeHex = '8000000',
): Record<string, string> {
  const files: Record<string, string> = {};
  for (const [nid, cpulist] of Object.entries(nodes)) files[`devices/system/node/node${nid}/cpulist`] = `${cpulist}\n`;
  if (Object.keys(blocks).length > 0) files['devices/system/memory/block_size_bytes'] = `${blockSizeHex}\n`;
  for (const [block, { nids, state = 'online' }] of Object.entries(blocks)) {
    files[`devices/system/memory/memory${block}/state`] = `${state}\n`;
    for (const nid of nids) files[`devices/system/node/node${nid}/memory${block}`] = `-> ../../memory/memory${block}`;
  }
  return files;
}
