/** The whole set-up, in a made-up clone with tools that only pretend. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MadeClone } from './made-clone.js';

const all = ['npm', 'tsc', 'rolldown', 'node-gyp'];
let clone: MadeClone;
beforeEach(() => {
  clone = new MadeClone();
});
afterEach(() => clone.dispose());

/** Sets up and forgets which tools ran. */
async function setUp(): Promise<void> {
  expect(await clone.run('ensure')).toMatchObject({ status: 0 });
  clone.takeLog();
}

describe('npm start in a fresh clone', () => {
  it('installs, compiles and builds, and leaves stdout and the exit status to the command', async () => {
    expect(await clone.run('start', 'init', '--json')).toEqual({
      status: 5,
      stdout: 'init --json\n',
      stderr: `vmemmap: installing packages…\nvmemmap: compiling TypeScript…\nvmemmap: building the native addon…\n`,
    });
    expect(clone.takeTools()).toEqual(all);
  });

  it('does nothing the second time and says nothing', async () => {
    await clone.run('start');
    clone.takeLog();
    expect(await clone.run('start', 'again')).toEqual({ status: 5, stdout: 'again\n', stderr: '' });
    expect(clone.takeLog()).toEqual([]);
  });

  it('never lets npm be silent nor node-gyp look for headers elsewhere', async () => {
    await clone.run('start');
    const [npm, tsc, rolldown, nodeGyp] = clone.takeLog();
    expect(npm).toBe('npm ci --include=dev --no-audit --no-fund --loglevel=error');
    expect(tsc).toBe('tsc --project tsconfig.json --pretty false');
    expect(rolldown).toBe(
      'rolldown dist/workers/worker.js --format cjs --platform node --file dist/workers/worker.cjs --log-level warn',
    );
    expect(nodeGyp).toMatch(/^node-gyp configure build --nodedir=\S+ --loglevel=error$/);
  });

  it('three times at once runs each tool once', async () => {
    clone.env['MADE_NPM_MS'] = '200';
    const outcomes = await Promise.all([
      clone.run('start', 'one'),
      clone.run('start', 'two'),
      clone.run('start', 'three'),
    ]);
    expect(outcomes.map(({ status, stdout }) => [status, stdout])).toEqual([
      [5, 'one\n'],
      [5, 'two\n'],
      [5, 'three\n'],
    ]);
    expect(clone.takeTools()).toEqual(all);
  });

  it('writes the C++ header', async () => {
    await clone.run('ensure');
    expect(clone.read('native/descriptor_layout.generated.h')).toContain('kDescriptorSizeBytes = 64;');
  });
});

