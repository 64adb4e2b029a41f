// Debian's Chromium without a screen, driven over its debugging protocol: for what only a real browser can tell
// (content security policy, form-action, cookies, how a page looks).
//
// The one thing to know: it starts with an empty profile that is removed at the end, and a page's violations, failed
// requests and console errors are collected in page.faults.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, tail } from './process.mjs';
import { sleep, until } from './wait.mjs';

const program = process.env.CHROMIUM ?? '/usr/bin/chromium';

export class Chrome {
	// hosts: { 'name': port }: names that lead to a port of this machine, whose certificate nobody signed.
	static async start({ hosts = {} } = {}) {
		if (!existsSync(program)) throw new Error(`there is no Chromium at ${program}; run: tools/setup tests`);
		const chrome = new Chrome();
		chrome.folder = mkdtempSync(join(tmpdir(), 'mps-chrome-'));
		chrome.child = new Child(program, ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
			'--disable-background-networking', '--disable-component-update', '--hide-scrollbars', '--remote-debugging-port=0',
			...Object.keys(hosts).length ? ['--ignore-certificate-errors', '--host-resolver-rules=' +
				Object.entries(hosts).map(([name, port]) => `MAP ${name} 127.0.0.1:${port}`).join(',')] : [],
			`--user-data-dir=${chrome.folder}`, 'about:blank']);
		const [, url] = await until('Chromium tells its address', () => {
			if (chrome.child.ended) throw new Error(`Chromium ended: ${tail(chrome.child.output)}`);
			return /DevTools listening on (ws:\S+)/.exec(chrome.child.output);
		}, 30_000);
		await chrome.connect(url);
		return chrome;
	}

	async connect(url) {
		this.waiting = new Map();
		this.pages = new Map();
		this.number = 0;
		this.socket = new WebSocket(url);
		this.socket.onmessage = ({ data }) => this.heard(JSON.parse(data));
		await new Promise((resolve, reject) => { this.socket.onopen = resolve; this.socket.onerror = reject; });
	}

	heard({ id, result, error, method, params, sessionId }) {
		if (id === undefined) return this.pages.get(sessionId)?.event(method, params);
		const { resolve, reject } = this.waiting.get(id);
		this.waiting.delete(id);
		error ? reject(new Error(error.message)) : resolve(result);
	}

	send(method, params = {}, sessionId = undefined) {
		const id = ++this.number;
		this.socket.send(JSON.stringify({ id, method, params, sessionId }));
		return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
	}

	// A page in a profile of its own.  options: script (false: none may run), width, height, dark.
	async page({ script = true, width = 1440, height = 900, dark = false } = {}) {
		const { browserContextId } = await this.send('Target.createBrowserContext');
		const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId });
		const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
		const page = new Page(this, sessionId);
		this.pages.set(sessionId, page);
		for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.send(`${domain}.enable`);
		await page.look({ width, height, dark });
		if (!script) await page.send('Emulation.setScriptExecutionDisabled', { value: true });
		return page;
	}

	async stop() {
		this.socket.close();
		await this.child.stop('SIGTERM');
		rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
	}
}

class Page {
	constructor(chrome, session) {
		Object.assign(this, { chrome, session, faults: [], loads: 0 });
	}

	send(method, params) { return this.chrome.send(method, params, this.session); }

	event(method, params) {
		if (method === 'Page.loadEventFired') this.loads++;
		if (method === 'Log.entryAdded' && params.entry.level === 'error') this.faults.push(params.entry.text);
		if (method === 'Runtime.exceptionThrown') this.faults.push(params.exceptionDetails.text);
		if (method === 'Network.loadingFailed' && params.blockedReason) this.faults.push(`${params.type}: ${params.blockedReason}`);
	}

	look({ width, height = 900, dark = false }) {
		return Promise.all([
			this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 720 }),
			this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] }),
		]);
	}

	// Does something that loads a page, and waits for the load and for test() of the page's address.
	async loads_by(act, test = () => true) {
		const before = this.loads;
		await act();
		try {
			await until('the page has loaded', async () => this.loads > before && test(await this.url()), 20_000);
		} catch (error) {
			throw new Error(`${error.message}, at ${await this.url()} ${this.faults.join('; ')}`);
		}
	}

	go(url) { return this.loads_by(() => this.send('Page.navigate', { url })); }

	// The value of an expression; runs beside the page, so also where the page's own scripts may not.  A page that goes
	// away meanwhile is asked again when the next one is there.
	async eval(expression) {
		for (let tries = 0; ; tries++) {
			try {
				return await this.evaluate(expression);
			} catch (error) {
				if (tries === 20) throw error;
				await sleep(50);
			}
		}
	}

	async evaluate(expression) {
		const { frameTree } = await this.send('Page.getFrameTree');
		const { executionContextId } = await this.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
		const { result } = await this.send('Runtime.evaluate', { expression, contextId: executionContextId, returnByValue: true });
		return result.value;
	}

	url() { return this.eval('location.href'); }
	text() { return this.eval('document.body.innerText'); }

	shows(words) { return until(`the page shows ${words}`, async () => words.test(await this.text())); }

	// A click as a person's, in the middle of the first element that the selector finds.
	async click(selector) {
		const at = await this.eval(`(() => { const e = document.querySelector(${JSON.stringify(selector)}); e.scrollIntoView({ block: 'center' });
			const r = e.getBoundingClientRect(); return { x: r.x + r.width / 2, y: r.y + r.height / 2 }; })()`);
		for (const type of ['mousePressed', 'mouseReleased'])
			await this.send('Input.dispatchMouseEvent', { type, ...at, button: 'left', clickCount: 1 });
	}

	async type(selector, text) {
		await this.eval(`(() => { const e = document.querySelector(${JSON.stringify(selector)}); e.focus(); e.select(); })()`);
		await this.send('Input.insertText', { text });
	}

	// The page is wider than the window: something sticks out.
	overflows() { return this.eval('document.documentElement.scrollWidth > document.documentElement.clientWidth'); }

	async screenshot(file) {
		const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
		writeFileSync(file, Buffer.from(data, 'base64'));
	}
}
