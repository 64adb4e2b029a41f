// What the server says about itself is true: every refusal names a page that explains it, and what /openapi.json
// promises of an answer is what comes: its status, its members, their types.
//
// The one thing to know: an answer may have no member that is not described, and a described one may be left out.
import assert from 'node:assert/strict';
import { connected } from '../lib/connected.mjs';
import { png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { startServer } from '../lib/server.mjs';
import { after, curtain, scene } from '../lib/play.mjs';

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox });
after(() => server.stop());
const org = await connected(server, sandbox, ['alice']);
const { test: client } = org;
const document = (await client.get('/openapi.json')).json;

// ---- the pages of codes ----

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

scene('every code that the document names has its page', async () => {
	const codes = document.components.schemas.Error.properties.error.properties.code.examples;
	for (const code of ['media_not_ready', 'media_quota_reached', 'media_in_use', 'media_frame_rate', 'media_mixed'])
		assert.ok(codes.includes(code), code);
	for (const code of codes) assert.equal((await fetch(`${server.url}/docs/errors/${code}`)).status, 200, code);
});

scene('a code that does not exist is not found', async () => {
	assert.equal((await fetch(`${server.url}/docs/errors/never_heard`)).status, 404);
});

// ---- the document ----

const kinds = {
	string: (v) => typeof v === 'string', integer: Number.isInteger, number: (v) => typeof v === 'number',
	boolean: (v) => typeof v === 'boolean',
	null: (v) => v === null, array: Array.isArray, object: (v) => v !== null && typeof v === 'object' && !Array.isArray(v),
};

function judge(schema, value, at) {
	if (schema.$ref) return judge(document.components.schemas[schema.$ref.split('/').at(-1)], value, at);
	const types = [schema.type ?? []].flat();
	assert.ok(types.length === 0 || types.some((one) => kinds[one](value)), `${at} is no ${types}: ${JSON.stringify(value)}`);
	if (schema.enum) assert.ok(schema.enum.includes(value), `${at} is ${value}, none of ${schema.enum}`);
	if (Array.isArray(value) && schema.items) value.forEach((one, i) => judge(schema.items, one, `${at}[${i}]`));
	if (!kinds.object(value) || !schema.properties) return;
	for (const name of schema.required ?? []) assert.ok(Object.hasOwn(value, name), `${at}.${name} is missing`);
	for (const [name, one] of Object.entries(value)) {
		if (schema.properties[name]) judge(schema.properties[name], one, `${at}.${name}`);
		else if (schema.additionalProperties) judge(schema.additionalProperties, one, `${at}.${name}`);
		else assert.fail(`${at}.${name} is not described`);
	}
}

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
	Object.entries(methods).map(([method, one]) => ({ path, method, ...one })));

// Calls an operation by its name: values of its path by name, a query, a body.
async function called(id, params = {}, body = undefined, headers = undefined) {
	const one = operations.find(({ operationId }) => operationId === id);
	assert.ok(one, `there is no operation ${id}`);
	const used = new Set();
	let path = one.path.replaceAll(/\{(\w+)\}/g, (all, name) => (used.add(name), encodeURIComponent(params[name])));
	const query = new URLSearchParams(Object.entries(params).filter(([name]) => !used.has(name)));
	const known = one.parameters.map((p) => (p.name ?? document.components.parameters[p.$ref.split('/').at(-1)].name).toLowerCase());
	for (const name of [...query.keys(), ...Object.keys(headers ?? {})])
		assert.ok(name === 'content-type' || known.includes(name.toLowerCase()), `${id} does not describe ${name}`);
	if (query.size) path += `?${query}`;
	const answer = await client[one.method](path, ...one.method === 'get' ? [] : [body, ...headers ? [headers] : []]);
	const described = one.responses[answer.status] ?? one.responses[`${String(answer.status)[0]}XX`];
	assert.ok(described, `${id} answers ${answer.status}, which is not described: ${answer.text}`);
	const schema = described.$ref ? document.components.responses[described.$ref.split('/').at(-1)] : described;
	judge(schema.content['application/json'].schema, answer.json, id);
	return answer.json;
}

