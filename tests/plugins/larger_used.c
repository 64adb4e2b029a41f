/* A provider built with a later header, whose struct is larger: refused because its new tail is used. */
#include "ease.h"

struct later { struct mps_provider now; uint64_t tail; };

static int32_t step(mps_op *op) { (void)op; return MPS_NEXT_NO_PHASE; }

const struct mps_provider *mps_provider_v1(const struct mps_host *host)
{
	static const struct later self = { { sizeof self, 1, 0, 0, "larger-used", "1.0", "{\"name\":\"Larger\"}", step }, 1 };

	(void)host;
	return &self.now;
}
