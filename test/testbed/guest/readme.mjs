/** Does what the README says under "On persistent memory", as it stands there; prints what its commands print. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../../../', import.meta.url);
const chapter = readFileSync(new URL('README.md', root), 'utf8').split('## On persistent memory\n')[1];
const [, commands] = /```sh\n([\s\S]*?)```/.exec(chapter);
const [, service] = /<!-- example: pmem-service -->\n```js\n([\s\S]*?)```/.exec(chapter);

const cli = fileURLToPath(new URL('dist/src/cli/main.js', root));
const shell = (text) => execFileSync('bash', ['-euc', text], { stdio: ['ignore', 'inherit', 'pipe'] });
shell(`vmemmap() { "${process.execPath}" "${cli}" "$@"; }\n${commands}`);

// inside the package, so that `import 'vmemmap'` finds it; nothing of this reaches the host
const folder = new URL('test/readme/.run/', root);
mkdirSync(folder, { recursive: true });
const program = fileURLToPath(new URL('service.mjs', folder));
writeFileSync(program, service);
for (let time = 0; time < 2; time++) execFileSync(process.execPath, [program], { stdio: 'inherit' });
