// nginx as etc/nginx.conf ships it, in front of a server of the test: a throwaway certificate, ports and folders of its own.
//
//   const front = await startNginx(server, { sandbox });
//   front.port, front.plain			ports of https and http
//   await front.call('GET', '/v1/posts', { key, address: '127.0.0.2' })
//   front.access(), front.errors		what it logged
//
// The one thing to know: the shipped text is changed only where a table here says so, and each change must find its place.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, freePort, tail } from './process.mjs';
import { until } from './wait.mjs';

export const NAME = 'social.example.com';
const program = ['/usr/sbin/nginx', '/usr/local/sbin/nginx'].find(existsSync) ?? 'nginx';

function certificate(folder) {
	const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
		'-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`, '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')]);
	if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
}

function changed(text, changes) {
	for (const [from, to] of changes) {
		if (!text.includes(from)) throw new Error(`etc/nginx.conf has no ${from}`);
		text = text.replaceAll(from, to);
	}
	return text;
}

// byAddress: it also serves who asks for https://127.0.0.1, as a load generator does, which sends no name.
export async function startNginx(server, { sandbox, byAddress } = {}) {
	const folder = mkdtempSync(join(tmpdir(), 'mps-nginx-'));
	chmodSync(folder, 0o755);		// its workers have another user
	mkdirSync(join(folder, 'temp'));
	certificate(folder);
	const port = await freePort(), plain = await freePort();
	const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `\t${name}_temp_path ${folder}/temp/${name};\n`).join('');
	writeFileSync(join(folder, 'nginx.conf'), changed(readFileSync('etc/nginx.conf', 'utf8'), [
		['/etc/ssl/mypostshare/fullchain.pem', join(folder, 'cert.pem')], ['/etc/ssl/mypostshare/privkey.pem', join(folder, 'key.pem')],
		['/var/log/nginx', folder], ['/run/nginx.pid', join(folder, 'pid')], ['http {\n', `http {\n${temp}`],
		['listen 443', `listen 127.0.0.1:${port}`], ['listen 80', `listen 127.0.0.1:${plain}`],
		...(byAddress ? [
			['ssl_reject_handshake on;', `ssl_certificate ${join(folder, 'cert.pem')}; ssl_certificate_key ${join(folder, 'key.pem')};`],
			[`server_name ${NAME};`, `server_name ${NAME} 127.0.0.1;`],
		] : []),
		['127.0.0.1:8080', `127.0.0.1:${server.port}`], ['127.0.0.1:8081', sandbox ? new URL(sandbox.url).host : '127.0.0.1:1'],
	]));
	const front = new Nginx(folder, port, plain);
	await front.start();
	return front;
}

class Nginx {
	constructor(folder, port, plain) {
		Object.assign(this, { folder, port, plain });
	}

	async start() {
		const words = ['-p', this.folder, '-e', join(this.folder, 'error.log'), '-c', join(this.folder, 'nginx.conf')];
		const checked = spawnSync(program, ['-t', ...words], { encoding: 'utf8' });
		if (checked.error || checked.status !== 0) throw new Error(`nginx -t: ${checked.error?.message ?? checked.stderr}`);
		this.child = new Child(program, [...words, '-g', 'daemon off;']);
		await until('nginx answers', async () => {
			if (this.child.ended) throw new Error(`nginx ended: ${tail(this.child.output + this.errors())}`);
			return this.call('GET', '/healthz').then(() => true, () => false);
		});
	}

	async stop() {
		await this.child.stop('SIGQUIT');
		rmSync(this.folder, { recursive: true, force: true });
	}

	read(name) { return existsSync(join(this.folder, name)) ? readFileSync(join(this.folder, name), 'utf8') : ''; }
	access() { return this.read('mypostshare.log').split('\n').filter(Boolean).map((line) => JSON.parse(line)); }
	errors() { return this.read('error.log'); }

	// One request on a connection of its own: { status, headers, text, json }.
	call(method, path, { key, headers = {}, body, address = '127.0.0.1', ms = 60_000 } = {}) {
		return new Promise((resolve, reject) => {
			const out = request({
				host: '127.0.0.1', port: this.port, servername: NAME, rejectUnauthorized: false, localAddress: address, method, path, agent: false,
				timeout: ms, headers: { host: NAME, ...(key && { authorization: `Bearer ${key}` }), ...headers },
			}, (answer) => {
				const parts = [];
				answer.on('data', (part) => parts.push(part));
				answer.on('error', reject);
				answer.on('end', () => {
					const text = Buffer.concat(parts).toString();
					let json;
					try {
						json = JSON.parse(text);
					} catch {
						// none
					}
					resolve({ status: answer.statusCode, headers: answer.headers, text, json });
				});
			});
			out.on('error', reject);
			out.on('timeout', () => out.destroy(new Error(`no answer within ${ms} ms`)));
			typeof body === 'function' ? body(out) : out.end(body);
		});
	}
}
