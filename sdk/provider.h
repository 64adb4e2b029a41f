/*
 * mypostshare provider interface, version 1.
 *
 * A provider is one shared object that knows one platform.  It exports one function, mps_provider_v1, and does
 * its work in one other, step: a pure function that reads an operation (what kind it is, which phase it is in,
 * what happened since) and answers with exactly one verb: send this request, wait, done, fail.  The core sends
 * the requests, keeps the secrets, waits, retries and remembers; a provider has no sockets, files, clock, random
 * numbers, threads or writable state but the pointer to the host table.
 *
 * Rules that hold for every function of the host table:
 *
 *   Texts       UTF-8, ended by NUL.  Texts handed out live until step returns; texts handed in are copied before
 *               the call returns.  What is absent reads as "", never as NULL.  NULL may not be handed in unless
 *               the function says so.
 *   Memory      A provider frees nothing and hands over nothing that it allocated.
 *   Errors      A mistake of the provider (unknown result key, second verb, broken request) never stops the call;
 *               it sticks to the operation, which then ends in class BUG with a sentence that names the mistake.
 *   Threads     Called only from inside step, on the thread that called it.
 *   Time        Milliseconds since 1970 UTC, or whole seconds where the name says so.
 *   Secrets     Never seen.  A provider holds handles: texts that name a secret ("token.access").  A builder knows a
 *               handle by its pointer, so pass on exactly the pointer that handle(), json(), header(), get() or
 *               input() gave; a copy of its text is only text.
 *
 * Growth: structs grow at the end only.  abi_minor is the version of this header that a side was built with,
 * needs_minor the oldest core that a provider can run on.  A provider built with this header runs, unchanged, on
 * every later core of version 1.
 *
 * Companions: README.md (a guide from the template to a published post), ease.h (phase tables and short names for all
 * of this), keys (every input and result key with type and unit), DESCRIPTOR.md (every key of the descriptor).
 */
#ifndef MYPOSTSHARE_PROVIDER_H
#define MYPOSTSHARE_PROVIDER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MPS_ABI_MINOR 1

typedef struct mps_op mps_op;		/* one operation during one step */
typedef struct mps_req mps_req;		/* one request under construction; belongs to its operation */

/* What happened since the last step: event(). */
#define MPS_START 1		/* the operation begins, or begins anew: no answer, the phase is "start" */
#define MPS_ANSWER 2		/* the answer to the last request is there, whatever its status */
#define MPS_LOST 3		/* a KEYED or ONCE request left, and nobody knows what became of it: look */
#define MPS_TIMER 4		/* the wait is over */

/* What sending a request a second time would do: send(). */
#define MPS_SAFE 1		/* nothing anyone sees: a read, a draft, a spare container, an idempotent delete */
#define MPS_KEYED 2		/* nothing: the platform knows it again by a key made from seed() */
#define MPS_ONCE 3		/* maybe a second post: never sent again unless looking proved it absent */

/* Classes of failure: fail().  The class decides what happens next, words never do.  On a KEYED or ONCE request
 * REJECTED, AUTH, REVOKED and LIMIT assert that nothing was created; when the answer does not prove that, it is
 * UNKNOWN. */
#define MPS_REJECTED 1		/* proven not created, and trying again would not help */
#define MPS_AUTH 2		/* token expired: the core refreshes once and repeats the phase */
#define MPS_REVOKED 3		/* the person must connect again */
#define MPS_LIMIT 4		/* too many; see retry_after */
#define MPS_TRANSIENT 5		/* the platform's trouble; counts as UNKNOWN on KEYED and ONCE requests */
#define MPS_UNKNOWN 6		/* an answer that does not tell whether it was created: the core makes it LOST */

/* What step returns: the name of the one verb it called. */
#define MPS_NEXT_SEND 1
#define MPS_NEXT_WAIT 2
#define MPS_NEXT_WAIT_USER 3
#define MPS_NEXT_REDIRECT 4
#define MPS_NEXT_DONE 5
#define MPS_NEXT_FAIL 6
#define MPS_NEXT_FOUND 7
#define MPS_NEXT_ABSENT 8
#define MPS_NEXT_UNKNOWN 9
#define MPS_NEXT_NO_PHASE 10	/* no verb: kind or phase are not known here; the operation is parked */

