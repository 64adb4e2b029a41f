// The credential form with a live key against the real PDS: a wrong app password is told and may be corrected, the
// right one connects and publishes, and the password is found nowhere in the store or the log.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { startPds } from '../counterparts/bluesky.mjs';
import { Browser } from '../lib/http.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const back = 'https://example.com/back', PUT = 'com.atproto.repo.putRecord';
const pds = await startPds();
after(() => pds.stop());
const { host: address } = new URL(pds.url);
const server = await startServer({ ini: `[egress]\nallow = ${address}\n[provider.bluesky]\nbase_url.bsky.social = ${pds.url}\n`
	+ `base_url.${pds.host} = ${pds.url}\n` });
after(() => server.stop());
const org = await server.organization('Northpeak');
const ada = await pds.account('ada.test');

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

// The way by app password: the second of the page's two forms.
const form = (browser) => browser.forms.findIndex((f) => 'password' in f.fields);

const found = (text) => {
	try {
		return execFileSync('grep', ['-rlF', '-e', text, server.folder]).toString();
	} catch {
		return '';
	}
};

test('a wrong app password is told, the right one connects, and it rests nowhere', async () => {
	await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
	await made(org.live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
	const s = await made(org.live.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'bluesky', redirectUrl: back }), 201);
	const browser = new Browser();
	await browser.get(s.connectUrl);
	await browser.submit({ identifier: 'ada.test', password: 'wrong-canary-word' }, form(browser));
	await browser.follow(server.url);
	assert.match(browser.page.text, /did not accept/, browser.page.text);
	assert.equal(browser.page.status, 422);
	assert.equal(browser.forms[form(browser)].fields.identifier, 'ada.test', 'what is no secret need not be entered again');
	assert.equal(browser.forms[form(browser)].fields.password, '');
	assert.match(browser.page.text, /name="password"[^>]*aria-invalid="true"/);
	const { status, error } = await made(org.live.get(`/v1/connect-sessions/${s.id}`), 200);
	assert.deepEqual([status, error.code], ['failed', 'credential_invalid']);
	await browser.submit({ identifier: '@ada.test', password: ada.appPassword }, form(browser));
	await browser.follow(server.url);
	const end = new URL(browser.location ?? assert.fail(browser.page.text));
	assert.equal(end.searchParams.get('status'), 'success');
	const connection = await made(org.live.get(`/v1/connections/${end.searchParams.get('connectionId')}`), 200);
	assert.equal(connection.remoteAccountId, ada.did);
	assert.equal(connection.username, 'ada.test');
	assert.equal(connection.livemode, true);
	for (const secret of [ada.appPassword, 'wrong-canary-word']) {
		assert.equal(found(secret), '');
		assert.ok(!server.log().includes(secret));
	}
});

// A post that only those may answer who are mentioned: published whatever becomes of its gate, and its trouble is told.
async function follow(connectionId, text, warning) {
	const options = { bluesky: { reply_gate: 'mentioned' } };
	const post = await made(org.live.post('/v1/posts', { text, options, targets: [{ connectionId }] }), 202);
	const ended = await until('it is published', async () => {
		const { deliveries: [d] } = await made(org.live.get(`/v1/posts/${post.id}`), 200);
		return d.status === 'published' && d;
	});
	assert.deepEqual(ended.warnings.map((w) => w.code), warning ? [warning] : []);
	assert.equal((await pds.records(ada.did)).filter((r) => r.value.text === text).length, 1);
}

test('what is connected can publish, has its reply gates or is told why not, and is let go at the platform too', async () => {
	const [{ id }] = (await made(org.live.get('/v1/connections'), 200)).data;
	const post = await made(org.live.post('/v1/posts', { text: 'Hello from the form', targets: [{ connectionId: id }] }), 202);
	await until('it is published', async () => (await made(org.live.get(`/v1/posts/${post.id}`), 200)).status === 'published');
	assert.deepEqual((await pds.records(ada.did)).map((r) => r.value.text), ['Hello from the form']);
	await follow(id, 'A gate that holds');
	await pds.fault(PUT, 'none');		// the post goes through, its gate is what fails
	await pds.fault(PUT, 'status', { status: 400, body: { error: 'InvalidRequest', message: 'no gates today' } });
	await follow(id, 'A gate that is refused', 'reply_gate_missing');
	await pds.fault(PUT, 'none');
	await pds.fault(PUT, 'lost_after', { count: 2 });	// on a connection that was kept the first loss is repeated unseen
	await follow(id, 'A gate that is lost', 'follow_up_unknown');
	await made(org.live.delete(`/v1/connections/${id}`), 200);
	const deleted = (r) => r.path.startsWith('/xrpc/com.atproto.server.deleteSession');
	await until('the session there is deleted', async () => (await pds.seen()).some(deleted));
});

await done(90_000);
