// A new platform by somebody who has nothing but what `make install` installed: the template is copied, built with
// plugin.mk and pkg-config, tried on its conversations, dropped into the folder of a running server and reloaded.
//
// The one thing to know: nothing here may reach into this tree: the compiler sees the installed headers only, and the
// server, its host program and the tools are the installed ones.
import assert from 'node:assert/strict';
import { copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../lib/process.mjs';
import { build, startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';

const folder = mkdtempSync(join(tmpdir(), 'mps-sdk-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = join(folder, 'root'), opt = join(root, 'opt/mypostshare'), work = join(folder, 'example');
// What make hands down to its children would reach the plugin's make, too.
const env = { PKG_CONFIG_PATH: join(opt, 'lib/pkgconfig'), MAKEFLAGS: '', MFLAGS: '', MAKELEVEL: '0' };

async function good(program, args, options) {
	const { status, output } = await run(program, args, options);
	assert.equal(status, 0, `${program} ${args.join(' ')}: ${output.slice(-1500)}`);
	return output;
}

// What tools/install does for `make install`, with the build that is under test.
await good('tools/install', [build], { env: { ...env, DESTDIR: root, PREFIX: '/opt/mypostshare', UNITDIR: '/etc/systemd/system' } });
const server = await startServer({ ini: {
	providers: { folder: join(opt, 'plugins'), host_program: join(opt, 'libexec/mypostshare-host'),
		probe_program: join(opt, 'libexec/mypostshare-probe') },
} });
after(() => server.stop());
const org = await server.organization();
const make = (...args) => good('make', args, { cwd: work, env });
const listed = async () => (await org.live.get('/v1/platforms')).json.data.map((one) => one.id);

test('pkg-config finds what was installed, wherever it was put', async () => {
	const cflags = await good('pkg-config', ['--cflags', 'mypostshare'], { env });
	const include = cflags.trim().replace(/^-I/, '');
	for (const name of ['provider.h', 'ease.h']) assert.ok(existsSync(join(include, name)), `${include}/${name}`);
	for (const name of ['pluginmk', 'sdkdir', 'plugindir']) {
		const path = (await good('pkg-config', [`--variable=${name}`, 'mypostshare'], { env })).trim();
		assert.ok(path.startsWith(folder) && existsSync(path), `${name} is ${path}`);
	}
});

test('the template is copied and built outside of the tree', async () => {
	cpSync(join(opt, 'share/mypostshare/sdk/template'), work, { recursive: true });
	const output = await make();
	assert.ok(existsSync(join(work, 'example.so')), output);
	assert.doesNotMatch(output, /warning/);
	assert.ok(!output.includes(process.cwd()), `it was built with something of this tree: ${output}`);
	await make('check');
});

test('try is content with its conversations, and not with others', async () => {
	const words = await good(join(opt, 'bin/mypostshare-try'), ['./example.so', 'publish.json'], { cwd: work });
	assert.match(words, /^ok \.\/example\.so: example 0\.1/);
	assert.ok(words.match(/^ok publish\.json /gm).length >= 7, words);
	const other = readFileSync(join(work, 'publish.json'), 'utf8').replace('"remote_id": "12345678901234567890"', '"remote_id": "1"');
	writeFileSync(join(work, 'other.json'), other);
	const { status, output } = await run(join(opt, 'bin/mypostshare-try'), ['./example.so', 'other.json'], { cwd: work });
	assert.equal(status, 1);
	assert.match(output, /not ok other\.json/);
});

test('dropped into the folder of the running server, it is there after a reload', async () => {
	assert.ok(!(await listed()).includes('example'));
	const { pid } = server;
	copyFileSync(join(work, 'example.so'), join(opt, 'plugins/example.so'));
	assert.ok(!(await listed()).includes('example'), 'nobody has asked for it yet');
	assert.match(await server.command('reload'), /example: 0\.1 loaded/);
	const one = JSON.parse(await server.command('providers')).find((provider) => provider.id === 'example');
	assert.deepEqual([one.version, one.loaded, one.paused, one.words], ['0.1', true, false, '']);
	assert.ok((await listed()).includes('example'));
	const shown = (await org.live.get('/v1/platforms/example')).json;
	assert.deepEqual([shown.name, shown.text.max, shown.connect.method], ['Example', 500, 'form']);
	assert.ok(server.alive && server.pid === pid);
});

test('changed and built again, the new version takes over', async () => {
	const file = join(work, 'template.c');
	writeFileSync(file, readFileSync(file, 'utf8').replace('"example", "0.1"', '"example", "0.2"').replace('\\"max\\":500', '\\"max\\":600'));
	await make();
	await good('install', ['-m', '0755', join(work, 'example.so'), join(opt, 'plugins/example.so')]);
	assert.match(await server.command('reload', 'example'), /example: 0\.2 loaded/);
	assert.equal((await org.live.get('/v1/platforms/example')).json.text.max, 600);
});

test('make check names what a provider may not import', async () => {
	const file = join(work, 'template.c');
	writeFileSync(file, readFileSync(file, 'utf8').replace('"example", "0.2"', '"example", "0.3"')
		.replace('static mps_next failed(mps_op *op)\n{', 'int system(const char *);\nstatic mps_next failed(mps_op *op)\n{\n\tsystem("true");'));
	await make();
	const { status, output } = await run('make', ['check'], { cwd: work, env });
	assert.notEqual(status, 0);
	assert.match(output, /imports system/);
});

await done(120_000);
