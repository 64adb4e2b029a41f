// Bluesky by OAuth against the real PDS: a person in Chromium goes from the hosted page to the PDS's own sign-in and
// consent pages and back; then posts, an expired access token, a refresh that is lost after the server rotated, an
// account that is taken down.  Both kinds of client: the loopback one, and the one whose metadata and keys we serve.
//
// The oracle is what the PDS saw and what lies in its repositories.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { allow, startPds } from '../counterparts/bluesky.mjs';
import { Chrome } from '../lib/chrome.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';
import { until } from '../lib/wait.mjs';

const WORLD = 'social.northpeak.dev';		// our own address, as the PDS and the browser know it
const pds = await startPds();
after(() => pds.stop());
const product = createServer((req, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<title>Fieldnote</title><p>back'));
await new Promise((resolve) => product.listen(0, '127.0.0.1', resolve));
after(() => new Promise((resolve) => { product.close(resolve); product.closeAllConnections(); }));
const back = `http://127.0.0.1:${product.address().port}/done`;
const chrome = await Chrome.start({ hosts: { [pds.host]: pds.tls, [WORLD]: pds.tls } });
after(() => chrome.stop());

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

// A server with one organization and one end user; words: more for its ini.
async function product_of(ini) {
	const server = await startServer({ ini });
	after(() => server.stop());
	const org = await server.organization('Northpeak');
	await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
	await made(org.live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
	return { server, ...org };
}

// The whole way of a person; ends at the product's own page.  Gives its parameters and what the consent page said.
async function connect({ live, server }, account, { deny, more, identifier = account.handle } = {}) {
	const s = await made(live.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'bluesky', redirectUrl: back, ...more }), 201);
	const page = await chrome.page();
	await page.go(s.connectUrl.replace(server.url, server.public ?? server.url));
	const form = 'form:not(:has(input[name=way]))';
	await page.type(`${form} input[name=identifier]`, identifier);
	await page.loads_by(() => page.click(`${form} button[type=submit]`), (url) => url.startsWith(`https://${pds.host}/`));
	const consent = await allow(page, account, { deny });
	if (deny) return { page, session: s };
	await until('the browser is back', async () => (await page.url()).startsWith(back), 30_000);
	return { words: new URL(await page.url()).searchParams, consent, page };
}

const connected = async (org, account, options) => {
	const { words, consent } = await connect(org, account, options);
	assert.equal(words.get('status'), 'success', `${words}`);
	return { connection: await made(org.live.get(`/v1/connections/${words.get('connectionId')}`), 200), consent };
};

const publish = async ({ live }, connection, body) =>
	made(live.post('/v1/posts', { targets: [{ connectionId: connection.id }], ...(typeof body === 'string' ? { text: body } : body) }), 202);
const FINAL = ['published', 'failed', 'unconfirmed', 'blocked'];
const ended = ({ live }, { id }) => until(`the delivery of ${id} ends`, async () => {
	const [delivery] = (await made(live.get(`/v1/posts/${id}`), 200)).deliveries;
	return FINAL.includes(delivery.status) && delivery;
}, 30_000);
const shown = async (did, text) => (await pds.records(did)).filter((r) => r.value.text === text);
const tokens = async (status) => (await pds.seen()).filter((r) => r.path === '/oauth/token' && (!status || r.status === status)).length;

const ada = await pds.account('ada.test'), bob = await pds.account('bob.test'), cyd = await pds.account('cyd.test');
const local = await product_of(pds.ini);
let first;

test('a person signs in and allows it at the PDS, and the account is connected', async () => {
	const { connection } = await connected(local, ada);
	first = connection;
	assert.deepEqual([connection.remoteAccountId, connection.username, connection.status], [ada.did, 'ada.test', 'active']);
	assert.ok(connection.grantedScopes.includes('atproto'), JSON.stringify(connection.grantedScopes));
	assert.equal(await tokens(200), 1, 'one code, one exchange');
	assert.equal((await pds.seen('com.atproto.server.createSession')).length, 0, 'no password of the person came through us');
});

test('what is connected by OAuth publishes, once, with a proof of its own key', async () => {
	const delivery = await ended(local, await publish(local, first, 'Hello by OAuth'));
	assert.equal(delivery.status, 'published', JSON.stringify(delivery));
	assert.deepEqual((await shown(ada.did, 'Hello by OAuth')).map((r) => r.uri), [delivery.remotePostId]);
});

test('a lost answer to a post that stands: one post', async () => {
	await pds.fault('com.atproto.repo.putRecord', 'lost_after');
	const delivery = await ended(local, await publish(local, first, 'lost by OAuth'));
	assert.equal(delivery.status, 'published', JSON.stringify(delivery));
	assert.equal((await shown(ada.did, 'lost by OAuth')).length, 1);
});

test('ten posts with an expired access token: one refresh, ten posts', async () => {
	const before = await tokens(200);
	await pds.expire();
	const posts = await Promise.all(Array.from({ length: 10 }, (_, i) => publish(local, first, `expired ${i}`)));
	for (const [i, post] of posts.entries()) {
		assert.equal((await ended(local, post)).status, 'published');
		assert.equal((await shown(ada.did, `expired ${i}`)).length, 1);
	}
	assert.equal(await tokens(200) - before, 1);
});

test('a person who denies it is told so, and nothing is connected', async () => {
	const { page, session } = await connect(local, bob, { deny: true });
	await page.shows(/not allowed|did not allow|declined/i);
	const { status, error } = await made(local.live.get(`/v1/connect-sessions/${session.id}`), 200);
	assert.deepEqual([status, error.code], ['denied', 'connect_denied']);
	assert.equal((await made(local.live.get('/v1/connections'), 200)).data.length, 1);
});

test('the name of a server in place of a handle: the account is the one that signed in there', async () => {
	const s = await made(local.live.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'bluesky', redirectUrl: back }), 201);
	const page = await chrome.page(), form = 'form:not(:has(input[name=way]))';
	await page.go(s.connectUrl);
	await page.type(`${form} input[name=identifier]`, pds.host);
	await page.loads_by(() => page.click(`${form} button[type=submit]`), (url) => url.startsWith(`https://${pds.host}/`));
	await allow(page, bob, { username: bob.handle });
	await until('the browser is back', async () => (await page.url()).startsWith(back), 30_000);
	const { searchParams } = new URL(await page.url());
	assert.equal(searchParams.get('status'), 'success', `${searchParams}`);
	const connection = await made(local.live.get(`/v1/connections/${searchParams.get('connectionId')}`), 200);
	assert.equal(connection.remoteAccountId, bob.did);
});

