/*
 * The JSON reader.
 *
 * The one thing to know: a document is two copies of its text.  One stays as it came (json_raw); in the other
 * every string is unescaped in place and every string and number ends with a NUL, so that json_text hands out
 * pointers and never allocates.  jsmn's tokens are turned into nodes of 16 bytes that know where their
 * subtree ends, and are then freed.
 */
#include "core/base/json.h"

#include <stdlib.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "core/base/jsoncheck.h"
#include "core/base/utf8.h"

#define TOKENS_MAX (256 * 1024)
#define SAFE_MAX 9007199254740991

struct node {
	uint32_t start, end;		/* bytes of the value; of a string without the quotes */
	uint32_t next;			/* the first node behind the subtree */
	uint32_t type : 3, count : 29;	/* elements, or members */
};

struct json_doc {
	const char *raw;
	char *text;
	struct node *nodes;
	/* where the last json_at or json_member was, so that walking in order does not start over */
	int32_t walk_in, walk_at;
	size_t walk_index;
};

/* ---- parsing ---- */

static enum rc fail_at(struct cx *cx, const char *text, size_t at, const char *words)
{
	size_t line = 1, column = 1;
	for (size_t i = 0; i < at; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xC0) != 0x80) {
			column++;
		}
	}
	return fail_code(cx, RC_INVALID, "invalid_json", NULL, "The JSON is not valid at byte %zu (line %zu, column %zu): %s.",
		at, line, column, words);
}

