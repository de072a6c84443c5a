/** The C++ header: made from the table, committed, and checked to be fresh. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { headerText } from '../../.setup/generate-header.mjs';
import { descriptorLanes, descriptorLayouts } from '../../dist/src/descriptor/layout.js';
import { descriptorSizeBytes } from '../../dist/src/physical/geometry.js';

const header = 'native/descriptor_layout.generated.h';
const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

it('the committed header is that of the table', () => {
  const committed = readFileSync(join(projectRoot, header), 'utf8');
  expect(committed).toBe(
    headerText({ descriptorSizeBytes, descriptorLanes, layouts: Object.values(descriptorLayouts) }),
  );
});

it('a field that is a word of C++ gets an underscore there and keeps its name', () => {
  const text = headerText({
    descriptorSizeBytes: 64,
    descriptorLanes: 8,
    layouts: [{ name: '4.18', fields: [{ name: 'private', offset: 40, sizeBytes: 8 }] }],
  });
  expect(text).toContain('inline constexpr Field private_{"private", 40, 8};');
  expect(text).toContain('    private_,\n');
});

it('each layout has a namespace, whose name C++ takes, and stands in the list by its own name', () => {
  const layout = (name: string): { name: string; fields: { name: string; offset: number; sizeBytes: number }[] } => ({
    name,
    fields: [{ name: 'flags', offset: 0, sizeBytes: 8 }],
  });
  const layouts = [layout('before-4.18'), layout('4.18'), layout('6.15')];
  const text = headerText({ descriptorSizeBytes: 64, descriptorLanes: 8, layouts });
  const names = text.split('\n').filter((line) => /^namespace .*_\d/.test(line));
  expect(names).toEqual(['namespace before_4_18 {', 'namespace since_4_18 {', 'namespace since_6_15 {']);
  expect(text).toContain('    DescriptorLayout{"before-4.18", before_4_18::kFields},\n');
  expect(text).toContain('    DescriptorLayout{"6.15", since_6_15::kFields},\n');
});

describe('the generator', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'vmemmap-header-'));
    for (const folder of ['.setup', 'dist/src/descriptor', 'dist/src/physical']) {
      cpSync(join(projectRoot, folder), join(root, folder), { recursive: true });
    }
    cpSync(join(projectRoot, 'dist/src/errors.js'), join(root, 'dist/src/errors.js'));
    writeFileSync(join(root, 'package.json'), '{"type":"module"}');
    mkdirSync(join(root, 'native'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const generate = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const script = join(root, '.setup/generate-header.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
    return { status, stdout, stderr };
  };

  it('writes the header once and then finds it fresh', () => {
    expect(generate()).toEqual({ status: 0, stdout: '', stderr: `vmemmap: wrote ${header}\n` });
    expect(generate()).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(generate('--check')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it.each(['', 'stale'])('with --check tells of a header that is %s and leaves it', (text) => {
    if (text !== '') writeFileSync(join(root, header), text);
    expect(generate('--check')).toEqual({
      status: 1,
      stdout: '',
      stderr: `vmemmap: ${header} is stale: run \`npm run build\` and commit what it wrote\n`,
    });
    if (text !== '') expect(readFileSync(join(root, header), 'utf8')).toBe(text);
  });
});
