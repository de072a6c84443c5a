/** SVG as text: elements, what is safe to write into them, and the style of the picture in light and in dark. */
import { type PageUse, type ZoneName, zoneNames } from '../physical/zones.ts';

/** What a stretch of a bar shows: pages of a use, or no page at all. */
export type ShownUse = PageUse | 'hole';

/** Characters that a name from a file may have in a tooltip. */
const nameLengthMax = 80;

/**
 * Text as it may stand in XML, as content or in quotes. Names come from files that anybody may have written: what XML 1.0
 * forbids (control characters, lone surrogates) and what changes the direction of text becomes U+FFFD.
 */
export function escapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&apos;',
  };
  return text.replace(/(?!\n)\p{C}/gu, '\ufffd').replace(/[&<>"']/g, (character) => entities[character] ?? '');
}

/** A name from a file, cut where it is too long. */
export function shortName(name: string, lengthMax: number = nameLengthMax): string {
  // by code points, of which each has two units at most: half of one would be no text
  const characters = Array.from(name.slice(0, 2 * lengthMax + 2));
  return characters.length > lengthMax ? `${characters.slice(0, lengthMax - 1).join('')}…` : name;
}

/** Attributes of an element; undefined ones are left out, numbers rounded to what an eye can see. */
export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** An element around content that is XML already. */
export function element(name: string, attributes: Attributes, content = ''): string {
  const told = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? rounded(value) : escapeXml(value as string)}"`);
  return content === '' ? `<${name}${told.join('')}/>` : `<${name}${told.join('')}>${content}</${name}>`;
}

/** Two digits behind the point, which is less than a screen's pixel. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A text, with a class of {@link styleSheet}. */
export function text(x: number, y: number, content: string, classes: string, more: Attributes = {}): string {
  return element('text', { x, y, class: classes, ...more }, escapeXml(content));
}

/** What a browser shows while the pointer rests on a shape. */
export function tooltip(lines: readonly string[]): string {
  return element('title', {}, escapeXml(lines.join('\n')));
}

/** Fills: of a zone, or of a zone and a use that is hatched. Legends have a zone of their own, `any`. */
export type FillZone = ZoneName | 'any';

/** The value of a fill: a class for plain zones, a pattern for what is hatched. */
export function fillOf(zone: FillZone, use: ShownUse): Attributes {
  return use === 'present' ? { class: `vm-${zone}` } : { fill: `url(#${patternId(zone, use)})` };
}

function patternId(zone: FillZone, use: ShownUse): string {
  return use === 'hole' ? 'vm-hole' : `vm-${zone}-${use}`;
}

/** Lines of the hatches, in a tile of 6 × 6, and their classes. */
const hatches: Readonly<Record<Exclude<ShownUse, 'present'>, readonly [path: string, classes: string]>> = {
  unavailable: ['M-1 7L7-1M-4 4L4-4M2 10L10 2', 'vm-cut'],
  reserved: ['M-1-1L7 7M-4 2L4 10M2-4L10 4', 'vm-ink'],
  altmap: ['M1.5 0V6M4.5 0V6', 'vm-ink'],
  hole: ['M-1 7L7-1', 'vm-thin'],
};

/** Definition of the pattern of a hatched fill. */
export function pattern(zone: FillZone, use: Exclude<ShownUse, 'present'>): string {
  const [path, classes] = hatches[use];
  const ground = element('rect', { width: 6, height: 6, class: use === 'hole' ? 'vm-ground' : `vm-${zone}` });
  const tile = { id: patternId(zone, use), width: 6, height: 6, patternUnits: 'userSpaceOnUse' };
  return element('pattern', tile, ground + element('path', { d: path, class: classes }));
}

/** Colours of one mode. Those of zones are told apart by people who see few colours, and by their lightness. */
interface Colours {
  readonly ground: string;
  readonly ink: string;
  readonly faint: string;
  readonly line: string;
  /** Hatch of holes. */
  readonly hole: string;
  readonly any: string;
  readonly zones: Readonly<Record<ZoneName, readonly [fill: string, label: string]>>;
}

const light: Colours = {
  ground: '#ffffff',
  ink: '#1c2430',
  faint: '#566070',
  line: '#8e99a7',
  hole: '#97a2b0',
  any: '#aab4c0',
  zones: {
    DMA: ['#e8a317', '#1c2430'],
    DMA32: ['#7cc4ee', '#1c2430'],
    Normal: ['#1668ac', '#ffffff'],
    Movable: ['#0b8f6a', '#ffffff'],
    Device: ['#d48ab8', '#1c2430'],
  },
};

const dark: Colours = {
  ground: '#12161c',
  ink: '#e6eaf0',
  faint: '#9aa6b5',
  line: '#6b7686',
  hole: '#5a6678',
  any: '#76818f',
  zones: {
    DMA: ['#e0a030', '#12161c'],
    DMA32: ['#8fd0f5', '#12161c'],
    Normal: ['#2f7cc4', '#ffffff'],
    Movable: ['#23a67f', '#12161c'],
    Device: ['#c77fb0', '#12161c'],
  },
};

function colourRules({ ground, ink, faint, line, hole, any, zones }: Colours): string {
  const fills = zoneNames.map((zone) => {
    const [fill, label] = zones[zone];
    return `.vm-${zone}{fill:${fill}}.vm-in-${zone}{fill:${label}}`;
  });
  return [
    `.vm-picture{background:${ground}}`,
    `.vm-ground{fill:${ground}}.vm-text{fill:${ink}}.vm-faint{fill:${faint}}.vm-any{fill:${any}}`,
    `.vm-cut{stroke:${ground}}.vm-ink{stroke:${ink}}.vm-thin{stroke:${hole}}.vm-tick{stroke:${line}}.vm-edge{stroke:${ground}}.vm-break{stroke:${faint};fill:${ground}}`,
    ...fills,
  ].join('\n');
}

/** Font sizes by class, in units of the drawing: where it is shrunk to a telephone's width, and where it is not. */
const sizes: readonly (readonly [classes: string, narrow: number, wide: number])[] = [
  ['vm-title', 17, 15],
  ['vm-label', 15, 11],
  ['vm-small', 13, 10],
  ['vm-mono', 13, 9],
];

/** Width of a monospaced character in units of the drawing, where it is narrow and where it is wide. */
export const monoWidths: Readonly<Record<'narrow' | 'wide', number>> = { narrow: 13 * 0.605, wide: 9 * 0.605 };

/** The style sheet. Its classes begin with `vm-`, as a picture that is pasted into a page shares them with it. */
export function styleSheet(): string {
  const sizeRules = (column: 1 | 2): string => sizes.map((size) => `.${size[0]}{font-size:${size[column]}px}`).join('');
  return [
    '.vm-picture{max-width:100%;height:auto;font-family:system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}',
    '.vm-mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}',
    '.vm-title{font-weight:600}.vm-strong{font-weight:600}.vm-in{pointer-events:none}.vm-wide{display:none}',
    '.vm-cut{stroke-width:2}.vm-ink{stroke-width:1;stroke-opacity:.75}.vm-thin{stroke-width:1}.vm-tick{stroke-width:.8;fill:none}',
    '.vm-edge{stroke-width:.8}.vm-break{stroke-width:.8}',
    sizeRules(1),
    `@media (min-width:560px){${sizeRules(2)}.vm-wide{display:inline}}`,
    colourRules(light),
    `@media (prefers-color-scheme:dark){${colourRules(dark)}}`,
  ].join('\n');
}
