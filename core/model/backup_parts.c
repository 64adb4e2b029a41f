/*
 * The manifest and the lists of a backup.
 *
 * The one thing to know: the manifest can be read by everybody and changed by nobody: its mac is of the bytes of the
 * member "manifest" as they stand in the file, under the master key that it names.
 */
#include "core/model/backup_parts.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/io/folder.h"

#define MANIFEST_MAX (64 * 1024)
#define LINE_MAX_BYTES (64 * 1024)
#define MAC "backup manifest"

struct backup_place backup_place(const char *backup_id, const char *file)
{
	struct backup_place p;

	snprintf(p.text, sizeof p.text, "backup %s %s", backup_id, file);
	return p;
}

enum rc backup_path(struct cx *cx, char out[BACKUP_PATH], const char *folder, const char *name)
{
	if (snprintf(out, BACKUP_PATH, "%s/%s", folder, name) >= BACKUP_PATH)
		return fail(cx, RC_INVALID, "the path %.60s... is too long", folder);
	return RC_OK;
}

bool backup_facts_equal(const struct sealfile_facts *a, const struct sealfile_facts *b)
{
	return a->bytes == b->bytes && text_eq(a->sha256, b->sha256);
}

/* ---- the manifest ---------------------------------------------------------------------------------- */

static const struct { const char *name; size_t at; } numbers[] = {
	{"schema", offsetof(struct backup_manifest, schema)},
	{"begunAtMs", offsetof(struct backup_manifest, begun_at)},
	{"takenAtMs", offsetof(struct backup_manifest, taken_at)},
	{"storeBytes", offsetof(struct backup_manifest, store_bytes)},
	{"keys", offsetof(struct backup_manifest, key_count)},
	{"media", offsetof(struct backup_manifest, media_count)},
	{"mediaBytes", offsetof(struct backup_manifest, media_bytes)},
	{"mediaMissing", offsetof(struct backup_manifest, media_missing)},
};
static const struct { const char *name; size_t at; } files[] = {
	{"store", offsetof(struct backup_manifest, store)},
	{"keys", offsetof(struct backup_manifest, keys)},
	{"media.list", offsetof(struct backup_manifest, list)},
};
#define COUNT(table) (sizeof table / sizeof table[0])

static void inner_write(struct buf *out, const struct backup_manifest *m)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	jsonw_int(&w, "format", BACKUP_FORMAT);
	jsonw_text(&w, "id", m->id);
	jsonw_text(&w, "masterKey", m->master);
	jsonw_time(&w, "takenAt", m->taken_at);
	for (size_t i = 0; i < COUNT(numbers); i++)
		jsonw_int(&w, numbers[i].name, *(const int64_t *)((const char *)m + numbers[i].at));
	jsonw_object(&w, "files");
	for (size_t i = 0; i < COUNT(files); i++) {
		const struct sealfile_facts *f = (const struct sealfile_facts *)((const char *)m + files[i].at);
		jsonw_object(&w, files[i].name);
		jsonw_int(&w, "bytes", f->bytes);
		jsonw_text(&w, "sha256", f->sha256);
		jsonw_object_end(&w);
	}
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
}

enum rc backup_manifest_write(struct cx *cx, struct vault *v, int folder, const struct backup_manifest *m)
{
	BUF_AUTO struct buf inner, all, hex;
	uint8_t mac[32];
	struct jsonw w;

	buf_init(&inner, MANIFEST_MAX);
	buf_init(&all, MANIFEST_MAX * 2);
	buf_init(&hex, 128);
	inner_write(&inner, m);
	enum rc rc = vault_master_mac(cx, v, m->master, MAC, inner.data, inner.len, mac);
	if (rc != RC_OK)
		return rc;
	text_hex(&hex, mac, sizeof mac);
	jsonw_init(&w, &all);
	jsonw_object(&w, NULL);
	jsonw_raw(&w, "manifest", inner.data, inner.len);
	jsonw_text(&w, "mac", buf_text(&hex));
	jsonw_object_end(&w);
	jsonw_end(&w);
	buf_addc(&all, '\n');
	return buf_ok(&all) ? folder_write(cx, folder, "manifest.json", all.data, all.len) : fail(cx, RC_NOMEM, "no memory for the manifest");
}

static bool inner_read(struct jv inner, struct backup_manifest *m)
{
	bool whole = true;

	snprintf(m->id, sizeof m->id, "%s", json_text_or(json_get(inner, "id"), ""));
	snprintf(m->master, sizeof m->master, "%s", json_text_or(json_get(inner, "masterKey"), ""));
	for (size_t i = 0; i < COUNT(numbers); i++)
		whole &= json_int(json_get(inner, numbers[i].name), (int64_t *)((char *)m + numbers[i].at));
	for (size_t i = 0; i < COUNT(files); i++) {
		struct sealfile_facts *f = (struct sealfile_facts *)((char *)m + files[i].at);
		struct jv file = json_get(json_get(inner, "files"), files[i].name);
		whole &= json_int(json_get(file, "bytes"), &f->bytes);
		snprintf(f->sha256, sizeof f->sha256, "%s", json_text_or(json_get(file, "sha256"), ""));
	}
	return whole && id_valid(m->id, "bak");
}

