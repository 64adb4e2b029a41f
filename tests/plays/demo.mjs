// The demo is what it says: tools/demo ends with 0 only when both posts are on the far side, with something else when
// one was not published, and Ctrl-C leaves no process behind.
//
// The one thing to know: the far side is asked without the demo: the sandbox's ledger and the PDS's own repository.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { spawn } from 'node:child_process';
import { xrpc } from '../counterparts/bluesky.mjs';
import { call } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, freePort } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const folder = mkdtempSync(join(tmpdir(), 'mps-demo-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// ---- processes ----

// pid -> { parent, start }; start tells a number that is used again from the process that had it.
function processes() {
	const all = new Map();
	for (const name of readdirSync('/proc')) {
		if (!/^\d+$/.test(name)) continue;
		try {
			const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1).split(' ');
			if (fields[0] !== 'Z') all.set(Number(name), { parent: Number(fields[1]), start: fields[19] });
		} catch {
			// it has ended
		}
	}
	return all;
}

function family(pid) {
	const all = processes(), found = [];
	const add = (one) => {
		found.push({ pid: one, start: all.get(one)?.start });
		for (const [child, { parent }] of all) if (parent === one) add(child);
	};
	add(pid);
	return found;
}

const living = (list) => {
	const all = processes();
	return list.filter(({ pid, start }) => all.get(pid)?.start === start && start !== undefined);
};

// ---- the demo ----

// In a process group of its own, as a shell starts it: what a Ctrl-C there reaches is what a Ctrl-C here reaches.
class Demo {
	constructor(env) {
		this.output = '';
		const clean = { ...process.env };
		for (const name of Object.keys(clean)) if (name.startsWith('DEMO_')) delete clean[name];
		this.process = spawn('tools/demo', [], { env: { ...clean, ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
		for (const stream of [this.process.stdout, this.process.stderr]) stream.setEncoding('utf8').on('data', (text) => this.output += text);
		this.ended = null;
		this.end = new Promise((resolve) => this.process.on('close', (status, signal) => resolve(this.ended = { status, signal })));
		demos.push(this);
	}

	group(signal) {
		try {
			process.kill(-this.process.pid, signal);
		} catch {
			// all gone
		}
	}

	says(pattern, ms = 60_000) {
		return until(`the demo says ${pattern}`, () => {
			if (this.ended) throw new Error(`it ended (${JSON.stringify(this.ended)}): ${this.output.slice(-1500)}`);
			return pattern.exec(this.output);
		}, ms);
	}

	get remoteIds() { return [...this.output.matchAll(/^ {2}published {2}\w+ {2}remote id (\S+)/gm)].map((m) => m[1]); }

	// Ctrl-C: with 130, and nothing left of what had been started.
	async interrupt() {
		const all = family(this.process.pid);
		assert.ok(all.length >= 3, `a demo that serves is more than ${all.length} processes`);
		this.group('SIGINT');
		assert.deepEqual(await this.end, { status: 130, signal: null }, this.output.slice(-1500));
		await until('nothing is left', () => living(all).length === 0, 5000);
	}
}

const demos = [];
const sweep = () => { for (const one of demos) if (!one.ended) one.group('SIGKILL'); };
after(sweep);
process.on('exit', sweep);

let used = 0;
async function ini(sandbox) {
	const file = join(folder, `demo-${++used}.ini`);
	writeFileSync(file, [
		'[server]', `listen = 127.0.0.1:${await freePort()}`, `data_folder = ${join(folder, `data-${used}`)}`,
		'[vault]', 'create_key = yes',
		'[providers]', `folder = ${resolve(build, 'plugins')}`, `host_program = ${resolve(build, 'libexec/mypostshare-host')}`,
		`probe_program = ${resolve(build, 'libexec/mypostshare-probe')}`,
		'[sandbox]', `url = ${sandbox.url}`, '',
	].join('\n'));
	return { DEMO_INI: file };
}

// A port whose next one is free, too: the sandbox takes it.  Below those that the kernel hands out, or the demo's own
// AT Protocol server could be given one of them.
const isFree = (port) => call('GET', `http://127.0.0.1:${port}/`, { ms: 1000 })
	.then(() => false, (error) => /ECONNREFUSED/.test(error.message));
async function elsewhere() {
	for (;;) {
		const port = 10_000 + 2 * Math.floor(Math.random() * 10_000);
		if (!await isFree(port) || !await isFree(port + 1)) continue;
		return { DEMO_LISTEN: `127.0.0.1:${port}`, DEMO_DATA: join(folder, `data-${++used}`) };
	}
}

const sandbox = await startSandbox();
after(() => sandbox.stop());

test('sandbox: status 0, both posts in the ledger, nothing left', async () => {
	const demo = new Demo({ ...await ini(sandbox), DEMO_EXIT: '1' });
	await demo.says(/connected: /);
	const all = family(demo.process.pid);
	assert.deepEqual(await demo.end, { status: 0, signal: null }, demo.output.slice(-1500));
	const rows = await sandbox.ledger('Hello from the demo');
	assert.equal(demo.remoteIds.length, 2, demo.output);
	assert.deepEqual(demo.remoteIds, rows.map((row) => row.post_id));
	assert.equal(living(all).length, 0);
});

test('a post that is refused: not 0, and the reason is shown', async () => {
	const demo = new Demo({ ...await ini(sandbox), DEMO_EXIT: '1', DEMO_TEXT: 'No "words" [[reject:policy]]' });
	const { status } = await demo.end;
	assert.ok(status > 0, `status ${status}: ${demo.output.slice(-1500)}`);
	assert.match(demo.output, /not published: +failed {2}sandbox/);
	assert.doesNotMatch(demo.output, /Both were published/);
});

test('the account is taken away before the second: not 0', async () => {
	const demo = new Demo({ ...await ini(sandbox), DEMO_EXIT: '1' });
	await until('the first is published', () => demo.remoteIds.length === 1, 60_000);
	await sandbox.withdraw('demo');
	assert.ok((await demo.end).status > 0, demo.output.slice(-1500));
	assert.equal(demo.remoteIds.length, 1);
});

test('a server that cannot start: not 0, at once', async () => {
	const taken = new URL(sandbox.url).host;
	const demo = new Demo({ DEMO_LISTEN: taken, DEMO_DATA: join(folder, `data-${++used}`), DEMO_EXIT: '1' });
	assert.ok((await demo.end).status > 0, demo.output.slice(-1500));
	assert.doesNotMatch(demo.output, /An organization/);
});

test('Ctrl-C while it serves: 130, nothing left; another address and folder', async () => {
	const env = await elsewhere();
	const demo = new Demo(env);
	await demo.says(/until Ctrl-C\./);
	assert.equal((await call('GET', `http://${env.DEMO_LISTEN}/readyz`)).status, 200);
	assert.ok(existsSync(join(env.DEMO_DATA, 'mypostshare.db')));
	await demo.interrupt();
	await assert.rejects(call('GET', `http://${env.DEMO_LISTEN}/readyz`), /ECONNREFUSED/);
});

test('Ctrl-C in the middle: 130, nothing left', async () => {
	const demo = new Demo(await elsewhere());
	await demo.says(/One post now/);
	await demo.interrupt();
});

test('bluesky: both posts in the repository of the account, then Ctrl-C', async () => {
	const demo = new Demo({ ...await elsewhere(), DEMO_PLATFORM: 'bluesky' });
	const [, pds] = await demo.says(/AT Protocol server of its own, (http:[\w/.:]+)/);
	await demo.says(/until Ctrl-C\./);
	const uris = demo.remoteIds;
	assert.equal(uris.length, 2, demo.output);
	const repo = /^at:\/\/([^/]+)\//.exec(uris[0])[1];
	const { json } = await xrpc(pds, 'GET', 'com.atproto.repo.listRecords', { query: { repo, collection: 'app.bsky.feed.post' } });
	assert.deepEqual(json.records.map((one) => one.uri).sort(), [...uris].sort());
	await demo.interrupt();
});

test('bluesky: status 0', async () => {
	const demo = new Demo({ ...await elsewhere(), DEMO_PLATFORM: 'bluesky', DEMO_EXIT: '1' });
	assert.deepEqual(await demo.end, { status: 0, signal: null }, demo.output.slice(-1500));
	assert.equal(demo.remoteIds.length, 2, demo.output);
});

await done(120_000);
