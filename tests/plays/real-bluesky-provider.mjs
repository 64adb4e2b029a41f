// plugins/bluesky.c in its confined host against the real PDS: connecting, posts whose answers get lost, media, mentions,
// reply gates, refresh, removal.  The oracle is the repository as the PDS shows it, never what the provider says.
import assert from 'node:assert/strict';
import { startPds, xrpc } from '../counterparts/bluesky.mjs';
import { after, curtain, scene } from '../lib/play.mjs';
import { mp4, png } from '../lib/samples.mjs';
import { startHost } from '../lib/steps.mjs';

const build = process.env.BUILD ?? 'build';
const pds = await startPds();
after(() => pds.stop());
const host = await startHost(`${build}/libexec/mypostshare-host`, `${build}/plugins/bluesky.so`);
after(() => host.stop());

const to = { 'bsky.social': pds.url, [pds.host]: pds.url, 'video.bsky.app': pds.video };
const ada = await pds.account('ada.test');
const account = { 'account.id': ada.did, 'account.host': pds.host, 'account.username': ada.handle };
const PUT = 'com.atproto.repo.putRecord';

async function session() {
	const body = { identifier: ada.handle, password: ada.appPassword };
	const { json } = await xrpc(pds.url, 'POST', 'com.atproto.server.createSession', { body });
	return { 'token.access': json.accessJwt, 'token.refresh': json.refreshJwt };
}

const seedOf = (n) => n.toString(16).padStart(15, '0').padEnd(64, 'f');
let seeds = 1;
const post = (text, more = {}) => ({
	inputs: { ...account, text, 'post.created_at': '1767225600000', ...more.inputs },
	secrets, to, seed: more.seed ?? seedOf(seeds++), ...more.run,
});
const texts = async () => (await pds.records(ada.did)).map((r) => r.value.text);
const count = async (text) => (await texts()).filter((t) => t === text).length;

let secrets = await session();

scene('connects by handle and app password and learns the account and its own server', async () => {
	const { verb, results } = await host.run('exchange', {
		inputs: { 'field.identifier': '@ada.test', 'field.service': 'bsky.social' }, secrets: { 'field.password': ada.appPassword }, to,
	});
	assert.deepEqual([verb, results], ['done', { 'account.id': ada.did, 'account.username': 'ada.test', 'account.host': pds.host }]);
});

scene('a wrong app password is refused, not retried', async () => {
	const ended = await host.run('exchange', { inputs: { 'field.identifier': 'ada.test' }, secrets: { 'field.password': 'wrong' }, to });
	assert.deepEqual([ended.class, ended.reason, ended.code], ['rejected', 'credential_invalid', 'AuthenticationRequired']);
});

scene('identifies an account without a profile, and then with one', async () => {
	const bare = await host.run('identify', { inputs: account, secrets, to });
	assert.deepEqual(bare.results, { 'account.id': ada.did, 'account.username': 'ada.test', 'account.host': pds.host });
	const record = { $type: 'app.bsky.actor.profile', displayName: 'Ada Lovelace' };
	const body = { repo: ada.did, collection: record.$type, rkey: 'self', record };
	await xrpc(pds.url, 'POST', PUT, { token: secrets['token.access'], body });
	const whole = await host.run('identify', { inputs: account, secrets, to });
	assert.equal(whole.results['account.name'], 'Ada Lovelace');
});

