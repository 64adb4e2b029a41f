/*
 * The codec between the core and a provider host, and the form in which an operation's request is stored.
 *
 * A frame is a 16-byte header (u32 length of the records after the header, u32 type, u64 operation) and
 * records: u8 kind, u16 key length, u32 value length, key, value.  Little endian.  A list of records is also
 * the format of an operation's saved state and of its intent.  The reader treats every byte as hostile:
 * lengths are checked before use, keys and values may hold any byte.  Private to one build: hello carries
 * FRAME_BUILD.
 */
#ifndef MPS_BASE_FRAME_H
#define MPS_BASE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

#define FRAME_BUILD 1
#define FRAME_HEAD 16
#define FRAME_IN_MAX (1024 * 1024 + 128 * 1024)		/* core to host */
#define FRAME_OUT_MAX (256 * 1024)			/* host to core */

enum frame_type { FRAME_HELLO = 1, FRAME_DESCRIBE, FRAME_STEP, FRAME_ACTION, FRAME_FAULT };

/* Record kinds.  STEP carries the first group, ACTION the second; state records stand in both. */
enum frame_kind {
	/* hello / describe / fault */
	REC_BUILD = 1,		/* value: FRAME_BUILD in decimal */
	REC_DESCRIBE,		/* value: descriptor JSON */
	REC_ID, REC_VERSION,	/* value: provider id, version */
	REC_ABI,		/* key: "abi_minor" | "needs_minor", value: decimal */
	REC_SANDBOX,		/* value: level of the sandbox reached, in words */
	REC_FAULT,		/* key: "refused" | "bug", value: a sentence */

	/* step: the operation as the provider sees it */
	REC_KIND = 20,		/* value: publish, refresh, ... */
	REC_PHASE,		/* value: phase name; also in ACTION: the next phase */
	REC_EVENT,		/* value: start | answer | lost | timer */
	REC_NOW,		/* value: milliseconds, decimal */
	REC_SEED,		/* value: 64 hex characters */
	REC_INPUT,		/* key: "account.id", value: text */
	REC_STATE,		/* key, value; in ACTION: changed keys only, an empty value removes */
	REC_STATUS,		/* value: HTTP status, decimal */
	REC_HEADER,		/* key: lower-case name, value */
	REC_BODY,		/* value: answer body with handles in place of secrets */

	/* action */
	REC_VERB = 40,		/* value: send wait wait_user redirect done fail found absent unknown no_phase bug */
	REC_SECONDS,		/* value: of wait, of retry_after (key "retry_after") */
	REC_CLASS,		/* value of fail: rejected auth revoked limit transient unknown; key: reason */
	REC_MESSAGE,		/* value: the platform's words (fail), key: platform's own code or "" */
	REC_RESULT,		/* key (sdk/keys), value */
	REC_WARNING,		/* key: reason, value: words */
	REC_TOKEN,		/* key: access | refresh, value: handle name, or "handle seconds" */

	/* request inside an ACTION of verb send or redirect; also the stored intent */
	REC_METHOD = 60,	/* key: GET POST PUT PATCH DELETE, value: safe | keyed | once */
	REC_URL,		/* literal piece of the URL, already encoded */
	REC_URL_HANDLE,		/* key: encoding (see below), value: handle name */
	REC_REQ_HEADER,		/* key: name, value: literal piece; starts a header, or continues it if the key is "" */
	REC_REQ_HEADER_HANDLE,	/* key: encoding, value: handle; continues the header before it */
	REC_REQ_BODY,		/* literal bytes */
	REC_REQ_BODY_HANDLE,	/* key: encoding, value: handle */
	REC_REQ_MEDIA,		/* key: media index, value: "offset length" in bytes */
	REC_DPOP,		/* the core adds a proof; with Authorization: DPoP also the token's hash */
	REC_MADE		/* a secret made at send: key: handle "made:N", value: "hmac hex|base64|base64url", KEY handle,
				   "=" message or "@" handle; or "jwt ES256|HS256", KEY handle, seconds, claims; parts joined by
				   newlines.  Stands before the records that use it */
};

/* Encodings of a handle: "raw" (header values, whole URLs), "percent" (path, query), "form", "json" (without
 * the quotes), "basic" (value is "side:side", each percent-encoded: a handle's name, or "=" and literal text;
 * base64 of both joined by a colon). */

struct rec {
	uint8_t kind;
	const char *key, *value;	/* into the frame; NOT NUL-terminated */
	uint16_t key_len;
	uint32_t value_len;
};

struct frame_head {
	uint32_t length, type;
	uint64_t operation;
};

/* Writing: begin remembers where the length goes, end writes it.  Sticky failure in the buffer. */
size_t frame_begin(struct buf *b, enum frame_type type, uint64_t operation);
void frame_end(struct buf *b, size_t begin);
void rec_add(struct buf *b, enum frame_kind kind, const char *key, const void *value, size_t n);
void rec_text(struct buf *b, enum frame_kind kind, const char *key, const char *value);
void rec_int(struct buf *b, enum frame_kind kind, const char *key, int64_t value);

/* Reading.  frame_peek: 1 a whole frame is there, 0 not yet, -1 malformed or over max. */
int frame_peek(const char *data, size_t len, size_t max, struct frame_head *ret_head);

/* Iterates records: *at starts at 0; true with the next record; false at the end or on a malformed record,
 * which *ret_bad (may be NULL) tells apart. */
bool rec_next(const char *data, size_t len, size_t *at, struct rec *ret, bool *ret_bad);

/* The first record of a kind with a key (NULL: any key). */
bool rec_find(const char *data, size_t len, enum frame_kind kind, const char *key, struct rec *ret);
bool rec_is(const struct rec *r, const char *value);	/* value equals this text */

#endif
