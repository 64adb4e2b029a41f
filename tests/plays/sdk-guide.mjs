// The guide "Add a platform in 30 minutes" (sdk/README.md), followed word by word by somebody who has nothing but what
// `make install PREFIX=...` put somewhere: its sh blocks in one shell in a fresh folder, against the installed server.
//
// The one thing to know: what the page cannot say is put in here, and nothing else is changed:
//   /opt/mypostshare, http://127.0.0.1:8080        where it was installed, the server of this test
//   8099                                           a port that is free
//   mps_live_… app_…                               key and app of the organization of this test
//   mypostshare, sudo, xdg-open                    functions of the shell: the installed program with this test's ini; no
//                                                  root; a person who types a key on the page
// The ini block is part of the server's ini before it starts, as the page says.  Every c block is code that is built: it
// stands, as it is, in the template or in a provider of ours.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Browser } from '../lib/http.mjs';
import { Shell, answerOf, blocksOf, compare } from '../lib/page.mjs';
import { run } from '../lib/process.mjs';
import { build, freePort, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const folder = mkdtempSync(join(tmpdir(), 'mps-guide-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const opt = join(folder, 'opt/mypostshare'), work = join(folder, 'work'), layout = join(folder, 'layout');
for (const one of [work, layout]) mkdirSync(one);

const san = basename(build).startsWith('build-') ? [`SAN=${basename(build).slice('build-'.length)}`] : [];
const { status, output } = await run('make', ['-s', ...san, 'install', `PREFIX=${opt}`, `UNITDIR=${join(folder, 'units')}`], {
	env: { MAKEFLAGS: '', MFLAGS: '', MAKELEVEL: '0', DESTDIR: '' },
});
assert.equal(status, 0, output);

// Read where it is installed, as the one who follows it does.
const page = readFileSync(join(opt, 'share/mypostshare/sdk/README.md'), 'utf8');
const blocks = blocksOf(page), platform = await freePort();

// The server knows a build's folder by its own layout.
for (const one of ['bin/mypostshare', 'plugins', 'libexec']) symlinkSync(join(opt, one), join(layout, basename(one)));
const ini = blocks.filter((one) => one.kind === 'ini').map((one) => one.text).join('').replaceAll('8099', platform);
const server = await startServer({ build: layout, ini });
after(() => server.stop());
const org = await server.organization();

async function person(url) {
	const browser = new Browser();
	await browser.get(url);
	assert.match(browser.page.text, /API key/);
	await browser.submit({ key: 'robin' });
	await browser.follow(server.url);
	const back = new URL(browser.location);
	assert.equal(back.origin + back.pathname, 'https://app.example.com/done');
	assert.equal(back.searchParams.get('status'), 'success');
}

const filled = (text) => text
	.replaceAll('http://127.0.0.1:8080', server.url).replaceAll('8099', platform).replaceAll('/opt/mypostshare', opt)
	.replaceAll('mps_live_…', org.live_key).replaceAll('app_…', org.app);

const shell = new Shell({
	folder, filled, asked: { 'xdg-open': person }, prelude: `
unset PKG_CONFIG_PATH
cd '${work}'
xdg-open() { ask xdg-open "$@"; }
sudo() { "$@"; }
mypostshare() { '${opt}/bin/mypostshare' --config '${server.config}' "$@"; }
`,
});
after(() => shell.stop());

const parts = readdirSync('plugins', { withFileTypes: true }).filter((one) => one.isDirectory()).map((one) => `plugins/${one.name}`);
const ours = ['sdk/template', 'plugins', ...parts]
	.flatMap((one) => readdirSync(one).filter((name) => /\.[ch]$/.test(name)).map((name) => readFileSync(join(one, name), 'utf8')));

test('the page has blocks of each kind, and names only files that were installed', () => {
	for (const [kind, least] of [['sh', 8], ['c', 5], ['json', 1], ['ini', 1]]) {
		assert.ok(blocks.filter((one) => one.kind === kind).length >= least, `blocks of ${kind}`);
	}
	for (const [, name] of page.matchAll(/^\| `([\w.]+\/?)` \|/gm)) {
		const places = [join(opt, 'share/mypostshare/sdk', name), join(opt, 'include/mypostshare', name)];
		if (/\.|\/|keys/.test(name)) assert.ok(places.some((one) => existsSync(one)), `${name} was not installed`);
	}
});

const said = [];
let last;
for (const { kind, line, heading, text } of blocks) {
	if (kind === 'c') test(`line ${line}: ${heading}: this code is built`, () => assert.ok(ours.some((one) => one.includes(text)), text));
	if (kind === 'json') test(`line ${line}: ${heading}: the answer`, () => compare(JSON.parse(text), answerOf(last), 'answer', filled));
	if (kind === 'sh') {
		test(`line ${line}: ${heading}`, async () => {
			last = await shell.run(text);
			said.push(last);
			assert.doesNotMatch(last, /warning:|^not ok/m);
			assert.ok(!last.includes(process.cwd()), `something of this tree was used: ${last}`);
		});
	}
}

test('what the page promised is what was seen', async () => {
	const all = said.join('\n');
	for (const words of [
		/^ok publish\.json \[\d+\] publish, answer lost, found$/m, /^example: 0\.1 loaded$/m, /^example: 0\.2 loaded$/m, /^0\.2$/m,
		/"status": ?"completed"/, /"code":"platform_rejected"|"policy"/, /^published$/m,
		/^\{"id":"2","text":"And a second one","reply_to":"1","media":\[\]\}$/m, /^\{"id":"3","text":"\[lose\] but only once"/m,
	]) assert.match(all, words);
	const published = said.findLast((one) => one.includes('[lose]')).split('\n').filter((one) => one.startsWith('{"id"'));
	assert.equal(published.length, 3, 'a post is there twice');
	assert.match(published[0], /"text":"Hello from my own provider","reply_to":null,"media":\["m1"\]/);
	assert.ok(server.alive);
});

const shaped = (name, change) => {
	writeFileSync(join(work, 'example', name), change(readFileSync(join(work, 'example/template.c'), 'utf8')));
};

test('make check names what a provider may not import', async () => {
	shaped('worse.c', (text) => text.replace('static mps_next failed(mps_op *op)\n{', 'int system(const char *);\n$&\n\tsystem("true");'));
	const words = await shell.run('make -s PLUGIN=worse SOURCES=worse.c; make -s check PLUGIN=worse SOURCES=worse.c || true');
	assert.match(words, /worse\.so: imports system/);
});

test('try is not content with another answer, and a misspelt key of the descriptor is refused by name', async () => {
	const other = readFileSync(join(work, 'example/publish.json'), 'utf8').replace('"remote_id": "12345678901234567890"', '"remote_id": "1"');
	writeFileSync(join(work, 'example/other.json'), other);
	assert.match(await shell.run('/opt/mypostshare/bin/mypostshare-try ./example.so other.json || true'), /^not ok other\.json/m);
	shaped('worse.c', (text) => text.replace('\\"max_items\\"', '\\"max_item\\"'));
	const words = await shell.run(`make -s PLUGIN=worse SOURCES=worse.c
		sudo install -m 0755 worse.so /opt/mypostshare/plugins/example.so
		mypostshare reload example || mypostshare providers --json`);
	assert.match(words, /media\.max_item/);
	assert.match(words, /"version": ?"0\.2"/, 'the old one goes on serving');
});

// Builds a variant of the template, loads it and connects with it: the page at the end.
async function connected_with(change) {
	shaped('variant.c', change);
	const words = await shell.run(`make -s PLUGIN=variant SOURCES=variant.c
		sudo install -m 0755 variant.so /opt/mypostshare/plugins/example.so; mypostshare reload example`);
	assert.match(words, /loaded/);
	const session = (await org.live.post('/v1/connect-sessions', {
		externalUserId: 'user-1', platform: 'example', redirectUrl: 'https://app.example.com/done',
	})).json;
	const browser = new Browser();
	await browser.get(session.connectUrl);
	await browser.submit({ key: 'robin' });
	await browser.follow(server.url);
	return browser;
}

test('a port belongs to the host: what hosts does not list is not reached', async () => {
	const api = (text) => text.replace('https://api.example.com/v1', 'https://api.example.com:8443/v1');
	shell.process.stdin.write(`python3 platform.py ${platform} &\n`);
	await until('the platform is there again', () => fetch(`http://127.0.0.1:${platform}/posts`).then(() => true, () => false));
	assert.equal((await connected_with(api)).location, null);
	const listed = (text) => api(text).replace('\\"hosts\\":[\\"api.example.com\\"]', '\\"hosts\\":[\\"api.example.com:8443\\"]');
	assert.match((await connected_with(listed)).location, /status=success/);
});

await done(180_000);
