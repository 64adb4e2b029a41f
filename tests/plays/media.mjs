// Media: sent, refused, cut off, counted, held, expired, fetched, and what is left after each: the folder and the list
// say the same.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connected } from '../lib/connected.mjs';
import { cut, fetchUrl, files, folder, most, send, startFiles, stream } from '../lib/media.mjs';
import { mp4, png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const MIB = 1 << 20;
const sandbox = await startSandbox();
after(() => sandbox.stop());
const oracle = createServer((asked, answer) => { oracle.seen = true; answer.end(png(9, 9)); });
await once(oracle.listen(0, '127.0.0.1'), 'listening');
const forbidden = `http://127.0.0.1:${oracle.address().port}/secret.png`;
after(() => { oracle.closeAllConnections(); oracle.close(); });

const to = (where) => (asked, answer) => answer.writeHead(302, { location: typeof where === 'function' ? where() : where }).end();
const held = [];
const host = await startFiles({
	'/good.png': png(33, 22), '/video.mp4': mp4({ bytes: 3 * MIB }), '/page.html': Buffer.from('<!doctype html><p>No picture at all, sorry.'),
	'/one': to('/two'), '/two': to('/three'), '/three': to('/good.png'), '/four': to('/one'), '/round': to('/round'),
	'/away': to(() => forbidden), '/metadata': to('http://169.254.169.254/latest'), '/private': to('https://10.1.2.3/x.png'),
	'/file': to('file:///etc/hostname'), '/port': to('https://example.com:8443/x'), '/gone': (asked, answer) => answer.writeHead(410).end(),
	'/short.png': (asked, answer) => { answer.writeHead(200, { 'content-length': 100000 }); answer.write(png(5, 5)); answer.socket.end(); },
	'/large': (asked, answer) => answer.writeHead(200, { 'content-length': 300 * MIB }).write('x'),
	'/endless': (asked, answer) => {
		const more = () => { while (answer.writable && answer.write(Buffer.alloc(MIB, 1))); };
		answer.on('drain', more);
		more();
	},
	'/drops': (asked, answer) => {
		answer.writeHead(200, { 'content-type': 'video/mp4' });
		const timer = setInterval(() => answer.write('.'), 100);
		answer.on('close', () => clearInterval(timer));
	},
	'/silent': (asked, answer) => held.push(answer),
});
after(() => host.stop());

const sections = (media = {}) => ({ egress: { allow: `127.0.0.1:${host.port}` }, media: { max_upload_mb: 250, ...media } });
const server = await startServer({ sandbox, ini: sections() });
after(() => server.stop());
const org = await server.organization(), other = await server.organization();

async function good(promise, status = 201) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}
async function refused(promise, status, code) {
	const answer = await promise;
	assert.deepEqual([answer.status, answer.json?.error.code], [status, code], answer.text);
	return answer.json.error;
}
const listed = async (client = org.live) => (await good(client.get('/v1/media?limit=200'), 200)).data;
const eventsOf = async (id) => (await good(org.live.get('/v1/events?types=media.*&limit=200'), 200)).data
	.filter((e) => e.data.object.id === id);

// What the test does leaves no row and no file.
async function nothing(run) {
	const before = [(await listed()).length, files(server).length];
	await run();
	await until('nothing is left', async () => files(server).length === before[1] && (await listed()).length === before[0]);
}

// ---- sending ----

