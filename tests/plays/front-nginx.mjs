// The shipped etc/nginx.conf in front of the running server.  Oracles: the bytes on the wire, nginx's logs, the number of
// requests that the server itself counted, and the posts in the store.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { connected } from '../lib/connected.mjs';
import { hostile } from '../lib/heads.mjs';
import { folder as mediaFolder } from '../lib/media.mjs';
import { NAME, startNginx } from '../lib/nginx.mjs';
import { raw } from '../lib/raw.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const ADDRESS_LIMIT = 40;
const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: { server: { address_per_minute: 0, key_per_minute: 0 } } });
after(() => server.stop());
const front = await startNginx(server, { sandbox });
after(() => front.stop());
const org = await connected(server, sandbox, ['alice']);
const key = org.test_key, secure = { servername: NAME };

async function counted() {
	const response = await fetch(`${server.url}/metrics`);
	const values = [...(await response.text()).matchAll(/^mypostshare_http_requests_total\{.*\} (\d+)$/gm)];
	return values.reduce((n, [, value]) => n + Number(value), 0);
}

const envelope = (answer, status, code) => {
	assert.equal(answer.status, status, answer.text);
	assert.equal(answer.json?.error?.code, code, answer.text);
	assert.ok(answer.json.error.message && answer.json.error.requestId && 'retryable' in answer.json.error);
	assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
	assert.equal(answer.headers['strict-transport-security'], 'max-age=31536000');
	assert.equal(answer.headers['x-request-id'], answer.json.error.requestId);
	assert.equal(answer.headers['cross-origin-opener-policy'], 'same-origin');
	assert.equal(answer.headers['cross-origin-resource-policy'], 'same-origin');
	assert.match(answer.headers['content-security-policy'], /base-uri 'none'/);
};

test('it passes requests on, by HTTP/1.1 and by HTTP/2, and adds what belongs to https', async () => {
	const one = await front.call('GET', '/v1/posts', { key });
	assert.equal(one.status, 200, one.text);
	assert.equal(one.headers['strict-transport-security'], 'max-age=31536000');
	assert.match(one.headers['content-security-policy'], /default-src 'none'/);

	const session = http2.connect(`https://127.0.0.1:${front.port}`, { servername: NAME, rejectUnauthorized: false });
	const stream = session.request({ ':authority': NAME, ':path': '/v1/posts', authorization: `Bearer ${key}` });
	const status = await new Promise((resolve, reject) => {
		stream.on('response', (headers) => resolve(headers[':status']));
		stream.on('error', reject);
	});
	session.destroy();
	assert.equal(status, 200);
});

test('TLS 1.1 and names that are not served get no handshake; plain http gets a way to https, and programs a refusal', async () => {
	const shake = (options) => new Promise((resolve) => {
		const socket = tls.connect({ port: front.port, host: '127.0.0.1', rejectUnauthorized: false, servername: NAME, ...options }, () => {
			resolve(socket.getProtocol());
			socket.destroy();
		});
		socket.on('error', (error) => resolve(error.code));
	});
	assert.match(await shake({}), /^TLSv1\.[23]$/);
	assert.doesNotMatch(String(await shake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })), /^TLSv/);
	assert.doesNotMatch(String(await shake({ servername: 'other.example.com' })), /^TLSv/);
	const http = (path) => raw(front.plain, `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`);
	const page = (await http('/connect/x?y=z')).answers[0];
	assert.equal(page.status, 301);
	assert.equal(page.headers.location, `https://${NAME}/connect/x?y=z`);
	const program = (await http('/v1/posts')).answers[0];
	assert.equal(program.status, 403);
	assert.equal(program.json.error.code, 'https_required');
});

