// F5 with the server as it is run: its store is damaged while it is down or while it runs.  It refuses to start with words
// about a backup, or it is in rescue (reads, no writes, nothing sent), or the damage did no harm; it never crashes, and the
// sandbox's ledger never has anything twice.  The 500 places are in tests/unit/damage.c.
import assert from 'node:assert/strict';
import {
	closeSync, copyFileSync, existsSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { connected } from '../lib/connected.mjs';
import { call } from '../lib/http.mjs';
import { Child, tail } from '../lib/process.mjs';
import { Promises } from '../lib/promises.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { throughout } from '../lib/wait.mjs';

const accounts = [1, 2, 3].map((n) => [`keyed-${n}`, 'keyed']), names = accounts.map(([name]) => name);
const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: { engine: { request_timeout_ms: 1500 } } });
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, accounts), other = await server.organization('Other');
const data = join(server.folder, 'var'), file = join(data, 'mypostshare.db'), backup = join(server.folder, 'backup.db');
const promises = new Promises(org, sandbox, names, 'damage');

// Up to an answer of readyz, or its end: 'ready', 'rescue', 'refused'.
async function rise() {
	server.child = new Child(`${server.build}/mypostshare`, ['--config', server.config, 'serve'], { env: server.env });
	server.pid = server.child.pid;
	return until('it is up or has ended', async () => {
		if (!server.alive) {
			const { status } = server.child.ended;
			assert.equal(status, 1, `it ended with ${JSON.stringify(server.child.ended)}: ${tail(server.log())}`);
			assert.match(server.log(), /restore (a|it from the) backup/, tail(server.log()));
			return 'refused';
		}
		const answer = await call('GET', `${server.url}/readyz`, { ms: 2000 }).catch(() => undefined);
		if (answer?.status === 503) assert.equal(answer.json.error.code, 'storage_damaged', answer.text);
		return answer?.status === 200 ? 'ready' : answer?.status === 503 ? 'rescue' : undefined;
	});
}

async function inRescue() {
	const { status, json, text } = await call('GET', `${server.url}/readyz`);
	assert.equal(status, 503, text);
	assert.equal(json.error.code, 'storage_damaged', text);
	assert.match(json.error.remediation, /backup/);
	assert.equal((await call('GET', `${server.url}/healthz`)).status, 200);
	const user = await org.test.post('/v1/end-users', { externalUserId: 'nobody' });
	for (const answer of [user, await promises.send('damage refused.', names[0])]) {
		assert.equal(answer.status, 503, answer.text);
		assert.equal(answer.json.error.code, 'storage_damaged', answer.text);
	}
	assert.match(server.log(), /damaged.*restore a backup/);
	assert.match((await call('GET', `${server.url}/metrics`)).text, /^mypostshare_db_rescue 1$/m);
}

function overwrite(path, at, bytes) {
	const fd = openSync(path, 'r+');
	writeSync(fd, bytes, 0, bytes.length, at);
	closeSync(fd);
}

let dueAt;		// when the store is long in rescue

const restore = () => {
	for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true });
	copyFileSync(backup, file);
};

// The root pages of tables and indices, by name, as the file has them; Node has no SQLite that is pinned, so ours tells.
const pages = () => Math.floor(statSync(file).size / 4096);

