// A real and strict authorization server (oidc-provider) on loopback, behind a small door that writes everything down
// and can lose, hold or change answers.
//
//   tests/node_modules/.bin/node tests/counterparts/oidc.mjs [SETTINGS]
//
// SETTINGS is JSON: {"name":"as.oidc.test","accessTtl":3600,"codeTtl":60}.  PKCE is required; refresh tokens rotate, and the
// second use of a spent one ends the whole family; codes are used once and live codeTtl seconds; DPoP proofs need a
// nonce; the authorization response names the issuer.
//
// Prints one JSON line when ready: {"url","issuer","pid"}.  Then takes one JSON line per order on standard input and
// answers each with one line; end of input stops it, so it never outlives its test.
//
//   {"do":"client","id":"mps","secret":"...","redirect":"http://...","dpop":false,"par":false}
//   {"do":"fault","path":"/token","mode":"lost_after","count":1,"skip":0,"grant":"refresh_token"}
//        lost_after   the server does the work, the connection dies instead of the answer
//        held         the server does the work, the answer never comes, the connection stays
//        lost_before  the connection dies and the server never sees the request
//        slow         the server does the work, the answer comes after "ms"
//        edit         the server does the work; members of "set" replace those of its JSON answer (null removes), and
//                     "headers" its headers
//        status       the server never sees it; the door answers {"status":N,"headers":{},"body":{} or "text"}
//   {"do":"seen"}     every request so far: method path query form auth proof referer host at worked status answer; worked is
//                     the server's status, status what went out (0: nothing)
//   {"do":"expire","kind":"AccessToken"}   every one of them is over (or AuthorizationCode, RefreshToken)
//   {"do":"alive"}    [{kind, account, client, spent}]: the tokens that the server still knows
//   {"do":"withdraw","account":"ada"}      as if the person had taken the permission back at the platform
//   {"do":"nonce"}    the DPoP nonce of /api/ changes (that of the others changes by itself)
//   {"do":"ledger"}   [{id, account, text, key, token}]: what was posted to /api/posts
//
// The one thing to know: it names itself https://NAME, as a real server would, and lies at url.  The product's ini lets
// url stand in for NAME, so requests are made, signed and compared under the real name.
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import readline from 'node:readline';

process.env.NODE_NO_WARNINGS = '1';
console.info = console.warn = () => {};		// its notices are for people who deploy it
const { Provider } = await import('oidc-provider');
const jose = createRequire(createRequire(import.meta.url).resolve('oidc-provider'))('jose');

const settings = { name: 'as.oidc.test', accessTtl: 3600, codeTtl: 60, ...JSON.parse(process.argv[2] ?? '{}') };
const issuer = `https://${settings.name}`;
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

/* ---- what the server keeps ---- */

const kept = new Map();		// "Kind:id" -> { payload, until }
const grantable = ['AccessToken', 'AuthorizationCode', 'RefreshToken'];

// In memory, and open to be looked at.
class Store {
	constructor(kind) { this.kind = kind; }
	key(id) { return `${this.kind}:${id}`; }
	async find(id) {
		const one = kept.get(this.key(id));
		return one && one.until > Date.now() ? { ...one.payload } : undefined;
	}
	async findByUid(uid) {
		return [...kept].find(([key, { payload }]) => key.startsWith(`${this.kind}:`) && payload.uid === uid)?.[1].payload;
	}
	async upsert(id, payload, seconds) { kept.set(this.key(id), { payload, until: seconds ? Date.now() + seconds * 1000 : Infinity }); }
	async consume(id) { kept.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000); }
	async destroy(id) { kept.delete(this.key(id)); }
	async revokeByGrantId(grantId) {
		for (const [key, { payload }] of kept)
			if (payload.grantId === grantId && grantable.includes(key.split(':')[0])) kept.delete(key);
	}
}

function clientOf({ id, secret, redirect, dpop = false, par = false }) {
	return {
		client_id: id, ...(secret && { client_secret: secret }), token_endpoint_auth_method: secret ? 'client_secret_basic' : 'none',
		redirect_uris: [redirect], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
		dpop_bound_access_tokens: dpop, require_pushed_authorization_requests: par,
	};
}

