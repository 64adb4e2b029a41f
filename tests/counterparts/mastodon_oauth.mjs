// OAuth of the Mastodon stand-in: apps, the page where a person signs in and consents, tokens, revocation.
//
// The one thing to know: it is as strict as RFC 9700 asks.  A code serves once, for the client, the address and the
// verifier it was made for, and a second use ends the token that the first one gave.
import { createHash, randomBytes } from 'node:crypto';
import { Violation, types } from './mastodon_wire.mjs';

const { text } = types;
const known = [
	'read',
	'write',
	'follow',
	'push',
	'profile',
	'read:accounts',
	'read:statuses',
	'write:statuses',
	'write:media',
	'write:accounts',
];
const random = (bytes = 32) => randomBytes(bytes).toString('base64url');
const words = (scopes) => scopes.split(/ +/).filter(Boolean);

// Whether scope is among those granted, or under one of them: read is all of read:*.
export const covers = (granted, scope) => granted.includes(scope) || granted.includes(scope.split(':')[0]);

const invalidGrant = {
	status: 400,
	json: {
		error: 'invalid_grant',
		error_description:
			'The provided authorization grant is invalid, expired, revoked, does ' +
			'not match the redirection URI used in the authorization request, or was issued to another client.',
	},
};
const invalidClient = {
	status: 401,
	json: {
		error: 'invalid_client',
		error_description:
			'Client authentication failed due to unknown client, no client ' +
			'authentication included, or unsupported authentication method.',
	},
};
const invalidScope = {
	status: 400,
	json: { error: 'invalid_scope', error_description: 'The requested scope is invalid, unknown, or malformed.' },
};

function register(m, { fields }) {
	const uris = Array.isArray(fields.redirect_uris) ? fields.redirect_uris : fields.redirect_uris.split(/\s+/).filter(Boolean);
	const scopes = words(fields.scopes ?? 'read');
	if (Array.isArray(fields.redirect_uris) && !m.current) throw new Violation(422, 'redirect_uris is a list since 4.3 only');
	for (const uri of uris)
		if (!/^(https:\/\/|http:\/\/127\.0\.0\.1)/.test(uri) && uri !== 'urn:ietf:wg:oauth:2.0:oob')
			throw new Violation(422, `${uri} is no redirect address`);
	if (!scopes.every((s) => known.includes(s) && (s !== 'profile' || m.current)))
		return { status: 422, json: { error: "Validation failed: Scopes doesn't match configured on the server." } };
	const app = {
		id: String(m.apps.size + 1),
		name: fields.client_name,
		website: fields.website ?? null,
		uris,
		scopes,
		client_id: random(),
		client_secret: random(),
		pinned: false,
	};
	m.apps.set(app.client_id, app);
	const { id, name, website, client_id, client_secret } = app;
	const told = { id, name, website, redirect_uri: uris.join('\n'), client_id, client_secret, vapid_key: random() };
	return { status: 200, json: m.current ? { ...told, scopes, redirect_uris: uris, client_secret_expires_at: 0 } : told };
}

// ---- the person ----

const page = (title, body) => ({
	status: 200,
	html: `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>${title}</title><h1>${title}</h1>${body}`,
});
const escaped = (t) => t.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

// What is wrong with a request to the page, before anybody may be sent anywhere.
function fault(m, ask) {
	const app = m.apps.get(ask.client_id);
	if (!app) return 'Client authentication failed due to unknown client.';
	if (!app.uris.includes(ask.redirect_uri)) return "The requested redirect uri is malformed or doesn't match client redirect URI.";
	if (ask.response_type !== 'code') return 'The authorization server does not support this response type.';
	if (!words(ask.scope ?? 'read').every((s) => covers(app.scopes, s)))
		return 'The requested scope is invalid, unknown, or malformed.';
	if (!ask.state || ask.state.length < 22) throw new Violation(400, 'a state of less than 128 bits');
	if (!/^[A-Za-z0-9_-]{43}$/.test(ask.code_challenge ?? '') || ask.code_challenge_method !== 'S256')
		throw new Violation(400, 'no PKCE of method S256');
	return null;
}

function authorize(m, { query }, wrong = '') {
	const refused = fault(m, query),
		app = m.apps.get(query.client_id);
	if (refused) return { ...page('An error has occurred', `<p>${escaped(refused)}</p>`), status: 400 };
	const hidden = Object.entries(query)
		.map(([k, v]) => `<input type="hidden" name="${k}" value="${escaped(v)}">`)
		.join('');
	return page(
		`Authorize ${escaped(app.name)}`,
		`<p>${escaped(wrong)}</p><p>It would like to: ${escaped(query.scope ?? 'read')}</p>
		<form method="post" action="/oauth/authorize">${hidden}
		<label>Name <input name="username" value=""></label> <label>Password <input name="password" type="password" value=""></label>
		<button id="authorize" name="decision" value="authorize">Authorize</button>
		<button id="deny" name="decision" value="deny">Deny</button></form>`,
	);
}

