// What the provider's papers say is what the core does: sdk/DESCRIPTOR.md has the keys of core/model/platform_keys.c,
// platform.c reads no other, and what the engine hands to a step or takes from it stands in sdk/keys.
//
// The one thing to know: the sources are read as text; a key is a string literal at one of a few calls, named below.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { done, test } from '../lib/test.mjs';

const read = (path) => readFileSync(path, 'utf8');
const sources = (folder, name = /\.c$/) => readdirSync(folder).filter((one) => name.test(one))
	.map((one) => read(`${folder}/${one}`)).join('\n');
const only = (these, those) => [...these].filter((one) => !those.has(one)).sort();

// ---- the descriptor ----

const table = read('core/model/platform_keys.c');
const law = new Set([...table.matchAll(/\{ "([a-z_.*[\]]+)", [A-Z]+ \}/g)].map((m) => m[1]));

// Where the rows of a table of the page lie: its section, and for a second table of a section the words before it.
const places = {
	'': '', connect: 'connect.', 'connect/A field:': 'connect.fields[].', token_answer: 'token_answer.*.', text: 'text.', media: 'media.',
	'media/Each of `image`, `gif` and `video`:': 'media.*.', options: 'options[].', dedupe: 'dedupe.*.', capabilities: 'capabilities.',
	rate: 'rate.', poll: 'poll.*.',
};

function documented(page) {
	const keys = new Set();
	let section = '', words = '';
	for (const line of page.split('\n')) {
		const row = /^\| `([a-z_]+)` \|/.exec(line);
		if (line.startsWith('## ')) [section, words] = [line.slice(3), ''];
		else if (row) {
			const place = places[`${section}/${words}`] ?? places[section];
			assert.notEqual(place, undefined, `a table of section "${section}" is not known to this test`);
			keys.add(place + row[1]);
		} else if (line && !line.startsWith('|')) words = line;
	}
	return keys;
}

// Members whose names are not keys of ours, and what an object's row in words names at once.
const inWords = ['connect.scopes[].scope', 'connect.scopes[].reason', 'token_answer.exchange', 'token_answer.refresh', 'secret_answers.*',
	'dedupe.*', 'poll.*'];

test('every key of the table is documented, and the other way round', () => {
	const page = documented(read('sdk/DESCRIPTOR.md'));
	assert.ok(law.size > 100, `the table was not read: ${law.size}`);
	assert.deepEqual(only(page, law), [], 'documented, but refused');
	assert.deepEqual(only(law, new Set([...page, ...inWords])), [], 'accepted, but not documented');
});

const component = (key) => key.split('.').at(-1).replace('[]', '');
const known = new Set([...law].flatMap((key) => key.split('.').map((part) => part.replace('[]', ''))));
const readers = sources('core/model', /^platform.*\.c$/);

test('platform.c reads no key that is not in the table', () => {
	const got = new Set([...readers.matchAll(/json_get\([^"()]+, "([a-z_]+)"\)/g)].map((m) => m[1]));
	assert.ok(got.size > 20, `json_get was not found: ${got.size}`);
	assert.deepEqual(only(got, known), []);
});

// Handed on as they stand, to people and to clients, in GET /v1/platforms.
const shown = ['help_url', 'docs'];
// What nothing in the core acts upon yet.
const unread = ['first_with', 'requests_per_minute', 'first_s', 'max_s'];

test('every key of the table is read somewhere in the core', () => {
	const core = ['core/model', 'core/engine', 'core/api'].map((folder) => sources(folder)).join('').replace(table, '');
	const literals = new Set([...core.matchAll(/"([a-z_]+)"/g)].map((m) => m[1]));
	const leaves = [...law].map(component).filter((one) => one !== '*');
	assert.deepEqual([...new Set(leaves)].filter((one) => !literals.has(one) && ![...shown, ...unread].includes(one)), []);
});

// ---- inputs and results ----

const keys = { INPUT: new Set(), RESULT: new Set() };
for (const [, direction, key] of read('sdk/keys').matchAll(/^KEY\((INPUT|RESULT), "([^"]+)"/gm)) keys[direction].add(key);
const engine = sources('core/engine');

// "media.%d.%s" is media.N.NAME, which also stands for media.N.mime.
const stands = (pattern, key) => {
	const [, rest] = /^%s([a-z].*)/.exec(pattern) ?? [];	// parent.remote_url and remote_id: the prefix is a variable
	if (rest) return key === rest || /^[a-z]+\.NAME$/.test(key);
	const exact = pattern.replaceAll(/%\.\*s|%s/g, 'NAME').replaceAll(/%d|%i/g, 'N');
	const any = new RegExp(`^${exact.replaceAll('.', '\\.').replaceAll(/NAME/g, '[A-Za-z_:N.]+')}$`);
	return exact === key || any.test(key);
};

// What a connect session and its form hand on is stored as JSON by the model: { "oauth": { "state": ... } }.
const strings = (sources('core/model') + sources('core/api')).matchAll(/"([a-z_.]+)(?:"|\.%)/g);
const literals = new Set([...strings].flatMap((m) => m[1].split('.')));
const written = (key) => key.split('.').filter((one) => !['N', 'NAME'].includes(one)).every((one) => literals.has(one));
// What nothing gives yet.
const ungiven = [];

test('every input that the engine gives is in sdk/keys, and the other way round', () => {
	const given = [
		...[...engine.matchAll(/op_input(?:_int)?\(op, "([^"]+)"/g)].map((m) => m[1]),
		...[...engine.matchAll(/op_input(?:_int)?\(op, arena_printf\(&op->arena, "([^"]+)"/g)].map((m) => m[1]),
		...[...engine.matchAll(/REC_INPUT, (?:arena_printf\(&op->arena, )?"([^"]+)"/g)].map((m) => m[1]),
	];
	// load.c copies whole bags of rows under a prefix: put_bag(op, "parent.", ...)
	const prefixes = [...engine.matchAll(/\(op, "([a-z]+\.)",/g)].map((m) => `${m[1]}%s`);
	const all = [...given, ...prefixes].filter((one) => one !== '%s%s');
	assert.ok(given.length > 15, given.join(' '));
	assert.deepEqual(all.filter((pattern) => ![...keys.INPUT].some((key) => stands(pattern, key))), [], 'given, but not in sdk/keys');
	const never = [...keys.INPUT].filter((key) => !all.some((pattern) => stands(pattern, key)) && !written(key));
	assert.deepEqual(never.filter((key) => !ungiven.includes(key)), [], 'in sdk/keys, but never given');
});

test('every result that the core looks at is in sdk/keys', () => {
	const taken = [...engine.matchAll(/(?:result_text\(op, |take_result.*text_eq\(key, )"([^"]+)"/g)]
		.map((m) => m[1].replaceAll(/\.\d+\./g, '.N.'));
	assert.ok(taken.length > 4, taken.join(' '));
	assert.deepEqual(taken.filter((one) => ![...keys.RESULT].some((key) => stands(one, key) || stands(key, one))), []);
});

await done(30_000);
