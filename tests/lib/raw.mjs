// Bytes on a connection, and the answers that come back, exactly as they came.
//
//   const { answers, closed } = await raw(port, bytes, { ms, address, end, pieces })
//
// The one thing to know: it reads until the other side closes, or until `count` answers are whole; `closed` says which.
import net from 'node:net';
import tls from 'node:tls';

// One answer at the front of bytes: { answer, rest }, or null if it is not whole yet.
function cut(bytes) {
	const end = bytes.indexOf('\r\n\r\n');
	if (end < 0) return null;
	const [first, ...lines] = bytes.slice(0, end).toString('latin1').split('\r\n');
	const headers = Object.fromEntries(lines.map((text) => {
		const colon = text.indexOf(':');
		return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()];
	}));
	const size = Number(headers['content-length'] ?? 0), status = Number(first.split(' ')[1]);
	if (bytes.length < end + 4 + size) return null;
	const text = bytes.slice(end + 4, end + 4 + size).toString();
	let json;
	try {
		json = JSON.parse(text);
	} catch {
		// none
	}
	return { answer: { status, headers, text, json }, rest: bytes.slice(end + 4 + size) };
}

// options: ms, until the connection is given up; address, ours; count, of the answers that are waited for; end, whether our
// side is closed behind the bytes; secure, TLS options.
export function raw(port, bytes, { ms = 15_000, address = '127.0.0.1', count = Infinity, end = false, secure } = {}) {
	return new Promise((resolve) => {
		const where = { port, host: '127.0.0.1', localAddress: address };
		const socket = secure ? tls.connect({ ...where, rejectUnauthorized: false, ...secure }) : net.connect(where);
		const answers = [];
		let got = Buffer.alloc(0);
		const over = (closed) => {
			clearTimeout(timer);
			socket.destroy();
			resolve({ answers, closed, left: got.toString('latin1') });
		};
		const timer = setTimeout(() => over(false), ms);
		socket.on('data', (part) => {
			got = Buffer.concat([got, part]);
			for (let one; (one = cut(got)); ) {
				answers.push(one.answer);
				got = one.rest;
			}
			if (answers.length >= count) over(false);
		});
		socket.on('error', () => over(true));
		socket.on('close', () => over(true));
		socket.on('end', () => over(true));
		const text = Buffer.from(bytes, 'latin1');
		end ? socket.end(text) : socket.write(text);
	});
}
