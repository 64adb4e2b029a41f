// What a request to the Mastodon stand-in may look like: bodies read strictly, and every field by a table.
//
// The one thing to know: what is not described in a table is a Violation.  It is answered by a 4xx, as a strict server
// would, and remembered, so that a play can demand that there was none.
export class Violation extends Error {
	constructor(status, words) {
		super(words);
		this.status = status;
	}
}

const bad = (words, status = 400) => {
	throw new Violation(status, words);
};

// ---- bodies ----

function decode(text) {
	try {
		return decodeURIComponent(text.replaceAll('+', ' '));
	} catch {
		return bad(`"${text}" is not percent-encoded UTF-8`);
	}
}

// a=1&list[]=x&list[]=y&poll[multiple]=true  ->  { a: '1', list: ['x', 'y'], poll: { multiple: 'true' } }
export function readForm(text) {
	const fields = {};
	for (const pair of text === '' ? [] : text.split('&')) {
		const at = pair.indexOf('=');
		if (at < 1) bad(`"${pair}" is no field`);
		place(fields, decode(pair.slice(0, at)), decode(pair.slice(at + 1)));
	}
	return fields;
}

function place(fields, name, value) {
	const parts = /^([a-z_]+)((?:\[[a-z_]*\])*)$/.exec(name) ?? bad(`"${name}" is no name of a field`);
	const path = [parts[1], ...[...parts[2].matchAll(/\[([a-z_]*)\]/g)].map((m) => m[1])];
	const last = path.pop();
	let into = fields;
	for (const [i, key] of path.entries()) into = into[key] ??= i === path.length - 1 && last === '' ? [] : {};
	if (last === '') into.push(value);
	else if (Object.hasOwn(into, last)) bad(`${name} is there twice`);
	else into[last] = value;
}

export function readJson(bytes) {
	let value;
	try {
		value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
	} catch (error) {
		bad(`the body is no JSON: ${error.message}`);
	}
	if (value === null || typeof value !== 'object' || Array.isArray(value)) bad('the body is no JSON object');
	return value;
}

