/*
 * The one style sheet that is written per session: the customer's colour, made darker or lighter until it stands
 * out from the page (3:1), and the ink that can be read on it (4.5:1), for light and for dark.
 */
#include "core/api/connect_html.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/json.h"
#include "core/base/text.h"

#define STEPS 20

struct colour { double c[3]; };	/* sRGB, 0 to 1 */

static const struct colour black = {{0, 0, 0}}, white = {{1, 1, 1}}, dark_surface = {{21 / 255.0, 24 / 255.0, 31 / 255.0}};

/* x to the power 2.4, for x from 0 to 1: the fifth root by Newton's method, to the twelfth. */
static double power_2_4(double x)
{
	double root = 1, square, sixth;

	for (int i = 0; i < 40; i++) {
		double fourth = root * root * root * root;

		root -= (fourth * root - x) / (5 * fourth + 1e-12);
	}
	square = root * root;
	sixth = square * square * square;
	return sixth * sixth;
}

static double luminance(struct colour k)
{
	static const double weight[3] = {0.2126, 0.7152, 0.0722};
	double sum = 0;

	for (int i = 0; i < 3; i++)
		sum += weight[i] * (k.c[i] <= 0.04045 ? k.c[i] / 12.92 : power_2_4((k.c[i] + 0.055) / 1.055));
	return sum;
}

static double contrast(struct colour a, struct colour b)
{
	double x = luminance(a), y = luminance(b);

	return x > y ? (x + 0.05) / (y + 0.05) : (y + 0.05) / (x + 0.05);
}

static struct colour mix(struct colour k, struct colour with, double part)
{
	for (int i = 0; i < 3; i++)
		k.c[i] += (with.c[i] - k.c[i]) * part;
	return k;
}

/* As it will be written: whole numbers of 0 to 255. */
static struct colour rounded(struct colour k)
{
	for (int i = 0; i < 3; i++)
		k.c[i] = (int)(k.c[i] * 255 + 0.5) / 255.0;
	return k;
}

static struct colour visible(struct colour k, struct colour surface, struct colour towards)
{
	struct colour now = k;

	for (int i = 1; i <= STEPS && contrast(now, surface) < 3.0; i++)
		now = rounded(mix(k, towards, (double)i / STEPS));
	return now;
}

static struct colour ink(struct colour k)
{
	return contrast(k, white) >= 4.5 ? white : black;
}

static void colour_write(struct buf *b, struct colour k)
{
	buf_addf(b, "#%02x%02x%02x", (unsigned)(k.c[0] * 255 + 0.5), (unsigned)(k.c[1] * 255 + 0.5), (unsigned)(k.c[2] * 255 + 0.5));
}

static void pair_write(struct buf *b, const char *name, struct colour light, struct colour dark)
{
	buf_addf(b, " %s: light-dark(", name);
	colour_write(b, light);
	buf_adds(b, ", ");
	colour_write(b, dark);
	buf_adds(b, ");");
}

/* Under the pointer it moves away from its ink, so that the ink stays readable. */
static struct colour hover(struct colour k)
{
	return rounded(mix(k, ink(k).c[0] > 0 ? black : white, 0.12));
}

void connect_brand_css(struct buf *b, const char *accent)
{
	struct colour k, light, dark;
	char part[3] = "";

	if (accent == NULL || accent[0] != '#')
		return;
	for (int i = 0; i < 3; i++) {
		snprintf(part, sizeof part, "%.2s", accent + 1 + 2 * i);
		k.c[i] = (double)strtol(part, NULL, 16) / 255.0;
	}
	light = visible(k, white, black);
	dark = visible(k, dark_surface, white);
	buf_adds(b, ":root {");
	pair_write(b, "--brand", light, dark);
	pair_write(b, "--on-brand", ink(light), ink(dark));
	pair_write(b, "--brand-hover", hover(light), hover(dark));
	buf_adds(b, " }\n");
}
