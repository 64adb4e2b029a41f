// F7: the server stands still for 90 s (SIGSTOP) and goes on.  It has to read its epoch before it sends anything; nobody
// takes its place while it holds the lock; and should somebody have, it sends nothing and ends.  Here the build with
// failpoints, whose clocks and the sandbox's a file puts forward while it stands; with TEST_LONG=1 the shipped one and 90 real seconds.
// Each place in the code at which it can stand is a cell of tests/crash/matrix.c.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connected } from '../lib/connected.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { sleep } from '../lib/wait.mjs';

const long = Boolean(process.env.TEST_LONG), STOP_MS = 90_000;
const kinds = ['keyed', 'search', 'handle', 'none'];
const folder = mkdtempSync(join(tmpdir(), 'mps-stop-')), clock = join(folder, 'clock');
after(() => rmSync(folder, { recursive: true, force: true }));
let ahead = 0n;

function put_forward(ms) {
	const bytes = Buffer.alloc(8), to = openSync(clock, 'w+');
	bytes.writeBigInt64LE(ahead += BigInt(ms));
	writeSync(to, bytes, 0, 8, 0);
	closeSync(to);
}
// What the server's clocks show afterwards is 90 s more.
const stand = () => long ? sleep(STOP_MS) : put_forward(STOP_MS);

put_forward(0);
const how = long ? {} : { build: `${build}-fail`, env: { MPS_CLOCK: clock } };
const sandbox = await startSandbox(how);
after(() => sandbox.stop());
for (const type of kinds) await sandbox.account(type, { type, expires_in: 1_000_000 });
const server = await startServer({
	sandbox, ini: { sandbox: { settle_ms: 1000 }, engine: { request_timeout_ms: 1500 } },
	...how,
});
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, kinds);

async function load(name, magic = '') {
	const posts = [];
	for (let i = 0; i < 3; i++) {
		for (const kind of kinds) {
			const text = `${name} ${i} of ${kind}. ${i === 0 ? magic : ''}`, targets = [{ connectionId: org.connections[kind].id }];
			const answer = await org.test.post('/v1/posts', { targets, text });
			assert.equal(answer.status, 202, answer.text);
			posts.push({ kind, text, id: answer.json.id });
		}
	}
	return posts;
}
async function once(posts) {
	for (const { kind, text, id } of posts) {
		const status = await until(`${text} rests`, async () => {
			const { json } = await org.test.get(`/v1/posts/${id}`);
			return (json.status === 'published' || (kind === 'none' && json.status === 'needs_attention')) && json.status;
		}, 90_000);
		const rows = await sandbox.ledger(text);
		assert.ok(status === 'published' ? rows.length === 1 : rows.length <= 1, `"${text}" is ${status} and live ${rows.length} times`);
	}
}

test('F7 stopped for 90 s with work under way: the epoch is read again, nobody else starts, everything is live once', async () => {
	const posts = await load('stopped', '[[slow:1s]]');
	server.pause();
	const begun = Date.now(), second = await server.attempt('serve');
	assert.notEqual(second.status, 0);
	assert.match(second.output, /in use/);
	assert.ok(Date.now() - begun < 5000, 'the second one thinks about it for too long');
	await stand();
	server.resume();
	await once(posts);
	assert.match(server.log(), /stood still for \d+ ms: reading the epoch again/);
});

test('F7 stopped again and again, each time at another moment', async () => {
	const posts = await load('again');
	for (let i = 0; i < (long ? 3 : 12); i++) {
		await sleep(Math.random() * 60);
		server.pause();
		await stand();
		server.resume();
	}
	await once(posts);
});

// Another server's start, as the store sees it.
function usurp() {
	const store = new DatabaseSync(join(server.folder, 'var/mypostshare.db'));
	server.pause();
	try {
		store.exec("UPDATE server SET epoch = epoch + 1 WHERE id = 'engine'");
		return true;
	} catch (error) {
		assert.match(error.message, /locked/);
		server.resume();
		return false;
	} finally {
		store.close();
	}
}

test('F7 woken when the store is another\'s: it sends nothing and ends', async () => {
	const posts = await load('lost lock');
	await until('it stands, and not inside a transaction', usurp);
	await sleep(500);		// what has left arrives
	const before = (await sandbox.ledger('lost lock')).length, { requests } = await sandbox.stats();
	await stand();
	server.resume();
	await until('it ends', () => !server.alive, 20_000);
	assert.match(server.log(), /another server owns the store/);
	assert.equal((await sandbox.ledger('lost lock')).length, before);
	assert.equal((await sandbox.stats()).requests['POST /v1/posts'], requests['POST /v1/posts']);
	assert.ok(before < posts.length, 'it had nothing left to send: this proves nothing');
	await server.start();
	await once(posts);
});

function there(pid) {
	try {
		return process.kill(pid, 0);
	} catch {
		return false;
	}
}

test('F7 a provider host that stands still is replaced, and what it had in hand is live once', async () => {
	const hosts = execFileSync('ps', ['-o', 'pid=', '--ppid', String(server.pid)], { encoding: 'utf8' }).trim().split(/\s+/).map(Number);
	for (const pid of hosts) process.kill(pid, 'SIGSTOP');
	await once(await load('host'));
	for (const pid of hosts) if (there(pid)) process.kill(pid, 'SIGCONT');		// those of other platforms had nothing to do
	assert.equal(hosts.filter(there).length, hosts.length - 1);
});

await done(long ? 900_000 : 120_000);
