// Everything a Bluesky post may hold, through the product's own API onto the real PDS: text with emoji, links, mentions and
// tags; images; video by the video service and straight to the PDS; threads; deletion.  Every record is judged by the
// official lexicons, and every blob is read back.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { startPds, xrpc } from '../counterparts/bluesky.mjs';
import { Browser } from '../lib/http.mjs';
import { mp4, png } from '../lib/samples.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';
import { until } from '../lib/wait.mjs';

const { lexicons } = createRequire(import.meta.url)('@atproto/api');
const back = 'http://127.0.0.1:9/back', POSTS = 'app.bsky.feed.post';
const pds = await startPds();
after(() => pds.stop());
const server = await startServer({ ini: pds.ini });
after(() => server.stop());
const { live, app } = await server.organization('Northpeak');
const ada = await pds.account('ada.test'), bob = await pds.account('bob.test');

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

async function connect(account) {
	const wanted = { externalUserId: 'ada', platform: 'bluesky', redirectUrl: back };
	const s = await made(live.post('/v1/connect-sessions', wanted), 201);
	const browser = new Browser();
	await browser.get(s.connectUrl);
	const way = browser.forms.findIndex((f) => 'password' in f.fields);
	await browser.submit({ identifier: account.handle, password: account.appPassword }, way);
	await browser.follow(server.url);
	const words = new URL(browser.location ?? assert.fail(browser.page.text)).searchParams;
	assert.equal(words.get('status'), 'success', `${words}`);
	return words.get('connectionId');
}

