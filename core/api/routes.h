/*
 * The tables of every resource: declare yours here, add it to the list in routes.c.
 */
#ifndef MPS_API_ROUTES_H
#define MPS_API_ROUTES_H

#include "core/api/route.h"

extern const struct route health_routes[];
extern const struct route openapi_routes[];

#endif
