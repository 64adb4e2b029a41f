// Two authorization servers behind one platform, and one of them is malicious: it sends the person on to the honest one, as
// if we had asked there, to get the honest server's code out of us.  The oracle is what the malicious one was given.
import assert from 'node:assert/strict';
import { startMixer } from '../counterparts/authority.mjs';
import { startOauth } from '../lib/oauth.mjs';
import { after, done, test } from '../lib/test.mjs';

const mixer = await startMixer('mps');
after(() => mixer.stop());
const stage = await startOauth({ hosts: { [mixer.name]: mixer.url } });
after(() => stage.stop());
const { as } = stage;
mixer.honest = as;
const org = await stage.organization();

// The victim begins at the malicious server, and comes back with the honest one's answer, changed by change().
async function mixed(change = (callback) => callback) {
	const session = await org.session(), told = (await as.token()).length;
	const { browser, callback, to } = await org.answered(session, 'victim', { fields: { server: mixer.name } });
	assert.ok(to.startsWith(mixer.url), to);
	assert.match(callback, /[?&]code=/, 'the honest server gave a code');
	await org.finish(browser, change(callback));
	assert.equal((await as.token()).length, told, 'nothing was exchanged at the honest server');
	assert.deepEqual(mixer.seen.filter((r) => r.path !== '/auth'), [], 'nothing was told to the malicious one');
	assert.equal((await org.connections()).length, 0);
	return { session, browser };
}

test('O-05: a code of another server than the one that was asked is given to nobody', async () => {
	const { session, browser } = await mixed();
	assert.equal(await org.status(session), 'failed');
	assert.equal(browser.page.status, 422);
});

test('O-05: also when it does not say of which server it is', async () => {
	const { session } = await mixed((callback) => callback.replace(/&iss=[^&]*/, ''));
	assert.equal(await org.status(session), 'failed');
});

test('O-05: also when the names are only alike', async () => {
	for (const iss of [`https://${mixer.name}/`, `https://${mixer.name.toUpperCase()}`, `http://${mixer.name}`, `https://${mixer.name}:443`,
		`https://${mixer.name}%00`, '', 'null']) {
		const { session } = await mixed((callback) => callback.replace(/iss=[^&]*/, `iss=${encodeURIComponent(iss)}`));
		assert.equal(await org.status(session), 'failed', iss);
	}
});

test('O-05: the honest server is connected to all the same', async () => {
	const session = await org.session();
	const { browser, callback } = await org.answered(session, 'honest');
	await org.finish(browser, callback);
	assert.match(browser.location, /status=success/);
	assert.equal((await org.connections()).length, 1);
});

await done(60_000);
