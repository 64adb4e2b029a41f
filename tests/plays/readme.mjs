// What README.md shows is true: its sh blocks are run in their order in one shell against a server of this test, and
// each json block must be what the sh block before it answers; the table of magic texts is played, too.
//
// The one thing to know: what the page cannot say is put in here, and nothing else is changed:
//   http://127.0.0.1:8080, /opt/mypostshare and /etc    our server, the folder that DESTDIR made
//   /var/lib/mypostshare, /srv/backup         our data folder, a folder of ours
//   app_… key_… mps_test_…                    ids and key of the organization of this test
//   @photo.png                                a picture
//   mypostshare, sudo, systemctl, xdg-open    functions of the shell: our build and ini; no root and DESTDIR; this
//                                             test's server; a person who agrees on the page
//   "Add a platform"                          runs in an empty folder, not in this tree
//   make demo, make test                      only looked for in the Makefile: plays/demo.mjs and tests/run do these
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { connect } from '../lib/connected.mjs';
import { Browser } from '../lib/http.mjs';
import { Shell, answerOf, blocksOf, compare } from '../lib/page.mjs';
import { png } from '../lib/samples.mjs';
import { startSandbox } from '../lib/sandbox.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test, until } from '../lib/test.mjs';

const page = readFileSync('README.md', 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'mps-readme-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = join(folder, 'root'), opt = join(root, 'opt/mypostshare');
const backup = join(folder, 'backup'), elsewhere = join(folder, 'elsewhere');
for (const one of [backup, elsewhere]) mkdirSync(one);
writeFileSync(join(folder, 'photo.png'), png(640, 480));

// ---- the page ----

const blocks = blocksOf(page);

// ---- the server, the organization, the person ----

const sandbox = await startSandbox();
after(() => sandbox.stop());
const server = await startServer({ sandbox, ini: {
	engine: { request_timeout_ms: 4000 }, sandbox: { settle_ms: 1000 }, providers: { folder: join(opt, 'plugins') },
} });
after(() => server.stop());
const org = await server.organization();
const spare = JSON.parse(await server.command('key', 'create', org.app, '--json'));

async function person(url) {
	const browser = new Browser();
	await browser.get(url);
	await browser.submit();
	await browser.get(await sandbox.consent(browser.location, { account: 'robin', type: 'none' }));
	await browser.follow(server.url);
	const back = new URL(browser.location);
	assert.equal(back.origin + back.pathname, 'https://app.example.com/done');
	assert.deepEqual(['status', 'state'].map((name) => back.searchParams.get(name)), ['success', 'yours']);
}

const asked = {
	'xdg-open': (url) => person(url),
	systemctl: (verb, unit) => {
		assert.equal(unit, 'mypostshare');
		return { stop: () => server.end(), start: () => server.start() }[verb]();
	},
};

// ---- the shell ----

const san = basename(build).startsWith('build-') ? `SAN=${basename(build).slice('build-'.length)}` : '';
const prelude = `
xdg-open() { ask xdg-open "$@"; }
systemctl() { ask systemctl "$@"; }
sudo() {
	case $1 in
	make) "$@" DESTDIR='${root}' ;;
	useradd) [ -x /usr/sbin/useradd ] ;;
	*) "$@" ;;
	esac
}
make() { command make -s ${san} "$@"; }
mypostshare() { case $1 in --config) '${build}/mypostshare' "$@" ;; *) '${build}/mypostshare' --config '${server.config}' "$@" ;; esac; }
top=$PWD
`;

const filled = (text) => text
	.replaceAll('http://127.0.0.1:8080', server.url).replaceAll('/opt/mypostshare', opt).replaceAll('/srv/backup', backup)
	.replaceAll('/var/lib/mypostshare/', `${server.folder}/var/`).replaceAll('@photo.png', `@${join(folder, 'photo.png')}`)
	.replaceAll('app_…', org.app).replaceAll('key_…', spare.id).replaceAll('mps_test_…', org.test_key);

const shell = new Shell({ prelude, filled, asked, folder });
after(() => shell.stop());
const run = ({ heading, text }) => shell.run(`${heading === 'Add a platform' ? `cd '${elsewhere}'\n` : ''}${text}\ncd "$top"`);

// ---- the tests ----

test('the first screen: what it offers is in the Makefile, the picture is there', () => {
	assert.match(blocks[0].text, /^make demo .*\nmake test /);
	const makefile = readFileSync('Makefile', 'utf8');
	for (const [, target] of blocks[0].text.matchAll(/^make (\w+)/gm)) assert.match(makefile, new RegExp(`^${target}:`, 'm'));
});

test('every file and folder that the page names is there', () => {
	const name = /`((?:core|plugins|sdk|db|etc|tests|tools|\.ci)\/[\w./-]*)`|\]\(([\w./-]+)\)/g;
	const names = new Set([...page.matchAll(name)].map((m) => m[1] ?? m[2]));
	assert.ok(names.size > 8);
	for (const one of names) assert.ok(existsSync(one), `there is no ${one}`);
});

