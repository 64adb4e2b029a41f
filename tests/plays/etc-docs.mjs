// What etc/ tells an operator is so: the example of etc/providers.d/README is a file that the server takes, and the
// settings it lists are those that the providers here read.
//
// The one thing to know: the sources are read as text; a setting is a string literal "setting.NAME" of a provider, or
// one that the core puts into the document of a client that is known by its address.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';

const read = (path) => readFileSync(path, 'utf8');
const page = read('etc/providers.d/README');
const folder = mkdtempSync(join(tmpdir(), 'mps-etc-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('the example, without its marks, is taken', () => {
	const lines = page.split('\n').filter((line) => line.startsWith('\t#')).map((line) => line.slice(3));
	// what is left after a mark: keys, the section, and words that begin with a capital
	const ini = lines.map((line) => /^\[|^[a-z][\w.-]* = /.test(line) ? line : `# ${line}`).join('\n');
	assert.ok(ini.split('\n').filter((line) => !line.startsWith('#')).length >= 8, ini);
	mkdirSync(join(folder, 'etc/providers.d'), { recursive: true });
	writeFileSync(join(folder, 'etc/mypostshare.ini'), '');
	writeFileSync(join(folder, 'etc/providers.d/example.ini'), `${ini}\n`);
	const words = ['--config', join(folder, 'etc/mypostshare.ini'), 'check-config'];
	const run = () => execFileSync(join(build, 'mypostshare'), words, { stdio: 'pipe' });
	run();
	writeFileSync(join(folder, 'etc/providers.d/example.ini'), `${ini}\nclient_idd = x\n`);
	assert.throws(run, /client_idd/, 'what is wrong in it is told');
});

function sourcesOf(id) {
	const parts = existsSync(`plugins/${id}`) ? readdirSync(`plugins/${id}`).map((name) => read(`plugins/${id}/${name}`)) : [];
	return [read(`plugins/${id}.c`), ...parts].join('\n');
}

function documented(id) {
	const rows = page.split('\n'), at = rows.findIndex((line) => line.startsWith(`\t${id} `)), names = [];
	for (let i = at; at >= 0 && /^\t/.test(rows[i] ?? '') && (i === at || rows[i].startsWith('\t '.padEnd(9))); i++)
		names.push(...[...rows[i].matchAll(/setting\.(\w+)/g)].map((m) => m[1]));
	return names.sort();
}

test('the settings of every provider are listed, and no others', () => {
	const document = read('core/api/client.c'), served = ['client_name', 'logo_uri', 'tos_uri', 'policy_uri'];
	for (const name of served) assert.ok(document.includes(`"${name}"`), `core/api/client.c does not know ${name}`);
	let count = 0;
	for (const id of readdirSync('plugins').filter((name) => name.endsWith('.c')).map((name) => name.slice(0, -2))) {
		const text = sourcesOf(id), names = new Set([...text.matchAll(/"setting\.(\w+)"/g)].map((m) => m[1]));
		if (/\\"client\\":\\"metadata\\"/.test(text)) for (const name of served) names.add(name);
		assert.deepEqual(documented(id), [...names].sort(), id);
		count += names.size;
	}
	assert.ok(count >= 7, `${count} settings were found`);
});

await done(30_000);