const provider = new Provider(issuer, {
	adapter: Store,
	cookies: { keys: ['a key of a test'] },
	pkce: { required: () => true },
	rotateRefreshToken: true,
	issueRefreshToken: async () => true,
	scopes: ['openid', 'offline_access', 'posts:write', 'media:write'],
	claims: { openid: ['sub', 'preferred_username', 'name'] },
	ttl: {
		AccessToken: settings.accessTtl, AuthorizationCode: settings.codeTtl, RefreshToken: 86400, Session: 86400, Grant: 86400,
		Interaction: 3600, IdToken: 3600,
	},
	findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, preferred_username: id, name: `${id} of the test` }) }),
	features: {
		devInteractions: { enabled: true }, revocation: { enabled: true }, userinfo: { enabled: true },
		pushedAuthorizationRequests: { enabled: true },
		dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
		resourceIndicators: { enabled: false },
	},
});
provider.proxy = true;
provider.on('server_error', (ctx, error) => console.error(error));

/* ---- what can be posted to: a trivial platform ---- */

const posts = [];
let nonce = randomBytes(12).toString('base64url');

async function proofFault(req, token, access) {
	const proof = req.headers.dpop;
	if (!proof) return { error: 'invalid_dpop_proof' };
	const { payload, protectedHeader } = await jose.jwtVerify(proof, jose.EmbeddedJWK, { typ: 'dpop+jwt', algorithms: ['ES256'] });
	if (payload.nonce !== nonce) return { error: 'use_dpop_nonce' };
	const good = await jose.calculateJwkThumbprint(protectedHeader.jwk) === access.jkt && payload.htm === req.method
		&& payload.htu === `${issuer}${req.url.split('?')[0]}` && payload.ath === createHash('sha256').update(token).digest('base64url')
		&& Math.abs(payload.iat - Date.now() / 1000) < 60 && !proofs.has(payload.jti);
	proofs.add(payload.jti);
	return good ? null : { error: 'invalid_dpop_proof' };
}
const proofs = new Set();

async function api(req, body) {
	const [scheme, token] = (req.headers.authorization ?? '').split(' ');
	const access = token && await provider.AccessToken.find(token);
	if (!access) return [401, { error: 'invalid_token' }];
	const fault = access.jkt ? (scheme === 'DPoP' ? await proofFault(req, token, access).catch(() => ({ error: 'invalid_dpop_proof' }))
		: { error: 'invalid_token' }) : scheme !== 'Bearer' && { error: 'invalid_token' };
	if (fault)
		return [401, fault, { 'dpop-nonce': nonce, 'www-authenticate': `DPoP error="${fault.error}"` }];
	const url = new URL(req.url, issuer);
	if (req.method === 'GET')
		return [200, { posts: posts.filter((p) => p.account === access.accountId && p.key === url.searchParams.get('key')) }];
	if (!access.scope?.split(' ').includes('posts:write')) return [403, { error: 'insufficient_scope' }];
	const { text, key } = JSON.parse(body);
	let post = posts.find((p) => p.account === access.accountId && p.key === key);
	if (!post) posts.push(post = { id: `p${posts.length + 1}`, account: access.accountId, text, key, token });
	return [200, { id: post.id, url: `${issuer}/p/${post.id}` }];
}

/* ---- the door ---- */

const seen = [], faults = [];
const browsers = /^\/(auth|interaction|session)\b/;	// everything else is called by servers, under the server's real name

function takeFault(path, form) {
	const at = faults.findIndex((f) => path.startsWith(f.path) && (!f.grant || f.grant === form.grant_type));
	if (at < 0 || faults[at].skip-- > 0) return null;
	const fault = faults[at];
	if (--fault.count <= 0) faults.splice(at, 1);
	return fault;
}

const decoded = (part) => JSON.parse(Buffer.from(part, 'base64url'));

function noted(req, body) {
	const url = new URL(req.url, issuer);
	const isForm = /^application\/x-www-form-urlencoded/.test(req.headers['content-type'] ?? '');
	const form = isForm ? Object.fromEntries(new URLSearchParams(body)) : {};
	let proof;
	try {
		proof = req.headers.dpop && { header: decoded(req.headers.dpop.split('.')[0]), claims: decoded(req.headers.dpop.split('.')[1]) };
	} catch {
		proof = 'broken';
	}
	const entry = {
		method: req.method, path: url.pathname, query: Object.fromEntries(url.searchParams), form, auth: req.headers.authorization, proof,
		referer: req.headers.referer, host: req.headers.host, at: Date.now(), worked: 0, status: 0,
	};
	seen.push(entry);
	return entry;
}

function finish(res, entry, status, headers, bytes) {
	entry.status = status;
	res.writeHead(status, { ...headers, ...(status !== 204 && { 'content-length': bytes.length }) }).end(bytes);
}

