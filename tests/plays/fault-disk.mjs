// F4: the whole server on a small disk, with its log, and the disk runs full.  Writes and uploads answer 503 storage_full and
// leave nothing behind, reads go on, what is on its way is neither lost nor doubled, and all comes back by itself.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connected } from '../lib/connected.mjs';
import { SmallDisk } from '../lib/disk.mjs';
import { files } from '../lib/media.mjs';
import { Child } from '../lib/process.mjs';
import { Promises } from '../lib/promises.mjs';
import { mp4, png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const ROUNDS = process.env.TEST_LONG ? 10 : 2;
const accounts = [1, 2, 3, 4].map((n) => [`keyed-${n}`, 'keyed']), names = accounts.map(([name]) => name);
const sandbox = await startSandbox();
after(() => sandbox.stop());
const disk = new SmallDisk(112);
after(() => disk.remove());
const server = await startServer({ sandbox, ini: { engine: { request_timeout_ms: 1500 }, log: { level: 'info' } }, folder: disk.folder });
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, accounts);
const log = join(disk.folder, 'log');

// The log on the same disk.
async function start() {
	const command = `exec "${server.build}/mypostshare" --config "${server.config}" serve 2>>"${log}"`;
	server.child = new Child('/bin/sh', ['-c', command], { env: server.env });
	server.pid = server.child.pid;
	await until('it is ready', async () => {
		if (!server.alive) throw new Error(`it ended: ${JSON.stringify(server.child.ended)}: ${readFileSync(log, 'utf8').slice(-2000)}`);
		return (await org.test.get('/readyz').catch(() => undefined))?.status === 200;
	});
}

const upload = (bytes, type) => org.test.post('/v1/media', bytes, { 'content-type': type });

test('F4 a full disk: 503 storage_full, reads go on, nothing is lost or doubled, and it recovers by itself', async () => {
	const promises = new Promises(org, sandbox, names, 'full');
	await server.end();
	await start();
	assert.equal((await upload(png(64, 48, 1), 'image/png')).status, 201);
	promises.start(6, 40);
	for (let i = 0; i < ROUNDS; i++) {
		const kept = promises.kept.size;
		await until('posts are accepted', () => promises.kept.size > kept + 10);
		const media = files(server);
		await until('the disk is full', async () => {
			disk.fill();
			return [...promises.refused.values()].some(({ code }) => code === 'storage_full');
		});
		const [text, id] = [...promises.kept].at(-1);
		const seen = await org.test.get(`/v1/posts/${id}`);
		assert.equal(seen.status, 200, seen.text);
		assert.equal(seen.json.text, text);
		for (const [bytes, type] of [[png(64, 48, 2 + i), 'image/png'], [mp4({ bytes: 3 << 20, seed: i }), 'video/mp4']]) {
			const answer = await upload(bytes, type);
			assert.deepEqual([answer.status, answer.json?.error.code], [503, 'storage_full'], answer.text);
			assert.deepEqual(files(server), media, 'an upload left a file');
		}
		assert.ok(server.alive, 'a full disk ended the server');
		if (i % 2) await server.kill();
		disk.empty();
		if (i % 2) await start();
		const full = promises.kept.size;
		await until('posts are accepted again', () => promises.kept.size > full + 5);
		assert.equal((await upload(png(64, 48, 100 + i), 'image/png')).status, 201);
	}
	await promises.stop();
	const codes = promises.codes();
	assert.ok([...codes].every((code) => ['storage_full', 'storage_error', 'unavailable', 'lost'].includes(code)), [...codes].join(' '));
	await server.kill();
	await start();
	console.log(`# ${JSON.stringify(await promises.judge())}`);
	for (const line of readFileSync(log, 'utf8').split('\n').slice(-20, -1)) JSON.parse(line);
});

test('F4 a disk that fills up while a start is under way: ready or refused with words, and then it starts', async () => {
	await server.end();
	disk.fill();
	const { status, output } = await server.attempt('serve', '--no-such');	// the table of commands needs no disk
	assert.equal(status, 2, output);
	server.child = new Child(`${server.build}/mypostshare`, ['--config', server.config, 'serve']);
	server.pid = server.child.pid;
	await until('it is ready or has ended', async () =>
		!server.alive || (await org.test.get('/readyz').catch(() => undefined))?.status === 200);
	if (!server.alive) {
		assert.equal(server.child.ended.status, 1, server.log());
		assert.match(server.log(), /full|space/, server.log());
	}
	await server.kill();
	disk.empty();
	await start();
	assert.equal((await org.test.post('/v1/end-users', { externalUserId: 'after' })).status, 201);
});

await done(process.env.TEST_LONG ? 1_200_000 : 120_000);
