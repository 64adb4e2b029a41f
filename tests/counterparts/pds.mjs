// A real Bluesky PDS with its PLC directory, on loopback, behind a small door that can lose answers.
//
//   tests/node_modules/.bin/node tests/counterparts/pds.mjs FOLDER
//
// Prints one JSON line when ready: {"url","host","plc","folder","pid"}.  Then takes one JSON line per order on standard
// input and answers each with one line; end of input stops it, so it never outlives its test.
//
//   {"do":"account","handle":"ada.test","password":"..."}   makes an account and an app password by the PDS's own XRPC
//   {"do":"fault","path":"/xrpc/...","mode":"lost_after","count":1}
//        lost_after   the PDS does the work, the connection dies instead of the answer
//        held         the PDS does the work, the answer never comes, the connection stays
//        lost_before  the connection dies and the PDS never sees the request
//        status       the PDS never sees it; the door answers {"status":N,"headers":{},"body":{}}
//   {"do":"seen"}    every request so far: {"method","path","status"}; status 0 where the answer was lost
//   {"do":"expire"}  makes every access token used so far answer 400 ExpiredToken, as the PDS does after two hours
//
// The one thing to know: accounts name a host of host.bsky.network as their server, as real ones do, and not the one
// they signed in at.  A client that follows the DID document, as it should, goes there; the test lets the door
// stand in for that host, so that the faults are met on every way.
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';

const HOST = 'morel.us-east.host.bsky.network';
const require = createRequire(import.meta.url);
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// The PDS and the directory listen on every address unless told here: nothing of a test leaves the machine.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
	const done = rest.findLast((a) => typeof a === 'function');
	const port = typeof first === 'object' ? first.port : first;
	return listen.call(this, { port: Number(port ?? 0), host: '127.0.0.1' }, ...(done ? [done] : []));
};

const opened = (server, port = 0) => new Promise((resolve, reject) => {
	server.once('error', reject);
	server.listen(port, () => resolve(server.address().port));
});

async function freePort() {
	const probe = net.createServer();
	const port = await opened(probe);
	await new Promise((resolve) => probe.close(resolve));
	return port;
}

/* ---- the door ---- */

const seen = [], faults = [];
const expired = new Set(), used = new Set();

function takeFault(url) {
	const at = faults.findIndex((f) => url.startsWith(f.path));
	if (at < 0) return null;
	const fault = faults[at];
	if (--fault.count <= 0) faults.splice(at, 1);
	return fault;
}

function answer(res, status, headers, body) {
	const bytes = Buffer.from(JSON.stringify(body));
	res.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length, ...headers }).end(bytes);
}

function door(behind) {
	return http.createServer(async (req, res) => {
		const chunks = [];
		for await (const chunk of req) chunks.push(chunk);
		const entry = { method: req.method, path: req.url.split('?')[0], status: 0 };
		seen.push(entry);

		const token = req.headers.authorization?.replace(/^Bearer /, '');
		if (token && !/(refresh|delete)Session$/.test(entry.path)) used.add(token);	// those two carry the refresh token
		const fault = takeFault(req.url);
		if (expired.has(token))
			return answer(res, entry.status = 400, {}, { error: 'ExpiredToken', message: 'Token has expired' });
		if (fault?.mode === 'status')
			return answer(res, entry.status = fault.status, fault.headers ?? {}, fault.body ?? {});
		if (fault?.mode === 'lost_before')
			return req.socket.resetAndDestroy();

		const up = http.request({ host: '127.0.0.1', port: behind, method: req.method, path: req.url, headers: req.headers });
		up.on('error', () => req.socket.destroy());
		up.on('response', async (from) => {
			const parts = [];
			for await (const part of from) parts.push(part);
			if (fault?.mode === 'held')
				return;
			if (fault?.mode === 'lost_after')
				return req.socket.resetAndDestroy();
			entry.status = from.statusCode;
			res.writeHead(from.statusCode, from.headers).end(Buffer.concat(parts));
		});
		up.end(Buffer.concat(chunks));
	});
}

