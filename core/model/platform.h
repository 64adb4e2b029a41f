/*
 * What a provider declares, read once from its descriptor and never changed: limits, options, connect method,
 * dedupe behaviour, where tokens stand in answers.  A reload makes a new snapshot; readers of the old one keep
 * it until they give it back.  Nothing here runs provider code.
 */
#ifndef MPS_MODEL_PLATFORM_H
#define MPS_MODEL_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/jsonw.h"
#include "core/base/rc.h"
#include "core/model/limits.h"

enum dedupe_class { DEDUPE_NONE, DEDUPE_KEYED, DEDUPE_HANDLE, DEDUPE_SEARCH, DEDUPE_WEAK };

struct dedupe {
	const char *account_type;	/* "default" or a type */
	enum dedupe_class class;
	int64_t window_ms;		/* of a key; 0: unlimited */
	int64_t settle_ms, search_lag_ms;
	bool atomic;			/* keyed: of two requests at one time, one has an effect */
};

struct platform_scope { const char *scope, *reason; };
struct platform_field {
	const char *name, *way, *label, *type, *help, *help_url, *placeholder, *fallback;	/* way: oauth2, form or "" for both */
	int64_t max;
	bool secret, required;
};
struct platform_option {
	const char *name, *type, *label, *help, *fallback;
	const char *const *values;
	bool required, once;			/* once: items of a thread and comments do not inherit it */
	int64_t min, max;
};
struct token_paths { const char *access, *refresh, *expires_in, *scope, *separator, *type; };
struct secret_paths { const char *phase; const char *const *paths; };

struct platform {
	struct arena arena;
	int refs;
	const char *id, *version, *describe, *name, *icon, *docs;
	bool sandbox;				/* the test platform itself */
	/* connect */
	bool oauth, form;
	const char *client;			/* secret | public | none | metadata | registered: what an app needs at the platform */
	bool dpop, iss_required;
	bool registered;			/* client "registered": an app of ours at each instance, made by operation register */
	const char *host_field;			/* name of the first field of type host that is always filled in; NULL: none */
	const char *const *operations;		/* kinds that step knows */
	const struct platform_scope *scopes; int scope_count;
	const struct platform_field *fields; int field_count;
	struct token_paths exchange, refresh;	/* where tokens stand in 2xx answers */
	const struct secret_paths *secrets; int secret_count;
	bool refresh_repeat_safe;
	bool user_hosts;
	bool targets_connections;		/* each choice becomes a connection of the grant */
	const char *const *hosts, *const *answer_hosts;		/* NULL-terminated */
	/* rules */
	struct limits limits;
	const char *const *capabilities;	/* "text", "images", ... NULL-terminated */
	const struct platform_option *options; int option_count;
	const struct dedupe *dedupe; int dedupe_count;
	double publish_per_s, publish_burst;	/* per connection; 0: none */
	const char *header_remaining, *header_reset, *reset;	/* of answers, in lower case; "": none.  reset: seconds unix iso */
	int64_t state_min, state_max;
};

/* Parses and checks a descriptor; words name the key at fault. */
enum rc platform_read(struct cx *cx, const char *id, const char *version, const char *describe, struct platform **ret);

/* The same for a provider that was built with another header: keys of a newer one are ignored, with a warning. */
enum rc platform_read_built(struct cx *cx, const char *id, const char *version, uint32_t abi_minor, const char *describe,
			    struct platform **ret);

/* platform_keys.c: whether each key is known and has the type it must have. */
enum rc platform_keys_check(struct cx *cx, struct arena *a, const char *id, uint32_t abi_minor, struct jv root);
enum rc platform_required_check(struct cx *cx, const char *id, struct jv root);	/* and that none is missing */

/* The set of loaded platforms; thread-safe. */
struct platforms;
struct platforms *platforms_new(void);
void platforms_drop(struct platforms *ps);
void platforms_put(struct platforms *ps, struct platform *p);	/* takes over; replaces the one of the same id */
const struct platform *platforms_take(struct platforms *ps, const char *id);	/* NULL if not loaded */
void platform_give(const struct platform *p);			/* NULL is nothing */
void platform_give_auto(const struct platform **p);
#define PLATFORM_AUTO __attribute__((cleanup(platform_give_auto)))
int platforms_list(struct platforms *ps, struct arena *a, const char ***ret_ids);	/* sorted */

const struct dedupe *platform_dedupe(const struct platform *p, const char *account_type);
bool platform_has(const struct platform *p, const char *kind);	/* an operation kind */
bool platform_needs_client(const struct platform *p);		/* an app of the customer or the installation at the platform */
bool platform_can(const struct platform *p, const char *capability);
const char *const *platform_secret_paths(const struct platform *p, const char *phase);	/* NULL if none */
const struct platform_option *platform_option(const struct platform *p, const char *name);

#endif
