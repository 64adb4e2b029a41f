// The stand-in of Mastodon itself, asked by hand: it does what the API's documentation says, and remembers what the
// documentation does not know.  And Chromium, which obeys the policies of both pages, on the way between them.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request } from 'node:http';
import { compatible, startMastodon } from '../counterparts/mastodon.mjs';
import { Chrome } from '../lib/chrome.mjs';
import { Browser } from '../lib/http.mjs';
import { startStage } from '../lib/mastodon.mjs';
import { png } from '../lib/samples.mjs';
import { after, done, test } from '../lib/test.mjs';

const one = await startMastodon({ host: 'one.example' }), old = await startMastodon({ host: 'old.example', ...compatible });
after(() => Promise.all([one.stop(), old.stop()]));
const HOME = 'http://127.0.0.1:9/cb', SCOPE = 'read:accounts read:statuses write:statuses write:media', VERIFIER = 'v'.repeat(50);
const s256 = (text) => createHash('sha256').update(text).digest('base64url');
for (const m of [one, old]) m.account('ada', 'secret word');

async function ask(m, method, path, { token, body, form, headers } = {}) {
	const reply = await fetch(m.url + path, {
		method, redirect: 'manual', body: form ? new URLSearchParams(form) : body && JSON.stringify(body),
		headers: { ...(token && { authorization: `Bearer ${token}` }), ...(body && { 'content-type': 'application/json' }), ...headers },
	});
	const text = await reply.text();
	return { status: reply.status, headers: reply.headers, json: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : undefined };
}

// What must be a violation, and is then forgiven.
async function violates(m, words, run) {
	const before = m.violations.length, { status } = await run();
	assert.ok(status >= 400 && status < 500, `${words}: ${status}`);
	assert.equal(m.violations.length, before + 1, words);
	m.violations.pop();
}

const register = (m) => ask(m, 'POST', '/api/v1/apps', { form: { client_name: 'Hand', redirect_uris: HOME, scopes: SCOPE } });
async function codeOf(m, app, more = {}) {
	const query = new URLSearchParams({ response_type: 'code', client_id: app.client_id, redirect_uri: HOME, scope: SCOPE,
		state: randomBytes(16).toString('base64url'), code_challenge: s256(VERIFIER), code_challenge_method: 'S256', ...more });
	const browser = new Browser();
	await browser.get(`${m.url}/oauth/authorize?${query}`);
	if (browser.page.status !== 200) return null;
	await browser.submit({ username: 'ada', password: 'secret word', decision: 'authorize' });
	return new URL(browser.location).searchParams.get('code');
}
const redeem = (m, app, code, more) => ask(m, 'POST', '/oauth/token', { form: { grant_type: 'authorization_code', code, redirect_uri: HOME,
	client_id: app.client_id, client_secret: app.client_secret, code_verifier: VERIFIER, ...more } });
const entered = async (m) => {
	const app = (await register(m)).json;
	return { app, token: (await redeem(m, app, await codeOf(m, app))).json.access_token };
};
const post = (m, token, body, key) => ask(m, 'POST', '/api/v1/statuses', { token, body, headers: key && { 'idempotency-key': key } });

test('a code serves once, for its client, its address and its verifier', async () => {
	const { json: app } = await register(one), { json: other } = await register(one);
	const refused = async (code, more, by = app) => (await redeem(one, by, code, more)).json.error;
	assert.equal(await refused(await codeOf(one, app), { code_verifier: 'w'.repeat(50) }), 'invalid_grant');
	assert.equal(await refused(await codeOf(one, app), { redirect_uri: `${HOME}/` }), 'invalid_grant');
	assert.equal(await refused(await codeOf(one, app), {}, other), 'invalid_grant');
	assert.equal(await refused(await codeOf(one, app), { client_secret: 'x' }), 'invalid_client');
	const code = await codeOf(one, app), { json } = await redeem(one, app, code);
	assert.equal(await refused(code), 'invalid_grant');
	assert.equal((await ask(one, 'GET', '/api/v1/accounts/verify_credentials', { token: json.access_token })).status, 401);
	assert.equal(await codeOf(one, app, { redirect_uri: `${HOME}?x` }), null);
	assert.equal(await codeOf(one, app, { scope: 'write' }), null);
	await violates(one, 'no PKCE', () => ask(one, 'GET', `/oauth/authorize?response_type=code&client_id=${app.client_id}`
		+ `&redirect_uri=${encodeURIComponent(HOME)}&scope=read%3Aaccounts&state=${'s'.repeat(30)}`));
});

