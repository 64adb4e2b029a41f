/*
 * The operator's commands that concern the vault, the providers and backups: see command_run.h.
 *
 * The one thing to know: what takes long runs in rounds or on a thread of its own, because the control socket serves one
 * client at a time and others write meanwhile.
 */
#include "core/api/command_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/engine/backupjob.h"
#include "core/model/data_key.h"

/* ---- the vault --------------------------------------------------------------------------------------- */

struct rewrap { struct vault *vault; char after[32]; struct data_key_round round; };

static enum rc rewrap_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rewrap *w = arg;
	return data_key_rewrap(cx, c, w->vault, w->after, &w->round);
}

/* In rounds, so that others write meanwhile; ended in the middle, it is simply run again. */
enum rc command_vault_rewrap(struct run *r)
{
	struct rewrap w = {.vault = r->env->vault};
	char count[24];
	int64_t found = 0, failed = 0;

	do {
		enum rc rc = db_write(&r->cx, r->env->db, rewrap_write, &w);
		if (rc != RC_OK)
			return rc;
		memcpy(w.after, w.round.after, sizeof w.after);
		found += w.round.found;
		failed += w.round.failed;
	} while (w.round.found > 0);
	if (failed > 0)
		return fail(&r->cx, RC_CORRUPT, "%lld of %lld data keys could not be opened (the log names them) and stay as they are: keep every "
			"old master key", (long long)failed, (long long)found);
	snprintf(count, sizeof count, "%lld", (long long)found);
	command_pairs(r, (struct pair[]){{"master_key", vault_master_id(w.vault)}, {"wrapped_anew", count}, {NULL, NULL}});
	return RC_OK;
}

/* ---- the running server ---------------------------------------------------------------------------- */

#define COLUMNS 6

/* One line of the list: every word of it may come from a provider, which control characters were taken from. */
struct provider_line { const char *text[COLUMNS]; };

/* "2026-11-23T18:20:30.123Z" without the fraction: nobody reads it here. */
static const char *moment(struct arena *a, struct jv v, const char *none)
{
	const char *text = json_text(v);
	return json_type(v) == JSON_STRING ? arena_printf(a, "%.*sZ", (int)strcspn(text, "."), text) : none;
}

static const char *word(struct jv p, const char *key) { return json_text_or(json_get(p, key), ""); }	/* a refused one has no version */
static const char *or_dash(const char *text) { return text[0] ? text : "-"; }

static const char *cause_of(struct arena *a, struct jv p, const char *state)
{
	const char *words = word(p, "words"), *last = word(p, "lastFailure");
	if (words[0] && text_eq(state, "serving"))
		return arena_printf(a, "goes on as it was, its reload was refused: %s", words);
	return or_dash(words[0] ? words : last);
}

static struct provider_line provider_line(struct arena *a, struct jv p)
{
	const char *state = word(p, "state");
	const char *until = moment(a, json_get(p, "pausedUntil"), "");
	int64_t failures = 0;
	json_int(json_get(p, "failures"), &failures);
	return (struct provider_line){{
		word(p, "id"), or_dash(word(p, "version")),
		until[0] ? arena_printf(a, "%s until %s", state, until) : state, arena_printf(a, "%lld", (long long)failures),
		moment(a, json_get(p, "lastFailureAt"), "-"), cause_of(a, p, state),
	}};
}

static void columns_write(struct buf *out, const struct provider_line *lines, size_t n)
{
	int width[COLUMNS] = {0};
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < COLUMNS - 1; c++)
			if ((int)strlen(lines[i].text[c]) > width[c])
				width[c] = (int)strlen(lines[i].text[c]);
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < COLUMNS; c++)
			buf_addf(out, "%-*s%s", width[c], lines[i].text[c], c < COLUMNS - 1 ? "  " : "\n");
}

