/*
 * Idempotency keys: up to six writes of two organizations, against the frame and a real store.
 *
 * A line is one request: organization, Idempotency-Key, X-Idempotency-Key ("-": none) and body, parted by '|'.  A
 * list kept here says what must happen: the first write of a key has its effect, the same again has none and gets
 * the same bytes, another under that key is refused, and a key that is no key has no effect at all.
 */
#include "fuzz.h"

#include <ftw.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/web_conn.h"
#include "core/model/installation.h"

#define REQUESTS 6

static struct api api;
static struct installation installation;
static char folder[64], owners[2][32];
static unsigned effects, inputs;
static const char *reading;		/* what is left of the body */

static const struct field fields[] = {{.name = "text", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 20}, {0}};

static enum rc insert(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	(void)cx, (void)c, (void)arg;
	jsonw_object(r->w, NULL);
	jsonw_int(r->w, "effect", ++effects);
	jsonw_text(r->w, "text", field_text(r, "text"));
	jsonw_object_end(r->w);
	r->status = 201;
	return RC_OK;
}

static enum rc create(struct api_request *r) { return api_write(r, insert, NULL); }

static const struct route routes[] = {
	{.method = "POST", .pattern = "/v1/things", .flags = ROUTE_IDEMPOTENT, .handle = create, .operation = "create", .summary = "x",
	 .fields = fields, .status = 201}, {0},
};
static const struct route *const tables[] = {routes, NULL};

static enum rc authorize(struct cx *cx, struct api *a, struct arena *arena, const char *key, const char *address, struct identity *ret)
{
	(void)cx, (void)a, (void)arena, (void)address;
	*ret = (struct identity){{owners[key[0] == '2'], "app_1", 1}, "key_1", "all"};
	return RC_OK;
}

/* The body comes from here (--wrap): the frame reads it as if from the library. */
int __wrap_mg_read(struct mg_connection *mg, void *out, size_t n);
int __wrap_mg_read(struct mg_connection *mg, void *out, size_t n)
{
	(void)mg;
	memcpy(out, reading, n);
	reading += n;
	return (int)n;
}

static int file_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static void stop(void)
{
	installation_close(&installation);
	nftw(folder, file_remove, 8, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct conf conf = {.create_key = 1};
	char key_file[80];
	struct cx cx;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	cx_init(&cx, NULL);
	snprintf(folder, sizeof folder, "%s/mps-fuzz-idem-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	MUST(mkdtemp(folder) != NULL);
	snprintf(key_file, sizeof key_file, "%s/master.key", folder);
	conf.data_folder = folder;
	conf.key_file = key_file;
	MUST_SAY(installation_open(&cx, &conf, &installation) == RC_OK, "%s", cx.words);
	api = (struct api){.db = installation.db, .vault = installation.vault, .public_url = "https://post.example", .routes = tables,
		.authorize = authorize, .key_per_minute = -1, .address_per_minute = -1, .failed_per_minute = -1};
	MUST(api_init(&cx, &api) == RC_OK);
	atexit(stop);
	return 0;
}

/* ---- one request ------------------------------------------------------------------------------------------ */

struct ask { char owner; const char *key, *other, *body; };
struct told { int status; const char *text; bool replayed; };

static void field_add(struct web_conn *c, const char *name, const char *value)
{
	c->fields[c->count++] = (struct web_field){name, value};
}

static struct told tell(struct arena *a, const struct ask *q)
{
	struct web_conn *c = arena_new(a, struct web_conn);
	struct web_request web = {.arena = a, .conn = c, .method = "POST", .path = "/v1/things", .query = "", .address = "127.0.0.1"};
	struct web_answer answer;
	struct buf body, headers;
	struct told told;

	field_add(c, "Authorization", q->owner == '2' ? "Bearer 2" : "Bearer 1");
	field_add(c, "Content-Type", "application/json");
	if (!text_eq(q->key, "-"))
		field_add(c, "Idempotency-Key", q->key);
	if (!text_eq(q->other, "-"))
		field_add(c, "X-Idempotency-Key", q->other);
	web.content_length = c->length = (int64_t)strlen(q->body);
	c->socket = -1;
	c->singles = 1 << 30;
	reading = q->body;
	web_answer_init(&answer, &body, &headers);
	api_handle(&api, &web, &answer);
	told = (struct told){answer.status, arena_text(a, buf_text(&body)), strstr(buf_text(&headers), "Idempotent-Replayed: true") != NULL};
	buf_free(&body);
	buf_free(&headers);
	return told;
}

/* The key of a request: NULL where it has none, "" where what it has is none. */
static const char *key_of(const struct ask *q)
{
	bool has = !text_eq(q->key, "-"), also = !text_eq(q->other, "-");
	const char *key = has ? q->key : q->other;

	if (!has && !also)
		return NULL;
	if (has && also && !text_eq(q->key, q->other))
		return "";
	for (const char *c = key; *c; c++)
		if (*c < ' ' || *c > '~')
			return "";
	return strlen(key) <= 255 ? key : "";
}

static void judge(struct arena *a, const struct ask *asks, struct told *tolds, int n)
{
	const struct ask *q = &asks[n];
	const char *key = key_of(q);
	unsigned before = effects;
	int first = -1;

	for (int i = 0; i < n && key != NULL && first < 0; i++)
		if (tolds[i].status == 201 && asks[i].owner == q->owner && key_of(&asks[i]) != NULL && text_eq(key_of(&asks[i]), key))
			first = i;
	tolds[n] = tell(a, q);
	MUST_SAY(tolds[n].status >= 200 && tolds[n].status < 500, "status %d: %s", tolds[n].status, tolds[n].text);
	MUST_SAY(effects - before == (tolds[n].status == 201 && first < 0), "%u effects, status %d", effects - before, tolds[n].status);
	if (key != NULL && *key == '\0')
		MUST_SAY(tolds[n].status == 400 || tolds[n].status == 422, "a key that is none: status %d", tolds[n].status);
	if (first < 0 || tolds[n].status == 422 || tolds[n].status == 400) {
		MUST(!tolds[n].replayed);
		MUST_SAY(first < 0 || !text_eq(asks[first].body, q->body), "the same request is refused: %s", tolds[n].text);
	} else if (text_eq(asks[first].body, q->body)) {
		MUST(tolds[n].status == 201 && tolds[n].replayed && text_eq(tolds[n].text, tolds[first].text));
	} else {
		MUST_SAY(tolds[n].status == 409 && !tolds[n].replayed, "another request under a used key: status %d", tolds[n].status);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a ARENA_AUTO;
	char *text = fuzz_text(data, size), *lines = text, *line, *parts;
	struct ask asks[REQUESTS];
	struct told tolds[REQUESTS];

	arena_init(&a, 64u << 20);
	snprintf(owners[0], sizeof owners[0], "org_%u", ++inputs);	/* of this input alone */
	snprintf(owners[1], sizeof owners[1], "org_%u", ++inputs);
	for (int n = 0; n < REQUESTS && (line = strsep(&lines, "\n")) != NULL;) {
		const char *owner, *key, *other;

		parts = line;
		owner = strsep(&parts, "|");
		key = strsep(&parts, "|");
		other = strsep(&parts, "|");
		if (parts == NULL)
			continue;
		asks[n] = (struct ask){owner[0] == '2' ? '2' : '1', key, other, parts};
		judge(&a, asks, tolds, n++);
	}
	free(text);
	return 0;
}