test('a small picture is ready at once', async () => {
	const bytes = png(30, 20);
	const made = await good(send(org.live, bytes, { 'x-filename': "UTF-8''..%2Fna%C3%AFve.png", query: '?altText=A%20field&keepDays=3' }));
	const { fitness, ...told } = made, { id, createdAt, expiresAt, ...rest } = told;
	assert.match(id, /^med_[0-9a-z]{26}$/);
	assert.equal(Date.parse(expiresAt) - Date.parse(createdAt), 3 * 86400_000);
	assert.deepEqual(rest, {
		status: 'ready', type: 'image', mimeSniffed: 'image/png', bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'),
		width: 30, height: 20, durationMs: null, codec: 'png', altText: 'A field', filename: 'naïve.png', error: null,
	});
	assert.deepEqual(fitness.bluesky, { ok: true, issues: [] });
	assert.deepEqual(await good(org.live.get(`/v1/media/${id}`), 200), made);
	assert.deepEqual((await eventsOf(id)).map((e) => [e.type, e.data.object]), [['media.ready', told]]);
	assert.ok(files(server).includes(id));
});

test('its kind is told by its bytes, whatever its type says', async () => {
	const video = await good(send(org.live, mp4({ width: 1280, height: 720, seconds: 3 }), { 'content-type': 'image/jpeg' }));
	assert.deepEqual([video.type, video.mimeSniffed, video.width, video.durationMs, video.codec], ['video', 'video/mp4', 1280, 3000, 'h264']);
	await good(send(org.live, png(4, 4), { 'content-type': 'application/octet-stream' }));
});

test('two hundred megabytes go through without being held in memory', async () => {
	const whole = mp4(), mdat = whole.indexOf('mdat') - 4, bytes = 200 * MIB;
	const moov = whole.subarray(mdat + whole.readUInt32BE(mdat)), size = Buffer.alloc(4);
	size.writeUInt32BE(bytes + 8);
	await good(send(org.live, png(8, 8)));		/* what a first upload needs is there */
	const before = most(server.pid);
	const head = Buffer.concat([whole.subarray(0, mdat), size, Buffer.from('mdat')]);
	const made = await good(stream(server, org.live_key, { head, bytes, tail: moov }));
	assert.equal(made.bytes, mdat + 8 + bytes + moov.length);
	assert.ok(most(server.pid) - before < 32, `it grew by ${most(server.pid) - before} MiB`);
	await good(org.live.delete(`/v1/media/${made.id}`), 200);
	assert.ok(!files(server).includes(made.id));
});

test('what is no file of ours is refused and leaves nothing', () => nothing(async () => {
	const form = { 'content-type': 'multipart/form-data; boundary=x' };
	const multipart = await refused(send(org.live, png(2, 2), form), 415, 'unsupported_media_type');
	assert.match(multipart.remediation, /^curl .*--data-binary @photo\.jpg http\S+\/v1\/media$/);
	await refused(send(org.live, png(2, 2), { 'content-type': 'application/x-www-form-urlencoded' }), 415, 'unsupported_media_type');
	await refused(send(org.live, png(2, 2), { 'content-type': 'text/html' }), 415, 'unsupported_media_type');
	await refused(send(org.live, Buffer.from('just words, and no picture')), 422, 'media_type_unsupported');
	await refused(send(org.live, png(50, 50).subarray(0, 60)), 422, 'media_unreadable');
	await refused(send(org.live, ''), 400, 'invalid_request');
	await refused(send(org.live, png(2, 2), { query: '?alt=x' }), 422, 'unknown_field');
	await refused(send(org.live, png(2, 2), { query: '?X-Filename=x' }), 422, 'unknown_field');
	await refused(send(org.live, png(2, 2), { query: '?keepDays=0' }), 422, 'field_invalid');
}));

test('the curl line of the refusal works', async () => {
	const { remediation } = await refused(send(org.live, 'x', { 'content-type': 'multipart/form-data' }), 415, 'unsupported_media_type');
	const place = mkdtempSync(join(tmpdir(), 'mps-media-'));
	writeFileSync(join(place, 'photo.jpg'), png(7, 5));
	const line = remediation.replace('KEY', org.live_key).replace(/^curl /, 'curl -sS ');
	const made = JSON.parse(execFileSync('/bin/sh', ['-c', line], { cwd: place, encoding: 'utf8' }));
	rmSync(place, { recursive: true });
	assert.deepEqual([made.status, made.mimeSniffed, made.filename, made.width], ['ready', 'image/png', 'photo.jpg', 7]);
});

