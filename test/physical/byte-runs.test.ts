/** Tests of runs of bytes: small cases by hand, and any case against sets of bytes. */
import { fc, test as prop } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { type ByteRun, meeting, painted, united, without } from '../../dist/src/physical/byte-runs.js';

const run = (firstByte: number, lastByte: number): ByteRun => ({ firstByte, lastByte });

describe('runs', () => {
  it('that touch or overlap are joined, whatever their order', () => {
    expect(united([run(10, 19), run(0, 4), run(5, 9), run(30, 30), run(12, 15)])).toEqual([run(0, 19), run(30, 30)]);
    expect(united([run(0, 4), run(6, 9)])).toEqual([run(0, 4), run(6, 9)]);
    expect(united([])).toEqual([]);
  });

  it('lose holes, also one that reaches over several of them, and keep what else they are', () => {
    const named = [
      { ...run(0, 9), name: 'a' },
      { ...run(20, 29), name: 'b' },
      { ...run(40, 49), name: 'c' },
    ];
    expect(without(named, [run(5, 44)])).toEqual([
      { ...run(0, 4), name: 'a' },
      { ...run(45, 49), name: 'c' },
    ]);
    expect(without([run(0, 9)], [run(0, 0), run(9, 9)])).toEqual([run(1, 8)]);
    expect(without([run(0, 9)], [run(0, 9)])).toEqual([]);
    expect(without([run(0, 9)], [])).toEqual([run(0, 9)]);
  });

  it('are cut where others meet them', () => {
    const parts = meeting([run(0, 9), run(20, 29)], [run(5, 24), run(26, 26)], (part) => part);
    expect(parts).toEqual([run(5, 9), run(20, 24), run(26, 26)]);
  });

  it('are painted by the first that claims a byte, and neighbours of a colour are joined', () => {
    const colours = painted([
      { ...run(10, 19), colour: 'a' },
      { ...run(0, 29), colour: 'b' },
      { ...run(30, 39), colour: 'b' },
    ]);
    expect(colours).toEqual([
      { ...run(0, 9), colour: 'b' },
      { ...run(10, 19), colour: 'a' },
      { ...run(20, 39), colour: 'b' },
    ]);
    expect(painted([])).toEqual([]);
    expect(painted([{ ...run(2 ** 52 - 1, 2 ** 52 - 1), colour: 1 }])).toEqual([
      { ...run(2 ** 52 - 1, 2 ** 52 - 1), colour: 1 },
    ]);
  });
});

const anyRun = fc.tuple(fc.nat(40), fc.nat(12)).map(([first, more]) => run(first, first + more));
const anyRuns = fc.array(anyRun, { maxLength: 12 });
const bytesOf = (runs: readonly ByteRun[]): number[] =>
  runs.flatMap(({ firstByte, lastByte }) =>
    Array.from({ length: lastByte - firstByte + 1 }, (_, at) => firstByte + at),
  );

prop.prop([anyRuns, anyRuns])('whatever the runs are, their bytes are those of sets', (a, b) => {
  const [runs, holes] = [united(a), united(b)];
  const [inA, inB] = [new Set(bytesOf(a)), new Set(bytesOf(b))];
  const sorted = (set: Iterable<number>): number[] => [...set].sort((x, y) => x - y);
  expect(bytesOf(runs)).toEqual(sorted(inA));
  expect(bytesOf(without(runs, holes))).toEqual(sorted(inA).filter((byte) => !inB.has(byte)));
  expect(bytesOf(meeting(runs, holes, (part) => part))).toEqual(sorted(inA).filter((byte) => inB.has(byte)));
});

prop.prop([anyRuns])('whatever overlaps, each byte has the colour of the first run that holds it', (runs) => {
  const pieces = painted(runs.map((one, colour) => ({ ...one, colour })));
  const told = pieces.flatMap(({ colour, ...piece }) => bytesOf([piece]).map((byte) => [byte, colour]));
  const wanted = [...new Set(bytesOf(runs))]
    .sort((x, y) => x - y)
    .map((byte) => [byte, runs.findIndex(({ firstByte, lastByte }) => firstByte <= byte && byte <= lastByte)]);
  expect(told).toEqual(wanted);
});
