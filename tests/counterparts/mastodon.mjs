// A strict stand-in for an instance of Mastodon, or for an older server that speaks the same API, on loopback.
//
//   const one = await startMastodon({ host: 'one.example' });
//   const old = await startMastodon({ host: 'old.example', ...compatible });
//   one.url                                  where it listens; base_url.one.example of the provider leads there
//   one.account('ada', 'password')           somebody who can sign in
//   one.fault('POST /api/v1/statuses', 'lost_after', { count: 2 })         words: only of a status with them
//        lost_after   the work is done, the connection dies instead of the answer
//        held         the work is done, the answer never comes
//        lost_before  the connection dies and nothing was done
//        status       nothing was done; the answer is { status, headers, body }
//     count: how many requests it meets; skip: how many go by before
//   one.ledger('text')                       the statuses with this text that are not deleted: the oracle
//   one.violations                           what a client did that the API does not describe; a good one does nothing
//
// Written from the API's documentation alone.  The one thing to know: it runs inside of the test, which outlives every
// server under test, and its clock can be moved by `ahead` (the key window of an hour, the life of a token).
import http from 'node:http';
import { oauthRoutes, covers } from './mastodon_oauth.mjs';
import { postRoutes } from './mastodon_posts.mjs';
import { Violation, check, html, readForm, readJson, readMultipart, types } from './mastodon_wire.mjs';

const MIME = ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'video/webm', 'video/mp4', 'video/quicktime'];

// An older server that is not Mastodon: no v2 of instance, keys mean nothing, ids are opaque, Markdown loses its marks.
export const compatible = {
	version: '2.7.2 (compatible; Example 1.4.0)',
	current: false,
	v2: false,
	honours: false,
	pkce: false,
	source: false,
	render: (words) => html(words.replaceAll('*', '')),
	max_toot_chars: 5000,
	characters: 5000,
};

export async function startMastodon(options) {
	const m = new Mastodon(options);
	await m.start();
	return m;
}

class Mastodon {
	constructor({
		host,
		version = '4.4.3',
		current = true,
		v2 = true,
		honours = true,
		pkce = true,
		source = true,
		render = html,
		max_toot_chars,
		characters = 500,
		expires = 0,
	}) {
		Object.assign(this, { host, version, current, v2, honours, pkce, source, render, max_toot_chars, expires });
		Object.assign(this, {
			apps: new Map(),
			codes: new Map(),
			tokens: new Map(),
			accounts: new Map(),
			media: new Map(),
			keys: new Map(),
		});
		Object.assign(this, { statuses: [], violations: [], seen: [], faults: [], counts: new Map() });
		Object.assign(this, { origin: `https://${host}`, keyWindow: 3_600_000, ahead: 0, lag: 0, page: 40, made: 0 });
		this.processing = { polls: 0, broken: false };
		this.rates = { all: 300, media: 30, delete: 30 };
		this.configuration = {
			statuses: { max_characters: characters, max_media_attachments: 4, characters_reserved_per_url: 23 },
			media_attachments: {
				supported_mime_types: MIME,
				image_size_limit: 16_777_216,
				image_matrix_limit: 33_177_600,
				video_size_limit: 103_809_024,
				video_frame_rate_limit: 120,
				video_matrix_limit: 8_294_400,
				...(current && { description_limit: 1500 }),
			},
			polls: { max_options: 4, max_characters_per_option: 50, min_expiration: 300, max_expiration: 2_629_746 },
		};
	}

	now() {
		return Date.now() + this.ahead;
	}

	// Snowflakes on Mastodon; elsewhere ids that only their server can compare.
	id() {
		const n = BigInt(this.now()) * 65536n + BigInt(this.made++ % 65536);
		return this.current ? String(n) : `9${n.toString(36).replace(/[aeiou]/g, (c) => c.toUpperCase())}z`;
	}
	older(a, b) {
		return this.current ? BigInt(a) < BigInt(b) : a.toLowerCase() < b.toLowerCase();
	}

	account(username, password) {
		const account = { id: String(109_000_000_000_000_000n + BigInt(this.accounts.size)), username, password, disabled: false };
		this.accounts.set(username, account);
		return account;
	}

