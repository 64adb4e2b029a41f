// Clients that prove themselves by keys: the metadata document and its key, pushed authorization, DPoP with nonces of
// two servers, signatures by handle, facts of a grant, an issuer that must be named, two ways to connect.
//
// The one thing to know: the far side is strict and counts what it has done.  It verifies every proof and assertion
// with Node's own cryptography, and changes its nonce whenever a test wants to see a repetition.
import assert from 'node:assert/strict';
import { createHash, createHmac, createPublicKey, randomBytes, verify } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Browser, call } from '../lib/http.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const API = 'https://api.proved.test', PUBLIC = 'https://post.proved.test';
const back = 'https://product.example/done';
const json = (text) => JSON.parse(Buffer.from(text, 'base64url'));
const made = async (promise, status) => {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
};

/* ---- the far side ---- */

function jwt(text, key) {
	const [head, body, sig] = text.split('.');
	const header = json(head);
	const good = verify('sha256', Buffer.from(`${head}.${body}`),
		{ key: createPublicKey({ key: key(header), format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(sig, 'base64url'));
	assert.ok(good, 'the signature is not good');
	return { header, claims: json(body) };
}

const thumbprint = ({ crv, kty, x, y }) => createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
const nonce = () => randomBytes(9).toString('base64url');
const far = {
	nonces: { auth: nonce(), api: nonce() }, jtis: new Set(), keys: [], posts: [], seen: [], pushed: [], tokens: new Map(),
	insist: 0, kill: null,
};

function proof(req, side, base, token) {
	const { header, claims } = jwt(req.headers.dpop, (h) => h.jwk);
	assert.equal(header.typ, 'dpop+jwt');
	assert.equal(header.alg, 'ES256');
	assert.deepEqual(Object.keys(header.jwk).sort(), ['crv', 'kty', 'x', 'y'], 'no private part');
	assert.equal(claims.htm, req.method);
	assert.equal(claims.htu, base + req.url.split('?')[0]);
	assert.ok(Math.abs(claims.iat - Date.now() / 1000) < 30);
	assert.ok(!far.jtis.has(claims.jti), 'a proof is used once');
	far.jtis.add(claims.jti);
	assert.equal(claims.ath, token && createHash('sha256').update(token).digest('base64url'));
	return { key: thumbprint(header.jwk), fresh: claims.nonce === far.nonces[side] && far.insist-- <= 0 };
}

function assertion(form, doc) {
	assert.equal(form.get('client_assertion_type'), 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
	const { header, claims } = jwt(form.get('client_assertion'), ({ kid }) => doc.keys.find((k) => k.kid === kid));
	assert.equal(header.alg, 'ES256');
	assert.equal(claims.iss, `${PUBLIC}/oauth/proved/client-metadata.json`);
	assert.equal(claims.sub, claims.iss);
	assert.equal(claims.aud, AUTH);
	assert.ok(claims.exp - claims.iat === 60 && Math.abs(claims.iat - Date.now() / 1000) < 30);
	assert.ok(!far.jtis.has(claims.jti), 'an assertion is used once');
	far.jtis.add(claims.jti);
}

let jwks;		// as the served document says
function token(key) {
	const access = `at-${nonce()}`, refresh = `rt-${nonce()}`;
	far.tokens.set(access, key).set(refresh, key);
	const turns = `${++far.turn}`;
	return { access_token: access, refresh_token: refresh, token_type: 'DPoP', expires_in: 3600, scope: 'atproto write', turns };
}
far.turn = 0;

const routes = {
	'/par': ({ form, key }) => {
		far.pushed.push(Object.fromEntries(form));
		far.keys.push(key);
		return [201, { request_uri: `urn:${nonce()}`, subject: `did:${form.get('login_hint')}`, expires_in: 60 }];
	},
	'/token': ({ form, key }) => {
		if (form.get('grant_type') === 'refresh_token') {
			const of = far.tokens.get(form.get('refresh_token'));
			far.tokens.delete(form.get('refresh_token'));
			return of === key ? [200, token(key)] : [400, { error: 'invalid_grant' }];
		}
		const { code_challenge: challenge } = far.pushed.at(-1);
		assert.equal(createHash('sha256').update(form.get('code_verifier')).digest('base64url'), challenge);
		far.exchanged = Object.fromEntries(form);
		return [200, token(key)];
	},
	'/me': ({ req }) => {
		far.turns = req.headers['x-turns'];
		return [200, { id: 'account-1' }];
	},
	'/posts': ({ req, body, access }) => {
		const { text } = JSON.parse(body), inner = createHmac('sha256', access).update(text).digest('hex');
		assert.equal(req.headers['x-inner'], inner);
		assert.equal(req.headers['x-proof'], createHmac('sha256', inner).update(access).digest('base64url'));
		far.posts.push(text);
		return [201, { id: `post-${far.posts.length}` }];
	},
};

async function answer(req, res) {
	const chunks = [];
	for await (const chunk of req) chunks.push(chunk);
	const body = Buffer.concat(chunks).toString(), path = req.url.split('?')[0];
	const side = ['/me', '/posts'].includes(path) ? 'api' : 'auth', access = req.headers.authorization?.replace(/^DPoP /, '');
	const say = (status, what, headers = {}) => {
		far.seen.push({ path, status });
		res.writeHead(status, { 'content-type': 'application/json', 'dpop-nonce': far.nonces[side], ...headers }).end(JSON.stringify(what));
	};
	const form = new URLSearchParams(body);
	const { key, fresh } = proof(req, side, side === 'api' ? API : AUTH, side === 'api' ? access : undefined);
	if (side === 'auth' && form.get('client_assertion')) assertion(form, jwks);
	if (path === '/posts' && far.kill === (fresh ? 'repeated' : 'first')) {
		if (fresh) far.posts.push(JSON.parse(body).text);
		far.kill = null;
		await server.kill();
		return res.destroy();
	}
	if (!fresh) {		// two shapes: an error of OAuth, and a challenge of a resource server
		return side === 'auth' ? say(400, { error: 'use_dpop_nonce' })
			: say(401, { message: 'no' }, { 'www-authenticate': 'DPoP algs="ES256", error="use_dpop_nonce"' });
	}
	if (side === 'api' && far.tokens.get(access) !== key) return say(401, { error: 'invalid_token' });
	const [status, what] = routes[path]({ req, form, body, key, access });
	say(status, what);
}

const faults = [];
const server_ = http.createServer((req, res) => answer(req, res).catch((error) => {
	faults.push(error);
	res.writeHead(500).end(JSON.stringify({ error: 'fault', words: error.message }));
}));
const port = await new Promise((resolve) => server_.listen(0, '127.0.0.1', () => resolve(server_.address().port)));
const AUTH = `http://127.0.0.1:${port}`;
after(() => server_.close());

/* ---- our side ---- */

const folder = mkdtempSync(join(tmpdir(), 'mps-proved-'));
after(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, 'plugins'));
for (const [from, name] of [['plugins/sandbox.so', 'sandbox.so'], ['tests/plugins/proved.so', 'proved.so']]) {
	copyFileSync(join(build, from), join(folder, 'plugins', name));
	chmodSync(join(folder, 'plugins', name), 0o644);
}
const ini = {
	providers: { folder: join(folder, 'plugins'), host_program: join(build, 'libexec/mypostshare-host') },
	egress: { allow: `127.0.0.1:${port}` },
	'provider.proved': {
		'base_url.api.proved.test': AUTH, 'setting.auth': AUTH, 'setting.client_name': 'Northpeak', 'setting.policy_uri': `${PUBLIC}/privacy`,
	},
};
const begin = () => startServer({ ini });
// The port is known only now.
async function known(of, url) {
	of.configure({ server: { listen: `127.0.0.1:${of.port}`, public_url: url }, ...ini });
	await of.restart();
}
const server = await begin();
after(() => server.stop());

async function organization(of) {
	const org = await of.organization('Northpeak');
	await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
	await made(org.live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
	return org;
}

const session = (org) => made(org.live.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'proved', redirectUrl: back }), 201);

// A browser that the server takes for one that came to its public address.
class Outside extends Browser {
	go(method, url, fields, headers = {}) {
		const at = new URL(url, this.url ?? undefined).href.replace(PUBLIC, server.url);
		return super.go(method, at, fields, { ...headers, ...(method === 'POST' && { origin: this.origin ?? PUBLIC }) });
	}
	get location() { return super.location?.replace(PUBLIC, server.url) ?? null; }
}

async function begun(org, browser = new Outside()) {
	await browser.get((await session(org)).connectUrl);
	await browser.submit({ handle: 'ada.test' }, 0);
	assert.equal(browser.page.status, 303, browser.page.text + faults.map(String));
	assert.ok(browser.location.startsWith(`${AUTH}/authorize?`), browser.location);
	return browser;
}

const callback = (browser, more) => {
	const { state } = far.pushed.at(-1);
	return browser.get(`${server.url}/oauth/proved/callback?${new URLSearchParams({ code: nonce(), state, ...more })}`);
};

async function settle(browser) {
	for (let i = 0; i < 40 && !browser.location?.startsWith(back); i++) {
		if (browser.location) await browser.get(browser.location);
		else if (/http-equiv="refresh"/.test(browser.page.text)) await browser.get(browser.url);
		else break;
	}
	return browser;
}

async function connected(org) {
	const browser = await begun(org);
	await callback(browser, { iss: AUTH });
	await settle(browser);
	assert.match(browser.location ?? browser.page.text, /status=success/);
	return new URL(browser.location).searchParams.get('connectionId');
}

const asked = (path) => far.seen.filter((s) => s.path === path).map((s) => s.status);
const publish = async (org, connectionId, text) => {
	const { id } = await made(org.live.post('/v1/posts', { text, targets: [{ connectionId }] }), 202);
	const read = async () => (await made(org.live.get(`/v1/posts/${id}`), 200)).deliveries[0];
	await until('the delivery has ended', async () => ['published', 'failed', 'unconfirmed'].includes((await read()).status), 20_000);
	return read();
};
const rows = (sql, ...values) => {
	const db = new DatabaseSync(join(server.folder, 'var/mypostshare.db'), { readOnly: true });
	try { return db.prepare(sql).all(...values); } finally { db.close(); }
};

await known(server, PUBLIC);
const org = await organization(server);
let connection;

test('the metadata of the client and its public key are served to anybody', async () => {
	const page = await call('GET', `${server.url}/oauth/proved/client-metadata.json`);
	assert.equal(page.status, 200);
	assert.match(page.headers['content-type'], /^application\/json/);
	assert.match(page.headers['cache-control'], /^public, max-age=\d+/);
	assert.deepEqual(page.json, {
		client_id: `${PUBLIC}/oauth/proved/client-metadata.json`, application_type: 'web', client_name: 'Northpeak', client_uri: PUBLIC,
		policy_uri: `${PUBLIC}/privacy`, grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
		redirect_uris: [`${PUBLIC}/oauth/proved/callback`], scope: 'atproto write', dpop_bound_access_tokens: true,
		token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks_uri: `${PUBLIC}/oauth/proved/jwks.json`,
	});
	const keys = await call('GET', `${server.url}/oauth/proved/jwks.json`);
	assert.equal(keys.status, 200);
	assert.match(keys.headers['content-type'], /^application\/json/);
	assert.equal(keys.json.keys.length, 1);
	assert.deepEqual(Object.keys(keys.json.keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'], 'and nothing private');
	jwks = keys.json;
	assert.deepEqual((await call('GET', `${server.url}/oauth/proved/jwks.json`)).json, jwks, 'the key stays');
	for (const other of ['sandbox', 'nobody']) {
		assert.equal((await call('GET', `${server.url}/oauth/${other}/client-metadata.json`)).status, 404);
		assert.equal((await call('GET', `${server.url}/oauth/${other}/jwks.json`)).status, 404);
	}
});

test('each way to connect asks for its own fields', async () => {
	const browser = new Outside();
	await browser.get((await session(org)).connectUrl);
	const [oauth, form] = browser.forms.map((f) => Object.keys(f.fields).sort());
	assert.deepEqual(oauth, ['handle', 'name']);
	assert.deepEqual(form, ['name', 'password', 'way']);
	const ids = [...browser.page.text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
	assert.deepEqual(ids, [...new Set(ids)], 'no id stands twice');
	await browser.submit({ handle: '' }, 0);
	assert.equal(browser.page.status, 422);
	assert.deepEqual(browser.forms.map((f) => Object.keys(f.fields).sort()), [oauth, form]);
	assert.equal(browser.page.text.match(/Please fill this in/g).length, 1);
});

test('an account is connected with assertion, pushed request, proofs and facts', async () => {
	connection = await connected(org);
	assert.deepEqual(faults, []);
	const pushed = far.pushed.at(-1);
	assert.equal(pushed.client_id, `${PUBLIC}/oauth/proved/client-metadata.json`);
	assert.equal(pushed.redirect_uri, `${PUBLIC}/oauth/proved/callback`);
	assert.equal(pushed.scope, 'atproto write');
	assert.equal(pushed.login_hint, 'ada.test');
	assert.equal(far.exchanged.subject, 'did:ada.test', 'a fact of authorize');
	assert.equal(far.exchanged.handle, 'ada.test', 'what was entered');
	assert.equal(far.exchanged.host, 'api.proved.test', 'the host that authorize found');
	assert.equal(far.turns, '1', 'a fact of exchange');
	assert.deepEqual(asked('/par'), [400, 201], 'one repetition, then the nonce is known');
	assert.deepEqual(asked('/token'), [200]);
	assert.deepEqual(asked('/me'), [401, 200], 'another server, another nonce');
	const [grant] = rows("SELECT facts FROM auth_grant WHERE status = 'active'");
	assert.deepEqual(JSON.parse(grant.facts), {
		'oauth.client_id': pushed.client_id, 'oauth.client_auth': 'private_key_jwt', subject: 'did:ada.test', auth_host: '127.0.0.1', turns: '1',
	});
});

test('a publish that is never repeated is repeated by the nonce alone, and is there once', async () => {
	far.nonces.api = nonce();
	const before = asked('/posts').length;
	const delivery = await publish(org, connection, 'once and no more');
	assert.equal(delivery.status, 'published');
	assert.deepEqual(asked('/posts').slice(before), [401, 201]);
	assert.deepEqual(far.posts, ['once and no more']);
	assert.deepEqual(rows("SELECT status, class FROM attempt WHERE endpoint LIKE '%/posts' ORDER BY number")
		.map((a) => [a.status, a.class]), [[401, 'once'], [201, 'once']], 'each send is an attempt of its own');
	await publish(org, connection, 'the next');
	assert.deepEqual(asked('/posts').slice(before), [401, 201, 201], 'the nonce of the last answer is used');
});

test('a server that asks for a nonce twice in a row is told to the provider', async () => {
	far.insist = 2;
	const before = asked('/posts').length;
	const delivery = await publish(org, connection, 'never');
	far.insist = 0;
	assert.equal(delivery.status, 'failed', JSON.stringify(delivery));
	assert.deepEqual(asked('/posts').slice(before), [401, 401]);
	assert.ok(!far.posts.includes('never'));
});

test('killed at the first send or at the repeated one, nothing is sent blindly again', async () => {
	for (const [kill, there] of [['first', 0], ['repeated', 1]]) {
		const text = `killed at the ${kill}`;
		Object.assign(far, { kill, nonces: { ...far.nonces, api: nonce() } });
		const { id } = await made(org.live.post('/v1/posts', { text, targets: [{ connectionId: connection }] }), 202);
		await until('the server was killed', () => far.kill === null && !server.alive, 20_000);
		await server.start();
		const read = async () => (await made(org.live.get(`/v1/posts/${id}`), 200)).deliveries[0].status;
		await until('the delivery is known to be unknown', async () => await read() === 'unconfirmed', 20_000);
		await publish(org, connection, `after ${text}`);
		assert.equal(await read(), 'unconfirmed');
		assert.equal(far.posts.filter((t) => t === text).length, there);
	}
});

test('a refresh keeps the key, and the nonce may ask once more there too', async () => {
	for (const [text, key] of [...far.tokens]) if (text.startsWith('at-')) far.tokens.set(text, `not ${key}`);
	far.nonces.auth = nonce();
	const before = asked('/token').length;
	const delivery = await publish(org, connection, 'after a refresh');
	assert.equal(delivery.status, 'published', JSON.stringify(delivery));
	assert.deepEqual(asked('/token').slice(before), [400, 200]);
	const [grant] = rows("SELECT facts FROM auth_grant WHERE status = 'active'");
	assert.equal(JSON.parse(grant.facts).turns, '2', 'a fact of refresh replaces the older one');
	assert.deepEqual(faults, []);
});

test('an answer that names no issuer, or another, connects nothing', async () => {
	for (const more of [{}, { iss: 'https://evil.example' }, { iss: `${AUTH}/` }]) {
		const before = asked('/token').length;
		const browser = await begun(org);
		await callback(browser, more);
		await settle(browser);
		assert.doesNotMatch(browser.location ?? '', /status=success/);
		assert.equal(asked('/token').length, before, 'no code was sent anywhere');
		await callback(browser, { iss: AUTH });
		assert.equal(asked('/token').length, before, 'and the state is used up');
	}
});

test('every authorization has a key of its own, and none rests in clear', async () => {
	assert.equal(new Set(far.keys).size, far.pushed.length);
	const [{ private: sealed }] = rows('SELECT private FROM client_key');
	assert.ok(sealed.length > 128);
});

test('on a loopback address we are the development client', async () => {
	const local = await begin();
	const at = await organization(local), browser = new Outside();
	browser.origin = local.url;
	await browser.get((await session(at)).connectUrl);
	await browser.submit({ handle: 'bob.test' }, 0);
	assert.equal(browser.page.status, 303, browser.page.text + faults.map(String));
	const pushed = far.pushed.at(-1), redirect = `http://127.0.0.1:${local.port}/oauth/proved/callback`;
	assert.equal(pushed.client_id, `http://localhost?redirect_uri=${encodeURIComponent(redirect)}&scope=atproto%20write`);
	assert.equal(pushed.redirect_uri, redirect);
	assert.equal(pushed.client_assertion, undefined);
	assert.equal((await call('GET', `${local.url}/oauth/proved/client-metadata.json`)).status, 404);

	// Under the name localhost the person comes back to the address, where our cookie is not.
	await known(local, `http://localhost:${local.port}`);
	await browser.get((await session(at)).connectUrl);
	browser.origin = `http://localhost:${local.port}`;
	await browser.submit({ handle: 'bob.test' }, 0);
	assert.equal(far.pushed.at(-1).redirect_uri, redirect);
	await browser.get(`${redirect}?${new URLSearchParams({ code: nonce(), state: far.pushed.at(-1).state, iss: AUTH })}`);
	assert.ok(browser.location.startsWith(`http://localhost:${local.port}/oauth/proved/callback?code=`), browser.page.text);
	await settle(browser);
	assert.match(browser.location ?? browser.page.text, /status=success/);
	assert.equal(far.exchanged.redirect_uri, redirect);
	await local.stop();
});

await done();
