// The bench at its smallest: every part works, finds nothing wrong and tells every figure; never how large it is.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../lib/process.mjs';
import { done, test } from '../lib/test.mjs';

const build = process.env.BUILD ?? 'build';
const result = join(build, 'bench-tiny.json');
const keys = ['accept_posts_per_s', 'accept_p99_ms', 'accept_ceiling_per_s', 'list_per_s', 'deliveries_per_s', 'deliveries_ceiling_per_s',
	'due_lateness_p99_ms', 'steps_per_s', 'idle_rss_mb', 'host_rss_mb', 'start_ms', 'start_100k_ms'];

test('every part ends well and every figure is there', async () => {
	rmSync(result, { force: true });
	const { status, output } = await run(join(build, 'bench'), [build, '--tiny']);
	assert.equal(status, 0, output);
	const figures = JSON.parse(readFileSync(result, 'utf8'));
	for (const key of keys)
		assert.ok(Number.isFinite(figures[key]) && figures[key] > 0, `${key} is ${figures[key]}`);
	assert.match(output, /^what +measured .*ceiling/m);
	rmSync(result);
});

test('the questions to a large store are answered', async () => {
	const { status, output } = await run(join(build, 'bench'), [build, '--tiny', 'scale']);
	assert.equal(status, 0, output);
	const figures = JSON.parse(readFileSync(result, 'utf8'));
	for (const key of ['claim_due_us', 'list_connection_cpu_us', 'accept_cpu_us'])
		for (const size of ['small', 'large'])
			assert.ok(figures[`scale_${size}_${key}`] > 0, `scale_${size}_${key} is ${figures[`scale_${size}_${key}`]}`);
	rmSync(result);
});

test('a part that is not there is refused', async () => {
	const { status, output } = await run(join(build, 'bench'), [build, '--tiny', 'nothing']);
	assert.equal(status, 2);
	assert.match(output, /^usage: bench/m);
});

await done();
