// Children of a test: started, waited for, stopped or killed by their pid, and never left behind.
//
// The one thing to know: a child that is still alive when the test ends, however it ends, is killed at exit.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { sanitizers, watch } from './reports.mjs';

const own = sanitizers(process.env.BUILD ?? 'build');
for (const name in own) process.env[name] ??= own[name];		// a play that is run by hand

const alive = new Set();
process.on('exit', () => { for (const child of alive) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

export class Child {
	// options: cwd, env (on top of ours).
	constructor(program, args, { cwd, env } = {}) {
		this.output = '';
		this.ended = null;		// { status, signal }
		this.process = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
		this.pid = this.process.pid;
		for (const stream of [this.process.stdout, this.process.stderr]) stream.setEncoding('utf8').on('data', (text) => this.output += text);
		alive.add(this.process);
		watch(basename(program), () => this.output);
		this.end = new Promise((resolve) => {
			this.process.on('error', (error) => { this.output += `${program}: ${error.message}\n`; resolve(this.finish(127, null)); });
			this.process.on('close', (status, signal) => resolve(this.finish(status, signal)));
		});
	}

	finish(status, signal) {
		alive.delete(this.process);
		return this.ended ??= { status, signal };
	}

	signal(name) {
		if (!this.ended) this.process.kill(name);
	}

	// Sends the signal and waits for the end; SIGKILL after ms, and then it throws.
	async stop(name = 'SIGTERM', ms = 15_000) {
		let late = false;
		const timer = setTimeout(() => { late = true; this.signal('SIGKILL'); }, ms);
		this.signal('SIGCONT');
		this.signal(name);
		const ended = await this.end;
		clearTimeout(timer);
		if (late) throw new Error(`process ${this.pid} did not end within ${ms} ms of ${name}:\n${tail(this.output)}`);
		return ended;
	}
}

export const tail = (text, lines = 30) => text.trimEnd().split('\n').slice(-lines).join('\n');

// Runs a program to its end: { status, output }.
export async function run(program, args, options) {
	const child = new Child(program, args, options);
	const { status } = await child.end;
	return { status, output: child.output };
}

// A port that nobody has now.
export function freePort() {
	return new Promise((resolve, reject) => {
		const server = createServer().on('error', reject);
		server.listen(0, '127.0.0.1', () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}
