/*
 * JSON: the strict check, the reader and the writer.
 *
 * What is read must be what SQLite's parser takes too, and what SQLite takes and we refuse must be refused for a
 * reason that is known; what is written again must read as the same tree.
 */
#include "fuzz.h"

#include <sqlite3.h>

#include "core/base/json.h"
#include "core/base/jsoncheck.h"
#include "core/base/jsonw.h"
#include "core/base/log.h"

#define MEMORY (16u << 20)

static sqlite3_stmt *valid;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	sqlite3 *db;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	MUST(sqlite3_open(":memory:", &db) == SQLITE_OK);
	MUST(sqlite3_prepare_v2(db, "SELECT json_valid(?1)", -1, &valid, NULL) == SQLITE_OK);
	return 0;
}

/* ---- the other reader ----------------------------------------------------------------------------------- */

static bool sqlite_takes(const char *text, size_t n)
{
	bool takes;

	sqlite3_bind_text(valid, 1, text, (int)n, SQLITE_STATIC);
	MUST(sqlite3_step(valid) == SQLITE_ROW);
	takes = sqlite3_column_int(valid, 0) == 1;
	sqlite3_reset(valid);
	return takes;
}

/* What RFC 8259 forbids, or we do beyond it, and SQLite 3.40 lets pass. */
static bool lax_there(const char *words)
{
	static const char *const known[] = {
		"control character", "NUL", "UTF-8", "surrogate", "deeper", "occurs twice", "too large",
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strstr(words, known[i]) != NULL)
			return true;
	return false;
}

/* ---- round trip ----------------------------------------------------------------------------------------- */

static void write_again(struct jsonw *w, const char *key, struct jv v)
{
	const char *name, *raw;
	struct jv value;
	size_t n;
	bool yes;

	switch (json_type(v)) {
	case JSON_OBJECT:
		jsonw_object(w, key);
		for (size_t i = 0; json_member(v, i, &name, &value); i++)
			write_again(w, name, value);
		jsonw_object_end(w);
		break;
	case JSON_ARRAY:
		jsonw_array(w, key);
		for (size_t i = 0; i < json_count(v); i++)
			write_again(w, NULL, json_at(v, i));
		jsonw_array_end(w);
		break;
	case JSON_STRING: jsonw_text(w, key, json_text(v)); break;
	case JSON_BOOL: MUST(json_bool(v, &yes)); jsonw_bool(w, key, yes); break;
	case JSON_NUMBER: raw = json_raw(v, &n); jsonw_raw(w, key, raw, n); break;
	case JSON_NULL: jsonw_null(w, key); break;
	case JSON_NONE: MUST(false);
	}
}

/* A value's own bytes are the same value. */
static void raw_check(struct jv v)
{
	struct arena a ARENA_AUTO;
	const char *raw;
	struct jv alone;
	struct cx cx;
	size_t n;

	arena_init(&a, MEMORY);
	cx_init(&cx, NULL);
	raw = json_raw(v, &n);
	MUST(json_parse(&cx, &a, raw, n, &alone) == RC_OK && json_type(alone) == json_type(v) && strcmp(json_text(alone), json_text(v)) == 0);
}

static void same(struct jv a, struct jv b)
{
	const char *x, *y;
	struct jv p, q;

	MUST(json_type(a) == json_type(b) && json_count(a) == json_count(b));
	x = json_text(a), y = json_text(b);
	MUST((x == NULL) == (y == NULL) && (x == NULL || strcmp(x, y) == 0));
	if (x != NULL)
		raw_check(a);
	for (size_t i = 0; json_type(a) == JSON_ARRAY && i < json_count(a); i++)
		same(json_at(a, i), json_at(b, i));
	for (size_t i = 0; json_member(a, i, &x, &p); i++) {
		MUST(json_member(b, i, &y, &q) && strcmp(x, y) == 0);
		MUST(json_get(a, x).at == p.at);	/* the walk and the search find the same value */
		same(p, q);
	}
}

static void number_check(struct jv v)
{
	int64_t value;
	char text[32];

	if (json_int(v, &value)) {
		snprintf(text, sizeof text, "%lld", (long long)value);
		MUST(strcmp(json_text(v), text) == 0 || strcmp(json_text(v), "-0") == 0);
		MUST(value >= -9007199254740991 && value <= 9007199254740991);
	}
}

static void round_trip(struct jv root)
{
	struct arena a ARENA_AUTO;
	struct buf out BUF_AUTO;
	struct jsonw w;
	struct jv again;
	struct cx cx;

	arena_init(&a, 4 * MEMORY);
	buf_init(&out, MEMORY);
	cx_init(&cx, NULL);
	jsonw_init(&w, &out);
	write_again(&w, "", root);
	jsonw_end(&w);
	MUST_SAY(json_parse(&cx, &a, buf_text(&out), out.len, &again) == RC_OK, "what we wrote cannot be read: %s: %s", cx.words, buf_text(&out));
	same(root, again);
	number_check(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a ARENA_AUTO;
	struct json_fault fault = {0};
	char *text = malloc(size ? size : 1);
	struct jv root;
	struct cx cx;
	enum rc rc;

	memcpy(text, data, size);
	arena_init(&a, MEMORY);
	cx_init(&cx, NULL);
	rc = json_parse(&cx, &a, text, size, &root);
	if (rc == RC_OK) {
		MUST_SAY(sqlite_takes(text, size), "we take what SQLite refuses");
		round_trip(root);
	} else {
		MUST(cx.words[0] != '\0');
		MUST_SAY(memchr(text, 0, size) != NULL || !sqlite_takes(text, size) || lax_there(cx.words), "we refuse what SQLite takes: %s",
			cx.words);
		if (json_check(text, size, &fault) == 0)
			MUST(fault.at <= size && fault.words != NULL);
	}
	free(text);
	return 0;
}