function edited(fault, headers, bytes) {
	const json = { ...JSON.parse(bytes), ...fault.set };
	for (const key of Object.keys(json)) if (json[key] === null) delete json[key];
	return [{ ...headers, ...fault.headers }, Buffer.from(JSON.stringify(json))];
}

function passed(req, body, behind) {
	return new Promise((resolve, reject) => {
		const headers = { ...req.headers, connection: 'close',
			...(!browsers.test(req.url) && { 'x-forwarded-host': settings.name, 'x-forwarded-proto': 'https' }) };
		const up = http.request({ host: '127.0.0.1', port: behind, method: req.method, path: req.url, headers, agent: false }, async (from) => {
			const parts = [];
			for await (const part of from) parts.push(part);
			const { connection, 'transfer-encoding': chunked, ...rest } = from.headers;
			resolve([from.statusCode, rest, Buffer.concat(parts)]);
		});
		up.on('error', reject);
		up.end(body);
	});
}

async function worked(req, body, behind) {
	if (!req.url.startsWith('/api/')) return passed(req, body, behind);
	const [status, json, headers] = await api(req, body);
	return [status, { 'content-type': 'application/json', ...headers }, Buffer.from(JSON.stringify(json))];
}

function door(behind) {
	return http.createServer(async (req, res) => {
		const chunks = [];
		for await (const chunk of req) chunks.push(chunk);
		const body = Buffer.concat(chunks).toString();
		const entry = noted(req, body);
		const fault = takeFault(entry.path, entry.form);
		if (entry.path === '/favicon.ico') return finish(res, entry, 204, {}, Buffer.alloc(0));
		if (fault?.mode === 'lost_before') return req.socket.resetAndDestroy();
		if (fault?.mode === 'status')
			return finish(res, entry, fault.status, { 'content-type': 'application/json', ...fault.headers },
				Buffer.from(fault.text ?? JSON.stringify(fault.body ?? {})));
		let [status, headers, bytes] = await worked(req, body, behind);
		entry.worked = status;
		if (fault?.mode === 'edit') [headers, bytes] = edited(fault, headers, bytes);
		// its pages would fetch a font from outside
		if (/html/.test(headers['content-type'] ?? '')) bytes = Buffer.from(bytes.toString().replace(/@import url\([^)]*\);/g, ''));
		if (/json/.test(headers['content-type'] ?? '')) entry.answer = JSON.parse(bytes);
		if (fault?.mode === 'held') return;
		if (fault?.mode === 'lost_after') return req.socket.resetAndDestroy();
		if (fault?.mode === 'slow') await new Promise((resolve) => setTimeout(resolve, fault.ms));
		finish(res, entry, status, headers, bytes);
	});
}

/* ---- orders ---- */

const living = () => [...kept].filter(([key, { until }]) => grantable.includes(key.split(':')[0]) && until > Date.now());

const orders = {
	client(client) { kept.set(`Client:${client.id}`, { payload: clientOf(client), until: Infinity }); },
	fault(fault) { faults.push({ count: 1, skip: 0, ...fault }); },
	seen: () => ({ requests: seen }),
	ledger: () => ({ posts }),
	expire({ kind = 'AccessToken' }) {
		for (const key of kept.keys()) if (key.startsWith(`${kind}:`)) kept.delete(key);
	},
	alive: () => ({ tokens: living().map(([key, { payload }]) => ({
		kind: key.split(':')[0], account: payload.accountId, client: payload.clientId, spent: Boolean(payload.consumed),
	})) }),
	withdraw({ account }) {
		for (const [key, { payload }] of living()) if (payload.accountId === account) kept.delete(key);
	},
	nonce() { nonce = randomBytes(12).toString('base64url'); },
};

const opened = (server) => new Promise((resolve, reject) => {
	server.once('error', reject);
	server.listen(0, '127.0.0.1', () => resolve(server.address().port));
});

const inner = http.createServer(provider.callback());
const url = `http://127.0.0.1:${await opened(door(await opened(inner)))}`;
say({ url, issuer, pid: process.pid });

for await (const line of readline.createInterface({ input: process.stdin })) {
	try {
		const order = JSON.parse(line);
		if (!Object.hasOwn(orders, order.do)) throw new Error(`no order "${order.do}"`);
		say({ ok: true, ...await orders[order.do](order) });
	} catch (error) {
		say({ ok: false, error: error.message });
	}
}
process.exit(0);