test('a body that ends early, and a client that vanishes, leave nothing', () => nothing(async () => {
	const whole = png(60, 60);
	assert.match(await cut(server, org.live_key, { length: whole.length, body: whole.subarray(0, 100) }), /^HTTP\/1\.1 400 /);
	await cut(server, org.live_key, { length: 100 * MIB, body: Buffer.alloc(3 * MIB), how: 'reset' });
	await cut(server, org.live_key, { length: whole.length, body: whole.subarray(0, 100), how: 'reset' });
}));

test('an Idempotency-Key compares the file', async () => {
	const headers = { 'idempotency-key': 'one', 'x-filename': 'a.png' }, first = await good(send(org.live, png(11, 11), headers));
	const count = files(server).length, again = await send(org.live, png(11, 11), headers);
	assert.deepEqual([again.status, again.json, again.headers['idempotent-replayed']], [201, first, 'true']);
	await refused(send(org.live, png(12, 12), headers), 409, 'idempotency_key_reused');
	await refused(send(org.live, png(11, 11), { ...headers, 'x-filename': 'b.png' }), 409, 'idempotency_key_reused');
	assert.equal(files(server).length, count);
});

// ---- owners, description, removal ----

test('nobody else sees it, neither the other mode nor the other organization', async () => {
	const { id } = await good(send(org.live, png(6, 6)));
	for (const client of [org.test, other.live, other.test]) {
		await refused(client.get(`/v1/media/${id}`), 404, 'media_not_found');
		await refused(client.patch(`/v1/media/${id}`, { altText: 'x' }), 404, 'media_not_found');
		await refused(client.delete(`/v1/media/${id}`), 404, 'media_not_found');
		assert.ok(!(await listed(client)).some((m) => m.id === id));
	}
	const test = await good(send(org.test, png(6, 6)));
	assert.ok(!(await listed()).some((m) => m.id === test.id));
	assert.equal((await good(org.live.patch(`/v1/media/${id}`, { altText: 'Six by six' }), 200)).altText, 'Six by six');
	assert.equal((await good(org.live.patch(`/v1/media/${id}`, { altText: null }), 200)).altText, null);
	await refused(org.live.patch(`/v1/media/${id}`, { width: 7 }), 422, 'unknown_field');
});

test('the list goes page by page', async () => {
	const all = await listed(), walked = [];
	for (let cursor = ''; cursor !== null;) {
		const page = await good(org.live.get(`/v1/media?limit=2${cursor && `&cursor=${cursor}`}`), 200);
		walked.push(...page.data);
		cursor = page.nextCursor;
	}
	assert.ok(all.length > 4);
	assert.deepEqual(walked, all);
});

test('what is removed is gone, row and file', async () => {
	const { id } = await good(send(org.live, png(5, 4)));
	const key = { 'idempotency-key': 'remove' };
	assert.deepEqual(await good(org.live.delete(`/v1/media/${id}`, undefined, key), 200), { id, deleted: true });
	assert.ok(!files(server).includes(id));
	assert.deepEqual(await good(org.live.delete(`/v1/media/${id}`, undefined, key), 200), { id, deleted: true });
	await refused(org.live.delete(`/v1/media/${id}`), 404, 'media_not_found');
});

// ---- posts ----

