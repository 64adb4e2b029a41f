/*
 * Operations from rows: everything a step may read is gathered here, once, as inputs.  Nothing secret is an
 * input; secrets lie in their own bag and are reached by handle when a request is sent.
 */
#include "core/engine/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/rc.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/request.h"
#include "core/model/data_key.h"
#include "core/model/instance.h"

#define OP_MEMORY (24u << 20)
#define RESULT_MAX (256u * 1024u)

void op_input(struct op *op, const char *key, const char *value)
{
	if (value != NULL && value[0] != '\0')
		rec_text(&op->inputs, REC_INPUT, key, value);
}

void op_input_int(struct op *op, const char *key, int64_t value)
{
	rec_int(&op->inputs, REC_INPUT, key, value);
}

static struct op *op_new(struct engine *e)
{
	struct op *op = calloc(1, sizeof *op);

	if (op == NULL)
		out_of_memory(__func__);
	op->e = e;
	op->number = ++e->next_number;
	op->attempts_tail = &op->attempts;
	arena_init(&op->arena, OP_MEMORY);
	cx_init(&op->cx, "engine");
	buf_init(&op->inputs, BAG_MAX);
	buf_init(&op->saved, BAG_MAX);
	buf_init(&op->secrets, BAG_MAX);
	buf_init(&op->made, BAG_MAX);
	buf_init(&op->action, FRAME_OUT_MAX);
	buf_init(&op->intent, FRAME_OUT_MAX);
	buf_init(&op->headers, 128u * 1024u);
	buf_init(&op->body, 2u << 20);
	buf_init(&op->result, RESULT_MAX);
	buf_init(&op->warnings, RESULT_MAX);
	op->prev = &e->ops;
	op->next = e->ops.next;
	op->next->prev = op;
	e->ops.next = op;
	e->active++;
	return op;
}

void op_free(struct op *op)
{
	op->prev->next = op->next;
	op->next->prev = op->prev;
	op->e->active--;
	buf_free(&op->inputs);
	buf_free(&op->saved);
	buf_wipe(&op->secrets);
	buf_wipe(&op->made);
	buf_free(&op->action);
	buf_free(&op->intent);
	buf_wipe(&op->headers);
	buf_wipe(&op->body);
	buf_free(&op->result);
	buf_free(&op->warnings);
	platform_give(op->platform);
	arena_free(&op->arena);
	free(op);
}

static void json_inputs(struct op *op, const char *prefix, struct jv object)
{
	const char *key;
	struct jv value;

	for (size_t i = 0; json_member(object, i, &key, &value); i++)
		if (json_type(value) == JSON_OBJECT)
			json_inputs(op, arena_printf(&op->arena, "%s%s.", prefix, key), value);
		else
			op_input(op, arena_printf(&op->arena, "%s%s", prefix, key), json_text(value));
}

/* ---- grant and connection ------------------------------------------------------------------------- */

/* Handles that an earlier step was given lie sealed in the operation's row. */
static void read_numbered(struct op *op, struct db_conn *c)
{
	DATA_KEY_AUTO struct data_key key = {0};
	BUF_AUTO struct buf plain;
	size_t at = 0;
	struct rec r;

	buf_init(&plain, BAG_MAX);
	if (op->row.secrets == NULL || !op->has_grant)
		return;
	if (data_key_open(&op->cx, c, op->e->vault, op->row.owner.organization_id, op->grant.end_user_id, &key) != RC_OK ||
	    data_key_unseal(&op->cx, &key, op->row.owner.organization_id, "operation", "secrets", op->id, op->row.secrets,
			    op->row.secrets_len, &plain) != RC_OK)
		return;
	while (rec_next(plain.data, plain.len, &at, &r, NULL))
		bag_put_bytes(&op->secrets, REC_STATE, arena_dup(&op->arena, r.key, r.key_len), r.value, r.value_len);
	buf_wipe(&plain);
}

static void blocked_by(struct op *op, const char *status, bool paused)
{
	if (text_eq(status, "disconnected"))
		op->blocked = "disconnected";
	else if (text_eq(status, "reauth_required") || text_eq(status, "revoked"))
		op->blocked = "reauth";
	else if (paused)
		op->blocked = "paused";
}

/* A refresh takes its time: the person may have let go of the account, or paused it. */
static void connection_again(struct op *op, struct db_conn *c)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT status, paused, version FROM connection WHERE id = ?1 AND organization_id = ?2", "ss",
					    op->row.connection_id, op->row.owner.organization_id);

	if (!db_next(s))
		return;
	blocked_by(op, db_text_or(s, 0, ""), db_int(s, 1) != 0);
	op->connection_version = db_int(s, 2);
}

