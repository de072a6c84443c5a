/**
 * Draws the plots of the README from results: `node bench/plot.mjs [RESULTS.json] [--out-dir FOLDER]`, where RESULTS.json is what
 * `npm run bench -- --out RESULTS.json` wrote. A plot whose suite is missing is left out, and told.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'out-dir': { type: 'string', default: here('plots') } },
});

const width = 760;
const colours = ['#2563eb', '#d97706', '#059669', '#7c3aed'];
const [ink, faint] = ['#1f2937', '#d1d5db'];

const escapeText = (text) =>
  String(text).replace(/[&<>]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[sign]);
const short = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3).replace(/\.?0+$/, ''));

/** @param {number} x @param {number} y @param {string} content @param {{ anchor?: string, size?: number, fill?: string, weight?: number, turn?: number }} [style] */
function text(x, y, content, { anchor = 'start', size = 13, fill = ink, weight = 400, turn } = {}) {
  const turned = turn === undefined ? '' : ` transform="rotate(${turn} ${x} ${y})"`;
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}" fill="${fill}"${turned}>${escapeText(content)}</text>`;
}

/** A picture with a title, and the machine that it was measured on at its foot. */
function picture(title, subtitle, height, footer, parts) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" role="img">`,
    `<title>${escapeText(title)}</title>`,
    // a ground of its own, so that it is read on dark pages, too
    `<rect width="${width}" height="${height}" rx="10" fill="#ffffff"/>`,
    text(24, 34, title, { size: 18, weight: 600 }),
    text(24, 54, subtitle, { fill: '#4b5563' }),
    ...parts,
    text(24, height - 14, footer, { size: 10, fill: '#6b7280' }),
    '</svg>',
    '',
  ].join('\n');
}

/** What the conditions of a result tell of the machine: all but what is particular, and the command. */
function machineOf({ conditions }) {
  return conditions.split('; ').slice(1, -1).join('; ');
}

/** Horizontal bars, one for each `{ label, value, colour }`. */
function bars(title, subtitle, unit, rows, footer) {
  const [left, right, top, step] = [250, 90, 76, 34];
  const most = Math.max(...rows.map(({ value }) => value));
  const parts = rows.flatMap(({ label, value, colour }, index) => {
    const y = top + index * step;
    const length = Math.max(1, ((width - left - right) * value) / most);
    return [
      text(left - 10, y + 17, label, { anchor: 'end' }),
      `<rect x="${left}" y="${y + 3}" width="${length.toFixed(1)}" height="20" rx="3" fill="${colours[colour]}"/>`,
      text(left + length + 8, y + 17, `${short(value)} ${unit}`, { weight: 600 }),
    ];
  });
  return picture(title, subtitle, top + rows.length * step + 36, footer, parts);
}

/** Where values lie on an axis from `from` to `to` pixels; logarithmic ones have a tick at each power of their base. */
function axis(all, from, to, { log, zero = false, base = 10 }) {
  const bend = log ? (value) => Math.log(value) / Math.log(base) : (value) => value;
  const low = log ? Math.floor(bend(Math.min(...all))) : zero ? 0 : Math.min(...all);
  const high = log ? Math.ceil(bend(Math.max(...all))) : Math.max(...all) * 1.1;
  const at = (value) => from + ((bend(value) - low) / (high - low || 1)) * (to - from);
  const count = log ? high - low : 4;
  const ticks = Array.from({ length: count + 1 }, (_, index) =>
    log ? base ** (low + index) : low + ((high - low) * index) / count,
  );
  return { at, ticks };
}

/**
 * Lines over a common x: `series` of `{ name, colour, dashed, points: [x, y][] }`, in a panel from `top` of this height.
 * @param {{ xLabel: string, yLabel: string, x: object, y: object, xTick: (value: number) => string }} look
 */
function panel(series, top, height, { xLabel, yLabel, x, y, xTick }) {
  const [left, right] = [80, 190];
  const points = series.flatMap((one) => one.points);
  const across = axis(
    points.map(([value]) => value),
    left,
    width - right,
    x,
  );
  const up = axis(
    points.map(([, value]) => value),
    top + height,
    top,
    y,
  );
  const xs = [...new Set(points.map(([value]) => value))];
  return [
    ...up.ticks.flatMap((tick) => [
      `<line x1="${left}" x2="${width - right}" y1="${up.at(tick).toFixed(1)}" y2="${up.at(tick).toFixed(1)}" stroke="${faint}"/>`,
      text(left - 8, up.at(tick) + 4, short(tick), { anchor: 'end', size: 11 }),
    ]),
    ...xs.map((value) => text(across.at(value), top + height + 18, xTick(value), { anchor: 'middle', size: 11 })),
    text((left + width - right) / 2, top + height + 38, xLabel, { anchor: 'middle', size: 12 }),
    text(24, top + height / 2, yLabel, { anchor: 'middle', size: 12, turn: -90 }),
    ...series.flatMap(({ name, colour, dashed, points: own }, index) => {
      const path = own
        .map(([a, b], at) => `${at ? 'L' : 'M'}${across.at(a).toFixed(1)} ${up.at(b).toFixed(1)}`)
        .join('');
      const dash = dashed ? ' stroke-dasharray="6 4"' : '';
      const y0 = top + 12 + index * 22;
      return [
        `<path d="${path}" fill="none" stroke="${colours[colour]}" stroke-width="2.5"${dash}/>`,
        ...own.map(
          ([a, b]) =>
            `<circle cx="${across.at(a).toFixed(1)}" cy="${up.at(b).toFixed(1)}" r="3.5" fill="${colours[colour]}"/>`,
        ),
        `<line x1="${width - right + 16}" x2="${width - right + 44}" y1="${y0}" y2="${y0}" stroke="${colours[colour]}" stroke-width="2.5"${dash}/>`,
        text(width - right + 52, y0 + 4, name, { size: 12 }),
      ];
    }),
  ];
}

