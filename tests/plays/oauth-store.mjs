// Tokens at rest and in memory: sealed for one place, found nowhere in clear, and no use without the right master key.  The
// oracle is the strict server that must not see a token where it does not belong, and the bytes of files and processes.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, openSync, readFileSync, readSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { startOauth } from '../lib/oauth.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const stage = await startOauth();
after(() => stage.stop());
const { as, server } = stage;
const org = await stage.organization('Northpeak');
const other = await stage.organization('Southpeak');
const key = join(server.folder, 'var/master.key');

// What the memory that a process can write holds of the texts.
function remembered(pid, texts) {
	const found = new Set(), memory = openSync(`/proc/${pid}/mem`, 'r');
	for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
		const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
		if (!from || Number.parseInt(to, 16) - Number.parseInt(from, 16) > 256 << 20) continue;
		const bytes = Buffer.alloc(Number.parseInt(to, 16) - Number.parseInt(from, 16));
		try {
			readSync(memory, bytes, 0, bytes.length, Number.parseInt(from, 16));
		} catch {
			continue;	// a guard page or a device
		}
		for (const text of texts) if (bytes.includes(text)) found.add(text);
	}
	return [...found];
}

const children = (pid) => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((name) => {
	try {
		return new RegExp(`^PPid:\\t${pid}$`, 'm').test(readFileSync(`/proc/${name}/status`, 'latin1'));
	} catch {
		return false;	// it has ended
	}
});

test('O-32: after posting, renewing and letting go nothing of it rests in any file or log, nor after a kill', async () => {
	const { id } = await org.connect('ada');
	await as.expire();
	await org.ends(await org.post(id, 'one'), 'published');
	await org.live.delete(`/v1/connections/${id}`);
	await org.connect('bob');
	const secrets = [...await as.secrets(), stage.secret];
	assert.ok(secrets.length >= 9, `${secrets.length}`);
	assert.deepEqual(stage.resting(secrets), []);
	await server.kill();
	await server.start();
	assert.deepEqual(stage.resting(secrets), []);
	await server.restart();
	assert.deepEqual(stage.resting(secrets), [], 'also when the log was written into the store');
});

