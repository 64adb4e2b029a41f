// A name server in a few lines: UDP, one question per packet, what a test wants as the answer.
//
//   const dns = await startDns((name, n) => ({ A: ['127.0.0.1'], AAAA: ['::1'], CNAME: 'b.example' }), '127.0.0.1', 53);
//   dns.asked('a.example')			how often its A was asked for; dns.close()
//
// n: how often this kind of record was asked for before; a resolver asks for A and AAAA once in each look.
import { createSocket } from 'node:dgram';

const types = { 1: 'A', 5: 'CNAME', 28: 'AAAA' };

function name_at(packet, at) {
	const labels = [];
	while (packet[at]) {
		labels.push(packet.toString('latin1', at + 1, at + 1 + packet[at]));
		at += packet[at] + 1;
	}
	return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

const encoded = (name) => Buffer.concat([...name.split('.').map((l) => Buffer.from([l.length, ...Buffer.from(l)])), Buffer.from([0])]);

function six(address) {
	const v4 = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
	const text = v4 ? `${v4[1]}${(v4[2] * 256 + +v4[3]).toString(16)}:${(v4[4] * 256 + +v4[5]).toString(16)}` : address;
	const [head, tail] = text.split('::').map((part) => (part ? part.split(':') : []));
	const words = tail ? [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail] : head;
	return Buffer.from(words.flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 255]));
}

const data = { A: (text) => Buffer.from(text.split('.').map(Number)), AAAA: six, CNAME: encoded };

function record(type, text) {
	const value = data[type](text), head = Buffer.alloc(12);
	head.writeUInt16BE(0xc00c, 0);		/* the name of the question */
	head.writeUInt16BE(Number(Object.keys(types).find((n) => types[n] === type)), 2);
	head.writeUInt16BE(1, 4);
	head.writeUInt32BE(0, 6);		/* to be remembered for 0 seconds */
	head.writeUInt16BE(value.length, 10);
	return Buffer.concat([head, value]);
}

export async function startDns(answer, address, port) {
	const socket = createSocket('udp4'), counts = new Map();

	function round(type, name) {
		const key = `${type} ${name}`, n = counts.get(key) ?? 0;
		counts.set(key, n + 1);
		return n;
	}

	socket.on('message', (packet, from) => {
		const { name, end } = name_at(packet, 12), type = types[packet.readUInt16BE(end)];
		const wanted = answer(name, round(type, name));
		const records = type ? [wanted[type] ?? []].flat().map((one) => record(type, one)) : [];
		const head = Buffer.from(packet.subarray(0, 12));
		head.writeUInt16BE(0x8580, 2);		/* an answer, by who must know */
		head.writeUInt16BE(records.length, 6);
		head.writeUInt16BE(0, 8);
		head.writeUInt16BE(0, 10);
		socket.send(Buffer.concat([head, packet.subarray(12, end + 4), ...records]), from.port, from.address);
	});
	await new Promise((resolve, reject) => socket.on('error', reject).bind(port, address, resolve));
	return { asked: (name) => counts.get(`A ${name}`) ?? 0, close: () => socket.close() };
}
