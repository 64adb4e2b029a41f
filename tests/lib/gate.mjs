// A far side that misbehaves on the wire: it stands before the sandbox, which keeps the ledger, and speaks raw TCP or TLS.
//
//   const gate = await startGate({ to: sandbox.url });		// tls: { key, cert, ... } for a TLS one
//   text `... ~rst_after~ ...`    the first irreversible request of that post meets the fault of this name (faults, below)
//   gate.early.set('bob', 'rst_head')	the next one of that account meets it when its head has come, before its body is read
//   gate.lies.set('bob', ['html', 'html'])	what the next readings of that account get, once its publishing request met a fault
//   gate.seen(word)                the irreversible requests that came for a post: { key, at, committed }
//
// The one thing to know: a fault that commits hands the request to the sandbox first and misbehaves when that has
// answered, so that the post is there; what does not commit never reaches the sandbox.
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { sleep } from './wait.mjs';

const MB = 1 << 20;
const head = (status, ...lines) => `HTTP/1.1 ${status} X\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
const whole = (status, body, ...lines) => head(status, `content-length: ${Buffer.byteLength(body)}`, ...lines) + body;
const truth = ({ status, body }) => whole(status, body, 'content-type: application/json');

// Sends it piece by piece until the other side has gone.
async function drip(socket, text, size, ms) {
	for (let i = 0; i < text.length && !socket.destroyed; i += size, await sleep(ms)) socket.write(text.slice(i, i + size));
}
async function flood(socket, piece, bytes) {
	for (let sent = 0; sent < bytes && !socket.destroyed; sent += piece.length) {
		if (!socket.write(piece)) await new Promise((go) => { socket.once('drain', go); socket.once('close', go); });
	}
}
const ends = (text) => (socket, answer) => socket.end(text(answer));

// name: { commit, act(socket, the sandbox's answer, gate) }.  early: before the body was read.  late: commits afterwards.
export const faults = {
	// connections that end
	rst_unread: { act: (socket) => socket.resetAndDestroy() },
	rst_after: { commit: true, act: (socket) => socket.resetAndDestroy() },
	fin_after: { commit: true, act: (socket) => socket.end() },
	fin_in_head: { commit: true, act: ends((answer) => truth(answer).slice(0, 30)) },
	short_body: { commit: true, act: ends((answer) => truth(answer).slice(0, -5)) },
	chunks_cut: {
		commit: true, act: ends(({ body }) => head(200, 'transfer-encoding: chunked') + `${body.length.toString(16)}\r\n${body}\r\n`),
	},
	// time
	silent: { commit: true, act: () => {} },
	late: { late: 700, act: () => {} },
	drip_head: { commit: true, act: (socket, answer) => drip(socket, truth(answer), 1, 1000) },
	drip_body: {
		commit: true, act(socket, answer) {
			const text = truth(answer), at = text.indexOf('\r\n\r\n') + 4;
			socket.write(text.slice(0, at));
			return drip(socket, text.slice(at), 1, 1000);
		},
	},
	continues: { commit: true, act: (socket) => drip(socket, 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000), 25, 50) },
	// statuses that are not true
	s500: { commit: true, act: ends(() => whole(500, 'oops')) },
	s503: { commit: true, act: ends(() => whole(503, '{}', 'retry-after: 1')) },
	s400: { commit: true, act: ends(() => whole(400, '<html>Bad Request</html>', 'content-type: text/html')) },
	s409: { commit: true, act: ends(() => whole(409, '{"error":{"code":"strange"}}')) },
	s204: { commit: true, act: ends(() => head(204)) },
	empty: { commit: true, act: ends(() => whole(200, '')) },
	junk: { commit: true, act: ends(() => whole(200, '{"id":{"a":[1]},"url":7}')) },
	// redirects
	to_elsewhere: { commit: true, act: (socket, answer, gate) => socket.end(whole(301, '', `location: ${gate.elsewhere}`)) },
	again_elsewhere: { commit: true, act: (socket, answer, gate) => socket.end(whole(307, '', `location: ${gate.elsewhere}`)) },
	to_itself: { act: (socket, answer, gate) => socket.end(whole(308, '', `location: ${gate.url}/v1/posts`)) },
	// too much
	huge: {
		commit: true, act(socket) {
			socket.write(head(200, `content-length: ${100 * MB}`));
			return flood(socket, Buffer.alloc(65536, 32), 100 * MB);
		},
	},
	endless_head: {
		commit: true, act(socket) {
			socket.write('HTTP/1.1 200 X\r\n');
			return flood(socket, Buffer.from(`x-more: ${'y'.repeat(1000)}\r\n`.repeat(60)), 100 * MB);
		},
	},
	one_line: {
		commit: true, act(socket) {
			socket.write('HTTP/1.1 200 X\r\nx-more: ');
			return flood(socket, Buffer.alloc(65536, 121), 100 * MB);
		},
	},
	bomb: {
		commit: true, act: (socket) => {
			const body = gzipSync(Buffer.alloc(100 * MB, 32));
			socket.write(head(200, `content-length: ${body.length}`, 'content-encoding: gzip', 'content-type: application/json'));
			socket.end(body);
		},
	},
	// what is no HTTP
	noise: { commit: true, act: (socket) => socket.end(randomBytes(5000)) },
	no_head: { commit: true, act: ends(({ body }) => body) },
	bad_status: { commit: true, act: ends(({ body }) => `HTTP/1.1 2OO fine\r\ncontent-length: ${body.length}\r\n\r\n${body}`) },
	two_lengths: {
		commit: true, act: ends(({ body }) => head(200, `content-length: ${body.length}`, 'content-length: 3') + body),
	},
	nul_in_head: { commit: true, act: ends(({ body }) => head(200, `content-length: ${body.length}`, 'x-a: b\0c') + body) },
	two_answers: { commit: true, act: ends((answer) => whole(500, '{}') + truth(answer)) },
	// before the body was read
	rst_head: { early: true, act: (socket) => socket.resetAndDestroy() },
	early_500: { early: true, act: ends(() => whole(500, 'no', 'connection: close')) },
	early_200: { early: true, act: ends(() => whole(200, '{}', 'connection: close')) },
};

// Answers to a look that say nothing about the post, with status 200.
export const lies = {
	html: '<html>Down for maintenance</html>', nothing: '', object: '{}', other: '{"status":"strange","data":{"a":1}}', list: '[]',
};

export async function startGate(options) {
	const gate = new Gate(options);
	await gate.listen();
	return gate;
}

class Gate {
	constructor({ to, tls }) {
		Object.assign(this, {
			to: new URL(to), tls, early: new Map(), lies: new Map(), people: new Map(), containers: new Map(), requests: [],
			visits: 0, expected: 0, met: new Set(), hurt: new Set(), sockets: new Set(),
		});
	}

	async listen() {
		const open = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
		this.server = this.tls ? createTls(this.tls, (socket) => this.serve(socket)) : createServer((socket) => this.serve(socket));
		this.server.on('tlsClientError', () => {});
		this.other = createServer((socket) => { this.visits++; socket.destroy(); });
		this.port = await open(this.server);
		this.url = `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
		this.elsewhere = `http://127.0.0.1:${await open(this.other)}/v1/posts`;
	}

	stop() {
		for (const socket of this.sockets) socket.destroy();
		for (const server of [this.server, this.other]) server.close();
	}

	seen(word) { return this.requests.filter((r) => r.text.includes(word)); }

	// ---- the wire ----

	async serve(socket) {
		let held = Buffer.alloc(0), more;
		this.sockets.add(socket);
		socket.on('error', () => {}).on('close', () => { this.sockets.delete(socket); socket.gone = true; more?.(); });
		socket.on('data', (bytes) => { held = Buffer.concat([held, bytes]); more?.(); });
		const until = async (test) => {
			for (; !test(); await new Promise((go) => more = go)) if (socket.gone) return false;
			return true;
		};
		while (await until(() => held.includes('\r\n\r\n'))) {
			const at = held.indexOf('\r\n\r\n') + 4, one = this.head(held.subarray(0, at).toString('latin1'));
			const early = one.risky && this.early.get(one.person);
			if (early) {
				this.early.delete(one.person);
				this.note(one, `early of ${one.person}`);
				faults[early].act(socket);
				return;
			}
			if (!await until(() => held.length >= at + one.length)) return;
			one.body = held.subarray(at, at + one.length);
			held = held.subarray(at + one.length);
			if (!await this.answer(socket, one)) return;
		}
	}

	head(text) {
		const [first, ...lines] = text.trimEnd().split('\r\n'), [method, path] = first.split(' ');
		const headers = Object.fromEntries(lines.map((line) => /^([^:]*):\s*(.*)$/.exec(line).slice(1)).map(([k, v]) => [k.toLowerCase(), v]));
		this.expected += 'expect' in headers;
		return {
			method, path, headers, length: Number(headers['content-length'] ?? 0), person: this.people.get(headers.authorization),
			risky: method === 'POST' && (path === '/v1/posts' || path.endsWith('/publish')),
		};
	}

	note(one, text) {
		const row = { text, key: one.headers['idempotency-key'], at: Date.now(), committed: false };
		this.requests.push(row);
		return row;
	}

	// True: the connection may carry the next request.
	async answer(socket, one) {
		const lie = one.method === 'GET' && this.hurt.has(one.person) && this.lies.get(one.person)?.shift();
		if (lie) {
			socket.write(whole(200, lies[lie], 'content-type: application/json', `date: ${new Date().toUTCString()}`));
			return true;
		}
		if (!one.risky) {
			socket.write(this.pass(one, await this.forward(one)));
			return true;
		}
		const text = this.containers.get(one.path.split('/')[3]) ?? JSON.parse(one.body).text, row = this.note(one, text);
		const word = /~(\w+)~/.exec(text)?.[1], fault = word && !this.met.has(text) && faults[word];
		if (!fault) {
			row.committed = true;
			socket.write(truth(await this.forward(one)));
			return true;
		}
		this.met.add(text);
		this.hurt.add(one.person);
		row.committed = Boolean(fault.commit);
		const answer = fault.commit ? await this.forward(one) : null;
		if (fault.late) socket.on('close', () => setTimeout(() => this.forward(one), fault.late));
		await fault.act(socket, answer, this);
		return false;
	}

	// ---- to the sandbox ----

	forward({ method, path, headers, body }) {
		return new Promise((resolve) => {
			const to = { host: this.to.hostname, port: this.to.port, method, path, headers: { ...headers, host: this.to.host }, agent: false };
			const out = request(to, (answer) => {
				const parts = [];
				answer.on('data', (part) => parts.push(part));
				answer.on('end', () => resolve({
					status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString(),
				}));
			});
			out.on('error', () => resolve({ status: 502, headers: {}, body: '{}' }));
			out.end(body);
		});
	}

	// What passes unharmed tells who a token belongs to, and which text a container has.
	pass(one, answer) {
		const json = () => JSON.parse(answer.body);
		if (one.path === '/v1/me' && answer.status === 200) this.people.set(one.headers.authorization, json().username);
		if (one.method === 'POST' && one.path === '/v1/containers' && answer.status === 200)
			this.containers.set(json().id, JSON.parse(one.body).text);
		const kept = ['content-type', 'location', 'set-cookie', 'date', 'x-rate-limit-remaining', 'x-rate-limit-reset'];
		return whole(answer.status, answer.body, ...kept.filter((k) => answer.headers[k]).map((k) => `${k}: ${answer.headers[k]}`));
	}
}