test('a post holds its media until it is sent, and sends their bytes', async () => {
	const ours = await connected(server, sandbox, ['alice']), bytes = png(70, 50);
	const post = (id, mode) => ours.test.post('/v1/posts?wait=20', {
		externalUserId: ours.user, platforms: ['sandbox'], text: `With ${id}`, mode, media: [{ mediaId: id }],
	});
	const { id, sha256 } = await good(send(ours.test, bytes)), draft = await good(post(id, 'draft'));
	const refusal = await refused(ours.test.delete(`/v1/media/${id}`), 409, 'media_in_use');
	assert.match(refusal.remediation, /Cancel the post/);
	assert.ok(files(server).includes(id));
	await good(ours.test.post(`/v1/posts/${draft.id}/cancel`, {}), 200);
	const sent = await good(post(id, 'now'), 202);
	assert.equal(sent.status, 'published', JSON.stringify(sent));
	const [row] = await sandbox.ledger(`With ${id}`);
	assert.equal((await sandbox.control('get', `media/${row.media_ids[0]}`)).sha256, sha256);
	await good(ours.test.delete(`/v1/media/${id}`), 200);
	assert.ok(!files(server).includes(id));
});

test('a file that is not there when its post is sent fails it clearly, and sends nothing', async () => {
	const ours = await connected(server, sandbox, ['bertha']);
	const { id } = await good(send(ours.test, png(71, 50)));
	rmSync(join(folder(server), id));
	const sent = await good(ours.test.post('/v1/posts?wait=20', {
		externalUserId: ours.user, platforms: ['sandbox'], text: `Without ${id}`, media: [{ mediaId: id }],
	}), 202);
	assert.deepEqual([sent.status, sent.deliveries[0].error.code], ['failed', 'media_unreadable'], JSON.stringify(sent));
	assert.equal(await sandbox.count(`Without ${id}`), 0);
});

// ---- fetching ----

test('a file is fetched by its address, once for ten minutes', async () => {
	const made = await good(fetchUrl(org.live, host.url('/good.png?x=1'), { altText: 'Good' }));
	assert.deepEqual([made.status, made.width, made.height, made.altText, made.filename], ['ready', 33, 22, 'Good', 'good.png']);
	assert.deepEqual((await eventsOf(made.id)).map((e) => e.type), ['media.ready']);
	assert.equal((await good(fetchUrl(org.live, host.url('/good.png?x=1')))).id, made.id);
	assert.equal(host.hits.filter((h) => h === '/good.png?x=1').length, 1);
	assert.notEqual((await good(fetchUrl(org.test, host.url('/good.png?x=1')))).id, made.id);
	assert.equal((await good(fetchUrl(org.live, host.url('/video.mp4')))).bytes, mp4({ bytes: 3 * MIB }).length);
});

test('without a wait the answer names what will be ready', async () => {
	const begun = await good(fetchUrl(org.live, host.url('/good.png?x=2'), { wait: 0 }), 202);
	assert.equal(begun.status, 'uploading');
	await until('it is ready', async () => (await good(org.live.get(`/v1/media/${begun.id}`), 200)).status === 'ready');
});

test('redirects are followed three times, and no further', async () => {
	assert.equal((await good(fetchUrl(org.live, host.url('/one')))).width, 33);
	const far = await good(fetchUrl(org.live, host.url('/four')), 202), round = await good(fetchUrl(org.live, host.url('/round')), 202);
	for (const one of [far, round]) assert.deepEqual([one.status, one.error.code], ['failed', 'media_unreachable']);
	assert.equal(host.hits.filter((h) => h === '/round').length, 4);
});

test('no redirect leads to a private address', async () => {
	for (const path of ['/away', '/metadata', '/private', '/file', '/port']) {
		const made = await good(fetchUrl(org.live, host.url(path)), 202);
		assert.deepEqual([made.status, made.error.code], ['failed', 'media_unreachable'], path);
		if (path === '/port') assert.match(made.error.message, /port 8443 is not open/);
		assert.deepEqual((await eventsOf(made.id)).map((e) => e.type), ['media.failed']);
		assert.ok(!files(server).includes(made.id));
	}
	for (const url of [forbidden, 'https://127.0.0.1/x', 'https://localhost/x', 'https://[::1]/x', 'https://u:p@example.com/x',
		'https://example.com:8443/x', 'ftp://example.com/x', 'https://192.168.1.1/x', 'http://example.com/x']) {
		await refused(fetchUrl(org.live, url), 422, 'media_unreachable');
	}
	assert.ok(!oracle.seen, 'the forbidden host was asked');
});

