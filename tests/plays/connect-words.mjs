// What a person reads on the way to a real platform, in Chromium without script, at 320 and 1440 pixels: the first page
// of Mastodon and of Bluesky, and what is told when a server does not answer, is none, or when nobody has the handle.
// SHOTS=folder keeps pictures.
//
// The one thing to know: every page tells what happened in words of the person, and one next step.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startPds } from '../counterparts/bluesky.mjs';
import { Chrome } from '../lib/chrome.mjs';
import { freePort, startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';

const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });
const other = createServer((req, res) => res.writeHead(404, { 'content-type': 'text/html' }).end('<h1>A shop</h1>'));
await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
after(() => new Promise((resolve) => { other.close(resolve); other.closeAllConnections(); }));
const shop = `127.0.0.1:${other.address().port}`, dead = `127.0.0.1:${await freePort()}`;
const pds = await startPds();
after(() => pds.stop());
const server = await startServer({ ini: `${pds.ini.replace(/^allow = /m, `allow = ${shop}, ${dead}, `)}
base_url.nobody.test = http://${shop}
[provider.mastodon]
base_url.gone.example = http://${dead}
base_url.shop.example = http://${shop}
` });
after(() => server.stop());
const chrome = await Chrome.start({ hosts: { [pds.host]: pds.tls } });
after(() => chrome.stop());
const org = await server.organization('Northpeak');
const back = 'http://127.0.0.1:9/done';

async function made(promise, status) {
	const answer = await promise;
	assert.equal(answer.status, status, answer.text);
	return answer.json;
}

await made(org.live.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
await made(org.live.post('/v1/end-users', { externalUserId: 'ada' }), 201);
const session = (platform, more = {}) => made(org.live.post('/v1/connect-sessions', {
	externalUserId: 'ada', platform, redirectUrl: back, branding: { name: 'Fieldnote' }, ...more,
}), 201);

// As it is at both widths; nothing may stick out.
async function seen(page, name, words) {
	await page.shows(words);
	for (const width of [320, 1440]) {
		await page.look({ width, height: width === 320 ? 640 : 900 });
		if (shots) await page.screenshot(join(shots, `words-${name}-${width}.png`));
		assert.equal(await page.overflows(), false, `${name} at ${width}`);
	}
}

async function first(platform, more) {
	const page = await chrome.page({ script: false });
	await page.go((await session(platform, more)).connectUrl);
	return page;
}

async function named(platform, field, value) {
	const page = await first(platform);
	await page.type(`#${field}`, value);
	await page.loads_by(() => page.click('.btn.brand'), (url) => url.startsWith(server.url));
	return page;
}

test('mastodon: the first page asks for the server, or names the one that the app has given', async () => {
	await seen(await first('mastodon'), 'mastodon', /Your server\s+The address you sign in at/);
	const page = await first('mastodon', { platformOptions: { mastodon: { instanceUrl: 'https://shop.example' } } });
	await seen(page, 'mastodon-given', /Your server\s+shop\.example/);
	assert.equal(await page.eval('document.querySelector("input.input")'), null, 'it is not asked for again');
	await page.loads_by(() => page.click('.btn.brand'), (url) => url.startsWith(server.url));
	await seen(page, 'mastodon-given-shop', /not a Mastodon server\. Go back to Fieldnote/);
	assert.equal(await page.eval('document.querySelector("input.input")'), null, 'what would be typed is not taken');
});

for (const [name, host, words] of [
	['gone', 'gone.example', /That server cannot be reached[^]*check the name and try again/],
	['shop', 'shop.example', /This is not a Mastodon server\. Check the name/],
	['no-name', 'my server', /This is not the name of a server, as example\.com is\./],
]) test(`mastodon, a server that is none: ${name}`, async () => seen(await named('mastodon', 'instance', host), `mastodon-${name}`, words));

test('bluesky: the second way is folded, and tells what becomes of the app password', async () => {
	const page = await first('bluesky');
	await seen(page, 'bluesky', /Continue to Bluesky\s+Or connect with: App password/);
	await page.click('summary');
	await seen(page, 'bluesky-second', /Fieldnote does not see what you enter here; it is kept encrypted/);
	assert.equal(await page.eval('document.querySelectorAll("#identifier-h").length'), 0, 'the name of a server will not do there');
});

for (const handle of ['nobody.test', '@x', 'Ada Lovelace'])
	test(`bluesky, a name that nobody has: ${handle}`, async () => {
		const page = await named('bluesky', 'oauth-identifier', handle);
		await seen(page, `bluesky-${handle.replaceAll(/\W/g, '-')}`, /Bluesky knows no account of this name/);
	});

await done(120_000);