// Every byte must be where RFC 7578 puts it: no preamble, no epilogue, CRLF, quoted names, a type for each file.
export function readMultipart(bytes, type) {
	const boundary =
		/^multipart\/form-data; boundary=([A-Za-z0-9'()+_,.\/:=?-]{1,70})$/.exec(type)?.[1] ?? bad(`no boundary in "${type}"`);
	const mark = Buffer.from(`--${boundary}`),
		fields = {};
	let at = 0;
	const expect = (text) => {
		if (bytes.toString('latin1', at, at + text.length) !== text)
			bad(`no ${JSON.stringify(text)} at byte ${at} of the multipart body`);
		at += text.length;
	};
	expect(`--${boundary}`);
	while (bytes.toString('latin1', at, at + 2) === '\r\n') {
		expect('\r\n');
		const headEnd = bytes.indexOf('\r\n\r\n', at),
			end = bytes.indexOf(Buffer.concat([Buffer.from('\r\n'), mark]), at);
		if (headEnd < 0 || end < headEnd) bad('a part has no end');
		const part = partOf(bytes.toString('utf8', at, headEnd), bytes.subarray(headEnd + 4, end));
		if (Object.hasOwn(fields, part.name)) bad(`the part ${part.name} is there twice`);
		fields[part.name] = part.filename === undefined ? part.bytes.toString('utf8') : part;
		at = end + 2 + mark.length;
	}
	expect('--\r\n');
	if (at !== bytes.length) bad('bytes behind the end of the multipart body');
	return fields;
}

function partOf(head, bytes) {
	const part = { bytes };
	for (const line of head.split('\r\n')) {
		const [, name, value] = /^([A-Za-z-]+): (.*)$/.exec(line) ?? bad(`"${line}" is no header of a part`);
		const said = /^form-data; name="([a-z_]+)"(?:; filename="([^"\\\r\n]+)")?$/.exec(value);
		if (/^content-disposition$/i.test(name) && said) [, part.name, part.filename] = said;
		else if (/^content-type$/i.test(name)) part.type = value;
		else bad(`"${line}" does not belong to a part`);
	}
	if (!part.name) bad('a part has no name');
	if (part.filename !== undefined && !part.type) bad(`the file ${part.name} has no type`);
	return part;
}

// ---- fields ----

const whole = (v) =>
	typeof v === 'number' && Number.isSafeInteger(v) ? v : /^-?\d{1,12}$/.test(v) ? Number(v) : bad(`${v} is no whole number`);
const flag = (v) => ({ true: true, false: false, 1: true, 0: false })[String(v)] ?? bad(`${v} is neither true nor false`);
const text = (v) => (typeof v === 'string' ? v : bad(`${JSON.stringify(v)} is no string`));
const list = (of) => (v) => (Array.isArray(v) ? v.map(of) : bad(`${JSON.stringify(v)} is no list`));
const one =
	(...words) =>
	(v) =>
		words.includes(v) ? v : bad(`${v} is none of ${words}`, 422);
const object = (table) => (v) =>
	check(table, typeof v === 'object' && v && !Array.isArray(v) ? v : bad(`${JSON.stringify(v)} is no object`));
const file = (v) => (v?.filename === undefined ? bad('the file is no file part') : v);
const matches = (pattern) => (v) => (pattern.test(text(v)) ? v : bad(`"${v}" is not ${pattern}`, 422));

export const types = { whole, flag, text, list, one, object, file, matches };

// The fields by their table { name: type, 'name!': a required one }; everything else is a violation.
export function check(table, fields) {
	const read = {};
	for (const name of Object.keys(table).filter((n) => n.endsWith('!')))
		if (!Object.hasOwn(fields, name.slice(0, -1))) bad(`${name.slice(0, -1)} is missing`);
	for (const [name, value] of Object.entries(fields)) {
		const type = table[name] ?? table[`${name}!`] ?? bad(`the field ${name} is not described`, 422);
		try {
			read[name] = type(value);
		} catch (error) {
			throw error instanceof Violation ? new Violation(error.status, `${name}: ${error.message}`) : error;
		}
	}
	return read;
}

// ---- counting ----

const segments = new Intl.Segmenter('en', { granularity: 'grapheme' });

// As the validator counts: grapheme clusters, a web address as perUrl of them, a remote mention without its server.
export function length(words, perUrl) {
	const short = words.replace(/https?:\/\/[^\s<>"]*[^\s<>".,;:!?')]/g, 'x'.repeat(perUrl)).replace(/(@\w+)@[\w.-]*\w/g, '$1');
	return [...segments.segment(short)].length;
}

const escaped = (t) => t.replace(/[&<>"']/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c]);

// The content of a status as Mastodon writes it: paragraphs, links cut in three, mentions without their server.
export function html(words) {
	const link = (url) => {
		const [, scheme, rest] = /^(https?:\/\/)(.*)$/.exec(url),
			shown = rest.slice(0, 30),
			hidden = rest.slice(30);
		return (
			`<a href="${url}" target="_blank" rel="nofollow noopener noreferrer" translate="no"><span class="invisible">${scheme}</span>` +
			`<span class="${hidden ? 'ellipsis' : ''}">${shown}</span><span class="invisible">${hidden}</span></a>`
		);
	};
	const inline = (t) =>
		escaped(t)
			.replace(/https?:\/\/[^\s<>"]*[^\s<>".,;:!?')]/g, link)
			.replace(
				/(^|[\s(])@(\w+)@([\w.-]*\w)/g,
				'$1<span class="h-card" translate="no"><a href="https://$3/@$2" class="u-url mention">@<span>$2</span></a></span>',
			)
			.replace(
				/(^|[\s(])#(\p{L}[\p{L}\p{N}_]*)/gu,
				'$1<a href="https://tags.example/$2" class="mention hashtag" rel="tag">#<span>$2</span></a>',
			);
	return words
		.split(/\n{2,}/)
		.map((p) => `<p>${inline(p).replaceAll('\n', '<br />')}</p>`)
		.join('');
}
