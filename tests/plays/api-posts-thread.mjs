// Threads and first comments from the call to the platform: each part answers to the one before it, a thread that is
// cut off tells the truth about each part, and what people do with it.  The sandbox's ledger has the parents.
import assert from 'node:assert/strict';
import { connected } from '../lib/connected.mjs';
import { png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const org = await connected(server, sandbox, ['alice', ['hana', 'handle'], ['nora', 'none'], ['sam', 'search']]);
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
const states = (one) => one.deliveries.map((d) => d.status).join(' ');
const row = async (text) => {
	const rows = (await sandbox.ledger(text)).filter((one) => one.text === text);
	assert.equal(rows.length, 1, `"${text}" is there ${rows.length} times`);
	return rows[0];
};

test('a thread of three with a comment: each part answers to the one before', async () => {
	for (const name of ['alice', 'hana', 'sam']) {
		const thread = [{ text: `${name} 2` }, { text: `${name} 3` }];
		const one = await post({ targets: to(name), text: `${name} 1`, thread, firstComment: `${name} c` });
		assert.equal(states(one), 'queued pending pending pending');
		const all = await ended(one.id, 'published');
		const [root, two, three, comment] = all.deliveries;
		assert.deepEqual(all.deliveries.map((d) => d.kind), ['post', 'thread', 'thread', 'first_comment']);
		assert.deepEqual([two, three, comment].map((d) => d.parentDeliveryId), [root.id, two.id, root.id]);
		assert.equal((await row(`${name} 1`)).parent_id, null);
		assert.equal((await row(`${name} 2`)).parent_id, root.remotePostId);
		assert.equal((await row(`${name} 3`)).parent_id, two.remotePostId);
		assert.equal((await row(`${name} c`)).parent_id, root.remotePostId);
	}
});

test('an item of a thread has media of its own', async () => {
	const item = await client.post('/v1/media', png(20, 20), { 'content-type': 'image/png' });
	assert.equal(item.status, 201, item.text);
	const one = await post({ targets: to('alice'), text: 'media below', thread: [{ media: [{ mediaId: item.json.id }] }] });
	const all = await ended(one.id, 'published');
	const [, two] = all.deliveries;
	const posts = (await sandbox.ledger()).filter((r) => r.post_id === two.remotePostId);
	assert.equal(posts[0].media_ids.length, 1);
});

test('cut off in the middle: the truth about each part, and a retry goes on from there', async () => {
	const thread = [{ text: 'cut 2 [[fail:gone:once]]' }, { text: 'cut 3' }];
	const one = await post({ targets: to('alice'), text: 'cut 1', thread, firstComment: 'cut c' });
	const all = await ended(one.id, 'partially_published');
	assert.equal(states(all), 'published failed skipped published');
	assert.equal(all.deliveries[1].error.code, 'platform_rejected');
	assert.equal(all.deliveries[2].statusReason, 'parent');
	assert.equal(await sandbox.count('cut 3'), 0);
	const again = await client.post(`/v1/posts/${one.id}/retry`);
	assert.equal(again.status, 202, again.text);
	assert.equal(again.json.results.length, 4);
	assert.equal(again.json.results[2].status, 'pending');
	const whole = await ended(one.id, 'published');
	assert.equal((await row('cut 3')).parent_id, whole.deliveries[1].remotePostId);
	assert.equal(await sandbox.count('cut '), 4);
});

test('a post that fails sends nothing below it', async () => {
	const below = { thread: [{ text: 'still 2' }], firstComment: 'still c' };
	const one = await post({ targets: to('alice'), text: 'still [[reject:policy]]', ...below });
	const all = await ended(one.id, 'failed');
	assert.equal(states(all), 'failed skipped skipped');
	assert.equal(await sandbox.count('still '), 0);
});

test('what waits for an unknown parent goes on when a person found it', async () => {
	const one = await post({ targets: to('nora'), text: 'unknown 1 [[reset:after]]', thread: [{ text: 'unknown 2' }] }, '?wait=30');
	assert.equal(one.status, 'needs_attention', JSON.stringify(one));
	assert.equal(states(one), 'unconfirmed pending');
	const [parent] = await sandbox.ledger('unknown 1');
	const nameless = await client.post(`/v1/deliveries/${one.deliveries[0].id}/resolve`, { outcome: 'published' });
	assert.equal(nameless.status, 422, nameless.text);
	assert.equal(nameless.json.error.param, 'remotePostId');
	const verdict = { outcome: 'published', remotePostId: parent.post_id };
	const resolved = await client.post(`/v1/deliveries/${one.deliveries[0].id}/resolve`, verdict);
	assert.equal(resolved.status, 200, resolved.text);
	await ended(one.id, 'published');
	assert.equal((await row('unknown 2')).parent_id, parent.post_id);
});

test('and ends when a person says that it is not there', async () => {
	const one = await post({ targets: to('nora'), text: 'absent 1 [[reset:before]]', thread: [{ text: 'absent 2' }] }, '?wait=30');
	const resolved = await client.post(`/v1/deliveries/${one.deliveries[0].id}/resolve`, { outcome: 'not_published' });
	assert.equal(resolved.status, 200, resolved.text);
	assert.equal(states(await read(one.id)), 'failed skipped');
	assert.equal(await sandbox.count('absent '), 0);
});

test('a lost answer in the middle is found, and the next goes below it', async () => {
	const one = await post({ targets: to('sam'), text: 'lost 1', thread: [{ text: 'lost 2 [[reset:after]]' }, { text: 'lost 3' }] });
	const all = await ended(one.id, 'published');
	assert.equal((await row('lost 3')).parent_id, all.deliveries[1].remotePostId);
	assert.equal(await sandbox.count('lost '), 3);
});

test('a draft with a thread is edited, published, and has the new words only', async () => {
	const below = { thread: [{ text: 'draft 2' }, { text: 'draft 3' }], firstComment: 'draft c' };
	const draft = await post({ targets: to('alice'), text: 'draft 1', mode: 'draft', ...below });
	assert.equal(states(draft), 'pending pending pending pending');
	const edit = await client.patch(`/v1/posts/${draft.id}`, { thread: [{ text: 'draft two' }], firstComment: { text: 'draft said' } });
	assert.equal(edit.status, 200, edit.text);
	assert.equal(edit.json.deliveries.length, 3);
	assert.equal(edit.json.deliveries[1].id, draft.deliveries[1].id);
	await client.post(`/v1/posts/${draft.id}/publish`);
	await ended(draft.id, 'published');
	assert.deepEqual((await sandbox.ledger('draft ')).map((r) => r.text).sort(), ['draft 1', 'draft said', 'draft two']);
});

test('a canceled schedule cancels every part', async () => {
	const at = new Date(Date.now() + 60000).toISOString();
	const below = { thread: [{ text: 'canceled 2' }], firstComment: 'canceled c' };
	const one = await post({ targets: to('alice'), text: 'canceled 1', scheduledAt: at, ...below });
	assert.equal(one.status, 'scheduled');
	const answer = (await client.post(`/v1/posts/${one.id}/cancel`)).json;
	assert.equal(answer.status, 'canceled');
	assert.deepEqual(answer.results.map((r) => [r.done, r.status]), Array(3).fill([true, 'canceled']));
});

test('each part is judged by itself, at its own place', async () => {
	const long = 'x'.repeat(1001);
	const bad = [
		[{ thread: [{ text: 'fine' }, { text: long }] }, 'thread[1].text'], [{ firstComment: long }, 'firstComment'],
		[{ firstComment: { text: long } }, 'firstComment.text'],
	];
	for (const [more, param] of bad) {
		const answer = await client.post('/v1/posts', { targets: to('alice'), text: 'x', ...more });
		assert.equal(answer.status, 422, answer.text);
		assert.equal(answer.json.error.code, 'text_too_long');
		assert.equal(answer.json.error.param, param);
		assert.equal(answer.json.error.rule, 'sandbox.text.max_graphemes');
	}
	const own = await client.post('/v1/posts', { targets: [{ ...to('alice')[0], thread: [{ text: long }] }], text: 'x' });
	assert.equal(own.json.error.param, 'targets[0].thread[0].text');
});

test('a thread goes through a kill in its middle whole and once', async () => {
	const thread = Array.from({ length: 8 }, (_, i) => ({ text: `killed ${i + 2}` }));
	const one = await post({ targets: to('hana'), text: 'killed 1', thread });
	const out = async () => (await read(one.id)).deliveries.filter((d) => d.status === 'published').length;
	for (let i = 0; i < 4; i++) {
		const before = await out();
		await until('one more part is out', async () => await out() > before || before === 9);
		await server.kill();
		await server.start();
	}
	const all = await until('it has come to rest', async () => {
		const now = await read(one.id);
		return now.status === 'published' && now;
	}, 90_000);
	const rows = await sandbox.ledger('killed ');
	assert.equal(rows.length, 9);
	assert.equal(new Set(rows.map((r) => r.text)).size, 9);
	for (let i = 1; i < 9; i++) assert.equal((await row(`killed ${i + 1}`)).parent_id, all.deliveries[i - 1].remotePostId);
});

await done();
