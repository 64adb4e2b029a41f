// HTTP as the tests need it: one connection per request, no repeats, no redirects followed, errors told apart.
//
// The one thing to know: a request that got no whole answer throws a Lost, with how it was lost; whether it took
// effect is for the ledger to tell.
import { request } from 'node:http';

export class Lost extends Error {}

// options: headers, body (text or bytes), ms.  Gives { status, headers, text, json }; json is undefined if it is none.
export function call(method, url, { headers = {}, body, ms = 60_000 } = {}) {
	return new Promise((resolve, reject) => {
		const lost = (error) => reject(new Lost(`${method} ${new URL(url).pathname}: ${error.code ?? error.message}`));
		const out = request(url, { method, headers: { connection: 'close', ...headers }, agent: false }, (answer) => {
			const parts = [];
			answer.on('data', (part) => parts.push(part));
			answer.on('error', lost);
			answer.on('end', () => resolve(answerOf(answer, Buffer.concat(parts).toString())));
		});
		const timer = setTimeout(() => out.destroy(new Error(`no answer within ${ms} ms`)), ms);
		out.on('error', lost);
		out.on('close', () => clearTimeout(timer));
		out.end(body);
	});
}

function answerOf(answer, text) {
	let json;
	try {
		json = JSON.parse(text);
	} catch {
		// none
	}
	return { status: answer.statusCode, headers: answer.headers, text, json };
}

export const formOf = (fields) => new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined)).toString();

export const form = (url, fields, options = {}) => call('POST', url, {
	...options, body: formOf(fields), headers: { 'content-type': 'application/x-www-form-urlencoded', ...options.headers },
});

// A client of the product's API, or of anything that speaks JSON under a bearer key: client(method, path, body, headers, ms)
// or client.post(path, body, headers, ms).
export function api(base, key) {
	const client = (method, path, body, headers = {}, ms = undefined) => call(method, base + path, {
		ms, body: body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
		headers: {
			...(key && { authorization: `Bearer ${key}` }), ...(body !== undefined && { 'content-type': 'application/json' }), ...headers,
		},
	});
	client.get = (path, headers, ms) => client('GET', path, undefined, headers, ms);
	for (const method of ['post', 'put', 'patch', 'delete']) {
		client[method] = (path, body, headers, ms) => client(method.toUpperCase(), path, body, headers, ms);
	}
	return client;
}

// A person's browser without scripts: keeps cookies per origin, sends forms as the page has them.
export class Browser {
	constructor() {
		this.cookies = new Map();	// origin -> Map(name -> value)
		this.url = null;
		this.page = null;
	}

	async go(method, url, fields, headers = {}) {
		const at = new URL(url, this.url ?? undefined);
		const jar = this.cookies.get(at.origin) ?? new Map();
		const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
		const all = { accept: 'text/html', ...(cookie && { cookie }), ...headers };
		if (method === 'POST') all.origin ??= this.url ? new URL(this.url).origin : at.origin;
		this.page = await (method === 'POST' ? form(at.href, fields ?? {}, { headers: all }) : call('GET', at.href, { headers: all }));
		for (const line of this.page.headers['set-cookie'] ?? []) {
			const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
			if (/max-age=0/i.test(line)) jar.delete(name);
			else jar.set(name, value);
		}
		this.cookies.set(at.origin, jar);
		this.url = at.href;
		return this.page;
	}

	get(url) { return this.go('GET', url); }

	// Where the last answer leads, as a whole URL; null if nowhere.
	get location() {
		const to = this.page?.headers.location;
		return to ? new URL(to, this.url).href : null;
	}

	// Follows redirects for as long as they stay below one of the given prefixes; gives the last page.
	async follow(...prefixes) {
		for (let i = 0; i < 20 && this.location && prefixes.some((p) => this.location.startsWith(p)); i++) await this.get(this.location);
		return this.page;
	}

	// The forms of the page: { action, method, fields }.
	get forms() {
		return [...(this.page?.text ?? '').matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, inner]) => ({
			method: (attribute(head, 'method') ?? 'get').toUpperCase(),
			action: new URL(attribute(head, 'action') || this.url, this.url).href,
			fields: Object.fromEntries([...inner.matchAll(/<input\b([^>]*)>/gi)].map(([, input]) => [
				attribute(input, 'name'), attribute(input, 'value') ?? '', attribute(input, 'type'), /\schecked\b/i.test(input),
			]).filter(([name, , type, checked]) => name && (!['checkbox', 'radio'].includes(type) || checked))),
		}));
	}

	// Sends the page's form (the first unless told by index) with some fields changed.
	async submit(changed = {}, index = 0) {
		const one = this.forms[index];
		if (!one) throw new Error(`${this.url} has no form ${index}: ${this.page?.status} ${this.page?.text.slice(0, 300)}`);
		const fields = { ...one.fields, ...changed };
		return one.method === 'POST' ? this.go('POST', one.action, fields) : this.get(`${one.action}?${formOf(fields)}`);
	}
}

const entities = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
function attribute(text, name) {
	const found = new RegExp(`\\s${name}="([^"]*)"`, 'i').exec(text);
	return found?.[1].replace(/&(#?\w+);/g, (all, entity) => entities[entity] ?? all);
}