function consent(m, { fields }) {
	const { username, password, decision, ...ask } = fields;
	const refused = fault(m, ask),
		back = new URL(ask.redirect_uri ?? 'http://127.0.0.1/'),
		account = m.accounts.get(username);
	if (refused) return { ...page('An error has occurred', `<p>${escaped(refused)}</p>`), status: 400 };
	const lead = (params) => {
		for (const [k, v] of Object.entries({ ...params, state: ask.state })) back.searchParams.set(k, v);
		return { status: 302, location: back.href };
	};
	if (decision === 'deny')
		return lead({ error: 'access_denied', error_description: 'The resource owner or authorization server denied the request.' });
	if (!account || account.password !== password) return authorize(m, { query: ask }, 'Invalid name or password.');
	const code = random();
	m.codes.set(code, {
		client_id: ask.client_id,
		redirect_uri: ask.redirect_uri,
		scopes: words(ask.scope ?? 'read'),
		challenge: ask.code_challenge,
		account,
		until: m.now() + 600_000,
		token: null,
	});
	return lead({ code });
}

// ---- tokens ----

function give(m, app, account, scopes) {
	const token = {
		value: random(),
		refresh: m.expires && account ? random() : null,
		app,
		account,
		scopes,
		revoked: false,
		until: m.expires && account ? m.now() + m.expires * 1000 : Infinity,
	};
	m.tokens.set(token.value, token);
	const told = { access_token: token.value, token_type: 'Bearer', scope: scopes.join(' '), created_at: Math.floor(m.now() / 1000) };
	return {
		token,
		answer: { status: 200, json: token.refresh ? { ...told, refresh_token: token.refresh, expires_in: m.expires } : told },
	};
}

const grants = {
	authorization_code(m, app, fields) {
		const code = m.codes.get(fields.code),
			sure = createHash('sha256')
				.update(fields.code_verifier ?? '')
				.digest('base64url');
		if (!fields.code_verifier || !/^[A-Za-z0-9._~-]{43,128}$/.test(fields.code_verifier))
			throw new Violation(400, 'no code verifier of RFC 7636');
		if (!code || code.client_id !== app.client_id || code.redirect_uri !== fields.redirect_uri || code.until < m.now())
			return invalidGrant;
		if (code.token) {
			code.token.revoked = true;
			return invalidGrant;
		}
		if (m.pkce && code.challenge !== sure) return invalidGrant;
		const { token, answer } = give(m, app, code.account, code.scopes);
		code.token = token;
		return answer;
	},
	client_credentials(m, app, fields) {
		const scopes = words(fields.scope ?? 'read');
		if (!scopes.every((s) => covers(app.scopes, s))) return invalidScope;
		app.pinned = true;
		return give(m, app, null, scopes).answer;
	},
	refresh_token(m, app, fields) {
		const old = [...m.tokens.values()].find((t) => t.refresh && t.refresh === fields.refresh_token);
		if (!old || old.revoked || old.app !== app) return invalidGrant;
		old.revoked = true;
		return give(m, app, old.account, old.scopes).answer;
	},
};

function token(m, { fields }) {
	const app = m.apps.get(fields.client_id);
	if (!app || app.client_secret !== fields.client_secret) return invalidClient;
	return grants[fields.grant_type](m, app, fields);
}

function revoke(m, { fields }) {
	const app = m.apps.get(fields.client_id),
		held = m.tokens.get(fields.token);
	if (!app || app.client_secret !== fields.client_secret || (held && held.app !== app))
		return {
			status: 403,
			json: { error: 'unauthorized_client', error_description: 'You are not authorized to revoke this token' },
		};
	if (held) held.revoked = true;
	return { status: 200, json: {} };
}

const uris = (v) => (Array.isArray(v) ? v.map(text) : text(v));
const ask = {
	'client_id!': text,
	'redirect_uri!': text,
	'response_type!': text,
	scope: text,
	state: text,
	code_challenge: text,
	code_challenge_method: text,
	force_login: text,
	lang: text,
};
export const oauthRoutes = [
	{
		method: 'POST',
		path: '/api/v1/apps',
		body: ['form', 'json'],
		fields: { 'client_name!': text, 'redirect_uris!': uris, scopes: text, website: types.matches(/^https?:\/\/[^\s]+$/) },
		run: register,
	},
	{ method: 'GET', path: '/oauth/authorize', query: ask, run: authorize },
	{
		method: 'POST',
		path: '/oauth/authorize',
		body: ['form'],
		fields: { ...ask, username: text, password: text, decision: types.one('authorize', 'deny') },
		run: consent,
	},
	{
		method: 'POST',
		path: '/oauth/token',
		body: ['form'],
		fields: {
			'grant_type!': types.one(...Object.keys(grants)),
			'client_id!': text,
			'client_secret!': text,
			redirect_uri: text,
			code: text,
			code_verifier: text,
			scope: text,
			refresh_token: text,
		},
		run: token,
	},
	{
		method: 'POST',
		path: '/oauth/revoke',
		body: ['form'],
		fields: { 'client_id!': text, 'client_secret!': text, 'token!': text },
		run: revoke,
	},
];
