/** SVG as text: marks, scales with their ticks, and a sheet with title, legend and footnote. */

export const colours = Object.freeze({
  ours: '#0f5fb0',
  peer: '#d9772b',
  text: '#1c2430',
  faint: '#5c6675',
  grid: '#dfe3e8',
});
export const sheetWidth = 780;
export const margin = 24;
/** Between the margins. */
export const inner = sheetWidth - 2 * margin;

const escaped = (/** @type {string} */ content) =>
  content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const round = (/** @type {unknown} */ value) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value);

/** An element; numbers are rounded to what an eye can see. */
export function element(name, attributes, content = '') {
  const told = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return `<${name}${told.map(([key, value]) => ` ${key}="${round(value)}"`).join('')}>${content}</${name}>`;
}

/** Text with a white rim, so that it stays readable across lines. */
export function text(x, y, content, { size = 12, fill = colours.text, ...more } = {}) {
  const rim = { stroke: '#fff', 'stroke-width': 4, 'stroke-linejoin': 'round', 'paint-order': 'stroke' };
  return element('text', { x, y, 'font-size': size, fill, ...rim, ...more }, escaped(content));
}

export const line = (x1, y1, x2, y2, stroke = colours.grid) => element('line', { x1, y1, x2, y2, stroke });
export const dot = (cx, cy, r, stroke, fill = stroke) =>
  element('circle', { cx, cy, r, fill, stroke, 'stroke-width': 2 });

/** How wide a text comes out, nearly: no font is at hand to ask. */
export const textWidth = (/** @type {string} */ content, size = 12) => content.length * size * 0.58;

/** Small faint text, broken between words, and where the next thing may begin. */
export function paragraph(x, y, content, size = 10.5) {
  const lines = [''];
  for (const word of content.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (textWidth(longer, size) > inner) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  const marks = lines.map((told, index) => text(x, y + index * (size + 3), told, { size, fill: colours.faint }));
  return { marks, bottom: y + lines.length * (size + 3) };
}

/** 1, 2 and 5 times powers of ten. */
const steps = Array.from({ length: 54 }, (_, index) => Number(`${[1, 2, 5][index % 3]}e${Math.floor(index / 3) - 6}`));
export const powersOfTwo = Object.freeze(Array.from({ length: 40 }, (_, index) => 2 ** index));

/** From 0 to a tick at or above the largest value. */
export function linearScale(values, from, to) {
  const most = Math.max(...values, steps[0]);
  const step = steps.find((candidate) => most / candidate <= 6) ?? most;
  const count = Math.ceil(most / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(6)));
  return { at: (value) => from + (value / (count * step)) * (to - from), ticks };
}

/** Between ticks around all values, which are above 0. */
export function logScale(values, from, to, candidates = steps) {
  const first = candidates.findLast((candidate) => candidate <= Math.min(...values));
  const last = candidates.find((candidate) => candidate >= Math.max(...values) && candidate > first);
  const inside = candidates.filter((candidate) => candidate >= first && candidate <= last);
  const isFew = candidates !== steps || last / first <= 300;
  const at = (value) => from + (Math.log(value / first) / Math.log(last / first)) * (to - from);
  return { at, ticks: isFew ? inside : inside.filter((tick) => String(tick).replace(/[^1-9]/g, '') === '1') };
}

/** A legend in one row: a line for each entry, or a hollow dot. */
export function legend(y, entries) {
  let next = margin;
  return entries.map(({ label, colour, dash, isHollow }) => {
    const x = next;
    next += textWidth(label) + 54;
    const stroke = { stroke: colour, 'stroke-width': 2.5, 'stroke-dasharray': dash };
    const swatch = isHollow
      ? dot(x + 12, y - 4, 5, colour, '#fff')
      : element('line', { x1: x, y1: y - 4, x2: x + 24, y2: y - 4, ...stroke });
    return swatch + text(x + 30, y, label);
  });
}

/** The sheet: white in either mode, so that dark text stays readable. */
export function sheet({ title, subtitle, marks, bottom, footnote }) {
  const foot = paragraph(margin, bottom + 18, footnote, 10);
  const height = foot.bottom + 8;
  const frame = {
    x: 0.5,
    y: 0.5,
    width: sheetWidth - 1,
    height: height - 1,
    rx: 10,
    fill: '#fff',
    stroke: colours.grid,
  };
  const heading = text(margin, 34, title, { size: 17, 'font-weight': 600 });
  const under = text(margin, 54, subtitle, { fill: colours.faint });
  const shown = [element('title', {}, escaped(title)), element('rect', frame), heading, under, ...marks, ...foot.marks];
  const size = { viewBox: `0 0 ${sheetWidth} ${round(height)}`, width: sheetWidth, height };
  const how = { role: 'img', 'font-family': 'system-ui, sans-serif' };
  return `${element('svg', { xmlns: 'http://www.w3.org/2000/svg', ...size, ...how }, `\n${shown.join('\n')}\n`)}\n`;
}