/* Types of a value in an answer: json_type(). */
#define MPS_JSON_NONE 0		/* absent, or the body is not JSON */
#define MPS_JSON_NULL 1
#define MPS_JSON_BOOL 2
#define MPS_JSON_NUMBER 3
#define MPS_JSON_STRING 4
#define MPS_JSON_ARRAY 5
#define MPS_JSON_OBJECT 6

/* Core to provider: what a step can call.  Append only. */
struct mps_host {
	uint32_t struct_size;		/* of the core's struct, in bytes */
	uint32_t abi_minor;		/* of the core */

	/* --- reading the operation ------------------------------------------------------------------------- */

	/* The kind: register authorize exchange identify targets refresh check limits publish edit remove revoke. */
	const char *(*kind)(mps_op *op);

	/* The phase that this step is in: "start", or the next_phase of the verb before. */
	const char *(*phase)(mps_op *op);

	/* What happened: MPS_START, MPS_ANSWER, MPS_LOST or MPS_TIMER. */
	int32_t (*event)(mps_op *op);

	/* The time of this step in milliseconds since 1970 UTC, by the core's clock. */
	int64_t (*now)(mps_op *op);

	/* 64 hexadecimal digits from which keys of KEYED requests are made: the same for every attempt at one
	 * content of one delivery while the platform's key window lasts, different for everything else. */
	const char *(*seed)(mps_op *op);

	/* The value of an input key ("text", "media.0.mime"; see the file keys). */
	const char *(*input)(mps_op *op, const char *key);

	/* The value that set() stored under this key in this or an earlier step of the operation. */
	const char *(*get)(mps_op *op, const char *key);

	/* Stores text (or a handle) for later steps of this operation; "" removes.  Keys are 1 to 64 characters of
	 * a-z 0-9 . _ -; all keys and values together hold at most 64 KiB. */
	void (*set)(mps_op *op, const char *key, const char *value);

	/* The HTTP status of the answer; 0 unless event is MPS_ANSWER. */
	int32_t (*status)(mps_op *op);

	/* A header of the answer by its name in any case; a header listed in secret_answers is a handle. */
	const char *(*header)(mps_op *op, const char *name);

	/* A string, number or bool in the answer's JSON as text; path is "data.0.id".  "" for anything else.  A value
	 * listed in secret_answers is a handle. */
	const char *(*json)(mps_op *op, const char *path);

	/* The MPS_JSON_ type of the value at path; "" is the whole document. */
	int32_t (*json_type)(mps_op *op, const char *path);

	/* Number of elements of an array or members of an object at path; 0 for anything else. */
	int32_t (*json_count)(mps_op *op, const char *path);

	/* The value at path as the JSON text that the platform wrote, for json_raw(); "" if absent. */
	const char *(*json_source)(mps_op *op, const char *path);

	/* The answer's body, at most 1 MiB, with handles' names in place of secrets; ret_length (may be NULL) gets
	 * its bytes, which may include NUL. */
	const char *(*body)(mps_op *op, uint32_t *ret_length);

	/* The handle of a secret by name: client.id client.secret client.key token.access token.refresh oauth.code
	 * oauth.code_verifier targets.N.token field.NAME sec:N.  token.access is the connection's own token. */
	const char *(*handle)(mps_op *op, const char *name);

	/* --- building a request ----------------------------------------------------------------------------- */

	/* Starts a request.  method: GET POST PUT PATCH DELETE.  url: an http(s) URL that is already encoded, or a
	 * handle that holds one.  Never NULL; a mistake in it or in any later builder call is reported by send(). */
	mps_req *(*request)(mps_op *op, const char *method, const char *url);

	/* Appends "/" and one path segment (text or handle), percent-encoded.  Empty, "." and ".." are mistakes, as
	 * is a path after a query. */
	void (*path)(mps_req *req, const char *segment);

	/* Appends one query parameter; the value (text or handle) is percent-encoded. */
	void (*query)(mps_req *req, const char *key, const char *value);