test('the same person signs in as somebody else than was named: refused', async () => {
	const s = await made(local.live.post(`/v1/connections/${first.id}/reconnect`, { redirectUrl: back }), 201);
	const page = await chrome.page(), form = 'form:not(:has(input[name=way]))';
	await page.go(s.connectUrl);
	await page.type(`${form} input[name=identifier]`, bob.handle);
	await page.loads_by(() => page.click(`${form} button[type=submit]`), (url) => url.startsWith(`https://${pds.host}/`));
	await allow(page, bob);
	const session = () => made(local.live.get(`/v1/connect-sessions/${s.id}`), 200);
	await until('the session has failed', async () => (await session()).status === 'failed', 30_000);
	assert.equal((await session()).error.code, 'connect_account_mismatch');
});

test('the server rotated and the answer is lost: tried once more, refused as replayed, and told as reconnect', async () => {
	const before = await tokens();
	await pds.expire();
	await pds.fault('/oauth/token', 'lost_after');
	const post = await publish(local, first, 'after the lost refresh');
	const delivery = await ended(local, post);
	assert.deepEqual([delivery.status, delivery.statusReason], ['blocked', 'reauth']);
	assert.equal(await tokens() - before, 2, 'the old refresh token was tried once more, and not again');
	const connection = await made(local.live.get(`/v1/connections/${first.id}`), 200);
	assert.equal(connection.status, 'reauth_required');
	assert.equal((await shown(ada.did, 'after the lost refresh')).length, 0);
});

test('connecting again releases what waited: one post', async () => {
	const s = await connect(local, ada);
	assert.equal(s.words.get('connectionId'), first.id, 'the same account is the same connection');
	await until('it is published', async () => (await shown(ada.did, 'after the lost refresh')).length === 1, 30_000);
});

test('an account that was taken down: the connection says so, and no post is lost', async () => {
	await pds.takedown(ada.did);
	const delivery = await ended(local, await publish(local, first, 'while taken down'));
	assert.deepEqual([delivery.status, delivery.statusReason], ['blocked', 'reauth'], JSON.stringify(delivery));
	await pds.takedown(ada.did, false);
});

test('an account that was deactivated is told in the same way', async () => {
	const { connection } = await connected(local, cyd);
	await pds.deactivate(cyd);
	const delivery = await ended(local, await publish(local, connection, 'while deactivated'));
	assert.deepEqual([delivery.status, delivery.statusReason], ['blocked', 'reauth'], JSON.stringify(delivery));
	await pds.activate(cyd);
});

test('letting go takes the grant back at the authorization server', async () => {
	const { connection } = await connected(local, cyd);
	await made(local.live.delete(`/v1/connections/${connection.id}`), 200);
	await until('the grant is revoked there', async () => (await pds.seen()).some((r) => r.path === '/oauth/revoke' && r.status === 200));
});

test('a server of the world: its metadata and keys are read by the PDS, and it signs in with them', async () => {
	const world = await product_of(`${pds.ini}[server]\npublic_url = https://${WORLD}\n`);
	world.server.public = `https://${WORLD}`;
	await pds.client(WORLD, world.server.url);
	const document = await made(world.live.get('/oauth/bluesky/client-metadata.json'), 200);
	assert.equal(document.client_id, `https://${WORLD}/oauth/bluesky/client-metadata.json`);
	assert.equal(document.token_endpoint_auth_method, 'private_key_jwt');
	const { connection, consent } = await connected(world, bob);
	assert.match(consent, new RegExp(WORLD.replaceAll('.', '\\.')), 'the person sees whom the account is given to');
	const delivery = await ended(world, await publish(world, connection, 'Hello from the world'));
	assert.equal(delivery.status, 'published', JSON.stringify(delivery));
	await pds.expire();
	assert.equal((await ended(world, await publish(world, connection, 'refreshed with our key'))).status, 'published');
	assert.equal((await shown(bob.did, 'refreshed with our key')).length, 1);
	const store = (word) => {
		try {
			return execFileSync('grep', ['-rlF', '-e', word, world.server.folder]).toString();
		} catch {
			return '';
		}
	};
	assert.equal(store('"d":"'), '', 'a private key lies in the clear');
	assert.equal(store('PRIVATE KEY'), '');
});

await done(240_000);