static uint32_t hex4(const char *s)
{
	uint32_t value = 0;
	for (int i = 0; i < 4; i++)
		value = value << 4 | (uint32_t)(s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
	return value;
}

/* Writes the character of the escape at `from` (checked before); returns how many bytes the escape has. */
static size_t unescape_one(const char *from, char *to, size_t *ret_written)
{
	static const char plain[] = "bfnrt", means[] = "\b\f\n\r\t";
	if (from[1] != 'u') {
		const char *p = strchr(plain, from[1]);
		*to = p ? means[p - plain] : from[1];
		*ret_written = 1;
		return 2;
	}
	uint32_t c = hex4(from + 2);
	bool pair = c >= 0xD800 && c <= 0xDBFF;
	if (pair)
		c = 0x10000 + ((c - 0xD800) << 10) + (hex4(from + 8) - 0xDC00);
	*ret_written = utf8_put(to, c);
	return pair ? 12 : 6;
}

/* Unescapes in place; never longer than before. */
static void unescape(char *text, uint32_t start, uint32_t end)
{
	char *from = memchr(text + start, '\\', end - start);
	char *to = from ? from : text + end;
	const char *stop = text + end;
	while (from && from < stop) {
		size_t written;
		if (*from == '\\') {
			from += unescape_one(from, to, &written);
			to += written;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static enum json_type token_type(const jsmntok_t *t, const char *raw)
{
	switch (t->type) {
	case JSMN_OBJECT: return JSON_OBJECT;
	case JSMN_ARRAY: return JSON_ARRAY;
	case JSMN_STRING: return JSON_STRING;
	default: break;
	}
	char c = raw[t->start];
	return c == 'n' ? JSON_NULL : c == 't' || c == 'f' ? JSON_BOOL : JSON_NUMBER;
}

static void build(struct json_doc *d, const jsmntok_t *tokens, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct node *node = &d->nodes[i];
		node->start = (uint32_t)tokens[i].start;
		node->end = (uint32_t)tokens[i].end;
		node->type = token_type(&tokens[i], d->raw) & 7;
		node->count = (uint32_t)tokens[i].size & 0x1FFFFFFF;
		if (node->type != JSON_OBJECT && node->type != JSON_ARRAY)
			unescape(d->text, node->start, node->end);
	}
	/* children stand behind their parents, so from the back every subtree is complete when it is read */
	for (size_t i = n; i-- > 0; ) {
		if (d->nodes[i].next == 0)
			d->nodes[i].next = (uint32_t)i + 1;
		if (tokens[i].parent < 0)
			continue;
		struct node *parent = &d->nodes[tokens[i].parent];
		if (parent->next < d->nodes[i].next)
			parent->next = d->nodes[i].next;
	}
}

struct member { const char *key; uint32_t node; };

static int member_compare(const void *a, const void *b)
{
	return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

/* Sorting keeps it far from quadratic, whatever names the sender chose. */
static bool find_twin(const struct json_doc *d, size_t object, struct member *room, size_t *ret_at)
{
	size_t n = 0;
	for (uint32_t k = (uint32_t)object + 1; n < d->nodes[object].count; k = d->nodes[k].next)
		room[n++] = (struct member){d->text + d->nodes[k].start, k};
	qsort(room, n, sizeof *room, member_compare);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(room[i - 1].key, room[i].key) != 0)
			continue;
		uint32_t later = room[i].node > room[i - 1].node ? room[i].node : room[i - 1].node;
		*ret_at = d->nodes[later].start;
		return true;
	}
	return false;
}

static enum rc refuse_twins(struct cx *cx, const struct json_doc *d, size_t n)
{
	size_t most = 0, at = 0;
	bool found = false;
	for (size_t i = 0; i < n; i++)
		if (d->nodes[i].type == JSON_OBJECT && d->nodes[i].count > most)
			most = d->nodes[i].count;
	if (most < 2)
		return RC_OK;
	struct member *room = calloc(most, sizeof *room);
	if (!room)
		return fail(cx, RC_NOMEM, "Out of memory while reading JSON.");
	for (size_t i = 0; i < n && !found; i++)
		if (d->nodes[i].type == JSON_OBJECT && d->nodes[i].count > 1)
			found = find_twin(d, i, room, &at);
	free(room);
	return found ? fail_at(cx, d->raw, at, "this member name occurs twice in its object") : RC_OK;
}

static enum rc tokenize(struct cx *cx, struct json_doc *d, size_t len, size_t n)
{
	jsmn_parser parser;
	jsmntok_t *tokens = calloc(n, sizeof *tokens);
	if (!tokens)
		return fail(cx, RC_NOMEM, "Out of memory while reading JSON.");
	jsmn_init(&parser);
	int got = jsmn_parse(&parser, d->raw, len + 1, tokens, (unsigned)n);
	if (got == (int)n)
		build(d, tokens, n);
	free(tokens);
	return got == (int)n ? RC_OK : fail(cx, RC_BUG, "jsmn found %d tokens where the check counted %zu.", got, n);
}

enum rc json_parse(struct cx *cx, struct arena *a, const char *text, size_t len, struct jv *ret_root)
{
	struct json_fault fault;
	if (len > a->max)
		return fail_code(cx, RC_TOO_LARGE, "invalid_json", NULL, "The JSON has %zu bytes; that is too large.", len);
	size_t n = json_check(text, len, &fault);
	if (n == 0)
		return fail_at(cx, text, fault.at, fault.words);
	size_t need = sizeof(struct json_doc) + 2 * len + n * sizeof(struct node) + 128;
	if (n > TOKENS_MAX || need > a->max - (a->used < a->max ? a->used : a->max) || len > INT32_MAX)
		return fail_code(cx, RC_TOO_LARGE, "invalid_json", NULL,
			"The JSON holds %zu values and names in %zu bytes; that is too large.", n, len);

	struct json_doc *d = arena_new(a, struct json_doc);
	char *raw = arena_alloc(a, len + 2);
	memcpy(raw, text, len);
	raw[len] = ' ';	/* strict jsmn wants something behind a number that is the whole text */
	d->raw = raw;
	d->text = arena_dup(a, text, len);
	d->nodes = arena_array(a, struct node, n);
	d->walk_in = -1;
	enum rc rc = tokenize(cx, d, len, n);
	if (rc == RC_OK)
		rc = refuse_twins(cx, d, n);
	if (rc == RC_OK)
		*ret_root = (struct jv){d, 0};
	return rc;
}

/* ---- reading ---- */

static const struct node *node_of(struct jv v)
{
	return v.doc ? &v.doc->nodes[v.at] : NULL;
}

static struct jv jv_of(struct jv v, uint32_t at)
{
	return (struct jv){v.doc, (int32_t)at};
}

enum json_type json_type(struct jv v)
{
	const struct node *node = node_of(v);
	return node ? (enum json_type)node->type : JSON_NONE;
}

size_t json_count(struct jv v)
{
	enum json_type type = json_type(v);
	return type == JSON_ARRAY || type == JSON_OBJECT ? node_of(v)->count : 0;
}

static struct jv get_n(struct jv v, const char *key, size_t n)
{
	size_t left = json_type(v) == JSON_OBJECT ? json_count(v) : 0;
	for (uint32_t k = (uint32_t)v.at + 1; left > 0; k = v.doc->nodes[k].next, left--) {
		const char *name = v.doc->text + v.doc->nodes[k].start;
		if (strncmp(name, key, n) == 0 && name[n] == '\0')
			return jv_of(v, k + 1);
	}
	return (struct jv){0};
}

struct jv json_get(struct jv v, const char *key)
{
	return get_n(v, key, strlen(key));
}

/* The node of the element, or of the member's name; the caller has checked the index. */
static uint32_t walk(struct jv v, size_t index)
{
	struct json_doc *d = (struct json_doc *)(uintptr_t)v.doc;	/* only the walk is ever changed */
	if (d->walk_in != v.at || d->walk_index > index) {
		d->walk_in = v.at;
		d->walk_at = v.at + 1;
		d->walk_index = 0;
	}
	for (; d->walk_index < index; d->walk_index++)
		d->walk_at = (int32_t)d->nodes[d->walk_at].next;
	return (uint32_t)d->walk_at;
}

struct jv json_at(struct jv v, size_t index)
{
	if (json_type(v) != JSON_ARRAY || index >= json_count(v))
		return (struct jv){0};
	return jv_of(v, walk(v, index));
}

bool json_member(struct jv v, size_t index, const char **ret_key, struct jv *ret_value)
{
	if (json_type(v) != JSON_OBJECT || index >= json_count(v))
		return false;
	uint32_t key = walk(v, index);
	*ret_key = v.doc->text + v.doc->nodes[key].start;
	*ret_value = jv_of(v, key + 1);
	return true;
}

static bool read_index(const char *s, size_t n, size_t *ret)
{
	size_t value = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		value = value * 10 + (size_t)(s[i] - '0');
	}
	*ret = value;
	return n > 0 && n < 10;
}

struct jv json_path(struct jv v, const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "."), index;
		if (json_type(v) == JSON_ARRAY)
			v = read_index(path, n, &index) ? json_at(v, index) : (struct jv){0};
		else
			v = get_n(v, path, n);
		if (path[n] == '\0' || !v.doc)
			return v;
		path += n + 1;
	}
}