	/* Adds a header; the value (text or handle) may not hold control characters.  Host, Content-Length and the
	 * headers of a connection belong to the core. */
	void (*req_header)(mps_req *req, const char *name, const char *value);

	/* Continues the value of the header added last, so that text and handles can stand in one value. */
	void (*req_header_more)(mps_req *req, const char *value);

	/* Authorization: Bearer and this handle; NULL means token.access.  After dpop() the scheme is DPoP. */
	void (*bearer)(mps_req *req, const char *token);

	/* Authorization: Basic with user and password, each a text or a handle. */
	void (*basic)(mps_req *req, const char *user, const char *password);

	/* Adds a field to an application/x-www-form-urlencoded body; value is text or handle. */
	void (*form)(mps_req *req, const char *key, const char *value);

	/* Adds a text part to a multipart/form-data body; value is text or handle. */
	void (*multipart)(mps_req *req, const char *name, const char *value);

	/* Adds media item number index (from 0) as a file part, with its own type; the core streams the bytes. */
	void (*multipart_media)(mps_req *req, const char *name, const char *filename, int32_t index);

	/* Appends bytes to a raw body; type (as "text/plain") is set by the first call, later calls may give "". */
	void (*req_body)(mps_req *req, const char *type, const void *bytes, uint32_t length);

	/* Appends bytes offset to offset + length of a media item to a raw body; length -1 is the rest.  The body
	 * has the item's type unless a header Content-Type was added before. */
	void (*body_media)(mps_req *req, int32_t index, int64_t offset, int64_t length);

	/* Opens a JSON object ('{') or array ('['); the first call of a JSON body opens its root.  key is the member's
	 * name inside an object, "" inside an array and at the root; so in all the json_ calls. */
	void (*json_open)(mps_req *req, const char *key, int32_t bracket);

	/* Closes what json_open opened last. */
	void (*json_close)(mps_req *req);

	/* Writes a string (text or handle). */
	void (*json_text)(mps_req *req, const char *key, const char *value);

	/* Writes a whole number. */
	void (*json_int)(mps_req *req, const char *key, int64_t value);

	/* Writes true (value is not 0) or false. */
	void (*json_bool)(mps_req *req, const char *key, int32_t value);

	/* Writes null. */
	void (*json_null)(mps_req *req, const char *key);

	/* Writes JSON text as it is; what is not exactly one valid JSON value is a mistake. */
	void (*json_raw)(mps_req *req, const char *key, const char *json);

	/* Asks the core for a DPoP proof (RFC 9449) by the grant's own key; call it before bearer().  The core keeps the
	 * server's nonces, and repeats the request once by itself when the answer is use_dpop_nonce, because that proves
	 * that nothing was done.  The descriptor declares connect.dpop. */
	void (*dpop)(mps_req *req);

	/* --- verbs: exactly one per step; each returns its MPS_NEXT_, which step returns ---------------------- */

	/* Sends the request; next_phase reads the answer.  repeat is MPS_SAFE, MPS_KEYED or MPS_ONCE; while looking
	 * for a lost post only MPS_SAFE. */
	int32_t (*send)(mps_op *op, mps_req *req, int32_t repeat, const char *next_phase);

	/* Comes back with MPS_TIMER in next_phase after seconds (1 to 86400); polls of one phase are spread out by
	 * the core.  After a KEYED or ONCE request it means: the platform has it and is still working. */
	int32_t (*wait)(mps_op *op, int32_t seconds, const char *next_phase);

	/* As wait, and a person has to act on the platform first (a post that lies in an inbox). */
	int32_t (*wait_user)(mps_op *op, int32_t seconds, const char *next_phase);

	/* Only in authorize: the person's browser goes to the URL of this GET request.  next_phase may be "". */
	int32_t (*redirect)(mps_op *op, mps_req *req, const char *next_phase);

	/* The operation has succeeded.  Its results were given before. */
	int32_t (*done)(mps_op *op);

