// Connecting an account from the first call to the final redirect, as a person's browser sees it, against the real
// server and the sandbox platform.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
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

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

await made(org.test.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
await made(org.test.post('/v1/end-users', { externalUserId: 'ada' }), 201);
const session = (more = {}) => made(org.test.post('/v1/connect-sessions', {
	externalUserId: 'ada', platform: 'sandbox', redirectUrl: back, state: 'my state', ...more,
}), 201);

// From the link to the consent page and back; leaves the browser at the final redirect.
async function through(url, consent = {}, browser = new Browser()) {
	await browser.get(url);
	assert.equal(browser.page.status, 200, browser.page.text);
	await browser.submit();
	assert.equal(browser.page.status, 303, browser.page.text);
	const callback = await sandbox.consent(browser.location, consent);
	await browser.get(callback);
	await browser.follow(server.url);
	return browser;
}

test('the first page names the product and what is asked for, and no secret rests in it', async () => {
	const s = await session({ branding: { name: 'Fieldnote <b>', accentColor: '#ffe000' } });
	assert.match(s.connectUrl, new RegExp(`^${server.url}/connect/[A-Za-z0-9_-]{43}$`));
	assert.equal(s.status, 'pending');
	const browser = new Browser();
	const page = await browser.get(s.connectUrl);
	assert.equal(page.status, 200);
	assert.match(page.text, /Connect Sandbox to Fieldnote &lt;b&gt;/);
	assert.match(page.text, /To publish posts for you/);
	assert.doesNotMatch(page.text, /<script|style=/);
	assert.equal(page.headers['cache-control'], 'no-store');
	assert.match(page.headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
	const cookie = page.headers['set-cookie'][0];
	assert.match(cookie, /^connect_[a-z0-9]{26}=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=\d+$/);
	const css = await browser.get(`${s.connectUrl}/brand.css`);
	assert.match(css.text, /--brand: light-dark\(#/);
	assert.doesNotMatch(css.text, /light-dark\(#ffe000/, 'yellow cannot be seen on white');
	const asset = /\/assets\/app\.css\?v=[0-9a-f]{16}/.exec(page.text)[0];
	assert.match((await browser.get(server.url + asset)).headers['cache-control'], /immutable/);
	assert.equal((await made(org.test.get(`/v1/connect-sessions/${s.id}`), 200)).openCount, 1);
	assert.equal((await made(org.test.get(`/v1/connect-sessions/${s.id}`), 200)).connectUrl, undefined);
});

test('an account is connected, and the final redirect says so without a secret', async () => {
	const secret = (await made(org.test.post(`/v1/apps/${org.app}/redirect-secret`, {}), 200)).secret;
	const s = await session({ tags: ['a'], metadata: { plan: 'x' } });
	const browser = await through(s.connectUrl, { account: 'alice' });
	assert.ok(browser.location.startsWith(`${back}?`), browser.location ?? browser.page.text);
	assert.equal(browser.page.headers['referrer-policy'], 'no-referrer');
	const end = new URL(browser.location).searchParams;
	assert.equal(end.get('status'), 'success');
	assert.equal(end.get('state'), 'my state');
	assert.equal(end.get('connectSessionId'), s.id);
	assert.equal(end.get('externalUserId'), 'ada');
	const [signed, sig] = new URL(browser.location).search.slice(1).split('&sig=');
	assert.equal(sig, createHmac('sha256', secret).update(signed).digest('hex'));
	const names = [...end.keys()].slice(0, -1);
	assert.deepEqual(names, [...names].sort());
	const connection = await made(org.test.get(`/v1/connections/${end.get('connectionId')}`), 200);
	assert.equal(connection.status, 'active');
	assert.equal(connection.username, 'alice');
	assert.deepEqual(connection.tags, ['a']);
	assert.deepEqual(connection.missingPermissions, []);
	assert.equal(connection.livemode, false);
	const now = await made(org.test.get(`/v1/connect-sessions/${s.id}?wait=5`), 200);
	assert.equal(now.status, 'completed');
	assert.deepEqual(now.connectionIds, [connection.id]);
	assert.equal((await made(org.test.get('/v1/end-users/ext:ada'), 200)).connectionCount, 1);
	assert.equal((await sandbox.stats()).token_exchanges, 1);
	assert.equal((await org.test.post(`/v1/connect-sessions/${s.id}/cancel`, {})).json.error.code, 'connect_session_completed');
});

test('many places: a choice, with a search that keeps what is ticked', async () => {
	const s = await session();
	const browser = await through(s.connectUrl, { account: 'many-14' });
	assert.match(browser.page.text, /Choose one or more of the 14 places/);
	assert.equal((await made(org.test.get(`/v1/connect-sessions/${s.id}`), 200)).status, 'selecting');
	await browser.get(`${browser.url}?q=page+7+of&target=2`);
	assert.equal([...browser.page.text.matchAll(/type="checkbox"/g)].length, 1);
	assert.match(browser.page.text, /<input type="hidden" name="target" value="2">/);
	await browser.go('POST', `${s.connectUrl}/select`, {});
	assert.equal(browser.page.status, 422);
	const chosen = browser.forms[0].action;
	const jar = [...browser.cookies.get(server.url)].map(([k, v]) => `${k}=${v}`).join('; ');
	const answer = await call('POST', chosen, {
		body: 'target=2&q=&target=13&target=99&target=2',
		headers: { cookie: jar, origin: server.url, 'content-type': 'application/x-www-form-urlencoded' },
	});
	assert.equal(answer.status, 303, answer.text);
	const ids = new URL(answer.headers.location).searchParams.getAll('connectionId');
	assert.equal(ids.length, 2);
	const list = (await made(org.test.get('/v1/connections?externalUserId=ada&limit=200'), 200)).data;
	assert.equal(list.filter((c) => ids.includes(c.id)).length, 2);
});

test('a denial is a page with a way back and another try, and no token call', async () => {
	const before = (await sandbox.stats()).token_exchanges;
	const s = await session();
	const browser = await through(s.connectUrl, { decision: 'deny' });
	assert.match(browser.page.text, /Sandbox was not connected/);
	assert.match(browser.page.text, /status=canceled/);
	assert.equal((await sandbox.stats()).token_exchanges, before);
	assert.equal((await made(org.test.get(`/v1/connect-sessions/${s.id}`), 200)).status, 'denied');
	await browser.submit();
	assert.equal(browser.page.status, 303);
	await browser.get(await sandbox.consent(browser.location, { account: 'bob' }));
	await browser.follow(server.url);
	assert.match(browser.location, /status=success/);
	assert.equal((await made(org.test.get(`/v1/connect-sessions/${s.id}`), 200)).status, 'completed');
});

test('renewing: the same account is renewed, another is refused with both names', async () => {
	const first = (await made(org.test.get('/v1/connections?platform=sandbox&limit=200'), 200)).data.find((c) => c.username === 'alice');
	const again = () => made(org.test.post(`/v1/connections/${first.id}/reconnect`, { redirectUrl: back }), 201);
	const wrong = await again();
	const browser = await through(wrong.connectUrl, { account: 'mallory' });
	assert.equal(browser.page.status, 409, browser.page.text);
	assert.match(browser.page.text, /That was a different Sandbox account/);
	assert.match(browser.page.text, /To renew<\/dt><dd class="strong">[^<]*alice/i);
	assert.match(browser.page.text, /Signed in as<\/dt><dd class="strong">[^<]*mallory/i);
	assert.equal((await made(org.test.get(`/v1/connect-sessions/${wrong.id}`), 200)).error.code, 'connect_account_mismatch');
	assert.equal((await made(org.test.get('/v1/connections?limit=200'), 200)).data.filter((c) => c.username === 'mallory').length, 0);
	const right = await through((await again()).connectUrl, { account: 'alice' });
	assert.equal(new URL(right.location).searchParams.get('connectionId'), first.id);
});

test('checking, pausing, letting go, and connecting again', async () => {
	const { id } = (await made(org.test.get('/v1/connections?limit=200'), 200)).data.find((c) => c.username === 'bob');
	const look = await made(org.test.post(`/v1/connections/${id}/check`, {}), 200);
	assert.equal(look.operationStatus, 'done');
	assert.ok(Date.parse(look.checkedAt) > 0);
	const paused = await org.test.patch(`/v1/connections/${id}`, { paused: true, label: 'Main' });
	assert.equal(paused.json.status, 'paused');
	assert.equal((await org.test.patch(`/v1/connections/${id}`, { paused: false }, { 'if-match': '"v1"' })).status, 412);
	const going = await made(org.test.patch(`/v1/connections/${id}`, { paused: false }, { 'if-match': paused.headers.etag }), 200);
	assert.equal(going.status, 'active');
	const gone = await made(org.test.delete(`/v1/connections/${id}`), 200);
	assert.equal(gone.status, 'disconnected');
	const browser = await through((await session()).connectUrl, { account: 'bob' });
	assert.equal(new URL(browser.location).searchParams.get('connectionId'), id);
	assert.equal((await made(org.test.get(`/v1/connections/${id}`), 200)).status, 'active');
});

test('the same call twice gives the same link, and the store holds it nowhere', async () => {
	const body = { externalUserId: 'ada', platform: 'sandbox', redirectUrl: back };
	const headers = { 'idempotency-key': 'one' };
	const a = await made(org.test.post('/v1/connect-sessions', body, headers), 201);
	const b = await org.test.post('/v1/connect-sessions', body, headers);
	assert.equal(b.headers['idempotent-replayed'], 'true');
	assert.equal(b.json.connectUrl, a.connectUrl);
	assert.equal((await new Browser().get(a.connectUrl)).status, 200);
	const token = a.connectUrl.split('/').at(-1);
	assert.throws(() => execFileSync('grep', ['-raqe', token, server.folder]), 'the token must not be found in any file');
	assert.doesNotMatch(server.log(), new RegExp(token));
});

await done();