const pagesTick = (pages) => (pages >= 1024 ? `${pages / 1024}k` : String(pages));

/** Each plot by the name of its file: made from the results of its suite, which are not empty. */
const plots = {
  'first-touch': [
    'first-touch',
    (results) =>
      speeds(
        'First touch, 1 TiB of memory',
        'Descriptors written, from the call of open until all are initialized',
        results.filter(({ size }) => size === '1 TiB'),
      ),
  ],
  reinit: [
    'reinit',
    (results) =>
      speeds('Re-initialization', 'Descriptors written again over memory that is there, threads running', results),
  ],
  'fault-latency': [
    'fault-latency',
    (results) => {
      const rows = results.filter(({ name }) => name.startsWith('faults that found nothing ready'));
      const series = (name, colour, key) => ({ name, colour, points: rows.map((row, index) => [index, row[key]]) });
      const look = {
        xLabel: 'share of the faults that were not slower',
        yLabel: 'µs',
        x: { log: false },
        y: { log: true },
        xTick: (index) => rows[index].name.split(', ')[1],
      };
      return picture(
        'Faults while the background works at full load',
        'Faults that found nothing ready, 1 TiB, first touch',
        400,
        machineOf(rows[0]),
        panel([series('default chunks', 0, 'ours'), series('1/1024 of the range', 1, 'peerValue')], 80, 230, look),
      );
    },
  ],
  'chunk-study': [
    'chunk-study',
    (results) => {
      const series = (name, colour, backing, figure, dashed) => ({
        name,
        colour,
        dashed,
        points: results
          .filter((row) => row.backing === backing && row.figure === figure)
          .map((row) => [row.chunkPages, row.ours])
          .sort(([a], [b]) => a - b),
      });
      const x = { log: true, base: 2 };
      const faults = [
        series('huge pages, 99 %', 0, 'huge', 'p99', true),
        series('huge pages, median', 0, 'huge', 'p50'),
        series('small pages, 99 %', 1, 'shared', 'p99', true),
        series('small pages, median', 1, 'shared', 'p50'),
      ];
      const ready = [
        series('huge pages, 1 TiB', 0, 'huge', 'ready'),
        series('small pages, 256 GiB', 1, 'shared', 'ready'),
      ];
      return picture(
        'How large should a chunk be?',
        'A fault a millisecond at random pfns while the background works; the last point is 1/1024 of the range',
        680,
        machineOf(results[0]),
        [
          ...panel(faults, 80, 220, {
            xLabel: '',
            yLabel: 'µs a fault that claims',
            x,
            y: { log: true },
            xTick: pagesTick,
          }),
          ...panel(ready, 370, 200, {
            xLabel: 'pages in a chunk',
            yLabel: 'ms until all is ready',
            x,
            y: { log: false, zero: true },
            xTick: pagesTick,
          }),
        ],
      );
    },
  ],
  scaling: [
    'scaling',
    (results) => {
      const rows = results.filter(({ gib }) => gib !== undefined);
      const series = (name, colour, key) => ({ name, colour, points: rows.map((row) => [row.gib, row[key]]) });
      const look = {
        xLabel: 'memory that is described',
        yLabel: 'GB/s of descriptors',
        x: { log: true, base: 4 },
        y: { log: false, zero: true },
        xTick: (gib) => (gib >= 1024 ? `${gib / 1024} TiB` : `${gib} GiB`),
      };
      return picture(
        'First touch by size',
        'From the call of open until all is initialized, in a fresh process; starting threads counts',
        400,
        machineOf(rows[0]),
        panel([series('vmemmap', 0, 'ours'), series('C++ roofline', 1, 'peerValue')], 80, 230, look),
      );
    },
  ],
};

/** Bars of ours and of each peer once. */
function speeds(title, subtitle, results) {
  const rows = new Map();
  for (const { name, ours, peer, peerValue } of results) {
    const label = name.replace(/^.*: /, '');
    rows.set(`vmemmap, ${label}`, { value: ours, colour: 0 });
    if (peerValue !== null && !rows.has(peer))
      rows.set(peer === 'C++ roofline' ? `${peer}, ${label}` : peer, { value: peerValue, colour: 1 });
  }
  const list = [...rows].map(([label, row]) => ({ label, ...row })).sort((a, b) => b.value - a.value);
  return bars(title, subtitle, 'GB/s', list, machineOf(results[0]));
}

const results = JSON.parse(readFileSync(positionals[0] ?? here('results.json'), 'utf8'));
mkdirSync(values['out-dir'], { recursive: true });
for (const [file, [suite, draw]] of Object.entries(plots)) {
  const own = results.filter((result) => result.suite === suite);
  if (own.length === 0) process.stderr.write(`plot: ${file} left out: no results of ${suite}\n`);
  else writeFileSync(`${values['out-dir']}/${file}.svg`, draw(own));
}
