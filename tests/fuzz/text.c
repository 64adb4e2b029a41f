/*
 * Texts: UTF-8 and what platforms count, the encodings, numbers, ids and API keys.
 *
 * Every encoding goes there and back; what a strict decoder takes is the one spelling that the encoder writes.
 */
#include "fuzz.h"

#include <errno.h>

#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/utf8.h"
#include "core/io/vault.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	return 0;
}

/* ---- characters ----------------------------------------------------------------------------------------- */

/* A character by its ranges (Unicode's table of well-formed bytes), not by its bits as utf8.h does it. */
static size_t point_length(const uint8_t *s, size_t n)
{
	static const struct { uint8_t a, b, c, d; size_t more; } rows[] = {
		{0x00, 0x7F, 0, 0, 0}, {0xC2, 0xDF, 0x80, 0xBF, 1}, {0xE0, 0xE0, 0xA0, 0xBF, 2}, {0xE1, 0xEC, 0x80, 0xBF, 2},
		{0xED, 0xED, 0x80, 0x9F, 2}, {0xEE, 0xEF, 0x80, 0xBF, 2}, {0xF0, 0xF0, 0x90, 0xBF, 3}, {0xF1, 0xF3, 0x80, 0xBF, 3},
		{0xF4, 0xF4, 0x80, 0x8F, 3},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (s[0] < rows[i].a || s[0] > rows[i].b || n < rows[i].more + 1)
			continue;
		if (rows[i].more > 0 && (s[1] < rows[i].c || s[1] > rows[i].d))
			return 0;
		for (size_t k = 2; k <= rows[i].more; k++)
			if ((s[k] & 0xC0) != 0x80)
				return 0;
		return rows[i].more + 1;
	}
	return 0;
}

static void characters(const uint8_t *s, size_t n)
{
	bool good = true;
	uint32_t c;
	char out[4];

	for (size_t i = 0, len; i < n; i += len ? len : 1) {
		len = point_length(s + i, n - i);
		good = good && len > 0 && s[i] != 0;
		MUST(utf8_next((const char *)s + i, n - i, &c) == len);
		if (len > 0)
			MUST(utf8_put(out, c) == len && memcmp(out, s + i, len) == 0);
	}
	MUST(text_utf8((const char *)s, n) == good);
}

static void counts(const char *text)
{
	size_t points = 0, units = 0, n = strlen(text);

	for (size_t i = 0, len; i < n; i += len ? len : 1) {
		len = point_length((const uint8_t *)text + i, n - i);
		points++;
		units += len == 4 ? 2 : 1;
	}
	MUST(text_points(text) == points);
	MUST(text_utf16(text) == units);
	if (text_utf8(text, n)) {
		MUST(text_graphemes(text) <= points);
		MUST((text_graphemes(text) == 0) == (n == 0));
	}
	(void)text_graphemes(text);
	(void)text_printable(text);
}

/* ---- encodings ------------------------------------------------------------------------------------------ */

static void there_and_back(const char *s, size_t n, bool form)
{
	struct buf coded BUF_AUTO, back BUF_AUTO;

	buf_init(&coded, 1 << 20);
	buf_init(&back, 1 << 20);
	form ? text_form(&coded, s, n) : text_percent(&coded, s, n);
	MUST(strspn(buf_text(&coded), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%+") == coded.len);
	MUST(text_unpercent(&back, buf_text(&coded), coded.len, form) == (memchr(s, 0, n) == NULL));
	if (memchr(s, 0, n) == NULL)
		MUST(back.len == n && memcmp(buf_text(&back), s, n) == 0);
}

static void percent_decode(const char *s, size_t n)
{
	struct buf plain BUF_AUTO;

	buf_init(&plain, 1 << 20);
	if (text_unpercent(&plain, s, n, false)) {
		MUST(plain.len <= n && memchr(buf_text(&plain), 0, plain.len) == NULL);
		there_and_back(buf_text(&plain), plain.len, false);
	}
}

static void base64(const char *s, size_t n)
{
	struct buf coded BUF_AUTO, back BUF_AUTO, plain BUF_AUTO;

	buf_init(&coded, 1 << 20);
	buf_init(&back, 1 << 20);
	buf_init(&plain, 1 << 20);
	text_base64url(&coded, s, n);
	MUST(text_unbase64url(&back, buf_text(&coded), coded.len) && back.len == n && memcmp(buf_text(&back), s, n) == 0);
	buf_reset(&coded);
	if (text_unbase64url(&plain, s, n)) {
		text_base64url(&coded, buf_text(&plain), plain.len);
		MUST_SAY(coded.len == n && memcmp(buf_text(&coded), s, n) == 0, "a second spelling of %zu bytes", plain.len);
	}
	buf_reset(&coded);
	text_base64(&coded, s, n);
	MUST(coded.len == (n + 2) / 3 * 4);
	buf_reset(&coded);
	text_hex(&coded, s, n);
	MUST(coded.len == 2 * n);
}

static void html(const char *text)
{
	struct buf out BUF_AUTO;

	buf_init(&out, 1 << 20);
	text_html(&out, text);
	MUST(strpbrk(buf_text(&out), "<>\"'") == NULL);
	for (const char *amp = strchr(buf_text(&out), '&'); amp != NULL; amp = strchr(amp + 1, '&'))
		MUST(strncmp(amp, "&amp;", 5) == 0 || strncmp(amp, "&lt;", 4) == 0 || strncmp(amp, "&gt;", 4) == 0 ||
		     strncmp(amp, "&quot;", 6) == 0 || strncmp(amp, "&#39;", 5) == 0);
}

/* ---- numbers and names ---------------------------------------------------------------------------------- */

static void numbers(const char *text)
{
	char *end;
	int64_t value;
	long long other;

	errno = 0;
	other = strtoll(text, &end, 10);
	if (text_int(text, &value))
		MUST(errno == 0 && *end == '\0' && other == value && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')));
	else
		MUST(errno != 0 || end == text || *end != '\0' || strchr(" \t\n\v\f\r+", text[0]) != NULL);
}

static void names(const char *text)
{
	static const char *const words[] = {"posts:read", "posts:write", "all", "listen", "public_url", NULL};
	char key_id[9], made[VAULT_API_KEY_MAX];
	const char *near = text_nearest(text, words);
	int live;

	MUST(near == NULL || strlen(near) <= 64);
	if (id_valid(text, "post"))
		MUST(strlen(text) == 31 && strchr("01234567", text[5]) != NULL);
	if (vault_api_key_read(text, &live, key_id))
		MUST(strlen(text) == 55 && strlen(key_id) == 8 && memcmp(text + 9, key_id, 8) == 0 && text[4] == (live ? 'l' : 't'));
	/* one letter of a good key changed is never another good key */
	snprintf(made, sizeof made, "mps_test_0123456789abcdefghijklmnopqrstuvwxyzABCD%.6s", text);
	if (strlen(made) == 55 && vault_api_key_read(made, &live, key_id)) {
		made[20] = made[20] == 'Z' ? 'Y' : 'Z';
		MUST(!vault_api_key_read(made, &live, key_id));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size), *bytes = malloc(size ? size : 1);

	memcpy(bytes, data, size);	/* without NUL behind it */
	characters((const uint8_t *)bytes, size);
	there_and_back(bytes, size, false);
	there_and_back(bytes, size, true);
	percent_decode(bytes, size);
	base64(bytes, size);
	counts(text);
	html(text);
	numbers(text);
	names(text);
	free(bytes);
	free(text);
	return 0;
}