static enum rc mac_check(struct cx *cx, struct vault *v, struct jv root, const struct backup_manifest *m)
{
	BUF_AUTO struct buf hex;
	const char *given = json_text_or(json_get(root, "mac"), "");
	uint8_t mac[32];
	size_t n = 0;
	const char *raw = json_raw(json_get(root, "manifest"), &n);
	enum rc rc = vault_master_mac(cx, v, m->master, MAC, raw, n, mac);

	if (rc != RC_OK)
		return rc;
	buf_init(&hex, 128);
	text_hex(&hex, mac, sizeof mac);
	if (strlen(given) != hex.len || !vault_equal(given, hex.data, hex.len))
		return fail(cx, RC_CORRUPT, "manifest.json was changed");
	return RC_OK;
}

static enum rc parsed(struct cx *cx, struct vault *v, struct jv root, struct backup_manifest *ret)
{
	struct backup_manifest m = {.schema = 0};
	struct jv inner = json_get(root, "manifest");
	int64_t format = 0;

	json_int(json_get(inner, "format"), &format);
	if (format > BACKUP_FORMAT)
		return fail(cx, RC_CONFLICT, "manifest.json: the backup was made by a newer mypostshare");
	if (format < 1 || !inner_read(inner, &m))
		return fail(cx, RC_CORRUPT, "manifest.json is not the manifest of a backup");
	enum rc rc = mac_check(cx, v, root, &m);
	if (rc == RC_OK)
		*ret = m;
	return rc;
}

/* Its name ends in .part: not renamed, so not whole. */
static bool unfinished(const char *folder)
{
	size_t n = strlen(folder);

	while (n > 0 && folder[n - 1] == '/')
		n--;
	return n >= 5 && memcmp(folder + n - 5, ".part", 5) == 0;
}

enum rc backup_manifest_read(struct cx *cx, struct vault *v, const char *folder, int fd, struct backup_manifest *ret)
{
	ARENA_AUTO struct arena a;
	BUF_AUTO struct buf text;
	struct jv root;

	arena_init(&a, MANIFEST_MAX * 16);
	buf_init(&text, MANIFEST_MAX);
	if (unfinished(folder) || !folder_has(fd, "manifest.json"))
		return fail(cx, RC_INVALID, "%s is not a whole backup: %s", folder,
			    unfinished(folder) ? "it was not finished (.part)" : "it has no manifest.json");
	enum rc rc = folder_read(cx, fd, "manifest.json", &text);
	if (rc != RC_OK)
		return rc;
	struct cx quiet;
	cx_init(&quiet, "backup");
	if (json_parse(&quiet, &a, buf_text(&text), text.len, &root) != RC_OK)
		return fail(cx, RC_CORRUPT, "manifest.json was changed or cut off: %.300s", quiet.words);
	return parsed(cx, v, root, ret);
}

/* ---- lists ----------------------------------------------------------------------------------------- */

enum rc backup_line_add(struct cx *cx, struct sealfile *f, const struct buf *line)
{
	if (!buf_ok(line) || line->len >= LINE_MAX_BYTES)
		return fail(cx, RC_TOO_LARGE, "a line of the backup is too long");
	enum rc rc = sealfile_add(cx, f, line->data, line->len);
	return rc == RC_OK ? sealfile_add(cx, f, "\n", 1) : rc;
}

static enum rc line_take(struct cx *cx, const struct backup_listed *l, const char *text, size_t n, backup_line_fn *fn, void *arg)
{
	ARENA_AUTO struct arena a;
	struct jv line;

	arena_init(&a, LINE_MAX_BYTES * 16);
	if (json_parse(cx, &a, text, n, &line) != RC_OK)
		return fail(cx, RC_CORRUPT, "%s holds a line that is no JSON", l->name);
	return fn(cx, line, arg);
}

static enum rc each_line(struct cx *cx, const struct backup_listed *l, struct sealfile *f, backup_line_fn *fn, void *arg)
{
	BUF_AUTO struct buf text;
	struct sealfile_facts got = {0};
	size_t n = 1;
	enum rc rc = RC_OK;

	buf_init(&text, LINE_MAX_BYTES * 2);
	while (rc == RC_OK && n > 0) {
		char *room = buf_room(&text, LINE_MAX_BYTES / 2), *end;
		if (room == NULL)
			return fail(cx, RC_CORRUPT, "%s holds a line that is too long", l->name);
		rc = sealfile_read(cx, f, room, LINE_MAX_BYTES / 2, &n, &got);
		if (rc == RC_OK)
			buf_grew(&text, n);
		size_t at = 0;
		while (rc == RC_OK && (end = memchr(text.data + at, '\n', text.len - at)) != NULL) {
			rc = line_take(cx, l, text.data + at, (size_t)(end - text.data) - at, fn, arg);
			at = (size_t)(end - text.data) + 1;
		}
		buf_drop(&text, at);
	}
	if (rc == RC_OK && (text.len > 0 || !backup_facts_equal(&got, l->facts)))
		rc = fail(cx, RC_CORRUPT, "%s is not the one that manifest.json names", l->name);
	return rc;
}

enum rc backup_lines_read(struct cx *cx, const struct backup_listed *l, backup_line_fn *fn, void *arg)
{
	SEALFILE_AUTO struct sealfile *f = NULL;
	struct backup_place place = backup_place(l->backup_id, l->name);
	enum rc rc = sealfile_open(cx, l->vault, l->folder, l->name, place.text, &f);

	return rc == RC_OK ? each_line(cx, l, f, fn, arg) : rc;
}
