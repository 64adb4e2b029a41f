// Files and providers that must not be loaded: each is refused with the reason, none holds up the server, its start or
// anybody's posts, and none that is swapped under our hands is ever run.
//
// The one thing to know: what ran is told by the provider's version and by the far side, never by the file's name.
// --table prints the list.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
	chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Far } from '../lib/far.mjs';
import { run } from '../lib/process.mjs';
import { connect } from '../lib/connected.mjs';
import { Folder, renamed } from '../lib/providers.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const folder = mkdtempSync(join(tmpdir(), 'mps-hostile-load-')), plugins = new Folder(join(folder, 'plugins'));
after(() => rmSync(folder, { recursive: true, force: true }));
chmodSync(folder, 0o755);
const tests = join(build, 'tests/plugins');
const root = process.getuid() === 0;

// ---- files ----

const copy = (id) => renamed(join(tests, 'misdeed.so'), id);
const other_machine = () => {
	const bytes = copy('other-machine');
	bytes.writeUInt16LE(bytes.readUInt16LE(18) === 62 ? 183 : 62, 18);
	return bytes;
};
const open_folder = join(folder, 'open');
mkdirSync(open_folder);
chmodSync(open_folder, 0o777);

const files = {
	'world-writable': [() => plugins.place('world-writable', copy('world-writable'), 0o666), /chown and chmod go-w/],
	'group-writable': [() => plugins.place('group-writable', copy('group-writable'), 0o664), /chown and chmod go-w/],
	'open-folder': [() => {
		plugins.place('open-folder', copy('open-folder'));
		writeFileSync(join(open_folder, 'it.so'), copy('open-folder'), { mode: 0o644 });
	}, /folder can be written by others/],
	'symbolic-link': [() => symlinkSync(join(tests, 'misdeed.so'), plugins.at('symbolic-link.so')), /symbolic link/],
	fifo: [() => execFileSync('mkfifo', ['-m', '600', plugins.at('fifo.so')]), /a folder, a pipe or a device/],
	directory: [() => mkdirSync(plugins.at('directory.so'), { mode: 0o755 }), /a folder, a pipe or a device/],
	empty: [() => plugins.place('empty', ''), /has 0 bytes, wanted 1 byte to 16 MiB/],
	text: [() => plugins.place('text', 'no program at all\n'), /is no shared object/],
	truncated: [() => plugins.place('truncated', copy('truncated').subarray(0, 5000)), /is cut off/],
	'other-machine': [() => plugins.place('other-machine', other_machine()), /built for another machine/],
	'wrong-pin': [() => plugins.place('wrong-pin', copy('wrong-pin')), /SHA-256 is [0-9a-f]{64}, pinned is/],
	'wrong-id': [() => plugins.place('wrong-id', readFileSync(join(tests, 'wrong_id.so'))), /its id is "somebody-else", wanted "wrong-id"/],
	'second-of-one-id': [() => plugins.place('second-of-one-id', copy('good')), /its id is "good", wanted "second-of-one-id"/],
	'no-entry': [() => plugins.place('no-entry', readFileSync(join(tests, 'no_entry.so'))), /exports no mps_provider_v1/],
	newer: [() => plugins.place('newer', readFileSync(join(tests, 'newer.so'))), /needs interface 1\.99, this core has/],
	...(root && { 'other-owner': [() => {
		plugins.place('other-owner', copy('other-owner'));
		chownSync(plugins.at('other-owner.so'), 12345, 12345);
	}, /chown and chmod go-w/] }),
	forged: [() => plugins.place('forged', readFileSync(join(tests, 'forged.so'))), /not what a host writes/],
	...Object.fromEntries(Object.entries({
		exit: /exit status 0/, crash: /SIGABRT/, loop: /did not load within 5 s/, open: /tried to open \/etc\/passwd/,
		socket: /sandbox: socket/, write: /no frame/,
	}).map(([name, cause]) => [`constructor-${name}`, [
		() => plugins.place(`constructor-${name}`, readFileSync(join(tests, `constructor_${name}.so`))), cause,
	]])),
};

// ---- descriptors: the same program with another text ----

