// F11: backups of a server under load, and what a restore may and may not do.
//
//   the copy is whole, and has every 2xx that was answered before it began
//   nothing of it can be read without the master key; a destroyed data key shreds its owner's secrets, and only those
//   what may have been published since the backup is never published again by itself: the ledger is the oracle
//
// A store of 1 GB with TEST_LONG=1, of 200 MB otherwise.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Backups, tree } from '../lib/backups.mjs';
import { connect, connected } from '../lib/connected.mjs';
import { SmallDisk } from '../lib/disk.mjs';
import { Child } from '../lib/process.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { sleep } from '../lib/wait.mjs';

const STORE_MB = process.env.TEST_LONG ? 1000 : 200, CLIENTS = 6, HOUR = 3_600_000;

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: {
	sandbox: { settle_ms: 500 }, engine: { request_timeout_ms: 1500 }, server: { key_per_minute: 0, address_per_minute: 0 },
} });
after(() => server.stop('SIGKILL'));
const backups = new Backups(server);
after(() => backups.remove());
const accounts = [['ada', 'keyed'], ['ben', 'search'], ['cem', 'none'], ['dov', 'handle']];
const org = await connected(server, sandbox, accounts);
const names = accounts.map(([name]) => name);

const targets = (name, from = org) => [{ connectionId: from.connections[name].id }];
async function post(text, name, more = {}) {
	const { status, json, text: words } = await org.test.post('/v1/posts', { targets: targets(name), text, ...more });
	assert.ok(status === 202 || status === 201, words);
	return json.id;
}
const read = async (id) => {
	const { status, json, text } = await org.test.get(`/v1/posts/${id}`);
	assert.equal(status, 200, text);
	return json;
};
const rests = (id, ...wanted) => until(`post ${id} is ${wanted.join(' or ')}`, async () => {
	const json = await read(id);
	return wanted.includes(json.deliveries[0].status) && json;
}, 30_000);
const in_ms = (ms) => new Date(Date.now() + ms).toISOString();
const later = (text, name, ms) => post(text, name, { mode: 'schedule', scheduledAt: in_ms(ms) });
const quantile = (list, q) => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) * q)];

// ---- under load ----

// A store of some size, written by SQLite itself while no server runs: rows that nobody asks for.
async function grow(mb) {
	await server.end();
	backups.look((store) => {
		store.exec('PRAGMA synchronous = OFF; BEGIN');
		const { id, app } = store.prepare('SELECT o.id AS id, a.id AS app FROM organization o JOIN app a ON a.organization_id = o.id').get();
		const add = store.prepare("INSERT INTO idempotency VALUES (?, ?, 0, ?, 'f', 202, ?, 'r', ?)");
		for (let i = 0; i < mb * 16; i++) add.run(id, app, `grown ${i}`, `${i} `.repeat(65536 / `${i} `.length), Date.now());
		store.exec('COMMIT');
	});
	await server.start();
}

// Clients that post until stop(): texts with the time of their 202, and how long each answer took.
function load(mark) {
	const made = [], took = [];
	let going = true, number = 0;
	const clients = Array.from({ length: CLIENTS }, async () => {
		for (; going; await sleep(5)) {
			const text = `${mark} ${number++}.`, begun = performance.now();
			const id = await post(text, names[number % names.length], { mode: 'draft' });
			took.push(performance.now() - begun);
			made.push({ text, id, at: Date.now() });
		}
	});
	return { made, took, stop: async () => { going = false; await Promise.all(clients); } };
}

let grown, promised;
test(`F11 a backup of ${STORE_MB} MB under load: it is made, and accepting posts goes on`, async () => {
	await grow(STORE_MB);
	const before = load('before');
	await sleep(3000);
	await before.stop();
	const during = load('during');
	await until('the load has begun', () => during.made.length > 20);
	const began = Date.now();
	grown = await backups.make();
	const ms = Date.now() - began, count = during.took.length;
	await during.stop();
	const p99 = [before, during].map(({ took }) => quantile(took, 0.99));
	console.log(`# backup of ${STORE_MB} MB in ${ms} ms; accepting meanwhile: ${count} posts, p99 ${p99[1].toFixed(1)} ms,`
		+ ` alone ${p99[0].toFixed(1)} ms`);
	assert.ok(count > 20, 'nothing was accepted meanwhile');
	assert.ok(p99[1] < Math.max(10 * p99[0], 1000), `p99 is ${p99[1]} ms during a backup and ${p99[0]} ms without`);
	promised = [...before.made, ...during.made.filter(({ at }) => at < began)];
	assert.ok(backups.bytes(grown) > STORE_MB * 1e6);
	assert.equal(existsSync(join(backups.data, 'copy')), false, 'the copy is left in the data folder');
	assert.equal(statSync(grown).mode & 0o777, 0o700);
	for (const file of tree(grown)) assert.equal(statSync(file).mode & 0o777, 0o600, file);
	const { text } = await org.live.get('/metrics');
	assert.match(text, /^mypostshare_backups_total\{result="done"\} 1$/m);
});

