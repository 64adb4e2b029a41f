// A folder of providers for a test: many of one file, by another name written over its own.
//
// The one thing to know: names are written into the built file, so a hundred providers cost one compilation; each is
// a provider of its own to the server, with its own process, accounts and secrets.
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const placeholder = 'misdeed-name-comes-here-xxxxxxx';

// The bytes of a built provider under another id (at most 31 characters).
export function renamed(file, id) {
	const bytes = readFileSync(file), at = bytes.indexOf(placeholder);
	if (at < 0 || id.length >= placeholder.length) throw new Error(`${file} cannot be called ${id}`);
	bytes.fill(0, at, at + placeholder.length);
	bytes.write(id, at, 'latin1');
	return bytes;
}

export class Folder {
	constructor(path) {
		this.path = path;
		mkdirSync(path, { mode: 0o755, recursive: true });
	}

	at(name) { return join(this.path, name); }

	// As install does it: the new file is whole before it has the name.
	place(id, bytes, mode = 0o644) {
		writeFileSync(this.at('.next'), bytes);
		chmodSync(this.at('.next'), mode);
		renameSync(this.at('.next'), this.at(`${id}.so`));
	}
}
