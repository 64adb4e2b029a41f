// Posts with media: items by id and by address, what the platform receives, what is refused and where, what holds an
// item and for how long.  The oracle is the sandbox, which keeps the digest of every file it was sent.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { connected } from '../lib/connected.mjs';
import { mp4, png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

// ---- a web server with pictures

const files = new Map([['/cat.png', png(64, 48, 1)], ['/dog.png', png(32, 32, 2)], ['/words.png', Buffer.from('no picture at all')]]);
const hits = [], waiting = [];
const web = createServer((request, answer) => {
	const file = files.get(request.url.replace(/^\/together-/, '/'));
	const give = () => answer.writeHead(file ? 200 : 404, { 'content-type': 'image/png' }).end(file);
	hits.push(request.url);
	if (!request.url.startsWith('/together-')) give();
	else if (waiting.push(give) === 2) waiting.forEach((one) => one());	// each waits until the other has been asked for
});
await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
after(() => web.close());
const origin = `http://127.0.0.1:${web.address().port}`;
const asked = (path) => hits.filter((hit) => hit === path).length;

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: { egress: { allow: `127.0.0.1:${web.address().port}` } } });
after(() => server.stop());
const org = await connected(server, sandbox, ['alice', ['hana', 'handle']]);
const { test: client } = org;
const to = (...names) => names.map((name) => ({ connectionId: org.connections[name].id }));

async function upload(bytes, type) {
	const answer = await client.post('/v1/media', bytes, { 'content-type': type, 'x-filename': 'file' });
	assert.equal(answer.status, 201, answer.text);
	assert.equal(answer.json.status, 'ready');
	return answer.json;
}

async function post(body, query = '') {
	const answer = await client.post(`/v1/posts${query}`, body);
	assert.ok([201, 202].includes(answer.status), answer.text);
	return answer.json;
}

async function refused(body, status, code, param, path = '/v1/posts') {
	const answer = await client.post(path, body);
	assert.equal(answer.status, status, answer.text);
	assert.equal(answer.json.error.code, code);
	assert.equal(answer.json.error.param, param);
	return answer.json.error;
}

const read = async (id, query = '') => (await client.get(`/v1/posts/${id}${query}`)).json;
const ended = (id, status) => until(`post ${id} is ${status}`, async () => {
	const now = await read(id, '?wait=5');
	return now.status === status && now;
});
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

// The digests of what the platform received with a post.
async function received(words) {
	const rows = await sandbox.ledger(words);
	assert.equal(rows.length, 1, `${rows.length} posts have the words ${words}`);
	return Promise.all(rows[0].media_ids.map(async (id) => (await sandbox.control('get', `media/${id}`)).sha256));
}

const picture = png(80, 60, 3), film = mp4({ width: 320, height: 180, seconds: 3 });
const image = await upload(picture, 'image/png'), video = await upload(film, 'video/mp4');

test('an item says which platforms would take it', async () => {
	const { fitness } = (await client.get(`/v1/media/${video.id}`)).json;
	assert.deepEqual(fitness.sandbox, { ok: true, issues: [] });
	const wide = await upload(mp4({ width: 320, height: 180, seconds: 900 }), 'video/mp4');
	const { ok, issues } = wide.fitness.bluesky;
	assert.equal(ok, false, JSON.stringify(wide.fitness));
	assert.equal(issues[0].rule, 'bluesky.media.video.max_duration_ms');
	assert.equal(issues[0].code, 'media_duration');
});

// ---- by id

test('an image and a video arrive as they are, at every account', async () => {
	const media = [{ mediaId: image.id, altText: 'a pattern' }, { mediaId: video.id }];
	const one = await post({ targets: to('alice', 'hana'), text: 'with media', media }, '?wait=30');
	const all = await ended(one.id, 'published');
	assert.equal(all.deliveries.length, 2);
	const rows = await sandbox.ledger('with media');
	assert.equal(rows.length, 2);
	for (const row of rows) {
		const digests = await Promise.all(row.media_ids.map(async (id) => (await sandbox.control('get', `media/${id}`)).sha256));
		assert.deepEqual(digests, [sha(picture), sha(film)]);
	}
});

test('a picture needs no words', async () => {
	const one = await post({ targets: to('alice'), media: [{ mediaId: image.id }] }, '?wait=30');
	assert.equal((await ended(one.id, 'published')).text, null);
});

