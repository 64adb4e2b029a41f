// F10: a far side that is slow, broken or hostile, met by the request that publishes, for each way in which a platform
// lets a lost post be found again.  The sandbox behind the gate (../lib/gate.mjs) keeps the ledger: the oracle.
//
//   one post at most, whatever the wire did; what we say of it is true; what must not be sent twice is not
//   others go on meanwhile; memory does not grow with what is poured over us; no redirect is followed
//
// --table prints the state of each fault and class.  With TEST_LONG=1 also an answer that comes after 120 s.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connected } from '../lib/connected.mjs';
import { faults, lies, startGate } from '../lib/gate.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { sleep } from '../lib/wait.mjs';

const WIDTH = 8, ROOM_KB = (build.includes('address') ? 128 : 16) * 1024;
const classes = ['atomic', 'keyed', 'search', 'handle', 'none'];
const folder = mkdtempSync(join(tmpdir(), 'mps-farside-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// The sandbox's own provider, but of a platform that knows a key from its first byte on and for ever.
function atomicProviders() {
	const text = readFileSync('plugins/sandbox.c', 'utf8'), ways = '\\"keyed\\":{\\"class\\":\\"keyed\\",\\"window_s\\":3600,';
	assert.ok(text.includes(ways));
	mkdirSync(join(folder, 'plugins'), { mode: 0o700 });
	writeFileSync(join(folder, 'sandbox.c'), text.replace(ways, '\\"keyed\\":{\\"class\\":\\"keyed\\",\\"atomic\\":true,'));
	execFileSync(process.env.CC ?? 'gcc', ['-std=c17', '-O2', '-Isdk', '-fvisibility=hidden', '-fPIC', '-shared', '-Wl,-z,defs', '-o',
		join(folder, 'plugins/sandbox.so'), join(folder, 'sandbox.c')]);
	return join(folder, 'plugins');
}

const sandbox = await startSandbox();
after(() => sandbox.stop());
const gate = await startGate({ to: sandbox.url });
after(() => gate.stop());
const ini = { engine: { request_timeout_ms: 1500 }, sandbox: { settle_ms: 1000, public_url: sandbox.url } };
const server = await startServer({ sandbox: gate, ini });
after(() => server.stop('SIGKILL'));
const programs = { host_program: join(build, 'libexec/mypostshare-host'), probe_program: join(build, 'libexec/mypostshare-probe') };
const other = await startServer({ sandbox: gate, ini: { ...ini, providers: { folder: atomicProviders(), ...programs } } });
after(() => other.stop('SIGKILL'));

const names = (kind) => Array.from({ length: WIDTH }, (_, n) => `${kind}-${n}`);
const accounts = (kinds) => kinds.flatMap((kind) => names(kind).map((name) => [name, kind === 'atomic' ? 'keyed' : kind]));
const main = await connected(server, sandbox, accounts(classes.slice(1)));
const one = await connected(other, sandbox, accounts(['atomic']));
const good = await connected(server, sandbox, [['good', 'keyed']], 'eve');
const org = (kind) => kind === 'atomic' ? one : main;

// Peak memory of the server since this was last called, in KiB.
const memory = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);
const forgetPeak = () => writeFileSync(`/proc/${server.pid}/clear_refs`, '5');

async function post(client, connection, text) {
	const { status, json, text: words } = await client.post('/v1/posts', { targets: [{ connectionId: connection.id }], text });
	assert.equal(status, 202, words);
	return json.id;
}

const open = ['scheduled', 'publishing'];
// Where nobody can look, unconfirmed is the end; else what is looked for is found, or sent when it is proven absent.
function rest(kind, id, ms = 90_000) {
	return until(`${kind} post ${id} rests`, async () => {
		const { json } = await org(kind).test.get(`/v1/posts/${id}`);
		return !open.includes(json.status) && (kind === 'none' || json.status !== 'needs_attention') && json.deliveries[0];
	}, ms);
}

const table = new Map();	// fault -> class -> words

// What came of one post, against the ledger and what the gate saw.
async function judge(fault, kind, text, delivery) {
	const rows = await sandbox.ledger(text), sent = gate.seen(text), words = `${fault} ${kind}: ${delivery.status}, ${rows.length} live`;
	table.set(fault, { ...table.get(fault), [kind]: `${delivery.status} ${sent.length}>${rows.length}` });
	assert.ok(rows.length <= 1, words);
	if (delivery.status === 'published') {
		assert.equal(rows.length, 1, words);
		assert.equal(rows[0].post_id, delivery.remotePostId, words);
	}
	if (kind === 'none') {
		assert.equal(delivery.status, 'unconfirmed', words);
		assert.equal(sent.length, 1, `${words}: sent ${sent.length} times`);
		return;
	}
	assert.equal(delivery.status, 'published', `${words} ${JSON.stringify(delivery)}`);
	const there = Boolean(faults[fault].commit || faults[fault].late);
	if (kind === 'search' || kind === 'handle') assert.equal(sent.length, there ? 1 : 2, `${words}: sent ${sent.length} times`);
	else assert.equal(new Set(sent.map((r) => r.key)).size, 1, `${words}: another key`);
	assert.ok(sent.length <= 4, `${words}: sent ${sent.length} times`);
}

test('F10 whatever the far side does to the request that publishes: one post at most, and the truth about it', async () => {
	const wanted = Object.keys(faults).filter((name) => !faults[name].early), posts = [];
	let going = true, last = Date.now(), longest = 0, others = 0;
	const before = memory('VmRSS');
	forgetPeak();
	const meanwhile = (async () => {
		for (; going; last = Date.now()) {
			const id = await post(good.test, good.connections.good, `good ${others++}.`);
			const live = async () => (await good.test.get(`/v1/posts/${id}`)).json.status === 'published';
			await until('a good far side is served meanwhile', live, 15_000);
			longest = Math.max(longest, Date.now() - last);
			await sleep(100);
		}
	})();
	for (const [i, fault] of wanted.entries()) {
		for (const kind of classes) {
			const text = `${fault} of ${kind} ~${fault}~.`;
			posts.push({ fault, kind, text, id: await post(org(kind).test, org(kind).connections[`${kind}-${i % WIDTH}`], text) });
		}
	}
	const faultsSeen = [];
	for (const { fault, kind, text, id } of posts) {
		await judge(fault, kind, text, await rest(kind, id)).catch((error) => faultsSeen.push(error.message));
	}
	going = false;
	await meanwhile;
	assert.deepEqual(faultsSeen, []);
	assert.ok(others > 5);
	for (let i = 0; i < others; i++) assert.equal(await sandbox.count(`good ${i}.`), 1);
	const most = memory('VmHWM');
	console.log(`# ${posts.length} posts; ${others} others meanwhile, the slowest ${longest} ms; memory ${before} KiB, at most ${most}`);
	// A sanitizer keeps what was freed.
	if (!/address|thread/.test(server.build)) assert.ok(most - before < ROOM_KB, `memory grew from ${before} to ${most} KiB`);
	assert.equal(gate.visits, 0, 'a redirect was followed');
	assert.equal(gate.expected, 0, 'somebody waits for 100 Continue');
});

test('F10 an end or an answer before the body was read', async () => {
	const wanted = Object.keys(faults).filter((name) => faults[name].early), posts = [];
	for (const [i, fault] of wanted.entries()) {
		for (const kind of classes) {
			const name = `${kind}-${i}`, text = `${fault} for ${kind}.`;
			gate.early.set(name, fault);
			posts.push({ fault, kind, text, name, id: await post(org(kind).test, org(kind).connections[name], text) });
		}
	}
	for (const { fault, kind, text, name, id } of posts) {
		const delivery = await rest(kind, id), rows = await sandbox.ledger(text), words = `${fault} ${kind}: ${delivery.status}`;
		const sent = gate.seen(text).length + gate.seen(`early of ${name}`).length;
		table.set(fault, { ...table.get(fault), [kind]: `${delivery.status} ${sent}>${rows.length}` });
		assert.equal(delivery.status, kind === 'none' ? 'unconfirmed' : 'published', `${words} ${JSON.stringify(delivery)}`);
		assert.equal(rows.length, kind === 'none' ? 0 : 1, words);
	}
});

test('F10 a look that is answered with 200 and nothing about the post proves no absence', async () => {
	const posts = [], kinds = process.env.TEST_LONG ? ['search', 'handle'] : ['handle'];	// a search waits for its lag each time
	gate.hurt.clear();
	for (const [i, lie] of Object.keys(lies).entries()) {
		for (const kind of kinds) {
			const name = `${kind}-${i}`, text = `${lie} to ${kind} ~rst_after~.`;
			gate.lies.set(name, [lie, lie, lie]);
			posts.push({ kind, lie, text, id: await post(org(kind).test, org(kind).connections[name], text) });
		}
	}
	for (const { kind, lie, text, id } of posts) {
		const delivery = await rest(kind, id, 120_000), rows = await sandbox.ledger(text);
		table.set(`look: ${lie}`, { ...table.get(`look: ${lie}`), [kind]: `${delivery.status} ${gate.seen(text).length}>${rows.length}` });
		assert.deepEqual([lie, kind, delivery.status, rows.length], [lie, kind, 'published', 1]);
	}
});

if (process.env.TEST_LONG) test('F10 an answer that comes after 120 s, by the timeouts as they are shipped', async () => {
	const slow = await startServer({ sandbox: gate, ini: { sandbox: ini.sandbox } });
	after(() => slow.stop('SIGKILL'));
	const user = await connected(slow, sandbox, [['patient', 'keyed'], ['lost', 'none']], 'max'), posts = [];
	for (const name of ['patient', 'lost']) posts.push(await post(user.test, user.connections[name], `120 s of ${name} ~silent~.`));
	for (const [i, status] of ['published', 'needs_attention'].entries()) {
		await until('the timeout', async () => (await user.test.get(`/v1/posts/${posts[i]}`)).json.status === status, 240_000);
	}
	for (const name of ['patient', 'lost']) assert.equal(await sandbox.count(`120 s of ${name}`), 1);
});

after(() => {
	if (!process.argv.includes('--table')) return;
	const line = (cells) => console.log(`# ${cells.map((cell) => String(cell ?? '').padEnd(18)).join('').trimEnd()}`);
	line(['fault', ...classes]);
	for (const [fault, row] of table) line([fault, ...classes.map((kind) => row[kind])]);
});

await done(process.env.TEST_LONG ? 600_000 : 180_000);
