// Backups and restores as the operator makes them, and looking into what they left.
//
//   const backups = new Backups(server);
//   const one = await backups.make();		a folder
//   await backups.restore(one);		the server must not run; the store is moved aside first
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

// Every file below a folder, as paths.
export const tree = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
	.map((one) => join(one.parentPath, one.name));
export const digest = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');

export class Backups {
	constructor(server) {
		this.server = server;
		this.folder = mkdtempSync(join(tmpdir(), 'mps-backups-'));
		this.number = 0;
	}
	get data() { return join(this.server.folder, 'var'); }
	remove() { rmSync(this.folder, { recursive: true, force: true }); }
	name() { return join(this.folder, `backup-${++this.number}`); }

	async make() {
		const folder = this.name();
		await this.server.command('backup', folder);
		return folder;
	}
	manifest(folder) { return JSON.parse(readFileSync(join(folder, 'manifest.json'))).manifest; }
	copy(folder) {
		const to = this.name();
		cpSync(folder, to, { recursive: true });
		return to;
	}

	// The store leaves its place, as a restore wants it.
	aside() {
		const to = join(this.folder, `aside-${++this.number}`);
		mkdirSync(to);
		const names = readdirSync(this.data).filter((one) => one.startsWith('mypostshare.db'));
		for (const name of names) renameSync(join(this.data, name), join(to, name));
		return to;
	}
	get empty() { return !existsSync(join(this.data, 'mypostshare.db')) && !existsSync(join(this.data, 'restore')); }
	attempt(folder, ...more) { return this.server.attempt('restore', folder, ...more); }
	async restore(folder, ...more) {
		this.aside();
		return this.server.command('restore', folder, ...more);
	}

	// fn with the store opened by SQLite itself: only while no server runs.
	look(fn) {
		const store = new DatabaseSync(join(this.data, 'mypostshare.db'));
		try { return fn(store); } finally { store.close(); }
	}
	bytes(folder) { return tree(folder).reduce((sum, file) => sum + statSync(file).size, 0); }
}