const base = { name: 'X', operations: ['check'], hosts: ['a.example'], connect: { method: 'form' } };
const lies = {
	'bad-json': ['{"name":', /descriptor is not a JSON object/],
	'mebibyte': [`{"name":"${'x'.repeat(1 << 20)}"}`, /descriptor is longer than 65536 bytes/],
	'deep': [`{"name":${'['.repeat(3000)}`, /descriptor is not a JSON object/],
	'bad-utf8': ['{"name":"\\xff\\xfe"}', /descriptor is not a JSON object/, 'raw'],
	'unknown-key': [JSON.stringify({ ...base, shell: 'yes' }), /descriptor key "shell": is not known/],
	'unknown-capability': [JSON.stringify({ ...base, capabilities: { root: true } }), /"capabilities\.root": is not known/],
	'host-number': [JSON.stringify({ ...base, hosts: ['127.0.0.1'] }), /"hosts": must be a list of texts, each a public host name/],
	'host-local': [JSON.stringify({ ...base, hosts: ['localhost'] }), /"hosts": must be/],
	'host-all': [JSON.stringify({ ...base, hosts: ['*.com'] }), /"hosts": must be/],
	'number-large': [JSON.stringify({ ...base, text: { max: 9e15 } }), /"text\.max": must be a whole number/],
	'number-negative': [JSON.stringify({ ...base, rate: { publish_per_day: -1 } }), /"rate\.publish_per_day": must be/],
	'versions': [JSON.stringify({ ...base, state_versions: [2, 1] }), /"state_versions": must be/],
	'icon-script': [JSON.stringify({ ...base, icon: '<svg onload=alert(1)>' }), /"icon": must be/],
	'docs-script': [JSON.stringify({ ...base, docs: 'javascript:alert(1)' }), /"docs": must be/],
	'nothing-said': ['{}', /is missing/],
};

async function built(id, text, raw) {
	const source = join(folder, `${id}.c`), out = join(folder, `${id}.so`);
	const c = raw ? text.replaceAll('"', '\\"') : JSON.stringify(text).slice(1, -1);
	writeFileSync(source, `#include "ease.h"\nstatic const struct mps_operation operations[] = { { NULL, NULL } };\n`
		+ `static const char text[] = "${c}";\nMPS_PROVIDER("${id}", "1.0", text, operations)\n`);
	const { status, output } = await run('cc', ['-std=c17', '-w', '-Isdk', '-fvisibility=hidden', '-fPIC', '-shared', '-o', out, source]);
	assert.equal(status, 0, output);
	plugins.place(id, readFileSync(out));
}

for (const [place] of Object.values(files)) place();
for (const [id, [text, , raw]] of Object.entries(lies)) await built(id, text, raw);
plugins.place('good', copy('good'));
copyFileSync(join(build, 'plugins/sandbox.so'), plugins.at('sandbox.so'));
const refused = { ...files, ...lies };

// ---- the server ----

const far = await new Far().open(), sandbox = await startSandbox();
after(() => far.close());
after(() => sandbox.stop());
const pin = createHash('sha256').update(copy('pinned')).digest('hex');
plugins.place('pinned', copy('pinned'));
const server = await startServer({ sandbox, ini: {
	server: { key_per_minute: 0, address_per_minute: 0 },
	providers: { folder: plugins.path, host_program: join(build, 'libexec/mypostshare-host') },
	'provider.wrong-pin': { sha256: '0'.repeat(64) },
	'provider.pinned': { sha256: pin },
	'provider.open-folder': { file: join(open_folder, 'it.so') },
} });
after(() => server.stop());
const providers = async () => Object.fromEntries(JSON.parse(await server.command('providers', '--json')).map((one) => [one.id, one]));

