// Posts from the call to the platform: now, later, drafts, waiting, failing, unknown outcomes, removing; the sandbox's
// ledger tells what was really published.
import assert from 'node:assert/strict';
import { connected } from '../lib/connected.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const org = await connected(server, sandbox, ['alice', ['hana', 'handle'], ['nora', 'none']]);
const { test: client } = org;
const to = (...names) => names.map((name) => ({ connectionId: org.connections[name].id }));

async function post(body, query = '') {
	const answer = await client.post(`/v1/posts${query}`, body);
	assert.ok([201, 202].includes(answer.status), answer.text);
	return answer.json;
}
const read = async (id, query = '') => (await client.get(`/v1/posts/${id}${query}`)).json;
const ended = (id, status) => until(`post ${id} is ${status}`, async () => {
	const now = await read(id, '?wait=5');
	return now.status === status && now;
});

test('now: the answer waits, the ledger has it once, the delivery has its proof', async () => {
	const one = await post({ targets: to('alice'), text: 'published now' }, '?wait=30');
	assert.equal(one.status, 'published', JSON.stringify(one));
	const [delivery] = one.deliveries;
	assert.equal(delivery.status, 'published');
	assert.equal(delivery.proof.kind, 'answer');
	assert.ok(delivery.remotePostId && delivery.remotePostUrl);
	assert.equal(delivery.platform, 'sandbox');
	assert.equal(delivery.livemode, false);
	assert.equal(delivery.error, null);
	const [row] = await sandbox.ledger('published now');
	assert.equal(row.post_id, delivery.remotePostId);
	assert.equal(await sandbox.count('published now'), 1);
});

test('several accounts, a text of its own for one', async () => {
	const one = await post({ text: 'to both', targets: [...to('alice'), { ...to('hana')[0], text: 'for hana alone' }] }, '?wait=30');
	assert.equal(one.status, 'published', JSON.stringify(one));
	assert.equal(await sandbox.count('to both'), 1);
	assert.equal(await sandbox.count('for hana alone'), 1);
});

test('later: nothing before its time, once at its time', async () => {
	const at = new Date(Date.now() + 2500).toISOString();
	const one = await post({ targets: to('alice'), text: 'in a moment', scheduledAt: at });
	assert.equal(one.status, 'scheduled');
	assert.equal(one.deliveries[0].status, 'pending');
	const published = await ended(one.id, 'published');
	assert.ok(Date.parse(published.deliveries[0].publishedAt) >= Date.parse(at));
	const [row, ...more] = await sandbox.ledger('in a moment');
	assert.ok(row.at >= Date.parse(at), `${row.at} is before ${at}`);
	assert.equal(more.length, 0);
});

test('a canceled schedule is never sent; an edited one has the new text only', async () => {
	const at = new Date(Date.now() + 3000).toISOString();
	const gone = await post({ targets: to('alice'), text: 'never seen', scheduledAt: at });
	const changed = await post({ targets: to('alice'), text: 'the old words', scheduledAt: at });
	const edit = await client.patch(`/v1/posts/${changed.id}`, { text: 'the new words' }, { 'if-match': '"v1"' });
	assert.equal(edit.status, 200, edit.text);
	assert.equal((await client.post(`/v1/posts/${gone.id}/cancel`)).json.status, 'canceled');
	await ended(changed.id, 'published');
	assert.equal(await sandbox.count('the new words'), 1);
	assert.equal(await sandbox.count('the old words'), 0);
	assert.equal(await sandbox.count('never seen'), 0);
	assert.equal((await client.patch(`/v1/posts/${changed.id}`, { text: 'too late' })).json.error.code, 'post_not_editable');
	assert.equal((await client.post(`/v1/posts/${changed.id}/cancel`)).json.error.code, 'post_not_cancelable');
});

test('a draft waits until it is published', async () => {
	const draft = await post({ targets: to('alice'), text: 'a draft', mode: 'draft' });
	assert.equal((await read(draft.id, '?wait=1')).status, 'draft');
	const sent = await client.post(`/v1/posts/${draft.id}/publish`);
	assert.equal(sent.status, 202, sent.text);
	await ended(draft.id, 'published');
	assert.equal(await sandbox.count('a draft'), 1);
});

