// What a token endpoint may answer: anything but clear JSON with a bearer token is no token, and nothing is followed.
// The oracle is the log of the strict server and a listener that must see nobody.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { made, startOauth } from '../lib/oauth.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { throughout } from '../lib/wait.mjs';

const stage = await startOauth();
after(() => stage.stop());
const { as } = stage;
const org = await stage.organization();

const visits = [];
const elsewhere = createServer((req, res) => {
	visits.push(req.url);
	res.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token":"of-another","token_type":"Bearer"}');
});
await new Promise((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
after(() => new Promise((resolve) => { elsewhere.close(resolve); elsewhere.closeAllConnections(); }));
const to = `http://127.0.0.1:${elsewhere.address().port}/token`;

// A session whose exchange meets the fault: it fails, no connection is there, and the code was sent once.
async function refused(mode, more, words) {
	const since = (await as.token()).length, had = (await org.connections()).length;
	const session = await org.session();
	const { browser, callback } = await org.answered(session, 'ada');
	await as.fault('/token', mode, more);
	await org.finish(browser, callback);
	const { status, error } = await made(org.live.get(`/v1/connect-sessions/${session.id}`), 200);
	assert.equal(status, 'failed', JSON.stringify(more));
	if (words) assert.match(error.message, words);
	assert.equal((await org.connections()).length, had);
	assert.equal((await as.token()).length, since + 1, 'a code is sent once');
}

test('O-10: a redirect is not followed', async () => {
	for (const status of [301, 302, 303, 307, 308])
		for (const location of [to, `${as.url}/elsewhere`, '/elsewhere'])	// the last two lead where we may go
			await refused('status', { status, headers: { location }, text: '' });
	await refused('edit', { headers: { location: to }, set: { access_token: null } });
	assert.deepEqual(visits, []);
	assert.deepEqual(await as.seen('/elsewhere'), []);
});

test('O-10: what is no JSON by its type holds no tokens', async () => {
	for (const type of ['text/html', 'text/plain', 'application/x-www-form-urlencoded'])
		await refused('edit', { headers: { 'content-type': type } }, /no JSON/);
	await refused('status', { status: 200, text: 'access_token=x&token_type=bearer' });
	await refused('status', { status: 200, text: '{"access_token":"x","token_type":"bearer"' });
	await refused('status', { status: 200, text: '["access_token"]' });
});

test('O-10: an answer larger than 64 KiB holds no tokens, and one of 2 MiB does no harm', async () => {
	await refused('edit', { set: { padding: 'x'.repeat(65536) } }, /64 KiB/);
	await refused('edit', { set: { padding: 'x'.repeat(2 << 20) } });
});

test('O-10: tokens of a type that we do not speak are none', async () => {
	for (const type of ['mac', 'DPoP', 'N_A', ''])
		await refused('edit', { set: { token_type: type } }, /of type/);
	await refused('edit', { set: { access_token: '' } }, /no access token/);
	await refused('edit', { set: { access_token: null } }, /no access token/);
	await refused('edit', { set: { access_token: { a: 1 } } }, /no access token/);
	await as.fault('/token', 'edit', { set: { token_type: 'BEARER' } });
	await org.connect('loud');
	await as.fault('/token', 'edit', { set: { token_type: null } });
	await org.connect('quiet');
});

test('O-10: a code that was refused is told, and the next try works', async () => {
	const session = await org.session();
	const { browser, callback } = await org.answered(session, 'late');
	await as.expire('AuthorizationCode');
	await org.finish(browser, callback);
	assert.equal(await org.status(session), 'failed');
	assert.equal((await as.token()).at(-1).answer.error, 'invalid_grant');
	const { to: again } = await org.begun(session, {}, browser);
	await org.finish(browser, await as.consent(again, 'late'));
	assert.match(browser.location, /status=success/);
});

test('O-10: permissions that were not granted are shown', async () => {
	await as.fault('/token', 'edit', { set: { scope: 'openid offline_access' } });
	const connection = await org.connect('limited');
	assert.deepEqual(connection.grantedScopes, ['openid', 'offline_access']);
	assert.deepEqual(connection.missingPermissions, ['posts:write']);
	assert.equal(connection.status, 'active');
});

test('O-33: letting go takes the tokens back there first, also when it must be asked thrice, and keeps no secret', async () => {
	const connection = await org.connect('gone');
	const kept = () => stage.db((db) => db.prepare(`SELECT g.status, g.secrets FROM auth_grant g JOIN connection c ON c.grant_id = g.id
		WHERE c.id = ?`).get(connection.id));
	const { refresh_token: refresh } = (await as.token()).at(-1).answer;
	assert.ok(kept().secrets);
	await as.fault('/token/revocation', 'status', { status: 503, count: 2 });
	await made(org.live.delete(`/v1/connections/${connection.id}`), 200);
	await until('the grant is closed', () => kept().status === 'closed');
	const told = await as.seen('/token/revocation');
	assert.deepEqual(told.map((r) => [r.form.token, r.status]), [[refresh, 503], [refresh, 503], [refresh, 200]]);
	assert.deepEqual([...await as.alive('RefreshToken', 'gone'), ...await as.alive('AccessToken', 'gone')], []);
	assert.equal(kept().secrets, null);
	assert.equal((await org.connection(connection.id)).status, 'disconnected', 'a tombstone stays');
});

test('O-33: letting go while the tokens are being renewed leaves none, neither there nor here', async () => {
	const connection = await org.connect('racing');
	await as.expire();
	await as.fault('/token', 'slow', { grant: 'refresh_token', ms: 1000 });
	await as.fault('/token/revocation', 'slow', { ms: 500 });
	const since = (await as.token({ grant: 'refresh_token' })).length;
	const tries = (await as.seen('/api/posts')).length, post = await org.post(connection.id, 'never out');
	await until('it is being renewed', async () => (await as.token({ grant: 'refresh_token' })).length > since);
	await made(org.live.delete(`/v1/connections/${connection.id}`), 200);
	const grant = () => stage.db((db) => db.prepare(`SELECT g.status, g.secrets FROM auth_grant g JOIN connection c ON c.grant_id = g.id
		WHERE c.id = ?`).get(connection.id));
	await until('the grant is closed', () => grant().status === 'closed');
	assert.equal((await as.seen('/token/revocation')).at(-1).form.token, (await as.token()).at(-1).answer.refresh_token, 'the new one');
	await throughout('no secret comes back', () => grant().secrets === null, 500);
	assert.deepEqual(await as.alive('RefreshToken', 'racing'), []);
	await org.ends(post, 'blocked');
	assert.deepEqual((await as.seen('/api/posts')).slice(tries).map((r) => r.worked), [401], 'it is not tried with the new ones');
});

test('O-33: a link that is withdrawn while the code is exchanged leaves no tokens here', async () => {
	const session = await org.session(), since = (await as.token()).length;
	const { browser, callback } = await org.answered(session, 'withdrawn');
	await as.fault('/token', 'slow', { ms: 700 });
	await browser.get(callback);
	await until('the code is being exchanged', async () => (await as.token()).length > since);
	await made(org.live.post(`/v1/connect-sessions/${session.id}/cancel`, {}), 200);
	await until('the answer has come', async () => (await as.token()).at(-1).status === 200);
	const kept = () => stage.db((db) => db.prepare('SELECT g.status, g.secrets FROM auth_grant g ORDER BY g.created_at DESC LIMIT 1').get());
	await throughout('nothing is kept', () => kept().status === 'closed' && kept().secrets === null, 800);
	assert.equal((await org.connections()).filter((c) => c.username === 'withdrawn').length, 0);
});

await done(60_000);
