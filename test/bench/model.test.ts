/** The model of completion and fault latency, beside the published figures that it is fitted on and those that it is not. */
import { describe, expect, it } from 'vitest';
import {
  completionNs,
  errorAt,
  faultNs,
  fitMachine,
  leaveOneOut,
  nodeNs,
  predict2018,
  published,
  transfer,
  unitNs,
} from '../../bench/model.mjs';

const { pages, points } = published;
const machine = fitMachine(pages, points);
const percents = (errors: { threads: number; error: number }[]): [number, number][] =>
  errors.map(({ threads, error }) => [threads, Math.round(error * 1000) / 10]);

describe('the time of a node', () => {
  it('is cost times pages for one thread, whatever the exponent, and the fixed time once', () => {
    for (const exponent of [0.5, 1, 3.5, 32]) {
      const one = { costNs: 17.5, saturatedNs: 1.25, exponent };
      expect(nodeNs(one, { pages: 1000, threads: 1 })).toBeCloseTo(17_500, 6);
      expect(nodeNs({ ...one, fixedNs: 250 }, { pages: 1000, threads: 1 })).toBeCloseTo(17_750, 6);
      expect(nodeNs({ ...one, fixedNs: 250 }, { pages: 0, threads: 1 })).toBe(250);
    }
  });

  it('falls with every thread and never goes below saturation', () => {
    const times = Array.from({ length: 256 }, (_, index) => unitNs(machine, index + 1));
    for (const [index, ns] of times.entries()) {
      if (index > 0) expect(ns).toBeLessThan(times[index - 1] as number);
      expect(ns).toBeGreaterThan(machine.saturatedNs);
    }
    expect(unitNs(machine, 1e6)).toBeCloseTo(machine.saturatedNs, 6);
  });

  it('does not change with threads where one of them takes the whole bandwidth', () => {
    expect(unitNs({ costNs: 5, saturatedNs: 5, exponent: 3 }, 8)).toBeCloseTo(5, 9);
  });

  it('grows with memory, and the slowest node decides', () => {
    const node = { pages: 2 ** 20, threads: 4 };
    const larger = { pages: 2 ** 20 + 1, threads: 4 };
    expect(nodeNs(machine, larger)).toBeGreaterThan(nodeNs(machine, node));
    expect(completionNs(machine, [node, larger, node])).toBe(nodeNs(machine, larger));
  });
});

describe('the fit on the table of 2020', () => {
  it('has these errors, in percent', () => {
    expect(
      percents(points.map((point) => ({ threads: point.threads, error: errorAt(machine, pages, point) }))),
    ).toEqual([
      [1, 0],
      [6, -15.7],
      [13, 5.7],
      [52, -1.7],
    ]);
  });

  it('misses a point that is left out by this much, in percent', () => {
    expect(percents(leaveOneOut(pages, points))).toEqual([
      [1, 17.4],
      [6, -16.8],
      [13, 38.1],
      [52, -62.5],
    ]);
  });

  it('has an exponent that misses no point of other machines by more than a quarter', () => {
    const errors = transfer(machine.exponent).flatMap((other) => other.errors.map(({ error }) => error));
    expect(errors).toHaveLength(16);
    expect(Math.max(...errors.map(Math.abs))).toBeLessThan(0.25);
  });

  it('finds the machine again whose times it is given', () => {
    const known = { costNs: 20, saturatedNs: 2, exponent: 2.5 };
    const made = [1, 3, 9, 40].map((threads) => ({ threads, ms: nodeNs(known, { pages, threads }) / 1e6 }));
    const found = fitMachine(pages, made);
    expect(found.costNs).toBeCloseTo(20, 6);
    expect(found.saturatedNs).toBeCloseTo(2, 4);
    expect(found.exponent).toBeCloseTo(2.5, 4);
  });
});

describe('the latency of a fault', () => {
  const guest = { costNs: 48.5, storeNs: 3.7, saturatedNs: 3.7, exponent: 4 };
  const node = { pages: 2 ** 28, threads: 2 };

  it('is clearing, filling, and waiting times its probability', () => {
    const { clearNs, fillNs, waitNs, waitShare, totalNs } = faultNs(guest, node, 4096);
    expect(waitShare).toBe(2 / 2 ** 16);
    expect(waitNs).toBe((clearNs + fillNs) / 2);
    expect(totalNs).toBe(clearNs + fillNs + waitShare * waitNs);
  });

  it('clears one huge page at least, and all that a large chunk covers', () => {
    const clear = (chunkPages: number): number => faultNs(guest, node, chunkPages).clearNs;
    expect(clear(512)).toBe(clear(32_768));
    expect(clear(65_536)).toBeCloseTo(2 * clear(32_768), 3);
  });

  it('clears nothing on memory that is there', () => {
    expect(faultNs(machine, node, 4096).clearNs).toBe(0);
  });

  it('grows with the chunk, which is the node at most, and with the threads beside it', () => {
    const total = (chunkPages: number, threads: number): number =>
      faultNs(guest, { ...node, threads }, chunkPages).totalNs;
    expect(total(8192, 2)).toBeGreaterThan(total(4096, 2));
    expect(total(4096, 16)).toBeGreaterThan(total(4096, 2));
    expect(total(2 ** 30, 2)).toBe(total(2 ** 28, 2));
  });
});

describe('the prediction for 2018', () => {
  it('needs no size for completion: a machine of twice the cost has half the memory', () => {
    const doubled = { ...machine, costNs: machine.costNs * 2, saturatedNs: machine.saturatedNs * 2 };
    expect(predict2018(doubled).everythingS).toBeCloseTo(predict2018(machine).everythingS, 6);
    expect(predict2018(doubled).impliedTib).toBeCloseTo(predict2018(machine).impliedTib / 2, 6);
  });
});
