// Mastodon through the product's own API against two strict stand-ins: an instance of today that knows keys, and an
// older server of another make that ignores them.  People connect on the hosted page, answers get lost, the server is
// killed.  The oracle is each instance's own ledger, and what a client did that the API does not describe is a failure.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { startStage } from '../lib/mastodon.mjs';
import { png } from '../lib/samples.mjs';
import { after, done, test } from '../lib/test.mjs';
import { until } from '../lib/wait.mjs';

const POST = 'POST /api/v1/statuses';
const stage = await startStage();
after(() => stage.stop());
const { one, old, server } = stage;
const posts = (instance, words = '') => instance.requests('POST', '/api/v1/statuses').filter((r) => r.body.includes(words)).length;
let ada, otto;

// ---- connecting ----

test('an address that is no instance is told to the person, who stays', async () => {
	const session = await stage.session('nobody');
	one.fault('GET /api/v2/instance', 'status', { status: 200, body: { hello: 'world' } });
	const browser = await stage.name(session, 'https://ONE.example/about');
	assert.match(browser.page.text, /This is not a Mastodon server/);
	assert.equal(one.requests('POST', '').length, 0);
});

test('a person names the instance, signs in there and is connected', async () => {
	ada = await stage.connect('ada', one);
	assert.deepEqual([ada.platform, ada.status, ada.username], ['mastodon', 'active', 'ada@one.example']);
	assert.match(ada.remoteAccountId, /^\d+@one\.example$/);
	const [app] = one.apps.values();
	assert.deepEqual([one.apps.size, app.name, app.website, app.pinned], [1, 'Real', 'https://product.example/', false]);
});

test('the same id at another instance is another account; its app is pinned there', async () => {
	otto = await stage.connect('otto', old);
	assert.equal(otto.remoteAccountId.split('@')[0], ada.remoteAccountId.split('@')[0]);
	assert.notEqual(otto.remoteAccountId, ada.remoteAccountId);
	assert.deepEqual([...old.apps.values()].map((a) => a.pinned), [true]);
	old.vacuum();
	assert.equal(old.apps.size, 1);
});

test('the next person at an instance finds our app there', async () => {
	await stage.connect('eve', one);
	assert.equal(one.apps.size, 1);
});

test('a person who says no is no connection', async () => {
	const session = await stage.session('nora'), browser = await stage.name(session, one);
	assert.equal((await stage.decide(browser, 'nora', { decision: 'deny' }))?.get('status') === 'success', false);
	assert.deepEqual((await stage.call('GET', `/v1/connect-sessions/${session.id}`)).connectionIds, []);
});

test('an exchange whose answer is lost is not sent again; the person tries again and is connected', async () => {
	one.account('lily', 'correct horse battery staple');
	const session = await stage.session('lily'), browser = await stage.name(session, one);
	const before = one.requests('POST', '/oauth/token').length;
	one.fault('POST /oauth/token', 'lost_after');
	await stage.decide(browser, 'lily');
	assert.deepEqual((await stage.call('GET', `/v1/connect-sessions/${session.id}`)).connectionIds, []);
	assert.equal(one.requests('POST', '/oauth/token').length - before, 1);
	await stage.connect('lily', one);
});

test('a code that is used a second time is refused, and ends what the first gave', async () => {
	const connection = await stage.connect('mallory', one), [code, { token }] = [...one.codes].at(-1), [app] = one.apps.values();
	const body = new URLSearchParams({ grant_type: 'authorization_code', code, client_id: app.client_id, client_secret: app.client_secret,
		redirect_uri: app.uris[0], code_verifier: 'v'.repeat(43) });
	const reply = await fetch(`${one.url}/oauth/token`, { method: 'POST', body });
	assert.deepEqual([reply.status, (await reply.json()).error, token.revoked], [400, 'invalid_grant', true]);
	const checked = await stage.live('POST', `/v1/connections/${connection.id}/check`, {});
	assert.match(checked.text, /reauth_required|revoked/);
});