describe('what is set up again', () => {
  it.each([
    ['everything, when the lock file asks for another version', 'package-lock.json', all.slice(0, 3)],
    ['dist, when a source changed', 'src/cli/main.ts', ['tsc', 'rolldown']],
    ['dist, when a worker changed', 'workers/worker.ts', ['tsc', 'rolldown']],
    ['dist, when the compiler is told something else', 'tsconfig.json', ['tsc', 'rolldown']],
    ['the addon, when a source changed', 'native/one.cc', ['node-gyp']],
    ['the addon, when its recipe changed', 'binding.gyp', ['node-gyp']],
    ['nothing, when a C++ test changed', 'native/test/one_test.cc', []],
    ['nothing, when package.json changed', 'package.json', []],
  ])('%s', async (_, file, tools) => {
    await setUp();
    if (file === 'package-lock.json') clone.write(file, clone.read(file).replace('1.0.0', '1.0.1'));
    else clone.append(file, '\n');
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(tools);
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual([]);
  });

  it('dist, when a source came or went, and what was compiled from it goes, too', async () => {
    await setUp();
    clone.write('src/new.ts', '');
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(['tsc', 'rolldown']);
    expect(clone.has('dist/src/new.js')).toBe(true);
    clone.remove('src/new.ts');
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(['tsc', 'rolldown']);
    expect([clone.has('dist/src/new.js'), clone.has('dist/src/new.d.ts')]).toEqual([false, false]);
    expect(clone.has('dist/src/cli/main.js')).toBe(true);
  });

  it('dist, when one of its files is missing, without the notes that say it were there', async () => {
    await setUp();
    clone.write('dist/.tsbuildinfo', 'notes');
    clone.remove('dist/src/cli/main.js');
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(['tsc', 'rolldown']);
    expect(clone.has('dist/.tsbuildinfo')).toBe(false);
  });

  it.each([
    ['node_modules', ['npm']],
    ['dist', ['tsc', 'rolldown']],
    ['build', ['node-gyp']],
  ])('what was in %s, when it was removed', async (folder, tools) => {
    await setUp();
    clone.remove(folder);
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(tools);
  });

  it('nothing, when files were only touched, as by a checkout', async () => {
    await setUp();
    const stamp = clone.read('dist/.setup.json');
    for (const file of ['src/cli/main.ts', 'native/one.cc', 'package-lock.json'])
      utimesSync(join(clone.root, file), 1, 1);
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual([]);
    // The new times are noted, so that the next start need not read the files.
    expect(clone.read('dist/.setup.json')).not.toBe(stamp);
  });

  it('dist, when a source changed and kept its size and its time', async () => {
    await setUp();
    const path = join(clone.root, 'src/cli/main.ts');
    const { atime, mtime } = statSync(path);
    clone.write('src/cli/main.ts', clone.read('src/cli/main.ts').replace('= 5', '= 6'));
    utimesSync(path, atime, mtime);
    expect(await clone.run('start')).toMatchObject({ status: 6 });
  });

  it('nothing, when somebody has run npm by hand', async () => {
    await setUp();
    clone.remove('node_modules/.setup.json');
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual([]);
  });

  it('nothing but what is asked for by name', async () => {
    await clone.run('ensure', 'packages');
    expect(clone.takeTools()).toEqual(['npm']);
    expect(await clone.run('ensure', 'pakages')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'vmemmap: no step is called pakages; there are packages, dist, addon, roofline\n',
    });
  });
});

describe('a tool that fails', () => {
  it.each([
    ['npm', 'npm ci failed (exit status 7):', 'complete-lock.mjs'],
    ['tsc', 'tsc failed (exit status 7):', 'Correct these errors'],
    ['rolldown', 'rolldown failed (exit status 7):', 'dist/workers/worker.js'],
    ['node-gyp', 'node-gyp failed (exit status 7):', 'VMEMMAP_ADDON=off goes on without the addon.'],
  ] as const)(
    '%s is told with its first and last words and advice, and the status is 1',
    async (tool, what, advice) => {
      clone.breakTool(tool);
      const { status, stdout, stderr } = await clone.run('start', 'init');
      expect([status, stdout]).toEqual([1, '']);
      for (const text of [what, `first words of ${tool}`, `last words of ${tool}`, advice])
        expect(stderr).toContain(text);
      expect(stderr.split('\n').length).toBeLessThan(40);
    },
  );

  it('runs again at the next start, and nothing before it does', async () => {
    clone.breakTool('tsc');
    await clone.run('start');
    expect(clone.takeTools()).toEqual(['npm', 'tsc']);
    clone.breakTool('');
    expect(await clone.run('start')).toMatchObject({ status: 5 });
    expect(clone.takeTools()).toEqual(['tsc', 'rolldown', 'node-gyp']);
  });

  it('leaves no old result in use', async () => {
    await setUp();
    clone.append('src/cli/main.ts', '\n');
    clone.breakTool('tsc');
    expect(await clone.run('start')).toMatchObject({ status: 1 });
    expect(await clone.run('start')).toMatchObject({ status: 1 });
  });
});