test('a target has media of its own, or none', async () => {
	const other = await upload(png(10, 10, 4), 'image/png');
	const one = await post({ text: 'own media', media: [{ mediaId: image.id }], targets: [
		{ ...to('alice')[0], media: [{ mediaId: other.id }] }, { ...to('hana')[0], text: 'own nothing', media: [] }] });
	await ended(one.id, 'published');
	assert.deepEqual(await received('own media'), [sha(png(10, 10, 4))]);
	assert.deepEqual(await received('own nothing'), []);
});

test('the same words with another picture are another post; with the same they are not', async () => {
	const other = await upload(png(11, 11, 5), 'image/png'), twin = await upload(picture, 'image/png');
	await post({ targets: to('alice'), text: 'same words', media: [{ mediaId: image.id }] });
	await post({ targets: to('alice'), text: 'same words', media: [{ mediaId: other.id }] });
	await refused({ targets: to('alice'), text: 'same words', media: [{ mediaId: twin.id }] }, 409, 'duplicate_content', 'targets[0]');
});

test('what is refused names the item, the value and the limit', async () => {
	const five = Array.from({ length: 5 }, () => ({ mediaId: image.id }));
	const error = await refused({ targets: to('alice'), text: 'x', media: five }, 422, 'media_too_many', 'media[4]');
	assert.equal(error.rule, 'sandbox.media.max_items');
	assert.equal(error.message, 'These are 5 media items; Sandbox allows 4.');
	await refused({ targets: to('alice'), text: 'x', media: [{ mediaId: 'med_none' }] }, 404, 'media_not_found', 'media[0].mediaId');
	const own = [{ ...to('alice')[0], media: [{ mediaId: image.id }, { mediaId: 'med_none' }] }];
	await refused({ targets: own, text: 'x' }, 404, 'media_not_found',
		'targets[0].media[1].mediaId');
});

test('nobody posts with an item of another organization or of live mode', async () => {
	const other = await server.organization();
	const theirs = await other.test.post('/v1/media', png(12, 12), { 'content-type': 'image/png' });
	const live = await org.live.post('/v1/media', png(13, 13), { 'content-type': 'image/png' });
	assert.equal(theirs.status, 201, theirs.text);
	assert.equal(live.status, 201, live.text);
	for (const { json } of [theirs, live]) {
		const body = { targets: to('alice'), text: 'x', media: [{ mediaId: json.id }] };
		await refused(body, 404, 'media_not_found', 'media[0].mediaId');
	}
});

// ---- what a post holds

test('an item is held while a post may be sent, and goes when it cannot', async () => {
	const item = await upload(png(14, 14, 6), 'image/png');
	const draft = await post({ targets: to('alice'), text: 'holds it', mode: 'draft', media: [{ mediaId: item.id }] });
	assert.equal((await client.delete(`/v1/media/${item.id}`)).json.error.code, 'media_in_use');
	const edit = await client.patch(`/v1/posts/${draft.id}`, { media: [{ mediaId: image.id }] });
	assert.equal(edit.status, 200, edit.text);
	const gone = await client.delete(`/v1/media/${item.id}`);
	assert.ok([200, 204].includes(gone.status), gone.text);
	assert.equal((await client.post(`/v1/posts/${draft.id}/publish`)).status, 202);
	await ended(draft.id, 'published');
	assert.deepEqual(await received('holds it'), [sha(picture)]);
});

// ---- by address

test('an address is copied when the post is accepted: a dead link later breaks nothing', async () => {
	const at = new Date(Date.now() + 3000).toISOString();
	const media = [{ url: `${origin}/cat.png`, altText: 'a cat' }, { url: `${origin}/dog.png` }];
	const one = await post({ targets: to('alice'), text: 'from afar', scheduledAt: at, media });
	assert.equal(one.status, 'scheduled');
	assert.match(one.media[0].mediaId, /^med_/);
	assert.equal(one.media[0].url, undefined);
	assert.equal(asked('/cat.png'), 1);
	const cat = files.get('/cat.png');
	files.delete('/cat.png');
	await ended(one.id, 'published');
	assert.deepEqual(await received('from afar'), [sha(cat), sha(files.get('/dog.png'))]);
	assert.equal(asked('/cat.png'), 1);
	files.set('/cat.png', cat);
});