test('an instance that has forgotten our app: the next session registers anew', async () => {
	one.account('fred', 'correct horse battery staple');
	const browser = await stage.name(await stage.session('fred'), one), before = one.apps.size;
	one.fault('POST /oauth/token', 'status', { status: 401, body: { error: 'invalid_client', error_description: 'unknown client' } });
	assert.notEqual((await stage.decide(browser, 'fred'))?.get('status'), 'success');
	await stage.connect('fred', one);
	assert.equal(one.apps.size - before, 1);
});

// ---- publishing ----

const never = { text: 'said once, and said again' };
test('at the older server words said before are said again and lost on their way: it will be known at the end', async () => {
	never.first = await stage.once(await stage.post('otto', never.text), old, never.text);
	const before = posts(old);
	old.fault(POST, 'lost_before');
	never.made = await stage.post('otto', never.text, { duplicatePolicy: 'allow' });
	await until('it was lost', () => posts(old) > before);
	never.at = Date.now();
	assert.equal((await stage.ended(never.made)).status, 'unconfirmed');
	assert.equal(old.ledger(never.text).length, 1);
});

// A repetition waits until the first request can have no effect any more, so these, too, are known at the end.
const known = [
	{ user: 'eve', text: 'known lost_after', mode: 'lost_after', sent: 2 },
	{ user: 'lily', text: 'known lost_before', mode: 'lost_before', sent: 2 },
	{ user: 'vera', text: 'known late', mode: 'late', ms: 20_000, sent: 2 },
	{ user: 'fred', text: 'looked for', mode: 'lost_after', sent: 4 },
];
test('where keys are known, some are lost on their way: it will be known at the end', async () => {
	await stage.connect('vera', one);
	for (const k of known) {
		one.fault(POST, k.mode, { count: k.mode === 'late' ? 1 : k.sent === 4 ? 4 : 1, words: k.text, ms: k.ms });
		k.made = await stage.post(k.user, k.text);
	}
	await until('all were lost', () => known.every((k) => posts(one, k.text) > 0));
});

