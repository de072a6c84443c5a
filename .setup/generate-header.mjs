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

/**
 * The text of the header.
 * @param {{ descriptorSizeBytes: number, descriptorLanes: number,
 *   descriptorFields: readonly { name: string, offset: number, sizeBytes: number }[] }} layout
 * @returns {string}
 */
export function headerText({ descriptorSizeBytes, descriptorLanes, descriptorFields }) {
  const identifier = (/** @type {string} */ name) => (cppKeywords.has(name) ? `${name}_` : name);
  return [
    '// GENERATED from src/descriptor/layout.ts by .setup/generate-header.mjs: change the table there, then `npm run build`.',
    '// One field a line reads best in a diff.',
    '// clang-format off',
    '#pragma once',
    '',
    '#include <array>',
    '#include <cstddef>',
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
    'namespace field {',
    ...descriptorFields.map(
      ({ name, offset, sizeBytes }) =>
        `inline constexpr Field ${identifier(name)}{"${name}", ${offset}, ${sizeBytes}};`,
    ),
    '}  // namespace field',
    '',
    '// Sorted by offset; fields that overlap are members of a union.',
    'inline constexpr std::array kFields{',
    ...descriptorFields.map(({ name }) => `    field::${identifier(name)},`),
    '};',
    '',
    '}  // namespace vmemmap',
    '',
  ].join('\n');
}

async function main() {
  const { descriptorFields, descriptorLanes } = await import('../dist/src/descriptor/layout.js');
  const { descriptorSizeBytes } = await import('../dist/src/physical/geometry.js');
  const wanted = headerText({ descriptorSizeBytes, descriptorLanes, descriptorFields });
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
