/*
 * try: replays conversations with a provider, without network, sandbox or core.
 *
 * main.c loads the provider, replay.c plays steps, action.c writes what it answered as JSON, compare.c says where
 * that differs from what was expected.
 */
#ifndef MPS_SDK_TRY_H
#define MPS_SDK_TRY_H

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "sdk/provider.h"

/* The records of an ACTION as one JSON object (see CONVERSATIONS.md); handles stand as {name}. */
void action_json(const char *records, size_t len, struct buf *out);

/* Writes where got differs from what is expected, one line per difference; true if nowhere.  At the top only the
 * members that are expected are looked at, and of "headers" likewise. */
bool compare_action(struct jv want, struct jv got, struct buf *out);

/* Plays all conversations of a file.  Returns how many failed, -1 if the file cannot be used. */
int replay_file(const struct mps_provider *p, const char *path, bool show);

/* Whether step knows the kinds that the descriptor's operations list, and no others. */
bool replay_kinds(const struct mps_provider *p, struct buf *words);

#endif
