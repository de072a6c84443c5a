/** Tests of the JSON reader: what JSON.parse makes of a text, and for what is no JSON the place and what was expected. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { type JsonValue, readJson } from '../../dist/src/physical/json-text.js';

class Refused extends Error {}

const read = (text: string): JsonValue =>
  readJson(text, (line, column, problem) => {
    throw new Refused(`${line}:${column} ${problem}`);
  });

function plain(value: JsonValue): unknown {
  if (value.kind === 'object')
    return Object.fromEntries([...value.members].map(([name, member]) => [name, plain(member)]));
  if (value.kind === 'array') return value.items.map(plain);
  return value.kind === 'null' ? null : value.value;
}

const refusalOf = (text: string): string => {
  try {
    read(text);
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
  throw new Error('the text was expected to be refused');
};

prop.prop([fc.json({ maxDepth: 5 }), fc.constantFrom(0, 1, '\t', ' \r\n')])(
  'any JSON is read as JSON.parse reads it',
  (text, blanks) => {
    const wanted: unknown = JSON.parse(text);
    // a member named __proto__ is one like others
    const spaced = JSON.stringify(wanted, null, typeof blanks === 'string' ? blanks.replace(/[\r\n]/g, ' ') : blanks);
    expect(JSON.stringify(plain(read(spaced)))).toBe(JSON.stringify(wanted));
  },
);

prop.prop([
  fc.oneof(
    fc.string(),
    fc.json().map((text) => text.slice(1)),
    fc.json().map((text) => `${text},`),
  ),
])('a text is refused where JSON.parse refuses it, and never with another error', (text) => {
  let wanted = true;
  try {
    JSON.parse(text);
  } catch {
    wanted = false;
  }
  let isRead = true;
  try {
    read(text);
  } catch (error) {
    expect(error).toBeInstanceOf(Refused);
    isRead = false;
  }
  expect(isRead).toBe(wanted);
});

describe('what is no JSON', () => {
  it.each([
    ['', '1:0 expected a value'],
    ['[1,\n 2', '2:2 expected a comma and the next value, or ]'],
    ['[1,]', '1:3 expected a value'],
    ['{"a":1,\n}', '2:0 expected the name of a member in quotes; none follows a comma before a }'],
    ['{"a" 1}', '1:5 expected a colon'],
    ['{"a":1 "b"}', '1:7 expected a comma and the next member, or }'],
    ['{a:1}', '1:1 expected the name of a member in quotes'],
    ['[1] <<< Good', '1:4 expected the end'],
    ['"a\nb"', '1:0 expected a text in quotes, in one line'],
    ['"\\x"', '1:0 expected a text in quotes'],
    ['"open', '1:0 expected a text in quotes'],
    ['"open\\', '1:0 expected a text in quotes'],
    ['01', '1:1 expected the end'],
    ['.5', '1:0 expected a value'],
    ['[NaN]', '1:1 expected a value'],
    ["['a']", '1:1 expected a value'],
    ['\u00a0[]', '1:0 expected a value'],
  ])('%j is refused at its place', (text, problem) => {
    expect(refusalOf(text)).toContain(problem);
  });

  it('may be nested as deep as it likes', () => {
    expect(refusalOf('['.repeat(100_000))).toBe('1:65 expected at most 64 brackets inside each other');
    expect(plain(read(`${'['.repeat(65)}${']'.repeat(65)}`))).toHaveLength(1);
  });

  it('may have more values than any listing', () => {
    expect(refusalOf(`[${'0,'.repeat(1_000_000)}0]`)).toContain('expected at most 1000000 values');
  });
});

describe('a value', () => {
  it('knows where it stands', () => {
    const value = read('{\n  "a": [\n    true ]}');
    expect(value).toMatchObject({ line: 1, column: 0 });
    const a = value.kind === 'object' ? value.members.get('a') : undefined;
    expect(a).toMatchObject({ line: 2, column: 7, items: [{ line: 3, column: 4, value: true }] });
  });

  it('that is named twice counts as it is named last', () => {
    expect(plain(read('{"a":1,"a":2}'))).toEqual({ a: 2 });
  });
});
