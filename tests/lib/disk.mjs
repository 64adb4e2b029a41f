// Disks for tests: one that cannot sync, and one that is small.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// A disk whose syncs fail on order (tests/faults/sync.c); env is for the process that is to have it.
//   disk.fail('-wal')   from now on, for files whose path ends so ('': for all)      disk.heal()      disk.struck: how often
export class SyncFault {
	constructor() {
		this.folder = mkdtempSync(join(tmpdir(), 'mps-sync-'));
		const library = join(this.folder, 'sync.so');
		execFileSync(process.env.CC ?? 'cc', ['-std=c17', '-O1', '-Wall', '-Wextra', '-shared', '-fPIC', '-o', library, 'tests/faults/sync.c']);
		this.switch = join(this.folder, 'fails');
		this.env = {
			LD_PRELOAD: library, MPS_SYNC_FAULT: this.switch,
			ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'verify_asan_link_order=0'].filter(Boolean).join(':'),
		};
	}
	fail(end = '') { writeFileSync(this.switch, end); }
	heal() { rmSync(this.switch, { force: true }); }
	get struck() { return existsSync(`${this.switch}.struck`) ? statSync(`${this.switch}.struck`).size : 0; }
	remove() { rmSync(this.folder, { recursive: true, force: true }); }
}

// A small disk of its own in memory; throws where this user may not mount, because nothing can stand in for it.
export class SmallDisk {
	constructor(mib) {
		this.folder = mkdtempSync(join(tmpdir(), 'mps-disk-'));
		const options = ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0700`, 'tmpfs', this.folder];
		const { status, stderr } = spawnSync('mount', options, { encoding: 'utf8' });
		if (status !== 0) {
			rmSync(this.folder, { recursive: true });
			throw new Error(`no tmpfs can be mounted: ${stderr}`);
		}
	}
	get free() {
		return Number(execFileSync('df', ['--output=avail', '-k', this.folder], { encoding: 'utf8' }).trim().split('\n')[1]) * 1024;
	}
	// Takes what is left but for some bytes; again where something became free meanwhile.
	fill(spare = 0) {
		for (let i = 0; this.free > spare && i < 100; i++) {
			try {
				writeFileSync(join(this.folder, `filler-${i}`), Buffer.alloc(Math.min(Math.max(this.free - spare, 0), 64 << 20)), { flag: 'ax' });
			} catch (error) {
				if (!['ENOSPC', 'EEXIST'].includes(error.code)) throw error;
			}
		}
	}
	empty() {
		for (let i = 0; i < 100; i++) rmSync(join(this.folder, `filler-${i}`), { force: true });
	}
	remove() {
		spawnSync('umount', ['-l', this.folder], { stdio: 'ignore' });
		rmSync(this.folder, { recursive: true, force: true });
	}
}
