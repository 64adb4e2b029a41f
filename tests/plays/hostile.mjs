// Providers that do what none may, in the middle of real deliveries: the server stays up, everybody else's posts go
// on, the delivery ends as the far side's ledger says, and `mypostshare providers` names the culprit and the deed.
//
// Each misdeed is a provider of its own with an account of its own, and is done twice: before anything was sent (the
// post must not be there, and nobody may say that it is) and after the platform took it (it must not be forgotten).
// The one thing to know: the far side is a server of this test; what it was sent is the truth.  --table prints the list.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Far } from '../lib/far.mjs';
import { Browser } from '../lib/http.mjs';
import { Folder, renamed } from '../lib/providers.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

// name -> what the operator reads; parked: nothing was sent, so the post waits for a better provider.
const parked = 'blocked(provider)', lost = 'unconfirmed';
const killed = (cause) => ({ before: parked, after: lost, cause });
const sandboxed = (call) => killed(new RegExp(`sandbox: ${call} \\(?`));
const misdeeds = {
	loop: killed(/longer than 2 s/), drip: killed(/longer than 2 s/), 'read-socket': killed(/longer than 2 s/),
	'stop-itself': killed(/longer than 2 s/),
	crash: killed(/SIGSEGV/), abort: killed(/SIGABRT/), exit: killed(/exit status 0/), 'exit-119': killed(/exit status 119/),
	grow: killed(/SIGSEGV|SIGKILL/), recurse: killed(/SIGSEGV/), unmap: killed(/SIGSEGV/), 'block-signals': killed(/SIGSYS/),
	fork: sandboxed('clone'), thread: sandboxed('clone'), exec: sandboxed('execve'), socket: sandboxed('socket'),
	connect: sandboxed('connect'), open: sandboxed('openat'), 'write-file': sandboxed('openat'), environ: sandboxed('openat'),
	ptrace: sandboxed('ptrace'), 'read-memory': sandboxed('process_vm_readv'), 'kill-parent': sandboxed('getppid'),
	signal: sandboxed('tgkill'), 'map-code': sandboxed('mmap'), 'close-socket': sandboxed('close'), 'shut-socket': sandboxed('shutdown'),
	garbage: killed(/no frame/), gigabyte: killed(/no frame/), 'huge-answer': killed(/no frame/),
	'another-operation': killed(/nobody asked for/), 'unknown-record': killed(/unknown kind/), 'long-id': killed(/too long/),
	'bad-utf8': killed(/malformed key or value/), 'split-request': killed(/malformed key or value/), 'wait-for-ever': killed(/30 days/),
	'two-answers': killed(/nobody asked for|without a remote_id/),
	'never-sent': { before: parked, after: 'published', cause: /before any request that could create one/ },
	'failed-and-live': { before: parked, after: 'published', cause: /before any request that could create one/ },
	'id-with-request': { before: parked, cause: /before any request that could create one/ },
	'other-host': { before: 'failed', cause: /may not reach host elsewhere\.misdeed\.example/ },
	'own-machine': { before: 'failed', cause: /may not reach host 127\.0\.0\.1/ },
	'other-port': { before: 'failed', cause: /may not reach host far\.misdeed\.test:22/ },
	'other-secret': { before: 'failed', cause: /no value for targets\.7\.token/ },
	'secret-in-host': { before: 'failed', cause: /a secret into the host/ },
	'echo-secret': killed(/a secret where none belongs/), 'long-result': killed(/longer than 8192 bytes/),
	'script-link': { after: 'published', cause: /remote_url is no address of a web page/ },
	'wait-negative': killed(/-5 seconds are not/), 'two-verbs': killed(/one verb per step/), 'no-verb': killed(/without calling a verb/),
	'absent-unasked': killed(/nobody is looking/), 'deep-json': killed(/no JSON object/),
	...(process.env.TEST_LONG && { steps: { before: parked, cause: /10,000 steps/ } }),
};
// A sanitizer's own runtime opens files and takes what memory it likes; its host is told so and does not forbid it.
if (/address/.test(build)) for (const id of ['grow', 'open', 'write-file', 'environ']) delete misdeeds[id];
const names = Object.keys(misdeeds), good = ['good-one', 'good-two'];

