// Drives one provider in its real, confined host, without the core: a second and much smaller engine.
//
// It keeps the secrets, puts them where the provider named a handle, sends each request itself and hands the answer
// back.  What a test may do with it that the core never would: lose an answer on order, and look at every action.
// The one thing to know: it is a check of provider, host and frames against a real platform, not of delivery.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

const FRAME = { hello: 1, describe: 2, step: 3, action: 4, fault: 5 };
const REC = {
	describe: 2, id: 3, fault: 7, kind: 20, phase: 21, event: 22, now: 23, seed: 24, input: 25, state: 26, status: 27,
	header: 28, body: 29, verb: 40, seconds: 41, class: 42, message: 43, result: 44, warning: 45, token: 46, method: 60,
	url: 61, urlHandle: 62, reqHeader: 63, reqHeaderHandle: 64, reqBody: 65, reqBodyHandle: 66, reqMedia: 67,
};

function record(kind, key, value) {
	const k = Buffer.from(key), v = Buffer.from(String(value)), head = Buffer.alloc(7);
	head.writeUInt8(kind, 0);
	head.writeUInt16LE(k.length, 1);
	head.writeUInt32LE(v.length, 3);
	return Buffer.concat([head, k, v]);
}

function records(bytes) {
	const all = [];
	for (let at = 0; at < bytes.length;) {
		const keyLength = bytes.readUInt16LE(at + 1), valueLength = bytes.readUInt32LE(at + 3);
		const key = at + 7, value = key + keyLength;
		all.push({ kind: bytes[at], key: bytes.toString('utf8', key, value), value: bytes.toString('utf8', value, value + valueLength) });
		at = value + valueLength;
	}
	return all;
}

// ---- requests ----

const encodings = {
	raw: (s) => s,
	percent: encodeURIComponent,
	form: (s) => encodeURIComponent(s).replaceAll('%20', '+'),
	json: (s) => JSON.stringify(s).slice(1, -1),
};

function requestOf(action, secrets, media) {
	const request = { method: '', repeat: '', url: '', headers: [], body: Buffer.alloc(0) };
	const add = (bytes) => request.body = Buffer.concat([request.body, Buffer.from(bytes)]);
	const secret = (r) => {
		if (!Object.hasOwn(secrets, r.value)) throw new Error(`the provider used ${r.value}, which this operation has not`);
		return encodings[r.key](secrets[r.value]);
	};
	const last = () => request.headers.at(-1);
	const put = {
		[REC.method]: (r) => { request.method = r.key; request.repeat = r.value; },
		[REC.url]: (r) => request.url += r.value,
		[REC.urlHandle]: (r) => request.url += secret(r),
		[REC.reqHeader]: (r) => request.headers.push([r.key, r.value]),
		[REC.reqHeaderHandle]: (r) => last()[1] += secret(r),
		[REC.reqBody]: (r) => add(r.value),
		[REC.reqBodyHandle]: (r) => add(secret(r)),
		[REC.reqMedia]: (r) => {
			const [offset, length] = r.value.split(' ').map(Number);
			add(media[r.key].subarray(offset, offset + length));
		},
	};
	for (const r of action) put[r.kind]?.(r);
	return request;
}

// The answer, or null when it was lost.  to maps a host to the address that stands in for it.
async function send(request, to) {
	const url = new URL(request.url), at = to[url.host];
	if (!at) throw new Error(`the provider wants to reach ${url.host}`);
	try {
		const reply = await fetch(at + url.pathname + url.search, {
			method: request.method, headers: request.headers, redirect: 'manual',
			...(request.body.length && { body: request.body }),
		});
		return { status: reply.status, headers: [...reply.headers], body: await reply.text() };
	} catch {
		return null;
	}
}

// Puts handles in the place of what the descriptor calls secret in the answer that this phase reads.
function seal(answer, paths = [], secrets) {
	if (!paths.length || !answer?.body.startsWith('{')) return;
	const root = JSON.parse(answer.body);
	for (const path of paths) {
		const keys = path.split('.'), last = keys.pop(), at = keys.reduce((o, k) => o?.[k], root);
		if (typeof at?.[last] !== 'string') continue;
		const handle = `sec:${Object.keys(secrets).length + 1}`;
		secrets[handle] = at[last];
		at[last] = handle;
	}
	answer.body = JSON.stringify(root);
}

