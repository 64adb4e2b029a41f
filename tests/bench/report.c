/*
 * The table on standard output and build/bench.json: one flat object, so that two runs can be compared by key.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/jsonw.h"

#define ROWS_MAX 64

static struct row rows[ROWS_MAX];
static int count;

void progress(const char *fmt, ...)
{
	va_list ap;

	fputs("bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void report_row(const struct row *r)
{
	if (count == ROWS_MAX)
		die("more than %d rows", ROWS_MAX);
	rows[count++] = *r;
	progress("%s %.3g %s", r->what, r->value, r->unit);
}

static void number(char out[32], double value)
{
	snprintf(out, 32, value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value);
}

void report_print(void)
{
	char value[32], ceiling[32], ratio[32];

	printf("%-58s %10s %-4s %10s %6s  %-18s %s\n", "what", "measured", "", "ceiling", "ratio", "aim", "the ceiling is");
	for (int i = 0; i < count; i++) {
		const struct row *r = &rows[i];

		number(value, r->value);
		ceiling[0] = ratio[0] = '\0';
		if (r->ceiling > 0) {
			number(ceiling, r->ceiling);
			snprintf(ratio, sizeof ratio, "%.0f %%", 100 * r->value / r->ceiling);
		}
		printf("%-58s %10s %-4s %10s %6s  %-18s %s\n", r->what, value, r->unit, ceiling, ratio, r->aim ? r->aim : "", r->of ? r->of : "");
	}
}

static void value_write(struct jsonw *w, const char *key, double value)
{
	char text[32];

	snprintf(text, sizeof text, "%.3f", value);
	jsonw_raw(w, key, text, strlen(text));
}

static void machine_write(struct jsonw *w, const struct bench *b)
{
	struct utsname u;

	uname(&u);
	jsonw_bool(w, "quick", b->quick);
	jsonw_int(w, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
	jsonw_text(w, "kernel", u.release);
	jsonw_time(w, "at", wall_ms());
}

void report_save(const struct bench *b)
{
	char path[1200];
	struct buf out;
	struct jsonw w;
	FILE *f;

	snprintf(path, sizeof path, "%s/bench%s.json", b->build, b->tiny ? "-tiny" : "");
	buf_init(&out, 1 << 20);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	machine_write(&w, b);
	for (int i = 0; i < count; i++)
		value_write(&w, rows[i].key, rows[i].value);
	jsonw_object_end(&w);
	jsonw_end(&w);
	f = fopen(path, "w");
	if (f == NULL || fprintf(f, "%s\n", buf_text(&out)) < 0 || fclose(f) != 0)
		die("%s: %s", path, strerror(errno));
	buf_free(&out);
}