test('each is refused by name with its reason, and the others serve', async () => {
	const list = await providers(), wrong = [];
	for (const [id, [, cause]] of Object.entries(refused)) {
		const one = list[id];
		const good = one?.state === 'refused' && !one.loaded && one.failures === 1 && cause.test(one.words);
		if (!good) wrong.push(`${id}: ${one?.state}: ${one?.words}`);
	}
	assert.deepEqual(wrong, []);
	for (const id of ['good', 'pinned', 'sandbox']) assert.deepEqual([list[id].state, list[id].failures], ['serving', 0], list[id].words);
	assert.equal(Object.keys(list).length, Object.keys(refused).length + 3);
	const table = await server.command('providers');
	if (process.argv.includes('--table')) console.log(table);
	assert.doesNotMatch(table, /[\x00-\x08\x0b-\x1f\x7f]/, 'what a provider wrote reached the terminal as it was');
	for (const [id, [, cause]] of Object.entries(refused)) {
		const line = table.split('\n').find((one) => one.startsWith(`${id} `));
		assert.match(line, /^\S+ +- +refused +1 +\d{4}-/, id);
		assert.match(line, cause);
	}
});

test('a refused provider is no platform of the API', async () => {
	const org = await server.organization();
	const ids = (await org.test.get('/v1/platforms')).json.data.map((one) => one.id ?? one.platform);
	for (const id of Object.keys(refused)) assert.ok(!ids.includes(id), id);
});

const org = await server.organization();
await org.test.post(`/v1/apps/${org.app}/redirect-urls`, { url: 'http://127.0.0.1:9/back' });
await org.test.post('/v1/end-users', { externalUserId: 'ada' });
const alice = await connect(server, sandbox, org.test, 'ada', 'alice');

async function post(text) {
	const answer = await org.test.post('/v1/posts', { targets: [{ connectionId: alice.id }], text });
	assert.equal(answer.status, 202, answer.text);
	await until(`"${text}" is in the ledger`, async () => await sandbox.count(text) === 1);
}

test('while the constructor of one hangs in a reload, the posts of others are published', async () => {
	plugins.place('good', readFileSync(join(tests, 'constructor_loop.so')));
	let over = false;
	const reloading = server.attempt('reload', 'good').finally(() => over = true);
	const begun = Date.now();
	let meanwhile = 0;
	for (let i = 0; !over; i++) {
		const hanging = Date.now() - begun > 1000;	/* accepted while it hangs, and seen by the far side while it hangs */
		await post(`while it hangs ${i}`);
		meanwhile += hanging && !over;
	}
	const { status, output } = await reloading;
	assert.notEqual(status, 0);
	assert.match(output, /did not load within 5 s/);
	assert.ok(meanwhile >= 3, `only ${meanwhile} posts reached the far side meanwhile`);
	const { good } = await providers();
	assert.deepEqual([good.state, good.version], ['serving', '1.0']);
	assert.match(await server.command('providers'), /^good .*goes on as it was, its reload was refused: .*did not load within/m);
	plugins.place('good', copy('good'));
	await server.command('reload', 'good');
});

test('a file that is swapped while it is loaded is run whole, or not at all; a pinned one never', async () => {
	const evil = Buffer.from(copy('pinned'));
	evil.write('9.9\0', evil.indexOf('1.0\0', 0, 'latin1'), 'latin1');
	const good = copy('pinned'), seen = new Set();
	let over = false;
	const swapping = (async () => {
		for (let i = 0; !over; i++) {
			writeFileSync(plugins.at('.next'), i % 2 ? good : evil, { mode: 0o644 });
			renameSync(plugins.at('.next'), plugins.at('pinned.so'));
			if (i % 3 === 0) writeFileSync(plugins.at('pinned.so'), (i % 2 ? evil : good).subarray(0, 9000), { mode: 0o644 });
			await new Promise((resolve) => setImmediate(resolve));
		}
	})();
	for (let i = 0; i < 25; i++) {
		const { status, output } = await server.attempt('reload', 'pinned');
		seen.add(status === 0 ? 'loaded' : 'refused');
		assert.match(output, status === 0 ? /pinned: 1\.0 loaded/ : /pinned: not loaded: provider file .*(SHA-256|cannot be read|0 bytes)/);
		assert.equal((await providers()).pinned.version, '1.0');
	}
	over = true;
	await swapping;
	assert.ok(seen.has('refused'), 'the swap was never met');
	plugins.place('pinned', good);
	await server.command('reload', 'pinned');
});

test('the server is the same, and posts go on', async () => {
	await post('at the end');
	assert.ok(server.alive);
	assert.equal((await providers()).good.state, 'serving');
});

await done(120_000);
