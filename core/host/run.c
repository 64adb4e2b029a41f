/*
 * One step from frame to frame, and the check of what a provider says about itself.
 *
 * Whatever a provider does wrong becomes an ACTION of verb bug with a sentence; results and state of that step
 * are dropped, so a broken step leaves nothing behind.
 */
#include "core/host/host.h"

#include <string.h>

#include "core/base/jsoncheck.h"

const struct mps_host *host_table(void)
{
	static struct mps_host table;

	if (!table.struct_size) {
		op_fill(&table);
		req_fill(&table);
		reqbody_fill(&table);
		verb_fill(&table);
		pure_fill(&table);
		made_fill(&table);
		table.abi_minor = MPS_ABI_MINOR;
		table.struct_size = sizeof table;
	}
	return &table;
}

static void check_return(struct mps_op *op, int32_t returned)
{
	if (returned == MPS_NEXT_NO_PHASE && !op->verb)
		rec_text(&op->action, REC_VERB, "", "no_phase");
	else if (!op->verb)
		op_bug(op, "the step returned %d without calling a verb", returned);
	else if (returned != op->verb)
		op_bug(op, "the step returned %d but its verb was %d; return what the verb returned", returned, op->verb);
}

static void write_bug(uint64_t operation, const char *kind, const char *phase, const char *words, struct buf *out)
{
	size_t begin = frame_begin(out, FRAME_ACTION, operation);
	struct buf text BUF_AUTO;

	buf_init(&text, 1024);
	buf_addf(&text, "%.32s/%.64s: %.500s", kind, phase, words);
	rec_text(out, REC_VERB, "", "bug");
	rec_text(out, REC_FAULT, "bug", buf_text(&text));
	frame_end(out, begin);
}

static void write_action(struct mps_op *op, struct buf *out)
{
	size_t begin = frame_begin(out, FRAME_ACTION, op->operation);

	/* Verb and phase, then results, then the request: its records come last and in order. */
	size_t at = 0, head = 0;
	struct rec r;

	while (rec_next(op->action.data, op->action.len, &at, &r, NULL) && r.kind < REC_METHOD)
		head = at;
	buf_add(out, op->action.data, head);
	for (struct pair *i = op->state.first; i; i = i->next)
		if (i->changed)
			rec_text(out, REC_STATE, i->key, i->value);
	for (struct pair *i = op->results.first; i; i = i->next)
		rec_text(out, REC_RESULT, i->key, i->value);
	buf_add(out, op->notes.data, op->notes.len);
	buf_add(out, op->action.data + head, op->action.len - head);
	frame_end(out, begin);
}

void step_run(const struct mps_provider *p, uint64_t operation, const char *data, size_t len, struct buf *out)
{
	struct mps_op op;
	size_t before = out->len;

	if (!op_init(&op, operation, data, len))
		op_bug(&op, "the core sent a malformed step");
	else
		check_return(&op, p->step(&op));
	if (!op.bug[0] && (!buf_ok(&op.action) || !buf_ok(&op.notes)))
		op_bug(&op, "the action is larger than %d bytes", FRAME_OUT_MAX);
	if (!op.bug[0]) {
		write_action(&op, out);
		if (!buf_ok(out) || out->len - before > FRAME_OUT_MAX) {
			op_bug(&op, "the action is larger than %d bytes", FRAME_OUT_MAX);
			if (buf_ok(out))
				buf_cut(out, before);
			else
				buf_reset(out);
		}
	}
	if (op.bug[0])
		write_bug(operation, op.kind, op.phase, op.bug, out);
	op_free(&op);
}

/* --- loading ------------------------------------------------------------------------------------------------- */

static bool id_ok(const char *id)
{
	return id && strlen(id) <= 32 && name_ok(id, 32, "-") && !strchr(id, '_');
}

/* A larger struct than ours is accepted if the tail that we do not know is zero. */
static bool tail_zero(const struct mps_provider *theirs)
{
	const char *bytes = (const char *)theirs;

	for (size_t i = sizeof *theirs; i < theirs->struct_size; i++)
		if (bytes[i])
			return false;
	return true;
}

bool provider_check(const struct mps_provider *theirs, struct mps_provider *ret, struct buf *words)
{
	struct json_fault fault = { 0, "" };
	size_t least = offsetof(struct mps_provider, step) + sizeof theirs->step;

	memset(ret, 0, sizeof *ret);
	if (!theirs)
		buf_adds(words, "mps_provider_v1 returned NULL: the provider refused this core");
	else if (theirs->struct_size < least || theirs->struct_size > 4096)
		buf_addf(words, "struct mps_provider has %u bytes, wanted at least %zu: build it with sdk/provider.h", theirs->struct_size, least);
	else if (theirs->needs_minor > MPS_ABI_MINOR)
		buf_addf(words, "it needs interface 1.%u, this core has 1.%d: install a newer mypostshare", theirs->needs_minor, MPS_ABI_MINOR);
	else if (!tail_zero(theirs))
		buf_addf(words, "it uses fields of interface 1.%u that this core (1.%d) does not know: install a newer mypostshare",
			theirs->abi_minor, MPS_ABI_MINOR);
	else
		memcpy(ret, theirs, sizeof *ret < theirs->struct_size ? sizeof *ret : theirs->struct_size);
	if (words->len)
		return false;
	if (!id_ok(ret->id))
		buf_addf(words, "its id \"%.40s\" is not 1 to 32 characters of a-z 0-9 -", ret->id ? ret->id : "NULL");
	else if (!ret->step || !ret->version || !ret->describe)
		buf_adds(words, "step, version or describe is NULL");
	else if (!ret->version[0] || !name_ok(ret->version, 32, ".+-"))
		buf_adds(words, "its version is not 1 to 32 characters of a-z 0-9 _ . + -");
	else if (strnlen(ret->describe, HOST_DESCRIBE_MAX + 1) > HOST_DESCRIBE_MAX)
		buf_addf(words, "its descriptor is longer than %d bytes", HOST_DESCRIBE_MAX);
	else if (ret->describe[0] != '{' || json_check(ret->describe, strlen(ret->describe), &fault) == 0)
		buf_addf(words, "its descriptor is not a JSON object: byte %zu: %s", fault.at, fault.words);
	return words->len == 0;
}
