// The pages of connecting in Chromium, without script: the whole way through its own policy and the platform's, at
// 320 and 1440 pixels, light and dark.  SHOTS=folder keeps pictures.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Chrome } from '../lib/chrome.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';

const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });
const product = createServer((req, res) => res.writeHead(200, { 'content-type': 'text/html' }).end(`<title>Fieldnote</title><p>back`));
await new Promise((resolve) => product.listen(0, '127.0.0.1', resolve));
after(() => new Promise((resolve) => { product.close(resolve); product.closeAllConnections(); }));
const back = `http://127.0.0.1:${product.address().port}/done`;

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const chrome = await Chrome.start();
after(() => chrome.stop());
const org = await server.organization('Northpeak');

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

await made(org.test.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
await made(org.test.post('/v1/end-users', { externalUserId: 'ada' }), 201);
const session = (more = {}) => made(org.test.post('/v1/connect-sessions', {
	externalUserId: 'ada', platform: 'sandbox', redirectUrl: back, branding: { name: 'Fieldnote', accentColor: '#0b6e5f' }, ...more,
}), 201);

// Pictures of a page in both widths and themes; nothing may stick out at 320.
async function seen(page, name) {
	for (const width of [320, 1440])
		for (const dark of [false, true]) {
			await page.look({ width, dark, height: width === 320 ? 640 : 900 });
			if (shots) await page.screenshot(join(shots, `connect-${name}-${width}-${dark ? 'dark' : 'light'}.png`));
			assert.equal(await page.overflows(), false, `${name} at ${width}`);
		}
}

const below = (prefix) => (url) => url.startsWith(prefix);

// From the link to the far side of the platform's consent.
async function consent(page, link, account, decision, where) {
	await page.go(link);
	await page.loads_by(() => page.click('.btn.brand'), below(sandbox.url));
	await page.type('#account', account);
	await page.loads_by(() => page.click(`button[value=${decision}]`), where);
}

test('a person connects an account, and nothing breaks the policy of any page', async () => {
	const page = await chrome.page({ script: false });
	const s = await session();
	await page.go(s.connectUrl);
	assert.match(await page.text(), /Connect Sandbox to Fieldnote/);
	await seen(page, 'start');
	await consent(page, s.connectUrl, 'alice', 'allow', below(back));
	assert.match(await page.url(), /status=success/);
	assert.equal(await page.eval('document.referrer'), '');
	assert.deepEqual(page.faults.filter((f) => !/favicon/.test(f)), []);
});

test('a picker, searched by the keyboard and sent with what was ticked before', async () => {
	const page = await chrome.page({ script: false });
	await consent(page, (await session()).connectUrl, 'many-14', 'allow', (url) => url.endsWith('/select'));
	await page.click('input[value="1"]');
	await seen(page, 'picker');
	await page.type('#q', 'page 12 of');
	await page.loads_by(async () => {
		for (const type of ['keyDown', 'keyUp'])
			await page.send('Input.dispatchKeyEvent', { type, key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' });
	}, (url) => url.includes('q='));
	await seen(page, 'picker-searched');
	await page.click('.picklist input');
	await page.loads_by(() => page.click('.btn.brand'), below(back));
	assert.equal(new URL(await page.url()).searchParams.getAll('connectionId').length, 2);
	assert.deepEqual(page.faults.filter((f) => !/favicon/.test(f)), []);
});

test('the pages of causes', async () => {
	const page = await chrome.page({ script: false });
	await consent(page, (await session()).connectUrl, 'alice', 'deny', (url) => url.endsWith('/wait'));
	await page.shows(/was not connected/);
	await seen(page, 'denied');
	const first = (await made(org.test.get('/v1/connections?limit=200'), 200)).data.find((c) => c.username === 'alice');
	const wrong = await made(org.test.post(`/v1/connections/${first.id}/reconnect`, { redirectUrl: back }), 201);
	await consent(page, wrong.connectUrl, 'mallory', 'allow', (url) => url.endsWith('/wait'));
	await page.shows(/Signed in as/);
	await seen(page, 'mismatch');
	const stranger = await chrome.page({ script: false });
	await stranger.go(wrong.connectUrl);
	assert.match(await stranger.text(), /another browser/);
	await seen(stranger, 'stranger');
	await stranger.go(`${server.url}/oauth/sandbox/callback?state=x`);
	await seen(stranger, 'over');
});

test('a live form tells where each value is found, and what is wrong with one', async () => {
	await made(org.live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
	const s = await made(org.live.post('/v1/connect-sessions', { externalUserId: 'ada', platform: 'bluesky', redirectUrl: back }), 201);
	const page = await chrome.page({ script: false });
	await page.go(s.connectUrl);
	assert.doesNotMatch(await page.text(), /App passwords/, 'the second way is folded');
	await page.click('summary');
	assert.match(await page.text(), /App passwords/);
	await seen(page, 'form');
	await page.type('#identifier', 'alice.example');
	await page.type('#password', 'xxxx-xxxx');
	await page.type('#service', 'no host!');
	await page.loads_by(() => page.click('details .btn'));
	assert.match(await page.text(), /not the name of a server/);
	assert.equal(await page.eval('document.querySelector("#password").value'), '', 'a secret never comes back');
	assert.equal(await page.eval('document.querySelector("#identifier").value'), 'alice.example');
	await seen(page, 'form-fault');
});

await done(120_000);