test('what is not described is remembered', async () => {
	const { token } = await entered(one);
	await violates(one, 'a route', () => ask(one, 'GET', '/api/v1/nothing', { token }));
	await violates(one, 'a field', () => post(one, token, { status: 'x', title: 'y' }));
	await violates(one, 'a type', () => post(one, token, { status: 7 }));
	await violates(one, 'a parameter', () => ask(one, 'GET', '/api/v2/instance?x=1'));
	await violates(one, 'no token', () => post(one, undefined, { status: 'x' }));
	await violates(one, 'a content type', () => ask(one, 'POST', '/oauth/token', { body: { grant_type: 'client_credentials' } }));
	const json = { 'content-type': 'application/json' };
	await violates(one, 'a body that is no JSON', () => ask(one, 'POST', '/api/v1/statuses', { token, headers: json }));
	const boundary = { 'content-type': 'multipart/form-data; boundary=b' };
	const part = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nx\r\n--b';
	for (const [words, body, headers] of [
		['no end', part, {}], ['an epilogue', `${part}--\r\nmore`, {}], ['a preamble', `\r\n${part}--\r\n`, {}],
		['chunks', `${part}--\r\n`, { 'transfer-encoding': 'chunked' }],
	]) {
		await violates(one, words, () => new Promise((resolve, reject) => {
			const length = headers['transfer-encoding'] ? {} : { 'content-length': Buffer.byteLength(body) };
			const all = { authorization: `Bearer ${token}`, ...boundary, ...length, ...headers };
			const out = request(`${one.url}/api/v2/media`, { method: 'POST', headers: all },
				(answer) => { answer.resume(); resolve({ status: answer.statusCode }); });
			out.on('error', reject).end(body);
		}));
	}
	assert.deepEqual(one.violations, []);
});

test('a key is known for an hour on Mastodon, and never elsewhere', async () => {
	const { token } = await entered(one), there = (await entered(old)).token;
	const send = (key) => post(one, token, { status: 'k' }, key), a = await send('key'), b = await send('key'), c = await send('other');
	assert.equal(a.json.id, b.json.id);
	assert.notEqual(a.json.id, c.json.id);
	one.ahead = 3_600_001;
	assert.notEqual((await send('key')).json.id, a.json.id);
	one.ahead = 0;
	const elsewhere = async () => (await post(old, there, { status: 'k' }, 'key')).json.id;
	assert.notEqual(await elsewhere(), await elsewhere());
});

test('texts are counted as the validator counts', async () => {
	const { token } = await entered(one), url = `https://example.com/${'a'.repeat(100)}`;
	const status = async (text, more) => (await post(one, token, { status: text, ...more })).status;
	assert.deepEqual([await status('👩‍👩‍👧‍👦'.repeat(500)), await status('x'.repeat(501))], [200, 422]);
	assert.deepEqual([await status(`${'x'.repeat(476)} ${url}`), await status(`${'x'.repeat(477)} ${url}`)], [200, 422]);
	assert.deepEqual([await status(`${'x'.repeat(495)} @ada@far.example`), await status(`${'x'.repeat(496)} @ada@far.example`)], [200, 422]);
	assert.deepEqual([await status('x'.repeat(490), { spoiler_text: 'y'.repeat(11) }), await status('  ')], [422, 422]);
	assert.equal((await post(one, token, { status: 'x', in_reply_to_id: '1' })).status, 404);
	assert.equal((await post(one, token, { status: 'x', poll: { options: ['a'], expires_in: 300 } })).status, 422);
});

