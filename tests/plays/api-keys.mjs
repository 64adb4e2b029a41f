// API keys through the API: made, used, changed over, taken back.  No key makes one that can do more than itself, and
// the text of a key is found nowhere but in the answer that made it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { api } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const org = await server.organization('Northpeak');
const other = await server.organization('Southpeak');
const keys = `/v1/apps/${org.app}/api-keys`;
const shown = [];		// every text that an answer showed

async function made(promise, status = 201) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	if (answer.json.key) shown.push(answer.json.key);
	return answer.json;
}

const make = (more = {}, by = org.live) => made(by.post(keys, { name: 'A worker', mode: 'test', scopes: ['posts:read'], ...more }));
const of = ({ key }) => api(server.url, key);
const listed = async (id) => (await made(org.live.get(keys), 200)).data.find((k) => k.id === id);

async function refused(promise, status, code, param) {
	const { json, text, ...answer } = await promise;
	assert.deepEqual([answer.status, json.error.code], [status, code], text);
	if (param) assert.equal(json.error.param, param, text);
	return json.error;
}
const dead = (key, code) => refused(of(key).get('/v1/posts'), 401, code);
const good = (key) => made(of(key).get('/v1/posts'), 200);

// A fault without what differs from one request to the next.
const same = ({ error }) => JSON.stringify({ ...error, requestId: null });

test('the apps of the organization, and no other', async () => {
	const { data } = await made(org.live.get('/v1/apps'), 200);
	assert.deepEqual(data.map((a) => a.id), [org.app]);
	assert.deepEqual(await made(org.live.get(`/v1/apps/${org.app}`), 200), data[0]);
	assert.equal(data[0].credentialMode, 'customer');
	await refused(org.live.get(`/v1/apps/${other.app}`), 404, 'not_found');
});

test('a key is made, works as far as its scopes, and is listed without its text', async () => {
	const key = await make({ name: 'Reads posts', scopes: ['posts:read', 'admin:read'] });
	assert.match(key.key, /^mps_test_[0-9A-Za-z]{46}$/);
	assert.ok(key.key.startsWith(key.prefix));
	await good(key);
	await refused(of(key).post('/v1/end-users', { externalUserId: 'eve' }), 403, 'scope_missing');
	await until('when it was used is known', async () => (await listed(key.id)).lastUsedAt);
	const { lastUsedAt, ...row } = await listed(key.id);
	const { key: text, lastUsedAt: never, ...rest } = key;
	assert.ok(text && never === null && Date.now() - Date.parse(lastUsedAt) < 60_000);
	assert.deepEqual(row, rest);
	assert.deepEqual([row.status, row.mode, row.livemode, row.scopes], ['active', 'test', false, ['posts:read', 'admin:read']]);
});

test('the list goes page by page', async () => {
	for (let i = 0; i < 3; i++) await make({ name: `Number ${i}` });
	const all = (await made(org.live.get(keys), 200)).data, walked = [];
	for (let cursor = ''; cursor !== null;) {
		const page = await made(org.live.get(`${keys}?limit=2${cursor && `&cursor=${cursor}`}`), 200);
		walked.push(...page.data);
		cursor = page.nextCursor;
	}
	assert.deepEqual(walked.map((k) => k.id), all.map((k) => k.id));
	assert.ok(all.length >= 5);
});

test('no key gives what it has not', async () => {
	const admin = of(await make({ mode: 'live', scopes: ['admin:write', 'posts:read'] }));
	await refused(admin.post(keys, { name: 'x', mode: 'live', scopes: ['posts:read', 'posts:write'] }), 403, 'scope_missing', 'scopes');
	await refused(admin.post(keys, { name: 'x', mode: 'live', scopes: ['all'] }), 403, 'scope_missing', 'scopes');
	const less = await make({ scopes: ['admin:read', 'posts:read'] }, admin);
	await good(less);
	await refused(of(less).post(keys, { name: 'x', mode: 'test', scopes: ['posts:read'] }), 403, 'scope_missing');
	const wide = await make({ scopes: ['all'] });
	await refused(admin.post(`${keys}/${wide.id}/rotate`, {}), 403, 'scope_missing', 'scopes');
	await good(wide);
	assert.ok(!(await made(org.live.get(keys), 200)).data.some((k) => k.name === 'x'));
});

