/** The picture of a machine: sound XML whatever is in it, few enough shapes, and what a person looks for is to be seen. */
import { SaxesParser } from 'saxes';
import { describe, expect, it } from 'vitest';
import { drawTopology } from '../../dist/src/observe/topology-svg.js';
import type { Topology } from '../../dist/src/physical/topology.js';
import { reportOf, simulated, smallMachine, striped } from './topology-machines.js';

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  text: string;
}

/** Reads XML strictly: any error of its form fails the test. */
function parse(svg: string): Element {
  const parser = new SaxesParser();
  const root: Element = { name: '', attributes: {}, children: [], text: '' };
  const open = [root];
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name, attributes }) => {
    const element: Element = { name, attributes, children: [], text: '' };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on('text', (text) => {
    (open.at(-1) as Element).text += text;
  });
  parser.on('closetag', () => open.pop());
  parser.write(svg).close();
  return root.children[0] as Element;
}

/** All elements below one, itself first. */
function all(element: Element): Element[] {
  return [element, ...element.children.flatMap(all)];
}

function draw(topology: Topology): Element {
  return parse(drawTopology(reportOf(topology)));
}

/** What the tooltips say, those of the whole picture left out. */
function tooltips(svg: Element): string[] {
  return all(svg)
    .filter(({ name, attributes }) => name === 'title' && attributes['id'] === undefined)
    .map(({ text }) => text);
}

/** The shape that has a tooltip which begins like this. */
function shapeOf(svg: Element, told: string): Element {
  const shape = all(svg).find(({ children }) =>
    children.some(({ name, text }) => name === 'title' && text.startsWith(told)),
  );
  if (!shape) throw new Error(`no shape says: ${told}`);
  return shape;
}

/** Everything that is drawn. */
function shapes(svg: Element): Element[] {
  return all(svg).filter(({ name }) => ['rect', 'path', 'text', 'line', 'circle', 'polygon', 'use'].includes(name));
}

/** What labels say. */
function labels(svg: Element): string[] {
  return all(svg)
    .filter(({ name }) => name === 'text' || name === 'tspan')
    .map(({ text }) => text);
}

const extents = (nid: number, ...pfns: readonly (readonly [number, number])[]): Topology['memory'] =>
  pfns.map(([startPfn, endPfn]) => ({ nid, kind: 'ram', startPfn, endPfn }));
const TiB = 2 ** 28;