const folder = mkdtempSync(join(tmpdir(), 'mps-hostile-')), plugins = new Folder(join(folder, 'plugins'));
after(() => rmSync(folder, { recursive: true, force: true }));
for (const id of [...names, ...good]) plugins.place(id, renamed(join(build, 'tests/plugins/misdeed.so'), id));
copyFileSync(join(build, 'plugins/sandbox.so'), plugins.at('sandbox.so'));

const far = await new Far().open();
after(() => far.close());
const sections = Object.fromEntries([...names, ...good].map((id) => [`provider.${id}`, { 'base_url.far.misdeed.test': far.url }]));
const server = await startServer({ ini: {
	server: { key_per_minute: 0, address_per_minute: 0 },
	providers: { folder: plugins.path, host_program: join(build, 'libexec/mypostshare-host') },
	egress: { allow: `127.0.0.1:${far.port}` },
	...sections,
} });
after(() => server.stop());
const pid = server.pid, begun = new Date(Date.now() - 1000).toISOString();
const providers = async () => Object.fromEntries(JSON.parse(await server.command('providers', '--json')).map((one) => [one.id, one]));

// ---- accounts: each provider's by the form of the hosted page, with a token that nobody else has ----

const back = 'http://127.0.0.1:9/back', orgs = [await server.organization(), await server.organization()];
const tokenOf = (id) => `token-of-${id}-0123456789`;
const connections = {};

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

async function connect(org, id) {
	const { connectUrl } = await made(org.live.post('/v1/connect-sessions', { externalUserId: 'ada', platform: id, redirectUrl: back }), 201);
	const browser = new Browser();
	await browser.get(connectUrl);
	await browser.submit({ secret: tokenOf(id) });
	await until(`${id} is connected`, async () => {
		await browser.follow(server.url);
		if (/connectionId=/.test(browser.location ?? '')) return true;
		await browser.get(browser.url);
		return false;
	});
	connections[id] = { org, id: new URL(browser.location).searchParams.get('connectionId') };
}

async function post(id, text) {
	const { org, id: connectionId } = connections[id];
	const { id: postId } = await made(org.live.post('/v1/posts', { targets: [{ connectionId }], text }), 202);
	return { id, text, org, postId };
}

const read = async ({ org, postId }) => (await made(org.live.get(`/v1/posts/${postId}`), 200)).deliveries[0];
const stateOf = (d) => d.status === 'blocked' ? `blocked(${d.statusReason})` : d.status;
const open = new Set(['queued', 'processing', 'committing', 'pending', 'awaiting_platform']);

async function ended(one, ms = 120_000) {
	return until(`${one.id}: "${one.text}" comes to rest`, async () => {
		const d = await read(one);
		return !open.has(d.status) && d;
	}, ms);
}

