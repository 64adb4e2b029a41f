// A disk that fails under the server as it is run: F3, syncs that fail.
//
// What was answered is compared with what the store has after a kill -9 and with what the sandbox's ledger has.
// More rounds with TEST_LONG=1.
import assert from 'node:assert/strict';
import { connected } from '../lib/connected.mjs';
import { SyncFault } from '../lib/disk.mjs';
import { files } from '../lib/media.mjs';
import { Promises } from '../lib/promises.mjs';
import { png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const ROUNDS = process.env.TEST_LONG ? 60 : 4;
const accounts = Array.from({ length: 6 }, (_, i) => [`keyed-${i}`, 'keyed']), names = accounts.map(([name]) => name);

const sandbox = await startSandbox();
after(() => sandbox.stop());
const disk = new SyncFault();
after(() => disk.remove());
const server = await startServer({ sandbox, env: disk.env, ini: { engine: { request_timeout_ms: 1500 } } });
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, accounts);

const upload = (seed) => org.test.post('/v1/media', png(64, 48, seed), { 'content-type': 'image/png' });

test('F3 a sync that fails refuses the write with 503, reads go on, and writes come back by themselves', async () => {
	const promises = new Promises(org, sandbox, names, 'sync');
	promises.start();
	for (let i = 0; i < ROUNDS; i++) {
		const struck = disk.struck, kept = promises.kept.size;
		await until('posts are accepted', () => promises.kept.size > kept + 10);
		disk.fail(i % 2 ? '' : '-wal');
		await until('a sync failed', () => disk.struck > struck);
		await until('writes are refused', async () => (await promises.send(`sync refused ${i}.`, names[0]))?.status === 503);
		const [text, id] = [...promises.kept].at(-1);
		const seen = await org.test.get(`/v1/posts/${id}`);
		assert.equal(seen.status, 200, seen.text);
		assert.equal(seen.json.text, text);
		if (i % 4 === 1) await server.kill();		// with the refused record in the file
		disk.heal();
		if (i % 4 === 1) await server.start();
		await until('writes come back', async () => (await promises.send(`sync back ${i}.`, names[1]))?.status === 202);
		if (i % 4 === 3) await server.restart('SIGKILL');
	}
	await promises.stop();
	const codes = promises.codes();
	assert.ok([...codes].every((code) => ['storage_error', 'unavailable', 'lost'].includes(code)), [...codes].join(' '));
	assert.ok(codes.has('storage_error'));
	await server.restart('SIGKILL');
	console.log(`# ${JSON.stringify(await promises.judge())}`);
});

test('F3 one key over a failed sync: asked again it is one post', async () => {
	const promises = new Promises(org, sandbox, names, 'again');
	disk.fail('-wal');
	const first = await Promise.all(names.map((name, i) => promises.send(`again ${i}.`, name)));
	assert.ok(first.every((answer) => answer.status === 503), 'a write is accepted without its sync');
	disk.heal();
	for (const [i, name] of names.entries()) {
		await until('it is accepted', async () => (await promises.send(`again ${i}.`, name))?.status === 202);
	}
	await server.restart('SIGKILL');
	assert.deepEqual(await promises.judge(), { promised: names.length, refused: 0, whole: 0 });
});

test('F3 a medium that cannot be synced is refused, and leaves no file', async () => {
	const before = files(server);
	for (const end of ['', '-wal']) {
		disk.fail(end);
		const answer = await upload(7);
		assert.equal(answer.status, 503, answer.text);
		assert.equal(answer.json.error.code, 'storage_error', answer.text);
		if (end === '') assert.deepEqual(files(server), before);
		disk.heal();
		await until('media are taken again', async () => (await upload(8)).status < 300);
	}
});

await done(process.env.TEST_LONG ? 3_600_000 : 120_000);
