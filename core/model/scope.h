/*
 * Scopes: lists of words, separated by blanks or commas as platforms write them.
 */
#ifndef MPS_MODEL_SCOPE_H
#define MPS_MODEL_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

/* The next word at or behind at; *ret_len 0: there is none. */
const char *scope_next(const char *at, size_t *ret_len);
bool scope_in(const char *scopes, const char *word, size_t n);

/* Appends as a JSON list what was asked for and not granted.  Nothing is missing where the platform does not say
 * what it granted (NULL). */
void scope_missing(struct buf *out, const char *asked, const char *granted);

#endif
