// The built server as a test meets it: a process of its own, on ports and in a folder of its own.
//
//   const server = await startServer({ ini: '[egress]\nallow = 127.0.0.1:4000\n' });
//   const org = await server.organization('Example');
//   const { status, json } = await org.live('POST', '/v1/posts', { ... });       org.test: by its test key
//
// The one thing to know: its log goes to FOLDER/log and is shown only when the server does not come up.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { until } from './play.mjs';

const run = promisify(execFile);
export const build = path.resolve(process.env.BUILD ?? 'build');

export async function freePort() {
	const probe = net.createServer().listen(0, '127.0.0.1');
	await once(probe, 'listening');
	const { port } = probe.address();
	probe.close();
	await once(probe, 'close');
	return port;
}

// One call; the statuses are what tests look at, so none of them throws.
export async function call(url, key, method, route, body, headers = {}) {
	const known = { ...(key && { authorization: `Bearer ${key}` }), ...(body !== undefined && { 'content-type': 'application/json' }) };
	const reply = await fetch(url + route, {
		method, redirect: 'manual', body: body === undefined ? undefined : JSON.stringify(body), headers: { ...known, ...headers },
	});
	const text = await reply.text();
	let json;
	try { json = JSON.parse(text); } catch { /* a page */ }
	return { status: reply.status, headers: reply.headers, text, json };
}

function configuration(folder, port, sandboxPort, ini) {
	mkdirSync(path.join(folder, 'etc/providers.d'), { recursive: true });
	const file = path.join(folder, 'etc/mypostshare.ini');
	writeFileSync(file, `[server]
listen = 127.0.0.1:${port}
[vault]
create_key = yes
[providers]
folder = ${build}/plugins
host_program = ${build}/libexec/mypostshare-host
[sandbox]
listen = 127.0.0.1:${sandboxPort}
${ini}`);
	return file;
}

// A folder that is given is kept at the end, so that another server can go on with it.
export async function startServer({ ini = '', folder } = {}) {
	const own = !folder;
	folder ??= mkdtempSync(path.join(os.tmpdir(), 'mps-play-'));
	const port = await freePort(), sandboxPort = await freePort(), url = `http://127.0.0.1:${port}`;
	const config = configuration(folder, port, sandboxPort, ini);
	const program = path.join(build, 'mypostshare');
	const command = async (...words) => (await run(program, ['--config', config, ...words])).stdout;

	const log = path.join(folder, 'log'), out = openSync(log, 'a');
	const child = spawn(program, ['--config', config, 'serve'], { stdio: ['ignore', out, out] });
	closeSync(out);
	const ended = once(child, 'exit');
	const ready = async () => {
		if (child.exitCode !== null) throw new Error(`the server ended:\n${readFileSync(log, 'utf8')}`);
		return fetch(`${url}/readyz`).then((r) => r.ok, () => false);
	};
	await until('the server is ready', ready).catch((error) => {
		child.kill('SIGKILL');
		throw error;
	});

	return {
		url, folder, config, command, sandbox: `http://127.0.0.1:${sandboxPort}`, pid: child.pid,
		log: () => readFileSync(log, 'utf8'),
		async organization(name) {
			const made = JSON.parse(await command('org', 'create', name, '--json'));
			const by = (key) => (method, route, body, headers) => call(url, key, method, route, body, headers);
			return { ...made, live: by(made.live_key), test: by(made.test_key) };
		},
		// Ends it with a signal: SIGTERM as an operator would, SIGKILL as trouble would.
		async stop(signal = 'SIGTERM') {
			if (child.exitCode === null && child.signalCode === null) child.kill(signal);
			await ended;
			if (own) rmSync(folder, { recursive: true, force: true });
		},
	};
}
