// Every allocation of the server may fail once: its own, SQLite's, libcurl's, CivetWeb's, libsodium's.
//
// A library put before the C library's (tests/oom/fail.c) lets the nth allocation fail while the server does one thing:
// starts, accepts and publishes a post, refreshes a token, connects an account, takes an upload, lists, reloads, answers
// its operator.  Either the thing is refused and can be asked for again, or the process ends with a sentence and starts
// again as after kill -9.  What never happens: a fault of memory, a hang, an answer of success for what is not there, a
// second post, or one that is forgotten.
//
// The one thing to know: n is drawn from what the same thing took without a failure; TEST_LONG=1 takes every n.  Seed and
// n of a failure are in its words: OOM_SEED=7 OOM_ONLY='a post:123' repeats it.
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connect, connected } from '../lib/connected.mjs';
import { png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const long = Boolean(process.env.TEST_LONG), seed = Number(process.env.OOM_SEED ?? 1);
const [onlyName, onlyAt] = (process.env.OOM_ONLY ?? '').split(':');
const MS = 15_000;

if (/address|thread|memory/.test(build)) {
	test('a sanitizer brings an allocator of its own: every failure is tried in the plain build', () => {});
	await done();
}

// ---- the switch: count, countdown, failed ----

const folder = mkdtempSync(join(tmpdir(), 'mps-oom-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'control');
writeFileSync(file, Buffer.alloc(24));
const fd = openSync(file, 'r+');
after(() => closeSync(fd));
const words = Buffer.alloc(8);
const put = (at, n) => { words.writeBigInt64LE(BigInt(n)); writeSync(fd, words, 0, 8, at * 8); };
const get = (at) => { readSync(fd, words, 0, 8, at * 8); return Number(words.readBigInt64LE()); };
const arm = (n) => { seen = 0; put(0, 0); put(2, 0); put(1, n); };
let seen = 0;		// allocations until it was disarmed
const disarm = () => { put(1, 0); seen ||= get(0); return get(2); };

let state = seed;
const random = () => {		// xorshift, so that a seed says everything
	state ^= state << 13, state ^= state >>> 17, state ^= state << 5;
	return (state >>> 0) / 2 ** 32;
};

// ---- the server, and the account ----

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({
	sandbox, env: { LD_PRELOAD: resolve(build, 'tests/oom.so'), MPS_OOM: file },
	ini: { server: { key_per_minute: 0, address_per_minute: 0 }, sandbox: { settle_ms: 1000 }, engine: { request_timeout_ms: 4000 } },
});
after(async () => { disarm(); await server.stop('SIGKILL'); });
const org = await connected(server, sandbox, ['alice', ['nora', 'none'], ['dora', 'none']]), client = org.test;
let serial = 0;

const is_dead = () => !server.alive;

// How it ended: with a sentence of ours, or of a library that gives up as we do.
function check_end() {
	const { status, signal } = server.child.ended, log = server.log(), said = log.slice(log.lastIndexOf('oom: an allocation fails here'));
	const sentence = /out of memory|arena: |Assertion .* failed|no memory|nomem|NOMEM/i.test(said);
	if (signal === 'SIGABRT' && sentence) return 'ended';
	/* libcurl 7.88 divides by the size of the table that it could not have, when a socket cannot be noted: its own end,
	   nothing of ours is torn, and what follows is checked as after any other */
	if (signal === 'SIGFPE' && /^oom: [^\n]*\n\S*libcurl\.so/.test(said)) return 'ended';
	if (signal === null && status > 0 && said.length > 0) return 'ended';
	throw new Error(`the server ended by ${signal ?? status}: ${said.slice(0, 3000)}`);
}

async function alive_again() {
	const how = check_end();
	await server.start();
	return how;
}

// An answer, or null for none.  Never longer than its deadline.
const ask = (promise) => promise.catch((error) => {
	if (/no answer within/.test(error.message)) throw new Error(`${error.message}: it hangs`);
	return null;
});
const json = (method, path, body, headers = {}) => ask(client(method, path, body, headers, MS));

// The same thing until it is done, as a client does: with the same idempotency key.
async function insist(thing, wanted) {
	for (let i = 0; i < 6; i++) {
		if (is_dead()) await alive_again();
		const answer = await thing();
		if (answer && wanted.includes(answer.status)) return answer;
		if (answer) assert.ok([500, 502, 503, 507].includes(answer.status), `${answer.status} ${answer.text}`);
		await until('it is up', async () => is_dead() || (await ask(client.get('/v1/posts?limit=1', {}, MS)))?.status === 200, 30_000);
	}
	throw new Error('refused again and again');
}

async function post(name, text) {
	const body = { targets: [{ connectionId: org.connections[name].id }], text }, key = { 'idempotency-key': `oom-${text}` };
	let first = await json('POST', '/v1/posts', body, key);
	if (first && ![202, 500, 503, 507].includes(first.status)) throw new Error(`${first.status} ${first.text}`);
	const rested = async (id) => {
		const d = (await json('GET', `/v1/posts/${id}`))?.json?.deliveries?.[0];
		if (is_dead()) await alive_again();
		return d && !['queued', 'processing', 'committing', 'pending', 'awaiting_platform'].includes(d.status) && d;
	};
	if (first?.status === 202) await until('it rests, or the server ended', async () => is_dead() || await rested(first.json.id), 30_000);
	const failed = disarm();
	if (is_dead()) await alive_again();
	const accepted = await insist(() => json('POST', '/v1/posts', body, key), [202]);
	const d = await until('the delivery comes to rest', () => rested(accepted.json.id), 60_000);
	const sent = await sandbox.count(text);
	assert.ok(sent <= 1, `${sent} posts of "${text}"`);
	if (d.status === 'published') assert.equal(sent, 1, `"${text}" is told as published`);
	if (d.status === 'failed' || d.status === 'blocked') assert.equal(sent, 0, `"${text}" is ${d.status} (${JSON.stringify(d.error)})`);
	assert.ok(['published', 'failed', 'blocked', 'unconfirmed'].includes(d.status), d.status);
	return failed;
}

const calls = {
	async 'a post'() { return post('alice', `words ${++serial}`); },
	async 'a post with a new token'() {
		/* a refresh that was interrupted may have spent the token: then the person connects again */
		const { status } = (await insist(() => json('GET', `/v1/connections/${org.connections.nora.id}`), [200])).json;
		if (status !== 'active') {
			const left = get(1);
			put(1, 0);		/* this is no part of it */
			await connect(server, sandbox, client, org.user, 'nora', 'none');
			put(1, left);
		}
		await sandbox.expire('nora');
		return post('nora', `fresh ${++serial}`);
	},
	async 'a check of a post'() {
		await json('POST', '/v1/posts/validate', { targets: [{ connectionId: org.connections.alice.id }], text: 'x' });
	},
	async 'an upload'() {
		const bytes = png(20 + serial % 50, 20), key = { 'content-type': 'image/png', 'idempotency-key': `upload-${++serial}` };
		await ask(client('POST', '/v1/media', bytes, key, MS));
		const failed = disarm();
		const { json: { id } } = await insist(() => ask(client('POST', '/v1/media', bytes, key, MS)), [201, 200]);
		await until('it is read', async () => (await json('GET', `/v1/media/${id}`))?.json?.status !== 'processing', 30_000);
		return failed;
	},
	async 'a list'() { await json('GET', '/v1/posts?limit=50'); },
	async 'the events'() { await json('GET', '/v1/events?limit=50'); },
	async 'a connected account'() {
		const name = `new-${++serial}`;
		let connected = false, failed = 0;
		for (let i = 0; i < 4 && !connected; i++) {
			connected = await connect(server, sandbox, client, org.user, name).catch((error) => {
				if (/no answer within/.test(error.message)) throw error;
			});
			failed ||= disarm();
			await still_good();
		}
		assert.ok(connected, `${name} cannot be connected`);
		return failed;
	},
	async 'a reload'() { await server.attempt('reload'); },
	async 'the list of providers'() { await server.attempt('providers'); },
	async 'a command'() { await server.attempt('org', 'create', `Oom ${++serial}`); },
};

// Afterwards everything is as it was: it answers, it publishes, nothing is locked.
async function still_good() {
	let ended = 0;
	await until('it lists', async () => {
		if (is_dead() && ++ended) await alive_again();
		return (await json('GET', '/v1/posts?limit=1'))?.status === 200;
	}, 20_000);
	return ended;
}

const counts = {};

async function points(name, run, n) {
	await run();			/* statements and connections are kept: it is the second that counts */
	arm(0);
	await run();
	disarm();
	counts[name] = seen;
	assert.ok(counts[name] > 3, `${name}: only ${counts[name]} allocations were seen`);
	if (onlyAt) return [Number(onlyAt)];
	if (long) return Array.from({ length: counts[name] }, (_, i) => i + 1);
	return Array.from({ length: n }, () => 1 + Math.floor(random() * counts[name]));
}

for (const [name, run] of Object.entries(calls)) {
	if (onlyName && onlyName !== name) continue;
	test(`${name}: one allocation fails`, async () => {
		let failed = 0, ended = 0;
		const all = await points(name, run, name === 'a connected account' ? 8 : 14);
		for (const n of all) {
			arm(n);
			try {
				const got = await run();
				failed += got ?? disarm();
				disarm();
				ended += await still_good();
			} catch (error) {
				disarm();
				const log = server.alive ? server.log().split('oom: an').at(-1).slice(0, 6000) : '';
				throw new Error(`OOM_ONLY='${name}:${n}' OOM_SEED=${seed}: ${error.message}\n${log}`);
			}
		}
		assert.ok(failed > 0, 'no allocation failed at all');
		console.log(`# ${name}: ${counts[name]} allocations, ${failed} failed, the server ended at least ${ended} times`);
	});
}

if (!onlyName || onlyName === 'a start') test('a start: one allocation fails', async () => {
	await server.end('SIGKILL');
	arm(0);
	await server.start();
	const count = get(0), list = onlyAt ? [Number(onlyAt)] : long ? Array.from({ length: count }, (_, i) => i + 1)
		: Array.from({ length: 25 }, () => 1 + Math.floor(random() * count));
	let failed = 0;
	for (const n of list) {
		await server.end('SIGKILL');
		arm(n);
		await server.start().catch((error) => {
			if (server.alive) throw new Error(`OOM_ONLY='a start:${n}': ${error.message}`);
		});
		failed += disarm();
		if (is_dead()) check_end();
	}
	if (is_dead()) await server.start();
	assert.ok(failed > 0);
	console.log(`# a start: ${count} allocations, ${failed} failed`);
	await still_good();
});

test('in the end everything works, and nothing was published twice', async () => {
	if (is_dead()) await alive_again();
	arm(0);
	assert.equal(await post('dora', 'the last words'), 0);
	const times = new Map();
	for (const { text } of await sandbox.ledger()) times.set(text, (times.get(text) ?? 0) + 1);
	assert.deepEqual([...times].filter(([, n]) => n !== 1), []);
});

await done(long ? 3 * 3600_000 : 240_000);
