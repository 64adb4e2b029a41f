/*
 * The answer, as libcurl hands it over.
 *
 * The one thing to know: interim heads (1xx) are forgotten when the next one begins, and trailers are not kept,
 * so the headers are those of the final head and nothing that comes after the body can change their meaning.
 */
#include "core/io/http_in.h"

#include <ctype.h>
#include <string.h>

#include "core/io/http.h"

#define HEADERS_MAX (64 * 1024)

void http_in_init(struct http_in *in, size_t answer_max)
{
	memset(in, 0, sizeof(*in));
	buf_init(&in->headers, HEADERS_MAX);
	buf_init(&in->body, answer_max);
}

void http_in_wipe(struct http_in *in)
{
	buf_wipe(&in->headers);
	buf_wipe(&in->body);
}

static bool status_line(struct http_in *in, const char *line, size_t n)
{
	if (n < 5 || memcmp(line, "HTTP/", 5) != 0)
		return false;
	in->head_seen = true;
	in->head_done = false;
	buf_reset(&in->headers);		/* after a 1xx the next head counts */
	return true;
}

static void header_keep(struct buf *out, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);
	const char *value;

	if (colon == NULL || colon == line || isspace((unsigned char)line[0]))
		return;
	for (const char *c = line; c < colon; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)	/* no name; a NUL would end the lines for who reads them as text */
			return;
	for (const char *c = line; c < colon; c++)
		buf_addc(out, (char)tolower((unsigned char)*c));
	buf_adds(out, ": ");
	while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	for (value = colon + 1; value < line + n && (*value == ' ' || *value == '\t'); value++)
		;
	for (; value < line + n; value++)
		buf_addc(out, (unsigned char)*value < ' ' ? ' ' : *value);
	buf_addc(out, '\n');
}

static size_t header_take(char *line, size_t size, size_t count, void *arg)
{
	struct http_in *in = arg;
	size_t all = size * count, n = all;

	while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n'))
		n--;
	if (status_line(in, line, n) || in->head_done)	/* what follows the head are trailers: not kept */
		return all;
	if (n == 0)
		in->head_done = true;
	else
		header_keep(&in->headers, line, n);
	if (buf_ok(&in->headers))
		return all;
	in->too_large = true;
	return 0;
}

static size_t body_take(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_in *in = arg;
	size_t n = size * count;

	in->too_large |= n > in->body.max - in->body.len;
	if (in->too_large)
		return 0;
	buf_add(&in->body, bytes, n);
	return buf_ok(&in->body) ? n : 0;
}

int http_in_setup(struct http_in *in, CURL *easy)
{
	int bad = (int)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_take);

	bad |= (int)curl_easy_setopt(easy, CURLOPT_HEADERDATA, in);
	bad |= (int)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_take);
	return bad | (int)curl_easy_setopt(easy, CURLOPT_WRITEDATA, in);
}

int64_t http_date(const char *text)
{
	time_t t = curl_getdate(text, NULL);

	return t > 0 ? (int64_t)t * 1000 : 0;
}
