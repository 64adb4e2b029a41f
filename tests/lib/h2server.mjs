// The far side of the tests of outgoing TLS: one server for HTTP/2 (which also speaks 1.1) and one for HTTP/1.1.
//
//   node h2server.mjs KEY CERTIFICATE      prints "H2PORT H1PORT" and serves until its input ends
//
// It counts posts when their body has arrived, whatever it answers afterwards: GET /posts/NAME tells how many came
// to /NAME, GET /connections how many connections there were.
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';

const { NGHTTP2_REFUSED_STREAM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_HTTP_1_1_REQUIRED } = http2.constants;
const tls = { key: readFileSync(process.argv[2]), cert: readFileSync(process.argv[3]) };
const sockets = new Map();
const posts = new Map();
const held = [];
let connections = 0;

const socketOf = (req) => sockets.get(req.socket.remotePort);
const closeStream = (code) => (req) => req.stream ? req.stream.close(code) : socketOf(req).destroy();

const actions = {
	ok: (req, res) => res.end('ok'),
	version: (req, res) => res.end(req.httpVersion),
	echo: (req, res, body) => res.end(body),
	kill: (req) => socketOf(req).destroy(),
	refuse: closeStream(NGHTTP2_REFUSED_STREAM),
	abort: closeStream(NGHTTP2_INTERNAL_ERROR),
	downgrade: closeStream(NGHTTP2_HTTP_1_1_REQUIRED),
	goaway: (req) => {
		if (!req.stream)
			return socketOf(req).destroy();
		const socket = socketOf(req);
		req.stream.session.goaway(0, 0);	// "I have handled no stream": not true
		setTimeout(() => socket.destroy(), 50);
	},
	cut: (req, res) => {
		res.writeHead(200, { 'content-length': 100 });
		res.write('0123456789');
		setTimeout(() => socketOf(req)?.destroy(), 50);
	},
	hold: (req) => held.push(socketOf(req)),
	drop: (req, res) => {
		res.end('ok');
		for (const socket of held.splice(0))
			socket.destroy();
	},
	posts: (req, res, body, name) => res.end(String(posts.get(name) ?? 0)),
	connections: (req, res) => res.end(String(connections)),
};

function serve(req, res) {
	const chunks = [];
	req.on('data', (chunk) => chunks.push(chunk));
	req.on('error', () => {});
	res.on('error', () => {});
	req.on('end', () => {
		const [, action, name] = req.url.split('/');
		if (req.method === 'POST')
			posts.set(action, (posts.get(action) ?? 0) + 1);
		actions[action](req, res, Buffer.concat(chunks), name);
	});
}

function listen(server) {
	server.on('request', serve);
	server.on('sessionError', () => {});
	server.on('tlsClientError', () => {});
	server.on('secureConnection', (socket) => {
		const port = socket.remotePort;
		connections++;
		sockets.set(port, socket);
		socket.on('error', () => {});
		socket.on('close', () => sockets.delete(port));
	});
	return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
}

const two = await listen(http2.createSecureServer({ ...tls, allowHTTP1: true }));
const one = await listen(https.createServer(tls));
console.log(`${two} ${one}`);
process.stdin.resume().on('end', () => process.exit(0)).on('error', () => process.exit(0));
