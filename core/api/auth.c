/*
 * Keys of callers: see auth.h.  Every request reads the key's row, so a revoked key is refused from the next
 * request on.
 */
#include "core/api/auth.h"

#include "core/base/clock.h"
#include "core/model/apikey.h"

enum rc auth_key(struct cx *cx, struct api *api, struct arena *a, const char *key, const char *address, struct identity *ret)
{
	DB_READ_AUTO struct db_conn *c = db_take(api->db);
	struct apikey k;
	enum rc rc = apikey_check(cx, c, api->vault, key, clock_now(), a, &k);

	(void)address;
	if (rc != RC_OK)
		return rc;
	*ret = (struct identity){
		.owner = {.organization_id = k.organization_id, .app_id = k.app_id, .live = k.live},
		.key_id = k.id, .scopes = k.scopes,
	};
	return RC_OK;
}