scene('publishes; the PDS shows the very record', async () => {
	const inputs = { 'options.langs': 'de\npt-BR', link: 'https://example.org/page' };
	const { verb, results } = await host.run('publish', post('Grüße: https://example.com/a_(b). #tag #1 (#zwei)', { inputs }));
	assert.equal(verb, 'done');
	const [record] = await pds.records(ada.did);
	assert.equal(record.uri, results.remote_id);
	assert.equal(record.cid, results['extra.cid']);
	assert.match(results.remote_url, new RegExp(`^https://bsky\\.app/profile/${ada.did}/post/[2-7a-z]{13}$`));
	const bytes = Buffer.from(record.value.text);
	const marked = record.value.facets.map(({ index: { byteStart, byteEnd }, features: [f] }) =>
		[bytes.toString('utf8', byteStart, byteEnd), f.uri ?? f.tag]);
	assert.deepEqual(marked, [['https://example.com/a_(b)', 'https://example.com/a_(b)'], ['#tag', 'tag'], ['#zwei', 'zwei']]);
	assert.deepEqual(record.value.langs, ['de', 'pt-BR']);
	assert.equal(record.value.embed.external.uri, 'https://example.org/page');
});

scene('the same seed twice, a day apart, is one post, and another seed another', async () => {
	const same = post('twice');
	const one = await host.run('publish', same), two = await host.run('publish', { ...same, now: Date.now() + 86_400_000 });
	assert.equal(one.results.remote_id, two.results.remote_id);
	assert.equal(await count('twice'), 1);
	await host.run('publish', post('twice'));
	assert.equal(await count('twice'), 2);
});

scene('an answer that was lost after the PDS had the post: found, one post', async () => {
	await pds.fault(PUT, 'lost_after');
	const { verb, results, requests } = await host.run('publish', post('lost after'));
	assert.equal(verb, 'found');
	assert.deepEqual(requests.map((r) => r.repeat), ['keyed', 'safe']);
	assert.ok((await pds.records(ada.did)).some((r) => r.uri === results.remote_id && r.cid === results['extra.cid']));
	assert.equal(await count('lost after'), 1);
});

scene('a request that never arrived: absent, and the same key then makes one post', async () => {
	const lost = post('lost before');
	await pds.fault(PUT, 'lost_before');
	assert.equal((await host.run('publish', lost)).verb, 'absent');
	assert.equal(await count('lost before'), 0);
	assert.equal((await host.run('publish', lost)).verb, 'done');
	assert.equal(await count('lost before'), 1);
});

scene('when looking itself gets no clear answer, it is unknown', async () => {
	await pds.fault(PUT, 'lost_after');
	await pds.fault('com.atproto.repo.getRecord', 'status', { status: 502 });
	assert.equal((await host.run('publish', post('cannot tell'))).verb, 'unknown');
});

scene('a reply carries its root and its parent', async () => {
	const root = (await host.run('publish', post('root'))).results;
	const bag = (place, r) => ({ [`${place}.remote_id`]: r.remote_id, [`${place}.extra.cid`]: r['extra.cid'] });
	const middle = (await host.run('publish', post('middle', { inputs: bag('parent', root) }))).results;
	await host.run('publish', post('leaf', { inputs: { ...bag('root', root), ...bag('parent', middle) } }));
	const leaf = (await pds.records(ada.did)).find((r) => r.value.text === 'leaf');
	assert.deepEqual(leaf.value.reply, {
		root: { uri: root.remote_id, cid: root['extra.cid'] }, parent: { uri: middle.remote_id, cid: middle['extra.cid'] },
	});
});

// A post with these files, each {type, mime, bytes, width, height, alt}.
const withMedia = (text, files, more = {}) => post(text, { ...more, run: { media: files.map((f) => f.bytes) }, inputs: {
	...more.inputs, 'media.count': files.length,
	...Object.fromEntries(files.flatMap((f, i) => Object.entries({ ...f, bytes: f.bytes.length }).map(([k, v]) => [`media.${i}.${k}`, v]))),
} });
const picture = (seed) => ({ type: 'image', mime: 'image/png', bytes: png(40, 30, seed), width: 40, height: 30, alt: `Picture ${seed}` });
const film = (seed) => ({ type: 'video', mime: 'video/mp4', bytes: mp4({ seed, bytes: 4000 }), width: 640, height: 360, alt: 'A film' });
const shown = async (text) => (await pds.records(ada.did)).find((r) => r.value.text === text)?.value;

