// The product as it is run: the built program with an ini of its own, on ports and in a folder of its own.
//
//   const sandbox = await startSandbox();			// ../lib/sandbox.mjs; without it the server runs its own
//   const server = await startServer({ sandbox, ini: '[egress]\nallow = 127.0.0.1:4000\n' });
//   const org = await server.organization('Example');
//   const { status, json } = await org.live('POST', '/v1/posts', { ... });	// or org.live.post('/v1/posts', ...); org.test
//   await server.kill(); await server.start();
//
// The one thing to know: folder and ports stay the same over kill and start, so what is found after a restart is what
// the store kept.  The log is shown only when the server does not come up or ends badly.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { api, call as send } from './http.mjs';
import { Child, freePort, run, tail } from './process.mjs';
import { until } from './wait.mjs';

export { freePort };
export const build = resolve(process.env.BUILD ?? 'build');

// One call; the statuses are what tests look at, so none of them throws.
export const call = (url, key, method, route, body, headers = {}) => api(url, key)(method, route, body, headers);

// ini: sections on top of ours, as text or as { engine: { in_flight: 10 } }; env: MPS_FAILPOINT and the like, for every
// start until server.env is changed; folder: one that is given is kept at the end, so that another server can go on
// with it; build: another build's folder ('build-fail').
export async function startServer({ sandbox, ini = '', env = {}, folder, build: from = build } = {}) {
	const server = new Server({ folder, env, build: realpathSync(from) });
	server.port = await freePort();
	server.url = `http://127.0.0.1:${server.port}`;
	server.sandbox = sandbox?.url ?? `http://127.0.0.1:${await freePort()}`;
	server.sandboxIsOurs = !sandbox;
	server.configure(ini);
	await server.start();
	return server;
}

export class Server {
	constructor({ folder, env, build: from }) {
		Object.assign(this, { env, build: from, own: !folder, organizations: 0 });
		this.folder = folder ?? mkdtempSync(join(tmpdir(), 'mps-server-'));
		this.config = join(this.folder, 'etc/mypostshare.ini');
		mkdirSync(join(this.folder, 'etc/providers.d'), { recursive: true });
	}

	// Also between restarts.
	configure(more = '') {
		const sections = {
			server: { listen: `127.0.0.1:${this.port}` },
			vault: { create_key: 'yes' },
			providers: {
				folder: join(this.build, 'plugins'), host_program: join(this.build, 'libexec/mypostshare-host'),
				probe_program: join(this.build, 'libexec/mypostshare-probe'),
			},
			sandbox: this.sandboxIsOurs ? { listen: this.sandbox.slice('http://'.length) } : { url: this.sandbox },
		};
		if (typeof more === 'object') for (const [name, keys] of Object.entries(more)) sections[name] = { ...sections[name], ...keys };
		const lines = (keys) => Object.entries(keys).map(([key, value]) => `${key} = ${value}\n`).join('');
		const text = Object.entries(sections).map(([name, keys]) => `[${name}]\n${lines(keys)}`).join('');
		writeFileSync(this.config, text + (typeof more === 'string' ? more : ''));
	}

	async start(ms = 20_000) {
		this.child = new Child(`${this.build}/mypostshare`, ['--config', this.config, 'serve'], { env: this.env });
		this.pid = this.child.pid;
		await until('the server is ready', async () => {
			if (!this.alive) throw new Error(`the server ended (${JSON.stringify(this.child.ended)}):\n${tail(this.log())}`);
			return send('GET', `${this.url}/readyz`, { ms: 2000 }).then(({ status }) => status === 200, () => false);
		}, ms);
	}

	log() { return this.child.output; }
	get alive() { return !this.child.ended; }
	kill() { return this.child.stop('SIGKILL'); }
	pause() { this.child.signal('SIGSTOP'); }
	resume() { this.child.signal('SIGCONT'); }

	// With SIGTERM, as an operator would, it must end with status 0.
	async end(signal = 'SIGTERM') {
		if (!this.alive) return;
		const { status, signal: by } = await this.child.stop(signal);
		if (signal === 'SIGTERM' && status !== 0) throw new Error(`the server ended with ${by ?? status}:\n${tail(this.log())}`);
	}

	async restart(signal) {
		await this.end(signal);
		await this.start();
	}

	// Ends it and removes its folder.
	async stop(signal) {
		await this.end(signal);
		if (this.own) rmSync(this.folder, { recursive: true, force: true });
	}

	// A command of the operator: { status, output }.
	attempt(...words) { return run(`${this.build}/mypostshare`, ['--config', this.config, ...words], { env: this.env }); }

	// The same where it must succeed: its output.
	async command(...words) {
		const { status, output } = await this.attempt(...words);
		if (status !== 0) throw new Error(`mypostshare ${words.join(' ')}: status ${status}: ${output}`);
		return output;
	}

	// { organization, app, live_key, test_key, live, test }: the last two are clients of the API with these keys.
	async organization(name = `Test ${++this.organizations}`) {
		const made = JSON.parse(await this.command('org', 'create', name, '--json'));
		return { ...made, live: api(this.url, made.live_key), test: api(this.url, made.test_key) };
	}
}