test('the states of a delivery are those of the reference', async () => {
	const openapi = (await org.test.get('/openapi.json')).json;
	const states = openapi.components.schemas.Delivery.properties.status.enum;
	const table = page.slice(page.indexOf('| state |'), page.indexOf('**Backup.**'));
	const named = [...table.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`(\w+)`/g)].map((m) => m[1]));
	assert.deepEqual(named.sort(), [...states].sort());
});

let last;
for (const block of blocks.slice(1)) {
	if (block.kind === 'sh') test(`line ${block.line}: ${block.heading}`, async () => last = await run(block));
	else if (block.kind === 'json') test(`line ${block.line}: the answer`, () => compare(JSON.parse(block.text), answerOf(last), '', filled));
	else test(`line ${block.line}: a block of a kind that is run`, () => assert.fail(`"${block.kind}" is neither sh nor json`));
}

test('the revoked key is revoked, the backup is a store, the new platform is there', async () => {
	const list = await server.command('key', 'list');
	assert.match(list, new RegExp(`${spare.id}.*revoked`));
	assert.equal(JSON.parse(readFileSync(join(backup, 'backup-1/manifest.json'))).manifest.format, 1);
	assert.ok(existsSync(join(server.folder, 'var/aside/mypostshare.db')));
	assert.ok((await org.test.get('/v1/platforms')).json.data.some((one) => one.id === 'example'));
});

const row = /^\| `(\[\[[^`]+\]\])` \| .* \| `(\w+)` \| `(\w+)` \|$/gm;
const rows = [...page.matchAll(row)].map(([, text, keyed, none]) => ({ text, keyed, none }));

// One account per row: an account's posts go out one after the other.
async function played({ text, status, name, connection, type }) {
	const made = await org.test.post('/v1/posts', { targets: [{ connectionId: connection.id }], text: `${name} ${text}` });
	assert.equal(made.status, 202, made.text);
	let now;
	await until(`${text} on ${type} is ${status}`, async () => {
		now = (await org.test.get(`/v1/posts/${made.json.id}?wait=1`)).json.deliveries[0];
		const final = ['published', 'failed', 'canceled', 'unconfirmed', 'awaiting_user'].includes(now.status);
		assert.ok(!final || now.status === status, `${text} on ${type} is ${now.status}, not ${status}: ${JSON.stringify(now.error)}`);
		return final;
	}, 40_000);
}

test('the table of magic texts', async () => {
	assert.equal(rows.length, page.match(/^\| `\[\[/gm).length, 'a row has another form');
	await org.test.post('/v1/end-users', { externalUserId: 'user-43' });
	await org.test.post(`/v1/apps/${org.app}/redirect-urls`, { url: 'http://127.0.0.1:9/back' });
	const bad = [];
	for (const type of ['keyed', 'none']) {		// few enough at once for the server's long polls
		const jobs = [];
		for (const row of rows) {
			const name = `${type}-${jobs.length}`;
			const connection = await connect(server, sandbox, org.test, 'user-43', name, type);
			jobs.push({ text: row.text, status: row[type], name, type, connection });
		}
		bad.push(...(await Promise.allSettled(jobs.map(played))).filter((one) => one.status === 'rejected').map((one) => one.reason.message));
	}
	assert.deepEqual(bad, []);
});

await done(180_000);
