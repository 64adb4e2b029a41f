// The server as a real process, killed under load that comes in by the API: a 2xx is a promise.
//
//   every 202 has its post after any kill -9 or SIGTERM (full disks: fault-disk.mjs)
//   one Idempotency-Key is one post, however often and whenever it is sent
//   the sandbox's ledger has every post once
//
// The sandbox is a process of its own and outlives them all.  50 kills here (the crash tests have hundreds more, each at
// a chosen place), 1,000 with TEST_LONG=1.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connected } from '../lib/connected.mjs';
import { Lost } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { sleep } from '../lib/wait.mjs';

const ROUNDS = process.env.TEST_LONG ? 1000 : 50, CLIENTS = 6, PAUSE_MS = 800;
const ini = { sandbox: { settle_ms: 1000 }, engine: { request_timeout_ms: 1500 } };
// A container takes a second, and an account's posts go one by one: several accounts have them.
const accounts = [['keyed', 'keyed'], ['search', 'search'], ['none', 'none'], ...[1, 2, 3].map((n) => [`handle-${n}`, 'handle'])];

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini });
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, accounts);
const target = (name) => [{ connectionId: org.connections[name].id }];

// Posts that are published, or of which nothing can be known: what is looked for is found in the end.
async function atRest(client, ids) {
	const posts = [];
	for (const id of ids) {
		posts.push(await until(`post ${id} rests`, async () => {
			const { status, json } = await client.get(`/v1/posts/${id}?wait=2`);
			assert.equal(status, 200, `post ${id} is lost`);
			const open = json.deliveries[0].connectionId === org.connections.none.id ? ['publishing'] : ['publishing', 'needs_attention'];
			return !open.includes(json.status) && json;
		}, 60_000));
	}
	return posts;
}

test('fifty at once with one key: one post, fifty equal answers', async () => {
	const body = { targets: target('keyed'), text: 'fifty at once' };
	const answers = await Promise.all(Array.from({ length: 50 }, () =>
		org.test.post('/v1/posts', body, { 'idempotency-key': 'fifty' })));
	for (const { status, text } of answers) {
		assert.equal(status, answers[0].status);
		assert.equal(text, answers[0].text);
	}
	assert.equal(answers[0].status, 202, answers[0].text);
	assert.equal(answers.filter(({ headers }) => headers['idempotent-replayed'] === 'true').length, 49);
	await atRest(org.test, [answers[0].json.id]);
	assert.equal(await sandbox.count('fifty at once'), 1);
});

// ---- kill -9 under load ----

// Sends until it has an answer; a lost one, or a server that is away, is asked again with the same key.
async function insist(text, account, promised) {
	for (;;) {
		try {
			const { status, text: answer, json } = await org.test.post('/v1/posts', { targets: target(account), text },
				{ 'idempotency-key': `key ${text}` }, 10_000);
			if (status === 202) {
				promised.set(text, json.id);
				return;
			}
			assert.ok([429, 503].includes(status), answer);
		} catch (error) {
			if (!(error instanceof Lost)) throw error;
		}
		await sleep(20);
	}
}

const hostsOf = (pid) => execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }).trim().split(/\s+/).map(Number);

// The store as the kill left it: a copy, for to open it is to recover it.
function sound() {
	const folder = mkdtempSync(join(tmpdir(), 'mps-left-')), left = join(server.folder, 'var/mypostshare.db');
	for (const part of ['', '-wal']) if (existsSync(left + part)) copyFileSync(left + part, join(folder, `db${part}`));
	const store = new DatabaseSync(join(folder, 'db'));
	assert.equal(store.prepare('PRAGMA integrity_check').get().integrity_check, 'ok');
	store.close();
	rmSync(folder, { recursive: true });
}

test('F1 killed again and again under load: every 202 is there, and live once', async () => {
	const promised = new Map();
	let going = true, number = 0;
	const clients = Array.from({ length: CLIENTS }, async () => {
		for (; going; await sleep(Math.random() * PAUSE_MS)) await insist(`load ${number}.`, accounts[number++ % accounts.length][0], promised);
	});
	for (let i = 0, kills = 0; kills < ROUNDS; i++) {
		await sleep(50 + Math.random() * 300);
		if (i % 4 === 2) for (const pid of hostsOf(server.pid)) try { process.kill(pid, 'SIGKILL'); } catch { /* it has gone */ }
		await server.end(i % 10 === 9 ? 'SIGTERM' : 'SIGKILL');
		kills += i % 10 !== 9;
		if (i % 10 === 5) sound();
		await server.start();
	}
	going = false;
	await Promise.all(clients);
	const ids = [...promised.values()];
	assert.ok(ids.length > ROUNDS);
	assert.equal(new Set(ids).size, ids.length, 'two keys have one post');
	const posts = await atRest(org.test, ids), ledger = await sandbox.ledger('load ');
	for (const [i, text] of [...promised.keys()].entries()) {
		const copies = ledger.filter((row) => row.text === text), [delivery] = posts[i].deliveries;
		if (posts[i].status === 'published') {
			assert.equal(copies.length, 1, `"${text}" is live ${copies.length} times`);
			assert.equal(copies[0].post_id, delivery.remotePostId);
		} else {
			assert.equal(delivery.status, 'unconfirmed', JSON.stringify(posts[i]));
			assert.equal(delivery.connectionId, org.connections.none.id, JSON.stringify(posts[i]));
			assert.ok(copies.length <= 1, `"${text}" is live ${copies.length} times`);
		}
	}
	assert.equal(ledger.filter((row) => !promised.has(row.text)).length, 0, 'something is live that nobody asked for');
});

await done(process.env.TEST_LONG ? 3_600_000 : 180_000);
