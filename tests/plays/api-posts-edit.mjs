// What is published is edited on its platform: text, options and media laid over what stands there, by each way in which
// a lost answer is met.  The oracle is the sandbox's ledger, which keeps what a post was at first and each of its edits.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connected } from '../lib/connected.mjs';
import { png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const org = await connected(server, sandbox, ['alice', ['hana', 'handle'], ['sam', 'search'], ['nora', 'none']]);
const { test: client } = org;

async function published(account, text, more = {}) {
	const answer = await client.post('/v1/posts?wait=30', { targets: [{ connectionId: org.connections[account].id }], text, ...more });
	assert.equal(answer.json.status, 'published', answer.text);
	return answer.json.deliveries[0];
}

const edit = (id, body, query = '?wait=30', headers = {}) => client.patch(`/v1/deliveries/${id}${query}`, body, headers);
const read = async (id) => (await client.get(`/v1/deliveries/${id}`)).json;

async function edited(id, body) {
	const answer = await edit(id, body);
	assert.deepEqual([answer.status, answer.json.kind, answer.json.status, answer.json.deliveryId], [202, 'edit', 'done', id], answer.text);
	return answer.json;
}

async function refused(id, body, status, code, param = null) {
	const answer = await edit(id, body, '');
	assert.deepEqual([answer.status, answer.json.error.code, answer.json.error.param], [status, code, param], answer.text);
	return answer.json.error;
}

async function row(text) {
	const rows = await sandbox.ledger(text);
	assert.equal(rows.length, 1, `${rows.length} posts began as ${text}`);
	return rows[0];
}

const digests = (ids) => Promise.all(ids.map(async (id) => (await sandbox.control('get', `media/${id}`)).sha256));
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function upload(bytes) {
	const answer = await client.post('/v1/media', bytes, { 'content-type': 'image/png', 'x-filename': 'file' });
	assert.equal(answer.status, 201, answer.text);
	return answer.json.id;
}

test('platforms and connections say that posts can be edited', async () => {
	assert.equal((await client.get('/v1/platforms/sandbox')).json.capabilities.edit, true);
	assert.equal((await client.get('/v1/platforms/bluesky')).json.capabilities.edit, false);
	assert.equal((await client.get(`/v1/connections/${org.connections.alice.id}`)).json.capabilities.edit, true);
});

test('the text becomes another, by each kind of account, with an event', async () => {
	for (const account of ['alice', 'hana', 'sam', 'nora']) {
		const delivery = await published(account, `first words of ${account}`);
		const operation = await edited(delivery.id, { text: `better words of ${account}` });
		assert.equal(operation.error, null);
		const { text, edits } = await row(`first words of ${account}`);
		assert.deepEqual([text, edits.map((one) => one.text)], [`first words of ${account}`, [`better words of ${account}`]]);
		const events = (await client.get('/v1/events?types=delivery.edited&limit=200')).json.data;
		assert.equal(events.filter((one) => one.data.object.id === delivery.id).length, 1);
		assert.equal((await read(delivery.id)).status, 'published');
	}
});

test('media stay unless they are named; new ones take their place, none takes them away', async () => {
	const one = png(8, 8, 1), two = png(9, 9, 2);
	const first = await upload(one), second = await upload(two);
	const delivery = await published('alice', 'with a picture', { media: [{ mediaId: first }] });
	await edited(delivery.id, { text: 'with the same picture' });
	let { edits } = await row('with a picture');
	assert.deepEqual(await digests(edits[0].media_ids), [sha(one)]);
	await edited(delivery.id, { media: [{ mediaId: second, altText: 'another' }] });
	({ edits } = await row('with a picture'));
	assert.deepEqual([edits[1].text, await digests(edits[1].media_ids)], ['with the same picture', [sha(two)]]);
	await edited(delivery.id, { media: [] });
	({ edits } = await row('with a picture'));
	assert.deepEqual([edits.length, edits[2].media_ids], [3, []]);
});

test('an item that an edit brings along cannot go while it is on its way', async () => {
	const item = await upload(png(12, 12, 3)), delivery = await published('hana', 'bare words');
	const { id } = (await edit(delivery.id, { text: 'with a picture now [[slow:1500ms]]', media: [{ mediaId: item }] }, '')).json;
	const early = await client.delete(`/v1/media/${item}`);
	assert.deepEqual([early.status, early.json.error?.code], [409, 'media_in_use'], early.text);
	await until('it is done', async () => (await client.get(`/v1/operations/${id}?wait=10`)).json.status === 'done');
	assert.ok((await client.delete(`/v1/media/${item}`)).status < 300);
	assert.equal((await read(delivery.id)).text, 'with a picture now [[slow:1500ms]]');
});

test('an account that is paused is not edited', async () => {
	const delivery = await published('sam', 'before the pause'), path = `/v1/connections/${org.connections.sam.id}`;
	assert.equal((await client.patch(path, { paused: true })).status, 200);
	await refused(delivery.id, { text: 'during the pause' }, 409, 'conflict');
	assert.equal((await client.patch(path, { paused: false })).status, 200);
	await edited(delivery.id, { text: 'after the pause' });
});

test('what a new post may not be, an edited one may not become', async () => {
	const delivery = await published('alice', 'within the limits');
	await refused(delivery.id, {}, 422, 'field_required', 'text');
	await refused(delivery.id, { text: 'x'.repeat(1001) }, 422, 'text_too_long', 'text');
	await refused(delivery.id, { text: null }, 422, 'text_required', 'text');
	await refused(delivery.id, { options: { colour: 'red' } }, 422, 'option_not_supported', 'options.colour');
	await refused(delivery.id, { media: [{ mediaId: 'med_gone' }] }, 404, 'media_not_found', 'media[0].mediaId');
	await refused(delivery.id, { scheduledAt: '2030-01-01T00:00:00Z' }, 422, 'unknown_field', 'scheduledAt');
	await refused('dlv_gone', { text: 'x' }, 404, 'delivery_not_found');
	assert.deepEqual((await row('within the limits')).edits, []);
});

test('only what is published can be edited', async () => {
	const answer = await client.post('/v1/posts', { targets: [{ connectionId: org.connections.alice.id }], text: 'later',
		scheduledAt: new Date(Date.now() + 3600_000).toISOString() });
	await refused(answer.json.deliveries[0].id, { text: 'sooner' }, 409, 'post_not_editable');
	const delivery = await published('alice', 'soon removed');
	const removed = await client.post(`/v1/deliveries/${delivery.id}/unpublish?wait=30`, {});
	assert.deepEqual([removed.status, removed.json.status], [202, 'done'], removed.text);
	await refused(delivery.id, { text: 'too late' }, 409, 'post_not_editable');
});

test('a version that has passed is refused; without If-Match the newest is edited', async () => {
	const delivery = await published('alice', 'of a version');
	const tag = (await client.get(`/v1/deliveries/${delivery.id}`)).headers.etag;
	assert.match(tag, /^"v\d+"$/);
	assert.equal((await edit(delivery.id, { text: 'of the next' }, '?wait=30', { 'if-match': tag })).json.status, 'done');
	const stale = await edit(delivery.id, { text: 'of the one before' }, '', { 'if-match': tag });
	assert.deepEqual([stale.status, stale.json.error.code], [412, 'precondition_failed']);
	await edited(delivery.id, { text: 'of whatever there is' });
});

test('an equal request while one runs names it; another waits for its turn', async () => {
	const delivery = await published('hana', 'edited at once'), body = { text: 'at once [[slow:1500ms]]' };
	const [one, two] = [(await edit(delivery.id, body, '')).json, (await edit(delivery.id, body, '')).json];
	assert.equal(one.id, two.id);
	const other = await refused(delivery.id, { text: 'by another' }, 409, 'conflict');
	assert.match(other.message, new RegExp(one.id));
	await until('it is done', async () => (await client.get(`/v1/operations/${one.id}?wait=10`)).json.status === 'done');
	await edited(delivery.id, { text: 'by another' });
});

test('a key that was used gives the answer it gave', async () => {
	const delivery = await published('alice', 'with a key'), key = { 'idempotency-key': 'edit-1' };
	const one = await edit(delivery.id, { text: 'with a key, edited' }, '', key);
	await until('it is done', async () => (await client.get(`/v1/operations/${one.json.id}?wait=10`)).json.status === 'done');
	const two = await edit(delivery.id, { text: 'with a key, edited' }, '', key);
	assert.deepEqual([two.status, two.json.id, two.headers['idempotent-replayed']], [202, one.json.id, 'true']);
	assert.equal((await row('with a key')).edits.length, 1);
});

test('an edit of which nobody knows whether it took place says so, and a second one settles it', async () => {
	const delivery = await published('nora', 'in doubt');
	const answer = await edit(delivery.id, { text: 'in doubt, new [[reset:after]]' });
	assert.deepEqual([answer.json.status, answer.json.error?.code], ['failed', 'edit_outcome_unknown'], answer.text);
	assert.equal((await read(delivery.id)).warnings[0].code, 'edit_outcome_unknown');
	const [event] = (await client.get('/v1/events?types=delivery.edit_failed&limit=200')).json.data.slice(-1);
	assert.deepEqual([event.data.object.id, event.data.object.error.code], [delivery.id, 'edit_outcome_unknown']);
	await edited(delivery.id, { text: 'beyond doubt' });
	assert.deepEqual((await read(delivery.id)).warnings, []);
});

test('a refusal of the platform is told, and what is published stays', async () => {
	const delivery = await published('sam', 'well behaved');
	const answer = await edit(delivery.id, { text: 'not so well [[reject:policy]]' });
	assert.deepEqual([answer.json.status, answer.json.error?.code], ['failed', 'platform_rejected'], answer.text);
	assert.deepEqual((await row('well behaved')).edits, []);
});

test('killed while an edit was on its way: it is made, and known', async () => {
	for (const account of ['alice', 'hana', 'sam']) {
		const delivery = await published(account, `killed below ${account}`);
		const { id } = (await edit(delivery.id, { text: `survives below ${account} [[timeout:once]]` }, '')).json;
		await until('the platform has it', async () => (await row(`killed below ${account}`)).edits.length > 0);
		await server.restart('SIGKILL');
		await until('it is done', async () => (await client.get(`/v1/operations/${id}?wait=10`)).json.status === 'done');
	}
});

test('of another organization: it is not there', async () => {
	const delivery = await published('alice', 'of one organization'), other = await server.organization();
	const answer = await other.test.patch(`/v1/deliveries/${delivery.id}`, { text: 'of another' });
	assert.deepEqual([answer.status, answer.json.error.code], [404, 'delivery_not_found']);
});

await done();
