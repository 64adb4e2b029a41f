// Starts the real PDS (pds.mjs) as a process of its own and speaks to it.
//
// Facts that the provider rests on, measured on @atproto/pds 0.4.217 (`node tests/counterparts/bluesky.mjs` shows
// them again; tests/plays/real-bluesky-provider.mjs fails if the ones it needs change):
//   * createSession: 401 AuthenticationRequired for a wrong password and for an unknown handle alike.  didDoc is there
//     only where the operator switched it on; without it the server that was asked is the account's server.
//   * The access token lives 7200 s, says so only in its `exp`, and stays good after a refresh and after deleteSession.
//   * putRecord twice with one rkey and one record: 200, same uri, same cid, one post.  With another text it replaces
//     the post, so the rkey must change with the content.  createRecord on a taken rkey: 500 InternalServerError.
//   * getRecord needs no token; absent is 400 RecordNotFound.  deleteRecord answers 200, also when nothing is there.
//   * 301 graphemes: 400 InvalidRequest "grapheme too big".  No token: 401 AuthMissing; a bad or wrong one: 400
//     InvalidToken.  Another's repository: 403 AccountNotFound.
//   * refreshSession with a consumed refresh token: 200 and the very same new refresh token (two hours of grace), so a
//     lost answer may be asked for again.  After deleteSession: 400 ExpiredToken "Token has been revoked".
//   * getProfile is the AppView's; a PDS without one answers 400.  getSession and the profile record always work.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from '../lib/wait.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));

export async function startPds() {
	const folder = mkdtempSync(path.join(os.tmpdir(), 'mps-pds-'));
	const child = spawn(process.execPath, [path.join(here, 'pds.mjs'), folder], { stdio: ['pipe', 'pipe', 'inherit'] });
	const ended = once(child, 'exit');
	const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	const read = async () => {
		const { value, done } = await lines.next();
		if (done) throw new Error(`the PDS ended with ${JSON.stringify(await ended)}`);
		return JSON.parse(value);
	};
	const { url, host, tls, plc, video } = await read();
	let turn = Promise.resolve();
	const order = (words) => turn = turn.then(async () => {
		child.stdin.write(JSON.stringify(words) + '\n');
		const reply = await read();
		if (!reply.ok) throw new Error(`${words.do}: ${reply.error}`);
		return reply;
	});
	return {
		url, host, tls, plc, video,
		// The ini lines that put this PDS, its directory and its video service in the place of the real ones.
		ini: `[egress]
allow = ${[url, plc.replace('localhost', '127.0.0.1'), video].map((u) => new URL(u).host).join(', ')}
[provider.bluesky]
base_url.bsky.social = ${url}
base_url.public.api.bsky.app = ${url}
base_url.${host} = ${url}
browser_url.${host} = https://${host}
base_url.plc.directory = ${plc.replace('localhost', '127.0.0.1')}
base_url.video.bsky.app = ${video}
`,
		account: (handle) => order({ do: 'account', handle }),
		fault: (xrpc, mode, more) => order({ do: 'fault', path: xrpc.startsWith('/') ? xrpc : `/xrpc/${xrpc}`, mode, ...more }),
		seen: async (xrpc) => (await order({ do: 'seen' })).requests.filter((r) => !xrpc || r.path === `/xrpc/${xrpc}`),
		expire: () => order({ do: 'expire' }),
		takedown: (did, applied = true) => order({ do: 'takedown', did, applied }),
		deactivate: (account) => order({ do: 'deactivate', ...account }),
		activate: (account) => order({ do: 'activate', ...account }),
		client: (host, url) => order({ do: 'client', host, url }),
		nextVideo: (states, failure) => order({ do: 'video', states, failure }),
		records: (did) => records(url, did),
		async stop() {
			child.stdin.end();
			await ended;
			rmSync(folder, { recursive: true, force: true });
		},
	};
}

// A person at the PDS's own pages, in Chromium: signs in and allows (or not) what the page says.
export async function allow(page, account, { deny = false, username } = {}) {
	const button = (words) => `[...document.querySelectorAll('button')].find((b) => ${words}.test(b.innerText))`;
	const press = async (words) => {
		await until(`the page offers ${words}`, () => page.eval(`Boolean(${button(words)})`), 20_000);
		await page.eval(`${button(words)}.click()`);
	};
	const asks = () => page.eval(`Boolean(document.querySelector('input[type=password]'))`);
	if (username) await press(/^Sign in$/);		// without a name it asks first whether there is an account
	await until('the page asks for a password', asks, 20_000);
	if (username) await page.type('input[name=username]', username);
	await page.type('input[type=password]', account.password);
	await press(/^Sign in$/);
	await until('the page asks for consent', async () => /wants to access|Grant access/.test(await page.text()), 20_000);
	const words = await page.text();
	await page.loads_by(() => press(deny ? /^Deny access$/ : /^Authorize$/), (url) => !url.includes('/oauth/authorize'));
	return words;
}

