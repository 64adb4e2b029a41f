// A real Bluesky PDS with its PLC directory, on loopback, behind a small door that can lose answers.
//
//   tests/node_modules/.bin/node tests/counterparts/pds.mjs FOLDER
//
// Prints one JSON line when ready: {"url","host","tls","plc","video","folder","pid"}; tls is
// the port for browsers.  Then takes one JSON line per order on standard
// input and answers each with one line; end of input stops it, so it never outlives its test.
//
//   {"do":"account","handle":"ada.test","password":"..."}   makes an account and an app password by the PDS's own XRPC
//   {"do":"fault","path":"/xrpc/...","mode":"lost_after","count":1,"skip":0}   after so many that pass
//        lost_after   the PDS does the work, the connection dies instead of the answer
//        held         the PDS does the work, the answer never comes, the connection stays
//        lost_before  the connection dies and the PDS never sees the request
//        status       the PDS never sees it; the door answers {"status":N,"headers":{},"body":{}}
//        answered     the PDS does the work; its answer has these "headers" on top
//   {"do":"seen"}    every request so far: {"method","path","status","at"}; status 0 where the answer was lost
//   {"do":"takedown","did":"...","applied":true}, {"do":"deactivate","handle":"...","password":"..."}, {"do":"activate",...}
//   {"do":"client","host":"social.northpeak.dev","url":"http://127.0.0.1:8080"}   where https://HOST of an OAuth client lies
//   {"do":"video","states":["JOB_STATE_ENCODING"],"failure":"..."}   what the next video's job goes through
//   {"do":"expire"}  makes every access token used so far answer 400 ExpiredToken, as the PDS does after two hours
//
// The one thing to know: accounts name a host of host.bsky.network as their server, as real ones do, and not the one
// they signed in at.  A client that follows the DID document, as it should, goes there; the test lets the door
// stand in for that host, so that the faults are met on every way.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
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

const seen = [], faults = [], clients = new Map();
const expired = new Set(), used = new Set();

function takeFault(url) {
	const at = faults.findIndex((f) => url.startsWith(f.path));
	if (at < 0) return null;
	const fault = faults[at];
	if (fault.skip-- > 0) return null;
	if (--fault.count <= 0) faults.splice(at, 1);
	return fault;
}

function answer(res, status, headers, body) {
	const bytes = Buffer.from(JSON.stringify(body));
	res.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length, ...headers }).end(bytes);
}

// Browsers come by TLS, as the PDS's own pages and their cookies want it; the certificate is made here and now.
function certificate(folder) {
	const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name));
	execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
		'-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
	return { key: readFileSync(key), cert: readFileSync(cert) };
}

function pass(pds) {
	return async (req, res) => {
		const chunks = [], behind = clients.get(req.headers.host) ?? pds;
		for await (const chunk of req) chunks.push(chunk);
		const entry = { method: req.method, path: req.url.split('?')[0], status: 0, at: Date.now() };
		seen.push(entry);

		const [scheme, token] = req.headers.authorization?.split(' ') ?? [];
		if (token && !/(refresh|delete)Session$/.test(entry.path)) used.add(token);	// those two carry the refresh token
		const fault = takeFault(req.url);
		if (expired.has(token) && scheme === 'DPoP')
			return answer(res, entry.status = 401, { 'www-authenticate': 'DPoP error="invalid_token", error_description="\"exp\" claim failed"' },
				{ error: 'invalid_token', message: '"exp" claim timestamp check failed' });
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
			const more = fault?.mode === 'answered' ? fault.headers : {};
			res.writeHead(from.statusCode, { ...from.headers, ...more }).end(Buffer.concat(parts));
		});
		up.end(Buffer.concat(chunks));
	};
}

/* ---- the video service ---- */

// As video.bsky.app: takes a video with the account's own word for it (a service token of its PDS) and brings it to that
// PDS as a blob with the same token, which the PDS judges.
const jobs = new Map();
let plan = {};

function jobStatus(job) {
	const state = job.states.shift() ?? (job.failure ? 'JOB_STATE_FAILED' : 'JOB_STATE_COMPLETED');
	const failed = { error: job.failure, message: 'the video could not be processed' };
	const more = { JOB_STATE_COMPLETED: { blob: job.blob }, JOB_STATE_FAILED: failed };
	return { jobId: job.id, did: job.did, state, ...more[state] };
}

async function takeVideo(req, url, bytes, pds) {
	const { authorization, 'content-type': type, 'content-length': length } = req.headers, did = url.searchParams.get('did');
	if (!authorization || type !== 'video/mp4' || Number(length) !== bytes.length || !url.searchParams.get('name'))
		return [400, { error: 'InvalidRequest', message: 'token, type, length, did and name are needed' }];
	const twin = [...jobs.values()].find((j) => j.did === did && j.bytes.equals(bytes));
	if (twin)
		return [409, { jobStatus: jobStatus({ ...twin, states: [] }), error: 'already_exists', message: 'Video already processed' }];
	const reply = await fetch(`http://localhost:${pds}/xrpc/com.atproto.repo.uploadBlob`,
		{ method: 'POST', headers: { authorization, 'content-type': type }, body: bytes });
	const answer = await reply.json();
	if (!reply.ok) return [reply.status, answer];
	const states = [...plan.states ?? ['JOB_STATE_CREATED', 'JOB_STATE_ENCODING']];
	const job = { id: `job-${jobs.size + 1}`, did, bytes, blob: answer.blob, states, failure: plan.failure };
	plan = {};
	jobs.set(job.id, job);
	return [200, { jobId: job.id, did, state: 'JOB_STATE_CREATED' }];
}

