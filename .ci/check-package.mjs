/** Checks what `npm pack --dry-run --json` says it would publish: the library, and nothing that npm would build or test. */
import { readFileSync } from 'node:fs';

const allowed = [
  /^dist\/(src|workers)\/.+\.(c?js|d\.ts)$/,
  /^prebuilds\/[\w-]+\/[\w.-]+\.node$/,
  /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
];
const required = [
  'LICENSE',
  'dist/src/cli/main.js',
  'dist/src/index.d.ts',
  'dist/src/index.js',
  'dist/workers/worker.cjs',
];

const [path = ''] = process.argv.slice(2);
/** @type {[{ files: { path: string }[] }]} */
const [report] = JSON.parse(readFileSync(path, 'utf8'));
const files = report.files.map((file) => file.path);
const problems = [
  ...files.filter((file) => !allowed.some((pattern) => pattern.test(file))).map((file) => `${file} is published`),
  ...required.filter((file) => !files.includes(file)).map((file) => `${file} is not published`),
];
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`${files.length} files\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
