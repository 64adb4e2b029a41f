// What the sanitizers of a build report, so that no report goes unseen.
//
// A report may end a process that nobody waits for, or stand in the output of a server that goes on: neither fails a
// test by itself.  So it is looked for in two places: in what every child of a play wrote (process.mjs looks, play.mjs
// fails), and in the files that the sanitizers write beside (run.mjs, for every kind of test).
//
// The one thing to know: hosts and the probe have no environment of ours and may open no file.  Their reports stand in
// the server's log, which quotes the first line that an ended host wrote.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

const summary = /^SUMMARY: \w+Sanitizer: .*$/m;
const report = /^.*(?:(?:WARNING|ERROR): (?:Thread|Address|Leak|UndefinedBehavior)Sanitizer|runtime error:|ThreadSanitizer: reported).*$/m;

// The line of a text that says most about a report, or undefined if there is none.
export const reportIn = (text) => (report.test(text) ? (summary.exec(text) ?? report.exec(text))[0] : undefined);

// Environment for the programs of a build: build-thread, build-address,undefined.  Reports go to the file `log`.pid if
// it is given, else to stderr.
export function sanitizers(build, log) {
	const kinds = /^build-([a-z,]+)/.exec(basename(build))?.[1].split(',') ?? [];
	const where = log ? [`log_path='${resolve(log)}'`] : [];
	const options = {
		thread: ['TSAN_OPTIONS', [`suppressions='${resolve('tests/tsan.supp')}'`, 'history_size=4', 'second_deadlock_stack=1', ...where]],
		address: ['ASAN_OPTIONS', where],
		undefined: ['UBSAN_OPTIONS', ['print_stacktrace=1', ...where]],
	};
	const env = {};
	for (const kind of kinds) {
		if (!(kind in options)) continue;
		const [name, words] = options[kind];
		env[name] = [...words, process.env[name]].filter(Boolean).join(':');
	}
	return env;
}

// All that was written to files of that log: '' if nothing.
export function reportsOf(log) {
	const folder = join(log, '..');
	if (!existsSync(folder)) return '';
	return readdirSync(folder).filter((name) => name.startsWith(`${basename(log)}.`))
		.map((name) => `${name}:\n${readFileSync(join(folder, name), 'utf8')}`).join('\n');
}

// ---- of the children of one play ----

const watched = [];

// output: what the child has written so far.
export const watch = (program, output) => watched.push({ program, output });

export const seenReports = () => watched.map(({ program, output }) => ({ program, line: reportIn(output()) }))
	.filter(({ line }) => line).map(({ program, line }) => `${program}: ${line}`);
