/** Kernel releases, as `uname -r` and boot logs spell them: 4.19.19, 5.11.0-rc4-00015-g45dfb8a5659a, 6.1. */

/** Whether a release is `major.minor` or a later one; false for what is no release. */
export function atLeast(release: string, major: number, minor: number): boolean {
  const [, majorText, minorText] = /^(\d{1,4})\.(\d{1,4})(?!\d)/.exec(release) ?? [];
  const [itsMajor, itsMinor] = [Number(majorText), Number(minorText)];
  return itsMajor > major || (itsMajor === major && itsMinor >= minor);
}