function video(pds) {
	return http.createServer(async (req, res) => {
		const chunks = [], url = new URL(req.url, 'http://video');
		for await (const chunk of req) chunks.push(chunk);
		const job = jobs.get(url.searchParams.get('jobId'));
		const [status, body] = req.method === 'POST' && url.pathname === '/xrpc/app.bsky.video.uploadVideo'
			? await takeVideo(req, url, Buffer.concat(chunks), pds)
			: url.pathname === '/xrpc/app.bsky.video.getJobStatus' && job ? [200, { jobStatus: jobStatus(job) }]
			: [404, { error: 'XRPCNotSupported', message: 'no such method or job' }];
		seen.push({ method: req.method, path: url.pathname, status, video: true });
		answer(res, status, {}, body);
	});
}

/* ---- the servers behind it ---- */

// An OAuth client's metadata lie at an address of the world; here it is one of this machine.
const outside = globalThis.fetch;
globalThis.fetch = (input, init) => {
	const url = new URL(input instanceof Request ? input.url : input);
	if (url.protocol !== 'https:' || !clients.has(url.host)) return outside(input, init);
	const { headers, signal } = input instanceof Request ? input : init ?? {};
	return outside(`http://127.0.0.1:${clients.get(url.host)}${url.pathname}${url.search}`, { headers, signal });
};

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
	cfg.service.did = `did:web:${HOST}`;
	cfg.service.publicUrl = cfg.oauth.issuer = `https://${HOST}`;
	const server = await pds.PDS.create(cfg, pds.envToSecrets(settings));
	// Handles under .test are in no DNS: the PDS's own table answers for them.
	server.ctx.idResolver.handle.resolve = async (handle) => (await server.ctx.accountManager.getAccount(handle))?.did;
	await server.start();
	return { server, port };
}

/* ---- orders ---- */

async function call(url, name, body, token) {
	const reply = await fetch(`${url}/xrpc/${name}`, {
		method: 'POST', body: body && JSON.stringify(body),
		headers: { ...(body && { 'content-type': 'application/json' }), ...(token && { authorization: `Bearer ${token}` }) },
	});
	const json = await reply.json().catch(() => ({}));		// some answer nothing
	if (!reply.ok) throw new Error(`${name}: ${reply.status} ${json.error} ${json.message}`);
	return json;
}

const orders = {
	async account({ handle, password = 'main-password-of-a-test' }, { direct }) {
		const made = await call(direct, 'com.atproto.server.createAccount', { email: `${handle}@example.com`, handle, password });
		const app = await call(direct, 'com.atproto.server.createAppPassword', { name: 'mypostshare' }, made.accessJwt);
		return { did: made.did, handle, password, appPassword: app.password };
	},
	async takedown({ did, applied = true }, { direct }) {
		const admin = Buffer.from('admin:admin-of-a-test').toString('base64');
		const reply = await fetch(`${direct}/xrpc/com.atproto.admin.updateSubjectStatus`, {
			method: 'POST', headers: { authorization: `Basic ${admin}`, 'content-type': 'application/json' },
			body: JSON.stringify({ subject: { $type: 'com.atproto.admin.defs#repoRef', did }, takedown: { applied } }),
		});
		if (!reply.ok) throw new Error(`takedown: ${reply.status} ${await reply.text()}`);
		return {};
	},
	async deactivate({ handle, password }, { direct }) {
		const { accessJwt } = await call(direct, 'com.atproto.server.createSession', { identifier: handle, password });
		await call(direct, 'com.atproto.server.deactivateAccount', {}, accessJwt);
		return {};
	},
	async activate({ handle, password }, { direct }) {
		const { accessJwt } = await call(direct, 'com.atproto.server.createSession', { identifier: handle, password });
		await call(direct, 'com.atproto.server.activateAccount', undefined, accessJwt);
		return {};
	},
	client({ host, url }) {
		clients.set(host, new URL(url).port);
		return {};
	},
	video({ states, failure }) {
		plan = { states, failure };
		return {};
	},
	fault({ path, mode, count = 1, skip = 0, status, headers, body }) {
		faults.push({ path, mode, count, skip, status, headers, body });
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
const url = `http://127.0.0.1:${await opened(http.createServer(pass(pds.port)))}`;
const tls = await opened(https.createServer(certificate(path.resolve(folder)), pass(pds.port)));
const videos = `http://127.0.0.1:${await opened(video(pds.port))}`;
say({ url, host: HOST, tls, plc: plc.url, video: videos, folder: path.resolve(folder), pid: process.pid });

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
