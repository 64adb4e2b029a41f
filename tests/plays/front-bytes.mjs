// What reaches the HTTP port of the running server, byte for byte.  Oracles: the answers on the wire, counted, and the posts in
// the store, of which no hidden request may make one.  With --table: each input and its answer.
import assert from 'node:assert/strict';
import net from 'node:net';
import { connected } from '../lib/connected.mjs';
import { hostile } from '../lib/heads.mjs';
import { raw } from '../lib/raw.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: { server: { address_per_minute: 0, key_per_minute: 0 } } });
after(() => server.stop());
const org = await connected(server, sandbox, ['alice']);

// The request behind: it would make a post whose text tells behind what.
let marks = 0;
function hidden() {
	const body = JSON.stringify({
		externalUserId: org.user, text: `hidden ${++marks}`, mode: 'draft', targets: [{ connectionId: org.connections.alice.id }],
	});
	return { text: `hidden ${marks}`, bytes: ['POST /v1/posts HTTP/1.1', 'Host: h', `Authorization: Bearer ${org.test_key}`,
		'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close', '', body].join('\r\n') };
}

async function posts() {
	const { status, json } = await org.test.get('/v1/posts?limit=100');
	assert.equal(status, 200);
	return json.data.map((post) => post.text ?? post.content?.text);
}

const always = {
	'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store',
	'cross-origin-opener-policy': 'same-origin', 'cross-origin-resource-policy': 'same-origin',
};

function dressed(answer) {
	for (const [name, value] of Object.entries(always)) assert.equal(answer.headers[name], value, name);
	assert.match(answer.headers['content-security-policy'], /^default-src 'none'/);
	assert.match(answer.headers['request-id'], /^req_[0-9a-z]{26}$/);
	for (const name of Object.keys(answer.headers)) assert.ok(!name.startsWith('access-control-'), name);
	if (answer.status < 400) return;
	assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
	assert.equal(answer.json.error.requestId, answer.headers['request-id']);
	assert.ok(answer.json.error.code && answer.json.error.message && answer.json.error.type);
	assert.ok(!/[^\x20-\x7e]/.test(answer.json.error.message), 'words of ours only');
}

const filled = (bytes) => bytes.replaceAll('KEY', org.test_key);
const table = [];

test('the request that is hidden in all others is a good one: alone it makes a post', async () => {
	const { text, bytes } = hidden();
	const { answers } = await raw(server.port, bytes);
	assert.deepEqual(answers.map((a) => a.status), [201], answers[0]?.text);
	assert.ok((await posts()).includes(text));
});

for (const row of hostile.filter((one) => !one.stays)) test(`refused, and nothing behind it is read: ${row.name}`, async () => {
	const { text, bytes } = hidden();
	// Where the body is not ours to judge, what is behind it is a request like any other.
	const { answers, closed } = await raw(server.port, filled(row.bytes) + (row.alone ? '' : bytes), { end: row.end });
	table.push([row.name, answers.map((a) => a.status).join(', ') || 'closed without a word']);
	assert.ok(closed, 'the connection ends');
	assert.ok(answers.length <= (row.may ? 2 : 1), `${answers.length} answers`);
	if (!answers.length) return assert.ok(row.silent && !(await posts()).includes(text), 'no answer');
	assert.ok([row.want].flat().includes(answers[0].status), `${answers[0].status}: ${answers[0].text}`);
	dressed(answers[0]);
	if (row.may) return;
	assert.equal(answers[0].headers.connection, 'close');
	assert.ok(!(await posts()).includes(text), 'the hidden request was executed');
});

for (const row of hostile.filter((one) => one.stays)) test(`answered, and what follows is its own request: ${row.name}`, async () => {
	const { text, bytes } = hidden();
	const { answers } = await raw(server.port, filled(row.bytes) + bytes);
	table.push([row.name, answers[0]?.status]);
	assert.equal(answers[0]?.status, row.want, answers[0]?.text);
	dressed(answers[0]);
	const goes = answers[0].headers.connection === 'close';
	assert.deepEqual(answers.map((a) => a.status), goes ? [row.want] : [row.want, 201]);
	assert.equal((await posts()).includes(text), !goes);
});

test('a good request, then a bad one, then a good one: two answers', async () => {
	const { text, bytes } = hidden();
	const good = 'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n';
	const { answers, closed } = await raw(server.port, `${good}GET /healthz HTTP/1.1\r\nHost : h\r\n\r\n${bytes}`);
	assert.deepEqual(answers.map((a) => a.status), [200, 400]);
	assert.ok(closed && !(await posts()).includes(text));
});