const to = { targets: [{ connectionId: org.connections.alice.id }] };

scene('media', async () => {
	const upload = operations.find(({ operationId }) => operationId === 'uploadMedia');
	const raw = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
	assert.deepEqual(upload.requestBody, { required: true, content: raw });
	const made = await called('uploadMedia', { altText: 'a' }, png(4, 4), { 'content-type': 'image/png', 'x-filename': 'a.png' });
	assert.equal(made.status, 'ready');
	await called('getMedia', { id: made.id });
	await called('listMedia', { limit: 1 });
	await called('updateMedia', { id: made.id }, { altText: 'b' });
	await called('deleteMedia', { id: made.id });
	assert.equal((await called('getMedia', { id: made.id })).error.code, 'media_not_found');
	assert.equal((await called('fetchMedia', {}, { url: 'http://127.0.0.1/a.png' })).error.code, 'media_unreachable');
});

scene('posts', async () => {
	const body = { ...to, text: 'one', thread: [{ text: 'two' }], firstComment: 'three' };
	assert.equal((await called('validatePost', {}, body)).valid, true);
	assert.equal((await called('validatePost', {}, { ...to, text: 'x'.repeat(2000) })).error.rule, 'sandbox.text.max_graphemes');
	const post = await called('createPost', { wait: 20 }, body);
	assert.equal(post.status, 'published', JSON.stringify(post));
	assert.equal((await called('createPost', {}, { ...to, text: 'a draft', mode: 'draft' })).status, 'draft');
	await called('getPost', { id: post.id, include: 'attempts' });
	assert.equal((await called('listPostDeliveries', { id: post.id })).data.length, 3);
	await called('listPosts', { status: 'published' });
	await called('getDelivery', { id: post.deliveries[0].id });
	await called('listAttempts', { id: post.deliveries[0].id });
	const later = await called('schedulePost', {}, { ...to, text: 'later', scheduledAt: new Date(Date.now() + 86400_000).toISOString() });
	await called('updatePost', { id: later.id }, { text: 'later on' });
	const stale = await called('updatePost', { id: later.id }, { text: 'too late' }, { 'if-match': '"v0"' });
	assert.equal(stale.error.code, 'precondition_failed');
	await called('cancelPost', { id: later.id }, {});
	await called('listEvents', { after: 0 });
	await called('editDelivery', { id: post.deliveries[1].id, wait: 10 }, { text: 'two, too' });
	await called('getDelivery', { id: post.deliveries[1].id });
	const operation = await called('unpublishDelivery', { id: post.deliveries[2].id }, {});
	await called('getOperation', { id: operation.id, wait: 5 });
});

scene('platforms and rules', async () => {
	const { data } = await called('listPlatforms');
	for (const { id } of data) await called('getPlatform', { platform: id });
	const rules = (await called('listRules')).data;
	for (const one of rules) assert.notEqual(one.description, '', one.id);
	assert.ok(rules.some(({ id }) => id.startsWith('mastodon.')));
	assert.deepEqual([...new Set((await called('listRules', { platform: 'bluesky' })).data.map((one) => one.platform))], ['bluesky']);
});

scene('people and their accounts', async () => {
	await called('upsertEndUser', {}, { externalUserId: 'doc' });
	await called('upsertEndUser', {}, { externalUserId: 'doc', displayName: 'Doc' });
	await called('listEndUsers', {});
	await called('listConnections', {});
	await called('getConnection', { id: org.connections.alice.id });
	await called('checkConnection', { id: org.connections.alice.id }, {});
	await called('listConnectSessions', {});
	await called('listApps', {});
	await called('listRedirectUrls', { id: org.app });
	await called('addRedirectUrl', { id: org.app }, { url: 'https://app.example.com/again' });
	await called('addRedirectUrl', { id: org.app }, { url: 'https://app.example.com/again' });
});

await curtain();
