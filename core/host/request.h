/*
 * A request under construction: four lists of pieces, each literal text or handle.
 *
 * Literal text gathers in lit and becomes one record when a handle, another header or the end comes.
 */
#ifndef MPS_HOST_REQUEST_H
#define MPS_HOST_REQUEST_H

#include "core/base/jsonw.h"
#include "core/host/host.h"

struct pieces {
	struct buf recs, lit;
	enum frame_kind literal, handle;
};

enum body_kind { BODY_NONE, BODY_FORM, BODY_MULTIPART, BODY_RAW, BODY_JSON };

struct mps_req {
	struct mps_op *op;
	struct mps_req *next;
	const char *method;
	const char *bug;		/* first mistake, reported by send */
	struct pieces url, body;
	struct buf headers;
	bool slash, has_query, dpop, authorized, type_set, header_open;
	enum body_kind kind;
	struct jsonw json;
	char brackets[JSON_DEPTH + 1];
	uint32_t depth;
	bool json_ended;
	char boundary[40];
};

void req_bug(struct mps_req *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool req_body_is(struct mps_req *r, enum body_kind kind, const char *type);	/* false: a mistake */
void pieces_flush(struct pieces *p);
void pieces_handle(struct pieces *p, const char *encoding, const char *name);

/* Adds a text, encoded for its place ("percent", "form", "json", "raw"), or a handle with that encoding. */
void req_put(struct mps_req *r, struct pieces *p, const char *encoding, const char *value);
bool header_value_ok(const char *s);

#endif
