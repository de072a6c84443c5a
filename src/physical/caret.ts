/** Shows a person the column at which reading a line of text stopped. */

/** Refuses a text at a line counted from 1 and a column counted from 0. */
export type RefuseLine = (line: number, column: number, problem: string) => never;

/** Columns shown at most, and how many of them may lie before the place: a hostile line may be megabytes long. */
const shownColumns = 100;
const leadColumns = 60;

/**
 * Two lines: `line`, or the part of it around `column`, and a caret below that column. Tabs become one blank and everything
 * that is not printable ASCII a question mark, so that the caret stands right and no escape sequence reaches a terminal.
 * @param column counted from 0 in UTF-16 units; the end of the line is a place too.
 */
export function pointAt(line: string, column: number): string {
  const from = Math.max(0, column - leadColumns);
  const ellipsis = from > 0 ? '...' : '';
  const shown = line
    .slice(from, from + shownColumns)
    .replaceAll('\t', ' ')
    .replace(/[^ -~]/g, '?');
  return `  ${ellipsis}${shown}\n  ${' '.repeat(ellipsis.length + column - from)}^`;
}
