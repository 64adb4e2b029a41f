/*
 * Forced faults of routes: POST /control/fail.
 */
#ifndef MPS_SANDBOX_FAULT_H
#define MPS_SANDBOX_FAULT_H

#include "core/sandbox/call.h"

/* route: "/v1/posts" or "POST /v1/posts"; mode NULL: answer status. False: malformed, unknown route or no room. */
bool sandbox_fault_add(struct sandbox *s, const char *route, const char *mode, int status, int count);
bool sandbox_fault_take(struct sandbox *s, const char *method, const char *pattern, struct fault *ret);
void sandbox_fault_clear(struct sandbox *s);

#endif
