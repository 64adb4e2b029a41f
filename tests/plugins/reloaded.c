/* The hostile provider's successor: the same id, another version, which echoes whatever the other did. */
#include "ease.h"

static mps_next echo(mps_op *op)
{
	mps_result(op, "remote_id", "the new one");
	return mps_done(op);
}

static const struct mps_phase publish[] = {
	{ "start", echo }, { "echo", echo }, { "loop", echo }, { "crash", echo }, { "out_of_turn", echo }, { NULL, NULL }
 };
static const struct mps_operation operations[] = { { "publish", publish }, { NULL, NULL } };

MPS_PROVIDER("hostile", "2.0", "{\"name\":\"Hostile\",\"state_versions\":[1,2]}", operations)
