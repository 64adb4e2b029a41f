// What the tests have run: per file of core/ its lines and branches, as gcov counted them in the builds of COV=1.
//
//   table.mjs build-cov build-cov-fail    writes build-cov/coverage.txt, prints the files of tests/coverage/files.txt,
//                                         and fails if one of them is below its share of branches
//
// The measure: gcc -O0, so that no branch is merged away or made up by the optimiser; C without exceptions, so gcov's
// branches are those of the source: both arms of every operand of if, while, for, ?:, && and ||, and every label of a
// switch.  A branch counts when any test of either build took it.  Left out are the arms of assert(), the branch that gcc
// makes behind a variable that is cleaned up (its line has no operator of its own), and the lines of left-out.txt, each
// with its reason.
//
// The one thing to know: a process that is killed or aborts writes no counts, so what is covered is what was run by
// processes that came to a proper end.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const builds = process.argv.slice(2).filter((name) => existsSync(name));
const top = resolve('.');

// ---- reading ----

const counted = builds.flatMap((build) => readdirSync(build, { recursive: true }).filter((name) => name.endsWith('.gcda'))
	.map((name) => join(build, name)).filter((name) => name.startsWith(join(build, 'obj/core/'))));
if (!counted.length) {
	console.error('nothing was counted: run make coverage');
	process.exit(1);
}

// files: name -> line number -> { count, branches: [taken] }
const files = new Map();

function merge(name, { line_number: number, count, branches }) {
	const lines = files.get(name) ?? files.set(name, new Map()).get(name);
	const line = lines.get(number);
	const taken = branches.map((branch) => branch.count);
	if (!line) lines.set(number, { count, branches: taken });
	else {
		line.count += count;
		if (taken.length === line.branches.length) taken.forEach((n, i) => line.branches[i] += n);
		else if (taken.length > line.branches.length) line.branches = taken;	// a failpoint, in one of the builds
	}
}

for (let i = 0; i < counted.length; i += 40) {
	const output = execFileSync('gcov', ['--json-format', '--stdout', '--branch-probabilities', ...counted.slice(i, i + 40)],
		{ encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] });
	for (const text of output.split('\n').filter(Boolean)) {
		for (const { file, lines } of JSON.parse(text).files) {
			const name = relative(top, resolve(file));
			if (name.startsWith('core/') && name.endsWith('.c')) for (const line of lines) merge(name, line);
		}
	}
}

// ---- what does not count ----

const rows = (name) => readFileSync(join('tests/coverage', name), 'utf8').split('\n').filter((line) => line && !line.startsWith('#'));
const leftOut = rows('left-out.txt').map((row) => {
	const [file, text, reason] = row.split(/\s+\|\s+/);
	return { file, text, reason, used: false };
});

function counts(name, source, number) {
	const text = (source[number - 1] ?? '').trim();
	if (/\bassert\(/.test(text) || (/_AUTO\b/.test(text) && !/[?|]|&&/.test(text))) return false;
	const row = leftOut.find((one) => one.file === name && text === one.text);
	if (row) row.used = true;
	return !row;
}

// ---- sums ----

const share = (part, whole) => whole ? 100 * part / whole : 100;

function sum(name, lines) {
	const source = readFileSync(name, 'utf8').split('\n');
	const one = { name, lines: 0, linesRun: 0, branches: 0, taken: 0, missing: [] };
	for (const [number, { count, branches }] of [...lines].sort(([a], [b]) => a - b)) {
		one.lines++;
		if (count) one.linesRun++;
		if (!counts(name, source, number)) continue;
		one.branches += branches.length;
		one.taken += branches.filter(Boolean).length;
		const never = branches.flatMap((n, i) => n ? [] : [i]);
		const words = `${never.join(' ')} of ${branches.length} never taken: ${(source[number - 1] ?? '').trim()}`;
		if (never.length) one.missing.push(`${name}:${number}: ${words}`);
	}
	return one;
}

const all = [...files].filter(([name]) => existsSync(name)).map(([name, lines]) => sum(name, lines))
	.sort((a, b) => a.name < b.name ? -1 : 1);
const row = (one) => `${one.name.padEnd(34)} ${String(one.lines).padStart(5)} ${share(one.linesRun, one.lines).toFixed(1).padStart(6)}`
	+ ` ${String(one.branches).padStart(9)} ${share(one.taken, one.branches).toFixed(1).padStart(6)}`;
const head = `${'file'.padEnd(34)} lines      %  branches      %`;
const total = (list, name) => list.reduce((t, one) => {
	for (const key of ['lines', 'linesRun', 'branches', 'taken']) t[key] += one[key];
	return t;
}, { name, lines: 0, linesRun: 0, branches: 0, taken: 0 });

// ---- the named files ----

const failures = [], named = [];
for (const line of rows('files.txt')) {
	const [name, least] = line.split(/\s+/), one = all.find((file) => file.name === name);
	if (!one) failures.push(`${name}: no counts`);
	else {
		named.push(one);
		const got = share(one.taken, one.branches);
		if (got < Number(least)) failures.push(`${name}: ${got.toFixed(1)} % of the branches, ${least} % are asked`);
	}
}
for (const one of leftOut) {
	if (!one.reason) failures.push(`tests/coverage/left-out.txt: ${one.file}: no reason`);
	else if (!one.used) failures.push(`tests/coverage/left-out.txt: ${one.file} has no line "${one.text}"`);
}

const table = (list, words) => [head, ...list.map(row), row(total(list, words)), ''].join('\n');
writeFileSync(join(builds[0], 'coverage.txt'),
	[table(named, 'these files'), table(all, 'all of core'), ...all.flatMap((one) => one.missing), ''].join('\n'));
console.log(table(named, 'these files'));
console.log(`all of core: ${row(total(all, '')).trim()}; the branches that nobody took: ${join(builds[0], 'coverage.txt')}`);
for (const words of failures) console.log(`not ok coverage: ${words}`);
if (!failures.length) console.log('ok coverage');
process.exit(failures.length ? 1 : 0);