test('a test key knows test keys only', async () => {
	const live = await make({ mode: 'live' });
	await refused(org.test.post(keys, { name: 'x', mode: 'live', scopes: ['posts:read'] }), 403, 'permission_denied', 'mode');
	const { data } = await made(org.test.get(keys), 200);
	assert.ok(data.length && data.every((k) => k.mode === 'test'));
	await refused(org.test.post(`${keys}/${live.id}/rotate`, {}), 404, 'not_found');
	await refused(org.test.delete(`${keys}/${live.id}`), 404, 'not_found');
	await good(live);
});

test('what cannot be a key is refused, with what is wrong', async () => {
	const body = { name: 'x', mode: 'test', scopes: ['posts:read'] };
	const bad = (more, code, param) => refused(org.live.post(keys, { ...body, ...more }), 422, code, param);
	await bad({ scopes: ['posts:reed'] }, 'field_invalid', 'scopes[0]');
	await bad({ scopes: ['posts:read', 'posts:read'] }, 'field_invalid', 'scopes[1]');
	await bad({ scopes: ['all', 'posts:read'] }, 'field_invalid', 'scopes');
	await bad({ scopes: [] }, 'field_invalid', 'scopes');
	await bad({ mode: 'demo' }, 'field_invalid', 'mode');
	await bad({ name: '' }, 'field_invalid', 'name');
	await bad({ expiresAt: '2020-01-01T00:00:00Z' }, 'time_in_past', 'expiresAt');
	await bad({ expiresAt: '2040-01-01T00:00:00' }, 'time_offset_missing', 'expiresAt');
	const key = await make();
	const url = `${keys}/${key.id}/rotate`;
	await refused(org.live.post(url, { overlapSeconds: 604801 }), 422, 'field_invalid', 'overlapSeconds');
	await refused(org.live.post(url, { overlapSeconds: -1 }), 422, 'field_invalid', 'overlapSeconds');
	await good(key);
});

test('a key with an end is refused from then on', async () => {
	const key = await make({ expiresAt: new Date(Date.now() + 1500).toISOString() });
	await good(key);
	await until('it is refused', async () => (await of(key).get('/v1/posts')).status === 401);
	assert.ok(Date.now() >= Date.parse(key.expiresAt));
	await dead(key, 'api_key_expired');
	assert.equal((await listed(key.id)).status, 'expired');
	await refused(org.live.post(`${keys}/${key.id}/rotate`, {}), 409, 'conflict');
});

test('changed over: both are good during the overlap, then the new one alone', async () => {
	const old = await make({ name: 'Turns', scopes: ['posts:read', 'media:write'] });
	const next = await made(org.live.post(`${keys}/${old.id}/rotate`, { overlapSeconds: 2 }));
	assert.notEqual(next.key, old.key);
	assert.deepEqual([next.name, next.scopes, next.mode, next.expiresAt], [old.name, old.scopes, old.mode, null]);
	assert.equal(next.replaces.id, old.id);
	await good(old);
	await good(next);
	await until('the old one has ended', async () => (await of(old).get('/v1/posts')).status === 401);
	assert.ok(Date.now() >= Date.parse(next.replaces.expiresAt));
	await dead(old, 'api_key_expired');
	await good(next);
});

test('changed over without overlap, by itself; an end stays the end', async () => {
	const end = new Date(Date.now() + 3_600_000).toISOString();
	const old = await make({ scopes: ['admin:write', 'posts:read'], expiresAt: end });
	const next = await made(of(old).post(`${keys}/${old.id}/rotate`, {}));
	await dead(old, 'api_key_expired');
	await good(next);
	assert.equal(next.expiresAt, end);
	const late = await made(of(next).post(`${keys}/${next.id}/rotate`, { overlapSeconds: 604800 }));
	assert.equal(late.replaces.expiresAt, end, 'an overlap makes nothing last longer');
});

test('taken back: refused on the next request, on every thread', async () => {
	const key = await make(), client = of(key);
	const row = await made(org.live.delete(`${keys}/${key.id}`), 200);
	assert.deepEqual([row.status, Boolean(row.revokedAt), row.key], ['revoked', true, undefined]);
	const after = await Promise.all(Array.from({ length: 40 }, () => client.get('/v1/posts')));
	assert.deepEqual([...new Set(after.map((a) => `${a.status} ${a.json.error.code}`))], ['401 api_key_revoked']);
	assert.equal((await made(org.live.delete(`${keys}/${key.id}`), 200)).revokedAt, row.revokedAt, 'twice is no fault');
	await refused(org.live.post(`${keys}/${key.id}/rotate`, {}), 409, 'conflict');
});

