// Every refusal names a page that explains it: the docUrl of an error leads somewhere.
import assert from 'node:assert/strict';
import { startServer } from '../lib/server.mjs';
import { after, curtain, scene } from '../lib/play.mjs';

const server = await startServer();
after(() => server.stop());

scene('the docUrl of a refusal is a page about its code', async () => {
	const refused = await fetch(`${server.url}/v1/posts`);
	const { error } = await refused.json();
	assert.equal(error.code, 'api_key_missing');
	const page = await fetch(error.docUrl);
	assert.equal(page.status, 200);
	assert.match(page.headers.get('content-type'), /^text\/html/);
	const html = await page.text();
	assert.match(html, /api_key_missing/);
	assert.match(html, /401/);
	assert.match(html, /Authorization: Bearer/);
});

scene('a code that does not exist is not found', async () => {
	assert.equal((await fetch(`${server.url}/docs/errors/never_heard`)).status, 404);
});

await curtain();
