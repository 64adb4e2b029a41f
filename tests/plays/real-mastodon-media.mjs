// Mastodon through the product's own API, the rest of it: images and videos, threads and first comments, and the limits
// of each instance.  The stand-ins, their ledgers and their strictness are those of real-mastodon.mjs.
import assert from 'node:assert/strict';
import { startStage } from '../lib/mastodon.mjs';
import { mp4, png } from '../lib/samples.mjs';
import { after, done, test } from '../lib/test.mjs';
import { until } from '../lib/wait.mjs';

const POST = 'POST /api/v1/statuses', UPLOAD = '/api/v2/media';
const stage = await startStage();
after(() => stage.stop());
const { one, old, server } = stage;
one.configuration.media_attachments.description_limit = 200;
one.configuration.media_attachments.image_size_limit = 100_000;
await stage.connect('ada', one);
await stage.connect('otto', old);
const uploads = (instance) => instance.requests('POST', UPLOAD).length, pictures = [0, 1, 2, 3].map((seed) => png(40 + seed, 30, seed));
const items = await Promise.all(pictures.map((bytes, i) => stage.file(bytes, 'image/png', `picture ${i}.png`)));
const film = mp4({ seconds: 3, bytes: 400_000 }), video = await stage.file(film, 'video/mp4', 'film.mp4');
const status = (instance, text) => instance.ledger(text)[0];

// ---- media ----

const gone = {};
test('at the older server the media could not be found: whether the status is there will be known at the end', async () => {
	old.fault(POST, 'status', { status: 422, body: { error: 'Validation failed: Media could not be found' } });
	gone.before = uploads(old);
	gone.made = await stage.post('otto', 'with lost media', { media: [{ mediaId: items[0].id }] });
	assert.equal((await stage.ended(gone.made)).status, 'unconfirmed');
	assert.equal(uploads(old) - gone.before, 1);
});

test('four images arrive byte for byte, in their order, with description and focus', async () => {
	const focus = [undefined, '0.5,-0.25'];
	const media = items.map(({ id }, i) => ({ mediaId: id, altText: `Picture "${i}" of grün & blue`, focus: focus[i] }));
	await stage.once(await stage.post('ada', 'four images', { media }), one, 'four images');
	const got = status(one, 'four images').media;
	assert.deepEqual(got.map((m, i) => m.bytes.equals(pictures[i])), [true, true, true, true]);
	assert.deepEqual(got.map((m) => m.description), media.map((m) => m.altText));
	assert.deepEqual(got.map((m) => [m.focus, m.type]), [0, 1, 2, 3].map((i) => [focus[i] ?? null, 'image/png']));
});

test('media without a text', async () => {
	const before = one.statuses.length;
	await stage.once(await stage.post('ada', undefined, { media: [{ mediaId: items[2].id }] }), one, '');
	assert.equal(one.statuses.length - before, 1);
});

test('a video that the instance works on is waited for', async () => {
	one.processing.polls = 2;
	await stage.once(await stage.post('ada', 'slow video', { media: [{ mediaId: video.id }] }), one, 'slow video');
	one.processing.polls = 0;
	const [item] = status(one, 'slow video').media;
	assert.ok(item.bytes.equals(film));
	assert.equal(one.requests('GET', `/api/v1/media/${item.id}`).length, 3);
});

test('a video that the instance cannot make is a failure, and no status', async () => {
	one.processing.broken = true;
	const delivery = await stage.ended(await stage.post('ada', 'broken video', { media: [{ mediaId: video.id }] }));
	one.processing.broken = false;
	const { code, platformError } = delivery.error;
	assert.deepEqual([delivery.status, code, platformError.code], ['failed', 'platform_rejected', 'media_failed']);
	assert.equal(one.ledger('broken video').length, 0);
});

test('an upload whose answer is lost is done again, and the status is one', async () => {
	const before = uploads(one);
	one.fault(`POST ${UPLOAD}`, 'lost_after');
	await stage.once(await stage.post('ada', 'uploaded twice', { media: [{ mediaId: items[0].id }] }), one, 'uploaded twice');
	assert.equal(uploads(one) - before, 2);
});

test('an instance that is still working when the status comes is asked again a little later', async () => {
	const body = { error: 'Cannot attach files that have not finished processing. Try again in a moment!' };
	one.fault(POST, 'status', { status: 422, body });
	await stage.once(await stage.post('ada', 'too early', { media: [{ mediaId: items[1].id }] }), one, 'too early');
});

test('the status with media was made and its answer lost: known again by its key, or by its media', async () => {
	one.fault(POST, 'lost_after');
	const media = [{ mediaId: items[1].id }], known = await stage.post('ada', 'same words', { media });
	await stage.once(known, one, 'same words', { ms: 120_000 });	// it waits until the first can have no effect any more
	old.fault(POST, 'lost_after');
	const made = await stage.post('otto', 'same **words**', { media });
	await stage.once(made, old, 'same **words**', { sure: true });
});

