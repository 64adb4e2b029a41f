/*
 * GIF: the blocks are walked to the trailer, counting pictures and their delays.  More than one picture moves.
 */
#include "core/probe/probe.h"

#define BLOCKS_MAX 5000000

struct gif { struct input *in; int64_t at, delay_cs, frames; int left; };

static const unsigned char *take(struct gif *g, size_t n)
{
	const unsigned char *b = input_bytes(g->in, g->at, n);

	if (b != NULL)
		g->at += (int64_t)n;
	return b;
}

/* Sub-blocks up to the empty one. */
static bool skip(struct gif *g)
{
	while (g->left-- > 0) {
		const unsigned char *b = take(g, 1);

		if (b == NULL)
			return false;
		if (b[0] == 0)
			return true;
		g->at += b[0];
	}
	return false;
}

static bool table_skip(struct gif *g, unsigned flags)
{
	if (flags & 0x80)
		g->at += 3 * (2ll << (flags & 7));
	return g->at <= g->in->size;
}

static bool extension(struct gif *g)
{
	const unsigned char *b = take(g, 1);

	if (b == NULL)
		return false;
	if (b[0] == 0xf9 && (b = input_bytes(g->in, g->at, 5)) != NULL && b[0] == 4)
		g->delay_cs += le16(b + 2);
	return skip(g);
}

static bool picture(struct gif *g)
{
	const unsigned char *b = take(g, 9);

	if (b == NULL || !table_skip(g, b[8]) || take(g, 1) == NULL)
		return false;
	g->frames++;
	return skip(g);
}

/* True at the trailer, or where whole pictures end without one, as some programs write it and every reader takes it;
 * false where the file is broken. */
static bool walk(struct gif *g)
{
	while (g->left-- > 0) {
		const unsigned char *b = take(g, 1);
		bool good;

		if (b == NULL)
			return g->at == g->in->size;
		if (b[0] == 0x3b)
			return true;
		good = b[0] == 0x2c ? picture(g) : b[0] == 0x21 && extension(g);
		if (!good)
			return false;
	}
	return false;
}

bool gif_read(struct input *in, struct probed *p)
{
	struct gif g = {.in = in, .at = 6, .left = BLOCKS_MAX};
	const unsigned char *b = take(&g, 7);

	if (b == NULL)
		return unreadable(p, "this GIF file is damaged or cut off");
	p->width = le16(b);
	p->height = le16(b + 2);
	if (!table_skip(&g, b[4]) || !walk(&g) || g.frames == 0)
		return unreadable(p, "this GIF file is damaged or cut off");
	if (g.frames == 1)
		return found(p, "image", "image/gif", "gif");
	p->duration_ms = g.delay_cs * 10;
	rate_set(p, g.frames, p->duration_ms);
	return found(p, "gif", "image/gif", "gif");
}