test('F11 the copy passes the check, and has every 2xx that came before it began', async () => {
	await server.kill();
	const began = Date.now();
	const said = await backups.restore(grown);
	console.log(`# restore of ${STORE_MB} MB in ${Date.now() - began} ms`);
	assert.ok(Date.now() - began < 300_000);
	assert.match(said, /^owners_without_data_key 0$/m);
	backups.look((store) => {
		assert.equal(store.prepare('PRAGMA integrity_check').get().integrity_check, 'ok');
		const has = store.prepare('SELECT text FROM post WHERE id = ?');
		for (const { id, text } of promised) assert.equal(has.get(id)?.text, text, `${text} had its 2xx before the backup began`);
	});
	// the rest goes on with a small store
	backups.look((store) => { store.exec("DELETE FROM idempotency WHERE key LIKE 'grown %'; VACUUM"); });
	rmSync(grown, { recursive: true });
	await server.start();
	assert.equal((await read(promised[0].id)).text, promised[0].text);
});

// ---- never twice ----

const pause = async (paused) => assert.equal((await org.test.patch(`/v1/connections/${org.connections.ada.id}`, { paused })).status, 200);
test('F11 what was published after the backup is not published again', async () => {
	const due = {}, future = {};
	for (const name of names) due[name] = await later(`due after the backup by ${name}`, name, 5000);
	await pause(true);
	const paused = await post('paused at the backup', 'ada');
	await rests(paused, 'blocked');
	const thread = [{ text: 'child of the thread' }];
	const family = await post('parent of the thread', 'ben', { mode: 'schedule', scheduledAt: in_ms(5000), thread });
	future.early = await later('for tomorrow, but published now', 'ben', 24 * HOUR);
	future.canceled = await later('for tomorrow, but canceled', 'ben', 24 * HOUR);
	future.plain = await later('for tomorrow', 'ben', 24 * HOUR);
	const backup = await backups.make();
	await pause(false);
	assert.ok((await org.test.post(`/v1/posts/${future.early}/publish`, {})).status < 300);
	assert.ok((await org.test.post(`/v1/posts/${future.canceled}/cancel`, {})).status < 300);
	const all = [...Object.values(due), paused, family, future.early];
	for (const id of all) await rests(id, 'published');
	await until('the child is there', async () => await sandbox.count('child of the thread') === 1);
	const ledger = await sandbox.ledger();
	await server.kill();

	const said = await backups.restore(backup);
	assert.match(said, /^unconfirmed 7$/m, said);
	assert.match(said, /^held 3$/m, said);
	await server.start();
	for (const id of [...Object.values(due), paused, family]) {
		const { status, deliveries } = await read(id);
		assert.equal(status, 'needs_attention');
		for (const one of deliveries) assert.deepEqual([one.status, one.statusReason], ['unconfirmed', 'restored'], JSON.stringify(one));
	}
	for (const id of Object.values(future)) {
		const [one] = (await read(id)).deliveries;
		assert.deepEqual([one.status, one.statusReason], ['blocked', 'restored']);
	}
	const events = (await org.test.get('/v1/events?limit=200&after=1000000000000')).json.data;
	assert.ok(events.filter(({ type }) => type === 'delivery.unconfirmed').length >= 7, 'held back without an event');
	for (const id of all) {		// asking the platform again sends nothing either
		for (const { id: one } of (await read(id)).deliveries) await org.test.post(`/v1/deliveries/${one}/reconcile`, {});
	}
	await server.restart('SIGKILL');
	await sleep(4000);
	assert.deepEqual(await sandbox.ledger(), ledger, 'something was published twice');

	// a person decides; a child whose parent is confirmed is not sent by that
	const [parent, child] = (await read(family)).deliveries;
	const { post_id: remotePostId } = ledger.find(({ text }) => text === 'parent of the thread');
	const said_so = await org.test.post(`/v1/deliveries/${parent.id}/resolve`, { outcome: 'published', remotePostId });
	assert.ok(said_so.status < 300, said_so.text);
	await sleep(1500);
	assert.equal((await read(family)).deliveries.find(({ id }) => id === child.id).status, 'unconfirmed');
	assert.equal(await sandbox.count('child of the thread'), 1);

	// the operator lets the rest go, once it is sure
	assert.ok((await org.test.post(`/v1/posts/${future.early}/cancel`, {})).status < 300);
	assert.ok((await org.test.post(`/v1/posts/${future.canceled}/cancel`, {})).status < 300);
	assert.equal(await server.command('release'), 'released 1\n');
	const plain = await read(future.plain);
	assert.deepEqual([plain.deliveries[0].status, plain.status], ['pending', 'scheduled'], JSON.stringify(plain));
	assert.equal((await sandbox.ledger()).length, ledger.length);
	await pause(false);		// it was paused at the backup
});

