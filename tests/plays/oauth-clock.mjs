// Tokens and the clock: renewing ahead of time, also of accounts that nobody uses, and clocks that jump.  Needs the build
// with failpoints, whose clocks a file puts forward.  The oracle is the log of a strict server's token endpoint.
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startOauth } from '../lib/oauth.mjs';
import { after, done, test, until } from '../lib/test.mjs';
import { throughout } from '../lib/wait.mjs';

const MINUTE = 60_000, HOUR = 60 * MINUTE, COUNT = 20;
const folder = mkdtempSync(join(tmpdir(), 'mps-clock-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const clock = join(folder, 'clock');

// How far our clocks are ahead of the world's.
function ahead(ms) {
	const bytes = Buffer.alloc(8), file = openSync(clock, 'r+');
	bytes.writeBigInt64LE(BigInt(ms));
	writeSync(file, bytes, 0, 8, 0);
	closeSync(file);
}
closeSync(openSync(clock, 'w'));
ahead(0);

const stage = await startOauth({ build: `${process.env.BUILD ?? 'build'}-fail`, env: { MPS_CLOCK: clock } });
after(() => stage.stop());
const { as, server } = stage;
const org = await stage.organization();
const connections = [];
for (let i = 0; i < COUNT; i++) connections.push(await org.connect(`person-${i}`));

const refreshes = () => as.token({ grant: 'refresh_token' });
// How often the tokens of each account were renewed after the first n calls.
async function renewed(n) {
	const spent = (await refreshes()).slice(n).map((r) => r.form.refresh_token);
	assert.equal(new Set(spent).size, spent.length, 'a refresh token was sent twice');
	return spent.length;
}

test('O-24: an hour of tokens is renewed between 80 % and the end, spread out, and not before', async () => {
	const at = await Promise.all(connections.map(async ({ id }) => {
		const { nextRefreshAt, tokenExpiresAt } = await org.connection(id);
		return Date.parse(tokenExpiresAt) - Date.parse(nextRefreshAt);
	}));
	for (const before of at) assert.ok(before >= 12 * MINUTE - 1000 && before <= 15 * MINUTE + 1000, `${before} ms before the end`);
	assert.ok(new Set(at.map((ms) => Math.round(ms / 1000))).size > COUNT / 3, 'all at the same time');
	ahead(40 * MINUTE);
	await throughout('nothing is renewed too early', async () => await renewed(0) === 0, 1500);
});

test('O-24, O-26: a clock that jumps an hour ahead: everybody once, also who is idle', async () => {
	ahead(HOUR + 40 * MINUTE);
	await until('all are renewed', async () => await renewed(0) === COUNT, 20_000);
	await throughout('and only once', async () => await renewed(0) === COUNT, 1500);
	for (const { id } of connections) assert.equal((await org.connection(id)).status, 'active');
});

test('O-24: a clock that is set back an hour, and forward again: nobody', async () => {
	const n = (await refreshes()).length;
	for (const ms of [40 * MINUTE, HOUR + 40 * MINUTE]) {
		await server.kill();
		ahead(ms);
		await server.start();
		for (const { id } of connections.slice(0, 5)) await org.ends(await org.post(id, `at ${ms}`), 'published');
		await throughout('nothing is renewed', async () => await renewed(n) === 0, 1000);
	}
});

await done(60_000);
