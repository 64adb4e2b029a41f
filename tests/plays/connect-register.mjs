// A network without a centre: the person names a server, an app of ours is registered there by itself, once, and the
// account's limits are those of its server.  The servers are names below localhost that the sandbox plays.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const back = 'http://127.0.0.1:9/back';
const folder = mkdtempSync(join(tmpdir(), 'mps-instances-'));
after(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, 'providers'), { mode: 0o700 });
for (const name of ['plugins/sandbox.so', 'tests/plugins/instance.so']) {
	cpSync(join(build, name), join(folder, 'providers', name.split('/').at(-1)));
}
const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: {
	providers: { folder: join(folder, 'providers'), host_program: join(build, 'libexec/mypostshare-host') },
	egress: { allow: `127.0.0.1:${sandbox.port}` },
} });
after(() => server.stop());
const org = await server.organization('Northpeak');

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
await made(org.live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
const host = (name) => `${name}.localhost:${sandbox.port}`;
const apps = async () => (await sandbox.stats()).requests['POST /v1/apps'];
const session = (more = {}) => made(org.live.post('/v1/connect-sessions', {
	externalUserId: 'ada', platform: 'instance', redirectUrl: back, ...more,
}), 201);
const begun = async (s) => {
	const browser = new Browser();
	await browser.get(s.connectUrl);
	assert.equal(browser.page.status, 200, browser.page.text);
	return browser;
};

// The name of the instance means this machine to the server; here it is said in numbers.
const here = (url) => url.replace(/^http:\/\/[a-z]+\.localhost:/, 'http://127.0.0.1:');

// At the instance and back, as a person who allows it.
async function finish(browser, account, choice = {}) {
	assert.match(browser.location ?? browser.page.text, /^http:\/\/[a-z]+\.localhost:\d+\/oauth\/authorize\?/);
	const person = new Browser();
	await person.get(here(browser.location));
	await person.submit({ account, decision: 'allow', ...choice });
	await browser.get(person.location);
	await browser.follow(server.url);
	assert.match(browser.location ?? browser.page.text, /status=success/);
	return browser;
}

async function connection(s) {
	const { connectionIds } = await until('the session is completed', async () => {
		const now = await made(org.live.get(`/v1/connect-sessions/${s.id}`), 200);
		assert.notEqual(now.status, 'failed', JSON.stringify(now.error));
		return now.status === 'completed' && now;
	});
	return made(org.live.get(`/v1/connections/${connectionIds[0]}`), 200);
}

test('the person names a server; an app is registered there and the account connected', async () => {
	const s = await session();
	const browser = await begun(s);
	assert.match(browser.page.text, /Your server/);
	await browser.submit({ server: `https://ONE.localhost:${sandbox.port}/@ada` });
	assert.match(browser.location ?? browser.page.text, new RegExp(`^http://${host('one')}/oauth/authorize`));
	await finish(browser, 'ada');
	const { username, grantedScopes, missingPermissions, id } = await connection(s);
	assert.deepEqual([username, grantedScopes, missingPermissions], ['ada', ['publish', 'read'], []]);
	assert.equal(await apps(), 1);
	const read = await until('its limits are read', async () => {
		const { limits } = await made(org.live.get(`/v1/connections/${id}`), 200);
		return Object.keys(limits).length && limits;
	});
	assert.deepEqual(read, { 'text.max': 500, 'media.image.max_bytes': 1000000 });
});

test('a server that the app names is shown and not asked for, and no second app is made', async () => {
	const s = await session({ platformOptions: { instance: { instanceUrl: `https://${host('one')}/` } } });
	const browser = await begun(s);
	assert.match(browser.page.text, new RegExp(`<dd class="strong">${host('one')}</dd>`));
	assert.equal(browser.forms[0].fields.server, undefined);
	await browser.submit({ server: host('another') });		/* what is not asked cannot be answered */
	assert.match(browser.location ?? browser.page.text, new RegExp(`^http://${host('one')}/`));
	await finish(browser, 'ben');
	assert.equal((await connection(s)).username, 'ben');
	assert.equal(await apps(), 1);
});

test('an option of another name is refused, not dropped', async () => {
	const body = { externalUserId: 'ada', platform: 'instance', redirectUrl: back, platformOptions: { instance: { instance: 'a.example' } } };
	const { status, json: { error } } = await org.live.post('/v1/connect-sessions', body);
	assert.deepEqual([status, error.code, error.param], [422, 'unknown_field', 'platformOptions.instance.instance']);
});

test('a name that is no server is asked for, with what was given', async () => {
	const s = await session({ platformOptions: { instance: { instanceUrl: 'my server' } } });
	const browser = await begun(s);
	assert.equal(browser.forms[0].fields.server, 'my server');
	await browser.submit();
	assert.equal(browser.page.status, 422);
	await browser.submit({ server: 'nobody.localhost:1' });
	await browser.follow(server.url);
	assert.match(browser.page.text, /That server cannot be reached/, browser.page.text);
	assert.equal((await made(org.live.get(`/v1/connect-sessions/${s.id}`), 200)).status, 'failed');
	await browser.get(s.connectUrl);
	await browser.submit({ server: host('one') });
	await finish(browser, 'cid');
	assert.equal((await connection(s)).username, 'cid');
});

test('who comes back while the app is being registered meets one registration, not two', async () => {
	const before = await apps();
	await sandbox.fail({ route: '/v1/apps', status: 503, count: 1 });
	const s = await session();
	const first = await begun(s), second = new Browser();
	second.cookies = first.cookies;
	const sent = first.submit({ server: host('slow') });
	await until('it is begun', async () => await apps() > before);
	await second.get(s.connectUrl);
	await second.submit({ server: host('slow') });
	assert.match(second.location ?? second.page.text, /\/wait$/, 'it is begun already');
	await Promise.all([sent, second.follow(server.url)]);
	const one = [first, second].find((b) => b.location?.startsWith(`http://${host('slow')}/`));
	assert.ok(one, `${first.page.text}\n${second.page.text}`);
	await finish(one, 'dan');
	assert.equal((await connection(s)).username, 'dan');
	assert.equal(await apps() - before, 2, 'the one that was refused with 503, and one');
});

test('a server that refuses our app is told about', async () => {
	await sandbox.fail({ route: '/v1/apps', status: 422, count: 1 });
	const s = await session();
	const browser = await begun(s);
	await browser.submit({ server: host('strict') });
	await browser.follow(server.url);
	assert.match(browser.page.text, /Instances did not accept it/, browser.page.text);
	const { status, error } = await made(org.live.get(`/v1/connect-sessions/${s.id}`), 200);
	assert.deepEqual([status, error.code], ['failed', 'platform_rejected']);
});

test('who renews an account is not asked for its server', async () => {
	const [{ id }] = (await made(org.live.get('/v1/connections?platform=instance'), 200)).data;
	const s = await made(org.live.post(`/v1/connections/${id}/reconnect`, { redirectUrl: back }), 201);
	const browser = await begun(s);
	assert.match(browser.page.text, new RegExp(`<dd class="strong">${host('one')}</dd>`));
	assert.equal(browser.forms[0].fields.server, undefined);
	await browser.submit();
	await finish(browser, 'ada');
	assert.equal((await connection(s)).id, id);
});

test('a permission that was not granted is shown as missing', async () => {
	const s = await session();
	const browser = await begun(s);
	await browser.submit({ server: host('one') });
	await finish(browser, 'eve', { scope: 'publish' });
	const { grantedScopes, missingPermissions } = await connection(s);
	assert.deepEqual([grantedScopes, missingPermissions], [['publish'], ['read']]);
});

test('the scopes of the app\'s own credential are asked for, by an app that was registered for them', async () => {
	const before = await apps();
	await made(org.live.put(`/v1/apps/${org.app}/provider-credentials/instance`, { mode: 'managed', scopes: ['publish'] }), 200);
	const s = await session();
	const browser = await begun(s);
	await browser.submit({ server: host('one') });
	assert.equal(new URL(browser.location).searchParams.get('scope'), 'publish');
	await finish(browser, 'fay');
	const { grantedScopes, missingPermissions } = await connection(s);
	assert.deepEqual([grantedScopes, missingPermissions], [['publish'], []]);
	assert.equal(await apps() - before, 1);
});

test('the clients\' secrets rest nowhere in clear', () => {
	let found = '';
	try {
		found = execFileSync('grep', ['-rlaE', '-e', 'sec_[0-9a-z]{20,}', server.folder]).toString();
	} catch {
		// none
	}
	assert.equal(found, '');
	assert.doesNotMatch(server.log(), /sec_[0-9a-z]{20,}/);
});

await done(90_000);
