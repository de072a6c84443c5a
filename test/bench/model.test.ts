/** The model of larger machines: its form, and its error against what was published. */
import { describe, expect, it } from 'vitest';
import {
  checkPublished,
  completionMs,
  faultUs,
  fitModel,
  nsPerPage,
  predictEightSockets,
  published,
} from '../../bench/model.mjs';

const model = { threadNs: 10, nodeNs: 1, sharpness: 4 };

describe('the model', () => {
  it('is the cost of a thread where memory is no limit, and of the node where threads are none', () => {
    expect(nsPerPage({ ...model, nodeNs: 0 }, 1)).toBeCloseTo(10, 12);
    expect(nsPerPage({ ...model, nodeNs: 0 }, 5)).toBeCloseTo(2, 12);
    expect(nsPerPage(model, 1e9)).toBeCloseTo(1, 12);
  });

  it('takes less the more threads there are, never less than the node, and in proportion to the pages', () => {
    for (let threads = 1; threads < 100; threads++) {
      expect(nsPerPage(model, threads + 1)).toBeLessThan(nsPerPage(model, threads));
      expect(nsPerPage(model, threads)).toBeGreaterThan(1);
    }
    const ms = (pagesPerNode: number) => completionMs(model, { pagesPerNode, threadsPerNode: 4 });
    expect(ms(3e6)).toBeCloseTo(3 * ms(1e6), 9);
  });

  it('finds its own parameters again', () => {
    const times = [1, 2, 4, 16, 64].map((threads) => ({
      threads,
      ms: completionMs(model, { pagesPerNode: 1e6, threadsPerNode: threads }),
    }));
    const found = fitModel(1e6, times);
    expect(found.threadNs).toBeCloseTo(10, 1);
    expect(found.nodeNs).toBeCloseTo(1, 1);
    expect(found.sharpness).toBeCloseTo(4, 0);
  });

  it('meets the published ends, and errs by at most 17 % between them', () => {
    const { points } = checkPublished();
    expect(points.map(({ threads }) => threads)).toEqual([1, 6, 13, 52]);
    expect(Math.abs(points[0]?.error ?? 1)).toBeLessThan(0.005);
    expect(Math.abs(points[3]?.error ?? 1)).toBeLessThan(0.005);
    for (const { error } of points) expect(Math.abs(error)).toBeLessThan(0.17);
    expect(published.pages).toBe(100_663_296);
  });

  it('lets a fault cost its chunk at the share of one thread, and more on a busier node', () => {
    const machine = { pagesPerNode: 2 ** 28, chunkPages: 32_768 };
    const alone = faultUs(model, { ...machine, threadsPerNode: 0 });
    expect(alone).toEqual({
      claimUs: 32.768 * nsPerPage(model, 1),
      waitChance: 0,
      meanUs: 32.768 * nsPerPage(model, 1),
    });
    const busy = faultUs(model, { ...machine, threadsPerNode: 52 });
    expect(busy.claimUs).toBeGreaterThan(alone.claimUs);
    expect(busy.waitChance).toBeCloseTo(52 / 8192, 12);
  });

  it('predicts the machine of 2018 from four minutes to seconds', () => {
    const { serialMinutes, firstTouchMs, againMs } = predictEightSockets({ firstTouchNs: 6.4, againNs: 2.3 });
    expect(serialMinutes).toBeCloseTo(3.97, 1);
    expect(firstTouchMs).toBeGreaterThan(againMs);
    expect(firstTouchMs).toBeLessThan(4000);
  });
});
