/** Kernel releases, as `uname -r` and boot logs spell them: 4.19.19, 5.11.0-rc4-00015-g45dfb8a5659a, 6.1. */

/** A release that can be compared. */
export interface Release {
  /** What {@link version} gives: larger for a later release. */
  readonly age: number;
  /** Whether it is a distribution's build of a stable kernel, whose patch level the name hides, such as `5.10.0-8-amd64`. */
  readonly isDistribution: boolean;
}

/** A version as one number that can be compared: 5.11.7 is 5011007. Each part is below 1000. */
export function version(major: number, minor: number, patch = 0): number {
  return major * 1_000_000 + minor * 1000 + patch;
}

/** Reads a release; undefined for what does not begin with a version. */
export function parseRelease(release: string): Release | undefined {
  const [, major, minor, patch = '0', rest = ''] = /^(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(.*)$/s.exec(release) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  // linux-next holds what the release after this one will have
  const next = /-next-\d/.test(rest) ? 1 : 0;
  return {
    age: version(Number(major), Number(minor) + next, Number(patch)),
    isDistribution: patch === '0' && /^-\d{1,4}-[a-z]/.test(rest),
  };
}

/** Whether a release is `major.minor` or a later one; false for what is no release. */
export function atLeast(release: string, major: number, minor: number): boolean {
  const parsed = parseRelease(release);
  return parsed !== undefined && parsed.age >= version(major, minor);
}