test('a poll and media exclude each other', async () => {
	const before = uploads(one), options = { mastodon: { poll_options: ['Yes', 'No'] } };
	const delivery = await stage.ended(await stage.post('ada', 'both', { media: [{ mediaId: items[0].id }], options }));
	assert.deepEqual([delivery.status, delivery.error.platformError?.code, uploads(one)], ['failed', 'poll_with_media', before]);
});

// ---- threads ----

test('a thread is a chain of replies, each with its media; the first comment hangs on the first', async () => {
	const thread = [{ text: 'second', media: [{ mediaId: items[3].id }] }, { text: 'third' }];
	const deliveries = await stage.parts(await stage.post('ada', 'first', { thread }));
	assert.deepEqual(deliveries.map((d) => d.status), ['published', 'published', 'published']);
	const [a, b, c] = ['first', 'second', 'third'].map((text) => status(one, text));
	assert.deepEqual([a.in_reply_to_id, b.in_reply_to_id, c.in_reply_to_id], [null, a.id, b.id]);
	assert.ok(b.media[0].bytes.equals(pictures[3]));
	await stage.parts(await stage.post('ada', 'commented', { firstComment: 'a comment' }));
	assert.equal(status(one, 'a comment').in_reply_to_id, status(one, 'commented').id);
});

test('a thread whose second answer is lost and whose server is killed meanwhile: every part once, in order', async () => {
	const thread = [{ text: 'middle' }, { text: 'end' }];
	old.fault(POST, 'held', { skip: 1 });
	const made = await stage.post('otto', 'beginning', { thread });
	await until('the second is there', () => old.ledger('middle').length === 1);
	await server.restart('SIGKILL');
	const deliveries = await stage.parts(made, { sure: true });
	assert.deepEqual(deliveries.map((d) => d.status), ['published', 'published', 'published']);
	const parts = ['beginning', 'middle', 'end'].map((text) => old.ledger(text));
	assert.deepEqual(parts.map((p) => p.length), [1, 1, 1]);
	assert.deepEqual(parts.map(([s]) => s.in_reply_to_id), [null, parts[0][0].id, parts[1][0].id]);
});

// ---- limits ----

const validated = async (user, text, more = {}) => {
	const body = { externalUserId: user, platforms: ['mastodon'], text, ...more };
	const { status: code, json } = await stage.live('POST', '/v1/posts/validate', body);
	const issues = json.issues ?? json.error?.issues ?? [];
	return [code, ...issues.filter((i) => i.severity !== 'warning').map((i) => i.rule)];
};

test('600 characters are too many for an instance of 500, and fit an instance of 5000', async () => {
	await until('the limits of the older server are known', async () => (await validated('otto', 'x'.repeat(600))).length === 1);
	assert.ok((await validated('ada', 'x'.repeat(600))).some((rule) => /^mastodon\.text\.max/.test(rule)));
	assert.equal((await validated('otto', 'x'.repeat(5001))).length, 2);
	await stage.once(await stage.post('otto', 'y'.repeat(600)), old, 'y'.repeat(600));
});

test('descriptions and files are measured by the instance of the account', async () => {
	const big = await stage.file(png(400, 300, 7), 'image/png', 'big.png'), words = [{ mediaId: items[0].id, altText: 'x'.repeat(201) }];
	assert.ok(big.bytes > 100_000, `${big.bytes}`);
	await until('the limits of the instance are known', async () => (await validated('ada', 'x', { media: words })).length === 2);
	assert.deepEqual(await validated('ada', 'x', { media: [{ mediaId: big.id }] }), [422, 'mastodon.media.image.max_bytes']);
	assert.equal((await validated('otto', 'x', { media: words })).length, 1);
	assert.equal((await validated('otto', 'x', { media: [{ mediaId: big.id }] })).length, 1);
});

test('a web address counts 23, a mention without its server, a warning along, as the instance counts', async () => {
	const url = `https://example.com/${'a'.repeat(200)}`, text = `${'x'.repeat(465)} @ada@far.example.com ${url}`;
	const options = { mastodon: { spoiler_text: 'careful' } };
	assert.deepEqual((await validated('ada', text)).length, 1);
	await stage.once(await stage.post('ada', text), one, text);
	assert.equal((await validated('ada', text, { options })).length, 2);
});

// ---- the end ----

test('media that could not be found were no status: proven absent, uploaded again, published once', async () => {
	await stage.once(gone.made, old, 'with lost media', { sure: true, ms: 200_000 });
	assert.equal(status(old, 'with lost media').media.length, 1);
	assert.ok(status(old, 'with lost media').media[0].bytes.equals(pictures[0]));
});

test('where tokens expire, a late one is renewed once for all that wait', async () => {
	old.expires = 7200;
	await stage.connect('rita', old);
	const renewed = () => [...old.tokens.values()].filter((t) => t.account?.username === 'rita').length;
	assert.equal(renewed(), 1);
	old.ahead = 7_201_000;
	const made = await Promise.all([0, 1, 2].map((i) => stage.post('rita', `late ${i}`)));
	for (const [i, one] of made.entries()) await stage.once(one, old, `late ${i}`);
	assert.equal(renewed(), 2);
});

test('nothing was asked that the API does not describe', () => {
	assert.deepEqual([...one.violations, ...old.violations], []);
});

await done(300_000);
