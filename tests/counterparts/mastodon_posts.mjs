// Media and statuses of the Mastodon stand-in.
//
// The one thing to know: `statuses` is the oracle.  A status is added in one place, is never removed, only marked as
// deleted, and says which Idempotency-Key it came with.
import { length, types } from './mastodon_wire.mjs';

const { text, whole, flag, list, one, object, file, matches } = types;
const refused = (words) => ({ status: 422, json: { error: words } });
const invalid = (words) => refused(`Validation failed: ${words}`);
const notFound = { status: 404, json: { error: 'Record not found' } };

// ---- media ----

const signatures = { 'image/jpeg': 'ffd8ff', 'image/png': '89504e47', 'image/gif': '47494638', 'image/webp': '52494646' };
const kinds = { image: 'image', video: 'video' };

function shownMedia(m, item, status = 200) {
	const url = item.polls > 0 ? null : `${m.url}/media/${item.id}`;
	return {
		status,
		json: {
			id: item.id,
			type: item.kind,
			url,
			preview_url: url,
			remote_url: null,
			meta: {},
			description: item.description || null,
			blurhash: null,
		},
	};
}

function upload(m, { fields, account }) {
	const { file: part, description = '' } = fields,
		{ media_attachments: limits } = m.configuration;
	const kind = part.type === 'image/gif' ? 'gifv' : kinds[part.type.split('/')[0]],
		image = kind === 'image';
	if (!limits.supported_mime_types.includes(part.type) || !kind) return invalid('File content type is invalid, File is invalid');
	if (signatures[part.type] && !part.bytes.toString('hex', 0, 4).startsWith(signatures[part.type]))
		return invalid('File content type is invalid, File is invalid');
	if (part.bytes.length > (image ? limits.image_size_limit : limits.video_size_limit))
		return { status: 413, html: '<h1>413 Request Entity Too Large</h1>' };
	if (length(description, 23) > (limits.description_limit ?? 1500))
		return invalid(`Description is too long (maximum is ${limits.description_limit ?? 1500} characters)`);
	const item = {
		id: m.id(),
		account,
		kind,
		description,
		focus: fields.focus ?? null,
		bytes: part.bytes,
		type: part.type,
		filename: part.filename,
		status: null,
		polls: image ? 0 : m.processing.polls,
		broken: m.processing.broken,
	};
	m.media.set(item.id, item);
	return shownMedia(m, item, item.polls > 0 || item.broken ? 202 : 200);
}

function poll(m, { params: [id], account }) {
	const item = m.media.get(id);
	if (!item || item.account !== account || item.status) return notFound;
	if (item.polls > 0) {
		item.polls--;
		return shownMedia(m, item, 206);
	}
	return item.broken ? refused('Error processing thumbnail for uploaded media') : shownMedia(m, item);
}

// ---- statuses ----

export function shown(m, s) {
	const account = {
		id: s.account.id,
		username: s.account.username,
		acct: s.account.username,
		url: `${m.origin}/@${s.account.username}`,
	};
	return {
		id: s.id,
		created_at: new Date(s.at).toISOString(),
		in_reply_to_id: s.in_reply_to_id,
		in_reply_to_account_id: null,
		sensitive: s.sensitive,
		spoiler_text: s.spoiler_text,
		visibility: s.visibility,
		language: s.language,
		uri: `${m.origin}/users/${s.account.username}/statuses/${s.id}`,
		url: `${m.origin}/@${s.account.username}/${s.id}`,
		replies_count: 0,
		edited_at: s.edited ?? null,
		content: m.render(s.text),
		reblog: null,
		application: { name: s.app.name, website: s.app.website },
		account,
		mentions: [],
		tags: [],
		emojis: [],
		card: null,
		poll: s.poll && { id: s.id, ...s.poll },
		media_attachments: s.media.map((item) => shownMedia(m, item).json),
	};
}

