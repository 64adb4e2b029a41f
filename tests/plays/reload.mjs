// A provider is reloaded, replaced and broken while 1,000 of its operations are under way and a client keeps calling.
//
// Between server and sandbox stands a gate of this test, which holds every post until it is told to let some through:
// so it is known, not guessed, that 1,000 requests of 1,000 operations were on their way at once.  The one thing to
// know: the sandbox's ledger says what was published; the server's word is only compared with it.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser, call } from '../lib/http.mjs';
import { run } from '../lib/process.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const people = 10, pages = 100, all = people * pages;

const folder = mkdtempSync(join(tmpdir(), 'mps-reload-')), plugins = join(folder, 'plugins');
after(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(plugins);

// ---- builds of the provider ----

async function built(name, change) {
	const source = join(folder, `${name}.c`), out = join(folder, `${name}.so`);
	writeFileSync(source, change(readFileSync('plugins/sandbox.c', 'utf8')));
	const { status, output } = await run('cc', ['-std=c17', '-O1', '-Isdk', '-fvisibility=hidden', '-fPIC', '-shared', '-o', out, source]);
	assert.equal(status, 0, output);
	return out;
}

const versioned = (version) => (text) => text.replace('"sandbox", "1.0"', `"sandbox", "${version}"`);
const at_load = (version, act) => (text) => `${versioned(version)(text)}\n__attribute__((constructor)) static void now(void) { ${act} }\n`;
const files = {
	first: await built('first', versioned('1.0')),
	second: await built('second', (text) => versioned('2.0')(text).replace('\\"max\\":1000', '\\"max\\":900')),
	misspelt: await built('misspelt', (text) => versioned('3.0')(text).replace('\\"max_bytes\\":10000', '\\"max_byte\\":10000')),
	forgetful: await built('forgetful', (text) => versioned('3.1')(text).replace('\\"state_versions\\":[1,1]', '\\"state_versions\\":[2,2]')),
	crashing: await built('crashing', at_load('3.2', '__builtin_trap();')),
	hanging: await built('hanging', at_load('3.3', 'for (;;) ;')),
	other: await built('other', (text) => text.replace('"sandbox", "1.0"', '"elsewhere", "1.0"')),
	cut: join(folder, 'cut.so'),
	text: join(folder, 'text.so'),
};
writeFileSync(files.cut, readFileSync(files.first).subarray(0, 5000));
writeFileSync(files.text, 'no program at all\n');

// As install does it: the new file is whole before it has the name.
function place(file) {
	copyFileSync(file, join(plugins, 'next'));
	renameSync(join(plugins, 'next'), join(plugins, 'sandbox.so'));
}

// ---- the gate ----

const sandbox = await startSandbox();
after(() => sandbox.stop());

const gate = { open: true, held: [], lose: () => false, seen: 0 };

function pass({ message, body, reply, lost }) {
	const out = request(sandbox.url + message.url, { method: message.method, headers: message.headers, agent: false }, (answer) => {
		if (lost) {
			answer.resume().on('end', () => reply.destroy());
			return;
		}
		reply.writeHead(answer.statusCode, answer.headers);
		answer.pipe(reply);
	});
	out.on('error', () => reply.destroy());
	out.end(body);
}

const front = createServer((message, reply) => {
	const parts = [];
	message.on('data', (part) => parts.push(part)).on('error', () => {}).on('end', () => {
		const one = { message, body: Buffer.concat(parts), reply };
		const post = message.method === 'POST' && message.url === '/v1/posts';
		gate.seen += post;
		one.lost = post && gate.lose(one);
		if (post && !gate.open) gate.held.push(one);
		else pass(one);
	});
});
front.keepAliveTimeout = 0;
front.requestTimeout = 0;
await new Promise((resolve) => front.listen(0, '127.0.0.1', 2048, resolve));
after(() => front.close());

// Lets so many through, ten at a time, so that the sandbox has work for a while.
async function let_through(n = Infinity) {
	for (let left = Math.min(n, gate.held.length); left > 0; left -= 10) {
		gate.held.splice(0, Math.min(10, left)).forEach(pass);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

// ---- the server, 1,000 connected pages ----

place(files.first);
const server = await startServer({ sandbox: { url: `http://127.0.0.1:${front.address().port}` }, ini: {
	server: { key_per_minute: 0, address_per_minute: 0 },
	providers: { folder: plugins, host_program: join(build, 'libexec/mypostshare-host') },
	sandbox: { public_url: sandbox.url },		/* browsers go past the gate */
	engine: { in_flight: all, request_timeout_ms: 120_000 },
} });
after(() => server.stop());
const org = await server.organization();
const back = 'http://127.0.0.1:9/back';
const connections = [];

async function connect(account, type) {
	const session = (await org.test.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'sandbox', redirectUrl: back })).json;
	const browser = new Browser();
	await browser.get(session.connectUrl);
	await browser.submit();
	await browser.get(await sandbox.consent(browser.location, { account, type }));
	await browser.follow(server.url);
	const jar = [...browser.cookies.get(server.url)].map(([k, v]) => `${k}=${v}`).join('; ');
	const answer = await call('POST', browser.forms[0].action, {
		body: Array.from({ length: pages }, (_, i) => `target=${i}`).join('&'),
		headers: { cookie: jar, origin: server.url, 'content-type': 'application/x-www-form-urlencoded' },
	});
	assert.equal(answer.status, 303);
	connections.push(...(await org.test.get(`/v1/connect-sessions/${session.id}`)).json.connectionIds);
}

{
	await org.test.post(`/v1/apps/${org.app}/redirect-urls`, { url: back });
	await org.test.post('/v1/end-users', { externalUserId: 'ada' });
	for (let i = 0; i < people; i++) await connect(`many-${pages + i}`, i < 2 ? 'search' : '');
	assert.equal(new Set(connections).size, all);
}

// ---- a client that never rests ----

const calls = { made: 0, bad: [] };
let resting = false;

async function keep_calling() {
	const routes = [
		() => org.test.get('/v1/posts?limit=20'), () => org.test.get('/v1/platforms/sandbox'),
		() => org.test.get('/v1/connections?limit=5'),
		() => org.test.post('/v1/posts', {
			mode: 'draft', targets: [{ connectionId: connections[calls.made % all] }], text: `a draft ${calls.made}`,
		}),
		() => call('GET', `${server.url}/readyz`),
	];
	while (!resting) {
		const answer = await routes[calls.made++ % routes.length]().catch((error) => ({ status: 0, text: error.message }));
		if (answer.status < 200 || answer.status > 299) calls.bad.push(`${answer.status} ${answer.text.slice(0, 200)}`);
	}
}

const info = async () => JSON.parse(await server.command('providers', '--json')).find((one) => one.id === 'sandbox');

async function reload(version) {
	assert.match(await server.command('reload', 'sandbox'), new RegExp(`sandbox: ${version} loaded`));
	const now = await info();
	assert.deepEqual([now.version, now.loaded, now.paused, now.words], [version, true, false, '']);
}

async function refused(file, version, words) {
	place(files[file]);
	const { status, output } = await server.attempt('reload', 'sandbox');
	assert.notEqual(status, 0, `${file} was loaded: ${output}`);
	assert.match(output, words, file);
	const now = await info();
	assert.deepEqual([now.version, now.loaded, now.paused], [version, true, false], file);
	assert.match(now.words, words, file);
}

const posts = [];
let caller;

async function accept(n, text) {
	for (let i = 0; i < n; i += 20) {
		posts.push(...await Promise.all(Array.from({ length: 20 }, async (_, k) => {
			const answer = await org.test.post('/v1/posts', { targets: [{ connectionId: connections[i + k] }], text: `${text}-${i + k}` });
			assert.equal(answer.status, 202, answer.text);
			return { id: answer.json.id, text: `${text}-${i + k}` };
		})));
	}
}

test(`${all} operations are under way at once`, async () => {
	gate.open = false;
	caller = keep_calling();
	await accept(all, 'one');
	await until(`${all} requests are held`, () => gate.held.length === all, 90_000);
	assert.equal(gate.seen, all);
});

test('reloads of the same file, of another build and back', async () => {
	for (let i = 0; i < 3; i++) await reload('1.0');
	place(files.second);
	await reload('2.0');
	assert.equal((await org.live.get('/v1/platforms')).status, 200);
	place(files.first);
	await reload('1.0');
	assert.equal(gate.held.length, all, 'something was sent or lost meanwhile');
});

test('a file that cannot be loaded leaves the old one serving, and is told', async () => {
	await refused('misspelt', '1.0', /max_byte/);
	await refused('forgetful', '1.0', /state version/);
	await refused('crashing', '1.0', /while loading/);
	await refused('other', '1.0', /elsewhere/);
	await refused('cut', '1.0', /refused/);
	await refused('text', '1.0', /refused/);
	rmSync(join(plugins, 'sandbox.so'));
	const { status, output } = await server.attempt('reload', 'sandbox');
	assert.notEqual(status, 0);
	assert.match(output, /No such file/);
	assert.match((await server.attempt('reload')).output, /sandbox: not loaded: .*No such file/, 'a file that is gone is told, too');
	assert.equal((await info()).version, '1.0');
});

test('reloads while answers come and some are lost', async () => {
	const released = let_through(400);
	for (const version of ['2.0', '1.0', '2.0', '1.0']) {
		place(version === '1.0' ? files.first : files.second);
		await reload(version);
	}
	await released;
	for (const one of gate.held.slice(0, 200)) one.lost = true;		/* published, and nobody learns of it */
	gate.open = true;
	const rest = let_through();
	await refused('hanging', '1.0', /did not load within/);
	for (let i = 0; i < 10; i++) {
		place(i % 2 ? files.first : files.second);
		await reload(i % 2 ? '1.0' : '2.0');
	}
	await rest;
});

test('more posts while it is reloaded without a pause', async () => {
	let over = false;
	const reloading = (async () => {
		for (let i = 0; !over; i++) {
			place(i % 2 ? files.first : files.second);
			await reload(i % 2 ? '1.0' : '2.0');
		}
	})();
	await accept(400, 'two').finally(() => over = true);
	await reloading;
});

async function statuses() {
	const counts = {};
	let cursor = '';
	do {
		const page = (await org.test.get(`/v1/posts?limit=100${cursor}`)).json;
		for (const one of page.data) counts[one.status] = (counts[one.status] ?? 0) + 1;
		cursor = page.nextCursor ? `&cursor=${encodeURIComponent(page.nextCursor)}` : '';
	} while (cursor);
	delete counts.draft;
	return counts;
}

test('no operation was lost and none doubled', async () => {
	let now;
	await until('all posts are published', async () => {
		now = await statuses();
		return now.published === posts.length || now.failed || now.partially_published;
	}, 120_000).catch(() => {});
	assert.deepEqual(now, { published: posts.length });
	const times = new Map();
	for (const { text } of await sandbox.ledger()) times.set(text, (times.get(text) ?? 0) + 1);
	assert.deepEqual([...times].filter(([, n]) => n !== 1), [], 'published more than once');
	assert.deepEqual(posts.filter(({ text }) => !times.has(text)), [], 'not published at all');
	assert.equal(times.size, posts.length);
});

test('no call was refused meanwhile, and no host crashed', async () => {
	resting = true;
	await caller;
	assert.ok(calls.made > 200, `only ${calls.made} calls`);
	assert.deepEqual(calls.bad.slice(0, 5), []);
	assert.equal((await info()).crashes, 0);
});

await done(240_000);
