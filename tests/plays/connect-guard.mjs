// What must not work while an account is being connected: another browser, a state used twice, a foreign form, a
// redirect to somewhere else, a link that is over.  The oracle is the sandbox: it must have seen no token call.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Browser, call } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';

const back = 'http://127.0.0.1:9/back';
const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const org = await server.organization('Northpeak');
const other = await server.organization('Southpeak');

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

const urls = `/v1/apps/${org.app}/redirect-urls`;
await made(org.test.post(urls, { url: back }), 201);
await made(org.test.post('/v1/end-users', { externalUserId: 'ada' }), 201);
const session = (more = {}) => made(org.test.post('/v1/connect-sessions', {
	externalUserId: 'ada', platform: 'sandbox', redirectUrl: back, ...more,
}), 201);
const status = async ({ id }) => (await made(org.test.get(`/v1/connect-sessions/${id}`), 200)).status;
const exchanges = async () => (await sandbox.stats()).token_exchanges;

// A person who has come as far as the platform's answer: { browser, callback }.
async function answered(s, consent) {
	const browser = new Browser();
	await browser.get(s.connectUrl);
	await browser.submit();
	return { browser, callback: await sandbox.consent(browser.location, consent) };
}

async function unspent(what) {
	const before = await exchanges();
	await what();
	assert.equal(await exchanges(), before, 'the sandbox saw a token call');
}

test('the answer in another browser: 400 and no token call, and the first browser goes on', async () => {
	const s = await session();
	const { browser, callback } = await answered(s);
	await unspent(async () => {
		const stranger = new Browser();
		await stranger.get(s.connectUrl);
		assert.equal(stranger.page.status, 403, 'the link is bound to the browser that began');
		await stranger.get(callback);
		assert.equal(stranger.page.status, 400);
		assert.match(stranger.page.text, /another browser/);
		assert.equal((await stranger.get(`${s.connectUrl}/wait`)).status, 403);
	});
	await browser.get(callback);
	await browser.follow(server.url);
	assert.match(browser.location, /status=success/);
});

test('a victim who is sent the answer of an attacker connects nothing', async () => {
	const attacker = await answered(await session(), { account: 'mallory' });
	const victim = await session();
	const browser = new Browser();
	await browser.get(victim.connectUrl);
	await browser.submit();
	await unspent(async () => assert.equal((await browser.get(attacker.callback)).status, 400));
	assert.equal(await status(victim), 'authorizing');
});

test('the same answer twice: 400, one connection, one token call', async () => {
	const { browser, callback } = await answered(await session(), { account: 'carol' });
	const before = await exchanges();
	await browser.get(callback);
	assert.equal(browser.page.status, 303);
	assert.doesNotMatch(browser.location, /code|state/);
	assert.equal(browser.page.headers['referrer-policy'], 'no-referrer');
	assert.equal(browser.page.headers['cache-control'], 'no-store');
	assert.equal((await browser.get(callback)).status, 400);
	await browser.get(callback.replace(/code=[^&]*/, 'code=other'));
	assert.equal(browser.page.status, 400);
	await browser.get(`${server.url}/connect/x/wait`);
	assert.equal(browser.page.status, 404);
	await new Promise((resolve) => setTimeout(resolve, 500));
	assert.equal(await exchanges(), before + 1);
});

test('ten answers at once: one of them counts', async () => {
	const s = await session();
	const { browser, callback } = await answered(s, { account: 'dave' });
	const cookie = [...browser.cookies.get(server.url)].map(([k, v]) => `${k}=${v}`).join('; ');
	const before = await exchanges();
	const all = await Promise.all(Array.from({ length: 10 }, () => call('GET', callback, { headers: { cookie } })));
	assert.deepEqual(all.map((a) => a.status).sort(), [303, ...Array(9).fill(400)]);
	await browser.get(`${s.connectUrl}/wait`);
	assert.match(browser.location, /status=success/);
	assert.equal(await exchanges(), before + 1);
});

test('an error uses the state up and its words are not shown', async () => {
	const s = await session();
	const { browser, callback } = await answered(s);
	const state = new URL(callback).searchParams.get('state');
	await unspent(async () => {
		await browser.get(`${server.url}/oauth/sandbox/callback?state=${state}&error=server_error&error_description=%3Cb%3Ecanary`);
		await browser.follow(server.url);
		assert.match(browser.page.text, /does not answer at the moment/);
		assert.doesNotMatch(browser.page.text, /canary/);
		assert.equal((await browser.get(callback)).status, 400);
	});
	assert.equal(await status(s), 'failed');
	assert.doesNotMatch(server.log(), /canary/);
});