function faultOfMedia(m, account, ids, status) {
	const items = ids.map((id) => m.media.get(id)),
		most = m.configuration.statuses.max_media_attachments;
	const gone = ids.filter((id, i) => !items[i] || items[i].account !== account || (items[i].status && items[i].status !== status));
	if (ids.length > most) return invalid(`Cannot attach more than ${most} files`);
	if (gone.length > 0)
		return refused(
			m.current
				? `Media ${gone.join(', ')} not found or already attached to another post`
				: 'Validation failed: Media could not be found',
		);
	if (items.length > 1 && items.some((i) => i.kind !== 'image'))
		return refused('Cannot attach a video to a post that already contains images');
	if (items.some((i) => i.polls > 0)) return refused('Cannot attach files that have not finished processing. Try again in a moment!');
	return null;
}

function faultOfPoll(m, { options, expires_in }) {
	const { max_options, max_characters_per_option, min_expiration, max_expiration } = m.configuration.polls;
	if (options.length < 2) return invalid('Options must include more than one item');
	if (options.length > max_options) return invalid(`Options can't contain more than ${max_options} items`);
	if (options.some((o) => length(o, 23) > max_characters_per_option))
		return invalid(`Options can't be longer than ${max_characters_per_option} characters each`);
	if (new Set(options).size !== options.length) return invalid('Options contain duplicate items');
	if (expires_in < min_expiration || expires_in > max_expiration) return invalid('Expires at is out of range');
	return null;
}

// What a new or changed status is refused for, as an answer; null if nothing.
function fault(m, account, f, status = null) {
	const { max_characters: most, characters_reserved_per_url: perUrl } = m.configuration.statuses;
	const ids = f.media_ids ?? [],
		words = (f.status ?? '').trim(),
		counted = length(f.spoiler_text ?? '', perUrl) + length(words, perUrl);
	if (f.poll && ids.length > 0) return invalid('Cannot attach both media and a poll');
	if (words === '' && ids.length === 0 && !f.spoiler_text) return invalid("Text can't be blank");
	if (counted > most) return invalid(`Text character limit of ${most} exceeded`);
	if (f.in_reply_to_id && !m.statuses.some((s) => s.id === f.in_reply_to_id && !s.deleted))
		return { status: 404, json: { error: 'The post you are trying to reply to does not appear to exist.' } };
	return (f.poll && faultOfPoll(m, f.poll)) ?? faultOfMedia(m, account, ids, status);
}

function create(m, { fields: f, account, token, headers }) {
	const key = headers['idempotency-key'] ?? null,
		slot = `${account.id} ${key}`,
		before = m.keys.get(slot);
	if (key && m.honours && before && m.now() - before.at < m.keyWindow) return { status: 200, json: shown(m, before.status) };
	const wrong = fault(m, account, f);
	if (wrong) return wrong;
	const status = {
		id: m.id(),
		at: m.now(),
		account,
		app: token.app,
		key,
		text: (f.status ?? '').trim(),
		spoiler_text: (f.spoiler_text ?? '').trim(),
		sensitive: f.sensitive ?? false,
		visibility: f.visibility ?? 'public',
		language: f.language ?? 'en',
		in_reply_to_id: f.in_reply_to_id ?? null,
		poll: f.poll ?? null,
		quote_approval_policy: f.quote_approval_policy ?? null,
		media: (f.media_ids ?? []).map((id) => m.media.get(id)),
		deleted: false,
	};
	for (const item of status.media) item.status = status;
	m.statuses.push(status);
	if (key) m.keys.set(slot, { at: m.now(), status });
	return { status: 200, json: shown(m, status) };
}

const own = (m, call) => m.statuses.find((s) => s.id === call.params[0] && s.account === call.account && !s.deleted);

function read(m, call) {
	const status = own(m, call);
	return status ? { status: 200, json: shown(m, status) } : notFound;
}

function source(m, call) {
	const status = m.source && own(m, call);
	return status ? { status: 200, json: { id: status.id, text: status.text, spoiler_text: status.spoiler_text } } : notFound;
}

function remove(m, call) {
	const status = own(m, call);
	if (!status) return notFound;
	status.deleted = true;
	return { status: 200, json: { ...shown(m, status), text: status.text } };
}

