/** The file of a picture: all of it or what was there before, and an error that says what to do. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { VmemmapError } from '../../dist/src/index.js';
import { writePicture } from '../../dist/src/observe/topology-svg-file.js';

const root = mkdtempSync(join(tmpdir(), 'vmemmap-picture-'));
afterAll(() => rmSync(root, { recursive: true }));
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
});

/** The error of a picture that cannot be written. */
function failure(path: string): VmemmapError {
  try {
    writePicture(path, 'picture');
  } catch (error) {
    if (error instanceof VmemmapError) return error;
    throw error;
  }
  throw new Error('it was written');
}

describe('a picture', () => {
  it('is written whole, and nothing else is left in the folder', () => {
    const text = `${'picture '.repeat(200_000)}é`;
    writePicture(join(folder, 'a.svg'), text);
    expect(readFileSync(join(folder, 'a.svg'), 'utf8')).toBe(text);
    expect(readdirSync(folder)).toEqual(['a.svg']);
  });

  it('takes the place of an older one and keeps its permissions', () => {
    const path = join(folder, 'a.svg');
    writeFileSync(path, 'old');
    chmodSync(path, 0o640);
    writePicture(path, 'young');
    expect(readFileSync(path, 'utf8')).toBe('young');
    expect(statSync(path).mode % 0o1000).toBe(0o640);
  });

  it('is another file than the one that somebody reads at the moment', () => {
    const path = join(folder, 'a.svg');
    writeFileSync(path, 'old');
    const before = statSync(path).ino;
    writePicture(path, 'young');
    expect(statSync(path).ino).not.toBe(before);
  });

  it('goes where a link leads to, and the link stays', () => {
    writeFileSync(join(folder, 'real.svg'), 'old');
    symlinkSync('real.svg', join(folder, 'link.svg'));
    writePicture(join(folder, 'link.svg'), 'young');
    expect(lstatSync(join(folder, 'link.svg')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(folder, 'real.svg'), 'utf8')).toBe('young');
  });

  it('may have a name as long as names can be', () => {
    const path = join(folder, `${'n'.repeat(251)}.svg`);
    writePicture(path, 'picture');
    expect(readFileSync(path, 'utf8')).toBe('picture');
  });
});

describe('a picture that cannot be written is an error OUTPUT that says what to do', () => {
  const remedy = 'name a file in a folder that you may write to, on a file system with room for it';

  it('where the folder does not exist', () => {
    const path = join(folder, 'none', 'a.svg');
    const { code, message, received } = failure(path);
    expect({ code, received }).toEqual({ code: 'OUTPUT', received: path });
    expect(message).toMatch(/ could not be written: ENOENT: no such file or directory/);
    expect(message.endsWith(`; ${remedy}`)).toBe(true);
  });

  it('where the path is a folder, which is left alone', () => {
    mkdirSync(join(folder, 'a.svg'));
    const { code, message } = failure(join(folder, 'a.svg'));
    expect(code).toBe('OUTPUT');
    expect(message).toBe(`${join(folder, 'a.svg')} could not be written: it is a folder; ${remedy}`);
    expect(readdirSync(folder)).toEqual(['a.svg']);
  });

  it('where the path is a device, which is not replaced by a file', () => {
    const { code, message } = failure('/dev/null');
    expect(code).toBe('OUTPUT');
    expect(message).toBe(`/dev/null could not be written: it is not a regular file; ${remedy}`);
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  it('where part of the path is a file', () => {
    writeFileSync(join(folder, 'a'), '');
    expect(failure(join(folder, 'a', 'b.svg'))).toMatchObject({ code: 'OUTPUT', errno: 20 });
  });

  it('where a link leads in a circle', () => {
    symlinkSync('b.svg', join(folder, 'a.svg'));
    symlinkSync('a.svg', join(folder, 'b.svg'));
    expect(failure(join(folder, 'a.svg')).code).toBe('OUTPUT');
    expect(readdirSync(folder)).toEqual(['a.svg', 'b.svg']);
  });
});
