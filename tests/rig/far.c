/* The rig's far side: calls to the sandbox, its ledger, its statistics.  See rig.h. */
#include "tests/rig/rig.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"

#define ANSWER_MAX (32u << 20)

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
	buf_add(arg, data, size * n);
	return size * n;
}

long rig_call(const char *url, const char *path, const char *body, struct buf *out, char *location, size_t n)
{
	CURL *c = curl_easy_init();
	struct curl_slist *headers = NULL;
	char full[4096], *where = NULL;
	long status = 0;

	snprintf(full, sizeof full, "%s%s", url, path);
	curl_easy_setopt(c, CURLOPT_URL, full);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
	if (body != NULL)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	if (body != NULL && body[0] == '{')
		headers = curl_slist_append(NULL, "Content-Type: application/json");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (curl_easy_perform(c) == CURLE_OK)
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &where);
	if (location != NULL)
		snprintf(location, n, "%s", where ? where : "");
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	return status;
}

void rig_control(const char *url, const char *path, const char *json)
{
	BUF_AUTO struct buf out;

	buf_init(&out, ANSWER_MAX);
	if (rig_call(url, path, json, &out, NULL, 0) != 200)
		rig_die(__FILE__, __LINE__, "%s %s: %.200s", path, json, buf_text(&out));
}

static struct jv read_json(const char *url, const char *path, struct arena *a)
{
	BUF_AUTO struct buf out;
	struct jv root;
	struct cx cx;
	char *kept;

	cx_init(&cx, "rig");
	buf_init(&out, ANSWER_MAX);
	if (rig_call(url, path, NULL, &out, NULL, 0) != 200)
		rig_die(__FILE__, __LINE__, "the sandbox does not answer %s: %.200s", path, buf_text(&out));
	kept = arena_dup(a, out.data, out.len);
	MUST(json_parse(&cx, a, kept, out.len, &root) == RC_OK);
	return root;
}

int rig_ledger(const char *url, const char *words, struct rig_entry *ret, int max)
{
	BUF_AUTO struct buf path;
	struct arena a;
	struct jv data;
	int n;

	arena_init(&a, 128u << 20);
	buf_init(&path, 4096);
	buf_adds(&path, "/control/ledger?text=");
	text_percent(&path, words, strlen(words));
	data = json_get(read_json(url, buf_text(&path), &a), "data");
	n = (int)json_count(data);
	for (int i = 0; i < n && i < max; i++) {
		struct jv row = json_at(data, (size_t)i);

		snprintf(ret[i].post_id, sizeof ret[i].post_id, "%s", json_text(json_get(row, "post_id")));
		snprintf(ret[i].parent_id, sizeof ret[i].parent_id, "%s", json_text_or(json_get(row, "parent_id"), ""));
		snprintf(ret[i].text, sizeof ret[i].text, "%s", json_text(json_get(row, "text")));
	}
	arena_free(&a);
	return n;
}

int rig_edits(const char *url, const char *words, char text[512])
{
	BUF_AUTO struct buf path;
	struct arena a;
	struct jv edits;
	int n;

	arena_init(&a, 128u << 20);
	buf_init(&path, 4096);
	buf_adds(&path, "/control/ledger?text=");
	text_percent(&path, words, strlen(words));
	edits = json_get(json_at(json_get(read_json(url, buf_text(&path), &a), "data"), 0), "edits");
	n = (int)json_count(edits);
	snprintf(text, 512, "%s", n > 0 ? json_text(json_get(json_at(edits, (size_t)n - 1), "text")) : "");
	arena_free(&a);
	return n;
}

int64_t rig_stat(const char *url, const char *path)
{
	struct arena a;
	struct jv at;
	char key[64];
	int64_t n = -1;

	arena_init(&a, 32u << 20);
	at = read_json(url, "/control/stats", &a);
	for (const char *p = path; *p != '\0'; p += strcspn(p, ".") + (strchr(p, '.') != NULL)) {
		snprintf(key, sizeof key, "%.*s", (int)strcspn(p, "."), p);
		at = json_get(at, key);
	}
	if (!json_int(at, &n))
		rig_die(__FILE__, __LINE__, "the sandbox's statistics have no number %s", path);
	arena_free(&a);
	return n;
}