function edit(m, call) {
	const status = own(m, call),
		f = call.fields;
	if (!status) return notFound;
	const wrong = fault(m, call.account, f, status);
	if (wrong) return wrong;
	Object.assign(status, {
		text: (f.status ?? '').trim(),
		spoiler_text: (f.spoiler_text ?? '').trim(),
		sensitive: f.sensitive ?? status.sensitive,
		language: f.language ?? status.language,
		poll: f.poll ?? null,
		media: (f.media_ids ?? []).map((id) => m.media.get(id)),
		edited: new Date(m.now()).toISOString(),
	});
	for (const { id, description } of f.media_attributes ?? []) m.media.get(id).description = description ?? '';
	return { status: 200, json: shown(m, status) };
}

// Newest first, as every server of this API lists them.
function listed(m, { params: [id], query, account }) {
	const { limit = '20', max_id } = query;
	let all = m.statuses.filter((s) => s.account.id === id && !s.deleted && s.at <= m.now() - m.lag).reverse();
	if (account?.id !== id) all = all.filter((s) => ['public', 'unlisted'].includes(s.visibility));
	if (query.exclude_replies === 'true') all = all.filter((s) => !s.in_reply_to_id);
	if (max_id !== undefined) {
		const at = all.findIndex((s) => s.id === max_id);
		all = at < 0 ? all.filter((s) => m.older(s.id, max_id)) : all.slice(at + 1);
	}
	return { status: 200, json: all.slice(0, Math.min(Number(limit), m.page)).map((s) => shown(m, s)) };
}

const pollFields = object({ 'options!': list(text), 'expires_in!': whole, multiple: flag, hide_totals: flag });
const language = matches(/^[a-z]{2}$/),
	written = {
		status: text,
		media_ids: list(text),
		poll: pollFields,
		sensitive: flag,
		spoiler_text: text,
		language,
	};
const attributes = list(object({ 'id!': text, description: text, focus: text }));
export const postRoutes = [
	{
		method: 'POST',
		path: '/api/v2/media',
		scope: 'write:media',
		body: ['multipart'],
		run: upload,
		rate: 'media',
		fields: { 'file!': file, description: text, focus: matches(/^-?[01](\.\d+)?,-?[01](\.\d+)?$/), thumbnail: file },
	},
	{ method: 'GET', path: '/api/v1/media/:id', scope: 'write:media', run: poll },
	{
		method: 'POST',
		path: '/api/v1/statuses',
		scope: 'write:statuses',
		body: ['form', 'json'],
		run: create,
		fields: {
			...written,
			in_reply_to_id: text,
			visibility: one('public', 'unlisted', 'private', 'direct'),
			quoted_status_id: text,
			quote_approval_policy: one('public', 'followers', 'nobody'),
		},
	},
	{ method: 'GET', path: '/api/v1/statuses/:id', scope: 'read:statuses', run: read },
	{ method: 'GET', path: '/api/v1/statuses/:id/source', scope: 'read:statuses', run: source },
	{
		method: 'DELETE',
		path: '/api/v1/statuses/:id',
		scope: 'write:statuses',
		query: { delete_media: flag },
		run: remove,
		rate: 'delete',
	},
	{
		method: 'PUT',
		path: '/api/v1/statuses/:id',
		scope: 'write:statuses',
		body: ['form', 'json'],
		fields: { ...written, media_attributes: attributes },
		run: edit,
	},
	{
		method: 'GET',
		path: '/api/v1/accounts/:id/statuses',
		scope: 'read:statuses',
		anonymous: true,
		run: listed,
		query: {
			limit: matches(/^([1-9]|[1-3]\d|40)$/),
			max_id: text,
			since_id: text,
			min_id: text,
			exclude_reblogs: one('true', 'false'),
			exclude_replies: one('true', 'false'),
			only_media: one('true', 'false'),
			pinned: one('true', 'false'),
			tagged: text,
		},
	},
];