bool op_reload_grant(struct op *op)
{
	struct db_conn *c = db_take(op->e->db);
	bool ok = grant_load(c, op->grant.id, &op->arena, &op->grant);

	if (op->row.connection_id != NULL)
		connection_again(op, c);
	if (ok) {
		secret_load(op, c);
		if (text_eq(op->grant.status, "reauth_required") || text_eq(op->grant.status, "revoked"))
			op->blocked = "reauth";
	}
	db_give(c);
	return ok;
}

static void account_inputs(struct op *op, struct db_conn *c, const char *connection_id)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT remote_id, username, display_name, account_type, target, status, paused, grant_id, version, limits_failures"
		" FROM connection"
		" WHERE id = ?1 AND organization_id = ?2", "ss", connection_id, op->row.owner.organization_id);

	if (!db_next(s)) {
		op->blocked = "disconnected";
		return;
	}
	op_input(op, "account.id", db_text(s, 0));
	op_input(op, "account.username", db_text(s, 1));
	op_input(op, "account.name", db_text(s, 2));
	op->account_type = db_dup(s, 3, &op->arena);
	op_input(op, "account.type", op->account_type);
	op->target = db_dup(s, 4, &op->arena);
	blocked_by(op, db_text_or(s, 5, ""), db_int(s, 6) != 0);
	op->row.grant_id = db_dup(s, 7, &op->arena);
	op->connection_version = db_int(s, 8);
	op->limits_failures = db_int(s, 9);
}

/* What was asked for, and what register learned about the instance. */
static void grant_inputs(struct op *op, struct db_conn *c)
{
	struct instance i;
	struct jv root;

	op_input(op, "oauth.scope", op->grant.asked);
	if (instance_load(c, op->grant.instance_id, op->grant.owner.organization_id, &op->arena, &i) && i.facts != NULL &&
	    json_parse(&op->cx, &op->arena, i.facts, strlen(i.facts), &root) == RC_OK)
		json_inputs(op, "instance.", root);
}

static bool gather(struct op *op, struct db_conn *c)
{
	const struct conf_provider *conf;

	if (op->row.connection_id != NULL)
		account_inputs(op, c, op->row.connection_id);
	op->has_grant = op->row.grant_id != NULL && grant_load(c, op->row.grant_id, &op->arena, &op->grant);
	op->account_host = op->has_grant ? op->grant.account_host : NULL;
	op_input(op, "account.host", op->account_host);
	if (op->has_grant)
		grant_inputs(op, c);
	op->platform = platforms_take(op->e->config.platforms, op->row.provider);
	conf = conf_provider(op->e->config.conf, op->row.provider);
	for (int i = 0; conf != NULL && i < conf->settings.count; i++)
		op_input(op, arena_printf(&op->arena, "setting.%s", conf->settings.list[i].key), conf->settings.list[i].value);
	facts_inputs(op);
	secret_load(op, c);
	read_numbered(op, c);
	return db_rc(c) == RC_OK;
}

/* ---- content -------------------------------------------------------------------------------------- */

/* Its "file" is a name inside the media folder; like the id it is ours alone, no input. */
static void media_input(struct op *op, int i, struct jv item)
{
	const char *key, *file = json_text(json_get(item, "file"));
	struct jv value;

	if (file != NULL && strchr(file, '/') == NULL && file[0] != '.')
		op->media_files[i] = arena_printf(&op->arena, "%s/media/%s", op->e->config.conf->data_folder, file);
	for (size_t m = 0; json_member(item, m, &key, &value); m++)
		if (!text_eq(key, "file") && !text_eq(key, "id"))
			op_input(op, arena_printf(&op->arena, "media.%d.%s", i, key), json_text(value));
}

/* Preview pictures stand behind the items, which name them by their index. */
static void media_inputs(struct op *op, struct jv media, struct jv thumbnails)
{
	int count = (int)json_count(media), more = (int)json_count(thumbnails);

	op->media_count = count + more;
	op->media_files = arena_array(&op->arena, const char *, op->media_count + 1);
	op_input_int(op, "media.count", count);
	for (int i = 0; i < op->media_count; i++)
		media_input(op, i, i < count ? json_at(media, (size_t)i) : json_at(thumbnails, (size_t)(i - count)));
}

/* Results of a published post under a prefix.  What a person confirmed has no more than its id and address. */
static void result_inputs(struct op *op, const char *prefix, const struct delivery *d)
{
	const char *key;
	struct jv root, value;

	op_input(op, arena_printf(&op->arena, "%sremote_id", prefix), d->remote_id);
	op_input(op, arena_printf(&op->arena, "%sremote_url", prefix), d->remote_url);
	if (d->result == NULL || json_parse(&op->cx, &op->arena, d->result, strlen(d->result), &root) != RC_OK)
		return;
	for (size_t i = 0; json_member(root, i, &key, &value); i++)
		if (!text_eq(key, "remote_id") && !text_eq(key, "remote_url"))
			op_input(op, arena_printf(&op->arena, "%s%s", prefix, key), json_text(value));
}

