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
	const { url, host } = await read();
	let turn = Promise.resolve();
	const order = (words) => turn = turn.then(async () => {
		child.stdin.write(JSON.stringify(words) + '\n');
		const reply = await read();
		if (!reply.ok) throw new Error(`${words.do}: ${reply.error}`);
		return reply;
	});
	return {
		url, host,
		account: (handle) => order({ do: 'account', handle }),
		fault: (xrpc, mode, more) => order({ do: 'fault', path: `/xrpc/${xrpc}`, mode, ...more }),
		seen: async (xrpc) => (await order({ do: 'seen' })).requests.filter((r) => !xrpc || r.path === `/xrpc/${xrpc}`),
		expire: () => order({ do: 'expire' }),
		records: (did) => records(url, did),
		async stop() {
			child.stdin.end();
			await ended;
			rmSync(folder, { recursive: true, force: true });
		},
	};
}

// One call; never throws on a status, because the statuses are what the tests look at.
export async function xrpc(url, method, name, { token, body, query } = {}) {
	const search = query ? '?' + new URLSearchParams(query) : '';
	const reply = await fetch(`${url}/xrpc/${name}${search}`, {
		method, body: body && JSON.stringify(body),
		headers: { ...(body && { 'content-type': 'application/json' }), ...(token && { authorization: `Bearer ${token}` }) },
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

export async function facts() {
	const pds = await startPds();
	const told = {};
	const call = async (word, method, name, options) => {
		const reply = await xrpc(pds.url, method, name, options);
		told[word] = [reply.status, reply.json.error, reply.json.message].filter((x) => x !== undefined).join(' ');
		return reply;
	};
	try {
		const ada = await pds.account('ada.test');
		const session = 'com.atproto.server.createSession';
		await call('wrong password', 'POST', session, { body: { identifier: ada.handle, password: 'wrong' } });
		await call('unknown handle', 'POST', session, { body: { identifier: 'nobody.test', password: 'wrong' } });
		const { json: one } = await call('app password', 'POST', session, { body: { identifier: ada.handle, password: ada.appPassword } });
		told['session fields'] = Object.keys(one).join(' ');
		told['endpoint'] = one.didDoc.service[0].serviceEndpoint;
		const claims = JSON.parse(Buffer.from(one.accessJwt.split('.')[1], 'base64url'));
		told['access lifetime'] = claims.exp - claims.iat;
		told['access scope'] = claims.scope;
		const token = one.accessJwt;
		await call('getSession', 'GET', 'com.atproto.server.getSession', { token });
		await call('getProfile', 'GET', 'app.bsky.actor.getProfile', { token, query: { actor: ada.did } });
		await call('profile record absent', 'GET', 'com.atproto.repo.getRecord', { query: { repo: ada.did, collection: 'app.bsky.actor.profile', rkey: 'self' } });

		const collection = 'app.bsky.feed.post', rkey = '3kaaaaaaaaa2b', repo = ada.did;
		const record = { $type: collection, text: 'one post', createdAt: '2026-01-01T00:00:00.000Z' };
		const first = await call('putRecord', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo, collection, rkey, record } });
		const again = await call('putRecord, same again', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo, collection, rkey, record } });
		told['putRecord fields'] = Object.keys(first.json).join(' ');
		told['same cid'] = first.json.cid === again.json.cid;
		told['same uri'] = first.json.uri === again.json.uri;
		const other = { ...record, text: 'other words' };
		const changed = await call('putRecord, other text', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo, collection, rkey, record: other } });
		told['other text replaces'] = changed.json.cid !== first.json.cid;
		told['posts after three puts'] = (await pds.records(repo)).length;
		await call('putRecord, swapRecord null', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo, collection, rkey, record, swapRecord: null } });
		await call('createRecord, taken rkey', 'POST', 'com.atproto.repo.createRecord', { token, body: { repo, collection, rkey, record } });
		await call('putRecord, bad rkey', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo, collection, rkey: 'not a tid', record } });
		await call('putRecord, foreign repo', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', collection, rkey, record } });
		await call('text of 301', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo, collection, rkey: '3kaaaaaaaaa2c', record: { ...record, text: 'x'.repeat(301) } } });
		await call('empty text', 'POST', 'com.atproto.repo.putRecord', { token, body: { repo, collection, rkey: '3kaaaaaaaaa2d', record: { ...record, text: '' } } });
		await call('getRecord', 'GET', 'com.atproto.repo.getRecord', { query: { repo, collection, rkey } });
		await call('getRecord, absent', 'GET', 'com.atproto.repo.getRecord', { query: { repo, collection, rkey: '3kaaaaaaaaa2z' } });
		await call('deleteRecord', 'POST', 'com.atproto.repo.deleteRecord', { token, body: { repo, collection, rkey } });
		await call('deleteRecord, again', 'POST', 'com.atproto.repo.deleteRecord', { token, body: { repo, collection, rkey } });

		await call('no token', 'POST', 'com.atproto.repo.putRecord', { body: { repo, collection, rkey, record } });
		await call('bad token', 'POST', 'com.atproto.repo.putRecord', { token: 'x.y.z', body: { repo, collection, rkey, record } });
		await call('refresh token as access', 'POST', 'com.atproto.repo.putRecord', { token: one.refreshJwt, body: { repo, collection, rkey, record } });
		const { json: two } = await call('refreshSession', 'POST', 'com.atproto.server.refreshSession', { token: one.refreshJwt });
		told['refresh fields'] = Object.keys(two).join(' ');
		await call('old access after refresh', 'GET', 'com.atproto.server.getSession', { token });
		const replay = await call('refreshSession, replayed', 'POST', 'com.atproto.server.refreshSession', { token: one.refreshJwt });
		told['replay gives the same refresh token'] = replay.json.refreshJwt === two.refreshJwt
			|| Buffer.from(replay.json.refreshJwt?.split('.')[1] ?? '', 'base64url').toString() === Buffer.from(two.refreshJwt.split('.')[1], 'base64url').toString();
		await call('refreshSession, access token', 'POST', 'com.atproto.server.refreshSession', { token: two.accessJwt });
		await call('deleteSession', 'POST', 'com.atproto.server.deleteSession', { token: two.refreshJwt });
		await call('deleteSession, again', 'POST', 'com.atproto.server.deleteSession', { token: two.refreshJwt });
		await call('refresh after deleteSession', 'POST', 'com.atproto.server.refreshSession', { token: two.refreshJwt });
		await call('getSession after deleteSession', 'GET', 'com.atproto.server.getSession', { token: two.accessJwt });
	} finally {
		await pds.stop();
	}
	return told;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
	for (const [word, fact] of Object.entries(await facts())) console.log(`${word}: ${fact}`);
