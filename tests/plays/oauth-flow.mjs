// Connecting an account at a real and strict authorization server.  The oracle is what that server saw: which calls its
// token endpoint got, with what, and which browsers brought what along.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { Chrome } from '../lib/chrome.mjs';
import { Browser, call } from '../lib/http.mjs';
import { back, made, startOauth } from '../lib/oauth.mjs';
import { after, done, test } from '../lib/test.mjs';

const stage = await startOauth();
after(() => stage.stop('SIGTERM'));
const { as, server } = stage;
const org = await stage.organization('Northpeak');
const other = await stage.organization('Southpeak');

const exchanges = () => as.token({ grant: 'authorization_code' });
const sha256 = (text) => createHash('sha256').update(text).digest('base64url');

async function unspent(what) {
	const before = (await as.token()).length;
	await what();
	assert.equal((await as.token()).length, before, 'the token endpoint was called');
}

test('O-01: PKCE with S256, a verifier of its own for each flow', async () => {
	const since = (await exchanges()).length, asked = (await as.seen('/auth')).length;
	await org.connect('ada');
	await org.connect('ada');
	const auth = (await as.seen('/auth')).slice(asked), token = (await exchanges()).slice(since);
	assert.equal(token.length, 2);
	for (const [i, { form }] of token.entries()) {
		assert.match(form.code_verifier, /^[A-Za-z0-9._~-]{43,128}$/);
		assert.equal(auth[i].query.code_challenge, sha256(form.code_verifier));
		assert.equal(auth[i].query.code_challenge_method, 'S256');
		assert.equal(form.redirect_uri, stage.callback);
	}
	assert.notEqual(token[0].form.code_verifier, token[1].form.code_verifier);
	assert.notEqual(auth[0].query.state, auth[1].query.state);
});

test('O-02: a state that cannot be guessed, at rest nowhere, and of one browser', async () => {
	const session = await org.session();
	const { browser, to, callback } = await org.answered(session);
	const state = new URL(to).searchParams.get('state');
	assert.match(state, /^[A-Za-z0-9_-]{43,64}$/);
	assert.deepEqual(stage.resting([state]), []);
	await unspent(async () => {
		for (const stranger of [new Browser(), (await org.begun(await org.session())).browser]) {
			await stranger.get(callback);
			assert.equal(stranger.page.status, 400);
			assert.match(stranger.page.text, /another browser/);
		}
	});
	await org.finish(browser, callback);
	assert.match(browser.location, /status=success/);
});

test('O-03: an answer counts once, also ten times at once', async () => {
	const { browser, callback } = await org.answered(await org.session(), 'bob');
	const since = (await exchanges()).length;
	const cookie = [...browser.cookies.get(server.url)].map(([k, v]) => `${k}=${v}`).join('; ');
	const all = await Promise.all(Array.from({ length: 10 }, () => call('GET', callback, { headers: { cookie } })));
	assert.deepEqual(all.map((a) => a.status).sort(), [303, ...Array(9).fill(400)]);
	await browser.get(all.find((a) => a.status === 303).headers.location);
	await browser.follow(server.url);
	assert.match(browser.location, /status=success/);
	await unspent(async () => assert.equal((await browser.get(callback)).status, 400));
	assert.equal((await exchanges()).length, since + 1);
	assert.equal((await org.connections()).filter((c) => c.username === 'bob').length, 1);
});

test('O-04: the answer of an attacker attaches nothing to a victim', async () => {
	const attacker = await org.answered(await org.session(), 'mallory');
	const session = await org.session();
	const victim = await org.begun(session);
	await unspent(async () => {
		assert.equal((await victim.browser.get(attacker.callback)).status, 400);
		assert.equal((await new Browser().get(attacker.callback)).status, 400);
	});
	assert.equal(await org.status(session), 'authorizing');
	assert.equal((await org.connections()).filter((c) => c.username === 'mallory').length, 0);
});

