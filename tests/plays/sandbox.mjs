// The sandbox and the server as real processes: what every other integration test stands on.
import assert from 'node:assert/strict';
import { Lost, api } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';
import { until } from '../lib/wait.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());

const client = async (account, type) => api(sandbox.url, (await sandbox.sign_in(account, type)).access_token);
const lost = (promise) => assert.rejects(promise, Lost);

test('a person signs in by the form of the consent page', async () => {
	const alice = await client('alice', 'keyed');
	const { status, json } = await alice.get('/v1/me');
	assert.equal(status, 200);
	assert.deepEqual([json.username, json.type], ['alice', 'keyed']);
	assert.equal((await sandbox.stats()).token_exchanges, 1);
});

test('a post that was published and never answered is in the ledger once', async () => {
	const alice = await client('alice', 'keyed');
	const send = () => alice.post('/v1/posts', { text: 'lost [[reset:after]]' }, { 'idempotency-key': 'one' });
	await lost(send());
	assert.equal((await send()).status, 200);
	assert.equal(await sandbox.count('lost'), 1);
	await lost(alice.post('/v1/posts', { text: 'silent [[timeout]]' }, {}, 300));
	assert.equal(await sandbox.count('silent'), 1);
});

test('the ledger is the same after kill -9 of the sandbox', async () => {
	const sam = await client('sam', 'search');
	await sam.post('/v1/posts', { text: 'kept' });
	await lost(sam.post('/v1/posts', { text: 'late [[delayed:1s]]' }));
	await sandbox.restart();
	assert.equal(await sandbox.count('kept'), 1);
	await until('the late post appears', async () => await sandbox.count('late') === 1);
	assert.equal((await sam.get('/v1/me')).status, 200);
});

test('the server answers after a restart and after kill -9 on the same store', async () => {
	const one = await server.organization('North Peak');
	assert.match(one.live_key, /^mps_live_/);
	assert.match(one.test_key, /^mps_test_/);
	await server.restart();
	await server.restart('SIGKILL');
	assert.match(await server.command('org', 'list'), /North Peak/);
});

test('a second server on the same store is refused', async () => {
	const { status, output } = await server.attempt('serve');
	assert.notEqual(status, 0);
	assert.match(output, /mypostshare/);
});

await done();