static enum rc providers_table(struct run *r, const struct buf *json)
{
	ARENA_AUTO struct arena a;
	struct provider_line *lines;
	struct jv list;
	arena_init(&a, 16u << 20);
	if (json_parse(&r->cx, &a, buf_text(json), json->len, &list) != RC_OK)
		return r->cx.rc;
	lines = arena_array(&a, struct provider_line, json_count(list) + 1);
	lines[0] = (struct provider_line){{"PROVIDER", "VERSION", "STATE", "FAILURES", "LAST FAILURE", "CAUSE"}};
	for (size_t i = 0; i < json_count(list); i++)
		lines[i + 1] = provider_line(&a, json_at(list, i));
	columns_write(r->out, lines, json_count(list) + 1);
	return RC_OK;
}

enum rc command_providers(struct run *r)
{
	BUF_AUTO struct buf json;
	buf_init(&json, 1u << 20);
	r->env->providers(r->env->server, &json);
	if (r->option[0] == NULL)
		return providers_table(r, &json);
	buf_add(r->out, json.data, json.len);
	buf_addc(r->out, '\n');
	return RC_OK;
}

enum rc command_reload(struct run *r)
{
	return r->env->reload(&r->cx, r->env->server, r->word, r->out);
}

/* ---- backups --------------------------------------------------------------------------------------- */

static const char *number_text(int64_t n, char out[24])
{
	snprintf(out, 24, "%lld", (long long)n);
	return out;
}

static void manifest_write(struct run *r, const char *state, const char *folder, const struct backup_manifest *m)
{
	char at[CLOCK_TEXT], store[24], files[24], bytes[24], missing[24];

	clock_text(m->taken_at, at);
	command_pairs(r, (struct pair[]){{"state", state}, {"folder", folder}, {"backup", m->id}, {"taken_at", at}, {"master_key", m->master},
		{"store_bytes", number_text(m->store_bytes, store)}, {"media_files", number_text(m->media_count, files)},
		{"media_bytes", number_text(m->media_bytes, bytes)}, {"media_missing", number_text(m->media_missing, missing)}, {NULL, NULL}});
}

static enum rc backup_state(struct run *r)
{
	struct backupjob_state *s = calloc(1, sizeof *s);
	char done[24];

	if (s == NULL)
		return fail(&r->cx, RC_NOMEM, "no memory");
	if (r->env->backup)
		backupjob_state(r->env->backup, s);
	if (text_eq(s->state, "done"))
		manifest_write(r, s->state, s->folder, &s->made);
	else
		command_pairs(r, (struct pair[]){{"state", s->state ? s->state : "none"}, {"folder", s->folder}, {"error", s->words},
			{"thousandths", number_text(s->thousandths, done)}, {NULL, NULL}});
	free(s);
	return RC_OK;
}

enum rc command_backup(struct run *r)
{
	struct backup_job job = {.db = r->env->db, .vault = r->env->vault, .data_folder = r->env->data_folder, .folder = r->word};
	struct backup_manifest made;
	enum rc rc;

	if (r->word == NULL)
		return backup_state(r);
	if (r->env->backup) {
		rc = backupjob_start(&r->cx, r->env->backup, r->word);
		return rc == RC_OK ? backup_state(r) : rc;
	}
	rc = backup_make(&r->cx, &job, &made);
	if (rc == RC_OK)
		manifest_write(r, "done", r->word, &made);
	return rc;
}

struct release { const char *organization_id; int64_t n; };

static enum rc release_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct release *w = arg;
	return backup_release(cx, c, w->organization_id, clock_now(), &w->n);
}

enum rc command_release(struct run *r)
{
	struct release w = {.organization_id = r->word, .n = 1};
	int64_t all = 0;
	char text[24];
	enum rc rc = RC_OK;

	for (; rc == RC_OK && w.n > 0; all += w.n)
		rc = db_write(&r->cx, r->env->db, release_write, &w);
	if (rc == RC_OK)
		command_pairs(r, (struct pair[]){{"released", number_text(all, text)}, {NULL, NULL}});
	if (r->env->wake)
		r->env->wake(r->env->server);
	return rc;
}
