/*
 * Embedded web files: see assets.h.
 *
 * The one thing to know: only what has a type in the table is served, so a template or a migration that is
 * embedded too cannot be fetched.
 */
#include "core/api/assets.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/api.h"
#include "core/api/routes.h"
#include "core/base/embed.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define FOLDER "core/dashboard/"
#define ASSETS_MAX 128
#define HASH 16

static const struct { const char *end, *type; } types[] = {
	{".css", "text/css; charset=utf-8"},
	{".js", "text/javascript; charset=utf-8"},
	{".svg", "image/svg+xml; charset=utf-8"},
};

static struct asset { const char *name, *type; const struct embed *file; char hash[HASH + 1]; } assets[ASSETS_MAX];
static int asset_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *type_of(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		size_t len = strlen(types[i].end);

		if (n > len && strcmp(name + n - len, types[i].end) == 0)
			return types[i].type;
	}
	return NULL;
}

static void read_all(void)
{
	for (const struct embed *e = embed_files; e->name; e++) {
		const char *name = e->name + strlen(FOLDER);
		struct asset *a = &assets[asset_count];
		uint8_t sum[32];

		if (!text_starts(e->name, FOLDER) || type_of(name) == NULL || asset_count == ASSETS_MAX)
			continue;
		vault_sha256(e->bytes, e->n, sum);
		for (int i = 0; i < HASH / 2; i++)
			snprintf(a->hash + 2 * i, 3, "%02x", sum[i]);
		a->name = name;
		a->type = type_of(name);
		a->file = e;
		asset_count++;
	}
}

static const struct asset *find(const char *name)
{
	pthread_once(&once, read_all);
	for (int i = 0; i < asset_count; i++)
		if (strcmp(assets[i].name, name) == 0)
			return &assets[i];
	return NULL;
}

const char *asset_url(struct arena *a, const char *name)
{
	const struct asset *found = find(name);

	if (found == NULL) {
		log_error("assets", "%s is not embedded", name);
		abort();
	}
	return arena_printf(a, "/assets/%s?v=%s", name, found->hash);
}

static enum rc serve(struct api_request *r)
{
	const struct asset *a = find(api_param(r, "name"));
	const char *wanted = NULL, *have = web_header_in(r->web, "If-None-Match");

	if (a == NULL)
		return fail_code(r->cx, RC_NOT_FOUND, "not_found", NULL, "There is nothing at this path.");
	web_query(r->web, "v", &wanted);
	web_header(r->answer, "Cache-Control", "%s", text_eq(wanted, a->hash) ? "public, max-age=31536000, immutable" : "no-cache");
	web_header(r->answer, "ETag", "\"%s\"", a->hash);
	r->answer->type = a->type;
	if (have != NULL && strstr(have, a->hash) != NULL)
		r->status = 304;
	else
		buf_add(r->answer->body, a->file->bytes, a->file->n);
	return RC_OK;
}

const struct route asset_routes[] = {
	{.method = "GET", .pattern = "/assets/{name}", .flags = ROUTE_BROWSER | ROUTE_HIDDEN | ROUTE_STORELESS, .handle = serve,
		.operation = "getAsset",
		.summary = "A file of the web pages"},
	{0},
};
