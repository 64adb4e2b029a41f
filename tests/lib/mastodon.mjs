// Two instances and the product, as plays about Mastodon need them: one of today, and an older server of another make
// that speaks the same API and ignores keys.  People connect through the hosted page.
//
//   const stage = await startStage();
//   await stage.connect('ada', stage.one);             an end user, and the account of the same name there
//   await stage.ended(await stage.post('ada', 'Hello'))
import assert from 'node:assert/strict';
import { compatible, startMastodon } from '../counterparts/mastodon.mjs';
import { Browser } from './http.mjs';
import { startServer } from './server.mjs';
import { until } from './wait.mjs';

export const HOME = 'http://127.0.0.1:9/home';
const PASSWORD = 'correct horse battery staple';

export async function startStage() {
	const one = await startMastodon({ host: 'one.example' }), old = await startMastodon({ host: 'old.example', ...compatible });
	const ini = `[egress]
allow = ${new URL(one.url).host} ${new URL(old.url).host}
[provider.mastodon]
base_url.one.example = ${one.url}
base_url.old.example = ${old.url}
setting.website = https://product.example/
`;
	const server = await startServer({ ini });
	const stage = new Stage({ one, old, server });
	Object.assign(stage, await server.organization('Real'));
	await stage.call('POST', `/v1/apps/${stage.app}/redirect-urls`, { url: HOME });
	return stage;
}

class Stage {
	constructor(parts) { Object.assign(this, parts, { users: new Set() }); }

	async call(method, route, body, headers) {
		const reply = await this.live(method, route, body, headers);
		assert.ok(reply.status < 300, `${method} ${route}: ${reply.status} ${reply.text}`);
		return reply.json;
	}

	async session(user) {
		if (!this.users.has(user)) await this.call('POST', '/v1/end-users', { externalUserId: user });
		this.users.add(user);
		return this.call('POST', '/v1/connect-sessions', { externalUserId: user, platform: 'mastodon', redirectUrl: HOME });
	}

	// Names the instance on the hosted page; the browser then stands before the instance's own page, or where it ended.
	async name(session, instance, browser = new Browser()) {
		await browser.get(session.connectUrl);
		await browser.submit({ instance: instance.host ?? instance }, browser.forms.findIndex((f) => 'instance' in f.fields));
		await this.settle(browser, instance.url ?? 'nowhere:');
		if (browser.location) await browser.get(browser.location);
		return browser;
	}

	// Follows our own pages until they lead to a place that begins with `to`, or home, or stay.
	settle(browser, to) {
		return until('our pages come to an end', async () => {
			const { location, page } = browser, again = page.headers.refresh ?? /http-equiv="refresh"/i.test(page.text);
			if (location ? location.startsWith(HOME) || location.startsWith(to) : !again) return true;
			await browser.get(location ?? browser.url);
			return false;
		}, 20_000);
	}

	// Signs in at the instance and decides; gives the parameters that our page brings home.
	async decide(browser, username, { password = PASSWORD, decision = 'authorize' } = {}) {
		await browser.submit({ username, password, decision });
		if (!browser.location) return null;
		await this.settle(browser, HOME);
		return new URL(browser.location ?? 'about:blank').searchParams;
	}

	async connect(user, instance) {
		if (!instance.accounts.has(user)) instance.account(user, PASSWORD);
		const browser = await this.name(await this.session(user), instance);
		const words = await this.decide(browser, user);
		assert.equal(words?.get('status'), 'success', `${browser.location} ${browser.page.text}`);
		return this.call('GET', `/v1/connections/${words.get('connectionId')}`);
	}

	// A media item that is ready.
	async file(bytes, type, filename) {
		const item = await this.call('POST', '/v1/media', bytes, { 'content-type': type, 'x-filename': filename });
		return until(`the item ${filename} is ready`, async () => {
			const now = await this.call('GET', `/v1/media/${item.id}`);
			assert.notEqual(now.status, 'failed', JSON.stringify(now));
			return now.status === 'ready' && now;
		});
	}

	post(user, text, more = {}) {
		return this.call('POST', '/v1/posts', { externalUserId: user, platforms: ['mastodon'], text, ...more });
	}

	// The delivery when it has come to rest; unconfirmed is a rest, unless `sure`: then it is looked for until it is told.
	ended(made, { sure = false, ms = 40_000 } = {}) {
		let asked = 0;		// the instance counts how often we look
		return until(`the delivery of ${made.id} ends`, async () => {
			const [delivery] = (await this.call('GET', `/v1/posts/${made.id}`)).deliveries;
			if (delivery.status !== 'unconfirmed') return ['published', 'failed', 'blocked'].includes(delivery.status) && delivery;
			if (sure && Date.now() > asked + 4000) {
				await this.live('POST', `/v1/deliveries/${delivery.id}/reconcile`, {});
				asked = Date.now();
			}
			return !sure && delivery;
		}, ms);
	}

	// All deliveries of a post with a thread or a first comment, in their order, when none is on its way.
	parts(made, { sure = false, ms = 60_000 } = {}) {
		let asked = 0;
		return until(`the parts of ${made.id} end`, async () => {
			const { deliveries } = await this.call('GET', `/v1/posts/${made.id}`), lost = deliveries.find((d) => d.status === 'unconfirmed');
			if (sure && lost && Date.now() > asked + 4000) {
				await this.live('POST', `/v1/deliveries/${lost.id}/reconcile`, {});
				asked = Date.now();
			}
			return deliveries.every((d) => ['published', 'failed', 'skipped', 'blocked'].includes(d.status)) && deliveries;
		}, ms);
	}

	// Published, and the only one of this text on the instance.
	async once(made, instance, text, options) {
		const delivery = await this.ended(made, options);
		assert.equal(delivery.status, 'published', JSON.stringify(delivery));
		assert.deepEqual(instance.ledger(text).map((s) => s.id), [delivery.remotePostId]);
		return delivery;
	}

	async stop() {
		await this.server.stop();
		await this.one.stop();
		await this.old.stop();
	}
}
