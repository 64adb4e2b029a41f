// F10, below HTTP: certificates that are not to be trusted, handshakes that fail or never end, and HTTP/2 that takes back
// what it was given.  A request that met no peer to be trusted did not leave, and goes out later, also where nothing may be
// repeated; one that did leave is lost, whatever a GOAWAY or REFUSED_STREAM says.  The sandbox's ledger is the oracle.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import http2 from 'node:http2';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTls } from 'node:tls';
import { connected } from '../lib/connected.mjs';
import { startGate } from '../lib/gate.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const folder = mkdtempSync(join(tmpdir(), 'mps-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// ---- certificates ----

function certificate(name, address, more = []) {
	const [program, ...before] = [...more, 'openssl'];
	execFileSync(program, [...before, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
		'-subj', `/CN=${name}`, '-addext', `subjectAltName=IP:${address}`, '-keyout', join(folder, `${name}.key`),
		'-out', join(folder, `${name}.pem`)], { stdio: 'ignore' });
	return { key: readFileSync(join(folder, `${name}.key`)), cert: readFileSync(join(folder, `${name}.pem`)) };
}
const good = certificate('good', '127.0.0.1'), wrong = certificate('wrong', '127.0.0.2'), strange = certificate('strange', '127.0.0.1');
const expired = certificate('expired', '127.0.0.1', ['faketime', '2020-01-01']);
writeFileSync(join(folder, 'ca.pem'), Buffer.concat([good.cert, wrong.cert, expired.cert]));	// all but the strange one

// ---- the far sides, and the switch before them ----

const sandbox = await startSandbox();
after(() => sandbox.stop());
const gate = await startGate({ to: sandbox.url, tls: good });
after(() => gate.stop());

const servers = [];
function listen(server) {
	servers.push(server);
	return new Promise((ready) => server.on('error', () => {}).listen(0, '127.0.0.1', () => ready(server.address().port)));
}
const tls = (options) => listen(createTls(options, (socket) => socket.on('error', () => {})).on('tlsClientError', () => {}));
const tcp = (act) => listen(createServer((socket) => { socket.on('error', () => {}); act(socket); }));
const refusals = {
	untrusted: await tls(strange),
	'another name': await tls(wrong),
	expired: await tls(expired),
	'TLS 1.1': await tls({ ...good, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
	silence: await tcp(() => {}),
	reset: await tcp((socket) => socket.resetAndDestroy()),
	'plain HTTP': await tcp((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')),
	noise: await tcp((socket) => socket.end(randomBytes(3000))),
};
let to = gate.port, visits = 0;
const front = await tcp((socket) => {
	const behind = connect(to, '127.0.0.1');
	visits++;
	behind.on('error', () => socket.resetAndDestroy()).on('close', () => socket.destroy());
	socket.on('close', () => behind.destroy());
	socket.pipe(behind).pipe(socket);
});
after(() => { for (const server of servers) server.close(); });

// HTTP/2: the request is handed on, and then its stream or session ends in one of these ways.
const { NGHTTP2_REFUSED_STREAM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
const ends = {
	'REFUSED_STREAM': (stream) => stream.close(NGHTTP2_REFUSED_STREAM),
	'INTERNAL_ERROR': (stream) => stream.close(NGHTTP2_INTERNAL_ERROR),
	'HTTP_1_1_REQUIRED': (stream) => stream.close(NGHTTP2_HTTP_1_1_REQUIRED),
	'GOAWAY of stream 0': (stream) => {
		stream.session.goaway(0, 0);
		setTimeout(() => stream.session?.destroy(), 50);
	},
	'ENHANCE_YOUR_CALM': (stream) => stream.session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM),
};
let end, taken = 0;
const two = await listen(http2.createSecureServer(good, (req, res) => {
	const parts = [], { method, url: path, headers } = req;
	const plain = Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(':')));
	for (const one of [req, res]) one.on('error', () => {});
	req.on('data', (part) => parts.push(part)).on('end', () => {
		const out = request(sandbox.url + path, { method, headers: plain, agent: false }, (answer) => {
			const body = [];
			answer.on('data', (part) => body.push(part)).on('end', () => {
				if (method === 'POST' && end) return taken++, end(req.stream);
				res.writeHead(answer.statusCode, { 'content-type': 'application/json', date: new Date().toUTCString() });
				return res.end(Buffer.concat(body));
			});
		});
		out.end(Buffer.concat(parts));
	});
}).on('sessionError', () => {}));

// ---- the product ----

const server = await startServer({ sandbox: { url: `https://127.0.0.1:${front}` }, ini: {
	sandbox: { settle_ms: 1000, public_url: sandbox.url }, engine: { request_timeout_ms: 1500 }, egress: { ca_file: join(folder, 'ca.pem') },
} });
after(() => server.stop('SIGKILL'));
const org = await connected(server, sandbox, [['keyed', 'keyed'], ['none', 'none']]);

async function post(kind, text) {
	const { status, json, text: words } = await org.test.post('/v1/posts', { targets: [{ connectionId: org.connections[kind].id }], text });
	assert.equal(status, 202, words);
	return json.id;
}
const becomes = (id, wanted) => until(`post ${id} is ${wanted}`, async () =>
	(await org.test.get(`/v1/posts/${id}`)).json.status === wanted, 60_000);

for (const [name, port] of Object.entries(refusals)) test(`F10 ${name}: nothing is said to it, and the post goes out later`, async () => {
	to = port;
	const before = visits, posts = [];
	for (const kind of ['keyed', 'none']) posts.push([kind, await post(kind, `${name}, ${kind}`)]);
	await until('both have been tried', () => visits >= before + 2);
	assert.equal((await sandbox.ledger(name)).length, 0);
	to = gate.port;
	for (const [kind, id] of posts) {
		await becomes(id, 'published');
		assert.equal(await sandbox.count(`${name}, ${kind}`), 1);
	}
});

for (const [name, act] of Object.entries(ends)) test(`F10 HTTP/2, ${name} after the post is there: it is there once`, async () => {
	[to, end, taken] = [two, act, 0];
	const posts = [];
	for (const kind of ['keyed', 'none']) posts.push([kind, await post(kind, `${name}, ${kind}`)]);
	await until('both have been taken', () => taken >= 2);
	end = undefined;
	for (const [kind, id] of posts) {
		await becomes(id, kind === 'none' ? 'needs_attention' : 'published');
		assert.equal(await sandbox.count(`${name}, ${kind}`), 1);
	}
	to = gate.port;
});

await done(120_000);