test('F5 a page is damaged while the server runs: the check finds it, and the server is in rescue', async () => {
	for (let i = 0; i < 30; i++) await promises.send(`damage ${i}.`, names[i % 3]);
	for (const id of promises.kept.values()) {
		await until('it is published', async () => (await org.test.get(`/v1/posts/${id}?wait=2`)).json.status === 'published');
	}
	await server.end();
	copyFileSync(file, backup);
	// A leaf of attempts, which nobody reads at a start: it is the one that holds this word and no operation.
	const bytes = readFileSync(file);
	let at = -1;
	for (let page = 1; page < pages() && at < 0; page++) {
		const one = bytes.subarray(page * 4096, (page + 1) * 4096);
		if (one[0] === 13 && one.includes('POST') && one.includes('att_') && !one.includes('CREATE ')) at = page * 4096;
	}
	assert.ok(at > 0, 'no leaf of attempts was found');
	await server.start();
	dueAt = Date.now() + 8000;
	const due = { targets: [{ connectionId: org.connections[names[1]].id }], text: 'damage due.', scheduledAt: new Date(dueAt).toISOString() };
	assert.equal((await org.test.post('/v1/posts', due)).status, 202);
	await server.kill();
	overwrite(file, at, Buffer.alloc(4096, 0x5a));
	const kept = new Promises(org, sandbox, names, 'later');
	assert.equal(await rise(), 'ready', tail(server.log()));
	assert.equal((await kept.send('later 1.', names[0])).status, 202);
	await until('the check has found it', async () => (await call('GET', `${server.url}/readyz`)).status === 503);
	await inRescue();
	const [, id] = [...promises.kept][0];
	const seen = await org.test.get(`/v1/posts/${id}`);
	assert.equal(seen.status, 200, seen.text);
	assert.ok(existsSync(join(data, 'damaged')));
});

test('F5 rescue outlives a restart; what is due is not sent, operators are told', async () => {
	const before = (await sandbox.ledger('')).length;
	await server.kill();
	assert.equal(await rise(), 'rescue');
	await inRescue();
	await throughout('nothing is sent', async () => (await sandbox.ledger('')).length === before, Math.max(dueAt - Date.now(), 0) + 1500);
	const { status, output } = await server.attempt('org', 'create', 'Late');
	assert.notEqual(status, 0, output);
	assert.match(output, /damaged/);
	assert.equal((await server.attempt('providers')).status, 0);
	await server.end();
	const migrate = await server.attempt('migrate');
	assert.match(migrate.output, /damaged/);
});

test('F5 a restored backup ends it', async () => {
	restore();
	assert.equal(await rise(), 'ready');
	assert.ok(!existsSync(join(data, 'damaged')), 'the sign stands on a sound store');
	assert.equal((await promises.send('damage restored.', names[0])).status, 202);
	await server.end();
	copyFileSync(file, backup);
});

test('F5 twenty places, one start each: refused, rescue or no harm, and nothing twice', async () => {
	const found = {};
	const size = statSync(backup).size;
	for (let i = 0; i < 20; i++) {
		restore();
		await server.start();
		const text = `damage place ${i}.`, answer = await promises.send(text, names[i % 3]);
		assert.equal(answer.status, 202, answer.text);
		await until('it is live', async () => await sandbox.count(text) === 1);
		await server.kill();
		if (i === 0) truncateSync(file, 0);
		else if (i === 1) truncateSync(file, 4096);
		else if (i === 2) rmSync(`${file}-shm`);
		else if (i === 3) overwrite(`${file}-shm`, 0, Buffer.alloc(4096, 0xff));
		else if (i === 4) overwrite(file, 0, Buffer.alloc(100, 0x20));
		else if (i % 2) overwrite(file, Math.floor(Math.random() * size / 512) * 512, Buffer.alloc(512, i));
		else overwrite(file, Math.floor(Math.random() * (size / 4096 - 1) + 1) * 4096, Buffer.alloc(4096));
		let how = await rise();
		if (how === 'ready') {
			how = await until('the check has an end', async () => (/the store is sound/.test(server.log()) ? 'ready'
				: (await call('GET', `${server.url}/readyz`)).status === 503 && 'rescue'));
		}
		found[how] = (found[how] ?? 0) + 1;
		if (how !== 'refused') {
			const list = await other.test.get('/v1/posts?limit=200');
			assert.ok([200, 401, 500, 503].includes(list.status), list.text);
			assert.ok(!list.text.includes('damage'), 'another organization reads it');
			await server.kill();
		}
		assert.equal(await sandbox.count(text), 1, `"${text}" is live more than once`);
		rmSync(join(data, 'damaged'), { force: true });
	}
	console.log(`# ${JSON.stringify(found)}`);
	assert.ok(found.refused >= 3 && found.rescue > 0, JSON.stringify(found));
	restore();
	writeFileSync(`${file}-wal`, '');
	assert.equal(await rise(), 'ready');
});

await done(120_000);