	fault(route, mode, more = {}) {
		const [method, path] = route.split(' ');
		this.faults.push({ method, path, mode, count: 1, skip: 0, ...more });
	}

	ledger(words) {
		return this.statuses.filter((s) => !s.deleted && (words === undefined || s.text === words));
	}
	requests(method, start) {
		return this.seen.filter((r) => r.method === method && r.path.startsWith(start));
	}
	revoke() {
		for (const token of this.tokens.values()) token.revoked = true;
	}
	vacuum() {
		for (const [id, app] of this.apps) if (!app.pinned) this.apps.delete(id);
	}

	async start() {
		this.server = http.createServer((req, res) => this.serve(req, res));
		this.server.keepAliveTimeout = 60_000;
		await new Promise((resolve, reject) => this.server.once('error', reject).listen(0, '127.0.0.1', resolve));
		this.url = `http://127.0.0.1:${this.server.address().port}`;
	}

	async stop() {
		this.server.closeAllConnections();
		await new Promise((resolve) => this.server.close(resolve));
	}

	async serve(req, res) {
		const chunks = [],
			url = new URL(req.url, this.url),
			entry = { method: req.method, path: url.pathname, status: 0 };
		try {
			for await (const chunk of req) chunks.push(chunk);
		} catch {
			return; // the client went away: nothing was asked
		}
		const body = Buffer.concat(chunks);
		if (url.pathname === '/api/v1/statuses') entry.body = body.toString();
		this.seen.push(entry);
		const fault = this.take(req.method, url.pathname, entry.body);
		if (fault?.mode === 'lost_before') return req.socket.resetAndDestroy();
		if (fault?.mode === 'late') {
			// still at work when the client has given up: until it is done, its key is not known
			setTimeout(() => this.answer(req, url, body), fault.ms);
			return req.socket.resetAndDestroy();
		}
		const answer =
			fault?.mode === 'status'
				? { status: fault.status, headers: fault.headers, json: fault.body ?? {} }
				: this.answer(req, url, body);
		if (fault?.mode === 'held') return;
		if (fault?.mode === 'lost_after') return req.socket.resetAndDestroy();
		this.write(res, (entry.status = answer.status), answer);
	}

	take(method, path, body = '') {
		const fits = (f) =>
			f.method === method &&
			(f.path === path || (f.path.endsWith('*') && path.startsWith(f.path.slice(0, -1)))) &&
			(!f.words || body.includes(f.words));
		const fault = this.faults.find(fits);
		if (!fault || fault.skip-- > 0) return null;
		if (--fault.count <= 0) this.faults.splice(this.faults.indexOf(fault), 1);
		return fault;
	}

	write(res, status, { json, html: words, location, headers = {} }) {
		const bytes = Buffer.from(words ?? (json === undefined ? '' : JSON.stringify(json)));
		const type = words ? 'text/html; charset=utf-8' : 'application/json; charset=utf-8';
		res.writeHead(status, {
			'content-type': type,
			'content-length': bytes.length,
			'cache-control': 'no-store',
			...(location && { location }),
			...headers,
		}).end(bytes);
	}

	answer(req, url, bytes) {
		try {
			const { route, params } = find(req.method, url.pathname);
			const call = { params, headers: req.headers, ...this.who(req, route) };
			call.query = check(route.query ?? {}, readForm(url.search.slice(1)));
			call.fields = check(route.fields ?? {}, fieldsOf(req, route, bytes));
			const limited = call.token && this.limit(call.token, route);
			if (call.refused) return call.refused;
			if (limited?.refused) return limited;
			const answer = route.run(this, call);
			return { ...answer, headers: { ...limited?.headers, ...answer.headers } };
		} catch (error) {
			if (!(error instanceof Violation)) console.error(error);
			this.violations.push(`${req.method} ${url.pathname}: ${error.message}`);
			return { status: error.status ?? 500, json: { error: error.message } };
		}
	}

