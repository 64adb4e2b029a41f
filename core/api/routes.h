/*
 * The tables of every resource: declare yours here, add it to the list in routes.c.
 */
#ifndef MPS_API_ROUTES_H
#define MPS_API_ROUTES_H

#include "core/api/route.h"

extern const struct route health_routes[];
extern const struct route openapi_routes[];
extern const struct route end_user_routes[];
extern const struct route connect_session_routes[];
extern const struct route connection_routes[];
extern const struct route app_routes[];
extern const struct route api_key_routes[];
extern const struct route redirect_routes[];
extern const struct route credential_routes[];
extern const struct route connect_page_routes[];
extern const struct route connect_choose_routes[];
extern const struct route callback_routes[];
extern const struct route client_routes[];
extern const struct route asset_routes[];
extern const struct route docs_routes[];
extern const struct route post_routes[];
extern const struct route delivery_routes[];
extern const struct route operation_routes[];
extern const struct route event_routes[];
extern const struct route platform_routes[];
extern const struct route rule_routes[];
extern const struct route media_routes[];

#endif
