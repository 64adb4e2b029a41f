// Media through the API, and a host that files are fetched from and that misbehaves on request.
//
//   const media = mediaOf(server, org.live);
//   await media.send(png(3, 2));  await media.fetch(files.url('/good.png'));  media.files()
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';

export const folder = (server) => join(server.folder, 'var/media');
export const files = (server) => (existsSync(folder(server)) ? readdirSync(folder(server)) : []);

// The most memory the process ever held, in MiB.
export const most = (pid) => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

export const send = (client, bytes, { query = '', ...headers } = {}) =>
	client('POST', `/v1/media${query}`, bytes, { 'content-type': 'image/png', ...headers });

export const fetchUrl = (client, url, { wait = 20, ...body } = {}, headers = {}) =>
	client('POST', `/v1/media/from-url?wait=${wait}`, { url, ...body }, headers);

// A body of `bytes` that is never in memory as a whole: head, then filler, then tail.
export async function stream(server, key, { head, bytes, tail = Buffer.alloc(0), headers = {} }) {
	const out = request(`${server.url}/v1/media`, {
		method: 'POST', agent: false,
		headers: { authorization: `Bearer ${key}`, 'content-type': 'video/mp4', 'content-length': head.length + bytes + tail.length, ...headers },
	});
	const answer = once(out, 'response'), piece = Buffer.alloc(1 << 20, 5);
	out.write(head);
	for (let left = bytes; left > 0; left -= piece.length) {
		if (!out.write(left < piece.length ? piece.subarray(0, left) : piece)) await once(out, 'drain');
	}
	out.end(tail);
	const [got] = await answer;
	let text = '';
	for await (const part of got.setEncoding('utf8')) text += part;
	return { status: got.statusCode, json: JSON.parse(text), text };
}

// The request as it stands, some of its body, and then nothing: what the server says until it closes.
export async function cut(server, key, { length, body, how = 'end', type = 'image/png', more = '' }) {
	const socket = connect(server.port, '127.0.0.1');
	let text = '';
	socket.setEncoding('utf8').on('data', (part) => text += part).on('error', () => {});
	await once(socket, 'connect');
	socket.write(`POST /v1/media HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: ${type}\r\n${more}` +
		`Content-Length: ${length}\r\n\r\n`);
	socket.write(body);
	const closed = once(socket, 'close');
	if (how === 'end') socket.end();
	else setImmediate(() => socket.resetAndDestroy());
	await closed;
	return text;
}

// A host of files: pages maps a path to bytes or to a function (request, answer).  hits counts what was asked for.
export async function startFiles(pages) {
	const hits = [];
	const host = createServer((asked, answer) => {
		const page = pages[asked.url.replace(/\?.*/, '')];
		hits.push(asked.url);
		answer.on('error', () => {});
		if (typeof page === 'function') page(asked, answer);
		else if (page) answer.end(page);
		else answer.writeHead(404).end('nothing');
	});
	await once(host.listen(0, '127.0.0.1'), 'listening');
	const { port } = host.address();
	return {
		hits, port, url: (path) => `http://127.0.0.1:${port}${path}`,
		stop: () => { host.closeAllConnections(); host.close(); },
	};
}
