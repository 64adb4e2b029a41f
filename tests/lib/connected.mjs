// An account that is connected, as a play about posts needs it: the whole way through the hosted page, in test mode.
//
//   const org = await connected(server, sandbox, ['alice', ['dora', 'none']]);
//   org.test, org.live                       clients of the API
//   org.connections.alice                    the connection as the API shows it; the end user is org.user ('ada')
import { Browser } from './http.mjs';

const back = 'http://127.0.0.1:9/back';

async function made(promise, status) {
	const answer = await promise;
	if (answer.status !== status) throw new Error(`${answer.status}, not ${status}: ${answer.text}`);
	return answer.json;
}

// One account through the page; type: how the platform finds a lost post again.
export async function connect(server, sandbox, client, user, account, type = '') {
	const session = await made(client.post('/v1/connect-sessions', { externalUserId: user, platform: 'sandbox', redirectUrl: back }), 201);
	const browser = new Browser();
	await browser.get(session.connectUrl);
	await browser.submit();
	await browser.get(await sandbox.consent(browser.location, { account, type }));
	await browser.follow(server.url);
	const id = new URL(browser.location).searchParams.get('connectionId');
	return made(client.get(`/v1/connections/${id}`), 200);
}

export async function connected(server, sandbox, accounts, user = 'ada') {
	const org = await server.organization();
	Object.assign(org, { user, connections: {} });
	await made(org.test.post(`/v1/apps/${org.app}/redirect-urls`, { url: back }), 201);
	await made(org.test.post('/v1/end-users', { externalUserId: user }), 201);
	for (const one of accounts) {
		const [name, type] = [one].flat();
		org.connections[name] = await connect(server, sandbox, org.test, user, name, type);
	}
	return org;
}