#define THREAD_MAX 200

static void family_inputs(struct op *op, struct db_conn *c)
{
	struct delivery d = op->d;

	op_input(op, "post.kind", d.kind);
	for (int i = 0; i < THREAD_MAX && d.parent_id != NULL; i++) {
		const char *id = d.parent_id;

		d = (struct delivery){0};
		if (!delivery_load(c, id, op->d.owner.organization_id, &op->arena, &d))
			return;
		if (i == 0)
			result_inputs(op, "parent.", &d);
		if (d.parent_id == NULL)
			result_inputs(op, "root.", &d);
	}
}

static void content_inputs(struct op *op, struct db_conn *c)
{
	struct jv root;

	if (json_parse(&op->cx, &op->arena, op->d.content, strlen(op->d.content), &root) != RC_OK)
		return;
	op_input(op, "text", op->d.text);
	op_input(op, "link", json_text(json_get(root, "link")));
	json_inputs(op, "options.", json_get(root, "options"));
	media_inputs(op, json_get(root, "media"), json_get(root, "thumbnails"));
	op_input(op, "target.id", op->d.target_id);
	op_input(op, "delivery.id", op->d.id);
	op_input_int(op, "post.created_at", op->d.created_at);
	family_inputs(op, c);
}

/* What the published delivery left, for remove and edit. */
static void published_inputs(struct op *op, struct db_conn *c)
{
	struct delivery d = {0};
	struct jv root;

	if (op->row.delivery_id == NULL || !delivery_load(c, op->row.delivery_id, NULL, &op->arena, &d))
		return;
	op_input(op, "remote_id", d.remote_id);
	if (d.result != NULL && json_parse(&op->cx, &op->arena, d.result, strlen(d.result), &root) == RC_OK)
		json_inputs(op, "published.", root);
}

/* The new content in place of what was published; the delivery's row keeps that until the platform has it. */
static void edit_inputs(struct op *op, struct db_conn *c)
{
	struct jv root, content;
	const char *raw;
	bool kept = false;
	size_t n;

	if (op->row.input == NULL || json_parse(&op->cx, &op->arena, op->row.input, strlen(op->row.input), &root) != RC_OK ||
	    !delivery_load(c, op->row.delivery_id, op->row.owner.organization_id, &op->arena, &op->d))
		return;
	content = json_get(root, "content");
	raw = json_raw(content, &n);
	op->d.text = json_text(json_get(root, "text"));
	op->d.content = raw ? arena_dup(&op->arena, raw, n) : "{}";
	op->d.looks = op->d.absents = op->d.unconfirmed_at = 0;
	content_inputs(op, c);
	json_bool(json_get(root, "mediaKept"), &kept);
	op_input(op, "media.kept", kept ? "1" : NULL);
	if (op->row.epoch > 0)		/* begun by a server that stopped: what it had sent is not known */
		op->row.resent = 1;
}

/* An operation that could be read in part only would publish half of a post.  It is left in the store and read again. */
static struct op *whole(struct op *op, const struct db_conn *c)
{
	bool all = db_rc(c) == RC_OK && op->cx.rc != RC_NOMEM && buf_ok(&op->inputs) && buf_ok(&op->saved) && buf_ok(&op->secrets) &&
		   buf_ok(&op->intent);

	if (all)
		return op;
	log_error("engine", "operation %s cannot be read now: %s", op->id, db_rc(c) != RC_OK ? db_words(c) : "no memory");
	op_free(op);
	return NULL;
}

/* ---- the two doors -------------------------------------------------------------------------------- */

static void take_row(struct op *op)
{
	const struct operation *o = &op->row;

	snprintf(op->id, sizeof op->id, "%s", o->id);
	op->row.id = op->id;
	op->phase = o->phase;
	op->event = o->event;
	buf_add(&op->saved, o->state, o->state_len);
	buf_add(&op->intent, o->intent, o->intent_len);
	op->repeat = text_eq(o->intent_class, "keyed") ? REPEAT_KEYED : text_eq(o->intent_class, "once") ? REPEAT_ONCE : REPEAT_SAFE;
}

