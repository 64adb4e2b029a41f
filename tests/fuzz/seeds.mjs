// node tests/fuzz/seeds.mjs FOLDER: every conversation as an input of play.c, in FOLDER/PROVIDER/.
//
// To be run when a provider has got new conversations; then `make fuzz-merge TARGETS=PROVIDER` with FOLDER build-fuzz/corpus.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder] = process.argv.slice(2);
const pairs = (word, object = {}) => Object.entries(object).map(([key, value]) => `${word} ${key}=${value}\n`).join('');

// The source text of a member, for numbers beyond what this language keeps do not matter here.
function script(conversation) {
	const { kind = 'publish', phase = 'start', inputs, state, steps = [] } = conversation;
	const added = steps.map((step) => pairs('in', step.inputs)).join('');
	const head = `kind ${kind}\nphase ${phase}\n${pairs('in', inputs)}${added}${pairs('state', state)}`;
	return head + steps.map(({ event = 'answer', status = 200, headers = {}, body = '' }) => {
		if (event !== 'answer') return `== ${event}\n`;
		const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`).join('');
		return `== ${status}\n${lines}\n${typeof body === 'string' ? body : JSON.stringify(body)}\n`;
	}).join('');
}

function write(provider, file) {
	const parsed = JSON.parse(readFileSync(file, 'utf8'));
	mkdirSync(join(folder, provider), { recursive: true });
	(Array.isArray(parsed) ? parsed : [parsed]).forEach((conversation, i) =>
		writeFileSync(join(folder, provider, `${file.replace(/.*\/|\.json$/g, '')}-${i}`), script(conversation)));
}

for (const provider of readdirSync('tests/conversations'))
	for (const file of readdirSync(`tests/conversations/${provider}`).filter((name) => name.endsWith('.json')))
		write(provider, `tests/conversations/${provider}/${file}`);
write('template', 'sdk/template/publish.json');