// The bytes that the PDS keeps under a blob that a record names.
async function kept(blob) {
	const query = new URLSearchParams({ did: ada.did, cid: blob.ref.$link });
	const reply = await fetch(`${pds.url}/xrpc/com.atproto.sync.getBlob?${query}`, { headers: { connection: 'close' } });
	return Buffer.from(await reply.arrayBuffer());
}

scene('images: each one\'s bytes, description and shape lie at the PDS', async () => {
	const files = [picture(1), picture(2)], { verb } = await host.run('publish', withMedia('two pictures', files));
	assert.equal(verb, 'done');
	const { embed } = await shown('two pictures');
	assert.equal(embed.$type, 'app.bsky.embed.images');
	for (const [i, { image, alt, aspectRatio }] of embed.images.entries()) {
		assert.deepEqual([alt, aspectRatio], [files[i].alt, { width: 40, height: 30 }]);
		assert.ok(files[i].bytes.equals(await kept(image)));
	}
});

scene('six images are a gallery, and the only one of a link is its card\'s', async () => {
	assert.equal((await host.run('publish', withMedia('gallery', [3, 4, 5, 6, 7, 8].map(picture)))).verb, 'done');
	const { embed } = await shown('gallery');
	assert.deepEqual([embed.$type, embed.items.length, embed.items[5].alt], ['app.bsky.embed.gallery', 6, 'Picture 8']);
	const inputs = { link: 'https://example.org/page', 'options.link_thumb': 'true', 'options.link_title': 'A page' };
	await host.run('publish', withMedia('card', [picture(9)], { inputs }));
	const { external } = (await shown('card')).embed;
	assert.deepEqual([external.title, (await kept(external.thumb)).equals(picture(9).bytes)], ['A page', true]);
});

scene('a lost answer to a post with an image: found, one post', async () => {
	await pds.fault(PUT, 'lost_after');
	assert.equal((await host.run('publish', withMedia('picture lost', [picture(10)]))).verb, 'found');
	assert.equal(await count('picture lost'), 1);
});

scene('a blob that the PDS has thrown away is brought once more', async () => {
	await pds.fault(PUT, 'status', { status: 400, body: { error: 'BlobNotFound', message: 'Could not find blob: bafk' } });
	const { verb, requests } = await host.run('publish', withMedia('picture gone', [picture(11)]));
	assert.deepEqual([verb, requests.filter((r) => r.url.includes('uploadBlob')).length], ['done', 2]);
	assert.equal(await count('picture gone'), 1);
});

scene('a video by the video service, with a token for the account\'s own server', async () => {
	const { verb } = await host.run('publish', withMedia('a film', [film(1)]));
	assert.equal(verb, 'done');
	const { embed } = await shown('a film');
	assert.deepEqual([embed.$type, embed.alt, embed.aspectRatio], ['app.bsky.embed.video', 'A film', { width: 640, height: 360 }]);
	assert.ok(film(1).bytes.equals(await kept(embed.video)));
	assert.equal((await host.run('publish', withMedia('the film again', [film(1)]))).verb, 'done');
	assert.equal((await shown('the film again')).embed.video.ref.$link, embed.video.ref.$link);
});

scene('a video that the service cannot process', async () => {
	await pds.nextVideo([], 'encoding_failure');
	const { class: c, reason } = await host.run('publish', withMedia('no film', [film(2)]));
	assert.deepEqual([c, reason, await count('no film')], ['rejected', 'video_unreadable', 0]);
});

scene('a video directly to the account\'s server', async () => {
	const { verb, requests } = await host.run('publish', withMedia('direct film', [film(3)], { inputs: { 'setting.video': 'direct' } }));
	assert.deepEqual([verb, requests.some((r) => r.url.includes('video.bsky.app'))], ['done', false]);
	assert.ok(film(3).bytes.equals(await kept((await shown('direct film')).embed.video)));
});