test('publishes once; the delivery names the status and its page', async () => {
	const text = 'Hello from the API, see https://example.com/a_long_address_that_is_cut_in_three @ada #tag';
	const delivery = await stage.once(await stage.post('ada', text), one, text);
	assert.equal(delivery.remotePostUrl, `https://one.example/@ada/${delivery.remotePostId}`);
	const other = await stage.once(await stage.post('otto', 'Hello **there**'), old, 'Hello **there**');
	assert.match(other.remotePostUrl, /^https:\/\/old\.example\/@otto\//);
});

test('options reach the status', async () => {
	const options = { mastodon: { visibility: 'unlisted', spoiler_text: 'Careful', sensitive: true, language: 'de', quote_policy: 'nobody' } };
	await stage.once(await stage.post('ada', 'with options', { options }), one, 'with options');
	const [{ visibility, spoiler_text, sensitive, language, quote_approval_policy }] = one.ledger('with options');
	assert.deepEqual([visibility, spoiler_text, sensitive, language, quote_approval_policy], ['unlisted', 'Careful', true, 'de', 'nobody']);
});

test('a poll', async () => {
	const options = { mastodon: { poll_options: ['Yes', 'No, thanks'], poll_expires_in: 600, poll_hide_totals: true } };
	await stage.once(await stage.post('ada', 'Tea?', { options }), one, 'Tea?');
	assert.deepEqual(one.ledger('Tea?')[0].poll, { options: ['Yes', 'No, thanks'], expires_in: 600, hide_totals: true });
});

test('the same idempotency key ten times at once is one status', async () => {
	const body = { externalUserId: 'ada', platforms: ['mastodon'], text: 'ten calls' };
	const made = await Promise.all(Array.from({ length: 10 }, () => stage.call('POST', '/v1/posts', body, { 'idempotency-key': 'ten' })));
	assert.equal(new Set(made.map((m) => m.id)).size, 1);
	await stage.once(made[0], one, 'ten calls');
});

// ---- lost answers ----

test('keys are ignored: an answer that is lost is not sent again, but looked for, one status', async () => {
	const before = posts(old);
	old.fault(POST, 'lost_after');
	const made = await stage.post('otto', 'not sent again');
	assert.equal((await stage.ended(made)).status, 'unconfirmed');
	await stage.post('otto', 'not sent');		// another one in between
	await stage.once(made, old, 'not sent again', { sure: true });
	assert.equal(posts(old) - before, 2);
});

test('keys are ignored, and the rendered text leaves doubt that no source clears: a person decides, nothing is sent again', async () => {
	const before = posts(old);
	old.fault(POST, 'lost_after');
	const made = await stage.post('otto', 'Hello **again**');
	assert.equal((await stage.ended(made)).status, 'unconfirmed');
	for (let i = 0; i < 5; i++) {
		const [{ id }] = (await stage.call('GET', `/v1/posts/${made.id}`)).deliveries;
		await stage.call('POST', `/v1/deliveries/${id}/reconcile`, {});
		await until('it was looked for', () => old.requests('GET', '/api/v1/statuses/').length > i);
	}
	assert.equal((await stage.ended(made)).status, 'unconfirmed');
	assert.equal(old.ledger('Hello **again**').length, 1);
	assert.equal(posts(old) - before, 1);
	old.source = true;
	await stage.once(made, old, 'Hello **again**', { sure: true });
	old.source = false;
});

// ---- refusals ----

test('a refusal is told in the words of the instance', async () => {
	one.fault(POST, 'status', { status: 422, body: { error: 'Validation failed: Poll is invalid' } });
	const delivery = await stage.ended(await stage.post('ada', 'refused'));
	assert.deepEqual([delivery.status, delivery.error.code], ['failed', 'platform_rejected']);
	assert.match(delivery.error.message, /Poll is invalid/);
	assert.equal(one.ledger('refused').length, 0);
});

test('a limit is waited for, as its reset tells', async () => {
	const reset = new Date(Date.now() + 2500).toISOString().replace('Z', '000Z');
	one.fault(POST, 'status', { status: 429, headers: { 'x-ratelimit-reset': reset }, body: { error: 'Too many requests' } });
	const before = posts(one);
	await stage.once(await stage.post('ada', 'limited'), one, 'limited');
	assert.equal(posts(one) - before, 2);
});

test('a published status is removed again', async () => {
	const delivery = await stage.once(await stage.post('ada', 'goes away'), one, 'goes away');
	await stage.call('POST', `/v1/deliveries/${delivery.id}/unpublish`, {});
	await until('it is gone', () => one.ledger('goes away').length === 0);
});

test('a published status is edited, though an answer is lost, with its media and with others, and removed', async () => {
	const media = [(await stage.file(png(20, 20, 21), 'image/png', 'one.png')).id];
	const { id } = await stage.once(await stage.post('ada', 'to be edited', { media: [{ mediaId: media[0] }] }), one, 'to be edited');
	const [status] = one.ledger('to be edited'), [picture] = status.media;
	const edit = async (body, ending = 'done') => {
		const operation = await stage.call('PATCH', `/v1/deliveries/${id}?wait=30`, body);
		assert.deepEqual([operation.kind, operation.status], ['edit', ending], JSON.stringify(operation.error));
		return operation;
	};
	const puts = () => one.requests('PUT', `/api/v1/statuses/${status.id}`).length;
	one.fault('PUT /api/v1/statuses/*', 'lost_after');
	await edit({ text: 'edited once', options: { spoiler_text: 'careful' } });
	assert.ok(puts() >= 2, `${puts()} requests`);
	assert.deepEqual([status.text, status.spoiler_text, status.media], ['edited once', 'careful', [picture]]);
	await edit({ media: [{ mediaId: (await stage.file(png(21, 21, 22), 'image/png', 'two.png')).id }] });
	assert.deepEqual([status.text, status.spoiler_text, status.media.length], ['edited once', 'careful', 1]);
	assert.notEqual(status.media[0], picture);
	assert.equal((await edit({ options: { visibility: 'direct' } }, 'failed')).error.code, 'platform_rejected');
	assert.deepEqual([one.ledger().filter((s) => s.id === status.id).length, status.visibility], [1, 'public']);
	await stage.call('POST', `/v1/deliveries/${id}/unpublish?wait=30`, {});
	assert.equal(status.deleted, true);
});

// ---- known at the end ----

for (const k of known)
	test(`keys are known: ${k.text}, sent ${k.sent} times, ${k.sent === 4 ? 'then found by looking, ' : ''}one status`, async () => {
		await stage.once(k.made, one, k.text, { sure: true, ms: 300_000 });
		assert.equal(posts(one, k.text), k.sent);
		assert.equal(new Set(one.ledger(k.text).map((s) => s.key)).size, 1);
	});

// ---- kills ----

test('killed between the intent and the answer, keys are ignored: looked for, one status', async () => {
	const before = posts(old);
	old.fault(POST, 'held');
	const made = await stage.post('otto', 'killed there');
	await until('the server has it', () => old.ledger('killed there').length === 1);
	await server.restart('SIGKILL');
	await stage.once(made, old, 'killed there', { sure: true });
	assert.equal(posts(old) - before, 1);
});

test('four are killed between the intent and the answer, keys are known: one status each', async () => {
	const made = [];
	for (const [i, user] of ['ada', 'eve', 'lily', 'fred'].entries()) {
		one.fault(POST, 'held', { words: `killed ${i}` });
		made.push(await stage.post(user, `killed ${i}`));
	}
	await until('the instance has them', () => made.every((_, i) => one.ledger(`killed ${i}`).length === 1));
	await server.restart('SIGKILL');
	for (const [i, m] of made.entries()) {
		await stage.once(m, one, `killed ${i}`, { ms: 120_000 });
		assert.equal(posts(one, `killed ${i}`), 2);
	}
});

// ---- the end ----

test('what was lost on its way is proven absent after the settle time, and said a second time, once', async () => {
	const delivery = await stage.ended(never.made, { sure: true, ms: 240_000 });
	assert.equal(delivery.status, 'published');
	assert.ok(Date.now() - never.at > 90_000, 'it was sent again before the settle time');
	assert.deepEqual(old.ledger(never.text).map((s) => s.id), [never.first.remotePostId, delivery.remotePostId]);
});

test('nothing secret lies readable in any file', () => {
	const files = readdirSync(server.folder, { recursive: true }).map((name) => path.join(server.folder, name));
	const contents = files.filter((name) => statSync(name).isFile()).map((file) => [file, readFileSync(file)]);
	assert.ok(contents.some(([, bytes]) => bytes.includes(ada.remoteAccountId)), 'the store was not among the files');
	contents.push(['the log', Buffer.from(server.log())]);
	const secrets = [one, old].flatMap((m) => [...m.tokens.keys(), ...m.codes.keys(), ...[...m.apps.values()].map((a) => a.client_secret)]);
	for (const [file, bytes] of contents) for (const secret of secrets) assert.ok(!bytes.includes(secret), `a secret lies in ${file}`);
});

test('a connection that is ended is revoked at its instance; the others live on', async () => {
	const tokens = (m) => [...m.tokens.values()].filter((t) => t.account?.username === 'ada' && !t.revoked).length;
	assert.ok(tokens(one) > 0);
	await stage.call('DELETE', `/v1/connections/${ada.id}`);
	await until('its tokens are revoked', () => tokens(one) === 0);
	assert.ok([...old.tokens.values()].some((t) => t.account && !t.revoked));
});

test('a person who revokes us at the instance is asked to connect again', async () => {
	old.revoke();
	const delivery = await stage.ended(await stage.post('otto', 'too late'));
	assert.deepEqual([delivery.status, delivery.statusReason ?? delivery.reason], ['blocked', 'reauth']);
	assert.equal(old.ledger('too late').length, 0);
});

test('nothing was asked that the API does not describe', () => {
	assert.deepEqual([...one.violations, ...old.violations], []);
});

await done(300_000);