function answerRecords(answer) {
	if (!answer) return [];
	return [[REC.status, '', answer.status], ...answer.headers.map(([k, v]) => [REC.header, k, v]), [REC.body, '', answer.body]];
}

// ---- the host ----

export async function startHost(program, provider) {
	const file = openSync(provider, 'r');
	const child = spawn(program, [], { stdio: [file, 'ignore', 'inherit', 'pipe'] });
	closeSync(file);
	const socket = child.stdio[3];
	let bytes = Buffer.alloc(0), wake = () => {}, ended = false;
	socket.on('data', (more) => { bytes = Buffer.concat([bytes, more]); wake(); });
	child.on('exit', () => { ended = true; wake(); });

	async function frame() {
		while (bytes.length < 16 || bytes.length < 16 + bytes.readUInt32LE(0)) {
			if (ended) throw new Error('the provider host has ended');
			await new Promise((resolve) => wake = resolve);
		}
		const end = 16 + bytes.readUInt32LE(0);
		const got = { type: bytes.readUInt32LE(4), records: records(bytes.subarray(16, end)) };
		bytes = bytes.subarray(end);
		if (got.type === FRAME.fault) throw new Error(got.records.map((r) => r.value).join(' '));
		return got;
	}
	const one = (list, kind) => list.find((r) => r.kind === kind)?.value;
	const all = (list, kind) => Object.fromEntries(list.filter((r) => r.kind === kind).map((r) => [r.key, r.value]));
	await frame();
	const about = (await frame()).records;

	async function step(list) {
		const body = Buffer.concat(list.map((r) => record(...r))), head = Buffer.alloc(16);
		head.writeUInt32LE(body.length, 0);
		head.writeUInt32LE(FRAME.step, 4);
		socket.write(Buffer.concat([head, body]));
		return (await frame()).records;
	}

	const descriptor = JSON.parse(one(about, REC.describe));

	// Runs one operation to its end: {verb, class, reason, code, message, retryAfter, results, warnings, requests}.  media are
	// the bytes of its items.  Waits are over at once, by the clock as well.
	async function run(kind, { inputs = {}, secrets: given = {}, seed = '0'.repeat(64), now = Date.now(), to = {}, media = [] }) {
		const kept = new Map(), requests = [], results = {}, warnings = {}, secrets = { ...given };
		let phase = 'start', event = 'start', looking = false, answer = null;
		for (let n = 0; n < 50; n++) {
			const action = await step([
				[REC.kind, '', kind], [REC.phase, '', phase], [REC.event, '', event], [REC.now, '', now], [REC.seed, '', seed],
				...Object.entries({ ...inputs, ...(looking && { looking: '1' }) }).map(([k, v]) => [REC.input, k, v]),
				...Object.keys(secrets).filter((name) => name.startsWith('sec:')).map((name) => [REC.input, `handle.${name}`, '1']),
				...[...kept].map(([k, v]) => [REC.state, k, v]),
				...answerRecords(answer),
			]);
			const verb = one(action, REC.verb);
			for (const r of action.filter((r) => r.kind === REC.state)) r.value ? kept.set(r.key, r.value) : kept.delete(r.key);
			if (verb === 'bug') throw new Error(one(action, REC.fault));
			if (verb === 'wait') {
				[phase, event, answer] = [one(action, REC.phase), 'timer', null];
				now += 1000 * one(action, REC.seconds);
				continue;
			}
			if (verb !== 'send') {
				const failed = action.find((r) => r.kind === REC.class), words = action.find((r) => r.kind === REC.message);
				return {
					verb, class: failed?.value, reason: failed?.key, code: words?.key, message: words?.value, requests,
					retryAfter: one(action, REC.seconds),
					results: { ...results, ...all(action, REC.result) }, warnings: { ...warnings, ...all(action, REC.warning) },
				};
			}
			Object.assign(results, all(action, REC.result));
			Object.assign(warnings, all(action, REC.warning));
			const request = requestOf(action, secrets, media);
			requests.push(request);
			phase = one(action, REC.phase);
			answer = await send(request, to);
			seal(answer, descriptor.secret_answers?.[phase], secrets);
			event = answer ? 'answer' : 'lost';
			if (!answer && request.repeat === 'safe') throw new Error(`no answer to ${request.method} ${request.url}`);
			if (!answer) looking = true;
		}
		throw new Error('50 steps and no end');
	}

	return {
		id: one(about, REC.id), descriptor, run,
		stop: () => new Promise((resolve) => { child.on('exit', resolve); socket.destroy(); }),
	};
}