test('an equal request under its key is answered as before, without asking for the file again', async () => {
	const body = { targets: to('alice'), text: 'once by key', media: [{ url: `${origin}/dog.png?once` }] };
	files.set('/dog.png?once', files.get('/dog.png'));
	const first = await client.post('/v1/posts', body, { 'idempotency-key': 'media-key' });
	assert.equal(first.status, 202, first.text);
	files.delete('/dog.png?once');
	const second = await client.post('/v1/posts', body, { 'idempotency-key': 'media-key' });
	assert.equal(second.status, 202, second.text);
	assert.equal(second.headers['idempotent-replayed'], 'true');
	assert.equal(second.json.id, first.json.id);
	assert.equal(asked('/dog.png?once'), 1);
});

test('several are fetched at a time', async () => {
	const media = [{ url: `${origin}/together-cat.png` }, { url: `${origin}/together-dog.png` }];
	const one = await post({ targets: to('alice'), text: 'together', media });
	await ended(one.id, 'published');
	assert.deepEqual(await received('together'), [sha(files.get('/cat.png')), sha(files.get('/dog.png'))]);
});

test('validate asks nobody, and says so', async () => {
	const before = hits.length;
	const answer = await client.post('/v1/posts/validate', { targets: to('alice'), text: 'x', media: [{ url: `${origin}/none.png` }] });
	assert.equal(answer.status, 200, answer.text);
	assert.equal(answer.json.warnings[0].code, 'media_unchecked');
	assert.equal(answer.json.warnings[0].param, 'media[0].url');
	assert.equal(hits.length, before);
	const inside = { targets: to('alice'), text: 'x', media: [{ url: 'http://169.254.169.254/latest' }] };
	await refused(inside, 422, 'media_unreachable', 'media[0].url', '/v1/posts/validate');
});

test('what cannot be fetched or read refuses the whole post, each at its place', async () => {
	const media = [{ url: `${origin}/cat.png` }, { url: `${origin}/missing.png` }, { url: `${origin}/words.png` }];
	const error = await refused({ targets: to('alice'), text: 'never written', media }, 422, 'media_unreachable', 'media[1].url');
	assert.deepEqual(error.issues.map((issue) => issue.param), ['media[1].url', 'media[2].url']);
	assert.equal((await client.get('/v1/posts?limit=200')).json.data.filter((one) => one.text === 'never written').length, 0);
	const inside = [{ url: 'http://127.0.0.1:9/x.png' }];
	await refused({ targets: to('alice'), text: 'x', media: inside }, 422, 'media_unreachable', 'media[0].url');
});

test('nothing is fetched for a post that is refused anyway', async () => {
	const before = hits.length;
	const media = [{ url: `${origin}/cat.png?late` }];
	await refused({ targets: to('alice'), text: 'x'.repeat(1001), media }, 422, 'text_too_long', 'targets[0].text');
	assert.equal(hits.length, before);
});

test('an edit may name addresses too', async () => {
	const draft = await post({ targets: to('alice'), text: 'edited media', mode: 'draft', media: [{ mediaId: image.id }] });
	const targets = [{ ...to('alice')[0], media: [{ url: `${origin}/cat.png` }] }];
	const edit = await client.patch(`/v1/posts/${draft.id}`, { targets });
	assert.equal(edit.status, 200, edit.text);
	await client.post(`/v1/posts/${draft.id}/publish`);
	await ended(draft.id, 'published');
	assert.deepEqual(await received('edited media'), [sha(files.get('/cat.png'))]);
});

// ---- what platforms say

test('platforms, schema and rules say what is taken', async () => {
	const platform = (await client.get('/v1/platforms/sandbox')).json;
	assert.deepEqual(platform.media.types, ['image', 'gif', 'video']);
	assert.equal(platform.media.maxItems, 4);
	assert.equal(platform.media.image.maxBytes, 8000000);
	assert.equal(platform.capabilities.threads, true);
	const schema = (await client.get('/v1/platforms/sandbox/schema')).json;
	assert.equal(schema.$defs.post.properties.media.maxItems, 4);
	const rules = (await client.get('/v1/rules?platform=sandbox')).json.data;
	assert.equal(rules.find((rule) => rule.id === 'sandbox.media.max_items').limit, 4);
	assert.equal(new Set(rules.map((rule) => rule.id)).size, rules.length);
});

await done();
