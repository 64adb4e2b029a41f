/*
 * The OpenAPI 3.1 document of a set of routes.
 */
#ifndef MPS_API_OPENAPI_H
#define MPS_API_OPENAPI_H

#include "core/api/route.h"
#include "core/base/jsonw.h"

void openapi_write(struct jsonw *w, const struct route *const *tables, const char *server_url);

/* The schema of a field or a table of fields; strict: unknown names are refused (requests). */
void openapi_field(struct jsonw *w, const char *key, const struct field *f, bool strict);
void openapi_object(struct jsonw *w, const char *key, const struct field *fields, bool strict);

#endif
