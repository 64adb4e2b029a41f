// F6: a wall clock that jumps, stands still or lies, by libfaketime in the server alone: the sandbox and its ledger live
// in real time.  CLOCK_MONOTONIC and CLOCK_BOOTTIME stay true, but for the last test.  What a key may do whose age no
// clock tells any more is in tests/crash/rules.c (rule 6).
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connected } from '../lib/connected.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { sleep, throughout } from '../lib/wait.mjs';

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR, YEARS = 3652 * DAY;
const folder = mkdtempSync(join(tmpdir(), 'mps-faketime-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// ---- the server's clock ----

const library = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib']
	.map((place) => join(place, 'faketime/libfaketimeMT.so.1')).find(existsSync);
assert.ok(library, 'libfaketime is missing: make setup');
const file = join(folder, 'clock');
const env = { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', DONT_FAKE_MONOTONIC: '1', TZ: 'Europe/Berlin' };
let offset = 0;

function write(text) {
	writeFileSync(`${file}.new`, `${text}\n`);
	renameSync(`${file}.new`, file);
}
// So many ms ahead of the world.
function ahead(ms) {
	offset = ms;
	write(`${ms < 0 ? '-' : '+'}${Math.abs(ms) / 1000}`);
}
const ours = () => Date.now() + offset;
const stamp = (ms) => new Date(ms).toISOString();
// libfaketime takes a fixed time as a local one.
const freeze = () => write(new Date(Date.now()).toLocaleString('sv-SE', { timeZone: 'Europe/Berlin' }));

// ---- the stage ----

ahead(0);
const sandbox = await startSandbox();
after(() => sandbox.stop());
const kinds = ['keyed', 'search', 'handle', 'none'];
for (const type of kinds) await sandbox.account(type, { type, expires_in: 4000 });
const server = await startServer({ sandbox, env, ini: { sandbox: { settle_ms: 1000 }, engine: { request_timeout_ms: 1500 } } });
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, kinds);

async function post(kind, text, more = {}, headers = {}) {
	const answer = await org.test.post('/v1/posts', { targets: [{ connectionId: org.connections[kind].id }], text, ...more }, headers);
	assert.equal(answer.status, 202, answer.text);
	return answer.json.id;
}
const state = async (id) => (await org.test.get(`/v1/posts/${id}`)).json.status;
const becomes = (id, wanted, ms = 60_000) => until(`post ${id} is ${wanted}`, async () => await state(id) === wanted, ms);
const count = (text) => sandbox.count(text);

// At most one refresh of each account since, and none with a token that was spent.
async function refreshes(body) {
	const before = await sandbox.stats();
	await body();
	const now = await sandbox.stats();
	assert.equal(now.replayed_refreshes, 0);
	return now.refreshes - before.refreshes;
}

// Lost answers of every kind while the clock is as it is: one post each, told as it is.  Who lists posts by a clock that
// is ahead of the platform's does not find his own, and must not take that for a proof.
async function lost_answers(name) {
	const posts = [];
	for (const kind of kinds) posts.push([kind, await post(kind, `${name} of ${kind} [[reset:after]]`)]);
	for (const [kind, id] of posts) {
		const unknown = kind === 'none' || (kind === 'search' && offset > 0);
		await becomes(id, unknown ? 'needs_attention' : 'published');
	}
	for (const kind of kinds) assert.equal(await count(`${name} of ${kind}`), 1, `${name} ${kind}`);
}

test('F6 an hour ahead: what is due goes out once, the rest waits; every token is renewed once; a key ends', async () => {
	const soon = await post('keyed', 'in 30 minutes', { scheduledAt: stamp(ours() + 30 * MINUTE) });
	const later = await post('keyed', 'in 3 hours', { scheduledAt: stamp(ours() + 3 * HOUR) });
	const ends = { name: 'short', mode: 'test', scopes: ['posts:read'], expiresAt: stamp(ours() + 30 * MINUTE) };
	const key = await org.live.post(`/v1/apps/${org.app}/api-keys`, ends);
	assert.equal(key.status, 201, key.text);
	const lost = await post('search', 'hit by the jump [[reset:after]]');
	assert.equal(await refreshes(() => throughout('nothing is early', async () => await count('in ') === 0, 1000)), 0);
	const renewed = await refreshes(async () => {
		ahead(HOUR);
		await becomes(soon, 'published');
		await becomes(lost, 'published');
		await lost_answers('an hour ahead');
	});
	assert.ok(renewed <= kinds.length, `${renewed} refreshes of ${kinds.length} accounts`);
	for (const [text, live] of [['in 30 minutes', 1], ['in 3 hours', 0], ['hit by', 1]]) assert.equal(await count(text), live, text);
	assert.equal(await state(later), 'scheduled');
	const answer = await org.test.get('/v1/posts', { authorization: `Bearer ${key.json.key}` });
	assert.equal(answer.status, 401, answer.text);
});

test('F6 back again, and an hour behind: nothing is early, nothing twice', async () => {
	ahead(0);
	const later = await post('keyed', 'in a minute', { scheduledAt: stamp(ours() + MINUTE) });
	ahead(-HOUR);
	assert.equal(await refreshes(() => lost_answers('an hour behind')), 0);
	await server.restart('SIGKILL');
	await lost_answers('an hour behind after a kill');
	assert.deepEqual([await count('in a minute'), await state(later)], [0, 'scheduled']);
	ahead(0);
});

test('F6 ten years ahead and back: an Idempotency-Key is one post, events stay, no wait ends in ten years', async () => {
	const headers = { 'idempotency-key': 'ten-years' }, id = await post('keyed', 'ten years', {}, headers);
	await becomes(id, 'published');
	const events = (await org.test.get('/v1/events?limit=100')).json.data.length;
	assert.ok(events > 10);
	ahead(YEARS);
	await sandbox.fail({ route: '/v1/containers', status: 503, count: 3 });
	const waiting = await post('handle', 'a wait made in ten years');
	assert.equal(await post('keyed', 'ten years', {}, headers), id);
	const looked = await post('search', 'looked for in ten years [[reset:after]]');
	await until('it has been tried', async () => (await sandbox.stats()).requests['POST /v1/containers'] > 0);
	await sleep(12_000);		// the sweep comes every ten seconds
	ahead(0);
	assert.equal(await post('keyed', 'ten years', {}, headers), id);
	await becomes(waiting, 'published');
	await becomes(looked, 'needs_attention');
	assert.deepEqual([await count('ten years'), await count('a wait made'), await count('looked for in ten')], [1 + 2, 1, 1]);
	assert.ok((await org.test.get('/v1/events?limit=100')).json.data.length >= Math.min(100, events), 'events were swept away');
});

test('F6 a clock that stands still', async () => {
	freeze();
	await lost_answers('frozen');
	ahead(0);
});

test('F6 the night in which the hour is missing, and the one that has it twice', async () => {
	for (const [start, local, fold, at] of [
		['2027-03-28T00:59:57Z', '2027-03-28T03:00:01', undefined, '2027-03-28T01:00:01Z'],
		['2027-10-31T00:59:57Z', '2027-10-31T02:00:01', 'later', '2027-10-31T01:00:01Z'],
	]) {
		const text = `at ${local}`;
		ahead(Math.round((Date.parse(start) - Date.now()) / 1000) * 1000);
		const id = await post('keyed', text, { scheduledAt: local, timezone: 'Europe/Berlin', ...(fold && { fold }) });
		await becomes(id, 'published');
		const rows = await sandbox.ledger(text);
		assert.equal(rows.length, 1);
		const when = Date.parse(rows[0].at) || Number(rows[0].at);
		assert.ok(when + offset >= Date.parse(at), `${stamp(when + offset)} is before ${at}`);
	}
	ahead(0);
});

test('F6 all clocks stand still, even those that cannot: nothing is sent twice', async () => {
	await server.end('SIGKILL');
	server.env = { ...env, DONT_FAKE_MONOTONIC: '0' };
	await server.start();
	freeze();
	const posts = [];
	for (const kind of kinds) posts.push([kind, await post(kind, `no clock, ${kind} [[reset:after]]`)]);
	await throughout('at most once', async () => (await sandbox.ledger('no clock')).length <= kinds.length, 3000);
	ahead(0);
	await server.end('SIGKILL');
	server.env = env;
	await server.start();
	for (const [kind, id] of posts) {
		await becomes(id, kind === 'none' ? 'needs_attention' : 'published');
		assert.equal(await count(`no clock, ${kind}`), 1);
	}
});

await done(180_000);