test('an answer of another issuer, or at another platform\'s address, is nobody\'s', async () => {
	const s = await session();
	const { browser, callback } = await answered(s);
	await unspent(async () => {
		assert.equal((await browser.get(callback.replace('/oauth/sandbox/', '/oauth/bluesky/'))).status, 400);
		assert.match(callback, /iss=/);
		await browser.get(callback.replace(/iss=[^&]*/, 'iss=https%3A%2F%2Fevil.example'));
		await browser.follow(server.url);
		assert.equal(browser.page.status, 422);
	});
	assert.equal(await status(s), 'failed');
});

test('states that are none: missing, empty, long, NUL, of another time', async () => {
	await unspent(async () => {
		const queries = ['', '?state=', '?code=x', `?state=${'a'.repeat(54)}&code=x`, `?state=${'a'.repeat(5000)}`, '?state=%00', '?state=%ff'];
		for (const query of queries) {
			const answer = await new Browser().get(`${server.url}/oauth/sandbox/callback${query}`);
			assert.equal(answer.status, 400, query);
		}
	});
});

test('a form of another page does nothing', async () => {
	const s = await session();
	const browser = new Browser();
	await browser.get(s.connectUrl);
	const start = browser.forms[0].action;
	const cookie = [...browser.cookies.get(server.url)].map(([k, v]) => `${k}=${v}`).join('; ');
	for (const headers of [
		{ cookie, origin: 'https://evil.example' }, { cookie, origin: 'null' }, { cookie }, { cookie, origin: `${server.url}.evil.example` },
		{ cookie, origin: server.url, 'sec-fetch-site': 'cross-site' }, { cookie, 'sec-fetch-site': 'same-site' },
		{ cookie, 'sec-fetch-site': 'none' },
		{ origin: server.url }, { cookie: cookie.replace(/=.*/, '=short'), origin: server.url },
	]) assert.equal((await call('POST', start, { headers })).status, 403, JSON.stringify(headers));
	assert.equal(await status(s), 'opened');
	assert.equal((await call('GET', start)).status, 405);
	assert.equal((await call('POST', start, { headers: { cookie, 'sec-fetch-site': 'same-origin', origin: 'null' } })).status, 303);
});

test('Host and X-Forwarded-Host change no address', async () => {
	const s = await session();
	const browser = new Browser();
	await browser.get(s.connectUrl);
	const headers = { host: 'evil.example', 'x-forwarded-host': 'evil.example', origin: server.url };
	const answer = await browser.go('POST', browser.forms[0].action, {}, headers);
	const asked = new URL(answer.headers.location).searchParams;
	assert.equal(asked.get('redirect_uri'), `${server.url}/oauth/sandbox/callback`);
	assert.equal(asked.get('code_challenge_method'), 'S256');
	assert.equal(asked.get('code_challenge').length, 43);
});

test('redirect URLs: what may not be listed, and what is not listed byte for byte', async () => {
	for (const url of [
		'http://example.com/', 'https://*.example.com/', 'https://example.com/#x', 'https://a@example.com/', 'https://', 'https:///x',
		'javascript:alert(1)', 'javascript://x/%0aalert(1)', 'data:text/html,x', '//example.com', '/path', 'https://example.com/\\x',
		'https://example.com\t/',
		'https://example.com/%0d%0ax', 'http://127.0.0.1.evil.example/', 'http://localhost@evil.example/', 'https://exa mple.com/',
		'HTTPS://example.com/',
		'https://example.com:99999999/', 'https://-x/', 'file:///etc/passwd', 'about:blank', 'x:/a', '', 'https://ex\u00e4mple.com/',
	]) assert.equal((await org.test.post(urls, { url })).status, 422, url);
	for (const url of ['https://example.com/cb?x=1', 'http://localhost:3000/cb', 'http://[::1]/cb',
		'com.example.app://done', 'https://example.com/cb/'])
		await made(org.test.post(urls, { url }), 201);
	await made(org.test.post(urls, { url: back }), 200);
	for (const redirectUrl of [
		'https://example.com/cb', 'https://example.com/cb?x=1&y', 'https://example.com/CB?x=1', 'https://example.com:443/cb?x=1',
		'https://example.com/cb?x=1#', 'https://example.com/./cb?x=1', 'https://example.com/%63b?x=1', 'https://a@example.com/cb?x=1',
		'https://example.com.evil.example/cb?x=1', 'http://localhost:3001/cb', 'com.example.app://done/', '//example.com/cb?x=1',
		`${back}/`, `${back}?`,
	]) {
		const answer = await org.test.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'sandbox', redirectUrl });
		assert.equal(answer.status, 422, redirectUrl);
		assert.equal(answer.json.error.code, 'redirect_url_not_allowed', redirectUrl);
	}
	const page = await new Browser().get((await session({ redirectUrl: 'com.example.app://done' })).connectUrl);
	assert.match(page.headers['content-security-policy'], /form-action 'self' https: com\.example\.app:/);
});

