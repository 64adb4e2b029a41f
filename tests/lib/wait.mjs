// Waiting: for a condition, with a deadline, never for a time and a hope.
export { until } from './play.mjs';

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Fails if test() gives something false at any moment within ms: for what must not happen.
export async function throughout(words, test, ms) {
	for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
		if (!await test()) throw new Error(`not for all of ${ms} ms: ${words}`);
	}
}