scene('mentions name accounts; a handle that nobody has stays text and is told', async () => {
	const bob = await pds.account('bob.test'), text = 'Hi @bob.test and @nobody.test';
	const { verb, warnings } = await host.run('publish', post(text));
	assert.deepEqual([verb, Object.keys(warnings)], ['done', ['mention_unresolved']]);
	const { facets } = await shown(text);
	assert.deepEqual(facets.map((f) => [f.index, f.features[0].did]), [[{ byteStart: 3, byteEnd: 12 }, bob.did]]);
});

scene('who can reply lies beside the post, under its key', async () => {
	const { results } = await host.run('publish', post('gated', { inputs: { 'options.reply_gate': 'following' } }));
	const query = { repo: ada.did, collection: 'app.bsky.feed.threadgate', rkey: results.remote_id.split('/').pop() };
	const { json } = await xrpc(pds.url, 'GET', 'com.atproto.repo.getRecord', { query });
	assert.deepEqual([json.value.post, json.value.allow], [results.remote_id, [{ $type: 'app.bsky.feed.threadgate#followingRule' }]]);
	await pds.fault(PUT, 'lost_after');
	const lost = await host.run('publish', post('gated and lost', { inputs: { 'options.reply_gate': 'nobody' } }));
	assert.deepEqual([lost.verb, lost.requests.map((r) => r.repeat), lost.warnings], ['found', ['keyed', 'safe', 'safe'], {}]);
});

scene('failures are classified by what the PDS really says', async () => {
	const end = async (run, more) => {
		const { class: c, reason } = await host.run('publish', { ...post('never'), ...run, ...more });
		return `${c} ${reason}`;
	};
	assert.equal(await end(post('x'.repeat(301))), 'rejected invalid_post');
	assert.equal(await end({}, { secrets: { 'token.access': 'x.y.z' } }), 'auth token_invalid');
	const body = { error: 'RateLimitExceeded', message: 'Rate Limit Exceeded' };
	await pds.fault(PUT, 'status', { status: 429, headers: { 'retry-after': '17' }, body });
	const limited = await host.run('publish', post('never'));
	assert.deepEqual([limited.class, limited.reason, limited.retryAfter], ['limit', 'rate_limited', '17']);
	await pds.fault(PUT, 'status', { status: 503 });
	assert.equal(await end({}), 'transient platform_unavailable');
	await pds.fault(PUT, 'status', { status: 200, body: {} });
	assert.equal(await end({}), 'unknown answer_unreadable');
	assert.equal(await count('never'), 0);
});

scene('an expired access token asks for a refresh, and a refresh may be repeated', async () => {
	secrets = await session();
	assert.equal((await host.run('check', { inputs: account, secrets, to })).verb, 'done');
	await pds.expire();
	const late = await host.run('publish', post('after expiry'));
	assert.deepEqual([late.class, late.reason], ['auth', 'token_expired']);
	assert.equal((await host.run('refresh', { inputs: account, secrets, to })).verb, 'done');
	assert.equal((await host.run('refresh', { inputs: account, secrets, to })).verb, 'done');
	assert.equal(host.descriptor.refresh_repeat, 'safe');
});

scene('removes a post, and removing it again is no failure', async () => {
	secrets = await session();
	const { results } = await host.run('publish', post('goes away'));
	const gone = { inputs: { ...account, remote_id: results.remote_id }, secrets, to };
	assert.equal((await host.run('remove', gone)).verb, 'done');
	assert.equal(await count('goes away'), 0);
	assert.equal((await host.run('remove', gone)).verb, 'done');
});

scene('a revoked session is over: revoking again succeeds, refreshing means connect again', async () => {
	secrets = await session();
	const over = { inputs: account, secrets, to };
	assert.equal((await host.run('revoke', over)).verb, 'done');
	assert.equal((await host.run('revoke', over)).verb, 'done');
	const ended = await host.run('refresh', over);
	assert.deepEqual([ended.class, ended.reason, ended.code], ['revoked', 'session_ended', 'ExpiredToken']);
});

await curtain();
