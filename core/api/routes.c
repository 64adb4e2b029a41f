/*
 * Every route of the product.
 */
#include "core/api/routes.h"

#include <stddef.h>

const struct route *const route_tables[] = {
	health_routes,
	openapi_routes,
	NULL,
};
