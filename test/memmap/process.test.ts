/** A process that uses the library: ends when its work is done, prints nothing, and does not die of what it ignores. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

const library = new URL('../../dist/src/index.js', import.meta.url).href;

function run(code: string): { status: number | null; stdout: string; stderr: string } {
  const script = `import { Memmap } from ${JSON.stringify(library)};\n${code}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const quietEnd = { status: 0, stdout: '', stderr: '' };

describe('a process', () => {
  it('ends by itself after ready, without close and with idle threads', () => {
    expect(run(`const memmap = await Memmap.open({ topology: '2x1GiB' }); await memmap.ready;`)).toEqual(quietEnd);
  });

  it('that asks for nothing still has its background finish before it ends', () => {
    const code = `
      const memmap = await Memmap.open({ topology: '1x4GiB', threadsPerNode: 1 });
      process.on('exit', () => console.log(memmap.progressNow().pagesReady));`;
    expect(run(code)).toEqual({ ...quietEnd, stdout: `${2 ** 20}\n` });
  });

  it('does not die of a rejected ready that it ignores', () => {
    const code = `
      const memmap = await Memmap.open({ topology: '1x1GiB', threadsPerNode: 1 });
      memmap.cancel();
      await new Promise((resolve) => setTimeout(resolve, 300));
      await memmap.close();`;
    expect(run(code)).toEqual(quietEnd);
  });

  it('waits for sync although nothing else keeps it alive', () => {
    const code = `
      const memmap = await Memmap.open({ topology: '1x1GiB', threadsPerNode: 1 });
      memmap.pause();
      const error = await memmap.sync({ timeout: 200 }).catch((error) => error);
      console.log(error.code);
      memmap.cancel();`;
    expect(run(code)).toEqual({ ...quietEnd, stdout: 'SYNC_TIMEOUT\n' });
  });
});
