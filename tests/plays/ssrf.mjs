// No URL that a person gives leads inside: the table of tests/lib/ssrf.json through every door of the real server, names
// that change their address between two questions, and public servers that point inside at each hop.
//
// It runs in network and mount namespaces of its own, as root or as a user who may make them: there the name server of
// this test is the machine's, private addresses exist and are listened at, and "public" ones lead nowhere but here.
// The one thing to know: the oracle is the listeners on private addresses, which must never see a connection.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createTls } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connected } from '../lib/connected.mjs';
import { startDns } from '../lib/dns.mjs';
import { Browser } from '../lib/http.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';
import { sleep } from '../lib/wait.mjs';

if (!process.env.SSRF_INSIDE) {
	const spaces = [...(process.getuid() === 0 ? [] : ['--user', '--map-root-user']), '--mount', '--net', '--'];
	const tried = spawnSync('unshare', [...spaces, 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' });
	if (tried.status !== 0) {
		const words = (tried.error?.message ?? tried.stderr).trim();
		console.log(`not ok namespaces of its own: ${words}; run as root or allow user namespaces, and install iproute2`);
		process.exit(1);
	}
	const inside = [process.execPath, fileURLToPath(import.meta.url)];
	const { status } = spawnSync('unshare', [...spaces, ...inside], { stdio: 'inherit', env: { ...process.env, SSRF_INSIDE: '1' } });
	process.exit(status ?? 1);
}

const open = '93.184.215.14', deaf = '93.184.215.15';		/* public by the guard's table; the second one has nobody */
const inside = ['127.0.0.1', '127.255.255.254', '10.0.0.1', '172.16.0.1', '192.168.1.1', '100.64.0.1', '100.100.100.200', '169.254.169.254',
	'168.63.129.16', '198.18.0.1', '192.0.2.1', '::1', 'fc00::1', 'fd00:ec2::254', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:7f00:1::'];

const folder = mkdtempSync(join(tmpdir(), 'mps-ssrf-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const ip = (...words) => execFileSync('ip', words, { stdio: 'pipe' });

// ---- the net ----

ip('link', 'set', 'lo', 'up');
for (const one of [open, deaf, ...inside]) {
	if (one.startsWith('127.') || one === '::1') continue;
	ip('addr', 'add', ...(one.includes(':') ? [`${one}/128`, 'dev', 'lo', 'nodad'] : [`${one}/32`, 'dev', 'lo']));
}

const touched = [];
const port = 4430;

for (const address of inside) {
	for (const number of [80, 443, port]) {
		const listener = createServer((socket) => { touched.push(`${address} ${number}`); socket.destroy(); });
		await new Promise((resolve, reject) => listener.on('error', reject).listen({ port: number, host: address, ipv6Only: true }, resolve));
		after(() => listener.close());
	}
}

// ---- names ----

const table = JSON.parse(readFileSync('tests/lib/ssrf.json', 'utf8'));
const kind = (address) => (address.includes(':') ? { AAAA: [address] } : { A: [address] });
const publics = ['good.example.com', 'bsky.social', 'public.api.bsky.app', 'plc.directory'];

// What a name answers, by how often it was asked before.
const special = {
	'turn.example.com': (n) => ({ A: [n === 0 ? open : '127.0.0.1'] }),
	'turn6.example.com': (n) => (n === 0 ? { A: [open] } : { AAAA: ['::1'] }),
	'swing.example.com': (n) => ({ A: [n % 2 ? '127.0.0.1' : open] }),
	'both.example.com': () => ({ A: [deaf, '127.0.0.1'] }),
	'both-turned.example.com': () => ({ A: ['127.0.0.1', deaf] }),
	'both-six.example.com': () => ({ A: [deaf], AAAA: ['::1', '::ffff:127.0.0.1'] }),
	'many.example.com': () => ({ A: [deaf, '10.0.0.1', '169.254.169.254', '127.0.0.1', '192.168.1.1'] }),
	'alias.example.com': () => ({ CNAME: 'rebound.example.com', A: ['127.0.0.1'] }),
};
const dns = await startDns((name, n) => {
	if (special[name]) return special[name](n);
	if (publics.includes(name) || /^(did|pds|auth|moved)-\d+\.example\.com$/.test(name)) return { A: [open] };
	return kind(table.names[name] ?? '127.0.0.1');
}, '127.0.0.1', 53);
after(() => dns.close());
writeFileSync(join(folder, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:1 attempts:2\n');
execFileSync('mount', ['--bind', join(folder, 'resolv.conf'), '/etc/resolv.conf'], { stdio: 'pipe' });

// ---- public servers that point inside ----

const targets = ['127.0.0.1', 'localhost', 'rebound.example.com', 'six.example.com', 'mapped.example.com', 'private.example.com',
	'metadata.example.com', 'nat64.example.com', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1', '169.254.169.254', `127.0.0.1:${port}`,
	`rebound.example.com:${port}`];

const places = ['subjectAltName=DNS:example.com', 'DNS:*.example.com', ...publics.map((one) => `DNS:${one}`)].join(',');
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
	'/CN=public', '-addext', places, '-keyout', join(folder, 'key'), '-out', join(folder, 'certificate')], { stdio: 'pipe' });

const picture = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==', 'base64');
const asked = [];
const json = (status, body) => ({ status, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });

function answer(host, url) {
	const [, what, n] = /^(did|pds|auth|moved)-(\d+)\./.exec(host) ?? [];
	const to = `https://${targets[Number(n)]}`;
	if (url.pathname === '/picture.png') return { status: 200, headers: { 'content-type': 'image/png' }, body: picture };
	if (url.pathname.startsWith('/hop')) {
		const [, left, end] = url.pathname.split('/');
		const location = left === 'hop1' ? `https://${decodeURIComponent(end)}/x` : `/hop${left.slice(3) - 1}/${end}`;
		return { status: 302, headers: { location } };
	}
	if (what === 'moved') return { status: [301, 302, 303, 307, 308][n % 5], headers: { location: `${to}/x` }, body: '' };
	if (host.startsWith('turn') && url.pathname.endsWith('atproto-did')) return { status: 200, body: `did:web:${host}` };
	if (what === 'did' && url.pathname.endsWith('atproto-did')) return { status: 200, body: `did:web:${targets[n]}` };
	if (what && url.pathname.endsWith('atproto-did')) return { status: 200, body: `did:web:${host}` };
	if (what && url.pathname.endsWith('did.json')) {
		const serviceEndpoint = what === 'pds' ? to : `https://${host}`;
		return json(200, { id: `did:web:${host}`, alsoKnownAs: [`at://${host}`], service: [{ id: '#atproto_pds', serviceEndpoint }] });
	}
	if (url.pathname.endsWith('createSession')) return json(401, { error: 'AuthenticationRequired', message: 'nobody' });
	if (what === 'auth') return json(200, { resource: `https://${host}`, authorization_servers: [to] });
	return json(404, { error: 'NotFound' });
}

const front = createTls({ key: readFileSync(join(folder, 'key')), cert: readFileSync(join(folder, 'certificate')) }, (message, reply) => {
	const { host } = message.headers, url = new URL(message.url, `https://${host}`);
	asked.push(`${host}${url.pathname}`);
	const { status, headers, body } = answer(host, url);
	reply.writeHead(status, headers ?? {}).end(body);
});
await new Promise((resolve) => front.listen(443, open, resolve));
after(() => { front.closeAllConnections(); front.close(); });

// ---- the server ----

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: {
	egress: { ca_file: join(folder, 'certificate') }, server: { key_per_minute: 0, address_per_minute: 0 },
} });
after(() => server.stop());
const org = await server.organization();
const back = 'https://good.example.com/back';
await org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back });
await org.live.post('/v1/end-users', { externalUserId: 'ada' });


// A door takes one text that a person typed and gives what became of it: words, or 'open' when it went through.
function page_door(platform, fields) {
	let browser, session;

	async function begin() {
		session = (await org.live.post('/v1/connect-sessions', { externalUserId: 'ada', platform, redirectUrl: back })).json;
		browser = new Browser();
		await browser.get(session.connectUrl);
		assert.equal(browser.page.status, 200, browser.page.text);
	}

	return async (text) => {
		if (!session) await begin();
		await browser.go('POST', `${session.connectUrl}/start`, fields(text));
		for (let i = 0; i < 60 && browser.location?.startsWith(server.url); i++) await browser.get(browser.location);
		for (let i = 0; i < 100 && /http-equiv="refresh"/i.test(browser.page.text); i++) {
			await sleep(100);
			await browser.get(browser.url);
			await browser.follow(server.url);
		}
		assert.notEqual(browser.page.status, 500, `${JSON.stringify(text)}: ${browser.page.status}`);
		if (browser.location && !browser.location.startsWith(server.url)) return 'open';
		const words = browser.page.text.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
		if (![200, 422].includes(browser.page.status)) session = undefined;		/* this link is over: take another */
		return `${browser.page.status} ${words}`;
	};
}

// 'open' when the file was fetched.
async function media_door(url) {
	const reply = await org.live.post('/v1/media/from-url?wait=20', { url });
	assert.ok(reply.status < 500, `${JSON.stringify(url)}: ${reply.status} ${reply.text}`);
	assert.notEqual(reply.json?.status, 'fetching', url);
	return reply.json?.status === 'ready' ? 'open' : reply.text;
}

const { test: tester, connections } = await connected(server, sandbox, ['alice']);
let posts = 0;

async function post_door(url) {
	const targets = [{ connectionId: connections.alice.id }];
	const reply = await tester.post('/v1/posts', { targets, text: `Post ${++posts}`, media: [{ url }] });
	assert.ok(reply.status < 500, `${JSON.stringify(url)}: ${reply.status} ${reply.text}`);
	return reply.status === 202 ? 'open' : reply.text;
}

// Every field of type host of every provider of ours, by its descriptor's text.
const doors = [];
for (const name of readdirSync('plugins').filter((one) => one.endsWith('.c'))) {
	const id = name.slice(0, -2), text = readFileSync(`plugins/${name}`, 'utf8').replaceAll(/"\s*\n\s*"/g, '').replaceAll('\\"', '"');
	const fields = [.../"fields":\[(.*?)\]/.exec(text)?.[1].matchAll(/\{[^{}]*\}/g) ?? []].map((m) => JSON.parse(m[0]));
	for (const { name: field, way } of fields.filter((one) => one.type === 'host')) {
		const others = Object.fromEntries(fields.filter((one) => one.name !== field).map((one) => [one.name, 'ada.example.com']));
		doors.push({ name: `${id}, field ${field}`, door: () => page_door(id, (typed) => ({ ...others, ...(way && { way }), [field]: typed })) });
	}
}
assert.deepEqual(doors.map((one) => one.name), ['bluesky, field service', 'mastodon, field instance'], 'fields of type host');
const handle_door = () => page_door('bluesky', (text) => ({ identifier: text })), handle = handle_door();
doors.push({ name: 'bluesky, a handle', door: handle_door });
const fetchers = [
	{ name: 'media from a URL', door: () => media_door, url: true }, { name: 'media of a post', door: () => post_door, url: true },
];
doors.push(...fetchers);

// ---- the tests ----

const untouched = (words) => assert.deepEqual(touched.splice(0), [], `${words} reached the inside`);

test('what is public is reached: the doors are open, and the names are ours', async () => {
	for (const { name, door, url } of doors) {
		asked.length = 0;
		const end = await door()(url ? `https://good.example.com/picture.png?${name.length}` : 'good.example.com');
		if (url) assert.equal(end, 'open', `${name}: ${end}`);
		assert.ok(asked.some((one) => one.startsWith('good.example.com/')), `${name}: ${asked.join(' ')}`);
	}
	assert.ok(dns.asked('good.example.com') > 0);
	untouched('good.example.com');
});

const turning = ['turn.example.com', 'turn6.example.com'];
const asks = (name) => asked.filter((one) => one.startsWith(`${name}/`)).length;
let turned;

test('names that will change their address are public at first', async () => {
	for (const name of turning) {
		await handle(name);
		assert.ok(asks(name) > 0, name);
	}
	turned = Date.now();
	untouched(turning.join(', '));
});

test('the listeners inside do see a connection', async () => {
	const reply = await fetch(`http://169.254.169.254:${port}/`).catch((error) => error);
	assert.ok(reply instanceof Error);
	assert.deepEqual(touched.splice(0), [`169.254.169.254 ${port}`]);
});

const urls = Object.entries(table.urls);

// Several persons at once: a name that leads nowhere is tried again for a while.
async function all(door, texts) {
	const left = [...texts];
	await Promise.all(Array.from({ length: 6 }, async () => {
		const enter = door();
		while (left.length) {
			const text = left.shift();
			assert.notEqual(await enter(text), 'open', JSON.stringify(text));
		}
	}));
	untouched(`one of ${JSON.stringify(texts)}`);
}

const filled = (list) => new Set(list.flatMap((one) => [one.replaceAll('{}', port), one.replaceAll('{}', '443')]));
const bare = [...targets, ...inside.map((one) => (one.includes(':') ? `[${one}]` : one)), ...Object.keys(special).slice(3)];

for (const { name, door, url } of doors) {
	for (const [what, list] of urls) test(`${name}: ${what}`, () => all(door, [...filled(list)].filter((one) => one !== '')));
	test(`${name}: the same as bare hosts`, () => all(door, url ? bare.map((one) => `https://${one}/`) : bare));
}

const hops = {
	did: 'the handle names a DID on a private host', pds: 'the account\'s server is inside', auth: 'its authorization server is inside',
	moved: 'every answer is a redirect to the inside',
};
for (const [what, words] of Object.entries(hops)) {
	test(`hop by hop: ${words}`, async () => {
		for (let n = 0; n < targets.length; n++) {
			assert.notEqual(await handle(`${what}-${n}.example.com`), 'open');
			assert.ok(asked.some((one) => one.startsWith(`${what}-${n}.example.com/`)), `${what}-${n} was not asked`);
			untouched(`${what}-${n}: ${targets[n]}`);
		}
	});
}

for (const { name, door } of fetchers) {
	test(`hop by hop: ${name} is redirected inside`, async () => {
		for (const hops of [1, 2, 3, 4]) {
			const urls = targets.map((one) => `https://good.example.com/hop${hops}/${encodeURIComponent(one)}`);
			await all(door, urls);
			assert.ok(asked.some((one) => one.includes(`/hop${hops}/`)), `${hops} hops were not asked`);
		}
		await all(door, targets.map((_, n) => `https://moved-${n}.example.com/${name.length}`));
	});

	test(`${name}: a name that is public first and private afterwards`, async () => {
		const enter = door();
		assert.equal(await enter(`https://swing.example.com/picture.png?${name.length}`), 'open');
		assert.notEqual(await enter('https://swing.example.com/another.png'), 'open');
		untouched('swing.example.com');
	});
}

test('a name that is public first and private afterwards', async () => {
	await sleep(Math.max(0, turned + 61_000 - Date.now()));		/* libcurl remembers an address for 60 s */
	const before = turning.map(asks);
	for (const name of turning) {
		assert.notEqual(await handle(name), 'open');
		assert.ok(dns.asked(name) > 1, `${name} was not asked again`);
	}
	assert.deepEqual(turning.map(asks), before, 'the old address was used');
	untouched(turning.join(', '));
});

test('the server came through it, and nothing inside was ever touched', async () => {
	assert.ok(server.alive);
	assert.deepEqual(touched, []);
	assert.equal((await org.live.get('/v1/connections')).json.data.length, 0);
	for (const name of Object.keys(special)) assert.ok(dns.asked(name) > 0, `${name} was never asked`);
});

await done(180_000);