test('media are worked on, belong to one status, and exclude a poll', async () => {
	const { token } = await entered(one), send = async (bytes, type) => {
		const form = new FormData();
		form.append('file', new Blob([bytes], { type }), 'a');
		const body = await new Response(form).arrayBuffer(), boundary = new TextDecoder().decode(body.slice(2)).split('\r\n')[0];
		const reply = await fetch(`${one.url}/api/v2/media`, { method: 'POST', body, headers: { authorization: `Bearer ${token}`,
			'content-type': `multipart/form-data; boundary=${boundary}` } });
		return { status: reply.status, json: await reply.json() };
	};
	const picture = await send(png(10, 10), 'image/png');
	assert.equal((await send(png(10, 10), 'image/jpeg')).status, 422);
	one.processing.polls = 1;
	const film = await send(Buffer.from('film'), 'video/mp4'), id = film.json.id;
	one.processing.polls = 0;
	assert.deepEqual([picture.status, film.status, film.json.url], [200, 202, null]);
	const wrong = async (body) => (await post(one, token, { status: 'm', ...body })).json.error;
	assert.match(await wrong({ media_ids: [id] }), /not finished processing/);
	assert.match(await wrong({ media_ids: ['12'] }), /not found/);
	assert.match(await wrong({ media_ids: [picture.json.id, id] }), /Cannot attach a video/);
	assert.match(await wrong({ media_ids: [id], poll: { options: ['a', 'b'], expires_in: 300 } }), /poll/);
	const poll = async () => (await ask(one, 'GET', `/api/v1/media/${id}`, { token })).status;
	assert.deepEqual([await poll(), await poll()], [206, 200]);
	assert.equal((await post(one, token, { status: 'm', media_ids: [id] })).status, 200);
	assert.equal(await poll(), 404);
	assert.match(await wrong({ media_ids: [id] }), /already attached/);
});

test('limits are told by an ISO time; the list is paged; a revoked token is told as such', async () => {
	const { app, token } = await entered(old), ids = [];
	for (let i = 0; i < 5; i++) ids.unshift((await post(old, token, { status: `n ${i}` })).json.id);
	const statuses = `/api/v1/accounts/${old.accounts.get('ada').id}/statuses`;
	const list = async (query) => (await ask(old, 'GET', `${statuses}?${query}`, { token })).json;
	const first = await list('limit=2'), second = await list(`limit=2&max_id=${first[1].id}`);
	assert.deepEqual([...first, ...second].map((s) => s.id), ids.slice(0, 4));
	old.rates.all = 1;
	const limited = await ask(old, 'GET', '/api/v1/accounts/verify_credentials', { token });
	old.rates.all = 300;
	assert.equal(limited.status, 429);
	assert.match(limited.headers.get('x-ratelimit-reset'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
	await ask(old, 'POST', '/oauth/revoke', { form: { client_id: app.client_id, client_secret: app.client_secret, token } });
	assert.match((await ask(old, 'GET', '/api/v1/accounts/verify_credentials', { token })).json.error, /revoked/);
});

test('Chromium goes from our page to the instance and home, and no page breaks a policy', async () => {
	const home = createServer((req, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<title>Home</title>home'));
	await new Promise((resolve) => home.listen(0, '127.0.0.1', resolve));
	const back = `http://127.0.0.1:${home.address().port}/done`, stage = await startStage(), chrome = await Chrome.start();
	after(async () => { await chrome.stop(); await stage.stop(); home.closeAllConnections(); home.close(); });
	stage.one.account('ada', 'secret word');
	await stage.call('POST', `/v1/apps/${stage.app}/redirect-urls`, { url: back });
	await stage.call('POST', '/v1/end-users', { externalUserId: 'ada' });
	const session = await stage.call('POST', '/v1/connect-sessions', { externalUserId: 'ada', platform: 'mastodon', redirectUrl: back });
	const page = await chrome.page({ script: false });
	await page.go(session.connectUrl);
	await page.type('input[name=instance]', ' https://ONE.example/@ada ');
	await page.loads_by(() => page.click('.btn.brand'), (url) => url.startsWith(stage.one.url));
	await page.type('input[name=username]', 'ada');
	await page.type('input[name=password]', 'secret word');
	await page.loads_by(() => page.click('#authorize'), (url) => url.startsWith(back));
	assert.match(await page.url(), /status=success/);
	assert.deepEqual([page.faults.filter((f) => !/favicon/.test(f)), stage.one.violations], [[], []]);
});

await done(60_000);