static void new_row(struct op *op)
{
	const struct delivery *d = &op->d;

	id_new(op->id, "op");
	op->row = (struct operation){
		.owner = d->owner, .id = op->id, .kind = "publish", .platform = d->platform, .provider = d->provider,
		.delivery_id = d->id, .connection_id = d->connection_id, .status = "running", .phase = "start", .event = "start",
		.key_number = 1, .deadline_at = clock_now() + operation_lifetime("publish"),
	};
	op->phase = op->event = "start";
}

struct op *op_of_delivery(struct engine *e, struct db_conn *c, const char *delivery_id)
{
	struct op *op = op_new(e);

	op->publish = true;
	if (!delivery_load(c, delivery_id, NULL, &op->arena, &op->d)) {
		op_free(op);
		return NULL;
	}
	if (operation_load(c, NULL, delivery_id, &op->arena, &op->row))
		take_row(op);
	else
		new_row(op);
	op->state = op->d.state;
	if (op->state == DELIVERY_QUEUED)	/* it may have been blocked for days */
		op->row.deadline_at = clock_now() + operation_lifetime("publish");
	op->claim = op->d.claim;
	op->claimed = op->state != DELIVERY_QUEUED;
	op->looking = op->state == DELIVERY_UNCONFIRMED;
	/* an answered request leaves no intent behind */
	op->accepted = op->state == DELIVERY_AWAITING_PLATFORM || op->state == DELIVERY_AWAITING_USER || (op->looking && op->intent.len == 0);
	op->row.connection_id = op->d.connection_id;
	if (!gather(op, c)) {
		op_free(op);
		return NULL;
	}
	content_inputs(op, c);
	return whole(op, c);
}

/* Sealed with the grant, and an input all the same: the platform is told it. */
static void state_input(struct op *op)
{
	size_t n;
	const char *state = text_eq(op->row.kind, "authorize") ? bag_find(&op->secrets, "oauth.state", &n) : NULL;

	if (state != NULL)
		op_input(op, "oauth.state", arena_dup(&op->arena, state, n));
}

struct op *op_of_operation(struct engine *e, struct db_conn *c, const char *operation_id)
{
	struct op *op = op_new(e);
	struct jv root;

	if (!operation_load(c, operation_id, NULL, &op->arena, &op->row)) {
		op_free(op);
		return NULL;
	}
	take_row(op);
	op->claimed = true;
	if (text_eq(op->event, "lost"))		/* the answer to what is sent once more must be read */
		op->row.deadline_at = clock_now() + operation_lifetime(op->row.kind);
	if (!gather(op, c)) {
		op_free(op);
		return NULL;
	}
	if (edit_is(op))
		edit_inputs(op, c);
	else if (op->row.input != NULL && json_parse(&op->cx, &op->arena, op->row.input, strlen(op->row.input), &root) == RC_OK)
		json_inputs(op, "", root);
	state_input(op);
	published_inputs(op, c);
	return whole(op, c);
}

static void new_operation(struct op *op, const char *kind)
{
	int64_t now = clock_now();

	id_new(op->id, "op");
	op->claimed = true;
	op->row = (struct operation){
		.id = op->id, .kind = kind, .status = "running", .phase = "start", .event = "start", .key_number = 1, .created_at = now,
		.deadline_at = now + operation_lifetime(kind),
	};
	op->phase = op->event = "start";
}

struct op *op_of_refresh(struct engine *e, struct db_conn *c, const char *grant_id)
{
	struct op *op = op_new(e);

	new_operation(op, "refresh");
	op->row.grant_id = arena_text(&op->arena, grant_id);
	if (!grant_load(c, grant_id, &op->arena, &op->grant)) {
		op_free(op);
		return NULL;
	}
	op->row.owner = op->grant.owner;
	op->row.platform = op->grant.platform;
	op->row.provider = op->grant.provider;
	if (!gather(op, c)) {
		op_free(op);
		return NULL;
	}
	return whole(op, c);
}

static bool connection_owner(struct op *op, struct db_conn *c, const char *connection_id)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT organization_id, app_id, live, platform, provider FROM connection WHERE id = ?1", "s",
					    connection_id);

	if (!db_next(s))
		return false;
	op->row.owner = (struct owner){db_dup(s, 0, &op->arena), db_dup(s, 1, &op->arena), db_int(s, 2)};
	op->row.platform = db_dup(s, 3, &op->arena);
	op->row.provider = db_dup(s, 4, &op->arena);
	op->row.connection_id = arena_text(&op->arena, connection_id);
	return true;
}

struct op *op_of_limits(struct engine *e, struct db_conn *c, const char *connection_id)
{
	struct op *op = op_new(e);

	new_operation(op, "limits");
	if (!connection_owner(op, c, connection_id) || !gather(op, c) || !op->has_grant) {
		op_free(op);
		return NULL;
	}
	return whole(op, c);
}
