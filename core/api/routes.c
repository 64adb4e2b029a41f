/*
 * Every route of the product.
 */
#include "core/api/routes.h"

#include <stddef.h>

const struct route *const route_tables[] = {
	health_routes,
	openapi_routes,
	end_user_routes,
	connect_session_routes,
	connection_routes,
	app_routes,
	api_key_routes,
	redirect_routes,
	credential_routes,
	connect_page_routes,
	connect_choose_routes,
	callback_routes,
	client_routes,
	asset_routes,
	docs_routes,
	post_routes,
	delivery_routes,
	operation_routes,
	event_routes,
	platform_routes,
	rule_routes,
	media_routes,
	NULL,
};