test('O-32: a provider never holds a token in its memory', async () => {
	const { id } = await org.connect('carol');
	await as.expire();
	await org.ends(await org.post(id, 'a text that the provider does hold'), 'published');
	const hosts = children(server.pid);
	assert.ok(hosts.length >= 2);
	const secrets = [...await as.secrets(), stage.secret];
	assert.ok(hosts.some((pid) => remembered(pid, ['a text that the provider does hold']).length), 'the search finds what is there');
	for (const pid of hosts) assert.deepEqual(remembered(pid, secrets), [], readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
});

test('O-32: no core dump, whatever happens', async () => {
	assert.match(readFileSync(`/proc/${server.pid}/limits`, 'latin1'), /^Max core file size +0 +0 /m);
	await server.child.stop('SIGSEGV');
	const files = [server.folder, '.'].flatMap((folder) => readdirSync(folder, { withFileTypes: true, recursive: folder !== '.' }));
	assert.deepEqual(files.filter((f) => f.isFile() && f.name.startsWith('core')), []);
	await server.start();
});

test('O-30, O-34: tokens of another row open nowhere: that connection is over, aloud, and no other', async () => {
	const [mine, second, theirs] = [await org.connect('dora'), await org.connect('erin'), await other.connect('frank')];
	const grant = (c) => `(SELECT grant_id FROM connection WHERE id = '${c.id}')`;
	for (const [from, what] of [[second, 'of the same organization'], [theirs, 'of another organization']]) {
		stage.db((db) => db.exec(`UPDATE auth_grant SET secrets = (SELECT secrets FROM auth_grant WHERE id = ${grant(from)})
			WHERE id = ${grant(mine)}`));
		const n = (await as.seen()).length;
		const post = await org.post(mine.id, `with tokens ${what}`);
		await org.ends(post, 'blocked');
		assert.deepEqual((await as.seen()).slice(n), [], 'nothing left us');
		assert.match(server.log(), /"level":"error"[^\n]*grant|"level":"error"[^\n]*operation/);
		const { status } = await org.connection(mine.id);
		assert.equal(status, 'reauth_required');
		assert.equal((await org.events('connection.reauth_required')).filter((e) => JSON.stringify(e).includes(mine.id)).length, 1);
		await other.ends(await other.post(theirs.id, `still ${what}`), 'published');
		await org.ends(await org.post(second.id, `still ${what}`), 'published');
		const again = await org.live.post(`/v1/connections/${mine.id}/reconnect`, { redirectUrl: 'https://product.example/done' });
		await org.connect('dora', again.json);
		await org.ends(post, 'published');
		stage.db((db) => db.exec('DELETE FROM event WHERE type = \'connection.reauth_required\''));
	}
});

test('O-30: bytes that were changed are no tokens, and the server stays up', async () => {
	const connection = await org.connect('grace');
	stage.db((db) => {
		const where = `id = (SELECT grant_id FROM connection WHERE id = '${connection.id}')`;
		const { id, secrets } = db.prepare(`SELECT id, secrets FROM auth_grant WHERE ${where}`).get();
		secrets[secrets.length - 20] ^= 1;
		db.prepare('UPDATE auth_grant SET secrets = ? WHERE id = ?').run(secrets, id);
	});
	const n = (await as.seen()).length;
	await org.live.post(`/v1/connections/${connection.id}/check`, {});
	await until('it is over', async () => (await org.connection(connection.id)).status === 'reauth_required');
	assert.deepEqual((await as.seen()).slice(n), []);
	assert.ok(server.alive);
});

test('O-31: the master key is a file that nobody else can read', async () => {
	await server.kill();
	for (const mode of [0o440, 0o404, 0o644]) {
		chmodSync(key, mode);
		const { status, output } = await server.attempt('serve');
		assert.notEqual(status, 0, output);
		assert.match(output, /master\.key/);
	}
	chmodSync(key, 0o400);
	await server.start();
	for (const pid of [server.pid, ...children(server.pid)])
		assert.ok(!readFileSync(`/proc/${pid}/environ`, 'latin1').includes(readFileSync(key, 'latin1').trim()));
});

test('O-34: the wrong master key: it does not start, and names the key that it wants', async () => {
	const connection = await org.connect('henry');
	const right = readFileSync(key, 'latin1');
	await server.kill();
	renameSync(key, `${key}.aside`);
	writeFileSync(key, `${randomBytes(32).toString('hex')}\n`, { mode: 0o400 });
	const { status, output } = await server.attempt('serve');
	assert.notEqual(status, 0);
	assert.match(output, /needs master key [0-9a-f]{16}, which is not loaded/);
	assert.ok(!output.includes(right.trim()));
	rmSync(key);
	assert.notEqual((await server.attempt('serve')).status, 0, 'and a missing one is not made anew');
	copyFileSync(`${key}.aside`, key);
	chmodSync(key, 0o400);
	await server.start();
	await org.ends(await org.post(connection.id, 'with the right key'), 'published');
});

test('O-31: a new master key beside the old one: what is sealed opens, and without the old one it does not start', async () => {
	await server.kill();
	renameSync(key, `${key}.old-1`);
	rmSync(`${key}.aside`);
	writeFileSync(key, `${randomBytes(32).toString('hex')}\n`, { mode: 0o400 });
	await server.start();
	const [connection] = (await org.connections()).filter((c) => c.status === 'active');
	await org.ends(await org.post(connection.id, 'with two keys'), 'published');
	const third = await stage.organization();
	await third.ends(await third.post((await third.connect('new')).id, 'sealed by the new one'), 'published');
	await server.end();
	renameSync(`${key}.old-1`, join(stage.folder, 'old'));
	assert.match((await server.attempt('serve')).output, /needs master key/);
	renameSync(join(stage.folder, 'old'), `${key}.old-1`);
	await server.start();
});

test('O-31: everything is wrapped anew while the server serves, and then it does without the old master key', async () => {
	const [connection] = (await org.connections()).filter((c) => c.status === 'active');
	assert.match(await server.command('vault', 'rewrap'), /^master_key [0-9a-f]{16}\nwrapped_anew [1-9]\d*$/m);
	assert.match(await server.command('vault', 'rewrap'), /^wrapped_anew 0$/m);
	await server.end();
	rmSync(`${key}.old-1`);
	await server.start();
	await org.ends(await org.post(connection.id, 'without the old key'), 'published');
});

await done(60_000);
