/** The states of ranges: each edge, those that there are not, and what a look at the word proves. */
import { beforeEach, describe, expect, it } from 'vitest';
import { rangeWord, regionLayout } from '../../dist/src/region/layout.js';
import {
  generationOf,
  liveWordOf,
  type RangeStateName,
  RangeStates,
  rangeStateOf,
  seemsLive,
} from '../../dist/src/region/range-states.js';

const hot = 1;
const layout = regionLayout([{ pages: 1, chunks: 1, segments: [] }], undefined, { ranges: 2, pages: 1, chunks: 1 });
let control: Int32Array<SharedArrayBuffer>;
let states: RangeStates;

beforeEach(() => {
  control = new Int32Array(new SharedArrayBuffer(layout.controlSizeBytes));
  states = new RangeStates(control, layout);
  states.reserve(hot);
});

const stateOf = (slot: number): RangeStateName => rangeStateOf(states.load(slot));

/** Takes a hot slot to a state, in its first generation. */
const ways: Record<RangeStateName, () => void> = {
  absent: () => {},
  adding: () => states.begin(hot),
  live: () => {
    states.begin(hot);
    states.publish(hot);
  },
  removing: () => {
    ways.live();
    states.retire(hot);
  },
};

const edges = {
  begin: { from: 'absent', to: 'adding' },
  publish: { from: 'adding', to: 'live' },
  giveUp: { from: 'adding', to: 'absent' },
  retire: { from: 'live', to: 'removing' },
  vacate: { from: 'removing', to: 'absent' },
} as const;
type Edge = keyof typeof edges;
const everyEdge = Object.entries(edges).map(([name, { from, to }]) => [name as Edge, from, to] as const);
const everyOther = everyEdge.flatMap(([name, from]) =>
  (Object.keys(ways) as RangeStateName[]).filter((state) => state !== from).map((state) => [name, state] as const),
);

describe('the state of a range', () => {
  it('is LIVE in fresh memory for a range of the plan, and ABSENT for a slot that was reserved', () => {
    expect(control[rangeWord(layout, 0, 'state')]).toBe(0);
    expect([stateOf(0), stateOf(hot)]).toEqual(['live', 'absent']);
    expect([generationOf(states.load(0)), generationOf(states.load(hot))]).toEqual([0, 0]);
  });

  it.each(everyEdge)('%s takes it from %s to %s', (name, from, to) => {
    ways[from]();
    expect(stateOf(hot)).toBe(from);
    states[name](hot);
    expect(stateOf(hot)).toBe(to);
  });

  it.each(everyOther)('%s is no edge from %s: a defect, and nothing changes', (name, state) => {
    ways[state]();
    const word = states.load(hot);
    expect(() => states[name](hot)).toThrow('broken invariant');
    expect(states.load(hot)).toBe(word);
  });

  it('changes for no other slot', () => {
    ways.removing();
    expect([stateOf(0), states.load(2)]).toEqual(['live', 0]);
  });

  it('has another generation with each range that comes, and the one that was there is not live any more', () => {
    const first = states.begin(hot);
    states.publish(hot);
    const found = { state: states.indexOf(hot), liveWord: first };
    expect([states.load(hot), states.isLive(found), seemsLive(control, found)]).toEqual([first, true, true]);
    states.retire(hot);
    expect([states.isLive(found), seemsLive(control, found)]).toEqual([false, false]);
    states.vacate(hot);
    const second = states.begin(hot);
    expect(second).not.toBe(first);
    expect(states.isLive({ ...found, liveWord: second })).toBe(false);
    states.publish(hot);
    expect([states.isLive(found), seemsLive(control, found)]).toEqual([false, false]);
    expect(states.isLive({ ...found, liveWord: second })).toBe(true);
  });

  it('of an addition that was given up leaves no generation that a range had or will have', () => {
    const given = states.begin(hot);
    states.giveUp(hot);
    expect(states.begin(hot)).not.toBe(given);
  });

  it('keeps its generation apart from its state up to the last one, and begins again behind that', () => {
    const last = 2 ** 29 - 1;
    control[states.indexOf(hot)] = ((last - 1) << 2) | 2;
    expect(generationOf(states.begin(hot))).toBe(last);
    states.publish(hot);
    expect([stateOf(hot), generationOf(states.load(hot)), liveWordOf(states.load(hot))]).toEqual([
      'live',
      last,
      2 ** 31 - 4,
    ]);
    states.retire(hot);
    states.vacate(hot);
    expect(generationOf(states.begin(hot))).toBe(0);
  });

  it('of another region is taken over where a range is live; what was on its way is absent', () => {
    for (const [state, expected] of [
      ['live', 'live'],
      ['adding', 'absent'],
      ['removing', 'absent'],
      ['absent', 'absent'],
    ] as const) {
      const word = (5 << 2) | { live: 0, removing: 1, absent: 2, adding: 3 }[state];
      states.inherit(hot, word);
      expect([stateOf(hot), generationOf(states.load(hot))]).toEqual([expected, 5]);
    }
  });
});

describe('the version of the set of ranges', () => {
  it('goes up with each change, and wakes who waits for one', async () => {
    const before = states.version();
    const changed = states.untilChanged(before, 60_000);
    const keepAlive = setTimeout(() => {}, 60_000);
    states.changed();
    await changed;
    clearTimeout(keepAlive);
    expect(states.version()).toBe(before + 1);
    // it has changed already
    await states.untilChanged(before, 60_000);
  });

  it('is waited for no longer than asked', async () => {
    const keepAlive = setTimeout(() => {}, 60_000);
    await states.untilChanged(states.version(), 10);
    clearTimeout(keepAlive);
  });
});
