// A far side that takes posts and keeps a ledger: the oracle of what was published, and of which token came from whom.
//
// POST anything: one row { token, text, path }, answered 201 { id }.  GET: 200 {}.  While it is closed, posts are held.
import { createServer } from 'node:http';

export class Far {
	constructor() {
		this.rows = [];
		this.reads = 0;
		this.seen = [];		// every request line and header, for secrets that should not be there
		this.server = createServer((message, reply) => this.answer(message, reply));
		this.server.keepAliveTimeout = 0;
	}

	async open() {
		await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
		this.port = this.server.address().port;
		this.url = `http://127.0.0.1:${this.port}`;
		return this;
	}

	answer(message, reply) {
		const parts = [];
		message.on('data', (part) => parts.push(part)).on('error', () => {}).on('end', () => {
			const body = Buffer.concat(parts).toString();
			const token = (message.headers.authorization ?? '').replace('Bearer ', '');
			this.seen.push(`${message.method} ${message.url} ${JSON.stringify(message.headers)} ${body}`);
			if (message.method !== 'POST') {
				this.reads++;
				reply.writeHead(200, { 'content-type': 'application/json' }).end('{}');
				return;
			}
			const { text } = JSON.parse(body);
			this.rows.push({ token, text, path: message.url });
			reply.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ id: `far-${this.rows.length}` }));
		});
	}

	count(text) { return this.rows.filter((row) => row.text === text).length; }
	close() { return new Promise((resolve) => this.server.close(resolve)); }
}
