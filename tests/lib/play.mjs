// A play: a file under tests/plays that runs by itself and prints one line per scene, `ok NAME` or `not ok NAME: words`,
// as the unit tests do.  Its exit status is 1 when a scene failed or none ran.
//
//   scene('what must hold', async () => { assert... });    in order, each after the one before has ended
//   after(() => server.stop());                             at the end, last given first, whatever happened
//   await curtain();                                        runs them; the file's last line
//
// A report of a sanitizer in the output of any child fails the play, whatever its scenes say.
import { seenReports } from './reports.mjs';

const scenes = [], ends = [];

export const scene = (name, run) => scenes.push({ name, run });
export const after = (end) => ends.unshift(end);

// Waits until test() gives something true, and gives it back; the words say what never came.
export async function until(words, test, ms = 30_000) {
	for (const end = Date.now() + ms; ;) {
		const got = await test();
		if (got) return got;
		if (Date.now() > end) throw new Error(`after ${ms} ms still not: ${words}`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

async function perform({ name, run }, ms) {
	let timer;
	const late = new Promise((_, reject) => timer = setTimeout(() => reject(new Error(`no end after ${ms} ms`)), ms));
	try {
		await Promise.race([run(), late]);
		console.log(`ok ${name}`);
		return true;
	} catch (error) {
		console.log(`not ok ${name}: ${String(error.stack ?? error).replace(/\s*\n\s*/g, ' | ')}`);
		return false;
	} finally {
		clearTimeout(timer);
	}
}

export async function curtain(ms = 180_000) {
	let good = 0;
	for (const one of scenes) good += await perform(one, ms);
	for (const end of ends) await end();
	for (const report of seenReports()) console.log(`not ok no report of a sanitizer: ${report}`);
	console.log(`# ${good} passed, ${scenes.length - good} failed`);
	process.exit(good && good === scenes.length && !seenReports().length ? 0 : 1);
}
