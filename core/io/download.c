/*
 * Downloads: see download.h.
 *
 * The one thing to know: a redirect is never followed by libcurl.  Its target comes back as text and goes through
 * the guard like the address that the person gave.
 */
#include "core/io/download.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/io/http_guard.h"

#define HOPS_MAX 3			/* redirects */
#define CONNECT_MS 10000L
#define HEAD_MAX (64 * 1024)
#define URL_MAX 8192

struct hop {
	const struct download *d;
	struct cx *cx;
	CURL *easy;
	struct http_target target;
	int64_t bytes;
	size_t head;
	bool too_large, refused;
	enum rc taken;			/* what take said last */
	char guard_words[HTTP_WORDS_SIZE], curl_words[CURL_ERROR_SIZE], next[URL_MAX];
};

static enum rc unreachable(struct cx *cx, const char *words)
{
	return fail_code(cx, RC_INVALID, "media_unreachable", NULL, "The address could not be fetched: %s.", words);
}

/* ---- what libcurl calls ---- */

static curl_socket_t socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct hop *h = arg;

	if (purpose != CURLSOCKTYPE_IPCXN || !http_guard_address(&h->target, &address->addr, address->addrlen, h->guard_words)) {
		h->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t head_take(char *bytes, size_t size, size_t n, void *arg)
{
	struct hop *h = arg;

	(void)bytes;
	h->head += size * n;
	return h->head <= HEAD_MAX ? size * n : 0;
}

static long status_of(CURL *easy)
{
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

/* Only the body of a 200 is wanted; another one is not read. */
static size_t body_take(char *bytes, size_t size, size_t n, void *arg)
{
	struct hop *h = arg;

	n *= size;
	if (status_of(h->easy) != 200)
		return 0;
	h->too_large = (int64_t)n > h->d->bytes_max - h->bytes;
	if (h->too_large)
		return 0;
	h->bytes += (int64_t)n;
	h->taken = h->d->take(h->cx, h->d->arg, bytes, n);
	return h->taken == RC_OK ? n : 0;
}

static int go_on(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t e)
{
	struct hop *h = arg;

	(void)a, (void)b, (void)c, (void)e;
	return h->d->stop != NULL && *h->d->stop;
}

/* ---- one hop ---- */

#define SET(option, value) (bad |= (int)curl_easy_setopt(h->easy, (option), (value)))

static int setup_guard(struct hop *h)
{
	int bad = 0;

	SET(CURLOPT_CURLU, h->target.url);
	SET(CURLOPT_PROTOCOLS_STR, h->target.pinned.family != 0 ? "http,https" : "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_OPENSOCKETFUNCTION, socket_open);
	SET(CURLOPT_OPENSOCKETDATA, h);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (h->d->ca_file != NULL)
		SET(CURLOPT_CAINFO, h->d->ca_file);
	return bad;
}

static int setup_flow(struct hop *h, int64_t left_ms)
{
	int bad = 0;

	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_USERAGENT, "mypostshare");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, left_ms < CONNECT_MS ? (long)left_ms : CONNECT_MS);
	SET(CURLOPT_TIMEOUT_MS, (long)left_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1024L);
	SET(CURLOPT_LOW_SPEED_TIME, (long)h->d->stall_s);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)h->d->bytes_max);
	SET(CURLOPT_HEADERFUNCTION, head_take);
	SET(CURLOPT_HEADERDATA, h);
	SET(CURLOPT_WRITEFUNCTION, body_take);
	SET(CURLOPT_WRITEDATA, h);
	SET(CURLOPT_XFERINFOFUNCTION, go_on);
	SET(CURLOPT_XFERINFODATA, h);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_ERRORBUFFER, h->curl_words);
	return bad;
}

/* h->next is set if it leads elsewhere. */
static enum rc judge(struct hop *h, CURLcode code)
{
	long status = status_of(h->easy);
	char *next = NULL;

	if (h->taken != RC_OK)
		return h->taken;
	if (h->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return fail_code(h->cx, RC_INVALID, "media_too_large", NULL, "The file at the address is larger than %lld bytes.",
			(long long)h->d->bytes_max);
	if (h->refused && status == 0)
		return unreachable(h->cx, h->guard_words);
	curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &next);
	if (status >= 300 && status < 400 && next != NULL && strlen(next) < URL_MAX) {
		snprintf(h->next, sizeof h->next, "%s", next);
		return RC_OK;
	}
	if (status != 0 && status != 200)
		return fail_code(h->cx, RC_INVALID, "media_unreachable", NULL, "The address answers with status %ld.", status);
	if (code != CURLE_OK)
		return unreachable(h->cx, h->curl_words[0] != '\0' ? h->curl_words : curl_easy_strerror(code));
	return RC_OK;
}

static enum rc hop_run(struct hop *h, const struct http_guard *guard, const char *url, int64_t left_ms)
{
	enum rc rc;

	h->next[0] = '\0';
	if (!http_guard_url(guard, HTTP_USER, url, &h->target, h->guard_words))
		return unreachable(h->cx, h->guard_words);
	h->easy = curl_easy_init();
	if (h->easy == NULL || setup_guard(h) != 0 || setup_flow(h, left_ms) != 0)
		rc = fail(h->cx, RC_NOMEM, "the download could not be set up");
	else
		rc = judge(h, curl_easy_perform(h->easy));
	curl_easy_cleanup(h->easy);
	http_target_free(&h->target);
	return rc;
}

static enum rc hops_run(struct cx *cx, const struct download *d, const struct http_guard *guard, const char *first)
{
	int64_t end = clock_mono() + (int64_t)d->total_s * 1000;
	char url[URL_MAX];
	enum rc rc = RC_OK;
	struct hop *h;

	if (snprintf(url, sizeof url, "%s", first) >= (int)sizeof url)
		return unreachable(cx, "the URL is too long");
	h = calloc(1, sizeof *h);
	if (h == NULL)
		return fail(cx, RC_NOMEM, "out of memory");
	for (int i = 0; i <= HOPS_MAX && rc == RC_OK; i++) {
		int64_t left = end - clock_mono();

		memset(h, 0, sizeof *h);
		h->d = d;
		h->cx = cx;
		rc = left > 0 ? hop_run(h, guard, url, left) : unreachable(cx, "it takes too long");
		if (rc == RC_OK && h->next[0] == '\0') {
			free(h);
			return RC_OK;
		}
		memcpy(url, h->next, sizeof url);
	}
	free(h);
	return rc != RC_OK ? rc : unreachable(cx, "it leads on more than 3 times");
}

enum rc download_run(struct cx *cx, const struct download *d, const char *url)
{
	struct http_config config = {.allow = d->allow};
	struct http_guard guard;
	enum rc rc = http_start(cx);

	if (rc == RC_OK)
		rc = http_guard_init(cx, &guard, &config);
	if (rc != RC_OK)
		return rc;
	rc = hops_run(cx, d, &guard, url);
	http_guard_free(&guard);
	return rc;
}