test("another organization's app and key are answered like ones that never were", async () => {
	const key = await make(), [theirs] = (await made(other.live.get(`/v1/apps/${other.app}/api-keys`), 200)).data;
	const never = { app: `app_${'0'.repeat(26)}`, key: `key_${'0'.repeat(26)}` };
	const body = { name: 'x', mode: 'test', scopes: ['posts:read'] };
	const calls = (app, id) => [['GET', `/v1/apps/${app}`], ['GET', `/v1/apps/${app}/api-keys`], ['POST', `/v1/apps/${app}/api-keys`, body],
		['POST', `/v1/apps/${app}/api-keys/${id}/rotate`, {}], ['DELETE', `/v1/apps/${app}/api-keys/${id}`]];
	const answers = (by, app, id) => Promise.all(calls(app, id).map(async (c) => (await by(...c))));
	const random = await answers(org.live, never.app, never.key);
	for (const found of [await answers(org.live, other.app, theirs.id), await answers(org.live, other.app, key.id)])
		for (const [i, a] of found.entries()) {
			assert.deepEqual([a.status, same(a.json)], [404, same(random[i].json)]);
		}
	const mine = (await answers(org.live, org.app, never.key)).slice(3), foreign = (await answers(org.live, org.app, theirs.id)).slice(3);
	for (const [i, a] of foreign.entries()) assert.deepEqual([a.status, same(a.json)], [404, same(mine[i].json)]);
	await good(key);
	assert.equal((await made(other.live.get(`/v1/apps/${other.app}/api-keys`), 200)).data[0].status, 'active');
});

test('the same Idempotency-Key makes one key, whose text only the first answer shows', async () => {
	const head = { 'idempotency-key': 'one key' }, body = { name: 'Once', mode: 'test', scopes: ['posts:read'] };
	const first = await made(org.live.post(keys, body, head));
	const again = await org.live.post(keys, body, head);
	assert.equal(again.status, 201);
	assert.equal(again.headers['idempotent-replayed'], 'true');
	const { key, ...rest } = first;
	assert.deepEqual(again.json, rest);
	await good({ key });
	assert.equal((await made(org.live.get(keys), 200)).data.filter((k) => k.name === 'Once').length, 1);
	const turn = { 'idempotency-key': 'one turn' }, url = `${keys}/${first.id}/rotate`;
	const next = await made(org.live.post(url, { overlapSeconds: 60 }, turn));
	const { key: text, ...shape } = next;
	assert.deepEqual((await org.live.post(url, { overlapSeconds: 60 }, turn)).json, shape);
	await good({ key: text });
	const many = () => org.live.post(keys, { ...body, name: 'Many' }, { 'idempotency-key': 'many' });
	const all = await Promise.all(Array.from({ length: 20 }, many));
	assert.equal(new Set(all.map((a) => a.json.id)).size, 1);
	assert.equal(all.filter((a) => a.json.key).length, 1);
	shown.push(...all.map((a) => a.json.key).filter(Boolean));
});

test('no text of a key lies in the store, in a kept answer or in the log', async () => {
	assert.ok(shown.length > 15);
	await server.end();
	const files = readdirSync(server.folder, { recursive: true }).map((name) => join(server.folder, name)).filter((f) => statSync(f).isFile());
	const contents = files.map((file) => [file, readFileSync(file)]);
	assert.ok(contents.some(([, bytes]) => bytes.includes('Reads posts')), 'the store was not among the files');
	contents.push(['the log', Buffer.from(server.log())]);
	for (const key of shown) {
		const secret = key.slice('mps_test_'.length + 8, -6);
		for (const [file, bytes] of contents) assert.ok(!bytes.includes(secret), `the secret of a key lies in ${file}`);
	}
	const store = new DatabaseSync(files.find((f) => f.endsWith('.db')));
	const kept = store.prepare("SELECT answer FROM idempotency WHERE key IN ('one key', 'one turn', 'many')").all();
	assert.equal(kept.length, 3);
	for (const { answer } of kept) assert.equal(JSON.parse(answer).key, undefined);
	store.close();
});

await done();
