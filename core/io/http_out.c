/*
 * Method, headers and body of an outgoing request.
 *
 * The one thing to know: the length of the body is settled before the first byte leaves, and file ranges are
 * checked against their files then, so a request that cannot be completed is refused instead of cut off.
 */
#include "core/io/http_out.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADERS_MAX (64 * 1024)

struct http_piece {
	char *bytes;			/* NULL: read from the range */
	struct http_range range;	/* its length counts for both */
};

static const struct method { const char *name; bool body; } methods[] = {
	{ "GET", false }, { "HEAD", false }, { "POST", true }, { "PUT", true },
	{ "PATCH", true }, { "DELETE", false }, { "OPTIONS", false },
};

/* Framing and routing are ours: who sets these could smuggle a second request or reach another host. */
static const char *const own_headers[] = {
	"Content-Length", "Transfer-Encoding", "TE", "Trailer", "Expect", "Host", "Connection", "Keep-Alive",
	"Upgrade", "Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings", NULL
};

static bool refuse(char words[HTTP_WORDS_SIZE], const char *text)
{
	snprintf(words, HTTP_WORDS_SIZE, "%s", text);
	return false;
}

static bool method_set(struct http_out *out, const char *name, char words[HTTP_WORDS_SIZE])
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(methods[i].name, name) != 0)
			continue;
		out->method = methods[i].name;
		out->has_body = methods[i].body;
		return true;
	}
	return refuse(words, "the request method is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

/* Length of the header's name, 0 if it has no valid one. */
static size_t name_length(const char *header)
{
	size_t n = 0;

	while (isalnum((unsigned char)header[n]) || (header[n] != '\0' && strchr("!#$%&'*+-.^_`|~", header[n])))
		n++;
	return header[n] == ':' ? n : 0;
}

static bool name_is(const char *header, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(header, name, n) == 0 && header[n] == ':';
}

static bool header_check(const char *header, char words[HTTP_WORDS_SIZE])
{
	size_t n = name_length(header);

	if (n == 0)
		return refuse(words, "a request header has no valid name");
	for (const char *c = header + n; *c != '\0'; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return refuse(words, "a request header has a control character");
	for (size_t i = 0; own_headers[i] != NULL; i++)
		if (name_is(header, own_headers[i]))
			return refuse(words, "a request header sets framing or routing, which is not the caller's to set");
	return true;
}

static bool line_add(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer == NULL)
		return false;
	*list = longer;
	return true;
}

/* libcurl takes "Name:" for "leave it out"; a header that is really empty is written "Name;". */
static bool header_add(struct curl_slist **list, const char *header)
{
	size_t n = name_length(header);
	char *empty;
	bool added;

	if (header[n + 1 + strspn(header + n + 1, " \t")] != '\0')
		return line_add(list, header);
	empty = strndup(header, n + 1);
	if (empty == NULL)
		return false;
	empty[n] = ';';
	added = line_add(list, empty);
	free(empty);
	return added;
}

static bool headers_copy(struct http_out *out, const char *const *headers, char words[HTTP_WORDS_SIZE])
{
	bool typed = false, agent = false, added = true;
	size_t bytes = 0;

	for (size_t i = 0; added && headers != NULL && headers[i] != NULL; i++) {
		bytes += strnlen(headers[i], HEADERS_MAX) + 2;
		if (bytes > HEADERS_MAX)
			return refuse(words, "the request headers are over 64 KiB");
		if (!header_check(headers[i], words))
			return false;
		typed |= name_is(headers[i], "Content-Type");
		agent |= name_is(headers[i], "User-Agent");
		added = header_add(&out->headers, headers[i]);
	}
	/* What libcurl would add by itself: a form's type, and a wait for "100 Continue". */
	added = added && (typed || line_add(&out->headers, "Content-Type:"));
	added = added && (agent || line_add(&out->headers, "User-Agent: mypostshare"));
	added = added && line_add(&out->headers, "Expect:");
	return added || refuse(words, "out of memory");
}

static bool range_check(const struct http_range *range, char words[HTTP_WORDS_SIZE])
{
	struct stat st;

	if (range->offset < 0 || range->length < 0 || range->offset > INT64_MAX - range->length)
		return refuse(words, "a body range is negative or too long");
	if (fstat(range->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return refuse(words, "a body range is not of an open regular file");
	if (range->offset + range->length > st.st_size)
		return refuse(words, "a body range ends behind its file");
	return true;
}

static bool piece_copy(struct http_out *out, const struct http_part *part, char words[HTTP_WORDS_SIZE])
{
	struct http_piece *piece = &out->pieces[out->piece_count];
	int64_t length = part->is_range ? part->range.length : (int64_t)part->n;

	if (part->is_range && !range_check(&part->range, words))
		return false;
	if (out->total > INT64_MAX - length)
		return refuse(words, "the body is too long");
	if (length == 0)
		return true;
	piece->range = part->range;
	piece->range.length = length;
	piece->bytes = NULL;
	if (!part->is_range) {
		piece->bytes = malloc(part->n);
		if (piece->bytes == NULL)
			return refuse(words, "out of memory");
		memcpy(piece->bytes, part->bytes, part->n);
	}
	out->piece_count++;
	out->total += length;
	return true;
}

bool http_out_init(struct http_out *out, const struct http_request *request, char words[HTTP_WORDS_SIZE])
{
	memset(out, 0, sizeof(*out));
	if (!method_set(out, request->method, words) || !headers_copy(out, request->headers, words))
		return false;
	out->pieces = calloc(request->part_count + 1, sizeof(*out->pieces));
	if (out->pieces == NULL)
		return refuse(words, "out of memory");
	for (size_t i = 0; i < request->part_count; i++)
		if (!piece_copy(out, &request->parts[i], words))
			return false;
	out->has_body |= out->total > 0;
	return true;
}

void http_out_free(struct http_out *out)
{
	for (struct curl_slist *line = out->headers; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(out->headers);
	for (size_t i = 0; i < out->piece_count; i++) {
		if (out->pieces[i].bytes != NULL)
			explicit_bzero(out->pieces[i].bytes, (size_t)out->pieces[i].range.length);
		free(out->pieces[i].bytes);
	}
	free(out->pieces);
	memset(out, 0, sizeof(*out));
}

/* At most n bytes of one piece from offset skip; 0: the file became shorter or cannot be read. */
static size_t piece_read(const struct http_piece *piece, int64_t skip, char *to, size_t n)
{
	int64_t left = piece->range.length - skip;
	ssize_t got;

	if (left < (int64_t)n)
		n = (size_t)left;
	if (piece->bytes != NULL) {
		memcpy(to, piece->bytes + skip, n);
		return n;
	}
	got = pread(piece->range.fd, to, n, piece->range.offset + skip);
	return got > 0 ? (size_t)got : 0;
}

static size_t body_read(char *to, size_t size, size_t count, void *arg)
{
	struct http_out *out = arg;
	size_t room = size * count, filled = 0;
	int64_t start = 0;

	for (size_t i = 0; i < out->piece_count && filled < room; i++) {
		const struct http_piece *piece = &out->pieces[i];

		while (out->at < start + piece->range.length && filled < room) {
			size_t n = piece_read(piece, out->at - start, to + filled, room - filled);

			if (n == 0)
				return CURL_READFUNC_ABORT;
			filled += n;
			out->at += (int64_t)n;
		}
		start += piece->range.length;
	}
	return filled;
}

static int body_seek(void *arg, curl_off_t offset, int origin)
{
	struct http_out *out = arg;

	if (origin != SEEK_SET || offset < 0 || offset > out->total)
		return CURL_SEEKFUNC_FAIL;
	out->at = offset;
	return CURL_SEEKFUNC_OK;
}

int http_out_setup(struct http_out *out, CURL *easy)
{
	int bad = (int)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, out->headers);

	if (strcmp(out->method, "HEAD") == 0)
		return bad | (int)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (out->has_body) {
		bad |= (int)curl_easy_setopt(easy, CURLOPT_POST, 1L);
		bad |= (int)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)out->total);
		bad |= (int)curl_easy_setopt(easy, CURLOPT_READFUNCTION, body_read);
		bad |= (int)curl_easy_setopt(easy, CURLOPT_READDATA, out);
		bad |= (int)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, body_seek);
		bad |= (int)curl_easy_setopt(easy, CURLOPT_SEEKDATA, out);
	}
	if (strcmp(out->method, out->has_body ? "POST" : "GET") != 0)
		bad |= (int)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, out->method);
	return bad;
}