test('every one of them is loaded and connected: nothing is wrong yet', async () => {
	for (const org of orgs) {
		await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
		await made(org.live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
	}
	for (const id of names) await connect(orgs[0], id);
	await connect(orgs[0], good[0]);
	await connect(orgs[1], good[1]);
	for (const one of Object.values(await providers())) assert.deepEqual([one.state, one.failures], ['serving', 0], one.id);
});

// ---- the deeds, all at once, while two of good will publish on and on ----

const results = {}, posts = [];
let over = false, steady, crashed;

async function keep_posting() {
	for (let i = 0; !over; i++) {
		const round = await Promise.all(good.map((id) => post(id, `steady ${id} ${i}`)));
		for (const one of round) {
			const d = await ended(one, 60_000);
			assert.equal(stateOf(d), 'published', JSON.stringify(d));
			posts.push(one);
		}
	}
}

test('each misdeed ends as is true, and posts of others are published meanwhile', async () => {
	steady = keep_posting();
	steady.catch(() => {});
	for (const when of ['before', 'after']) {
		const round = await Promise.all(names.filter((id) => misdeeds[id][when]).map((id) => post(id, `${when} ${id}`)));
		for (const one of round) {
			const d = await ended(one);
			if (one.text === 'before crash') crashed = one;
			results[`${when} ${one.id}`] = { state: stateOf(d), sent: far.count(one.text), delivery: d };
		}
	}
	over = true;
	await steady;
	assert.ok(posts.length >= 10, `only ${posts.length} posts of others`);
	for (const { id, text } of posts) assert.equal(far.count(text), 1, `${id}: ${text}`);
	const wrong = Object.entries(results).map(([key, { state, sent, delivery }]) => {
		const [when, id] = key.split(' '), wanted = misdeeds[id][when];
		const words = `${key}: ${state}, sent ${sent}; wanted ${wanted}: ${JSON.stringify(delivery.error)}`;
		return state === wanted && sent === (when === 'after' ? 1 : 0) ? '' : words;
	}).filter(Boolean);
	assert.deepEqual(wrong, []);
});

test('the operator reads who did it, what, when and how often', async () => {
	const list = await providers(), wrong = [];
	for (const id of names) {
		const { state, failures, lastFailure, lastFailureAt, loaded } = list[id];
		if (!loaded || state !== 'serving' || failures < 1 || !(lastFailureAt > begun) || !misdeeds[id].cause.test(lastFailure)) {
			wrong.push(`${id}: ${state}, ${failures} failures, ${lastFailureAt}: ${lastFailure}`);
		}
	}
	assert.deepEqual(wrong, []);
	for (const id of good) assert.deepEqual([list[id].state, list[id].failures, list[id].lastFailure], ['serving', 0, ''], id);
	const table = await server.command('providers');
	if (process.argv.includes('--table')) console.log(table);
	const lines = table.trimEnd().split('\n');
	assert.match(lines[0], /^PROVIDER +VERSION +STATE +FAILURES +LAST FAILURE +CAUSE$/);
	assert.equal(lines.length, 1 + names.length + good.length + 1);
	for (const id of names) {
		const line = lines.find((one) => one.startsWith(`${id} `));
		assert.match(line, /^\S+ +1\.0 +serving +\d+ +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +\S/, id);
		assert.match(line, misdeeds[id].cause);
	}
});

test('no secret went where it does not belong, and no invented post is told as published', async () => {
	for (const { token, text } of far.rows) {
		const [, ...rest] = text.split(' ');
		assert.equal(token, tokenOf(rest[0]), text);
	}
	for (const line of far.seen) {
		const own = names.concat(good).filter((id) => line.includes(tokenOf(id)));
		assert.ok(own.length <= 1, line);
	}
	const said = JSON.stringify([results, await providers()]) + server.log() + await server.command('providers');
	for (const id of names) assert.ok(!said.includes(tokenOf(id)), `the token of ${id} is shown`);
	const link = results['after script-link'].delivery;
	assert.equal(link.remotePostUrl ?? null, null);
	assert.doesNotMatch(JSON.stringify(link), /javascript:/);
	assert.doesNotMatch(JSON.stringify(results), /invented(?!.*after)/);
});

test('no core file, no file of theirs, and the same server as at first', async () => {
	assert.equal(server.pid, pid);
	assert.ok(server.alive);
	for (const place of ['.', folder, server.folder, plugins.path]) {
		const theirs = readdirSync(place).filter((name) => /^core(\.|$)|misdeed\.out/.test(name) && statSync(join(place, name)).isFile());
		assert.deepEqual(theirs, [], place);
	}
	assert.ok(!existsSync('/misdeed.out'));
});

test('three culprits in a minute pause a provider; the others go on; a reload ends it and releases what waited', async () => {
	const before = [];
	for (let i = 0; i < 3; i++) before.push(await post('crash', `before crash again ${i}`));
	const held = await post('crash', 'held by the pause');
	const list = await until('it is paused', async () => {
		const one = (await providers()).crash;
		return one.paused && one;
	});
	assert.equal(list.state, 'paused');
	assert.ok(Date.parse(list.pausedUntil) > Date.now());
	const line = /^crash +1\.0 +paused until \d{4}-\S+Z +\d+ .*paused for 300 s, `mypostshare reload crash` ends the pause/m;
	assert.match(await server.command('providers'), line);
	const d = await ended(held);
	assert.ok(['blocked(platform_paused)', 'published'].includes(stateOf(d)), stateOf(d));
	const during = await post('crash', 'held as well');
	assert.equal(stateOf(await ended(during)), 'blocked(platform_paused)');
	assert.equal(far.count('held as well'), 0);
	const other = await post(good[0], 'steady good-one while paused');
	assert.equal(stateOf(await ended(other)), 'published');
	/* a reload would try them again */
	for (const one of [...before, crashed]) await made(one.org.live.post(`/v1/posts/${one.postId}/cancel`), 200);
	await server.command('reload', 'crash');
	await until('what was held is published', async () => far.count('held as well') === 1 && far.count('held by the pause') === 1);
	assert.equal(stateOf(await until('it is told', async () => {
		const now = await read(during);
		return now.status === 'published' && now;
	})), 'published');
});

await done(180_000);