	// The account behind the request's token; refused: the answer where there is none.
	who(req, route) {
		const said = req.headers.authorization,
			token = this.tokens.get(/^Bearer ([\w-]+)$/.exec(said ?? '')?.[1]);
		const no = (status, error) => ({ refused: { status, json: { error } } });
		if (!route.scope) return {};
		if (!said && route.anonymous) return {};
		if (!said) throw new Violation(401, 'The access token is invalid');
		if (!token) return no(401, 'The access token is invalid');
		if (token.revoked) return no(401, 'The access token was revoked');
		if (token.until < this.now()) return no(401, 'The access token expired');
		if (!token.account) return no(422, 'This method requires an authenticated user');
		if (![route.scope].flat().some((s) => covers(token.scopes, s))) return no(403, 'This action is outside the authorized scopes');
		if (token.account.disabled) return no(403, 'Your login is currently disabled');
		return { token, account: token.account };
	}

	limit(token, route) {
		const [most, window] = route.rate ? [this.rates[route.rate], 1_800_000] : [this.rates.all, 300_000];
		const slot = `${token.account.id} ${route.rate ?? 'all'} ${Math.floor(this.now() / window)}`,
			used = (this.counts.get(slot) ?? 0) + 1;
		const reset = new Date((Math.floor(this.now() / window) + 1) * window).toISOString().replace('Z', '123Z');
		const headers = { 'x-ratelimit-limit': most, 'x-ratelimit-remaining': Math.max(0, most - used), 'x-ratelimit-reset': reset };
		this.counts.set(slot, used);
		return used > most ? { refused: true, status: 429, json: { error: 'Too many requests' }, headers } : { headers };
	}
}

// ---- routes ----

function fieldsOf(req, route, bytes) {
	const type = req.headers['content-type'] ?? '',
		kind = { 'application/x-www-form-urlencoded': 'form', 'application/json': 'json', 'multipart/form-data': 'multipart' }[
			type.split(';')[0]
		];
	if (!route.body) {
		if (bytes.length > 0) throw new Violation(400, 'a body where none belongs');
		return {};
	}
	if (req.headers['content-length'] === undefined) throw new Violation(411, 'a body without Content-Length');
	if (!route.body.includes(kind)) throw new Violation(415, `a body of type "${type}"`);
	return { form: () => readForm(bytes.toString()), json: () => readJson(bytes), multipart: () => readMultipart(bytes, type) }[kind]();
}

function instance(m) {
	if (!m.v2) return { status: 404, json: { error: 'Not found' } };
	return {
		status: 200,
		json: {
			domain: m.host,
			title: 'An instance',
			version: m.version,
			source_url: 'https://github.com/mastodon/mastodon',
			...(m.current && { api_versions: { mastodon: 6 } }),
			configuration: m.configuration,
			rules: [],
		},
	};
}

function instanceOld(m) {
	return {
		status: 200,
		json: {
			uri: m.host,
			title: 'An instance',
			version: m.version,
			stats: {},
			...(m.max_toot_chars ? { max_toot_chars: m.max_toot_chars } : { configuration: m.configuration }),
		},
	};
}

const credentials = (m, { account: { id, username } }) => ({
	status: 200,
	json: {
		id,
		username,
		acct: username,
		display_name: `${username} of ${m.host}`,
		avatar: `${m.origin}/avatars/${id}.png`,
		url: `${m.origin}/@${username}`,
		source: {},
	},
});

const routes = [
	...oauthRoutes,
	...postRoutes,
	{ method: 'GET', path: '/api/v2/instance', run: instance },
	{ method: 'GET', path: '/api/v1/instance', run: instanceOld },
	{ method: 'GET', path: '/api/v1/accounts/verify_credentials', scope: ['profile', 'read:accounts'], run: credentials },
]
	.map((route) => ({ ...route, pattern: new RegExp(`^${route.path.replace(':id', '([A-Za-z0-9]{1,64})')}$`) }))
	.sort((a, b) => a.path.includes(':id') - b.path.includes(':id'));

function find(method, path) {
	for (const route of routes) {
		const found = route.method === method && route.pattern.exec(path);
		if (found) return { route, params: found.slice(1) };
	}
	throw new Violation(404, 'there is no such route');
}