test('what cannot be had fails with its reason', async () => {
	for (const [path, code] of [['/gone', 'media_unreachable'], ['/nowhere', 'media_unreachable'], ['/short.png', 'media_unreachable'],
		['/page.html', 'media_type_unsupported'], ['/large', 'media_too_large']]) {
		const made = await good(fetchUrl(org.live, host.url(path)), 202);
		assert.deepEqual([made.status, made.error?.code, made.bytes], ['failed', code, 0], JSON.stringify(made));
		assert.ok(!files(server).includes(made.id));
	}
});

test('one organization\'s slow hosts do not keep another waiting', async () => {
	const slow = await Promise.all([3, 4, 5, 6, 7, 8].map((n) => good(fetchUrl(org.live, host.url(`/silent?${n}`), { wait: 0 }), 202)));
	await until('two of them are asked for', () => held.length === 2);
	assert.equal((await good(fetchUrl(other.live, host.url('/good.png?x=3')))).status, 'ready');
	assert.equal(held.length, 2);
	for (let i = 0; i < slow.length; i++) {
		await until('the next is asked for', () => held.length > i);
		held[i].end(png(4, 4));
	}
	for (const { id } of slow) {
		await until('it is ready', async () => (await good(org.live.get(`/v1/media/${id}`), 200)).status === 'ready');
	}
});

// ---- ceilings, quota, trickles, a full disk: a server with little ----

test('ceilings are kept while the bytes come', async () => {
	const small = await startServer({ sandbox, ini: sections({ max_upload_mb: 1, quota_mb: 2, fetch_seconds: 2 }) });
	after(() => small.stop());
	const mine = await small.organization(), video = (n) => mp4({ bytes: n * MIB });
	const list = async () => (await good(mine.live.get('/v1/media'), 200)).data;
	const clean = () => until('nothing is left', () => files(small).length === 0);

	await refused(send(mine.live, video(1.5)), 413, 'media_too_large');
	const early = request(`${small.url}/v1/media`, {
		method: 'POST', agent: false,
		headers: { authorization: `Bearer ${mine.live_key}`, 'content-type': 'video/mp4', 'content-length': 2 * MIB, expect: '100-continue' },
	});
	early.on('continue', () => assert.fail('the body was asked for'));
	early.flushHeaders();
	const [answer] = await once(early, 'response');
	assert.equal(answer.statusCode, 413);
	early.destroy();
	const endless = await good(fetchUrl(mine.live, host.url('/endless')), 202);
	assert.deepEqual([endless.status, endless.error.code], ['failed', 'media_too_large']);
	const drops = await good(fetchUrl(mine.live, host.url('/drops')), 202);
	assert.deepEqual([drops.status, drops.error.code], ['failed', 'media_unreachable']);
	await clean();

	const first = await good(send(mine.live, video(0.9)));
	const three = await Promise.all([1, 2, 3].map((n) => send(n % 2 ? mine.live : mine.test, video(0.9))));
	assert.deepEqual(three.map((a) => a.status).sort(), [201, 402, 402]);
	await refused(send(mine.live, video(0.5)), 402, 'media_quota_reached');
	const late = await good(fetchUrl(mine.live, host.url('/video.mp4')), 202);
	assert.ok(['media_quota_reached', 'media_too_large'].includes(late.error.code), late.error.code);
	assert.equal(files(small).length, 2);
	await good(mine.live.delete(`/v1/media/${first.id}`), 200);
	await good(send(mine.live, video(0.5)));
	assert.ok((await list()).length >= 1);
});

