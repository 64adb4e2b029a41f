// F8: few descriptors, little memory, few threads, at the start and while the server runs.  It refuses to start with words, or
// answers what it can; it never crashes, nothing is posted twice, and once the limit is lifted it works on as before, with as
// many descriptors and threads as before.  And F12: a store of a newer version is refused with clear words.
import assert from 'node:assert/strict';
import { chownSync, cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connected } from '../lib/connected.mjs';
import { call } from '../lib/http.mjs';
import { Child, run, tail } from '../lib/process.mjs';
import { Promises } from '../lib/promises.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const accounts = [1, 2, 3, 4].map((n) => [`keyed-${n}`, 'keyed']), names = accounts.map(([name]) => name);
const sandbox = await startSandbox();
after(() => sandbox.stop());
const ini = { server: { threads: 16 }, engine: { request_timeout_ms: 1500 } };
const server = await startServer({ sandbox, ini });
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, accounts);

const count = (what) => readdirSync(`/proc/${server.pid}/${what}`).length;

// The server under a limit: 'ready', or the words with which it refused to start.
async function startUnder(wrapper) {
	const command = [...wrapper, `${server.build}/mypostshare`, '--config', server.config, 'serve'];
	server.child = new Child(command[0], command.slice(1), { env: server.env });
	server.pid = server.child.pid;
	const how = await until('it is ready or has ended', async () => {
		if (!server.alive) return 'ended';
		return (await call('GET', `${server.url}/readyz`, { ms: 2000 }).catch(() => undefined))?.status === 200 && 'ready';
	});
	if (how === 'ready') {
		await server.end();
		return how;
	}
	assert.deepEqual(server.child.ended, { status: 1, signal: null }, `${wrapper.join(' ')}: ${tail(server.log())}`);
	const words = server.log().trimEnd().split('\n').at(-1);
	assert.match(words, /^mypostshare: \S+/, tail(server.log()));
	return words;
}

async function refusesOrStarts(limits, prefix = []) {
	const seen = [];
	await server.end();
	for (const limit of limits) seen.push(await startUnder([...prefix, 'prlimit', limit]));
	console.log(`# ${limits.map((limit, i) => `${limit} ${seen[i]}`).join('\n# ')}`);
	await server.start();
	assert.ok(seen.some((how) => how !== 'ready'), 'no limit was small enough');
	assert.equal(seen.at(-1), 'ready', 'the largest limit is too small');
}

test('F8 few descriptors at the start', () => refusesOrStarts([6, 12, 20, 28, 40, 256].map((n) => `--nofile=${n}:${n}`)));

test('F8 few descriptors while it runs: what is asked then is refused or waits, and all works afterwards', async () => {
	const promises = new Promises(org, sandbox, names, 'few');
	for (let i = 0; i < 8; i++) assert.equal((await promises.send(`few before ${i}.`, names[i % 4])).status, 202);
	await until('it rests', async () => (await sandbox.count('few before')) === 8);
	const files = count('fd'), threads = count('task');
	const limit = (n) => run('prlimit', ['--pid', String(server.pid), `--nofile=${n}:8192`]);
	await limit(files + 2);
	promises.start(24, 5);
	await until('posts go on with two more descriptors', () => promises.number > 200);
	await limit(files - 4);
	await until('nobody is let in', () => call('GET', `${server.url}/healthz`, { ms: 1000 }).then(({ status }) => status === 503, () => true));
	assert.ok(server.alive, tail(server.log()));
	await limit(8192);
	const kept = promises.kept.size;
	await until('posts are accepted again', () => promises.kept.size > kept + 20);
	await promises.stop();
	assert.ok(server.alive, tail(server.log()));
	console.log(`# ${JSON.stringify(await promises.judge())}`);
	await until(`descriptors are as many as before (${files})`, () => count('fd') <= files + 2);
	await until(`threads are as many as before (${threads})`, () => count('task') <= threads);
});

// A sanitizer reserves terabytes of addresses: its builds cannot live under such a limit.
const memory = [24, 48, 96, 192, 4096].map((n) => `--as=${n * 1048576}:${n * 1048576}`);
if (!/address|thread/.test(server.build)) test('F8 little memory at the start', () => refusesOrStarts(memory));

test('F8 few threads at the start', async () => {
	const user = 54321, home = mkdtempSync(join(tmpdir(), 'mps-nproc-'));
	after(() => rmSync(home, { recursive: true, force: true }));
	await server.end();
	const folder = server.folder, build = server.build;
	cpSync(build, join(home, 'build'), { recursive: true, filter: (path) => !/\/(obj|unit|crash|tests|test-logs)$/.test(path) });
	await run('chmod', ['-R', 'a+rX', home]);
	await run('chown', ['-R', `${user}:${user}`, folder]);
	chownSync(folder, user, user);
	server.build = join(home, 'build');
	server.configure(ini);		// with the paths of that one
	try {
		const limits = [1, 4, 8, 16, 512].map((n) => `--nproc=${n}:${n}`), seen = [];
		const as = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups'];
		for (const limit of limits) seen.push(await startUnder(['prlimit', limit, ...as]));
		console.log(`# ${limits.map((limit, i) => `${limit} ${seen[i]}`).join('\n# ')}`);
		assert.equal(seen.at(-1), 'ready');
		assert.ok(seen.some((how) => how !== 'ready'), 'no limit was small enough');
	} finally {
		await run('chown', ['-R', 'root:root', folder]);
		server.build = build;
		server.configure(ini);
	}
	await server.start();
});

test('F12 a store of a newer version is refused with clear words, and left as it is', async () => {
	await server.end();
	const db = new DatabaseSync(join(server.folder, 'var/mypostshare.db'));
	db.exec("INSERT INTO migration SELECT max(number) + 1, 'db/9999_newer.sql', 'x', 1 FROM migration");
	for (const command of ['serve', 'migrate']) {
		const { status, output } = await server.attempt(command);
		assert.equal(status, 1, output);
		assert.match(output, /db\/9999_newer.sql.*newer mypostshare.*(install|restore)/);
	}
	db.exec("DELETE FROM migration WHERE name = 'db/9999_newer.sql'");
	db.close();
	await server.start();
});

await done(120_000);