	/* The operation has failed.  failure: MPS_REJECTED .. MPS_UNKNOWN; reason: a stable word of a-z 0-9 _ ("text_too_long");
	 * platform_code and message: the platform's own, or "". */
	int32_t (*fail)(mps_op *op, int32_t failure, const char *reason, const char *platform_code, const char *message);

	/* Only while looking: the post is there.  Give result remote_id before. */
	int32_t (*found)(mps_op *op);

	/* Only while looking: the platform shows that the post is not there. */
	int32_t (*absent)(mps_op *op);

	/* Only while looking: it cannot be told. */
	int32_t (*unknown)(mps_op *op);

	/* --- results ----------------------------------------------------------------------------------------- */

	/* Gives a result by its key ("remote_id", see the file keys); text, at most 8 KiB. */
	void (*result)(mps_op *op, const char *key, const char *value);

	/* Reports trouble that did not stop the operation; reason as in fail(). */
	void (*warn)(mps_op *op, const char *reason, const char *words);

	/* Stores the secret behind a handle: name is access or refresh, and in register client.id or client.secret; seconds
	 * is its lifetime (0: does not expire).  Token answers that the descriptor declares are stored without this. */
	void (*token)(mps_op *op, const char *name, const char *handle, int64_t seconds);

	/* With fail(): do not come back before so many seconds. */
	void (*retry_after)(mps_op *op, int64_t seconds);

	/* --- pure functions ---------------------------------------------------------------------------------- */

	/* SHA-256 of length bytes into 32 bytes at out. */
	void (*sha256)(mps_op *op, const void *bytes, uint32_t length, uint8_t *out);

	/* Base64url without padding of length bytes. */
	const char *(*base64url)(mps_op *op, const void *bytes, uint32_t length);

	/* Number of user-perceived characters. */
	uint32_t (*graphemes)(const char *text);

	/* Both texts as one; handles cannot be joined. */
	const char *(*concat)(mps_op *op, const char *a, const char *b);

	/* The number in decimal. */
	const char *(*number)(mps_op *op, int64_t value);

	/* RFC 3339 in UTC with milliseconds: "2026-11-23T18:20:30.123Z". */
	const char *(*time_iso)(mps_op *op, int64_t ms);

	/* Milliseconds of an RFC 3339 time with offset; -1 if it is none. */
	int64_t (*time_ms)(const char *text);

	/* length zeroed bytes that live until step returns, at most 1 MiB in all per step; beyond that NULL. */
	void *(*alloc)(mps_op *op, uint32_t length);

	/* --- since 1.1 ---------------------------------------------------------------------------------------- */

	/* A handle for the HMAC-SHA256 of message (text or handle) by the key behind a handle, computed when the request
	 * is sent; encoding: "hex", "base64" or "base64url".  It can be used in the requests of this step only. */
	const char *(*hmac)(mps_op *op, const char *key, const char *message, const char *encoding);

	/* A handle for a signed JWT, made when the request is sent: claims is a JSON object, to which the core adds iat,
	 * exp (seconds from then) and a jti that is new at every send.  alg: "ES256" or "HS256"; key: "client.key" (whose
	 * kid the header names) or another handle.  It can be used in the requests of this step only. */
	const char *(*jwt)(mps_op *op, const char *key, const char *alg, const char *claims, int32_t seconds);
};

/* Provider to core.  Static and never changed. */
struct mps_provider {
	uint32_t struct_size;		/* sizeof(struct mps_provider) */
	uint32_t abi_minor;		/* MPS_ABI_MINOR of the header it was built with */
	uint32_t needs_minor;		/* the oldest core it runs on */
	uint32_t reserved;		/* 0 */
	const char *id;			/* 1 to 32 characters of a-z 0-9 -; never changes */
	const char *version;		/* of this provider, for people */
	const char *describe;		/* the descriptor: one JSON object, see DESCRIPTOR.md */

	/* Does the next thing: reads op, calls exactly one verb, returns what the verb returned.  The same input gives
	 * the same answer, always. */
	int32_t (*step)(mps_op *op);
};

/* The one export.  host lives as long as the process.  NULL refuses to be loaded. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct mps_provider *mps_provider_v1(const struct mps_host *host);

#ifdef __cplusplus
}
#endif
#endif
