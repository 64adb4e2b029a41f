// F13: slow clients by slowhttptest, 1,000 at once in each of its three modes against nginx in front, and 200 straight at the
// server, while good clients go on.  What is asked: the good ones get their answers, and all is as before afterwards.
//
// The one thing to know: the slow ones come from 127.0.0.1 and the good ones from 127.0.0.2, as they would from two places.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { connected } from '../lib/connected.mjs';
import { startNginx } from '../lib/nginx.mjs';
import { Child } from '../lib/process.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const SECONDS = process.env.TEST_LONG ? 120 : 12, GOOD = 4;
const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: { server: { address_per_minute: 0, key_per_minute: 0 } } });
after(() => server.stop());
const front = await startNginx(server, { sandbox, byAddress: true });
after(() => front.stop());
const org = await connected(server, sandbox, ['alice']);

const opened = (pid) => readdirSync(`/proc/${pid}/fd`).length;
const threads = (pid) => Number(/^Threads:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

const targets = [{ connectionId: org.connections.alice.id }];
let written = 0;

// Good clients until `over`, each with a new connection per request: the milliseconds and what was not 2xx.
async function goodOnes(ask, over) {
	const times = [], bad = [];
	let n = 0;
	await Promise.all(Array.from({ length: GOOD }, async () => {
		while (!over()) {
			const begun = performance.now(), write = ++n % 5 === 0;
			const { status, text } = write
				? await ask('POST', '/v1/posts', { externalUserId: org.user, text: `good ${++written}`, mode: 'draft', targets })
				: await ask('GET', '/v1/posts?limit=5');
			times.push(performance.now() - begun);
			if (status >= 300) bad.push(`${status} ${text.slice(0, 200)}`);
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	}));
	times.sort((a, b) => a - b);
	return { times, bad, at: (share) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))]) };
}

// The program of slow clients, to its end, with whatever goes on meanwhile.  Its own report says how many it had open.
async function slowOnes(words, url, connections, seconds, meanwhile) {
	const child = new Child('slowhttptest', ['-c', connections, '-r', 400, '-l', seconds, '-i', 3, '-u', url, ...words].map(String));
	const good = await meanwhile(child);
	await child.end;
	assert.ok(!child.ended.signal && child.ended.status !== 127, child.output.slice(-500));
	const report = child.output.replace(/\x1b\[[0-9;]*[A-Za-z]/g, '');
	const most = Math.max(...[...report.matchAll(/^(?:connected|closed|pending):\s+(\d+)/gm)].map(([, value]) => Number(value)));
	const refused = /service available:\s+YES/.test(report) && /No open connections left/.test(report);
	assert.ok(most >= connections / 4 || refused, `slowhttptest opened ${most}:\n${report.slice(-800)}`);
	return { ...good, refused };
}

const throughNginx = (method, path, body) => front.call(method, path, {
	key: org.test_key, address: '127.0.0.2', headers: body ? { 'content-type': 'application/json' } : {}, body: body && JSON.stringify(body),
});

const modes = [
	['heads', ['-H', '-x', 20]],
	['bodies', ['-B', '-s', 8192, '-t', 'POST', '-x', 20]],
	['reads', ['-X', '-w', 1, '-y', 8, '-n', 2, '-z', 8, '-k', 3]],
];

for (const [name, words] of modes) test(`F13 1,000 slow ${name} at nginx: good clients go on`, async () => {
	const path = name === 'reads' ? '/openapi.json' : '/v1/posts';
	const good = await slowOnes(words, `https://127.0.0.1:${front.port}${path}`, 1000, SECONDS,
		(child) => goodOnes(throughNginx, () => child.ended));
	console.log(`# slow ${name}: ${good.times.length} good requests, p50 ${good.at(0.5)} ms, p99 ${good.at(0.99)} ms`);
	assert.deepEqual(good.bad, []);
	assert.ok(good.times.length > SECONDS * 2, `${good.times.length} good requests`);
	assert.ok(good.at(0.99) < 1000, `p99 ${good.at(0.99)} ms`);
});

test('F13 200 slow heads and bodies at the server itself: it holds out, and is as before when they are gone', async () => {
	const files = opened(server.pid), had = threads(server.pid);
	for (const [name, words] of modes.slice(0, 2)) {
		const { refused } = await slowOnes(words, `${server.url}/v1/posts`, 200, 6, () => {});	// good ones would wait for a thread here
		assert.equal(refused, name === 'bodies', 'who brings no key is answered before the body, and has no connection left');
		assert.ok(server.alive, 'the server is up');
		await until('it answers', async () => (await org.test.get('/v1/posts?limit=1').catch(() => ({}))).status === 200, 60_000);
	}
	await until('descriptors are as before', () => opened(server.pid) <= files + 4, 60_000);
	assert.equal(threads(server.pid), had);
});

await done(400_000);