test('all the hostile bytes through it: the server counts as many requests as nginx passed on, none hidden in another', async () => {
	const before = await counted(), logged = front.access().length;
	let requests = 0, marks = 0;
	for (const row of hostile) {
		const targets = [{ connectionId: org.connections.alice.id }];
		const body = JSON.stringify({ externalUserId: org.user, text: `hidden ${++marks}`, mode: 'draft', targets });
		const hidden = [`POST /v1/posts HTTP/1.1`, `Host: ${NAME}`, `Authorization: Bearer ${key}`, 'Content-Type: application/json',
			`Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close', '', body].join('\r\n');
		const bytes = row.bytes.replaceAll('KEY', key).replace(/Host: h(?=[\r\n])/g, `Host: ${NAME}`);
		const { answers } = await raw(front.port, bytes + (row.alone ? '' : hidden), { secure, end: row.end, ms: 20_000 });
		requests += answers.length;
		for (const { status, text } of answers) {
			assert.ok(status < 500, `${row.name}: ${status}: ${text}`);
			assert.ok(status < 400 || text.startsWith('{"error":'), `${row.name}: ${status}: ${text}`);
		}
	}
	const total = await counted() - before - 1;
	let lines, passed;
	await until('nginx has logged as many as the server counted', () => {
		lines = front.access().slice(logged);
		passed = lines.filter((one) => one.upstreamSeconds !== '' && one.upstreamSeconds !== '-').length;
		return passed >= total;
	}, 10_000).catch(() => {});
	assert.equal(total, passed, 'requests that the server counted, and those that nginx passed on');
	assert.ok(passed > 30 && passed < requests, `${passed} of ${requests}`);
	const posts = (await org.test.get('/v1/posts?limit=100')).json.data.length;
	assert.equal(posts, lines.filter((one) => one.method === 'POST' && one.path === '/v1/posts' && one.status === 201).length);
});

test('what is for this machine only is not reached, however it is spelled', async () => {
	const { answers: [own] } = await raw(server.port, 'GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
	assert.match(own.text, /mypostshare_uptime_seconds/);
	const paths = ['/metrics', '/metrics?x=1', '/%6detrics', '/v1/../metrics', '//metrics', '/metrics/', '/METRICS', '/./metrics',
		'/docs/%2e%2e/metrics', '/sandbox/control/ledger', '/sandbox/%63ontrol/ledger', '/sandbox//control/ledger',
		'/sandbox/x/../control/ledger', '/sandbox/control%2fledger', '/refused/503', '/refused/200'];
	const ask = (path) => raw(front.port, `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`, { secure });
	for (const path of paths) {
		const { answers: [got] } = await ask(path);
		assert.ok([400, 403, 404].includes(got.status), `${path}: ${got.status}`);
		assert.ok(!/mypostshare_|"posts"|"ledger"/.test(got.text), `${path}: ${got.text.slice(0, 200)}`);
	}
	envelope(await front.call('GET', '/metrics'), 404, 'not_found');
	assert.notEqual((await front.call('GET', '/sandbox/oauth/authorize')).status, 502);
});

test('a file is not kept by nginx first: its bytes lie with the server before the last one is sent', async () => {
	const size = 48 << 20, piece = Buffer.alloc(1 << 20, 7), sizeOf = (name) => statSync(join(mediaFolder(server), name)).size;
	const half = async (out) => {
		for (let sent = 0; sent < size / 2; sent += piece.length) if (!out.write(piece)) await once(out, 'drain');
	};
	const answer = await front.call('POST', '/v1/media', {
		key, headers: { 'content-type': 'video/mp4', 'content-length': size }, body: async (out) => {
			await half(out);
			await until('some of it lies there', () => readdirSync(mediaFolder(server)).some((name) => sizeOf(name) > size / 4));
			await half(out);
			out.end();
		},
	});
	assert.ok([201, 202, 422].includes(answer.status), `${answer.status}: ${answer.text}`);		// it is no video, which is not asked here
});

test('a body over the limit: 413 in the form of the API, for files and for all else', async () => {
	const announced = (path, type, length) => front.call('POST', path, {
		key, headers: { 'content-type': type, 'content-length': length }, body: (out) => out.flushHeaders(),
	});
	envelope(await announced('/v1/posts', 'application/json', 3 << 20), 413, 'payload_too_large');
	envelope(await announced('/v1/media', 'video/mp4', 600 << 20), 413, 'payload_too_large');
	envelope(await announced('/api/v1/media', 'video/mp4', 600 << 20), 413, 'payload_too_large');
	const alias = await front.call('POST', '/api/v1/media', { headers: { 'content-length': 3 << 20 }, body: (out) => out.flushHeaders() });
	assert.equal(alias.status, 401, 'the alias takes files, too');
	const body = Buffer.alloc((1 << 20) + 1, 32), headers = { 'content-type': 'application/json' };
	envelope(await front.call('POST', '/v1/posts', { key, headers, body }), 413, 'payload_too_large');
});

test('a body in chunks arrives as one with a length', async () => {
	const answer = await front.call('POST', '/v1/posts', {
		key, headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }, body: (out) => {
			out.write('{"externalUserId":');
			out.end('"nobody"}');
		},
	});
	assert.equal(answer.json?.error?.code, 'end_user_not_found', answer.text);
});

test('no log holds codes, states, links to pages or keys, also when the server is away', async () => {
	const secrets = ['CODE-canary-1', 'STATE-canary-2', 'token-canary-3', key];
	const ask = async () => {
		await front.call('GET', `/oauth/sandbox/callback?code=${secrets[0]}&state=${secrets[1]}`);
		await front.call('GET', `/connect/${secrets[2]}?error=x`);
		await front.call('POST', `/connect/${secrets[2]}/start`, { body: 'a=b' });
		await front.call('GET', `//connect/${secrets[2]}`);
		await front.call('GET', `//OAuth/sandbox/callback?code=${secrets[0]}&state=${secrets[1]}`);
		await front.call('GET', `/sandbox/oauth/authorize?state=${secrets[1]}&code=${secrets[0]}`);
		await front.call('GET', '/v1/posts', { key });
	};
	await ask();
	await server.end();
	await ask();
	envelope(await front.call('GET', '/v1/posts', { key }), 503, 'unavailable');
	const away = await front.call('POST', '/v1/posts', { key, headers: { 'content-type': 'application/json' }, body: '{}' });
	envelope(away, 503, 'unavailable');
	assert.equal(away.headers['retry-after'], '2');
	assert.equal(away.json.error.retryable, true);
	await server.start();
	await until('it is back at once', async () => (await front.call('GET', '/v1/posts', { key })).status === 200, 5000);
	const text = front.read('mypostshare.log') + front.errors() + server.log();
	assert.match(text, /"path":"\/connect\/\.\.\."/);
	for (const secret of secrets) assert.ok(!text.includes(secret), secret);
});

test('a request that was cut off is not sent again: nginx asks once', async () => {
	let asked = 0;
	await server.end();
	const deaf = net.createServer((socket) => socket.on('data', () => { asked++; socket.destroy(); }).on('error', () => {}));
	await new Promise((resolve) => deaf.listen(server.port, '127.0.0.1', resolve));
	for (const method of ['GET', 'POST']) {
		const more = method === 'POST' ? { headers: { 'content-type': 'application/json' }, body: '{}' } : {};
		envelope(await front.call(method, '/v1/posts', { key, ...more }), 503, 'unavailable');
	}
	assert.equal(asked, 2);
	await new Promise((resolve) => deaf.close(resolve));
	await server.start();
});

test('the client is who nginx saw: limits count by that address, and a claimed one changes nothing', async () => {
	server.configure({ server: { listen: `127.0.0.1:${server.port}`, address_per_minute: ADDRESS_LIMIT, key_per_minute: 0 } });
	await server.restart();
	const as = async (address, claim) => {
		const { status } = await front.call('GET', '/v1/posts', { key, address, headers: { 'x-forwarded-for': claim } });
		return status;
	};
	let last = 200, n = 0;
	for (; last === 200 && n < 3 * ADDRESS_LIMIT; n++) last = await as('127.0.0.2', `198.51.100.${n}`);
	assert.equal(last, 429, `after ${n}`);
	assert.ok(n > ADDRESS_LIMIT / 2);
	assert.equal(await as('127.0.0.3', '127.0.0.2'), 200);
});

await done(120_000);
