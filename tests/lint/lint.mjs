// Static analysis: clang-tidy, cppcheck and gcc -fanalyzer over core, sdk and plugins, against what was accepted.
//
//   lint.mjs build                  all three
//   lint.mjs build cppcheck         one of them
//   lint.mjs build --rows           all findings as rows of accepted.txt, without reasons
//
// A finding is a file, a check and a message; lines are left out, because they drift.  tests/lint/accepted.txt names each
// one that stays, with its reason.  A finding that is not there fails, and so does a row of it that nothing finds any more.
//
// The one thing to know: what a tool said of a file is kept in BUILD/lint under a hash of that file with its headers and of
// the tool's own words, so a second run looks only at what has changed.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const [build = 'build', ...words] = process.argv.slice(2);
const rowsOnly = words.includes('--rows'), wanted = words.filter((word) => word !== '--rows');
const top = resolve('.');
const tracked = execFileSync('git', ['ls-files', 'core', 'sdk', 'plugins', 'tests/lint', '.clang-tidy'], { encoding: 'utf8' }).split('\n');
const sources = tracked.filter((name) => /^(core|sdk|plugins)\/.*\.c$/.test(name) && existsSync(name));

// A file with all that it includes of ours, as text.
const whole = (name, seen = new Set()) => {
	if (seen.has(name)) return '';
	seen.add(name);
	const text = readFileSync(name, 'utf8');
	const included = [...text.matchAll(/^#include "([^"]+)"/gm)].flatMap(([, path]) =>
		[path, join('sdk', path), join(dirname(name), path)].filter((one) => existsSync(one)).slice(0, 1));
	return text + included.map((one) => whole(one, seen)).join('');
};
const flags = ['-std=c17', '-I.', `-I${build}`, '-Isdk', '-D_GNU_SOURCE'];

// ---- the tools ----

// command: of one file; every: of all files at once; pattern: file, line, message, check.
const tools = {
	cppcheck: {
		version: ['cppcheck', '--version'],
		every: (files) => ['cppcheck', '--enable=warning,performance,portability', '--std=c17', '--language=c', '-j2', '--quiet', '-I.',
			'-Isdk', '-D_GNU_SOURCE', '-D__x86_64__', '-DCIVETWEB_VERSION_MAJOR=1', '-DCIVETWEB_VERSION_MINOR=15',
			'--suppress=missingIncludeSystem', '--template={file}:{line}: {message} [{id}]', ...files],
	},
	tidy: {
		version: ['clang-tidy', '--version'],
		command: (file) => ['clang-tidy', '--quiet', file, '--', ...flags],
		also: () => readFileSync('.clang-tidy', 'utf8'),
	},
	// Without its look for uninitialized values: gcc 12 does not follow them through a pointer, and the build clears them.
	analyzer: {
		version: ['gcc', '--version'],
		command: (file) => ['gcc', ...flags, '-O2', '-fanalyzer', '-Wno-analyzer-use-of-uninitialized-value', '-c', '-o', '/dev/null', file],
	},
};

const pattern = /^([^\s:]+):\d+(?::\d+)?: (?:(?:fatal )?error: |warning: )?(.*) \[([^\]]+)\]$/gm;

function findings(text) {
	const seen = new Map();
	for (const [, file, message, check] of text.matchAll(pattern)) {
		const name = relative(top, resolve(file));
		if (!/^(core|sdk|plugins)\//.test(name)) continue;
		const row = `${name} | ${check.replace(/,-warnings-as-errors|=$/g, '')} | ${message}`;
		seen.set(row, row);
	}
	return [...seen.values()];
}

// ---- running them ----

function run([program, ...args]) {
	return new Promise((done) => {
		let output = '';
		const child = spawn(program, args, { env: { ...process.env, LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'] });
		const timer = setTimeout(() => child.kill('SIGKILL'), 300_000);
		for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => output += text);
		child.on('error', (error) => { output += `${error.message}\n`; });
		child.on('close', (status, signal) => {
			clearTimeout(timer);
			done({ output, status, signal });
		});
	});
}

const problems = [];

// What was said before of the same bytes, or what is said now.
async function said(name, key, command) {
	const kept = join(build, 'lint', `${name}-${createHash('sha256').update(key).digest('hex').slice(0, 32)}`);
	if (existsSync(kept)) return readFileSync(kept, 'utf8');
	const { output, status, signal } = await run(command);
	if (signal || status === null || status === 127) {
		problems.push(`${command[0]}: ${signal ?? output.trim().split('\n').at(-1)} (${command.at(-1)})`);
		return '';
	}
	writeFileSync(kept, output);
	return output;
}

async function look(name) {
	const tool = tools[name], version = await run(tool.version);
	if (version.status !== 0) {
		problems.push(`${tool.version[0]} is missing: tools/setup lint`);
		return [];
	}
	const common = [version.output, JSON.stringify(flags), tool.also?.() ?? ''].join('\0');
	if (tool.every) {
		const command = tool.every(sources);
		return findings(await said(name, [common, JSON.stringify(command), ...sources.map((file) => whole(file))].join('\0'), command));
	}
	const left = [...sources], all = [];
	await Promise.all([0, 1].map(async () => {
		for (let file; (file = left.shift()); ) {
			const command = tool.command(file);
			all.push(...findings(await said(name, [common, JSON.stringify(command), whole(file)].join('\0'), command)));
		}
	}));
	return all;
}

// ---- against what was accepted ----

const rows = readFileSync('tests/lint/accepted.txt', 'utf8').split('\n').filter((line) => line && !line.startsWith('#'));
const accepted = new Map();
for (const line of rows) {
	const [tool, file, check, message, reason] = line.split(' | ');
	if (!reason) problems.push(`tests/lint/accepted.txt: no reason: ${line}`);
	accepted.set(`${tool} | ${file} | ${check} | ${message}`, tool);
}

mkdirSync(join(build, 'lint'), { recursive: true });
const names = wanted.length ? wanted : Object.keys(tools);
for (const name of names) {
	const begun = Date.now();
	const found = new Set((await look(name)).map((row) => `${name} | ${row}`));
	if (rowsOnly) for (const row of [...found].sort()) console.log(row);
	const fresh = [...found].filter((row) => !accepted.has(row)).sort();
	const gone = [...accepted].filter(([row, tool]) => tool === name && !found.has(row)).map(([row]) => row);
	for (const row of fresh) problems.push(`new: ${row}`);
	if (!problems.length) for (const row of gone) problems.push(`gone, take it out of tests/lint/accepted.txt: ${row}`);
	console.log(`# ${name}: ${sources.length} files, ${found.size} findings, ${found.size - fresh.length} of them accepted, `
		+ `${Math.round((Date.now() - begun) / 1000)} s`);
}
for (const problem of problems) console.log(`not ok lint: ${problem}`);
if (!problems.length) console.log(`ok lint ${names.join(' ')}`);
process.exit(problems.length ? 1 : 0);
