/*
 * Failpoints, in builds with FAIL=1 only; otherwise the header's inline function is all there is.
 *
 * The one thing to know: a specification that cannot be read ends the process at the first pass, because a
 * test whose fault never strikes would pass for the wrong reason.
 */
#include "core/base/failpoint.h"

#ifdef MPS_FAILPOINTS

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POINTS 16
#define NAME_BYTES 64

enum action { ACT_KILL, ACT_STOP, ACT_ERROR, ACT_ONCE, ACTIONS };
static const char *const action_names[ACTIONS] = {"kill", "stop", "error", "once"};

static struct point {
	char name[NAME_BYTES];
	long count;
	enum action action;
	_Atomic long passes;
} points[POINTS];
static size_t point_count;
static pthread_once_t loaded = PTHREAD_ONCE_INIT;

static void refuse(const char *spec)
{
	dprintf(STDERR_FILENO, "MPS_FAILPOINT: cannot read \"%s\"; it is name:count:action\n", spec);
	abort();
}

static void point_add(const char *spec)
{
	char action[8], rest;
	struct point *p = &points[point_count];
	if (point_count == POINTS
			|| sscanf(spec, "%63[^:]:%ld:%7[a-z]%c", p->name, &p->count, action, &rest) != 3 || p->count < 1)
		refuse(spec);
	for (p->action = 0; strcmp(action_names[p->action], action) != 0; )
		if (++p->action == ACTIONS)
			refuse(spec);
	point_count++;
}

static void load(void)
{
	const char *env = getenv("MPS_FAILPOINT");
	while (env && *env) {
		char spec[128];
		size_t n = strcspn(env, ",");
		if (n >= sizeof spec)
			refuse(env);
		memcpy(spec, env, n);
		spec[n] = '\0';
		point_add(spec);
		env += n + (env[n] == ',');
	}
}

static int pass(struct point *p)
{
	long now = atomic_fetch_add(&p->passes, 1) + 1;
	if (p->action == ACT_ERROR)
		return now >= p->count;
	if (now != p->count)
		return 0;
	if (p->action == ACT_ONCE)
		return 1;
	raise(p->action == ACT_KILL ? SIGKILL : SIGSTOP);	/* to this thread, which must not get any further */
	return 0;
}

/* ---- the clock ---------------------------------------------------------------------------------------------- */

static _Atomic int64_t *ahead;		/* two: of all clocks, of the wall alone */
static pthread_once_t mapped = PTHREAD_ONCE_INIT;

static void map(void)
{
	const char *file = getenv("MPS_CLOCK");
	int fd = file && *file ? open(file, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 2 * sizeof *ahead, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (file && *file && at == MAP_FAILED) {
		dprintf(STDERR_FILENO, "MPS_CLOCK: cannot map \"%s\"\n", file);
		abort();
	}
	if (fd >= 0)
		close(fd);
	ahead = at == MAP_FAILED ? NULL : at;
}

int64_t failpoint_ahead(void)
{
	pthread_once(&mapped, map);
	return ahead ? atomic_load(ahead) : 0;
}

int64_t failpoint_set(void)
{
	pthread_once(&mapped, map);
	return ahead ? atomic_load(ahead + 1) : 0;
}

/* ---- the places --------------------------------------------------------------------------------------------- */

int failpoint(const char *name)
{
	int failed = 0;
	pthread_once(&loaded, load);
	for (size_t i = 0; i < point_count; i++)
		if (strcmp(points[i].name, name) == 0)
			failed |= pass(&points[i]);
	return failed;
}

#endif
