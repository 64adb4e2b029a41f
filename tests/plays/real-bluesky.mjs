// Bluesky through the product's own API against the real PDS: a person connects on the hosted page, posts are made
// through HTTP, answers get lost, the server is killed.  The oracle is the repository as the PDS shows it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { startPds, xrpc } from '../counterparts/bluesky.mjs';
import { Browser } from '../lib/http.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';
import { until } from '../lib/wait.mjs';

const HOME = 'http://127.0.0.1:9/home', PUT = 'com.atproto.repo.putRecord';
const pds = await startPds();
after(() => pds.stop());
const ini = `[egress]
allow = ${new URL(pds.url).host}
[provider.bluesky]
base_url.bsky.social = ${pds.url}
base_url.${pds.host} = ${pds.url}
`;
const server = await startServer({ ini });
after(() => server.stop());
const { live, app: appId } = await server.organization('Real');
const app = async (method, route, body, headers) => {
	const reply = await live(method, route, body, headers);
	assert.ok(reply.status < 300, `${method} ${route}: ${reply.status} ${reply.text}`);
	return reply.json;
};
const ada = await pds.account('ada.test');
await app('POST', `/v1/apps/${appId}/redirect-urls`, { url: HOME });
await app('POST', '/v1/end-users', { externalUserId: 'ada' });

const post = (text, more = {}) => app('POST', '/v1/posts', { externalUserId: 'ada', platforms: ['bluesky'], text, ...more });
const ended = (made) => until(`the delivery of ${made.id} ends`, async () => {
	const [delivery] = (await app('GET', `/v1/posts/${made.id}`)).deliveries;
	return ['published', 'failed', 'unconfirmed', 'blocked'].includes(delivery.status) && delivery;
}, 30_000);
const shown = async (text) => (await pds.records(ada.did)).filter((r) => r.value.text === text);

// The one post with this text, which the delivery must name.
async function onePost(delivery, text) {
	assert.equal(delivery.status, 'published', JSON.stringify(delivery));
	const records = await shown(text);
	assert.deepEqual(records.map((r) => r.uri), [delivery.remotePostId]);
}

const sessions = {}, browser = new Browser();

// Sends the form of the hosted page as a person without scripts does, and follows: to HOME, or to a page that stays.
async function enter(password, handle = 'ada.test') {
	const user = handle === 'ada.test' ? 'ada' : handle;
	sessions[user] ??= await app('POST', '/v1/connect-sessions', { externalUserId: user, platform: 'bluesky', redirectUrl: HOME });
	await browser.get(sessions[user].connectUrl);
	await browser.submit({ identifier: `@${handle}`, password }, browser.forms.findIndex((f) => 'password' in f.fields));
	await until('the pages come to an end', async () => {
		const { location, page } = browser, again = page.headers.refresh ?? /http-equiv="refresh"/i.test(page.text);
		if (location ? location.startsWith(HOME) : !again) return true;
		await browser.get(location ?? browser.url);
		return false;
	}, 20_000);
	return new URL(browser.location ?? 'about:blank').searchParams;
}

test('a wrong app password is told to the person, who stays and may try again', async () => {
	await enter('wrong-pass-word-here');
	assert.equal(browser.location, null);
	assert.match(browser.page.text, /try again/i);
	assert.deepEqual((await app('GET', `/v1/connect-sessions/${sessions.ada.id}`)).connectionIds, []);
});

test('the same person connects on the same page by the right app password', async () => {
	const words = await enter(ada.appPassword);
	assert.equal(words.get('status'), 'success', `${browser.location} ${browser.page.text}`);
	assert.equal(words.get('connectSessionId'), sessions.ada.id);
	const connection = await app('GET', `/v1/connections/${words.get('connectionId')}`);
	assert.deepEqual([connection.platform, connection.status, connection.remoteAccountId, connection.username],
		['bluesky', 'active', ada.did, 'ada.test']);
});