test('a refusal is a failure with its reason; a retry is a new round', async () => {
	const one = await post({ targets: to('alice'), text: 'no [[reject:policy]]' }, '?wait=30');
	assert.equal(one.status, 'failed');
	const [{ error, id }] = one.deliveries;
	assert.equal(error.code, 'platform_rejected');
	assert.equal(error.faultSource, 'platform');
	assert.equal(error.platformError.httpStatus, 422);
	assert.equal(error.platformError.code, 'policy');
	const attempts = (await client.get(`/v1/deliveries/${id}/attempts`)).json.data;
	assert.equal(attempts.length, 1);
	assert.equal(attempts[0].httpStatus, 422);
	assert.doesNotMatch(JSON.stringify(attempts), /Bearer/);
	const again = await client.post(`/v1/posts/${one.id}/retry`);
	assert.equal(again.status, 202, again.text);
	assert.equal((await ended(one.id, 'failed')).deliveries[0].status, 'failed');
	assert.equal((await client.get(`/v1/deliveries/${id}/attempts`)).json.data.length, 2);
	assert.equal(await sandbox.count('no [[reject'), 0);
});

test('an unknown outcome needs a person, and is never retried', async () => {
	const one = await post({ targets: to('nora'), text: 'lost [[reset:after]]' }, '?wait=30');
	assert.equal(one.status, 'needs_attention', JSON.stringify(one));
	const [{ id, status }] = one.deliveries;
	assert.equal(status, 'unconfirmed');
	assert.equal((await client.post(`/v1/posts/${one.id}/retry`)).json.error.code, 'nothing_to_retry');
	assert.equal((await client.post(`/v1/posts/${one.id}/cancel`)).json.error.code, 'post_not_cancelable');
	const [row] = await sandbox.ledger('lost [[reset');
	const resolved = await client.post(`/v1/deliveries/${id}/resolve`, { outcome: 'published', remotePostId: row.post_id });
	assert.equal(resolved.status, 200, resolved.text);
	assert.equal(resolved.json.proof.kind, 'person');
	assert.equal((await read(one.id)).status, 'published');
	assert.equal(await sandbox.count('lost [[reset'), 1);
});

test('what a person found absent may be sent again', async () => {
	const one = await post({ targets: to('nora'), text: 'absent [[reset:before]]' }, '?wait=30');
	assert.equal(one.deliveries[0].status, 'unconfirmed', JSON.stringify(one));
	const resolved = await client.post(`/v1/deliveries/${one.deliveries[0].id}/resolve`, { outcome: 'not_published' });
	assert.equal(resolved.json.status, 'failed');
	assert.equal(resolved.json.statusReason, 'resolved_absent');
	assert.equal((await client.post(`/v1/posts/${one.id}/retry`)).status, 202);
	assert.equal((await ended(one.id, 'needs_attention')).deliveries[0].status, 'unconfirmed');
	assert.equal(await sandbox.count('absent [[reset'), 0);
});

test('removing: an operation, the platform has it no more, and it is told once', async () => {
	const one = await post({ targets: to('alice'), text: 'to be removed' }, '?wait=30');
	const [{ id, remotePostId }] = one.deliveries;
	const started = await client.post(`/v1/deliveries/${id}/unpublish`);
	assert.equal(started.status, 202, started.text);
	const operation = (await client.get(`/v1/operations/${started.json.id}?wait=30`)).json;
	assert.equal(operation.status, 'done', JSON.stringify(operation));
	assert.equal((await client.get(`/v1/deliveries/${id}`)).json.statusReason, 'unpublished');
	assert.equal((await client.post(`/v1/deliveries/${id}/unpublish`)).status, 409);
	const token = (await sandbox.sign_in('alice')).access_token;
	assert.equal((await sandbox.client('GET', `/v1/posts/${remotePostId}`, undefined, { authorization: `Bearer ${token}` })).status, 404);
	const told = (await client.get('/v1/events?limit=200&types=delivery.unpublished')).json.data;
	assert.equal(told.length, 1);
	assert.equal(told[0].data.object.id, id);
});

test('the feed tells each post in order, and waits for the next', async () => {
	const { nextAfter } = (await client.get('/v1/events?limit=200&after=0&types=webhook.test')).json;
	const waiting = client.get(`/v1/events?after=${nextAfter}&wait=20&types=post.*`);
	const one = await post({ targets: to('alice'), text: 'for the feed' });
	const first = (await waiting).json;
	assert.equal(first.data[0].type, 'post.created');
	assert.equal(first.data[0].data.object.id, one.id);
	await ended(one.id, 'published');
	const all = (await client.get(`/v1/events?after=${nextAfter}`)).json.data.map((e) => e.type);
	assert.deepEqual(all, ['post.created', 'delivery.published', 'post.published']);
});

test('fifty equal calls at once under one key are one post at the far side', async () => {
	const body = { targets: to('alice'), text: 'fifty at once' };
	const answers = await Promise.all(Array.from({ length: 50 }, () => client.post('/v1/posts', body, { 'idempotency-key': 'fifty' })));
	assert.equal(new Set(answers.map((a) => a.json.id)).size, 1, answers[0].text);
	await ended(answers[0].json.id, 'published');
	assert.equal(await sandbox.count('fifty at once'), 1);
});

await done();
