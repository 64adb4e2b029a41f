// An account whose permission the platform has taken back: the connection says so, posts wait, and connecting the
// same account again sends them.  And letting go of an account: its tokens are taken back at the platform.
import assert from 'node:assert/strict';
import { Browser } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

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

async function connect(account, session) {
	const browser = new Browser();
	await browser.get(session.connectUrl);
	await browser.submit();
	await browser.get(await sandbox.consent(browser.location, { account }));
	await browser.follow(server.url);
	assert.match(browser.location ?? browser.page.text, /status=success/);
	return new URL(browser.location).searchParams.get('connectionId');
}

const fresh = () => made(org.test.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'sandbox', redirectUrl: back }), 201);
const connection = (id) => made(org.test.get(`/v1/connections/${id}`), 200);
const post = (id, text, scheduledAt) => made(org.test.post('/v1/posts/schedule', {
	text, scheduledAt, targets: [{ connectionId: id }],
}), 202);
const state = async (id) => (await made(org.test.get(`/v1/posts/${id}`), 200)).deliveries[0].status;
const events = async (type) => (await made(org.test.get('/v1/events?limit=200'), 200)).data.filter((e) => e.type === type);

test('a permission that was taken back: told once, posts wait, and the same account sends them', async () => {
	const id = await connect('alice', await fresh());
	const at = new Date(Date.now() + 4000).toISOString();
	const { id: waiting } = await post(id, 'waits for alice', at);
	await sandbox.withdraw('alice');
	await sandbox.expire('alice');
	await org.test.post(`/v1/connections/${id}/check`, {});
	await until('the connection wants to be renewed', async () => (await connection(id)).status === 'reauth_required'
		|| (await connection(id)).status === 'revoked');
	await until('the post is blocked', async () => await state(waiting) === 'blocked');
	assert.equal(await sandbox.count('waits for alice'), 0);
	assert.equal((await events('connection.reauth_required')).length, 1);
	assert.equal((await made(org.test.get('/v1/end-users/ext:ada'), 200)).reauthRequiredCount, 1);
	const again = await made(org.test.post(`/v1/connections/${id}/reconnect`, { redirectUrl: back }), 201);
	assert.equal(await connect('alice', again), id);
	assert.equal((await connection(id)).status, 'active');
	await until('the post is out', async () => await state(waiting) === 'published');
	assert.equal(await sandbox.count('waits for alice'), 1);
	assert.equal((await events('connection.restored')).length, 1);
});

test('letting go takes the tokens back at the platform, and what is scheduled waits', async () => {
	const id = await connect('bob', await fresh());
	const before = (await sandbox.stats()).requests['POST /oauth/revoke'] ?? 0;
	const at = new Date(Date.now() + 3_600_000).toISOString();
	const { id: later } = await post(id, 'later', at);
	assert.equal((await made(org.test.delete(`/v1/connections/${id}`), 200)).status, 'disconnected');
	assert.equal(await state(later), 'blocked');
	await until('the platform was told', async () => ((await sandbox.stats()).requests['POST /oauth/revoke'] ?? 0) === before + 1);
	assert.equal((await made(org.test.delete(`/v1/connections/${id}`), 200)).status, 'disconnected');
	assert.equal(await connect('bob', await fresh()), id);
	assert.equal(await state(later), 'pending');
	assert.equal((await sandbox.stats()).requests['POST /oauth/revoke'], before + 1);
	const gone = await made(org.test.delete('/v1/end-users/ext:ada?mode=disconnect'), 202);
	assert.equal(gone.disconnected, 2);
	assert.equal((await org.test.delete('/v1/end-users/ext:ada?mode=erase')).json.error.code, 'option_not_supported');
});

await done();