test('publishes once; the delivery names the record of the PDS', async () => {
	const delivery = await ended(await post('Hello from the API, see https://example.com'));
	await onePost(delivery, 'Hello from the API, see https://example.com');
	assert.match(delivery.remotePostUrl, /^https:\/\/bsky\.app\/profile\/did:plc:.*\/post\//);
});

test('the same idempotency key twenty times at once is one post', async () => {
	const body = { externalUserId: 'ada', platforms: ['bluesky'], text: 'twenty calls' };
	const made = await Promise.all(Array.from({ length: 20 }, () => app('POST', '/v1/posts', body, { 'idempotency-key': 'twenty' })));
	assert.equal(new Set(made.map((m) => m.id)).size, 1);
	await onePost(await ended(made[0]), 'twenty calls');
});

test('twenty posts at once are twenty posts', async () => {
	const made = await Promise.all(Array.from({ length: 20 }, (_, i) => post(`number ${i}`)));
	const all = await Promise.all(made.map(ended));
	for (const [i, delivery] of all.entries()) await onePost(delivery, `number ${i}`);
});

for (const [words, mode, status] of [
	['the answer is lost after the PDS had the post', 'lost_after', 0],
	['the request is lost before the PDS had it', 'lost_before', 0],
	['the PDS is down for a moment', 'status', 502],
]) {
	test(`${words}: one post, published`, async () => {
		const hit = async () => (await pds.seen(PUT)).filter((r) => r.status === status).length, before = await hit();
		await pds.fault(PUT, mode, { status });
		await onePost(await ended(await post(words)), words);
		assert.equal(await hit() - before, 1, 'the trouble did not happen');
	});
}

test('a text the PDS finds too long fails, with its own words', async () => {
	await pds.fault(PUT, 'status', { status: 400, body: { error: 'InvalidRequest', message: 'Invalid app.bsky.feed.post record' } });
	const delivery = await ended(await post('refused by order'));
	assert.equal(delivery.status, 'failed');
	assert.equal(delivery.error.code, 'platform_rejected');
	assert.equal((await shown('refused by order')).length, 0);
});

test('ten posts with an expired token cause one refresh, and all are published', async () => {
	const before = (await pds.seen('com.atproto.server.refreshSession')).length;
	await pds.expire();
	const made = await Promise.all(Array.from({ length: 10 }, (_, i) => post(`expired ${i}`)));
	for (const [i, delivery] of (await Promise.all(made.map(ended))).entries()) await onePost(delivery, `expired ${i}`);
	assert.equal((await pds.seen('com.atproto.server.refreshSession')).length - before, 1);
});

test('when the PDS says that nothing is left, the next post waits for the count to begin anew', async () => {
	const reset = Math.ceil(Date.now() / 1000) + 3;
	await pds.fault(PUT, 'answered', { headers: { 'ratelimit-limit': '5000', 'ratelimit-remaining': '0', 'ratelimit-reset': `${reset}` } });
	await onePost(await ended(await post('the last of the hour')), 'the last of the hour');
	await onePost(await ended(await post('the first of the next')), 'the first of the next');
	const { at } = (await pds.seen(PUT)).at(-1);
	assert.ok(at >= reset * 1000, `asked ${reset * 1000 - at} ms too early`);
});

test('a published post is taken down again', async () => {
	const delivery = await ended(await post('taken down'));
	await onePost(delivery, 'taken down');
	await app('POST', `/v1/deliveries/${delivery.id}/unpublish`, {});
	await until('the PDS shows it no more', async () => (await shown('taken down')).length === 0);
});

test('the server is killed while the answer is out: after the restart one post, published', async () => {
	await pds.fault(PUT, 'held');
	const made = await post('killed');
	await until('the PDS has the post', async () => (await shown('killed')).length === 1);
	await server.restart('SIGKILL');
	await onePost(await ended(made), 'killed');
});

// Fifty posts whose answer was out when the server was killed: five accounts with one each, ten kills (fifty kills with
// one each when there is time).
const LONG = Boolean(process.env.TEST_LONG), KILLS = LONG ? 50 : 10, AT_ONCE = LONG ? 1 : 5;
const others = [];

test('more accounts connect', async () => {
	for (let i = 0; i < AT_ONCE; i++) {
		const account = await pds.account(`kay${i}.test`);
		await app('POST', '/v1/end-users', { externalUserId: account.handle });
		others.push({ account, connectionId: (await enter(account.appPassword, account.handle)).get('connectionId') });
	}
});

for (let part = 0; part < KILLS / 5; part++) {
	test(`killed between the intent and the answer, five times: one record for each post (${part + 1} of ${KILLS / 5})`, async () => {
		for (let i = 5 * part; i < 5 * part + 5; i++) {
			const text = `killed ${i}`;
			const there = async ({ account }) => (await pds.records(account.did)).filter((r) => r.value.text === text);
			await pds.fault(PUT, 'held', { count: AT_ONCE });
			const made = await Promise.all(others.map(({ connectionId }) => app('POST', '/v1/posts', { text, targets: [{ connectionId }] })));
			await until('the PDS has the posts', async () => (await Promise.all(others.map(there))).every((list) => list.length === 1));
			for (const { id } of made)
				assert.equal((await app('GET', `/v1/posts/${id}`)).deliveries[0].status, 'committing', 'the answer was not held');
			await server.kill();
			await server.start();
			for (const [at, one] of made.entries()) {
				const delivery = await ended(one);
				assert.equal(delivery.status, 'published', JSON.stringify(delivery));
				assert.deepEqual((await there(others[at])).map((r) => r.uri), [delivery.remotePostId]);
			}
		}
	});
}

test('after all the kills every text stands there once', async () => {
	for (const { account } of others) {
		const texts = (await pds.records(account.did)).map((r) => r.value.text);
		assert.deepEqual(texts.sort(), Array.from({ length: KILLS }, (_, i) => `killed ${i}`).sort());
	}
});

test('the server is killed before the request arrived: after the restart one post, published', async () => {
	const asked = (await pds.seen(PUT)).length;
	await pds.fault(PUT, 'lost_before');
	const made = await post('killed before');
	await until('the request was lost', async () => (await pds.seen(PUT)).length > asked);
	await server.restart('SIGKILL');
	await onePost(await ended(made), 'killed before');
});

// The folder holds the store, its log of changes, the server's log and the sandbox's store.
function files(folder) {
	return readdirSync(folder, { recursive: true }).map((name) => path.join(folder, name)).filter((name) => statSync(name).isFile());
}

test('neither the app password nor a token lies readable in any file', async () => {
	const body = { identifier: ada.handle, password: ada.appPassword };
	const { json } = await xrpc(pds.url, 'POST', 'com.atproto.server.createSession', { body });
	const head = json.accessJwt.split('.')[0], refreshHead = json.refreshJwt.split('.')[0];
	const contents = files(server.folder).map((file) => [file, readFileSync(file)]);
	assert.ok(contents.some(([, bytes]) => bytes.includes(ada.did)), 'the store was not among the files');
	contents.push(['the log', Buffer.from(server.log())]);
	for (const [file, bytes] of contents)
		for (const secret of [ada.appPassword, head, refreshHead]) assert.ok(!bytes.includes(secret), `${secret} lies in ${file}`);
});

await done(180_000);
