// What the API of posts refuses against real platforms' descriptors, and that nobody reaches another's posts.
import assert from 'node:assert/strict';
import { connect, connected } from '../lib/connected.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const org = await connected(server, sandbox, ['alice']);
const other = await connected(server, sandbox, ['olga']);
const { test: client } = org;
const targets = [{ connectionId: org.connections.alice.id }];

const refused = async (body, status, code, param, path = '/v1/posts') => {
	const { status: got, json } = await client.post(path, body);
	assert.equal(got, status, JSON.stringify(json));
	assert.equal(json.error.code, code);
	assert.equal(json.error.param, param);
	return json.error;
};

test('platforms, their limits and the schema of their options', async () => {
	const { data } = (await client.get('/v1/platforms')).json;
	const ids = data.map((p) => p.id);
	assert.ok(ids.includes('bluesky') && ids.includes('sandbox'), ids.join());
	assert.ok(!(await org.live.get('/v1/platforms')).json.data.some((p) => p.id === 'sandbox'));
	const bluesky = (await client.get('/v1/platforms/bluesky')).json;
	const { max, count, maxBytes, required } = bluesky.text;
	assert.deepEqual({ max, count, maxBytes, required }, { max: 300, count: 'graphemes', maxBytes: 3000, required: true });
	assert.equal(bluesky.status, 'operational');
	const schema = (await client.get('/v1/platforms/bluesky/schema')).json;
	assert.equal(schema.properties.langs.type, 'array');
	assert.equal((await client.get('/v1/platforms/blusky')).status, 404);
});

test('the text is judged by the platform, with a rule that stays', async () => {
	const error = await refused({ targets, text: 'x'.repeat(1001) }, 422, 'text_too_long', 'targets[0].text');
	assert.equal(error.rule, 'sandbox.text.max_graphemes');
	assert.equal(error.platform, 'sandbox');
	assert.match(error.message, /1001 graphemes; Sandbox allows 1000/);
	await refused({ targets, text: '' }, 422, 'text_required', 'targets[0].text');
	const family = '\u{1F468}‍\u{1F469}‍\u{1F467}';
	const bytes = await refused({ targets, text: family.repeat(600) }, 422, 'text_too_long', 'targets[0].text');
	assert.equal(bytes.rule, 'sandbox.text.max_bytes');
});

test('names that do not exist are told with the nearest that does', async () => {
	assert.match((await refused({ targets, txt: 'x' }, 422, 'unknown_field', 'txt')).message, /did you mean text/);
	const wrong = { externalUserId: org.user, platforms: ['sandboxx'], text: 'x' };
	assert.match((await refused(wrong, 422, 'platform_unknown', 'platforms[0]')).message, /did you mean sandbox/);
	await refused({ targets, text: 'x', media: [{ mediaId: 'med_1' }] }, 404, 'media_not_found', 'media[0].mediaId');
});

test('times', async () => {
	const at = new Date(Date.now() + 400 * 86400e3).toISOString();
	await refused({ targets, text: 'x', scheduledAt: '2026-12-24T18:00:00' }, 422, 'time_offset_missing', 'scheduledAt');
	await refused({ targets, text: 'x', scheduledAt: '2020-01-01T00:00:00Z' }, 422, 'time_in_past', 'scheduledAt');
	await refused({ targets, text: 'x', scheduledAt: at }, 422, 'schedule_too_far', 'scheduledAt');
	await refused({ targets, text: 'x' }, 422, 'field_required', 'targets[0].scheduledAt', '/v1/posts/schedule');
});

test('two accounts on one platform are ambiguous, a paused one is a warning, one let go is refused', async () => {
	const shorthand = { externalUserId: org.user, platforms: ['sandbox'], text: 'by shorthand' };
	assert.equal((await client.post('/v1/posts/validate', shorthand)).json.valid, true);
	const second = await connect(server, sandbox, client, org.user, 'zoe');
	await refused(shorthand, 409, 'connection_ambiguous', 'platforms[0]');
	await client.patch(`/v1/connections/${second.id}`, { paused: true });
	const paused = (await client.post('/v1/posts/validate', { targets: [{ connectionId: second.id }], text: 'x' })).json;
	assert.equal(paused.warnings[0].code, 'connection_paused');
	await client.delete(`/v1/connections/${second.id}`);
	await refused({ targets: [{ connectionId: second.id }], text: 'x' }, 409, 'connection_reauth_required', 'targets[0]');
});

test('nobody else reads, changes or posts to what is ours', async () => {
	const { id, deliveries: [{ id: delivery }] } = (await client.post('/v1/posts', { targets, text: 'mine', mode: 'draft' })).json;
	for (const foe of [other.test, other.live, org.live]) {
		for (const [method, path, body] of [
			['GET', `/v1/posts/${id}`], ['PATCH', `/v1/posts/${id}`, { text: 'x' }], ['POST', `/v1/posts/${id}/publish`],
			['POST', `/v1/posts/${id}/cancel`], ['GET', `/v1/deliveries/${delivery}`], ['GET', `/v1/deliveries/${delivery}/attempts`],
		]) {
			const theirs = await foe(method, path, body);
			const nobodys = await foe(method, path.replace(id, 'post_none').replace(delivery, 'dlv_none'), body);
			assert.equal(theirs.status, 404, `${method} ${path}: ${theirs.text}`);
			const plain = (answer) => answer.text.replace(/req_\w+/g, '');
			assert.equal(plain(theirs), plain(nobodys));
		}
		assert.equal((await foe.post('/v1/posts', { targets, text: 'x' })).json.error.code, 'connection_not_found');
		assert.deepEqual((await foe.get('/v1/posts')).json.data, []);
	}
	assert.equal((await client.get(`/v1/posts/${id}`)).json.status, 'draft');
});

await done();
