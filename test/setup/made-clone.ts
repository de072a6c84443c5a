/** A small project beside a real copy of .setup, with tools that only pretend: each leaves a line in a log and makes a file. */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const realSetup = fileURLToPath(new URL('../../.setup', import.meta.url));

/** Prints on both streams as tools do, and fails when the file named by its last word of configuration says so. */
const pretend = (name: string, work: string): string => `
  import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
  const { log, breakFile } = JSON.parse(process.env.MADE_CLONE);
  appendFileSync(log, ['${name}', ...process.argv.slice(2)].join(' ') + '\\n');
  console.log('${name} says something on stdout');
  if (existsSync(breakFile) && readFileSync(breakFile, 'utf8') === '${name}') {
    console.error('first words of ${name}');
    for (let line = 0; line < 100; line++) console.error('noise of ${name}');
    console.error('last words of ${name}');
    process.exit(7);
  }
  ${work}
`;

const tools = {
  npm: pretend(
    'npm',
    `await new Promise((resolve) => setTimeout(resolve, Number(process.env.MADE_NPM_MS ?? 0)));
     mkdirSync('node_modules/typescript/bin', { recursive: true });
     cpSync(process.env.MADE_TSC, 'node_modules/typescript/bin/tsc');
     mkdirSync('node_modules/rolldown/bin', { recursive: true });
     cpSync(process.env.MADE_ROLLDOWN, 'node_modules/rolldown/bin/cli.mjs');
     writeFileSync('node_modules/typescript/package.json', '{"type":"module"}');
     cpSync('package-lock.json', 'node_modules/.package-lock.json');`,
  ),
  tsc: pretend(
    'tsc',
    `for (const folder of ['src', 'workers']) for (const file of readdirSync(folder, { recursive: true })) {
       if (!file.endsWith('.ts')) continue;
       for (const ending of ['.js', '.d.ts']) cpSync(folder + '/' + file, 'dist/' + folder + '/' + file.replace(/\\.ts$/, ending));
     }`,
  ),
  rolldown: pretend('rolldown', `cpSync(process.argv[2], process.argv[process.argv.indexOf('--file') + 1]);`),
  nodeGyp: pretend(
    'node-gyp',
    `mkdirSync('build/Release', { recursive: true }); writeFileSync('build/Release/vmemmap.node', '');`,
  ),
};

/** How a command ended, and what it said where. */
export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export class MadeClone {
  readonly root: string = mkdtempSync(join(tmpdir(), 'vmemmap-setup-'));
  readonly #outside: string = mkdtempSync(join(tmpdir(), 'vmemmap-tools-'));
  /** Changes to the environment of the next commands. */
  env: Record<string, string> = {};

  constructor() {
    cpSync(realSetup, join(this.root, '.setup'), { recursive: true });
    this.write('package.json', '{"type":"module","engines":{"node":">=20.19"}}');
    this.write('package-lock.json', '{"packages":{"":{},"node_modules/typescript":{"version":"1.0.0"}}}');
    this.write('tsconfig.json', '{}');
    this.write('binding.gyp', '{}');
    this.write('native/one.cc', '');
    this.write('native/test/one_test.cc', '');
    this.write('src/cli/main.ts', 'console.log(process.argv.slice(2).join(" ")); process.exitCode = 5;');
    this.write('src/descriptor/layout.ts', 'export const descriptorLayouts = {}, descriptorLanes = 8;');
    this.write('src/physical/geometry.ts', 'export const descriptorSizeBytes = 64;');
    this.write('workers/worker.ts', '');
    for (const [name, text] of Object.entries(tools)) writeFileSync(this.#tool(name), text);
    mkdirSync(join(this.#outside, 'include/node'), { recursive: true });
    writeFileSync(join(this.#outside, 'include/node/node_api.h'), '');
    for (const name of ['g++', 'make', 'python3']) this.installProgram(name);
  }

  /** npm is known by the end of its name, hence the folders. */
  #tool(name: string): string {
    const path = join(this.#outside, name === 'npm' ? 'npm-cli.js' : `${name}.js`);
    writeFileSync(join(this.#outside, 'package.json'), '{"type":"module"}');
    mkdirSync(join(this.#outside, 'bin'), { recursive: true });
    return name === 'npm' ? join(this.#outside, 'bin/npm-cli.js') : path;
  }

  installProgram(name: string): void {
    const path = join(this.#outside, 'bin', name);
    writeFileSync(path, '');
    chmodSync(path, 0o755);
  }

  removeProgram(name: string): void {
    rmSync(join(this.#outside, 'bin', name));
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
  }

  append(path: string, text: string): void {
    appendFileSync(join(this.root, path), text);
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true });
  }

  /** Makes a tool fail from now on, or none. */
  breakTool(name: 'npm' | 'tsc' | 'rolldown' | 'node-gyp' | ''): void {
    writeFileSync(join(this.#outside, 'break'), name);
  }

  /** Which tools ran since this was last asked, with their arguments. */
  takeLog(): string[] {
    const path = join(this.#outside, 'log');
    const lines = existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
    rmSync(path, { force: true });
    return lines.filter((line) => line !== '');
  }

  /** Whether a tool has told that it runs. Takes nothing: a log that is made just now may not have its line yet. */
  hasRun(tool: string): boolean {
    const path = join(this.#outside, 'log');
    return existsSync(path) && readFileSync(path, 'utf8').includes(`${tool} `);
  }

  /** As takeLog, without the arguments. */
  takeTools(): string[] {
    return this.takeLog().map((line) => line.split(' ', 1)[0] as string);
  }

  /** Starts a program of .setup. */
  spawn(program: 'start' | 'ensure', ...args: string[]): { child: ChildProcess; ended: Promise<Outcome> } {
    const inherited = Object.entries(process.env).filter(([name]) => !/^(npm_|VMEMMAP_|CXX$|PYTHON$)/i.test(name));
    const child = spawn(process.execPath, [join('.setup', `${program}.mjs`), ...args], {
      cwd: this.root,
      env: {
        ...Object.fromEntries(inherited),
        PATH: join(this.#outside, 'bin'),
        npm_execpath: this.#tool('npm'),
        npm_config_node_gyp: this.#tool('nodeGyp'),
        npm_config_nodedir: this.#outside,
        MADE_TSC: this.#tool('tsc'),
        MADE_ROLLDOWN: this.#tool('rolldown'),
        MADE_CLONE: JSON.stringify({ log: join(this.#outside, 'log'), breakFile: join(this.#outside, 'break') }),
        ...this.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const outcome: Outcome = { status: null, stdout: '', stderr: '' };
    child.stdout?.on('data', (text) => {
      outcome.stdout += text;
    });
    child.stderr?.on('data', (text) => {
      outcome.stderr += text;
    });
    const ended = new Promise<Outcome>((resolve) => {
      child.on('close', (status) => resolve({ ...outcome, status }));
    });
    return { child, ended };
  }

  /** Runs a program of .setup to its end. */
  run(program: 'start' | 'ensure', ...args: string[]): Promise<Outcome> {
    return this.spawn(program, ...args).ended;
  }

  dispose(): void {
    for (const folder of [this.root, this.#outside]) rmSync(folder, { recursive: true, force: true });
  }
}
