// Runs the tests: unit programs, provider conversations, the audit, the checks, the plays, and the fuzz targets.
//
//   tests/run build            all but tests/plays/long-*.mjs
//   tests/run build unit       a kind: unit, conversations, audit, check, crash, plays, fuzz
//   tests/run build sandbox    whatever bears the name: unit/sandbox, unit/sandbox_publish, plays/sandbox, plays/sandbox-*
//   tests/run build rules      plays/long-rules: a long one may be named without its mark
//   LONG=1 tests/run build     all, and TEST_LONG=1 for those that can do more rounds
//   CI=1 tests/run build       fuzz targets look for new inputs, too; without it they replay what is saved
//
// A program prints `ok NAME` or `not ok NAME: words` per test; what cannot print them (the audit, the checks) is one
// test whose words are its output's last line.  A program that ends badly without a `not ok`, or well without any
// `ok`, is a failed test itself, and so is a report of a sanitizer in any process of the file.  The whole output of a file
// with a failure stays in BUILD/test-logs.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { reportIn, reportsOf, sanitizers } from './reports.mjs';

const [build = 'build', group = ''] = process.argv.slice(2);
const long = Boolean(process.env.LONG);
const logs = join(build, 'test-logs');
const MINUTE = 60_000;
const searches = long || /^(1|true)$/.test(process.env.CI ?? '');

// ---- what there is ----

const listed = (folder, ending) => (existsSync(folder) ? readdirSync(folder) : [])
	.filter((name) => name.endsWith(ending)).sort().map((name) => name.slice(0, name.length - ending.length));

const conversations = (id) => readdirSync(`tests/conversations/${id}`).filter((f) => f.endsWith('.json')).sort()
	.map((f) => `tests/conversations/${id}/${f}`);

function every() {
	return [
		...listed('tests/unit', '.c').map((name) => ({
			name: `unit/${name}`, argv: [join(build, 'unit', name)], ms: 5 * MINUTE, beside: true,
		})),
		...listed('tests/conversations', '').filter((id) => existsSync(`plugins/${id}.c`)).map((id) => ({
			name: `conversations/${id}`, argv: [join(build, 'try'), join(build, 'plugins', `${id}.so`), ...conversations(id)], ms: MINUTE,
		})),
		{ name: 'audit', also: ['abi'], argv: ['tools/audit', build], ms: 3 * MINUTE, whole: true },
		...listed('tools', '').filter((name) => name.startsWith('check-')).map((name) => ({
			name: `check/${name.slice(6)}`, argv: [`tools/${name}`], ms: MINUTE, whole: true,
		})),
		{ name: 'check/cppcheck', argv: ['tests/lint/run', build, 'cppcheck'], ms: 5 * MINUTE, whole: true },	// the quick one of make lint
		...listed('tests/tools', '.sh').map((name) => ({
			name: `check/${name}.sh`, argv: [`tests/tools/${name}.sh`], ms: 2 * MINUTE, whole: true,
		})),
		...listed('tests/crash', '.c').map((name) => ({		// of the build with failpoints
			name: `crash/${name}`, argv: [join(`${build}-fail`, 'crash', name)], ms: (long ? 180 : 10) * MINUTE,
		})),
		...listed('tests/plays', '.mjs').map((name) => ({
			name: `plays/${name}`, argv: [process.execPath, `tests/plays/${name}.mjs`], ms: (long ? 180 : 15) * MINUTE,
			only: name.startsWith('long-'), waits: /^(real|oauth|connect|api|media|ssrf|front|fault)\b/.test(name),
		})),
		...listed('tests/fuzz', '.c').filter((name) => name !== 'play').map((name) => ({
			name: `fuzz/${name}`, argv: [...idly, 'tests/fuzz/run', searches ? 'test' : 'replay', name], ms: 10 * MINUTE, idle: true,
		})),
	];
}

// What takes only the time that nothing else wants.
const idly = ['nice', '-n', '19'];
const fuzzBuild = { name: 'fuzz/build', argv: [...idly, 'make', '-s', '-j2', 'fuzz-build'], ms: 20 * MINUTE, whole: true };

function wanted(file) {
	if (!group) return long || !file.only;
	const last = basename(file.name);
	const names = [file.name, file.name.split('/')[0], last, last.replace(/^long-/, ''), ...(file.also ?? [])];
	return names.includes(group) || last.startsWith(`${group}-`) || last.startsWith(`${group}_`);
}

// ---- running one ----

