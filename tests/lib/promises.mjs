// Posts and what was promised about them: clients send under load, the book keeps every answer, and at the end the
// store and the sandbox's ledger are held against it.
//
// The one thing to know: the oracle of what is live is the ledger, of what was promised the statuses that clients
// saw; what the product says about itself is only compared with these.
import assert from 'node:assert/strict';
import { Lost } from './http.mjs';
import { sleep, until } from './wait.mjs';

export class Promises {
	// org as connected() gives it; accounts: names of its connections, whose posts are found again when an answer is lost.
	constructor(org, sandbox, accounts, mark) {
		Object.assign(this, { org, sandbox, accounts, mark, number: 0, going: false });
		this.kept = new Map();		// text -> post id: 202
		this.refused = new Map();	// text -> the last refusal: { status, code } or 'lost'
	}

	get client() { return this.org.test; }

	// One try; its answer, or undefined where none came.
	async send(text, account) {
		try {
			const answer = await this.client.post('/v1/posts', { targets: [{ connectionId: this.org.connections[account].id }], text },
				{ 'idempotency-key': `key ${text}` }, 10_000);
			const { status, json } = answer;
			if (status === 202) {
				this.kept.set(text, json.id);
				this.refused.delete(text);
			} else {
				assert.ok(status === 503 || status === 429, `a post is answered ${status}: ${answer.text}`);
				this.refused.set(text, { status, code: json.error.code });
			}
			return answer;
		} catch (error) {
			if (!(error instanceof Lost)) throw error;
			this.refused.set(text, 'lost');
			return undefined;
		}
	}

	// New posts by some clients until stop(); each text is tried once.
	start(clients = 6, pause = 15) {
		this.going = true;
		this.running = Array.from({ length: clients }, async () => {
			for (; this.going; await sleep(Math.random() * pause)) {
				const n = this.number++;
				await this.send(`${this.mark} ${n}.`, this.accounts[n % this.accounts.length]);
			}
		});
	}
	async stop() {
		this.going = false;
		await Promise.all(this.running);
	}

	codes() { return new Set([...this.refused.values()].map((one) => one.code ?? one)); }

	// Every post of the store whose text bears the mark: text -> posts.
	async stored() {
		const found = new Map();
		for (let cursor = '', more = true; more;) {
			const { status, json, text } = await this.client.get(`/v1/posts?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
			assert.equal(status, 200, text);
			for (const post of json.data) if (post.text?.startsWith(`${this.mark} `)) found.set(post.text, [...(found.get(post.text) ?? []), post]);
			more = json.hasMore;
			cursor = json.nextCursor;
		}
		return found;
	}

	// After the faults: every 202 is there, once, and once at the platform; what was refused is absent or whole, and once at most.
	async judge(ms = 60_000) {
		const stored = await this.stored();
		for (const [text, posts] of stored) {
			assert.equal(posts.length, 1, `"${text}" was stored ${posts.length} times`);
			assert.ok(this.kept.has(text) || this.refused.has(text), `"${text}" was never sent`);
		}
		for (const [text, id] of this.kept) assert.equal(stored.get(text)?.[0].id, id, `"${text}" was answered 202 and is not there`);
		for (const [text, [{ id }]] of stored) {
			const post = await until(`"${text}" is published`, async () => {
				const { status, json } = await this.client.get(`/v1/posts/${id}?wait=2`);
				assert.equal(status, 200, `"${text}" is lost`);
				return !['publishing', 'needs_attention'].includes(json.status) && json;
			}, ms);
			assert.equal(post.status, 'published', JSON.stringify(post));
			assert.equal(post.deliveries.length, 1, `"${text}" is not whole`);
		}
		const live = new Map();
		for (const row of await this.sandbox.ledger(`${this.mark} `)) live.set(row.text, [...(live.get(row.text) ?? []), row]);
		for (const [text, rows] of live) assert.equal(rows.length, 1, `"${text}" is live ${rows.length} times`);
		for (const text of stored.keys()) assert.ok(live.has(text), `"${text}" is stored and not live`);
		for (const text of live.keys()) assert.ok(stored.has(text), `"${text}" is live and not stored`);
		return { promised: this.kept.size, refused: this.refused.size, whole: stored.size - this.kept.size };
	}
}
