// Starts the strict authorization server (oidc.mjs) as a process of its own and speaks to it; and a malicious one.
//
//   const as = await startAuthority();
//   await as.client({ id, secret, redirect });
//   await as.token({ grant: 'refresh_token' })     the calls of its token endpoint, oldest first: the oracle
//   await as.consent(authorizeUrl, 'ada')          a person who signs in and allows; gives the URL that it leads back to
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Browser } from '../lib/http.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const secretNames = ['code', 'access_token', 'refresh_token', 'id_token', 'code_verifier', 'client_secret', 'token'];

export async function startAuthority(settings = {}) {
	const child = spawn(process.execPath, [path.join(here, 'oidc.mjs'), JSON.stringify(settings)], { stdio: ['pipe', 'pipe', 'inherit'] });
	const ended = once(child, 'exit');
	const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	const read = async () => {
		const { value, done } = await lines.next();
		if (done) throw new Error(`the authorization server ended with ${JSON.stringify(await ended)}`);
		return JSON.parse(value);
	};
	const { url, issuer } = await read();
	return new Authority({ url, issuer, name: new URL(issuer).host, child, ended, read });
}

class Authority {
	constructor(parts) {
		Object.assign(this, parts);
		this.turn = Promise.resolve();
	}

	order(words) {
		return this.turn = this.turn.then(async () => {
			this.child.stdin.write(JSON.stringify(words) + '\n');
			const reply = await this.read();
			if (!reply.ok) throw new Error(`${words.do}: ${reply.error}`);
			return reply;
		});
	}

	client(client) { return this.order({ do: 'client', ...client }); }
	fault(path, mode, more) { return this.order({ do: 'fault', path, mode, ...more }); }
	expire(kind) { return this.order({ do: 'expire', kind }); }
	nonce() { return this.order({ do: 'nonce' }); }
	withdraw(account) { return this.order({ do: 'withdraw', account }); }
	async seen(path) { return (await this.order({ do: 'seen' })).requests.filter((r) => !path || r.path === path); }
	async token({ grant } = {}) { return (await this.seen('/token')).filter((r) => !grant || r.form.grant_type === grant); }
	async ledger() { return (await this.order({ do: 'ledger' })).posts; }
	async alive(kind, account) {
		return (await this.order({ do: 'alive' })).tokens.filter((t) => t.kind === kind && (!account || t.account === account) && !t.spent);
	}

	// Every text that must rest nowhere on our side, as this side has seen it.
	async secrets() {
		const all = new Set();
		for (const { form, answer, query } of await this.seen())
			for (const part of [form, answer ?? {}, query])
				for (const name of secretNames) if (typeof part[name] === 'string' && part[name].length >= 16) all.add(part[name]);
		return [...all];
	}

	// Through the pages of the server; decision abort is a person who does not want to.
	async consent(authorizeUrl, account, { decision = 'allow', browser = new Browser() } = {}) {
		await browser.get(authorizeUrl);
		await browser.follow(this.url);
		for (let pages = 0; pages < 4 && browser.page.status === 200; pages++) {
			const [one] = browser.forms;
			const abort = /href="([^"]*\/abort)"/.exec(browser.page.text)?.[1];
			if (decision === 'abort') await browser.get(abort);
			else await browser.submit(one.fields.prompt === 'login' ? { login: account, password: 'x' } : {});
			await browser.follow(this.url);
		}
		if (!browser.location) throw new Error(`${browser.url} answers ${browser.page.status}: ${browser.page.text.slice(0, 500)}`);
		return browser.location;
	}

	async stop() {
		this.child.stdin.end();
		await this.ended;
	}
}

// A malicious authorization server: whoever is sent to it is sent on to the honest one, as if the honest client had asked,
// so that the honest server's code comes back to the honest client in a flow that belongs to this one.
// honest: the other server, given before the first request; seen: the requests; with: what it changes in the query that it
// sends on.
export async function startMixer(client) {
	const mixer = { seen: [], with: {}, honest: null, name: 'mixer.oidc.test' };
	const server = createServer(async (req, res) => {
		const parts = [];
		for await (const part of req) parts.push(part);
		const url = new URL(req.url, 'http://mixer'), form = Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString()));
		mixer.seen.push({ method: req.method, path: url.pathname, query: Object.fromEntries(url.searchParams), form });
		if (url.pathname !== '/auth')
			return res.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token":"of-the-mixer","token_type":"Bearer"}');
		const query = new URLSearchParams({ ...Object.fromEntries(url.searchParams), client_id: client, ...mixer.with });
		res.writeHead(303, { location: `${mixer.honest.url}/auth?${query}` }).end();
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	mixer.url = `http://127.0.0.1:${server.address().port}`;
	mixer.stop = () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
	return mixer;
}
