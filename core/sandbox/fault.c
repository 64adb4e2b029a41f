/*
 * A short list of faults under the sandbox's lock.  A fault is used up call by call; the first that fits is
 * taken.
 */
#include "core/sandbox/fault.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/sandbox/handlers.h"

static const struct { const char *name; enum fault_mode mode; } modes[] = {
	{ "lost_before", FAULT_LOST_BEFORE }, { "lost_after", FAULT_LOST_AFTER },
	{ "hang_before", FAULT_HANG_BEFORE }, { "hang_after", FAULT_HANG_AFTER },
};

static bool mode_of(const char *name, enum fault_mode *ret)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (text_eq(modes[i].name, name)) {
			*ret = modes[i].mode;
			return true;
		}
	return false;
}

/* "POST /v1/posts" is meant by itself and by "/v1/posts". */
static bool route_is(const char *full, const char *wanted)
{
	return text_eq(full, wanted) || text_eq(strchr(full, ' ') + 1, wanted);
}

static bool route_known(const char *wanted)
{
	const char *name;

	for (int i = 0; (name = sandbox_route_name(i)); i++)
		if (route_is(name, wanted))
			return true;
	return false;
}

bool sandbox_fault_add(struct sandbox *s, const char *route, const char *mode, int status, int count)
{
	struct fault f = { .mode = FAULT_STATUS, .status = status, .left = count };
	bool added = false;

	if (!route || strlen(route) >= sizeof f.route || !route_known(route) || count < 1)
		return false;
	if (mode ? !mode_of(mode, &f.mode) : status < 400 || status > 599)
		return false;
	snprintf(f.route, sizeof f.route, "%s", route);
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < SANDBOX_FAULTS && !added; i++)
		if (!s->faults[i].left) {
			s->faults[i] = f;
			added = true;
		}
	pthread_mutex_unlock(&s->lock);
	return added;
}

bool sandbox_fault_take(struct sandbox *s, const char *method, const char *pattern, struct fault *ret)
{
	char full[96];
	bool found = false;

	snprintf(full, sizeof full, "%s %s", method, pattern);
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < SANDBOX_FAULTS && !found; i++)
		if (s->faults[i].left && route_is(full, s->faults[i].route)) {
			s->faults[i].left--;
			*ret = s->faults[i];
			found = true;
		}
	pthread_mutex_unlock(&s->lock);
	return found;
}

void sandbox_fault_clear(struct sandbox *s)
{
	pthread_mutex_lock(&s->lock);
	memset(s->faults, 0, sizeof s->faults);
	pthread_mutex_unlock(&s->lock);
}
