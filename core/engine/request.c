/*
 * From records to a request: see request.h.  The records hold names of secrets and of media; only here, right
 * before the bytes leave, values and files take their place.
 */
#include "core/engine/request.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/engine/op.h"

static void put_secret(struct request *q, struct buf *out, const struct rec *r)
{
	struct op *op = q->op;
	const char *handle = arena_dup(&op->arena, r->value, r->value_len);

	if (!secret_write(op, arena_dup(&op->arena, r->key, r->key_len), handle, out)) {
		q->misuse = !text_starts(handle, "client.") && !text_starts(handle, "made:");
		q->fault = op->made_fault != NULL && strstr(handle, "made") != NULL ? op->made_fault
			: arena_printf(&op->arena, "no value for %s: set the app's credentials for this platform, or connect again", handle);
	}
}

/* A whole address, or a part behind the host: a name is asked for in the open, and stands in logs. */
static bool behind_host(const struct buf *url)
{
	const char *host = strstr(buf_text(url), "://");

	return url->len == 0 || (host != NULL && strpbrk(host + 3, "/?#") != NULL);
}

static void put_in_url(struct request *q, const struct rec *r)
{
	if (!behind_host(&q->url)) {
		q->fault = "the provider puts a secret into the host of a URL";
		q->misuse = true;
		return;
	}
	put_secret(q, &q->url, r);
	buf_addf(&q->shown, "{%.*s}", (int)r->value_len, r->value);
}

static void end_header(struct request *q)
{
	if (q->in_header)
		buf_addc(&q->headers, '\0');
	q->in_header = false;
}

/* ---- the body ------------------------------------------------------------------------------------------- */

static struct http_part *part_new(struct request *q)
{
	if (q->part_count == REQUEST_PARTS) {
		q->fault = "the request has more than 32 parts";
		return NULL;
	}
	q->starts[q->part_count] = q->body.len;
	return &q->parts[q->part_count++];
}

/* Literal bytes join the literal part before them. */
static void literal_begin(struct request *q)
{
	if (q->part_count == 0 || q->parts[q->part_count - 1].is_range)
		part_new(q);
}

static void add_range(struct request *q, const struct rec *r)
{
	struct op *op = q->op;
	int64_t index, offset, length;
	const char *range = arena_dup(&op->arena, r->value, r->value_len), *space = strchr(range, ' ');
	struct http_part *part;
	struct stat st;
	int fd;

	if (!text_int(arena_dup(&op->arena, r->key, r->key_len), &index) || index < 0 || index >= op->media_count || space == NULL ||
	    !text_int(arena_dup(&op->arena, range, (size_t)(space - range)), &offset) || !text_int(space + 1, &length)) {
		q->fault = "the provider names media that the post does not have";
		q->misuse = true;
		return;
	}
	fd = op->media_files[index] == NULL ? -1 : open(op->media_files[index], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0 || offset < 0 || length < 0 || offset > st.st_size || length > st.st_size - offset) {
		q->fault = arena_printf(&op->arena, "media %lld of the post is not there any more: upload it again, for a new post", (long long)index);
		q->code = "media_unreadable";
		if (fd >= 0)
			close(fd);
		return;
	}
	part = part_new(q);
	if (part == NULL) {
		close(fd);
		return;
	}
	*part = (struct http_part){.range = {fd, offset, length}, .is_range = true};
}

/* Literal parts point into the body only when it has stopped growing. */
static void fix_parts(struct request *q)
{
	for (int i = 0; i < q->part_count; i++) {
		size_t end = i + 1 < q->part_count ? q->starts[i + 1] : q->body.len;

		if (!q->parts[i].is_range) {
			q->parts[i].bytes = buf_text(&q->body) + q->starts[i];
			q->parts[i].n = end - q->starts[i];
		}
	}
}

/* ---- records -------------------------------------------------------------------------------------------- */

static void add_record(struct request *q, const struct rec *r)
{
	switch (r->kind) {
	case REC_DPOP: q->dpop = true; break;
	case REC_MADE: made_put(q->op, r); break;
	case REC_METHOD: q->method = arena_dup(&q->op->arena, r->key, r->key_len); break;
	case REC_URL:
		buf_add(&q->url, r->value, r->value_len);
		buf_add(&q->shown, r->value, r->value_len);
		break;
	case REC_URL_HANDLE: put_in_url(q, r); break;
	case REC_REQ_HEADER:
		if (r->key_len > 0) {
			end_header(q);
			buf_addf(&q->headers, "%.*s: ", (int)r->key_len, r->key);
		}
		buf_add(&q->headers, r->value, r->value_len);
		q->in_header = true;
		break;
	case REC_REQ_HEADER_HANDLE: put_secret(q, &q->headers, r); break;
	case REC_REQ_BODY:
		literal_begin(q);
		buf_add(&q->body, r->value, r->value_len);
		break;
	case REC_REQ_BODY_HANDLE:
		literal_begin(q);
		put_secret(q, &q->body, r);
		break;
	case REC_REQ_MEDIA: add_range(q, r); break;
	default: break;
	}
}

/* The URL as the provider wrote it, which is the one that its server knows. */
static void add_proof(struct request *q)
{
	q->op->dpop_url = NULL;
	if (!q->dpop || q->fault != NULL)
		return;
	q->op->dpop_url = arena_text(&q->op->arena, buf_text(&q->url));
	q->fault = dpop_header(q->op, q->method, q->op->dpop_url, &q->headers, &q->headers);
}

void request_build(struct request *q, struct op *op, const struct buf *records)
{
	size_t at = 0;
	struct rec r;

	memset(q, 0, sizeof *q);
	q->op = op;
	q->method = "GET";
	q->code = "platform_not_configured";
	buf_init(&q->url, 32768);
	buf_init(&q->headers, 65536);
	buf_init(&q->body, 2u << 20);
	buf_init(&q->shown, 32768);
	while (q->fault == NULL && rec_next(records->data, records->len, &at, &r, NULL))
		add_record(q, &r);
	made_clear(op);
	end_header(q);
	add_proof(q);
	buf_cut(&q->shown, strcspn(buf_text(&q->shown), "?#"));
	if (q->fault == NULL && (!buf_ok(&q->url) || !buf_ok(&q->headers) || !buf_ok(&q->body)))
		q->fault = "the request is larger than allowed";
	fix_parts(q);
}

void request_lines(const struct request *q, const char *lines[REQUEST_HEADERS + 1])
{
	size_t at = 0;
	int n = 0;

	while (at < q->headers.len && n < REQUEST_HEADERS) {
		lines[n++] = q->headers.data + at;
		at += strlen(q->headers.data + at) + 1;
	}
	lines[n] = NULL;
}

void request_hand_over(struct request *q)
{
	for (int i = 0; i < q->part_count; i++)
		if (q->parts[i].is_range && q->op->open_count < REQUEST_PARTS) {
			q->op->open_files[q->op->open_count++] = q->parts[i].range.fd;
			q->parts[i].is_range = false;
		}
}

void request_close(struct op *op)
{
	while (op->open_count > 0)
		close(op->open_files[--op->open_count]);
}

void request_free(struct request *q)
{
	for (int i = 0; i < q->part_count; i++)
		if (q->parts[i].is_range)
			close(q->parts[i].range.fd);
	buf_wipe(&q->url);
	buf_wipe(&q->headers);
	buf_wipe(&q->body);
	buf_free(&q->shown);
}
