/* The set of loaded platforms: reference-counted snapshots behind one lock.  See platform.h. */
#include <pthread.h>
#include <stdlib.h>

#include "core/base/rc.h"
#include "core/base/text.h"
#include "core/model/platform.h"

#define PLATFORMS_MAX 256

struct platforms {
	pthread_mutex_t lock;
	struct platform *list[PLATFORMS_MAX];
	int count;
};

static pthread_mutex_t refs_lock = PTHREAD_MUTEX_INITIALIZER;

struct platforms *platforms_new(void)
{
	struct platforms *ps = calloc(1, sizeof *ps);

	if (ps == NULL)
		out_of_memory(__func__);
	pthread_mutex_init(&ps->lock, NULL);
	return ps;
}

void platforms_drop(struct platforms *ps)
{
	if (ps == NULL)
		return;
	for (int i = 0; i < ps->count; i++)
		platform_give(ps->list[i]);
	pthread_mutex_destroy(&ps->lock);
	free(ps);
}

static int find(const struct platforms *ps, const char *id)
{
	int i = 0;

	while (i < ps->count && !text_eq(ps->list[i]->id, id))
		i++;
	return i;
}

void platforms_put(struct platforms *ps, struct platform *p)
{
	struct platform *old = NULL;
	int i;

	pthread_mutex_lock(&ps->lock);
	i = find(ps, p->id);
	if (i == ps->count && ps->count < PLATFORMS_MAX)
		ps->count++;
	else if (i < ps->count)
		old = ps->list[i];
	if (i < PLATFORMS_MAX)
		ps->list[i] = p;
	pthread_mutex_unlock(&ps->lock);
	platform_give(old);
}

const struct platform *platforms_take(struct platforms *ps, const char *id)
{
	struct platform *p = NULL;
	int i;

	pthread_mutex_lock(&ps->lock);
	i = find(ps, id);
	if (i < ps->count) {
		p = ps->list[i];
		pthread_mutex_lock(&refs_lock);
		p->refs++;
		pthread_mutex_unlock(&refs_lock);
	}
	pthread_mutex_unlock(&ps->lock);
	return p;
}

void platform_give(const struct platform *given)
{
	struct platform *p = (struct platform *)(uintptr_t)given;	/* the count is ours to change */
	int left;

	if (p == NULL)
		return;
	pthread_mutex_lock(&refs_lock);
	left = --p->refs;
	pthread_mutex_unlock(&refs_lock);
	if (left > 0)
		return;
	arena_free(&p->arena);
	free(p);
}

void platform_give_auto(const struct platform **p)
{
	platform_give(*p);
}

static int order(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	for (size_t i = 0;; i++)
		if ((*x)[i] != (*y)[i] || (*x)[i] == '\0')
			return (*x)[i] - (*y)[i];
}

int platforms_list(struct platforms *ps, struct arena *a, const char ***ret_ids)
{
	const char **ids;
	int n;

	pthread_mutex_lock(&ps->lock);
	n = ps->count;
	ids = arena_array(a, const char *, n + 1);
	for (int i = 0; i < n; i++)
		ids[i] = arena_text(a, ps->list[i]->id);
	pthread_mutex_unlock(&ps->lock);
	qsort(ids, (size_t)n, sizeof *ids, order);
	*ret_ids = ids;
	return n;
}
