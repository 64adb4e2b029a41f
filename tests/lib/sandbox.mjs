// The sandbox platform as a process of its own, and its control routes: the oracle of what was really published.
//
// The one thing to know: it is started by the test and not by the server, so it survives whatever happens to the
// server, and its ledger is durable before any answer.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser, api, form } from './http.mjs';
import { Child, tail } from './process.mjs';
import { until } from './wait.mjs';

const build = process.env.BUILD ?? 'build';

// build: another build's folder; env: what its server has, too, where both live by one clock.
export async function startSandbox({ build: from = build, env = {} } = {}) {
	const sandbox = new Sandbox(mkdtempSync(join(tmpdir(), 'mps-sandbox-')), from, env);
	await sandbox.start();
	return sandbox;
}

export class Sandbox {
	constructor(folder, from, env) {
		Object.assign(this, { folder, build: from, env });
		this.port = 0;
	}

	async start() {
		this.child = new Child(`${this.build}/mypostshare`, ['sandbox', '--with-parent', '--listen', `127.0.0.1:${this.port}`, '--folder',
			join(this.folder, 'store')], { env: this.env });
		const line = await until('the sandbox tells its address', () => {
			if (this.child.ended) throw new Error(`the sandbox ended: ${tail(this.child.output)}`);
			return /^sandbox listening on (http:\S+:(\d+))$/m.exec(this.child.output);
		});
		[, this.url, this.port] = line;
		this.pid = this.child.pid;
		this.client = api(this.url);
	}

	kill() { return this.child.stop('SIGKILL'); }

	async restart(signal = 'SIGKILL') {
		await this.child.stop(signal);
		await this.start();
	}

	// Ends it and removes its store.
	async stop() {
		await this.child.stop();
		rmSync(this.folder, { recursive: true, force: true });
	}

	// ---- control ----

	async control(method, path, body) {
		const answer = await this.client[method](`/control/${path}`, body);
		if (answer.status !== 200) throw new Error(`/control/${path} answers ${answer.status}: ${answer.text}`);
		return answer.json;
	}

	// Rows, oldest first: sequence at post_id account account_id page_id text media_ids key container_id token_family.
	async ledger(text = '', account = undefined) {
		const query = new URLSearchParams({ text, ...(account && { account }) });
		return (await this.control('get', `ledger?${query}`)).data;
	}
	async count(text, account) { return (await this.ledger(text, account)).length; }

	// { requests: { 'POST /v1/posts': n }, token_exchanges, refreshes, replayed_refreshes, accounts: [...] }
	stats() { return this.control('get', 'stats'); }
	async accounts() { return (await this.control('get', 'accounts')).data; }
	// settings: type keyed|handle|search|none, refresh rotating|fixed|none, expires_in and window_s (s), search_lag_ms,
	// processing_ms (of containers and videos).
	account(name, settings = {}) { return this.control('post', 'accounts', { name, ...settings }); }
	client_add(client_id, client_secret) { return this.control('post', 'clients', { client_id, client_secret }); }
	expire(account) { return this.control('post', 'expire', { account }); }
	withdraw(account) { return this.control('post', 'withdraw', { account }); }
	// fault: { route: '/oauth/token' or 'POST /v1/posts', count, status } or { ..., mode: lost_before|lost_after|hang_before|hang_after }
	fail(fault) { return this.control('post', 'fail', fault); }
	inbox(id) { return this.control('post', `inbox/${id}`, {}); }
	reset() { return this.control('post', 'reset', {}); }

	// ---- people ----

	// Answers an authorization request (the URL to which the product sends the browser) as a person would, by the form
	// of the page, and gives the URL that it leads back to.  choice: { account, type, decision }.
	async consent(authorizeUrl, { account = 'alice', type = '', decision = 'allow' } = {}, browser = new Browser()) {
		await browser.get(authorizeUrl);
		if (browser.page.status !== 200) throw new Error(`the consent page answers ${browser.page.status}: ${browser.page.text.slice(0, 300)}`);
		await browser.submit({ account, type, decision });
		if (browser.page.status !== 303) throw new Error(`the consent answers ${browser.page.status}: ${browser.page.text.slice(0, 300)}`);
		return browser.location;
	}

	// Tokens for a client of our own, without the product: { access_token, refresh_token, ... }
	async sign_in(account = 'alice', type = '') {
		const verifier = randomBytes(32).toString('base64url'), redirect_uri = 'http://127.0.0.1:9/callback';
		const query = new URLSearchParams({
			response_type: 'code', client_id: 'sandbox', redirect_uri, state: 's',
			code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
		});
		const back = new URL(await this.consent(`${this.url}/oauth/authorize?${query}`, { account, type }));
		const answer = await form(`${this.url}/oauth/token`, {
			grant_type: 'authorization_code', client_id: 'sandbox', code: back.searchParams.get('code'), redirect_uri, code_verifier: verifier,
		});
		if (answer.status !== 200) throw new Error(`/oauth/token answers ${answer.status}: ${answer.text}`);
		return answer.json;
	}
}
