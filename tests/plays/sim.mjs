// The simulator of the engine (tests/sim): seeds in two processes, 2,000 of them, or 200,000 with TEST_LONG.
// A failure names its seed; `build/sim SEED` shows it again, with everything that happened.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const program = join(process.env.BUILD ?? 'build', 'sim');
const seeds = process.env.TEST_LONG ? 200_000 : 2_000, slice = process.env.TEST_LONG ? 5_000 : 500;

function run(first, count = slice, more = {}) {
	return new Promise((resolve) => {
		const child = spawn(program, [`${first}`, `${count}`], { env: { ...process.env, ...more }, stdio: ['ignore', 'pipe', 'inherit'] });
		let output = '';
		child.stdout.setEncoding('utf8').on('data', (text) => output += text);
		child.on('error', (error) => { output += `not ok seeds from ${first}: ${error.message}\n`; });
		child.on('close', (status, signal) => {
			process.stdout.write(output);
			if (!/^(ok|not ok) /m.test(output)) console.log(`not ok seeds from ${first}: ${signal ?? `status ${status}`}`);
			resolve(status === 0);
		});
	});
}

let next = 1, good = true;
await Promise.all([0, 1].map(async () => {
	for (; next <= seeds && good; ) {
		const first = next;

		next += slice;
		good = await run(first) && good;
	}
}));
// F2: the same, and processes die by power loss inside a commit, of which the disk keeps any part.
good = await run(1, process.env.TEST_LONG ? 10_000 : 120, { SIM_POWER: '1' }) && good;
process.exit(good ? 0 : 1);