describe('without what the addon needs', () => {
  it.each(['g++', 'make', 'python3'])(
    'the command runs, and one line says once that %s is missing',
    async (program) => {
      clone.removeProgram(program);
      const first = await clone.run('start', 'init');
      expect([first.status, first.stdout]).toEqual([5, 'init\n']);
      expect(first.stderr.trimEnd().split('\n').at(-1)).toBe(
        `vmemmap: the native addon is not built: ${program} (on Debian: apt-get install g++ make python3) not found; the JavaScript kernel does its work`,
      );
      expect(await clone.run('start', 'init')).toEqual({ status: 5, stdout: 'init\n', stderr: '' });
      expect(clone.takeTools()).toEqual(['npm', 'tsc', 'rolldown']);
      // Installed since: noticed without being asked.
      clone.installProgram(program);
      expect((await clone.run('start')).stderr).toBe('vmemmap: building the native addon…\n');
      expect(clone.takeTools()).toEqual(['node-gyp']);
    },
  );

  it('a compiler that CXX names will do', async () => {
    clone.removeProgram('g++');
    clone.installProgram('clang++-99');
    clone.env['CXX'] = 'clang++-99 -stdlib=libc++';
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(all);
  });

  it('an addon that was made from other sources is not left behind', async () => {
    await setUp();
    clone.removeProgram('g++');
    await clone.run('ensure');
    expect(clone.has('build/Release/vmemmap.node')).toBe(true);
    clone.append('native/one.cc', '\n');
    await clone.run('ensure');
    expect(clone.has('build/Release/vmemmap.node')).toBe(false);
  });

  it('VMEMMAP_ADDON=off neither builds it nor looks for tools', async () => {
    clone.env['VMEMMAP_ADDON'] = 'off';
    clone.removeProgram('g++');
    expect((await clone.run('start')).stderr).toBe('vmemmap: installing packages…\nvmemmap: compiling TypeScript…\n');
    expect(clone.takeTools()).toEqual(['npm', 'tsc', 'rolldown']);
  });
});

describe('the lock', () => {
  const lock = 'build/.setup-lock';
  const startOf = (pid: number): string =>
    readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19] ?? '';

  it('of a process that has died is taken over', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    clone.write(lock, `${pid} 1`);
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(all);
    expect([clone.has(lock), clone.has(`${lock}.breaker`)]).toEqual([false, false]);
  });

  it('of a process whose number went to another one is taken over', async () => {
    clone.write(lock, `${process.pid} 1`);
    await clone.run('ensure');
    expect(clone.takeTools()).toEqual(all);
  });

  it('of a process that lives is waited for, and told', async () => {
    clone.write(lock, `${process.pid} ${startOf(process.pid)}`);
    const { child, ended } = clone.spawn('ensure');
    const told = await new Promise((resolve) => child.stderr?.once('data', (text) => resolve(String(text))));
    expect(told).toBe(`vmemmap: waiting for another set-up (process ${process.pid})…\n`);
    expect(clone.takeTools()).toEqual([]);
    clone.remove(lock);
    expect(await ended).toMatchObject({ status: 0 });
    expect(clone.takeTools()).toEqual(all);
  });

  it('is gone when a tool has failed', async () => {
    clone.breakTool('npm');
    await clone.run('ensure');
    expect(clone.has(lock)).toBe(false);
  });

  it('is gone, and so is the tool, when the set-up was interrupted', async () => {
    // longer than a test may take: that the set-up ends shows that it has ended npm
    clone.env['MADE_NPM_MS'] = '600000';
    const interrupted = clone.spawn('ensure');
    while (!clone.hasRun('npm')) await new Promise((resolve) => setTimeout(resolve, 5));
    interrupted.child.kill('SIGINT');
    expect(await interrupted.ended).toEqual({
      status: 1,
      stdout: '',
      stderr: 'vmemmap: installing packages…\nvmemmap: interrupted (SIGINT); start again to go on\n',
    });
    expect(clone.has(lock)).toBe(false);
    delete clone.env['MADE_NPM_MS'];
    expect(await clone.run('ensure')).toMatchObject({ status: 0 });
  });

  it('is taken over by one of many when its holder was killed', async () => {
    clone.env['MADE_NPM_MS'] = '200';
    const killed = clone.spawn('ensure');
    while (!clone.has(lock)) await new Promise((resolve) => setTimeout(resolve, 5));
    killed.child.kill('SIGKILL');
    await killed.ended;
    clone.takeLog();
    const outcomes = await Promise.all([clone.run('ensure'), clone.run('ensure'), clone.run('ensure')]);
    expect(outcomes.map(({ status }) => status)).toEqual([0, 0, 0]);
    // The orphan npm of the killed one may still write its line; none of the others ran twice.
    expect(clone.takeTools().filter((tool) => tool !== 'npm')).toEqual(['tsc', 'rolldown', 'node-gyp']);
  });
});

it('says which Node.js it needs', async () => {
  clone.write('package.json', '{"type":"module","engines":{"node":">=999.1"}}');
  expect(await clone.run('ensure')).toEqual({
    status: 1,
    stdout: '',
    stderr: `vmemmap: Node.js >=999.1 is needed; this is ${process.versions.node}\n`,
  });
});