test('F11 what was between request and answer at the backup is looked for, and never sent again', async () => {
	const ids = {};
	for (const name of names) ids[name] = await post(`under way by ${name} [[slow:6s]]`, name);
	for (const name of names) await rests(ids[name], 'committing', 'processing');
	const backup = await backups.make();
	await until('all are there', async () => (await sandbox.ledger('under way by')).length === names.length, 30_000);
	await server.kill();
	await backups.restore(backup);
	await server.start();
	for (const name of names) await rests(ids[name], 'published', 'unconfirmed');
	await until('what can be found is found', async () => (await read(ids.ben)).deliveries[0].status === 'published', 30_000);
	await sleep(3000);
	for (const name of names) assert.equal(await sandbox.count(`under way by ${name}`), 1, name);
	assert.deepEqual([(await read(ids.cem)).deliveries[0].status], ['unconfirmed']);
});

// The first request came to nothing, which two looks proved; a second was sent.  The backup is from between: it knows of
// one container, and that it holds no post.
test('F11 absence sends nothing after a restore', async () => {
	const id = await post('absent at the backup [[reset:before:once]]', 'dov');
	await rests(id, 'unconfirmed');
	const backup = await backups.make();
	assert.equal(await sandbox.count('absent at the backup'), 0);
	await rests(id, 'published');
	await server.kill();
	await backups.restore(backup);
	await server.start();
	for (let i = 0; i < 8; i++) {		// asked again and again
		await org.test.post(`/v1/deliveries/${(await read(id)).deliveries[0].id}/reconcile`, {});
		await sleep(500);
	}
	assert.equal((await read(id)).deliveries[0].status, 'unconfirmed');
	assert.equal(await sandbox.count('absent at the backup'), 1);
});

test('F11 a token that was renewed after the backup is tried once, then its person must connect again', async () => {
	await sandbox.account('eva', { type: 'keyed', refresh: 'rotating' });
	org.connections.eva = await connect(server, sandbox, org.test, org.user, 'eva', 'keyed');
	const backup = await backups.make();
	await sandbox.expire('eva');
	await rests(await post('eva renews', 'eva'), 'published');
	await server.kill();
	await backups.restore(backup);
	await server.start();
	const before = await sandbox.stats();
	await sandbox.expire('eva');
	const id = await post('eva after the restore', 'eva');
	const { deliveries: [one] } = await rests(id, 'blocked');
	assert.equal(one.statusReason, 'reauth');
	assert.equal((await org.test.get(`/v1/connections/${org.connections.eva.id}`)).json.status, 'reauth_required');
	await server.restart('SIGKILL');
	await sleep(2000);
	const now = await sandbox.stats();
	assert.equal(now.refreshes + now.replayed_refreshes - before.refreshes - before.replayed_refreshes, 1, JSON.stringify([before, now]));
	assert.equal(await sandbox.count('eva after'), 0);
});

test('F11 a destroyed data key shreds its owner alone', async () => {
	assert.ok((await org.test.post('/v1/end-users', { externalUserId: 'bob' })).status < 300);
	org.connections.fay = await connect(server, sandbox, org.test, 'bob', 'fay', 'keyed');
	const backup = await backups.make(), grave = `${backup}.tombstones`;
	await server.kill();
	const ada = (await backups.look((store) => store.prepare("SELECT id FROM end_user WHERE external_id = 'ada'").get())).id;
	writeFileSync(grave, `# erased after the backup\nend_user ${ada}\n`);
	assert.match(await backups.restore(backup, '--tombstones', grave), /^owners_without_data_key 1$/m);
	await server.start();
	await rests(await post('of one who is there', 'fay'), 'published');
	const { deliveries: [one] } = await rests(await post('of one who was erased', 'ben'), 'blocked', 'failed');
	assert.equal(one.statusReason, 'reauth', JSON.stringify(one));
	assert.equal(await sandbox.count('of one who was erased'), 0);
	for (const file of tree(backup)) assert.ok(!readFileSync(file).includes(ada), `${file} names somebody in clear`);
	await server.kill();
	await backups.restore(backup);		// the rest needs her
	await server.start();
});

