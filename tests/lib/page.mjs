// A page of commands, run as it stands: the fenced blocks of a Markdown file, one shell for its sh blocks, and the
// comparison of a json block with what the sh block before it answered.
//
//   const blocks = blocksOf(text);				{ heading, kind, text, line }
//   const shell = new Shell({ prelude, filled, asked, folder });	prelude: functions of the shell; asked: what `ask WHO` does here
//   compare(JSON.parse(block.text), answerOf(await shell.run(block.text)), 'answer', filled);
//
// In a json block a text with … stands for any text with these ends, a whole number above 0 for itself, 0 for any; a
// list shows its first elements; members that are not shown may be there.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { until } from './wait.mjs';

export function blocksOf(text) {
	const blocks = [];
	let heading = '', open = null;
	text.split('\n').forEach((line, i) => {
		const fence = /^```(\w*)$/.exec(line);
		if (open && fence) {
			blocks.push(open);
			open = null;
		} else if (open) open.text += line + '\n';
		else if (fence) open = { heading, kind: fence[1], text: '', line: i + 1 };
		else heading = /^## (.*)$/.exec(line)?.[1] ?? heading;
	});
	assert.equal(open, null, 'a fence is not closed');
	return blocks;
}

// What the shell can ask of the test: `ask WHO WORDS...` waits until asked[WHO](...WORDS) is done.
const asking = `
set -euo pipefail
unset MAKEFLAGS MFLAGS MAKELEVEL
ask() { local answer; printf '%s\\n' "$*" >&3; read -r answer <&4; [ "$answer" = ok ] || { echo "$answer" >&2; return 1; }; }
`;

export class Shell {
	constructor({ prelude, filled, asked, folder }) {
		Object.assign(this, { filled, said: '', ended: null, done: 0 });
		this.process = spawn('bash', ['-s'], {
			stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'], env: { ...process.env, TMPDIR: folder }, detached: true,
		});
		for (const stream of [this.process.stdout, this.process.stderr]) stream.setEncoding('utf8').on('data', (text) => this.said += text);
		this.process.on('exit', (status) => this.ended = status ?? 'a signal');
		this.process.stdin.on('error', () => {});
		createInterface({ input: this.process.stdio[3] }).on('line', async (line) => {
			const [who, ...words] = line.split(' ');
			if (who === 'block-done') return this.done++;
			const answer = await Promise.resolve().then(() => asked[who](...words)).then(() => 'ok', (error) => error.message.replaceAll('\n', ' '));
			return this.process.stdio[4].write(`${answer}\n`);
		});
		this.process.stdin.write(asking + prelude);
	}

	// Runs one block: what it printed.
	async run(text, ms = 120_000) {
		assert.equal(this.ended, null, 'a block before ended the shell');
		this.said = '';
		const before = this.done;
		this.process.stdin.write(`{\n${this.filled(text)}\n}\necho block-done >&3\n`);
		await until('the block is done', () => {
			if (this.ended !== null) throw new Error(`the shell ended with ${this.ended}: ${this.said.slice(-1500)}`);
			return this.done > before;
		}, ms);
		await new Promise((resolve) => setImmediate(resolve));
		return this.said;
	}

	// With whatever it left in the background.
	stop() {
		try {
			process.kill(-this.process.pid, 'SIGKILL');
		} catch {
			// nobody is left
		}
	}
}

export function compare(shown, got, at, filled) {
	if (Array.isArray(shown)) {
		assert.ok(Array.isArray(got), `${at} is no list: ${JSON.stringify(got)}`);
		shown.forEach((one, i) => compare(one, got[i], `${at}[${i}]`, filled));
	} else if (shown && typeof shown === 'object') {
		assert.ok(got && typeof got === 'object', `${at} is no object: ${JSON.stringify(got)}`);
		for (const [name, one] of Object.entries(shown)) {
			assert.ok(Object.hasOwn(got, name), `${at}.${name} is not in the answer: ${JSON.stringify(got)}`);
			compare(one, got[name], `${at}.${name}`, filled);
		}
	} else if (shown === 0) {
		assert.ok(Number.isInteger(got), `${at} is no number: ${JSON.stringify(got)}`);
	} else if (typeof shown === 'string' && shown.includes('…')) {
		const [head, end] = shown.split('…');
		assert.ok(typeof got === 'string' && got.startsWith(filled(head)) && got.endsWith(end) && got !== '',
			`${at} is ${got}, not ${shown}`);
	} else {
		assert.deepEqual(got, shown, at);
	}
}

export function answerOf(text) {
	const line = text.trim().split('\n').findLast((one) => one.startsWith('{'));
	assert.ok(line, `no answer in ${text}`);
	return JSON.parse(line);
}
