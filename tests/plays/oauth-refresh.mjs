// Renewing tokens at a real and strict server: refresh tokens rotate, and the second use of a spent one ends the whole
// family.  The oracle is the log of its token endpoint and what was posted.
import assert from 'node:assert/strict';
import { back, made, startOauth } from '../lib/oauth.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { throughout } from '../lib/wait.mjs';

const stage = await startOauth({ ini: { engine: { request_timeout_ms: 4000 } } });
after(() => stage.stop());
const { as, server } = stage;
const org = await stage.organization('Northpeak');

const refreshes = () => as.token({ grant: 'refresh_token' });
const posted = async (text) => (await as.ledger()).filter((p) => p.text === text).length;
const reauths = (connection) => org.events('connection.reauth_required')
	.then((all) => all.filter((e) => JSON.stringify(e).includes(connection.id)).length);

// The refresh calls that something makes, as [worked, error].
async function during(what) {
	const before = (await refreshes()).length;
	await what();
	return (await refreshes()).slice(before).map((r) => [r.worked, r.answer?.error].filter((x) => x !== undefined).join(' '));
}

// n more connections on the grant of one, as many pages of one login are.
function clones(connection, n) {
	return stage.db((db) => [connection.id, ...Array.from({ length: n }, (_, i) => {
		const id = `${connection.id.slice(0, -3)}${String(i).padStart(3, '0')}`;
		const columns = db.prepare('PRAGMA table_info(connection)').all().map((c) => c.name);
		const values = columns.map((c) => ({ id: `'${id}'`, remote_id: `remote_id || '-${i}'` })[c] ?? c);
		db.exec(`INSERT INTO connection (${columns}) SELECT ${values} FROM connection WHERE id = '${connection.id}'`);
		return id;
	})]);
}

test('O-20: a hundred users of an expired token refresh it once', async () => {
	const ids = clones(await org.connect('hundred'), 99);
	await as.expire();
	await as.fault('/token', 'slow', { ms: 300 });
	const calls = await during(async () => {
		const posts = await Promise.all(ids.map((id) => org.post(id, 'one of a hundred')));
		await until('all are out', async () => await posted('one of a hundred') === 100);
		for (const post of posts) await org.ends(post, 'published');
	});
	assert.deepEqual(calls, ['200']);
	assert.equal(await posted('one of a hundred'), 100);
	assert.equal((await as.alive('RefreshToken', 'hundred')).length, 1);
});

test('O-20: and of a token that is known to be old', async () => {
	const connection = await org.connect('known');
	stage.db((db) => db.exec(`UPDATE auth_grant SET expires_at = 1000
		WHERE id = (SELECT grant_id FROM connection WHERE id = '${connection.id}')`));
	const tried = (await as.seen('/api/posts')).length;
	const calls = await during(async () => {
		await Promise.all(Array.from({ length: 20 }, () => org.live.post(`/v1/connections/${connection.id}/check`, {})));
		await org.ends(await org.post(connection.id, 'known to be old'), 'published');
	});
	assert.deepEqual(calls, ['200']);
	assert.deepEqual((await as.seen('/api/posts')).slice(tried).map((r) => r.worked), [200], 'the old token was not tried');
});

test('O-21: the new pair is stored before its first use', async () => {
	const connection = await org.connect('first-use');
	await as.expire();
	await as.fault('/api/posts', 'held', { skip: 1 });	// the first is refused, the second is the new token's first use
	const tries = (await as.seen('/api/posts')).length;
	let post;
	const calls = await during(async () => {
		post = await org.post(connection.id, 'stored before use');
		await until('the new token is used', async () => (await as.seen('/api/posts'))[tries + 1]?.worked === 200);
		await server.kill();
		await server.start();
		await org.ends(post, 'published');
	});
	assert.deepEqual(calls, ['200'], 'what was stored is used, and nothing is renewed again');
	assert.equal((await as.seen('/api/posts')).at(-1).auth, `Bearer ${(await refreshes()).at(-1).answer.access_token}`);
	assert.equal(await posted('stored before use'), 1);
});