describe('the picture', () => {
  it('is one image with a title and a description, and brings its style along', () => {
    const svg = draw(smallMachine);
    expect(svg.name).toBe('svg');
    expect(svg.attributes).toMatchObject({
      xmlns: 'http://www.w3.org/2000/svg',
      role: 'img',
      'aria-labelledby': 'vm-title',
    });
    const [title, desc, style] = svg.children;
    expect(title).toMatchObject({ name: 'title', text: 'Physical memory of a machine read from a file' });
    expect(desc?.text).toBe(
      'x86-64, pages of 4 KiB · Linux 6.1.0. 4 nodes · 224 MiB of RAM · 128 MiB of devices · memmap 6.00 MiB · 8,290 pages unavailable. ' +
        'Node 0: 95.6 MiB · CPUs 0-2,8, addresses 0x0 to 0x6000000. Node 1: 128 MiB · no CPUs, addresses 0x6000000 to 0x10000000. ' +
        'Node 2: 128 MiB of devices · CPU 4, addresses 0x20002000 to 0x28000000. Node 3: no memory.',
    );
    expect(style?.text).toContain('@media (prefers-color-scheme:dark){');
  });

  it('refers to nothing outside of itself and runs nothing', () => {
    const svg = drawTopology(reportOf(smallMachine));
    expect(svg).not.toMatch(/<script|<foreignObject|<image|\bhref=|\son\w+=|@import|javascript:|data:/i);
    expect([...svg.matchAll(/https?:[^"]*/g)].map(String)).toEqual(['http://www.w3.org/2000/svg']);
    const ids = new Set(all(parse(svg)).map(({ attributes }) => attributes['id']));
    const used = [...svg.matchAll(/url\(#([^)]*)\)/g)].map(([, id]) => id);
    expect(used.filter((id) => !ids.has(id))).toEqual([]);
    expect(used.length).toBeGreaterThan(0);
  });

  it('tells exact pfns and pages of every stretch', () => {
    const told = tooltips(draw(smallMachine));
    expect(told).toContain(
      'node 0, zone DMA: reserved (kernel)\npfns 0x10 to 0x1f: 16 pages, 64.0 KiB\naddresses 0x10000 to 0x1ffff',
    );
    expect(told).toContain('node 0, zone DMA: unavailable\npfns 0x0 to 0x0: 1 page, 4.00 KiB\naddresses 0x0 to 0xfff');
    expect(told).toContain(
      'node 2, zone Device: present (devdax map=dev, 2 MiB)\npfns 0x20200 to 0x27fff: 32,256 pages, 126 MiB\naddresses 0x20200000 to 0x27ffffff',
    );
    expect(told).toContain(
      'node 2, zone Device: altmap (devdax map=dev, 2 MiB)\npfns 0x20002 to 0x201ff: 510 pages, 1.99 MiB\naddresses 0x20002000 to 0x201fffff',
    );
  });

  it('has a tooltip on each shape that stands for pages, of a use that its fill shows', () => {
    const svg = draw(smallMachine);
    expect(shapeOf(svg, 'node 0, zone DMA: reserved').attributes['fill']).toBe('url(#vm-DMA-reserved)');
    expect(shapeOf(svg, 'node 1, zone DMA32: unavailable').attributes['fill']).toBe('url(#vm-DMA32-unavailable)');
    expect(shapeOf(svg, 'node 2, zone Device: altmap').attributes['fill']).toBe('url(#vm-Device-altmap)');
    expect(shapeOf(svg, 'node 2, zone Device: present').attributes['class']).toBe('vm-Device vm-edge');
    const bars = all(svg).filter(({ name, attributes }) => name === 'rect' && attributes['height'] === '22');
    expect(bars.filter(({ children }) => children[0]?.name !== 'title')).toEqual([]);
  });

  it('shows a hole of 4 MiB at 1 MiB and a node of 1 TiB, both', () => {
    const memory = [...extents(0, [1, 0x100], [0x500, 0x8000]), ...extents(1, [TiB, 2 * TiB])];
    const svg = draw({ ...smallMachine, memory, reserved: [] });
    const hole = shapeOf(svg, 'node 0, zone DMA: unavailable\npfns 0x100 to 0x4ff:');
    expect(Number(hole.attributes['width'])).toBeGreaterThan(20);
    const node = shapeOf(svg, 'node 1, zone Normal: present\npfns 0x10000000 to 0x1fffffff:');
    expect(Number(node.attributes['width'])).toBeGreaterThan(300);
  });

  it('draws nodes to one scale', () => {
    const memory = [...extents(0, [0, TiB]), ...extents(1, [TiB, TiB + TiB / 4])];
    const svg = draw({ ...smallMachine, memory, reserved: [], source: 'simulated' });
    const widths = all(svg)
      .filter(({ children }) => /zone Normal: present/.test(children[0]?.text ?? ''))
      .map(({ attributes }) => Number(attributes['width']));
    // the whole machine first, where 5 TiB/4 take all the room, and then each node
    const [first, second, large, small] = widths as [number, number, number, number];
    expect((large - small * 4) / large).toBeCloseTo(0, 1);
    expect(first / second).toBeCloseTo(4, 1);
  });

  it('cuts long absent stretches out, and tells which', () => {
    const memory = [...extents(0, [0, 0x10_0000], [TiB, TiB + 0x10_0000])];
    const svg = draw({ ...smallMachine, memory, reserved: [] });
    expect(tooltips(svg)).toContain(
      'absent: cut out here\npfns 0x100000 to 0xfffffff: 267,386,880 pages, 1020 GiB\naddresses 0x100000000 to 0xffffffffff',
    );
    const [left, right] = [shapeOf(svg, 'node 0, zone DMA32'), shapeOf(svg, 'node 0, zone Normal')];
    expect(Number(left.attributes['width'])).toBeGreaterThan(200);
    expect(Number(right.attributes['width'])).toBeGreaterThan(200);
  });

  it('draws what is too thin as one, and says what it is', () => {
    const memory = extents(0, [0, 0x10_0000], [0x10_0001, 0x10_0002], [0x10_0003, TiB]);
    const told = tooltips(draw({ ...smallMachine, memory, reserved: [] }));
    expect(told).toContain(
      'node 0, zone Normal: 3 stretches, too thin to be told apart\npfns 0x100000 to 0x100002: 3 pages, 12.0 KiB\n' +
        'addresses 0x100000000 to 0x100002fff\npages: 1 present, 2 unavailable',
    );
  });

  it('says so where nodes that are too thin are drawn as one', () => {
    const memory = [...extents(0, [0, 0x8000]), ...extents(1, [0x8000, 0x1_0000]), ...extents(2, [0x1_0000, TiB])];
    expect(tooltips(draw({ ...smallMachine, memory, reserved: [] }))).toContain(
      'node 0, zone DMA and others: 3 stretches, too thin to be told apart\npfns 0x0 to 0xffff: 65,536 pages, 256 MiB\n' +
        'addresses 0x0 to 0xfffffff\npages: 65,536 present',
    );
  });

  it('has addresses below the bars, in hexadecimal digits and in binary units', () => {
    const svg = draw(smallMachine);
    expect(labels(svg)).toContain('0x20002000 to 0x28000000 · 512 MiB to 640 MiB');
    const low = labels(svg).indexOf('below 4 GiB');
    expect(labels(svg).slice(low)).toContain('0x1000000');
    expect(labels(svg).slice(low)).toContain('16 MiB');
  });

  it('tells two addresses apart that are nearly the same', () => {
    const memory = extents(0, [32 * TiB, 32 * TiB + 512]);
    expect(labels(draw({ ...smallMachine, memory, reserved: [] }))).toContain(
      '0x200000000000 to 0x200008000000 · 32 TiB to 32.0001 TiB',
    );
  });

  it('names the nodes that have no memory, and no others', () => {
    expect(labels(draw(smallMachine))).toContain('no memory: node 3');
    expect(labels(parse(drawTopology(simulated('2x1GiB')))).some((label) => label.startsWith('no memory'))).toBe(false);
  });

  it('breaks lines that would not fit a telephone', () => {
    const kernel = `6.1.${'0'.repeat(100)}`;
    const source = 'sysfs-blocks';
    const told = labels(draw({ ...smallMachine, source, kernel }));
    expect(told.slice(0, 6)).toEqual([
      "Physical memory of this machine, read from sysfs's",
      'memory blocks',
      'x86-64, pages of 4 KiB',
      `Linux 6.1.${'0'.repeat(43)}…`,
      '4 nodes · 224 MiB of RAM · 128 MiB of devices · memmap 6.00 MiB',
      '8,290 pages unavailable',
    ]);
  });

  it('of one node has no second bar for all memory', () => {
    const told = labels(parse(drawTopology(simulated('1x8GiB'))));
    expect(told).not.toContain('all memory');
    expect(told).toContain('node 0');
    expect(labels(parse(drawTopology(simulated('2x8GiB'))))).toContain('all memory');
  });

  it('shows what lies below 4 GiB only where there are borders to be shown', () => {
    expect(labels(parse(drawTopology(simulated('8x3TiB:pmem'))))).not.toContain('below 4 GiB');
    expect(labels(draw({ ...smallMachine, memory: extents(0, [TiB, 2 * TiB]), reserved: [] }))).not.toContain(
      'below 4 GiB',
    );
    expect(labels(parse(drawTopology(simulated('1x1GiB'))))).toContain('below 4 GiB');
  });
});

describe('a hostile file', () => {
  it.each([
    ['elements', '</title><script>alert(1)</script>'],
    ['quotes and entities', '"\'><rect onload="alert(1)"/>&amp;&bogus;]]>'],
    ['characters that XML forbids', 'a\u0000b\u0008c\u001bd\u007fe\ufffef\ud800g\udc00h'],
    ['text from right to left', '\u202eright to left\u2066'],
    ['too many letters', 'x'.repeat(100_000)],
    ['letters beyond the first plane', '\u{1f4be}'.repeat(200)],
    ['comments', '--><!-- <![CDATA['],
  ])('cannot break the picture by a name of %s', (_, name) => {
    const reserved = [{ startPfn: 0x10, endPfn: 0x20, what: name }];
    const drawn = drawTopology(reportOf({ ...smallMachine, kernel: `6.1 ${name}`, reserved, notes: [name] }));
    const svg = parse(drawn);
    // a long name breaks a line, which makes a text more
    const names = (of: Element): string[] => all(of).map((element) => element.name);
    const isNoText = (element: string): boolean => element !== 'text';
    expect(names(svg).filter(isNoText)).toEqual(names(draw(smallMachine)).filter(isNoText));
    expect(shapeOf(svg, 'node 0, zone DMA: reserved (').children).toHaveLength(1);
    expect(drawn).not.toMatch(/(?!\n)\p{C}/u);
    expect(drawn.length).toBeLessThan(drawTopology(reportOf(smallMachine)).length + 5000);
  });

  it.each([
    ['one node, 65,000 extents of one page', striped(1, 65_000, 1)],
    ['one node, 20,000 extents of a section', striped(1, 20_000, 32_768)],
    ['24 nodes that take turns', striped(24, 6000, 40_000)],
    ['25 nodes that take turns', striped(25, 6000, 40_000)],
    ['1024 nodes that take turns', striped(1024, 8192, 32_768)],
    ['1024 nodes of one extent', striped(1024, 1024, 2 ** 18)],
  ])('has at most 2000 shapes: %s', (_, topology) => {
    const svg = draw(topology);
    expect(shapes(svg).length).toBeLessThanOrEqual(2000);
    expect(shapes(svg).length).toBeGreaterThan(30);
  });

  it('has at most 2000 shapes where every other page is reserved', () => {
    const memory = extents(0, [1, 2 ** 22]);
    const reserved = Array.from({ length: 60_000 }, (_, index) => ({
      startPfn: 0x1000 + index * 64,
      endPfn: 0x1020 + index * 64,
      what: '<&>'.repeat(40),
    }));
    const drawn = drawTopology(reportOf({ ...smallMachine, memory, reserved }));
    expect(shapes(parse(drawn)).length).toBeLessThanOrEqual(2000);
    expect(drawn.length).toBeLessThan(400_000);
  });

  it('keeps every shape inside the picture', () => {
    for (const topology of [striped(1, 3000, 77), striped(5, 400, 2 ** 20), smallMachine]) {
      const svg = draw(topology);
      const [, , width = 0, height = 0] = (svg.attributes['viewBox'] ?? '').split(' ').map(Number);
      for (const { name, attributes } of all(svg)) {
        if (name !== 'rect' || attributes['x'] === undefined) continue;
        const [x, y, w, h] = ['x', 'y', 'width', 'height'].map((key) => Number(attributes[key])) as [
          number,
          number,
          number,
          number,
        ];
        expect(x).toBeGreaterThanOrEqual(0);
        expect(w).toBeGreaterThan(0);
        expect(x + w).toBeLessThanOrEqual(width);
        expect(y + h).toBeLessThanOrEqual(height);
      }
    }
  });

  it('fills what is drawn as one by the rarest use where it is thin, and by the most pages where it is wide', () => {
    const reserved = Array.from({ length: 60_000 }, (_, index) => ({
      startPfn: 0x10_0000 + index * 64,
      endPfn: 0x10_0010 + index * 64,
      what: 'a quarter',
    }));
    const wide = draw({ ...smallMachine, memory: extents(0, [1, 5_000_000]), reserved });
    const filled = all(wide)
      .filter(({ children }) => /zone Normal: [\d,]+ stretches/.test(children[0]?.text ?? ''))
      .filter(({ attributes }) => Number(attributes['width']) > 3);
    expect(filled.length).toBeGreaterThan(10);
    expect([...new Set(filled.map(({ attributes }) => attributes['class']?.split(' ')[0]))]).toEqual(['vm-Normal']);
    const thin = draw({ ...smallMachine, memory: extents(0, [1, TiB]), reserved: reserved.slice(0, 2) });
    expect(shapeOf(thin, 'node 0, zone Normal: 3 stretches').attributes['fill']).toBe('url(#vm-Normal-reserved)');
  });

  it('shares bars among more than 24 nodes', () => {
    const told = labels(draw(striped(50, 50, 2 ** 18))).filter((label) => label.startsWith('nodes '));
    expect(told).toHaveLength(17);
    expect(told[0]).toBe('nodes 0 to 2');
    expect(told.at(-1)).toBe('nodes 48 to 49');
  });

  it('of no memory at all is drawn without bars', () => {
    const svg = draw({ ...smallMachine, memory: [], reserved: [] });
    expect(labels(svg)).toContain('no memory: nodes 0-3');
  });
});
