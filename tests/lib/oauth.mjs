// The product with a provider for a strict authorization server (tests/plugins/oidc.c), the server itself, and accounts
// connected through its pages: what the plays about OAuth stand on.
//
//   const stage = await startOauth({ as: { accessTtl: 120 }, settings: { 'setting.par': 'yes' } });
//   stage.as, stage.server                 tests/counterparts/authority.mjs, ./server.mjs
//   const org = await stage.organization();
//   const connection = await org.connect('ada');
//
// The one thing to know: keys are live ones, because only the sandbox platform is offered to test keys.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { startAuthority } from '../counterparts/authority.mjs';
import { Browser } from './http.mjs';
import { build as usual, startServer } from './server.mjs';
import { until } from './wait.mjs';

export const back = 'https://product.example/done';

export async function startOauth({
	as: of, settings = {}, ini = {}, platform = 'oidc', hosts = {}, build = usual, env = {}, client = {},
} = {}) {
	const as = await startAuthority(of);
	const folder = mkdtempSync(join(tmpdir(), 'mps-oauth-'));
	const secret = `secret-${randomBytes(18).toString('hex')}`;
	mkdirSync(join(folder, 'plugins'));
	for (const [from, name] of [['plugins/sandbox.so', 'sandbox'], [`tests/plugins/${platform.replace('-', '_')}.so`, platform]]) {
		copyFileSync(join(usual, from), join(folder, 'plugins', `${name}.so`));
		chmodSync(join(folder, 'plugins', `${name}.so`), 0o644);
	}
	const all = { [as.name]: as.url, ...hosts };
	const server = await startServer({ build, env, ini: {
		providers: { folder: join(folder, 'plugins') },
		egress: { allow: Object.values(all).map((url) => new URL(url).host).join(' ') },
		[`provider.${platform}`]: {
			...Object.fromEntries(Object.entries(all).map(([name, url]) => [`base_url.${name}`, url])), ...settings,
		},
		...ini,
	} });
	const callback = `${server.url}/oauth/${platform}/callback`;
	await as.client({ id: 'mps', secret, redirect: callback, ...client });
	return new Stage({ as, server, folder, platform, secret, callback });
}

class Stage {
	constructor(parts) { Object.assign(this, parts); }

	async organization(name) {
		const org = new Organization(this, await this.server.organization(name));
		await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
		const own = { clientId: 'mps', clientSecret: this.secret };
		await made(org.live.put(`/v1/apps/${org.app}/provider-credentials/${this.platform}`, own), 200);
		await made(org.live.post('/v1/end-users', { externalUserId: org.user }), 201);
		return org;
	}

	// SQL on the store, also while the server runs: for what cannot be seen or made from outside.
	db(what) {
		const db = new DatabaseSync(join(this.server.folder, 'var/mypostshare.db'));
		db.exec('PRAGMA busy_timeout = 5000');
		try {
			return what(db);
		} finally {
			db.close();
		}
	}

	// Where a text rests on our side: every file below the server's folder, and its log.
	resting(texts) {
		const places = readdirSync(this.server.folder, { recursive: true, withFileTypes: true }).filter((f) => f.isFile())
			.map((f) => join(f.parentPath, f.name)).map((file) => [file, readFileSync(file)]);
		return [...places, ['the log', Buffer.from(this.server.log())]].flatMap(([place, bytes]) =>
			texts.filter((text) => bytes.includes(text)).map((text) => `${place}: ${text}`));
	}

	// A clean end takes the server four seconds: one play of the group looks at it, with SIGTERM.
	async stop(signal = 'SIGKILL') {
		await this.server.stop(signal);
		await this.as.stop();
		rmSync(this.folder, { recursive: true, force: true });
	}
}

class Organization {
	constructor(stage, parts) { Object.assign(this, parts, { stage, user: 'ada' }); }

	session(more = {}) {
		return made(this.live.post('/v1/connect-sessions', {
			externalUserId: this.user, platform: this.stage.platform, redirectUrl: back, ...more,
		}), 201);
	}

	// A browser that stands before the platform's page: { browser, to }.
	async begun(session, fields = {}, browser = new Browser()) {
		await browser.get(session.connectUrl);
		await browser.submit(fields);
		assert.equal(browser.page.status, 303, browser.page.text);
		return { browser, to: browser.location };
	}

	// A browser with the platform's answer in its hand: { browser, callback, to }.
	async answered(session, account = 'ada', { decision, fields } = {}) {
		const { browser, to } = await this.begun(session, fields);
		return { browser, to, callback: await this.stage.as.consent(to, account, { decision }) };
	}

	// To where our own pages end: the final redirect, or the page that says why not.
	async finish(browser, callback) {
		await browser.get(callback);
		await browser.follow(this.stage.server.url);
		for (let i = 0; i < 20 && /http-equiv="refresh"/.test(browser.page.text); i++) {
			await browser.get(browser.url);
			await browser.follow(this.stage.server.url);
		}
		return browser;
	}

	async connect(account = 'ada', session = undefined) {
		const { browser, callback } = await this.answered(session ?? await this.session(), account);
		await this.finish(browser, callback);
		assert.match(browser.location ?? browser.page.text, /status=success/);
		return this.connection(new URL(browser.location).searchParams.get('connectionId'));
	}

	connection(id) { return made(this.live.get(`/v1/connections/${id}`), 200); }
	connections() { return made(this.live.get('/v1/connections?limit=200'), 200).then(({ data }) => data); }
	async status({ id }) { return (await made(this.live.get(`/v1/connect-sessions/${id}`), 200)).status; }
	post(connectionId, text) { return made(this.live.post('/v1/posts', { text, targets: [{ connectionId }] }), 202); }
	async delivery({ id }) { return (await made(this.live.get(`/v1/posts/${id}`), 200)).deliveries[0]; }
	ends(post, status, ms) { return until(`the post is ${status}`, async () => (await this.delivery(post)).status === status, ms); }
	events(type) { return made(this.live.get(`/v1/events?limit=200&types=${type}`), 200).then(({ data }) => data); }
}

export async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}