test('a full disk is told, leaves nothing, and passes', () => nothing(async () => {
	const limit = (bytes) => execFileSync('prlimit', ['--pid', String(server.pid), `--fsize=${bytes}:unlimited`]);
	limit(8 * MIB);
	const full = await send(org.live, mp4({ bytes: 20 * MIB })).catch((error) => error);
	limit('unlimited');
	assert.deepEqual([full.status, full.json?.error.code], [503, 'storage_full'], full.text ?? full.message);
	assert.equal((await org.live.get('/v1/media')).status, 200);
	const made = await good(send(org.live, mp4({ bytes: 9 * MIB })));
	await good(org.live.delete(`/v1/media/${made.id}`), 200);
}));

// ---- stops ----

test('a stop cancels what is fetched', async () => {
	const begun = await good(fetchUrl(org.live, host.url('/silent'), { wait: 0 }), 202);
	await until('it is asked for', () => host.hits.includes('/silent'));
	const began = Date.now();
	await server.end();
	assert.ok(Date.now() - began < 15_000, 'the stop waited for it');
	await server.start();
	const ended = await good(org.live.get(`/v1/media/${begun.id}`), 200);
	assert.deepEqual([ended.status, ended.error.code], ['failed', 'media_unreachable']);
});

test('a crash leaves what the next start fails', async () => {
	const begun = await good(fetchUrl(org.live, host.url('/silent?2'), { wait: 0 }), 202);
	await until('it is asked for', () => host.hits.includes('/silent?2'));
	await server.kill();
	await server.start();
	const ended = await good(org.live.get(`/v1/media/${begun.id}`), 200);
	assert.deepEqual([ended.status, ended.error.code], ['failed', 'media_unreachable']);
	assert.deepEqual((await eventsOf(begun.id)).map((e) => e.type), ['media.failed']);
	assert.ok(!files(server).includes(begun.id));
});

test('a file goes after its row, whatever stops between; nobody\'s file goes an hour later', async () => {
	const place = mkdtempSync(join(tmpdir(), 'mps-media-')), clock = join(place, 'clock');
	const ahead = (hours) => writeFileSync(clock, Buffer.from(BigInt64Array.of(BigInt(hours) * 3600_000n).buffer), { flag: 'r+' });
	writeFileSync(clock, Buffer.alloc(8));
	after(() => rmSync(place, { recursive: true }));
	const failing = await startServer({ sandbox, ini: sections({ keep_days: 1 }), build: `${build}-fail`, env: { MPS_CLOCK: clock } });
	after(() => failing.stop());
	const mine = await failing.organization();
	const crash = async (point, run) => {
		await failing.end();
		failing.env = { MPS_CLOCK: clock, MPS_FAILPOINT: `${point}:1:kill` };
		await failing.start();
		await run().catch(() => {});
		await until('it is killed', () => !failing.alive);
		failing.env = { MPS_CLOCK: clock };
		await failing.start();
	};
	const list = async () => (await good(mine.live.get('/v1/media'), 200)).data.map((m) => m.id);

	await crash('media.uploaded', () => send(mine.live, png(3, 3)));
	assert.deepEqual([await list(), files(failing).length], [[], 1], 'a file without its row');
	const keep = await good(send(mine.live, png(4, 4), { query: '?keepDays=30' })), gone = await good(send(mine.live, png(5, 5)));
	await crash('media.removed', () => mine.live.delete(`/v1/media/${gone.id}`));
	assert.deepEqual([await list(), files(failing).length], [[keep.id], 3]);
	const old = await good(send(mine.live, png(6, 6)));
	await crash('media.expired', async () => ahead(25));
	assert.deepEqual(await list(), [keep.id]);
	await until('only the named file is left', () => files(failing).length === 1);
	assert.deepEqual(files(failing), [keep.id]);
	assert.equal((await mine.live.get(`/v1/media/${old.id}`)).status, 404);
	ahead(24 * 31);
	await until('it has expired', () => files(failing).length === 0);
	assert.deepEqual(await list(), []);
});

await done();