test('a link works once, and says so afterwards', async () => {
	const s = await session();
	const { browser, callback } = await answered(s, { account: 'erin' });
	await browser.get(callback);
	await browser.follow(server.url);
	for (const one of [browser, new Browser()]) {
		assert.equal((await one.get(s.connectUrl)).status, 410);
		assert.match(one.page.text, /used already/);
	}
	await unspent(async () => assert.equal((await browser.go('POST', `${s.connectUrl}/start`, {})).status, 410));
});

test('a withdrawn link', async () => {
	const s = await session();
	const { browser, callback } = await answered(s);
	assert.equal((await made(org.test.post(`/v1/connect-sessions/${s.id}/cancel`, {}), 200)).status, 'canceled');
	await unspent(async () => assert.equal((await browser.get(callback)).status, 400));
	assert.equal((await browser.get(s.connectUrl)).status, 410);
	assert.match(browser.page.text, /withdrawn/);
});

test('an expired link, and one whose time ends while the person is away', async () => {
	const s = await session();
	const away = await session();
	const { browser, callback } = await answered(away);
	await server.end();
	const db = new DatabaseSync(join(server.folder, 'var/mypostshare.db'));
	db.exec('UPDATE connect_session SET expires_at = 1000 WHERE id IN (\'' + s.id + '\', \'' + away.id + '\')');
	db.close();
	await server.start();
	const late = new Browser();
	assert.equal((await late.get(s.connectUrl)).status, 410);
	assert.match(late.page.text, /expired/);
	assert.match(late.page.text, /errorCode=connect_session_expired/);
	await unspent(async () => assert.ok([400, 410].includes((await browser.get(callback)).status)));
	assert.equal(await status(s), 'expired');
	assert.equal((await org.test.post(`/v1/connect-sessions/${s.id}/cancel`, {})).json.error.code, 'connect_session_expired');
});

test('another organization sees nothing of it', async () => {
	const s = await session();
	const list = (await made(org.test.get('/v1/connections'), 200)).data;
	const paths = [`/v1/connect-sessions/${s.id}`, `/v1/connections/${list[0].id}`, '/v1/end-users/ext:ada', `/v1/end-users/${s.endUserId}`,
		urls, `/v1/apps/${org.app}/provider-credentials/bluesky`];
	for (const path of paths)
		for (const client of [other.test, other.live]) assert.equal((await client.get(path)).status, 404, path);
	for (const path of paths.slice(0, 4)) assert.equal((await org.live.get(path)).status, 404, `live ${path}`);
	assert.equal((await other.test.post(`/v1/connect-sessions/${s.id}/cancel`, {})).status, 404);
	assert.equal((await other.test.delete(`/v1/connections/${list[0].id}`)).status, 404);
	assert.equal((await other.test.post(urls, { url: 'https://evil.example/' })).status, 404);
	assert.equal((await other.test.get('/v1/connections')).json.data.length, 0);
	const live = await org.live.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'sandbox', redirectUrl: back });
	assert.equal(live.json.error.code, 'platform_unknown');
});

test('a platform that fails while the code is exchanged ends in words, and another try works', async () => {
	await sandbox.fail({ route: '/oauth/token', status: 503, count: 20 });
	const s = await session();
	const { browser, callback } = await answered(s, { account: 'frank' });
	await browser.get(callback);
	await browser.follow(server.url);
	for (let i = 0; i < 20 && /http-equiv="refresh"/.test(browser.page.text); i++) await browser.get(`${s.connectUrl}/wait`);
	assert.equal(browser.page.status, 503, browser.page.text);
	await sandbox.reset();
	await browser.submit();
	await browser.get(await sandbox.consent(browser.location, { account: 'frank' }));
	await browser.follow(server.url);
	assert.match(browser.location, /status=success/);
});

await done(90_000);
