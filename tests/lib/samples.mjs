// Small true media files, made here: what their headers say is what they are.
//
//   png(64, 48)                              a picture of this size; another seed is another picture
//   mp4({ width, height, seconds, bytes })   a video track of this size and length without a frame to show, filled up to bytes
import { crc32, deflateSync } from 'node:zlib';

const u32 = (...values) => Buffer.from(Uint32Array.from(values).buffer).swap32();
const u16 = (...values) => Buffer.from(Uint16Array.from(values).buffer).swap16();

function chunk(type, data) {
	const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
	return Buffer.concat([u32(data.length), body, u32(crc32(body))]);
}

export function png(width, height, seed = 0) {
	const rows = Buffer.alloc((width * 3 + 1) * height);
	for (let y = 0, at = 0; y < height; y++) {
		rows[at++] = 0;
		for (let x = 0; x < width; x++, at += 3) rows.set([(x + seed) & 255, (y * 3 + seed) & 255, (x ^ y) & 255], at);
	}
	const header = chunk('IHDR', Buffer.concat([u32(width, height), Buffer.from([8, 2, 0, 0, 0])]));
	const mark = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
	return Buffer.concat([mark, header, chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

const box = (type, ...parts) => {
	const data = Buffer.concat(parts);
	return Buffer.concat([u32(data.length + 8), Buffer.from(type, 'latin1'), data]);
};
const zeros = (n) => Buffer.alloc(n);
const MATRIX = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000);

export function mp4({ width = 640, height = 360, seconds = 2, bytes = 0, seed = 0 } = {}) {
	const scale = 1000, length = seconds * scale, frames = seconds * 25;
	const ftyp = box('ftyp', Buffer.from('isom'), u32(512), Buffer.from('isomiso2avc1mp41'));
	const mvhd = box('mvhd', u32(0, 0, 0, scale, length, 0x10000), u16(0x100, 0), zeros(8), MATRIX, zeros(24), u32(2));
	const tkhd = box('tkhd', u32(3, 0, 0, 1, 0, length), zeros(8), u16(0, 0, 0, 0), MATRIX, u32(width << 16, height << 16));
	const mdhd = box('mdhd', u32(0, 0, 0, scale, length), u16(0x55c4, 0));
	const hdlr = box('hdlr', u32(0, 0), Buffer.from('vide'), zeros(12), Buffer.from('VideoHandler\0'));
	const avc1 = box('avc1', zeros(6), u16(1), zeros(16), u16(width, height), u32(0x480000, 0x480000, 0), u16(1), zeros(32), u16(24, 0xffff),
		box('avcC', Buffer.from([1, 66, 0, 30, 255, 224, 0])));
	const stbl = box('stbl', box('stsd', u32(0, 1), avc1), box('stts', u32(0, 1, frames, 40)), box('stsc', u32(0, 1, 1, frames, 1)),
		box('stsz', u32(0, 16, frames)), box('stco', u32(0, 1, ftyp.length + 8)));
	const dinf = box('dinf', box('dref', u32(0, 1), box('url ', u32(1))));
	const minf = box('minf', box('vmhd', u32(1), zeros(8)), dinf, stbl);
	const moov = box('moov', mvhd, box('trak', tkhd, box('mdia', mdhd, hdlr, minf)));
	const fill = Math.max(frames * 16, bytes - ftyp.length - moov.length - 8);
	return Buffer.concat([ftyp, box('mdat', Buffer.alloc(fill, seed)), moov]);
}