test('O-04: a stolen code in a flow of the attacker is refused by its verifier', async () => {
	const stolen = new URL((await org.answered(await org.session(), 'victim')).callback).searchParams.get('code');
	const session = await other.session();
	const mine = await other.answered(session, 'mallory');
	await other.finish(mine.browser, mine.callback.replace(/code=[^&]*/, `code=${stolen}`));
	const last = (await exchanges()).at(-1);
	assert.deepEqual([last.form.code, last.worked, last.answer.error], [stolen, 400, 'invalid_grant']);
	assert.equal(await other.status(session), 'failed');
	assert.equal((await other.connections()).length, 0);
});

test('O-06: our address at the platform is the configured one, whatever a client says', async () => {
	const browser = new Browser();
	await browser.get((await org.session()).connectUrl);
	const headers = { host: 'evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https', forwarded: 'host=evil.example',
		origin: server.url };
	const answer = await browser.go('POST', browser.forms[0].action, { server: as.name }, headers);
	assert.equal(new URL(answer.headers.location).searchParams.get('redirect_uri'), stage.callback);
});

test('O-06: addresses that are almost the callback are none', async () => {
	const { browser, callback } = await org.answered(await org.session(), 'carol');
	const { search } = new URL(callback);
	await unspent(async () => {
		for (const path of ['/oauth/oidc/callback/', '/oauth/oidc//callback', '/oauth/oidc/x/../callback', '/oauth/oidc/%2e%2e/oidc/callback',
			'/oauth/OIDC/callback', '/oauth/oidc/Callback', '/oauth/sandbox/callback', '/oauth/oidc/callback%2f', '/oauth/oidc/callback;x']) {
			const cookie = [...browser.cookies.get(server.url)].map(([k, v]) => `${k}=${v}`).join('; ');
			// as text: an URL object would make the path plain
			const { status } = await raw(`GET ${path}${search} HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`);
			assert.ok([400, 404].includes(status), `${path}: ${status}`);
		}
	});
	await org.finish(browser, callback);
	assert.match(browser.location, /status=success/);
});

async function raw(text) {
	const { connect } = await import('node:net');
	const socket = connect(server.port, '127.0.0.1');
	socket.end(text);
	let answer = '';
	for await (const part of socket) answer += part;
	return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)[1]), answer };
}

test('O-07: no parameter of the answer leads anywhere else', async () => {
	const { browser, callback } = await org.answered(await org.session(), 'dave');
	const more = ['return_to', 'redirect_uri', 'redirectUrl', 'next', 'url'].map((name) => `${name}=%2F%2Fevil.example`).join('&');
	await org.finish(browser, `${callback}&${more}`);
	assert.ok(browser.location.startsWith(`${back}?`), browser.location);
	for (const redirectUrl of ['//evil.example', '/\\evil.example', 'https:evil.example', `${back}%0d%0a`, '/%09/evil.example', '/',
		`${back}/${'x'.repeat(3000)}`]) {
		const asked = { externalUserId: 'ada', platform: 'oidc', redirectUrl };
		assert.equal((await org.live.post('/v1/connect-sessions', asked)).status, 422, redirectUrl);
	}
});

test('O-08: a person who does not want to: no token call, no words of the platform, the state is used up', async () => {
	const session = await org.session();
	const { browser, callback } = await org.answered(session, 'ada', { decision: 'abort' });
	assert.match(callback, /error=access_denied&error_description=End-User/);
	await unspent(async () => {
		await org.finish(browser, callback.replace('error_description=', 'error_description=%3Cscript%3Ecanary%3C%2Fscript%3E'));
		assert.match(browser.page.text, /was not connected/);
		assert.doesNotMatch(browser.page.text, /canary|End-User/);
		assert.equal((await browser.get(callback)).status, 400);
		await browser.get(callback.replace(/error=[^&]*&error_description=[^&]*/, 'code=late'));
		assert.equal(browser.page.status, 400);
	});
	assert.equal(await org.status(session), 'denied');
	assert.doesNotMatch(server.log(), /canary/);
});