test('O-22: killed after the server has rotated: tried once, then the person is asked, and never again by itself', async () => {
	const connection = await org.connect('rotated');
	await as.expire();
	await as.fault('/token', 'held', { grant: 'refresh_token' });
	const asked = (await refreshes()).length;
	let post;
	const calls = await during(async () => {
		post = await org.post(connection.id, 'after the rotation');
		await until('the server has rotated', async () => (await refreshes())[asked]?.worked === 200);
		await server.kill();
		await server.start();
		await org.ends(post, 'blocked');
		await throughout('nothing is asked again', async () => (await org.connection(connection.id)).status === 'reauth_required', 1500);
		const another = await org.live.post('/v1/posts', { text: 'another', targets: [{ connectionId: connection.id }] });
		assert.deepEqual([another.status, another.json.error.code], [409, 'connection_reauth_required']);
	});
	assert.deepEqual(calls, ['200', '400 invalid_grant']);
	const { status, statusReason } = await org.connection(connection.id);
	assert.equal(status, 'reauth_required');
	assert.ok(statusReason, 'and it says why');
	const { error } = await org.delivery(post);
	assert.deepEqual([error.code, error.message], ['connection_reauth_required', 'the account has to be connected again']);
	assert.match(error.remediation, /reconnect/);
	assert.equal(await reauths(connection), 1);
	assert.deepEqual(await as.alive('RefreshToken', 'rotated'), [], 'the whole family is over');
	const again = await made(org.live.post(`/v1/connections/${connection.id}/reconnect`, { redirectUrl: back }), 201);
	await org.connect('rotated', again);
	await org.ends(post, 'published');
	assert.equal(await posted('after the rotation'), 1);
});

test('O-23: a permission that was taken back ends in one notice, and posts wait', async () => {
	const connection = await org.connect('taken');
	await as.withdraw('taken');
	const calls = await during(async () => {
		const posts = await Promise.all([1, 2, 3].map((n) => org.post(connection.id, `taken ${n}`)));
		for (const post of posts) await org.ends(post, 'blocked');
	});
	assert.deepEqual(calls, ['400 invalid_grant']);
	assert.equal((await org.connection(connection.id)).status, 'reauth_required');
	assert.equal(await reauths(connection), 1);
});

test('O-23: while the server is away posts wait, nobody is asked, and then they go', async () => {
	const connection = await org.connect('away'), ids = clones(connection, 9);
	await as.expire();
	await as.fault('/token', 'status', { grant: 'refresh_token', status: 503, count: 2 });
	let next;
	const asked = (await refreshes()).length, all = (some) => Promise.all(some.map((id) => org.post(id, 'while away')));
	const calls = await during(async () => {
		const posts = await all(ids.slice(0, 5));
		await until('it has failed', async () => (next = await org.connection(connection.id)).refreshFailureCount === 1);
		for (const post of [...posts, ...await all(ids.slice(5))]) await org.ends(post, 'published', 40_000);
	});
	assert.deepEqual(calls, ['0', '0', '200']);
	assert.ok((await refreshes())[asked + 1].at >= Date.parse(next.nextRefreshAt), 'it was asked again before it was due');
	assert.equal(await reauths(connection), 0);
	assert.equal((await org.connection(connection.id)).status, 'active');
	assert.equal(await posted('while away'), 10);
});

test('O-24: a token of a short life is not renewed at every use', async () => {
	await as.fault('/token', 'edit', { set: { expires_in: 55 } });
	const calls = await during(async () => {
		const connection = await org.connect('short');
		for (const text of ['short one', 'short two']) await org.ends(await org.post(connection.id, text), 'published');
	});
	assert.deepEqual(calls, []);
});

test('O-25: an answer without a refresh token keeps the old one', async () => {
	const connection = await org.connect('keeps');
	const last = async () => (await refreshes()).at(-1);
	await as.expire();
	await as.fault('/token', 'edit', { grant: 'refresh_token', set: { refresh_token: null } });
	await org.ends(await org.post(connection.id, 'without'), 'published');
	const first = (await last()).form.refresh_token;
	await as.expire();
	await as.fault('/token', 'status', { grant: 'refresh_token', status: 503 });	// it has rotated really: only the text is looked at
	await org.post(connection.id, 'again');
	await until('it was used once more', async () => (await last()).status === 503);
	assert.equal((await last()).form.refresh_token, first);
});

test('O-25: an empty refresh token is none', async () => {
	const connection = await org.connect('empty');
	await as.expire();
	await as.fault('/token', 'edit', { grant: 'refresh_token', set: { refresh_token: '' } });
	await org.ends(await org.post(connection.id, 'with an empty one'), 'published');
	assert.equal((await org.connection(connection.id)).refreshable, true);
});

test('O-25: permissions that shrink at a refresh are seen', async () => {
	const connection = await org.connect('shrinks');
	assert.deepEqual(connection.missingPermissions, []);
	await as.expire();
	await as.fault('/token', 'edit', { grant: 'refresh_token', set: { scope: 'openid offline_access' } });
	await org.ends(await org.post(connection.id, 'shrunk'), 'published');
	const now = await org.connection(connection.id);
	assert.deepEqual(now.grantedScopes, ['openid', 'offline_access']);
	assert.deepEqual(now.missingPermissions, ['posts:write']);
});

await done(90_000);