await made(live.post(`/v1/apps/${app}/redirect-urls`, { url: back }), 201);
await made(live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
const connectionId = await connect(ada);

// The deliveries of a post when nothing moves any more, in their order.
const FINAL = ['published', 'failed', 'unconfirmed', 'blocked', 'skipped', 'canceled'];
async function publish(body) {
	const { id } = await made(live.post('/v1/posts', { targets: [{ connectionId }], ...body }), 202);
	return until(`the deliveries of ${id} end`, async () => {
		const { deliveries } = await made(live.get(`/v1/posts/${id}`), 200);
		return deliveries.every((d) => FINAL.includes(d.status)) && deliveries;
	}, 60_000);
}

const record = async (uri) => {
	const [, , repo, collection, rkey] = uri.split('/');
	return (await xrpc(pds.url, 'GET', 'com.atproto.repo.getRecord', { query: { repo, collection, rkey } })).json;
};

// What a published delivery left in the repository, valid by the lexicons.
async function published(delivery) {
	assert.equal(delivery.status, 'published', JSON.stringify(delivery));
	const { value, uri, cid } = await record(delivery.remotePostId);
	lexicons.assertValidRecord(POSTS, lexiconed(value));
	return { ...value, uri, cid };
}

// Blobs of JSON answers as the lexicons want them: CIDs and blob references are objects of their own.
const { jsonToLex } = createRequire(import.meta.url)('@atproto/api');
const lexiconed = (value) => jsonToLex(value);

async function upload(bytes, type, name) {
	const media = await made(live.post('/v1/media', bytes, { 'content-type': type, 'x-filename': name }), 201);
	return media.id;
}

const blob = async (ref) => {
	const reply = await fetch(`${pds.url}/xrpc/com.atproto.sync.getBlob?` + new URLSearchParams({ did: ada.did, cid: ref.ref.$link }));
	assert.equal(reply.status, 200);
	return Buffer.from(await reply.arrayBuffer());
};

test('links, tags and mentions are named by the bytes they lie at, behind emoji too', async () => {
	const text = '👩‍👩‍👧‍👦 café: https://example.com/a?b=ü, for @bob.test (#Straße) and @nobody-at-all.test';
	const post = await published((await publish({ text, options: { bluesky: { langs: ['en', 'de'] } } }))[0]);
	const bytes = Buffer.from(text);
	const named = post.facets.map((f) => [bytes.subarray(f.index.byteStart, f.index.byteEnd).toString(), f.features[0]]);
	assert.deepEqual(named.map(([words]) => words), ['https://example.com/a?b=ü', '@bob.test', '#Straße']);
	assert.equal(named[1][1].did, bob.did);
	assert.equal(named[2][1].tag, 'Straße');
	assert.deepEqual(post.langs, ['en', 'de']);
	assert.equal(post.text, text);
});

test('a link beside the text becomes a card', async () => {
	const post = await published((await publish({ text: 'a card', link: 'https://example.com/story' }))[0]);
	assert.equal(post.embed.$type, 'app.bsky.embed.external');
	assert.equal(post.embed.external.uri, 'https://example.com/story');
});

test('four images with their descriptions and shapes', async () => {
	const files = [png(64, 48, 1), png(48, 64, 2), png(100, 10, 3), png(10, 10, 4)];
	const ids = [];
	for (const [i, file] of files.entries()) ids.push(await upload(file, 'image/png', `${i}.png`));
	const media = ids.map((mediaId, i) => ({ mediaId, altText: `picture ${i}` }));
	const post = await published((await publish({ text: 'four', media }))[0]);
	assert.equal(post.embed.$type, 'app.bsky.embed.images');
	assert.deepEqual(post.embed.images.map((i) => i.alt), ['picture 0', 'picture 1', 'picture 2', 'picture 3']);
	assert.deepEqual(post.embed.images.map((i) => [i.aspectRatio.width, i.aspectRatio.height]), [[64, 48], [48, 64], [100, 10], [10, 10]]);
	for (const [i, image] of post.embed.images.entries()) assert.deepEqual(await blob(image.image), files[i]);
});

test('six images are a gallery', async () => {
	const media = [];
	for (let i = 0; i < 6; i++)
		media.push({ mediaId: await upload(png(20 + i, 20, 10 + i), 'image/png', `g${i}.png`), altText: `g ${i}` });
	const [delivery] = await publish({ text: 'six', media });
	assert.equal(delivery.status, 'published', JSON.stringify(delivery));
	const { value } = await record(delivery.remotePostId);
	assert.equal(value.embed.$type, 'app.bsky.embed.gallery');
	assert.deepEqual(value.embed.items.map((i) => i.alt), [0, 1, 2, 3, 4, 5].map((i) => `g ${i}`));
});

test('eleven images, and an image that is too large, are refused by rule before anything is sent', async () => {
	const before = (await pds.seen('com.atproto.repo.uploadBlob')).length;
	const mediaId = await upload(png(8, 8, 99), 'image/png', 'one.png');
	const eleven = { targets: [{ connectionId }], text: 'x', media: Array(11).fill({ mediaId }) };
	const many = await made(live.post('/v1/posts/validate', eleven), 422);
	assert.ok(many.error.issues.some((i) => i.rule === 'bluesky.media.max_images'), JSON.stringify(many));
	const big = await upload(Buffer.concat([png(8, 8, 98), Buffer.alloc(2_100_000)]), 'image/png', 'big.png');
	const two = { targets: [{ connectionId }], text: 'x', media: [{ mediaId }, { mediaId: big }] };
	const large = await made(live.post('/v1/posts', two), 422);
	const issue = large.error.issues.find((i) => i.rule === 'bluesky.media.image.max_bytes');
	assert.equal(issue?.param, 'media[1]', JSON.stringify(large));
	assert.equal((await pds.seen('com.atproto.repo.uploadBlob')).length, before);
});

test('a video goes through the video service, is waited for, and plays from the account\'s own server', async () => {
	const file = mp4({ width: 320, height: 240, seconds: 3, bytes: 300_000, seed: 1 });
	const media = [{ mediaId: await upload(file, 'video/mp4', 'clip.mp4'), altText: 'a clip' }];
	const post = await published((await publish({ text: 'a video', media }))[0]);
	assert.equal(post.embed.$type, 'app.bsky.embed.video');
	assert.equal(post.embed.alt, 'a clip');
	assert.deepEqual(post.embed.aspectRatio, { width: 320, height: 240 });
	assert.deepEqual(await blob(post.embed.video), file);
	assert.equal((await pds.seen('app.bsky.video.uploadVideo')).length, 1);
	assert.ok((await pds.seen('app.bsky.video.getJobStatus')).length >= 2);
});

test('the same video again is not processed twice', async () => {
	const file = mp4({ width: 320, height: 240, seconds: 3, bytes: 300_000, seed: 1 });
	const media = [{ mediaId: await upload(file, 'video/mp4', 'again.mp4') }];
	const post = await published((await publish({ text: 'the video again', media }))[0]);
	assert.deepEqual(await blob(post.embed.video), file);
});

test('a video that cannot be processed fails with the reason, and nothing is posted', async () => {
	await pds.nextVideo(['JOB_STATE_ENCODING'], 'encoding_failure');
	const media = [{ mediaId: await upload(mp4({ seconds: 4, seed: 2 }), 'video/mp4', 'bad.mp4') }];
	const [delivery] = await publish({ text: 'a bad video', media });
	assert.equal(delivery.status, 'failed', JSON.stringify(delivery));
	assert.equal(delivery.error.code, 'platform_rejected');
	assert.ok(!(await pds.records(ada.did)).some((r) => r.value.text === 'a bad video'));
});

test('a thread: each part answers the one before it, and all of them the first', async () => {
	const mediaId = await upload(png(30, 30, 50), 'image/png', 'part.png');
	const thread = [{ text: 'part two', media: [{ mediaId, altText: 'part' }] }, { text: 'part three' }];
	const deliveries = await publish({ text: 'part one', thread });
	assert.deepEqual(deliveries.map((d) => [d.kind, d.ordinal]), [['post', 0], ['thread', 1], ['thread', 2]]);
	const [one, two, three] = await Promise.all(deliveries.map(published));
	const ref = ({ uri, cid }) => ({ uri, cid });
	assert.equal(one.reply, undefined);
	assert.deepEqual(two.reply, { root: ref(one), parent: ref(one) });
	assert.deepEqual(three.reply, { root: ref(one), parent: ref(two) });
	assert.equal(two.embed.$type, 'app.bsky.embed.images');
});

test('a thread whose second part is refused tells the truth about each part', async () => {
	const text = 'cut off: two', hit = { status: 400, body: { error: 'InvalidRequest', message: 'refused by order' } };
	await pds.fault('com.atproto.repo.putRecord', 'status', { ...hit, count: 1, skip: 1 });
	const [one, two, three] = await publish({ text: 'cut off: one', thread: [{ text }, { text: 'cut off: three' }] });
	assert.deepEqual([one.status, two.status, three.status, three.statusReason], ['published', 'failed', 'skipped', 'parent']);
	assert.equal((await pds.records(ada.did)).filter((r) => r.value.text.startsWith('cut off')).length, 1);
});

test('a first comment lies below the post', async () => {
	const [post, comment] = (await publish({ text: 'the post', firstComment: 'https://example.com/source' }));
	assert.equal(comment.kind, 'first_comment');
	const [above, below] = [await published(post), await published(comment)];
	assert.equal(below.reply.parent.uri, above.uri);
});

test('deleting takes the record away', async () => {
	const [delivery] = await publish({ text: 'soon gone' });
	await made(live.post(`/v1/deliveries/${delivery.id}/unpublish`, {}), 202);
	await until('the PDS shows it no more', async () => (await record(delivery.remotePostId)).error === 'RecordNotFound');
});

test('the answers of a whole post with images get lost one by one: one record', async () => {
	for (const [i, method] of ['com.atproto.repo.uploadBlob', 'com.atproto.repo.putRecord', 'com.atproto.identity.resolveHandle'].entries()) {
		await pds.fault(method, 'lost_after');
		const media = [{ mediaId: await upload(png(16, 16, 70 + i), 'image/png', 'l.png') }], text = `lost ${method} for @bob.test`;
		await published((await publish({ text, media }))[0]);
		assert.equal((await pds.records(ada.did)).filter((r) => r.value.text === text).length, 1);
	}
});

test('every record of the account is valid by the official lexicons', async () => {
	const records = await pds.records(ada.did);
	assert.ok(records.length >= 12, `${records.length}`);
	for (const { value } of records) if (value.embed?.$type !== 'app.bsky.embed.gallery') lexicons.assertValidRecord(POSTS, lexiconed(value));
});

await done(240_000);