const reportLog = (file) => join(logs, `${file.name.replace('/', '-')}.report`);

// Its own process group, so that a file that hangs is ended with everything it started.
function start(file) {
	return new Promise((resolve) => {
		let output = '', late = false;
		const env = { ...process.env, BUILD: build, ...(long && { TEST_LONG: '1' }), ...sanitizers(build, reportLog(file)) };
		const child = spawn(file.argv[0], file.argv.slice(1), { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
		const kill = () => {
			try {
				process.kill(-child.pid, 'SIGKILL');
			} catch {
				// all gone
			}
		};
		const timer = setTimeout(() => { late = true; kill(); }, file.ms);
		running.set(child, kill);
		for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => output += text);
		child.on('error', (error) => { output += `${error.message}\n`; });
		child.on('exit', () => setTimeout(kill, 1000).unref());		// whoever still holds the pipes
		child.on('close', (status, signal) => {
			clearTimeout(timer);
			running.delete(child);
			resolve({ output, status, ended: late ? `no end after ${file.ms / 1000} s` : signal ?? `status ${status}` });
		});
	});
}

const running = new Map();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {
	for (const kill of running.values()) kill();
	process.exit(1);
});

// The lines of one file: { good, text }.
function verdicts(file, { output, status, ended }) {
	const said = output.trimEnd().split('\n').filter((line) => line && !line.startsWith('Node.js v'));
	const last = said.filter((line) => /error/i.test(line)).at(-1) ?? said.at(-1) ?? 'no output';
	if (file.whole) return [{ good: status === 0, text: status === 0 ? file.name : `${file.name}: ${ended}: ${last}` }];
	const lines = [...output.matchAll(/^(ok|not ok) (.*)$/gm)]
		.map(([, word, text]) => ({ good: word === 'ok', text: `${file.name} ${text}` }));
	if (status !== 0 && lines.every((line) => line.good)) lines.push({ good: false, text: `${file.name}: ${ended}: ${last}` });
	if (!lines.length) lines.push({ good: false, text: `${file.name}: no test ran: ${last}` });
	return lines;
}

let passed = 0, failed = 0;

const took = [];

async function one(file) {
	const begun = Date.now();
	const result = await start(file);
	took.push([Date.now() - begun, file.name]);
	const lines = verdicts(file, result), reports = reportsOf(reportLog(file)), report = reportIn(`${result.output}\n${reports}`);
	if (report && !lines.some((line) => line.text.includes(report))) lines.push({ good: false, text: `${file.name}: ${report}` });
	for (const { good, text } of lines) {
		good ? passed++ : failed++;
		console.log(`${good ? 'ok' : 'not ok'} ${text}`);
	}
	if (lines.some((line) => !line.good)) writeFileSync(join(logs, `${file.name.replace('/', '-')}.log`), result.output + reports);
}

// ---- all ----

rmSync(logs, { recursive: true, force: true });
mkdirSync(logs, { recursive: true });
const files = every().filter(wanted);
if (!existsSync('tests/node_modules')) console.log('# tests/node_modules is missing, and some tests need it: make setup');
// Unit programs by two; then the plays that wait more than they work, by three and the longest first (by two where a
// sanitizer makes them work), beside everything else.
// What is idle runs by two in what time is left: fuzzing is a search, and ends when its seconds are over.
const lane = async (list) => {
	for (let file; (file = list.shift()); ) await one(file);
};
const beside = files.filter((file) => file.beside);
await Promise.all([lane(beside), lane(beside)]);
const waiting = files.filter((f) => f.waits).sort((a, b) => b.name.includes('/real-') - a.name.includes('/real-'));
const idle = files.filter((f) => f.idle);
const fuzz = async () => {
	await one(fuzzBuild);
	await Promise.all([lane(idle), lane(idle)]);
};
const lanes = Array.from({ length: build === 'build' ? 3 : 2 }, () => lane(waiting));
await Promise.all([lane(files.filter((f) => !f.beside && !f.waits && !f.idle)), ...lanes, idle.length && fuzz()]);

const slowest = took.sort(([a], [b]) => b - a).slice(0, 8).map(([ms, name]) => `${name} ${Math.round(ms / 1000)} s`);
console.log(`# slowest: ${slowest.join(', ')}`);
console.log(`${passed} passed, ${failed} failed${failed ? ` (output in ${logs})` : ''}`);
if (!files.length) console.log(group ? `nothing is called ${group}` : 'nothing to run');
process.exit(failed || !passed ? 1 : 0);
