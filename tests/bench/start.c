/*
 * The disk, the idle server, and how fast it starts.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYNCS 300
#define STARTS 3
#define OPEN 100000

void bench_disk(const struct bench *b)
{
	char path[1200], page[4096];
	uint32_t us[SYNCS];
	int fd;

	mkdir(b->folder, 0700);
	snprintf(path, sizeof path, "%s/disk", b->folder);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	memset(page, 'x', sizeof page);
	for (int i = 0; i < SYNCS; i++) {
		int64_t began = now_us();

		if (pwrite(fd, page, sizeof page, (off_t)i * (off_t)sizeof page) != (ssize_t)sizeof page || fdatasync(fd) != 0)
			die("%s: %s", path, strerror(errno));
		us[i] = (uint32_t)(now_us() - began);
	}
	close(fd);
	report_row(&(struct row){"fdatasync_p50_ms", "the disk: 4 KiB and fdatasync, p50", "ms", percentile_ms(us, SYNCS, 0.5), 0, NULL, NULL});
	report_row(&(struct row){"fdatasync_p99_ms", "the disk: 4 KiB and fdatasync, p99", "ms", percentile_ms(us, SYNCS, 0.99), 0, NULL, NULL});
}

static double median(double *v, int n)
{
	for (int i = 1; i < n; i++)
		for (int k = i; k > 0 && v[k] < v[k - 1]; k--) {
			double swap = v[k];

			v[k] = v[k - 1];
			v[k - 1] = swap;
		}
	return v[n / 2];
}

/* The first start makes the store and the keys; the others find it made and empty. */
void bench_idle(const struct bench *b)
{
	double first, ms[STARTS], rss, host;
	struct place p;
	int hosts;

	place_make(b, &p, "idle", 0);
	first = place_serve(b, &p);
	for (int i = 0; i < STARTS; i++) {
		place_stop(&p, SIGTERM);
		ms[i] = place_serve(b, &p);
	}
	usleep(1500000);
	rss = place_rss_mb(p.pid);
	host = place_hosts_rss_mb(p.pid, &hosts);
	place_stop(&p, SIGTERM);
	if (hosts == 0)
		die("the server has no provider hosts");
	report_row(&(struct row){"start_first_ms", "ready after the very first start (makes store and keys)", "ms", first, 0, NULL, NULL});
	report_row(&(struct row){"start_ms", "ready after a start with an empty store, median of 3", "ms", median(ms, STARTS), 0, NULL, "< 100"});
	report_row(&(struct row){"idle_rss_mb", "memory of the idle core", "MB", rss, 0, NULL, "< 20"});
	report_row(&(struct row){"host_rss_mb", "memory of each idle provider host, mean", "MB", host, 0, NULL, "< 3"});
}

/* All wait for their time; the server before was killed.  None is due while it starts. */
void bench_start(const struct bench *b)
{
	struct posts posts = {.count = (int64_t)pick(b, OPEN, OPEN, 1000), .due_at = wall_ms() + 3600000, .step_ms = 10, .state = "queued"};
	struct people people;
	struct store *s;
	struct place p;
	double ms;

	place_make(b, &p, "start", 0);
	s = store_open(&p);
	store_people(s, &people, 1000, 1, 20);
	store_posts(s, &people, &posts);
	store_close(s);
	place_serve(b, &p);
	place_stop(&p, SIGKILL);
	ms = place_serve(b, &p);
	report_row(&(struct row){"start_100k_ms", "ready after kill -9 with 100,000 open deliveries", "ms", ms, 0, NULL, "< 3000"});
	report_row(&(struct row){"rss_100k_mb", "  memory of the core then", "MB", place_rss_mb(p.pid), 0, NULL, NULL});
	place_stop(&p, SIGKILL);
	free(people.at);
}
