/*
 * Short names for provider.h: one inline function per host function, phase tables, and the glue of a provider.
 *
 * Nothing here is part of the binary interface; a provider may do without it.  One file of the provider ends with
 *
 *	MPS_PROVIDER("example", "1.0", descriptor, operations)
 *
 * where operations is a table of kinds, and each kind a table of phases, read from top to bottom:
 *
 *	static const struct mps_phase publish[] = {
 *		{ "start", publish_start }, { "published", publish_published }, { NULL, NULL }
 *	};
 *	static const struct mps_operation operations[] = { { "publish", publish }, { NULL, NULL } };
 *
 * Phase names are kept by operations that are under way: add names, never reuse one for something else.
 */
#ifndef MYPOSTSHARE_EASE_H
#define MYPOSTSHARE_EASE_H

#include <string.h>

#include "provider.h"

typedef int32_t mps_next;

struct mps_phase {
	const char *name;
	mps_next (*run)(mps_op *op);
};

struct mps_operation {
	const char *kind;
	const struct mps_phase *phases;
};

#if defined(__GNUC__)
__attribute__((visibility("hidden")))
#endif
extern const struct mps_host *mps_host_table;

/* Runs the phase that the operation is in. */
static inline mps_next mps_run(mps_op *op, const struct mps_operation *operations)
{
	const char *kind = mps_host_table->kind(op), *name = mps_host_table->phase(op);

	for (; operations->kind; operations++) {
		if (strcmp(operations->kind, kind) != 0)
			continue;
		for (const struct mps_phase *p = operations->phases; p->name; p++)
			if (strcmp(p->name, name) == 0)
				return p->run(op);
	}
	return MPS_NEXT_NO_PHASE;
}

#define MPS_PROVIDER(ID, VERSION, DESCRIBE, OPERATIONS)						\
	const struct mps_host *mps_host_table;							\
	static int32_t mps_step_(mps_op *op) { return mps_run(op, (OPERATIONS)); }		\
	const struct mps_provider *mps_provider_v1(const struct mps_host *host)			\
	{											\
		static const struct mps_provider self = {					\
			sizeof(struct mps_provider), MPS_ABI_MINOR, MPS_ABI_MINOR, 0,		\
			(ID), (VERSION), (DESCRIBE), mps_step_					\
		};										\
		mps_host_table = host;								\
		return &self;									\
	}

/* --- reading ------------------------------------------------------------------------------------------------- */

static inline int32_t mps_event(mps_op *op) { return mps_host_table->event(op); }
static inline int64_t mps_now(mps_op *op) { return mps_host_table->now(op); }
static inline const char *mps_kind(mps_op *op) { return mps_host_table->kind(op); }
static inline const char *mps_seed(mps_op *op) { return mps_host_table->seed(op); }
static inline const char *mps_input(mps_op *op, const char *key) { return mps_host_table->input(op, key); }
static inline const char *mps_get(mps_op *op, const char *key) { return mps_host_table->get(op, key); }
static inline void mps_set(mps_op *op, const char *key, const char *value) { mps_host_table->set(op, key, value); }
static inline int32_t mps_status(mps_op *op) { return mps_host_table->status(op); }
static inline const char *mps_header(mps_op *op, const char *name) { return mps_host_table->header(op, name); }
static inline const char *mps_json(mps_op *op, const char *path) { return mps_host_table->json(op, path); }
static inline int32_t mps_json_type(mps_op *op, const char *path) { return mps_host_table->json_type(op, path); }
static inline int32_t mps_json_count(mps_op *op, const char *path) { return mps_host_table->json_count(op, path); }
static inline const char *mps_json_source(mps_op *op, const char *path)
{
	return mps_host_table->json_source(op, path);
}
static inline const char *mps_body(mps_op *op, uint32_t *ret_length) { return mps_host_table->body(op, ret_length); }
static inline const char *mps_handle(mps_op *op, const char *name) { return mps_host_table->handle(op, name); }

/* --- requests ------------------------------------------------------------------------------------------------ */

static inline mps_req *mps_request(mps_op *op, const char *method, const char *url)
{
	return mps_host_table->request(op, method, url);
}
static inline mps_req *mps_get_url(mps_op *op, const char *url) { return mps_host_table->request(op, "GET", url); }
static inline mps_req *mps_post(mps_op *op, const char *url) { return mps_host_table->request(op, "POST", url); }
static inline mps_req *mps_put(mps_op *op, const char *url) { return mps_host_table->request(op, "PUT", url); }
static inline mps_req *mps_delete(mps_op *op, const char *url) { return mps_host_table->request(op, "DELETE", url); }
static inline void mps_path(mps_req *r, const char *segment) { mps_host_table->path(r, segment); }
static inline void mps_query(mps_req *r, const char *key, const char *value) { mps_host_table->query(r, key, value); }
static inline void mps_req_header(mps_req *r, const char *name, const char *value)
{
	mps_host_table->req_header(r, name, value);
}
static inline void mps_req_header_more(mps_req *r, const char *value) { mps_host_table->req_header_more(r, value); }
static inline void mps_bearer(mps_req *r) { mps_host_table->bearer(r, NULL); }
static inline void mps_bearer_of(mps_req *r, const char *handle) { mps_host_table->bearer(r, handle); }
static inline void mps_basic(mps_req *r, const char *user, const char *password)
{
	mps_host_table->basic(r, user, password);
}
static inline void mps_form(mps_req *r, const char *key, const char *value) { mps_host_table->form(r, key, value); }
static inline void mps_multipart(mps_req *r, const char *name, const char *value)
{
	mps_host_table->multipart(r, name, value);
}
static inline void mps_multipart_media(mps_req *r, const char *name, const char *filename, int32_t index)
{
	mps_host_table->multipart_media(r, name, filename, index);
}
static inline void mps_req_body(mps_req *r, const char *type, const void *bytes, uint32_t length)
{
	mps_host_table->req_body(r, type, bytes, length);
}
static inline void mps_body_media(mps_req *r, int32_t index, int64_t offset, int64_t length)
{
	mps_host_table->body_media(r, index, offset, length);
}
static inline void mps_json_object(mps_req *r, const char *key) { mps_host_table->json_open(r, key, '{'); }
static inline void mps_json_array(mps_req *r, const char *key) { mps_host_table->json_open(r, key, '['); }
static inline void mps_json_close(mps_req *r) { mps_host_table->json_close(r); }
static inline void mps_json_text(mps_req *r, const char *key, const char *value)
{
	mps_host_table->json_text(r, key, value);
}
static inline void mps_json_int(mps_req *r, const char *key, int64_t value)
{
	mps_host_table->json_int(r, key, value);
}
static inline void mps_json_bool(mps_req *r, const char *key, int32_t value)
{
	mps_host_table->json_bool(r, key, value);
}
static inline void mps_json_null(mps_req *r, const char *key) { mps_host_table->json_null(r, key); }
static inline void mps_json_raw(mps_req *r, const char *key, const char *json)
{
	mps_host_table->json_raw(r, key, json);
}
static inline void mps_dpop(mps_req *r) { mps_host_table->dpop(r); }

