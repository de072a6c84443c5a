/** `node bench/plot.mjs RESULTS.json [--out-dir bench/plots]`: draws the list of `npm run bench -- --out RESULTS.json` as SVG. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as svg from './support/svg.mjs';

const { colours, dot, element, inner, line, margin, sheetWidth, text } = svg;
const pair = [colours.ours, colours.peer];

/** What is particular to a measurement, the size in it, and the machines, with the command: the parts of `conditions`. */
const whatOf = ({ conditions }) => conditions.split('; ')[0];
const sizeOf = (result) => whatOf(result).split(/ of |,/)[0];
const footnoteOf = (results) =>
  [...new Set(results.map(({ conditions }) => conditions.split('; ').slice(1).join('; ')))].join(' | ');
/** Three digits, or all before the point. */
const number = (value) => (value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

/** Results under headings, a row or several each, over one horizontal axis. */
function rows(results, { title, subtitle, unit, scale, left, top, legend = [], headingOf, draw }) {
  const headings = [...new Set(results.map(headingOf))];
  let y = top;
  const drawn = headings.flatMap((heading) => {
    const group = results.filter((result) => headingOf(result) === heading);
    const under = svg.paragraph(margin, y + 15, whatOf(group[0]));
    const marks = [text(margin, y, heading, { size: 13, 'font-weight': 600 }), ...under.marks];
    y = under.bottom;
    for (const { label, mark } of draw(group)) {
      marks.push(text(left - 8, y + 12, label, { 'text-anchor': 'end', size: 11.5 }), mark(y + 8));
      y += 19;
    }
    y += 24;
    return marks;
  });
  const bottom = y - 18;
  const axis = scale.ticks.flatMap((tick) => [
    line(scale.at(tick), top - 14, scale.at(tick), bottom),
    text(scale.at(tick), bottom + 15, String(tick), { 'text-anchor': 'middle', size: 11 }),
  ]);
  const marks = [...axis, ...legend, ...drawn, text(left, bottom + 33, unit)];
  return svg.sheet({ title, subtitle, marks, bottom: bottom + 40, footnote: footnoteOf(results) });
}

/** Throughputs as bars, ours once and every peer, with the least and the most of the trials as whiskers. */
function bars(results, title, subtitle) {
  const left = margin + 190;
  const most = results.flatMap(({ ours, peerValue, spread, peerSpread }) => [
    spread?.max ?? ours,
    peerSpread?.max ?? peerValue,
  ]);
  const scale = svg.linearScale(most, left, sheetWidth - margin - 56);
  const bar = (label, value, colour, { min, max } = { min: value, max: value }) => ({
    label,
    mark: (y) => {
      const [end, low, high] = [value, min, max].map(scale.at);
      const whisker = [
        line(low, y, high, y, colours.text),
        ...[low, high].map((x) => line(x, y - 3, x, y + 3, colours.text)),
      ];
      const body = element('rect', { x: left, y: y - 7, width: Math.max(end - left, 1), height: 14, fill: colour });
      return [body, ...whisker, text(Math.max(end, high) + 6, y + 4, number(value), { size: 11.5 })].join('');
    },
  });
  return rows(results, {
    title,
    subtitle: `${subtitle}; medians, whiskers from the least to the most of the trials`,
    unit: 'GB/s of descriptors (longer is better)',
    scale,
    left,
    top: 78,
    headingOf: ({ name }) => name,
    draw: (group) => [
      bar('vmemmap', group[0].ours, colours.ours, group[0].spread),
      ...group.map(({ peer, peerValue, peerSpread }) => bar(peer, peerValue, colours.peer, peerSpread)),
    ],
  });
}

/** Pairs of dots: a bar would need a zero, and a logarithmic axis has none. */
function faultLatency(all) {
  const results = all.filter(({ unit, ours, peerValue }) => unit === 'µs' && ours > 0 && peerValue > 0);
  const left = margin + 60;
  const scale = svg.logScale(
    results.flatMap(({ ours, peerValue }) => [ours, peerValue]),
    left,
    sheetWidth - margin - 130,
  );
  const labels = ['vmemmap, default chunks', results[0].peer];
  return rows(results, {
    title: 'Latency of a fault',
    subtitle: 'While threads initialize everything',
    unit: 'µs (further left is better)',
    scale,
    left,
    top: 104,
    legend: svg.legend(
      76,
      labels.map((label, index) => ({ label, colour: pair[index] })),
    ),
    headingOf: ({ name }) => name.slice(0, name.lastIndexOf(', ')),
    draw: (group) =>
      group.map(({ name, ours, peerValue }) => ({
        label: name.slice(name.lastIndexOf(', ') + 2),
        mark: (y) => {
          const [mine, theirs] = [ours, peerValue].map(scale.at);
          const values = text(sheetWidth - margin - 112, y + 4, `${number(ours)} / ${number(peerValue)} µs`, {
            size: 11.5,
          });
          return (
            line(mine, y, theirs, y, colours.faint) + dot(theirs, y, 4, pair[1]) + dot(mine, y, 4, pair[0]) + values
          );
        },
      })),
  });
}

/** One panel of lines: x by powers of two, y linear from 0 or logarithmic. */
function panel({ x, y, width, height, title, xLabel, yLabel, series, isLog = false, xText = String }) {
  const points = series.flatMap((one) => one.points);
  const [left, top, right, bottom] = [x + 50, y + 14, x + width - 10, y + height - 42];
  const across = svg.logScale(
    points.map((point) => point.x),
    left,
    right,
    svg.powersOfTwo,
  );
  const up = (isLog ? svg.logScale : svg.linearScale)(
    points.map((point) => point.y),
    bottom,
    top,
  );
  // so many labels as have room
  const room = Math.max(...across.ticks.map((tick) => svg.textWidth(xText(tick), 11))) + 8;
  const every = Math.ceil((room * across.ticks.length) / (right - left));
  const middle = { 'text-anchor': 'middle' };
  const [axisX, axisY] = [x + 10, (top + bottom) / 2];
  return [
    text(x, y, title, { size: 13, 'font-weight': 600 }),
    ...up.ticks.flatMap((tick) => [
      line(left, up.at(tick), right, up.at(tick)),
      text(left - 6, up.at(tick) + 4, String(tick), { 'text-anchor': 'end', size: 11 }),
    ]),
    line(left, bottom, right, bottom, colours.faint),
    ...across.ticks.flatMap((tick, index) => [
      line(across.at(tick), bottom, across.at(tick), bottom + 4, colours.faint),
      index % every === 0 ? text(across.at(tick), bottom + 18, xText(tick), { ...middle, size: 11 }) : '',
    ]),
    text((left + right) / 2, bottom + 36, xLabel, middle),
    text(axisX, axisY, yLabel, { ...middle, transform: `rotate(-90 ${axisX} ${axisY})` }),
    ...series.flatMap(({ colour, dash, points: own }) => {
      const places = own
        .toSorted((a, b) => a.x - b.x)
        .map((point) => [across.at(point.x), up.at(point.y), point.isHollow]);
      const path = places.map(([cx, cy]) => `${cx.toFixed(1)},${cy.toFixed(1)}`).join(' ');
      const stroke = { stroke: colour, 'stroke-width': 2, 'stroke-dasharray': dash };
      return [
        element('polyline', { points: path, fill: 'none', ...stroke }),
        ...places.map(([cx, cy, isHollow]) => (isHollow ? dot(cx, cy, 5, colour, '#fff') : dot(cx, cy, 3, colour))),
      ];
    }),
  ];
}

/** 32 Ki for 32768. */
const binary = (value) => (value >= 1024 ? `${value / 1024} Ki` : String(value));

function chunkStudy(results) {
  const kinds = [
    { backing: 'huge', label: 'huge pages', colour: colours.ours },
    { backing: 'shared', label: 'small pages', colour: colours.peer },
  ]
    .map((kind) => ({ ...kind, own: results.filter(({ backing, ours }) => backing === kind.backing && ours > 0) }))
    .filter(({ own }) => own.length > 0);
  const series = (wanted, dash) =>
    kinds.map(({ colour, own }) => {
      const points = own.filter(({ figure }) => figure === wanted);
      return { colour, dash, points: points.map((of) => ({ x: of.chunkPages, y: of.ours, isHollow: of.isRange })) };
    });
  const same = { x: margin, width: inner, isLog: true, xLabel: 'pages in a chunk', xText: binary };
  const faults = [...series('p50'), ...series('p99', '6 4')];
  const marks = [
    ...svg.legend(76, [
      ...kinds.map(({ label, colour, own }) => ({ label: `${label}, ${sizeOf(own[0])}`, colour })),
      { label: 'p50', colour: colours.faint },
      { label: 'p99', colour: colours.faint, dash: '6 4' },
      { label: '1/1024 of the range', colour: colours.faint, isHollow: true },
    ]),
    ...panel({ ...same, y: 106, height: 300, title: 'A fault that finds nothing ready', yLabel: 'µs', series: faults }),
    ...panel({
      ...same,
      y: 426,
      height: 240,
      title: 'Until everything is ready',
      yLabel: 'ms',
      series: series('ready'),
    }),
  ];
  const subtitle = 'A fault a millisecond at random pages of fresh memory, while threads initialize everything';
  return svg.sheet({
    title: 'What the size of a chunk costs',
    subtitle,
    marks,
    bottom: 666,
    footnote: footnoteOf(results),
  });
}

function scaling(results) {
  const sets = [
    { key: 'gib', title: 'By size', xLabel: 'memory described (GiB)', x: margin },
    { key: 'threads', title: 'By threads', xLabel: 'threads', x: margin + inner / 2 + 10 },
  ].filter(({ key }) => results.some((result) => result[key] !== undefined));
  const panels = sets.flatMap(({ key, title, ...place }) => {
    const own = results.filter((result) => result[key] !== undefined);
    const fixed = key === 'gib' ? own[0].name.split(', ')[1] : sizeOf(own[0]);
    const series = ['ours', 'peerValue'].map((field, index) => {
      return { colour: pair[index], points: own.map((result) => ({ x: result[key], y: result[field] })) };
    });
    return panel({
      ...place,
      y: 106,
      width: inner / 2 - 10,
      height: 300,
      title: `${title}, ${fixed}`,
      yLabel: 'GB/s',
      series,
    });
  });
  const labels = ['vmemmap', results[0].peer];
  const marks = [
    ...svg.legend(
      76,
      labels.map((label, index) => ({ label, colour: pair[index] })),
    ),
    ...panels,
  ];
  const subtitle = 'Open to ready on memory that nobody has touched';
  return svg.sheet({ title: 'Scaling of first touch', subtitle, marks, bottom: 406, footnote: footnoteOf(results) });
}

const plots = {
  'first-touch': (results) => bars(results, 'First touch', 'Open to ready on memory that nobody has touched'),
  reinit: (results) => bars(results, 'Re-initialization', 'Everything once more, on memory that is there'),
  'chunk-study': chunkStudy,
  'fault-latency': faultLatency,
  scaling,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'out-dir': { type: 'string', default: fileURLToPath(new URL('plots', import.meta.url)) } },
});
if (positionals.length !== 1) {
  process.stderr.write('plot: node bench/plot.mjs RESULTS.json [--out-dir FOLDER]\n');
  process.exit(2);
}
const list = JSON.parse(readFileSync(positionals[0], 'utf8'));
mkdirSync(values['out-dir'], { recursive: true });
for (const [suite, draw] of Object.entries(plots)) {
  const results = list.filter((result) => result.suite === suite);
  if (results.length === 0) process.stderr.write(`plot: ${suite} skipped: the file has no record of it\n`);
  else writeFileSync(join(values['out-dir'], `${suite}.svg`), draw(results));
}
