/** Makes sure that dist and the addon are built when vitest is started without `npm test`. */
import { setUp } from '../.setup/ensure.mjs';

export default async function globalSetup(): Promise<void> {
  await setUp();
}
