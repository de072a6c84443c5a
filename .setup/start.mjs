/** `npm start -- COMMAND …`: sets up what is missing, then runs the command in this very process, so that its exit status is ours. */
import { setUp } from './ensure.mjs';

await setUp();
await import('../dist/src/cli/main.js');
