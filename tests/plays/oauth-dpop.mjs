// Tokens that are bound to a key (RFC 9449), with pushed requests (RFC 9126), at a real and strict server that wants its
// nonces.  The oracle is what it accepted and the proofs that it saw.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { made, startOauth } from '../lib/oauth.mjs';
import { after, done, test } from '../lib/test.mjs';

const stage = await startOauth({ platform: 'oidc-dpop', settings: { 'setting.par': 'yes' }, client: { dpop: true, par: true } });
after(() => stage.stop());
const { as, server } = stage;
const org = await stage.organization();

const keyOf = (request) => JSON.stringify(request.proof.header.jwk);
const since = async (n) => (await as.seen()).slice(n).filter((r) => !/^\/(auth|interaction)/.test(r.path));

test('connects by a pushed request, and every proof is of one key, for one call, of now', async () => {
	await org.connect('ada');
	const calls = await since(0);
	assert.deepEqual([...new Set(calls.map((r) => r.path))], ['/request', '/token', '/me']);
	assert.equal(new Set(calls.map(keyOf)).size, 1);
	assert.equal(new Set(calls.map((r) => r.proof.claims.jti)).size, calls.length);
	for (const { method, path, proof: { header, claims }, auth } of calls) {
		assert.deepEqual([header.typ, header.alg, claims.htm, claims.htu], ['dpop+jwt', 'ES256', method, `${as.issuer}${path}`]);
		assert.equal(header.jwk.d, undefined);
		assert.ok(Math.abs(claims.iat - Date.now() / 1000) < 30);
		if (path === '/me') {
			assert.match(auth, /^DPoP /);
			assert.equal(claims.ath, createHash('sha256').update(auth.slice(5)).digest('base64url'));
		}
	}
	const [auth] = (await as.seen('/auth'));
	assert.deepEqual(Object.keys(auth.query).sort(), ['client_id', 'request_uri'], 'the browser carries nothing else');
	assert.equal((await as.token()).filter((r) => r.worked === 200).length, 1);
});

test('each authorization has a key of its own, also of one account', async () => {
	const n = (await as.seen()).length;
	await org.connect('ada');
	const [first] = await since(0), [second] = await since(n);
	assert.notEqual(keyOf(first), keyOf(second));
});

test('posts and renews with the key of its grant, also after a restart', async () => {
	const connection = await org.connect('bob');
	const n = (await as.seen()).length;
	const key = keyOf((await as.token()).at(-1));
	await as.expire();
	await org.ends(await org.post(connection.id, 'with a key'), 'published');
	await server.restart();
	await as.expire();
	await org.ends(await org.post(connection.id, 'with the same key'), 'published');
	const calls = await since(n);
	assert.ok(calls.every((r) => keyOf(r) === key));
	assert.equal(calls.filter((r) => r.path === '/token' && r.worked === 200).length, 2);
	assert.deepEqual((await as.ledger()).map((p) => p.text), ['with a key', 'with the same key']);
});

test('a nonce that has changed costs one repetition and no second post', async () => {
	const connection = await org.connect('carol');
	await org.ends(await org.post(connection.id, 'learns the nonce'), 'published');
	await as.nonce();
	const n = (await as.seen('/api/posts')).length;
	await org.ends(await org.post(connection.id, 'another nonce'), 'published');
	assert.deepEqual((await as.seen('/api/posts')).slice(n).map((r) => r.worked), [401, 200]);
	assert.equal((await as.ledger()).filter((p) => p.text === 'another nonce').length, 1);
});

test('a server that asks for nonces for ever is not asked for ever', async () => {
	const connection = await org.connect('dora');
	const n = (await as.seen('/me')).length;
	await as.fault('/me', 'status', { status: 401, headers: { 'dpop-nonce': 'again', 'www-authenticate': 'DPoP error="use_dpop_nonce"' },
		body: { error: 'use_dpop_nonce' }, count: 1000 });
	await made(org.live.post(`/v1/connections/${connection.id}/check`, {}), 200);
	assert.equal((await as.seen('/me')).length - n, 2);
});

test('tokens that are not bound to the key are refused', async () => {
	const session = await org.session();
	const { browser, callback } = await org.answered(session, 'eve');
	await as.fault('/token', 'edit', { set: { token_type: 'Bearer' }, count: 2 });
	await org.finish(browser, callback);
	assert.equal(await org.status(session), 'failed');
	assert.equal((await org.connections()).filter((c) => c.username === 'eve').length, 0);
});

test('nothing of it rests in clear', async () => {
	const secrets = await as.secrets();
	assert.ok(secrets.length > 15);
	assert.deepEqual(stage.resting(secrets), []);
});

await done(60_000);