/* --- verbs --------------------------------------------------------------------------------------------------- */

static inline mps_next mps_send(mps_op *op, mps_req *r, int32_t repeat, const char *next)
{
	return mps_host_table->send(op, r, repeat, next);
}
static inline mps_next mps_wait(mps_op *op, int32_t seconds, const char *next)
{
	return mps_host_table->wait(op, seconds, next);
}
static inline mps_next mps_wait_user(mps_op *op, int32_t seconds, const char *next)
{
	return mps_host_table->wait_user(op, seconds, next);
}
static inline mps_next mps_redirect(mps_op *op, mps_req *r) { return mps_host_table->redirect(op, r, ""); }
static inline mps_next mps_done(mps_op *op) { return mps_host_table->done(op); }
static inline mps_next mps_fail(mps_op *op, int32_t failure, const char *reason, const char *code, const char *message)
{
	return mps_host_table->fail(op, failure, reason, code, message);
}
static inline mps_next mps_found(mps_op *op) { return mps_host_table->found(op); }
static inline mps_next mps_absent(mps_op *op) { return mps_host_table->absent(op); }
static inline mps_next mps_unknown(mps_op *op) { return mps_host_table->unknown(op); }

/* --- results and pure functions ------------------------------------------------------------------------------ */

static inline void mps_result(mps_op *op, const char *key, const char *value)
{
	mps_host_table->result(op, key, value);
}
static inline void mps_warn(mps_op *op, const char *reason, const char *words)
{
	mps_host_table->warn(op, reason, words);
}
static inline void mps_token(mps_op *op, const char *name, const char *handle, int64_t seconds)
{
	mps_host_table->token(op, name, handle, seconds);
}
static inline void mps_retry_after(mps_op *op, int64_t seconds) { mps_host_table->retry_after(op, seconds); }
static inline void mps_sha256(mps_op *op, const void *bytes, uint32_t length, uint8_t out[32])
{
	mps_host_table->sha256(op, bytes, length, out);
}
static inline const char *mps_base64url(mps_op *op, const void *bytes, uint32_t length)
{
	return mps_host_table->base64url(op, bytes, length);
}
static inline uint32_t mps_graphemes(const char *text) { return mps_host_table->graphemes(text); }
static inline const char *mps_concat(mps_op *op, const char *a, const char *b)
{
	return mps_host_table->concat(op, a, b);
}
static inline const char *mps_number(mps_op *op, int64_t value) { return mps_host_table->number(op, value); }
static inline const char *mps_time_iso(mps_op *op, int64_t ms) { return mps_host_table->time_iso(op, ms); }
static inline int64_t mps_time_ms(const char *text) { return mps_host_table->time_ms(text); }
static inline void *mps_alloc(mps_op *op, uint32_t length) { return mps_host_table->alloc(op, length); }

static inline const char *mps_hmac(mps_op *op, const char *key, const char *message, const char *encoding)
{
	return mps_host_table->hmac(op, key, message, encoding);
}
static inline const char *mps_jwt(mps_op *op, const char *key, const char *alg, const char *claims, int32_t seconds)
{
	return mps_host_table->jwt(op, key, alg, claims, seconds);
}

/* --- things built from the above ----------------------------------------------------------------------------- */

/* The whole number that text holds, or fallback. */
static inline int64_t mps_int(const char *text, int64_t fallback)
{
	int64_t n = 0;
	const char *s = text + (*text == '-');

	if (!*s)
		return fallback;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || n > (INT64_MAX - 9) / 10)
			return fallback;
		n = n * 10 + (*s - '0');
	}
	return *text == '-' ? -n : n;
}

static inline int mps_is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* A key or path with a number in it: mps_at(op, "media.", 2, ".mime") is "media.2.mime". */
static inline const char *mps_at(mps_op *op, const char *before, int64_t index, const char *after)
{
	return mps_concat(op, mps_concat(op, before, mps_number(op, index)), after);
}

/* Whether the core is looking for a lost post: only SAFE requests, and found, absent or unknown in the end. */
static inline int mps_looking(mps_op *op)
{
	return mps_event(op) == MPS_LOST || mps_is(mps_input(op, "looking"), "1");
}

/* Seconds of a Retry-After header that counts seconds, else fallback. */
static inline int64_t mps_retry_header(mps_op *op, int64_t fallback)
{
	return mps_int(mps_header(op, "retry-after"), fallback);
}

#endif