const char *json_text(struct jv v)
{
	enum json_type type = json_type(v);
	bool plain = type == JSON_STRING || type == JSON_NUMBER || type == JSON_BOOL;
	return plain ? v.doc->text + node_of(v)->start : NULL;
}

const char *json_text_or(struct jv v, const char *fallback)
{
	const char *text = json_text(v);
	return text ? text : fallback;
}

bool json_int(struct jv v, int64_t *ret)
{
	if (json_type(v) != JSON_NUMBER)
		return false;
	const char *text = json_text(v);
	const char *digits = text + (text[0] == '-');
	size_t n = strlen(digits);
	if (n > 16 || strspn(digits, "0123456789") != n)
		return false;
	int64_t value = 0;
	for (size_t i = 0; i < n; i++)
		value = value * 10 + (digits[i] - '0');
	if (value > SAFE_MAX)
		return false;
	*ret = text[0] == '-' ? -value : value;
	return true;
}

bool json_bool(struct jv v, bool *ret)
{
	if (json_type(v) != JSON_BOOL)
		return false;
	*ret = json_text(v)[0] == 't';
	return true;
}

const char *json_raw(struct jv v, size_t *ret_len)
{
	const struct node *node = node_of(v);
	if (!node) {
		*ret_len = 0;
		return NULL;
	}
	uint32_t quote = node->type == JSON_STRING;
	*ret_len = node->end - node->start + 2 * quote;
	return v.doc->raw + node->start - quote;
}