test('O-09: the answer goes to a clean address at once, and rests nowhere', async () => {
	const { browser, callback } = await org.answered(await org.session(), 'erin');
	const answer = await browser.get(callback);
	assert.equal(answer.status, 303);
	assert.doesNotMatch(answer.headers.location, /[?&](code|state|iss)=/);
	assert.equal(answer.headers['referrer-policy'], 'no-referrer');
	assert.equal(answer.headers['cache-control'], 'no-store');
	await browser.follow(server.url);
	assert.match(browser.location, /status=success/);
	const secrets = [...await as.secrets(), stage.secret, new URL(callback).searchParams.get('state')];
	assert.ok(secrets.length > 20);
	assert.deepEqual(stage.resting(secrets), []);
	for (const path of ['/v1/events', '/v1/connections', '/v1/connect-sessions', '/v1/operations', '/metrics']) {
		const { text } = await org.live.get(`${path}?limit=200`);
		assert.equal(secrets.find((s) => text.includes(s)), undefined, path);
	}
});

test('O-09: in a real browser nothing of it is told to anybody else', async () => {
	const visits = [];
	const product = createServer((req, res) => {
		visits.push({ url: req.url, referer: req.headers.referer });
		if (req.url === '/favicon.ico') return res.writeHead(204).end();
		res.writeHead(200, { 'content-type': 'text/html' }).end('<title>Fieldnote</title><p>back <a id=on href="/on">on</a>');
	});
	await new Promise((resolve) => product.listen(0, '127.0.0.1', resolve));
	const home = `http://127.0.0.1:${product.address().port}/done`;
	const chrome = await Chrome.start();
	try {
		await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: home }), 201);
		const page = await chrome.page({ script: false });
		const at = (prefix) => (url) => url.startsWith(prefix);
		await page.go((await org.session({ redirectUrl: home })).connectUrl);
		await page.loads_by(() => page.click('.btn.brand'), at(as.url));
		await page.type('[name=login]', 'grace');
		await page.type('[name=password]', 'x');
		await page.loads_by(() => page.click('[type=submit]'), at(as.url));
		await page.shows(/Authorize/i);
		await page.loads_by(() => page.click('[type=submit]'), at(home));
		assert.match(await page.url(), /status=success/);
		assert.equal(await page.eval('document.referrer'), '');
		assert.deepEqual(page.faults, []);
	} finally {
		await chrome.stop();
		product.close();
		product.closeAllConnections();
	}
	const secrets = await as.secrets();
	const told = [...visits, ...(await as.seen())].map((v) => `${v.url ?? ''} ${v.referer ?? ''}`);
	assert.equal(told.find((line) => secrets.some((s) => line.includes(s))), undefined);
	assert.ok(!told.some((line) => line.includes('/connect/')), 'the link itself was told as Referer');
});

test('O-11: one account in two organizations is two connections, and the end of one is not the other\'s', async () => {
	const mine = await org.connect('shared'), theirs = await other.connect('shared');
	assert.notEqual(mine.id, theirs.id);
	assert.equal((await other.live.get(`/v1/connections/${mine.id}`)).status, 404);
	const grants = stage.db((db) => db.prepare('SELECT grant_id FROM connection WHERE id IN (?, ?)').all(mine.id, theirs.id));
	assert.equal(new Set(grants.map((g) => g.grant_id)).size, 2);
	await made(org.live.delete(`/v1/connections/${mine.id}`), 200);
	const post = await other.post(theirs.id, 'still mine');
	await other.ends(post, 'published');
	assert.equal((await as.ledger()).filter((p) => p.text === 'still mine').length, 1);
});

test('O-11: renewing with another account is refused, with the same it is renewed', async () => {
	const first = await org.connect('henry');
	const again = () => made(org.live.post(`/v1/connections/${first.id}/reconnect`, { redirectUrl: back }), 201);
	const session = await again();
	const { browser, callback } = await org.answered(session, 'mallory');
	await org.finish(browser, callback);
	assert.equal(browser.page.status, 409, browser.page.text);
	assert.equal((await made(org.live.get(`/v1/connect-sessions/${session.id}`), 200)).error.code, 'connect_account_mismatch');
	assert.equal((await org.connections()).filter((c) => c.username === 'mallory').length, 0);
	assert.equal((await org.connect('henry', await again())).id, first.id);
});

await done(60_000);
