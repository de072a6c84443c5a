/**
 * Writes native/descriptor_layout.generated.h from the one table of the descriptor's layout, so that C++ never has an
 * offset typed by hand. With `--check` it writes nothing and exits 1 when the committed header is stale. Needs dist.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const headerPath = fileURLToPath(new URL('../native/descriptor_layout.generated.h', import.meta.url));

/** Words that C++ keeps to itself; a field of that name gets a trailing underscore. */
const cppKeywords = new Set([
  'class',
  'delete',
  'new',
  'operator',
  'private',
  'protected',
  'public',
  'template',
  'this',
]);

/** @typedef {{ name: string, offset: number, sizeBytes: number }} Field */

/** @param {string} name @returns {string} */
const identifierOf = (name) => (cppKeywords.has(name) ? `${name}_` : name);

/**
 * The name of a layout as a namespace: `before-4.18` is `before_4_18`, `4.18` is `since_4_18`.
 * @param {string} name
 * @returns {string}
 */
const namespaceOf = (name) => (/^\d/.test(name) ? `since-${name}` : name).replace(/[-.]/g, '_');

/**
 * The fields of one layout.
 * @param {{ name: string, fields: readonly Field[] }} layout
 * @returns {string[]}
 */
function layoutText({ name: layout, fields }) {
  const constants = fields.map(
    ({ name, offset, sizeBytes }) =>
      `inline constexpr Field ${identifierOf(name)}{"${name}", ${offset}, ${sizeBytes}};`,
  );
  return [
    `namespace ${namespaceOf(layout)} {`,
    ...constants,
    '',
    '// Sorted by offset; fields that overlap are members of a union.',
    'inline constexpr std::array kFields{',
    ...fields.map(({ name }) => `    ${identifierOf(name)},`),
    '};',
    `}  // namespace ${namespaceOf(layout)}`,
    '',
  ];
}

/**
 * The text of the header.
 * @param {{ descriptorSizeBytes: number, descriptorLanes: number,
 *   layouts: readonly { name: string, fields: readonly Field[] }[] }} table
 * @returns {string}
 */
export function headerText({ descriptorSizeBytes, descriptorLanes, layouts }) {
  return [
    '// GENERATED from src/descriptor/layout.ts by .setup/generate-header.mjs: change the table there, then `npm run build`.',
    '// One field a line reads best in a diff.',
    '// clang-format off',
    '#pragma once',
    '',
    '#include <array>',
    '#include <cstddef>',
    '#include <span>',
    '#include <string_view>',
    '',
    'namespace vmemmap {',
    '',
    `inline constexpr std::size_t kDescriptorSizeBytes = ${descriptorSizeBytes};`,
    `inline constexpr std::size_t kDescriptorLanes = ${descriptorLanes};`,
    '',
    'struct Field {',
    '  std::string_view name;',
    '  std::size_t offset;',
    '  std::size_t size_bytes;',
    '};',
    '',
    '// The fields of a descriptor, by the kernel version that brought them.',
    'struct DescriptorLayout {',
    '  std::string_view name;',
    '  std::span<const Field> fields;',
    '};',
    '',
    ...layouts.flatMap(layoutText),
    'inline constexpr std::array kLayouts{',
    ...layouts.map(({ name }) => `    DescriptorLayout{"${name}", ${namespaceOf(name)}::kFields},`),
    '};',
    '',
    '}  // namespace vmemmap',
    '',
  ].join('\n');
}

async function main() {
  const { descriptorLayouts, descriptorLanes } = await import('../dist/src/descriptor/layout.js');
  const { descriptorSizeBytes } = await import('../dist/src/physical/geometry.js');
  const wanted = headerText({ descriptorSizeBytes, descriptorLanes, layouts: Object.values(descriptorLayouts) });
  let present = '';
  try {
    present = readFileSync(headerPath, 'utf8');
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
  }
  if (present === wanted) return;
  if (process.argv.includes('--check')) {
    process.stderr.write(
      'vmemmap: native/descriptor_layout.generated.h is stale: run `npm run build` and commit what it wrote\n',
    );
    process.exitCode = 1;
    return;
  }
  writeFileSync(headerPath, wanted);
  process.stderr.write('vmemmap: wrote native/descriptor_layout.generated.h\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