// One call; never throws on a status, because the statuses are what the tests look at.
export async function xrpc(url, method, name, { token, body, query } = {}) {
	const search = query ? '?' + new URLSearchParams(query) : '';
	const reply = await fetch(`${url}/xrpc/${name}${search}`, {
		method, body: body && JSON.stringify(body),
		headers: { connection: 'close',		// one that was kept may die under a read: that would be a fault of the test
			...(body && { 'content-type': 'application/json' }), ...(token && { authorization: `Bearer ${token}` }) },
	});
	const text = await reply.text();
	let json = {};
	try { json = JSON.parse(text); } catch { /* deleteSession answers nothing */ }
	return { status: reply.status, json };
}

// Every post of the repository, straight from the PDS: the oracle of "exactly one post".
async function records(url, repo) {
	const { json } = await xrpc(url, 'GET', 'com.atproto.repo.listRecords',
		{ query: { repo, collection: 'app.bsky.feed.post', limit: '100' } });
	return json.records;
}

// Every fact above, asked again: {words: answer}.
export async function facts() {
	const pds = await startPds(), told = {};
	const ask = async (words, method, name, options) => {
		const reply = await xrpc(pds.url, method, name, options);
		told[words] = [reply.status, reply.json.error, reply.json.message].filter((x) => x !== undefined).join(' ');
		return reply.json;
	};
	try {
		const ada = await pds.account('ada.test');
		const session = await sessionFacts(ask, told, ada);
		await recordFacts(ask, told, pds, ada.did, session);
		await refreshFacts(ask, told, session);
	} finally {
		await pds.stop();
	}
	return told;
}

const server = (name) => `com.atproto.server.${name}`, repository = (name) => `com.atproto.repo.${name}`;

async function sessionFacts(ask, told, ada) {
	const enter = (words, identifier, password) => ask(words, 'POST', server('createSession'), { body: { identifier, password } });
	await enter('wrong password', ada.handle, 'wrong');
	await enter('unknown handle', 'nobody.test', 'wrong');
	const session = await enter('app password', ada.handle, ada.appPassword), token = session.accessJwt;
	const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
	told['session fields'] = Object.keys(session).join(' ');
	told['the account\'s server'] = session.didDoc.service[0].serviceEndpoint;
	told['access token'] = `${claims.exp - claims.iat} s, ${claims.scope}`;
	await ask('getSession', 'GET', server('getSession'), { token });
	await ask('getProfile', 'GET', 'app.bsky.actor.getProfile', { token, query: { actor: ada.did } });
	return session;
}

async function recordFacts(ask, told, pds, repo, session) {
	const collection = 'app.bsky.feed.post', rkey = '3kaaaaaaaaa2b', absent = '3kaaaaaaaaa2z';
	const record = { $type: collection, text: 'one post', createdAt: '2026-01-01T00:00:00.000Z' };
	const write = (words, name, more, token = session.accessJwt) =>
		ask(words, 'POST', repository(name), { token, body: { repo, collection, rkey, record, ...more } });
	const put = (words, more, token) => write(words, 'putRecord', more, token);
	const get = (words, key) => ask(words, 'GET', repository('getRecord'), { query: { repo, collection, rkey: key } });

	const first = await put('putRecord'), again = await put('putRecord again');
	told['again is the same'] = `uri ${first.uri === again.uri}, cid ${first.cid === again.cid}`;
	const other = await put('putRecord, other text', { record: { ...record, text: 'other words' } });
	told['other text replaces'] = other.cid !== first.cid;
	told['posts after three puts'] = (await pds.records(repo)).length;
	await put('putRecord only if absent', { swapRecord: null });
	await write('createRecord, taken rkey', 'createRecord');
	await put('rkey that is no TID', { rkey: 'not a tid' });
	await put('another\'s repository', { repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' });
	await put('301 graphemes', { rkey: absent, record: { ...record, text: 'x'.repeat(301) } });
	await put('no token', {}, null);
	await put('bad token', {}, 'x.y.z');
	await put('refresh token as access token', {}, session.refreshJwt);
	await get('getRecord', rkey);
	await get('getRecord, absent', absent);
	await write('deleteRecord', 'deleteRecord');
	await write('deleteRecord again', 'deleteRecord');
}

async function refreshFacts(ask, told, session) {
	const claims = (token) => Buffer.from(token.split('.')[1], 'base64url').toString();
	const refresh = (words, token) => ask(words, 'POST', server('refreshSession'), { token });
	const next = await refresh('refreshSession', session.refreshJwt);
	await ask('old access token after refresh', 'GET', server('getSession'), { token: session.accessJwt });
	const replay = await refresh('refreshSession, consumed token', session.refreshJwt);
	told['replay gives the same refresh token'] = claims(replay.refreshJwt) === claims(next.refreshJwt);
	await refresh('refreshSession, access token', next.accessJwt);
	await ask('deleteSession', 'POST', server('deleteSession'), { token: next.refreshJwt });
	await ask('deleteSession again', 'POST', server('deleteSession'), { token: next.refreshJwt });
	await refresh('refreshSession after deleteSession', next.refreshJwt);
	await ask('access token after deleteSession', 'GET', server('getSession'), { token: next.accessJwt });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
	for (const [word, fact] of Object.entries(await facts())) console.log(`${word}: ${fact}`);