// ---- killed, full, two at once ----

// A backup under way: the command, and its folder.
async function begun() {
	const folder = backups.name();
	const command = new Child(`${build}/mypostshare`, ['--config', server.config, 'backup', folder]);
	await until('a backup is under way', () => existsSync(`${folder}.part`) || command.ended, 10_000);
	return { folder, command };
}

test('F11 kill -9 of the server amid a backup: the command says so, and what is left is no backup', async () => {
	await grow(60);
	const { folder, command } = await begun();
	await server.kill();
	const { status } = await command.end;
	assert.equal(status, 1, command.output);
	assert.match(command.output, /ended before the backup was whole|closed it without an answer/);
	assert.ok(existsSync(`${folder}.part`) && !existsSync(folder));
	const store = backups.aside();
	const { status: refused, output } = await backups.attempt(`${folder}.part`);
	assert.equal(refused, 1);
	assert.match(output, /not a whole backup/);
	assert.ok(backups.empty);
	for (const name of readdirSync(store)) renameSync(join(store, name), join(backups.data, name));
	await server.start();
	assert.equal(existsSync(join(backups.data, 'copy')), false, 'the copy is left in the data folder');
	await server.command('backup', folder);
	assert.ok(existsSync(folder) && !existsSync(`${folder}.part`));
});

test('F11 two at once: the second is refused, and kill -9 of the command does not hurt the first', async () => {
	const { folder, command } = await begun();
	const { status, output } = await server.attempt('backup', backups.name());
	assert.equal(status, 1);
	assert.match(output, /a backup is running already/);
	await command.stop('SIGKILL');
	assert.match(await until('it is whole', async () => {
		const said = await server.command('backup');
		return !said.includes('state running') && said;
	}, 60_000), /^state done$/m);
	assert.equal(backups.manifest(folder).format, 1);
});

test('F11 a full disk: it is said, nothing is left, the server goes on', async () => {
	const disk = new SmallDisk(24);
	after(() => disk.remove());
	const folder = join(disk.folder, 'backup');
	const { status, output } = await server.attempt('backup', folder);
	assert.equal(status, 1);
	assert.match(output, /no backup was made: .*No space left/);
	assert.deepEqual(readdirSync(disk.folder), []);
	await rests(await post('after the full disk', 'ben'), 'published');
	assert.match((await org.live.get('/metrics')).text, /^mypostshare_backups_total\{result="failed"\} [1-9]/m);
	assert.match(server.log(), /"level":"error","who":"backup","msg":"[^"]*failed, nothing is left of it/);
});

test('F11 a data folder without room for the copy: refused at once, and what room there is stays the server\'s', async () => {
	const disk = new SmallDisk(24);
	after(() => disk.remove());
	const small = await startServer({ sandbox, folder: disk.folder });
	after(() => small.stop('SIGKILL'));
	const before = disk.free, { status, output } = await small.attempt('backup', backups.name());
	assert.equal(status, 1);
	assert.match(output, /no backup was made: the disk of the data folder has no room for a copy of the store/);
	assert.ok(disk.free > before - (1 << 20));
	await small.organization();
});

test('F11 kill -9 of a restore: no server starts on less than the whole, and the next restore goes through', async () => {
	const backup = await backups.make();
	await server.end();
	backups.aside();
	let cut = 0;
	for (let i = 0; i < 6; i++) {
		const command = new Child(`${build}/mypostshare`, ['--config', server.config, 'restore', backup]);
		await until('it has begun', () => existsSync(join(backups.data, 'restore')) || command.ended, 10_000);
		await sleep(40 * i);
		await command.stop('SIGKILL');
		if (existsSync(join(backups.data, 'mypostshare.db'))) {		// it was faster
			backups.aside();
			continue;
		}
		cut++;
		const { status, output } = await server.attempt('org', 'list');
		assert.equal(status, 1, output);
		assert.match(output, /a restore was begun and did not end/);
		assert.equal(existsSync(join(backups.data, 'mypostshare.db')), false, 'an empty store took the place');
	}
	assert.ok(cut > 0, 'no restore was cut');
	await server.command('restore', backup);
	await server.start();
	assert.equal((await read(promised[0].id)).text, promised[0].text);
});

await done(process.env.TEST_LONG ? 3_600_000 : 240_000);