/* ---- the servers behind it ---- */

async function startPlc() {
	const plc = require('@did-plc/server');
	const port = await freePort();
	const server = plc.PlcServer.create({ db: plc.Database.mock(), port });
	await server.start();
	return { server, url: `http://localhost:${port}` };
}

async function startPds(folder, plcUrl) {
	const pds = require('@atproto/pds');
	const port = await freePort();
	const settings = {
		devMode: true, port, hostname: 'localhost', didPlcUrl: plcUrl,
		dataDirectory: path.join(folder, 'db'), blobstoreDiskLocation: path.join(folder, 'blobs'),
		adminPassword: 'admin-of-a-test', jwtSecret: 'a-secret-of-a-test-and-of-nothing-else',
		plcRotationKeyK256PrivateKeyHex: createHash('sha256').update('rotation key of a test').digest('hex'),
		enableDidDocWithSession: true, serviceHandleDomains: ['.test'], inviteRequired: false, disableSsrfProtection: true,
		rateLimitsEnabled: false, logEnabled: false,
	};
	for (const d of [settings.dataDirectory, settings.blobstoreDiskLocation]) mkdirSync(d, { recursive: true });
	const cfg = pds.envToCfg(settings);
	cfg.service.publicUrl = `https://${HOST}`;
	const server = await pds.PDS.create(cfg, pds.envToSecrets(settings));
	// Handles under .test are in no DNS: the PDS's own table answers for them.
	server.ctx.idResolver.handle.resolve = async (handle) => (await server.ctx.accountManager.getAccount(handle))?.did;
	await server.start();
	return { server, port };
}

/* ---- orders ---- */

async function call(url, name, body, token) {
	const reply = await fetch(`${url}/xrpc/${name}`, {
		method: 'POST', body: JSON.stringify(body),
		headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
	});
	const json = await reply.json();
	if (!reply.ok) throw new Error(`${name}: ${reply.status} ${json.error} ${json.message}`);
	return json;
}

const orders = {
	async account({ handle, password = 'main-password-of-a-test' }, { direct }) {
		const made = await call(direct, 'com.atproto.server.createAccount', { email: `${handle}@example.com`, handle, password });
		const app = await call(direct, 'com.atproto.server.createAppPassword', { name: 'mypostshare' }, made.accessJwt);
		return { did: made.did, handle, password, appPassword: app.password };
	},
	fault({ path, mode, count = 1, status, headers, body }) {
		faults.push({ path, mode, count, status, headers, body });
		return {};
	},
	seen: () => ({ requests: seen }),
	// An access token is no more than its account and its second: a new one of this second would be an expired one.
	async expire() {
		const second = Math.floor(Date.now() / 1000);
		while (Math.floor(Date.now() / 1000) === second) await new Promise((resolve) => setTimeout(resolve, 50));
		for (const token of used) expired.add(token);
		return { tokens: expired.size };
	},
};

const folder = process.argv[2];
if (!folder) {
	console.error('usage: pds.mjs FOLDER');
	process.exit(2);
}
const plc = await startPlc();
const pds = await startPds(path.resolve(folder), plc.url);
const url = `http://127.0.0.1:${await opened(door(pds.port))}`;
say({ url, host: HOST, plc: plc.url, folder: path.resolve(folder), pid: process.pid });

const place = { direct: `http://localhost:${pds.port}` };
for await (const line of readline.createInterface({ input: process.stdin })) {
	try {
		const order = JSON.parse(line);
		if (!Object.hasOwn(orders, order.do)) throw new Error(`no order "${order.do}"`);
		say({ ok: true, ...await orders[order.do](order, place) });
	} catch (error) {
		say({ ok: false, error: error.message });
	}
}
process.exit(0);
