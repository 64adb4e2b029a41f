// F14: a second server on the data of a first one, by every way to the same files: it refuses at once, naming the file
// and who has it, and the first one never notices.
import assert from 'node:assert/strict';
import { cpSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Child, freePort, run, tail } from '../lib/process.mjs';
import { startServer } from '../lib/server.mjs';
import { after, done, test } from '../lib/test.mjs';

const BOUND = 5000;		// the design says within one second; a slow machine is given five

const first = await startServer();
after(() => first.stop());
const data = join(first.folder, 'var');
const org = await first.organization();

// The ini of the first server with other ports and another data folder.
async function iniWith(folder, name) {
	const file = join(first.folder, 'etc', `${name}.ini`);
	const text = readFileSync(first.config, 'utf8').replace(/^listen = 127.0.0.1:\d+$/gm, '').replace(/\[server\]\n/,
		`[server]\nlisten = 127.0.0.1:${await freePort()}\ndata_folder = ${folder}\ncontrol_socket = ${join(first.folder, `${name}.sock`)}\n`);
	writeFileSync(file, text.replace(/\[sandbox\]\n/, `[sandbox]\nlisten = 127.0.0.1:${await freePort()}\n`));
	return file;
}

async function refuses(folder, words, ...command) {
	const config = await iniWith(folder, 'second'), begun = Date.now();
	const child = new Child(`${first.build}/mypostshare`, ['--config', config, ...command]);
	const late = setTimeout(() => child.signal('SIGKILL'), 20_000);
	const { status, signal } = await child.end;
	clearTimeout(late);
	assert.equal(status, 1, `${command} on ${folder}: ${signal ?? status}: ${tail(child.output)}`);
	assert.ok(Date.now() - begun < BOUND, `it took ${Date.now() - begun} ms`);
	for (const word of words) assert.ok(child.output.includes(word), `no "${word}" in: ${tail(child.output)}`);
	const { status: made } = await org.live.post('/v1/end-users', { externalUserId: `user ${Math.random()}` });
	assert.equal(made, 201, 'the first one is disturbed');
}

for (const command of ['serve', 'migrate']) {
	test(`F14 ${command} on the data of a running server`, () => refuses(data, [join(data, 'lock'), String(first.pid)], command));

	test(`F14 ${command} by a symbolic link to the folder`, async () => {
		const link = join(first.folder, `link-${command}`);
		symlinkSync(data, link);
		await refuses(link, [join(link, 'lock'), String(first.pid)], command);
	});

	test(`F14 ${command} by a hard link of the file in another folder`, async () => {
		const other = join(first.folder, `hard-${command}`);
		mkdirSync(other, { mode: 0o700 });
		linkSync(join(data, 'mypostshare.db'), join(other, 'mypostshare.db'));
		await refuses(other, [join(other, 'mypostshare.db'), 'in use'], command);
	});

	test(`F14 ${command} by a symbolic link to the file in another folder`, async () => {
		const other = join(first.folder, `soft-${command}`);
		mkdirSync(other, { mode: 0o700 });
		symlinkSync(join(data, 'mypostshare.db'), join(other, 'mypostshare.db'));
		await refuses(other, [join(other, 'mypostshare.db')], command);
	});

	test(`F14 ${command} after somebody renamed the folder`, async () => {
		const moved = join(first.folder, `moved-${command}`);
		renameSync(data, moved);
		try {
			await refuses(moved, ['in use'], command);
		} finally {
			renameSync(moved, data);
		}
	});
}

for (const command of ['serve', 'migrate']) {
	test(`F14 ${command} after somebody removed the lock`, async () => {
		rmSync(join(data, 'lock'), { force: true });
		await refuses(data, [join(data, 'mypostshare.db'), 'in use'], command);
		rmSync(join(data, 'lock'), { force: true });
	});
}

test('F14 the operator is refused as well where the socket is gone', async () => {
	const config = await iniWith(data, 'other');
	const { status, output } = await run(`${first.build}/mypostshare`, ['--config', config, 'org', 'list']);
	assert.equal(status, 1, output);
	assert.match(output, /in use/);
});

test('F14 a copy of the folder is a store of its own, whatever pid its lock tells', async () => {
	await first.end();
	const copy = join(first.folder, 'copy');
	cpSync(data, copy, { recursive: true });
	await first.start();
	writeFileSync(join(copy, 'lock'), `${first.pid}\n`);
	const { status, output } = await run(`${first.build}/mypostshare`, ['--config', await iniWith(copy, 'copy'), 'migrate']);
	assert.equal(status, 0, output);
});

await done(60_000);