test('a body that is longer than it says: the rest is a request of its own, and as such refused', async () => {
	const body = '{}{"a":1}';
	const { answers, closed } = await raw(server.port, ['POST /v1/posts HTTP/1.1', 'Host: h', `Authorization: Bearer ${org.test_key}`,
		'Content-Type: application/json', 'Content-Length: 2', '', body].join('\r\n') + '\r\n\r\n');
	assert.deepEqual(answers.map((a) => a.status), [422, 400]);
	assert.ok(closed);
});

test('100-continue comes before the body is sent, and not for a body that would be refused', async () => {
	const head = (length) => ['POST /v1/posts HTTP/1.1', 'Host: h', `Authorization: Bearer ${org.test_key}`, 'Content-Type: application/json',
		`Content-Length: ${length}`, 'Expect: 100-continue', '', ''].join('\r\n');
	const first = await raw(server.port, head(2), { count: 1 });
	assert.equal(first.answers[0].status, 100);
	const large = await raw(server.port, head(1048577));
	assert.deepEqual(large.answers.map((a) => a.status), [413]);
	assert.ok(large.closed);
});

// A head or a body that comes in drops: given up, while the others are served.
const drops = (bytes, ms) => new Promise((resolve) => {
	const socket = net.connect(server.port, '127.0.0.1');
	const begun = Date.now();
	let got = '', at = 0;
	const timer = setInterval(() => at < bytes.length && socket.write(bytes[at++]), ms);
	socket.on('data', (part) => got += part);
	socket.on('error', () => {});
	socket.on('close', () => {
		clearInterval(timer);
		resolve({ status: Number(got.split(' ')[1] ?? 0), seconds: (Date.now() - begun) / 1000, left: bytes.length - at });
	});
});

test('heads and bodies in drops are given up; meanwhile others are served', async () => {
	const { text, bytes } = hidden();
	const body = bytes.indexOf('\r\n\r\n') + 4;
	const slow = [drops(`GET /healthz HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(5000)}\r\n\r\n`, 500), drops('', 1000)];
	const behind = new Promise((resolve) => {	// a whole head, then the body in drops
		const socket = net.connect(server.port, '127.0.0.1');
		let got = '';
		socket.on('error', () => {});
		socket.on('data', (part) => got += part);
		socket.on('close', () => { clearInterval(timer); resolve(Number(got.split(' ')[1] ?? 0)); });
		socket.write(bytes.slice(0, body));
		let at = body;
		const timer = setInterval(() => at < bytes.length - 1 && socket.write(bytes[at++]), 400);
	});
	let served = 0, over = false;
	const all = Promise.all([...slow, behind]).then((ends) => { over = true; return ends; });
	await until('the slow ones are given up', async () => {
		served += (await org.test.get('/v1/posts?limit=1')).status === 200;
		return over;
	}, 120_000);
	const [head, silent, late] = await all;
	assert.ok(served > 10);
	assert.ok([0, 400, 408].includes(head.status) && head.left > 0, JSON.stringify(head));
	assert.ok([0, 400, 408].includes(silent.status), JSON.stringify(silent));
	assert.equal(late, 400);
	assert.ok(!(await posts()).includes(text));
	table.push(['a head in drops', head.status || 'closed'], ['silence', silent.status || 'closed'], ['a body in drops', late]);
});

test('more connections of one address than are allowed: told so, and served again when some are gone', async () => {
	const held = [];
	const open = () => new Promise((resolve) => {
		const socket = net.connect(server.port, '127.0.0.1');
		socket.on('error', () => {});
		socket.once('data', (part) => resolve(Number(String(part).split(' ')[1])));
		socket.once('close', () => resolve(0));
		socket.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
		held.push(socket);
	});
	// Each holds one of 64 threads while it is kept alive; those that find none wait, and are served when others let go.
	const got = await Promise.all(Array.from({ length: 200 }, open));
	assert.ok(got.every((status) => [0, 200, 503].includes(status)), got.join());
	assert.ok(got.filter((status) => status === 200).length >= 64);
	for (const socket of held) socket.destroy();
	assert.equal((await org.test.get('/v1/posts?limit=1')).status, 200);
});

test('the server is up, and its log holds no byte of all that', async () => {
	assert.ok(server.alive);
	assert.ok(!server.log().includes('hidden') && !server.log().includes(org.test_key));
	if (process.argv.includes('--table')) for (const [name, answer] of table) console.log(`| ${name} | ${answer} |`);
});

await done(150_000);
