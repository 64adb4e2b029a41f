/*
 * Secrets in answers that are kept for replays: a place stands in what is stored, and the secret is filled in
 * when the bytes are about to leave.
 */
#ifndef MPS_API_SECRET_H
#define MPS_API_SECRET_H

#include "core/api/api.h"

#define SECRET_PLACE "\x7f"	/* a text value, or its end; field_check lets no such byte in */

/* Puts text (which needs no escaping in JSON) in place of the first place of the answer's body. */
void secret_fill(struct api_request *r, const char *text);

/* One more member at the end of the answer's object, which the kept answer lacks: for what cannot be read again.
 * text as above.  A replay is left as it is. */
void secret_append(struct api_request *r, const char *name, const char *text);

#endif
