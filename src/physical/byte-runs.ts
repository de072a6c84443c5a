/** Runs of bytes, both ends inclusive as the kernel prints them: joined, cut and painted. All below 2^52, so that sums are exact. */

/** Bytes `[firstByte, lastByte]`, both inclusive, `firstByte <= lastByte`. */
export interface ByteRun {
  readonly firstByte: number;
  readonly lastByte: number;
}

/** A run of bytes that means something. */
export interface Painted<Colour> extends ByteRun {
  readonly colour: Colour;
}

function byAddress(a: ByteRun, b: ByteRun): number {
  return a.firstByte - b.firstByte;
}

/** Sorted, and without overlaps: runs that overlap or touch become one, as in Linux's memblock_add. */
export function united(runs: readonly ByteRun[]): ByteRun[] {
  const joined: ByteRun[] = [];
  for (const { firstByte, lastByte } of runs.toSorted(byAddress)) {
    const last = joined.at(-1);
    if (last === undefined || last.lastByte + 1 < firstByte) joined.push({ firstByte, lastByte });
    else if (last.lastByte < lastByte) joined[joined.length - 1] = { firstByte: last.firstByte, lastByte };
  }
  return joined;
}

/** What `holes` leave of `runs`, which keep what else they are. Both sorted and without overlaps; one pass over both. */
export function without<Run extends ByteRun>(runs: readonly Run[], holes: readonly ByteRun[]): Run[] {
  const left: Run[] = [];
  let next = 0;
  for (const run of runs) {
    let from = run.firstByte;
    while ((holes[next]?.lastByte ?? Number.POSITIVE_INFINITY) < from) next++;
    // a hole may reach into the next run, so `next` stays at the last one that ends in this run
    for (let hole = holes[next]; hole !== undefined && hole.firstByte <= run.lastByte; hole = holes[next]) {
      if (hole.firstByte > from) left.push({ ...run, firstByte: from, lastByte: hole.firstByte - 1 });
      from = hole.lastByte + 1;
      if (hole.lastByte > run.lastByte) break;
      next++;
    }
    if (from <= run.lastByte) left.push({ ...run, firstByte: from, lastByte: run.lastByte });
  }
  return left;
}

/** The parts of `runs` that lie in one of `others`, and which: `join` makes what becomes of them. Both sorted and without overlaps. */
export function meeting<Run extends ByteRun, Other extends ByteRun, Part>(
  runs: readonly Run[],
  others: readonly Other[],
  join: (part: ByteRun, run: Run, other: Other) => Part,
): Part[] {
  const parts: Part[] = [];
  let next = 0;
  for (const run of runs) {
    while ((others[next]?.lastByte ?? Number.POSITIVE_INFINITY) < run.firstByte) next++;
    for (let at = next; at < others.length; at++) {
      const other = others[at] as Other;
      if (other.firstByte > run.lastByte) break;
      const firstByte = Math.max(run.firstByte, other.firstByte);
      parts.push(join({ firstByte, lastByte: Math.min(run.lastByte, other.lastByte) }, run, other));
    }
  }
  return parts;
}

/**
 * Runs that may overlap, told by importance: where several claim a byte, the first one has it. The result is sorted and has no
 * overlaps, and neighbours of one colour are joined. It takes a time that grows with n log n, whatever overlaps whatever.
 */
export function painted<Colour>(runs: readonly Painted<Colour>[]): Painted<Colour>[] {
  const borders = [...new Set(runs.flatMap(({ firstByte, lastByte }) => [firstByte, lastByte + 1]))].sort(
    (a, b) => a - b,
  );
  const indexOf = new Map(borders.map((byte, index) => [byte, index]));
  // cell i is [borders[i], borders[i + 1]); `free[i]` leads to the first cell from i on that has no colour
  const free = Uint32Array.from(borders, (_, cell) => cell);
  const owner = new Int32Array(borders.length).fill(-1);
  const firstFree = (cell: number): number => {
    let root = cell;
    while (free[root] !== root) root = free[root] as number;
    for (let at = cell; at !== root; ) [free[at], at] = [root, free[at] as number];
    return root;
  };
  for (const [index, { firstByte, lastByte }] of runs.entries()) {
    const end = indexOf.get(lastByte + 1) as number;
    for (let cell = firstFree(indexOf.get(firstByte) as number); cell < end; cell = firstFree(cell)) {
      owner[cell] = index;
      free[cell] = cell + 1;
    }
  }

  const pieces: Painted<Colour>[] = [];
  for (let cell = 0; cell + 1 < borders.length; cell++) {
    const run = runs[owner[cell] as number];
    if (run === undefined) continue;
    const [firstByte, lastByte] = [borders[cell] as number, (borders[cell + 1] as number) - 1];
    const last = pieces.at(-1);
    if (last && last.colour === run.colour && last.lastByte + 1 === firstByte) {
      pieces[pieces.length - 1] = { ...last, lastByte };
    } else pieces.push({ colour: run.colour, firstByte, lastByte });
  }
  return pieces;
}
