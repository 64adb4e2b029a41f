/*
 * Token buckets: rate, burst, waiting times that are true, blocks, and which names are forgotten.
 */
#include "core/engine/limit.h"

#include "tests/unit/test.h"

static int64_t wait_ms;

static bool take(struct limit *l, const char *key, double rate, double burst, int64_t now)
{
	wait_ms = -1;
	return limit_take(l, key, rate, burst, now, &wait_ms);
}

TEST(a_burst_and_then_the_rate)
{
	struct limit *l = limit_new(10);

	for (int i = 0; i < 5; i++) {
		CHECK(take(l, "a", 2, 5, 1000));
		CHECK_INT(wait_ms, 0);
	}
	CHECK(!take(l, "a", 2, 5, 1000));
	CHECK_INT(wait_ms, 500);
	CHECK(!take(l, "a", 2, 5, 1200));
	CHECK_INT(wait_ms, 300);
	CHECK(take(l, "a", 2, 5, 1500));
	CHECK(!take(l, "a", 2, 5, 1500));
	for (int i = 0; i < 5; i++)		/* never more than the burst, however long it rested */
		CHECK(take(l, "a", 2, 5, 1000000));
	CHECK(!take(l, "a", 2, 5, 1000000));
	limit_drop(l);
}

TEST(names_are_apart)
{
	struct limit *l = limit_new(10);

	CHECK(take(l, "connection:a", 1, 1, 0));
	CHECK(!take(l, "connection:a", 1, 1, 0));
	CHECK(take(l, "connection:b", 1, 1, 0));
	CHECK_INT(limit_count(l), 2);
	limit_drop(l);
}

/* Whoever waits as told gets a token, and over any time no more than burst + rate * time leave. */
TEST(the_waiting_time_is_true)
{
	static const double rates[] = { 0.01, 0.3, 1, 1.0 / 3, 7, 33.3, 999, 5000 };
	struct limit *l = limit_new(10);

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		int64_t now = 12345, start = now;
		char key[20];
		int taken = 0;

		snprintf(key, sizeof(key), "rate %zu", i);
		while (taken < 500) {
			if (take(l, key, rates[i], 3, now)) {
				taken++;
				continue;
			}
			CHECK(wait_ms > 0);
			now += wait_ms;
			CHECK_SAY(take(l, key, rates[i], 3, now), "rate %g: nothing after %" PRId64 " ms", rates[i], wait_ms);
			taken++;
		}
		CHECK_SAY(taken <= 3 + rates[i] * (double)(now - start) / 1000 + 1e-3, "rate %g: %d in %" PRId64 " ms",
			  rates[i], taken, now - start);
	}
	limit_drop(l);
}

TEST(a_burst_below_one_is_one)
{
	struct limit *l = limit_new(10);

	CHECK(take(l, "a", 0.5, 0, 0));
	CHECK(!take(l, "a", 0.5, 0, 0));
	CHECK_INT(wait_ms, 2000);
	limit_drop(l);
}

TEST(a_token_given_back_can_be_taken)
{
	struct limit *l = limit_new(10);

	CHECK(take(l, "a", 1, 2, 0));
	CHECK(take(l, "a", 1, 2, 0));
	limit_give(l, "a");
	CHECK(take(l, "a", 1, 2, 0));
	CHECK(!take(l, "a", 1, 2, 0));
	for (int i = 0; i < 10; i++)
		limit_give(l, "a");
	CHECK(take(l, "a", 1, 2, 0));
	CHECK(take(l, "a", 1, 2, 0));
	CHECK(!take(l, "a", 1, 2, 0));		/* not above the burst */
	limit_give(l, "unknown");
	CHECK_INT(limit_count(l), 1);
	limit_drop(l);
}

TEST(a_block_holds_everything_of_its_name)
{
	struct limit *l = limit_new(10);

	limit_block(l, "a", 5000);
	limit_block(l, "a", 4000);		/* the longer one stays */
	CHECK(!take(l, "a", 100, 100, 1000));
	CHECK_INT(wait_ms, 4000);
	CHECK(!take(l, "a", 0, 0, 4999));	/* also without a bucket */
	CHECK_INT(wait_ms, 1);
	CHECK(take(l, "b", 0, 0, 4999));
	CHECK(take(l, "a", 0, 0, 5000));
	for (int i = 0; i < 100; i++)		/* refusals took nothing */
		CHECK(take(l, "a", 100, 100, 5000));
	CHECK(!take(l, "a", 100, 100, 5000));
	limit_block(l, "a", 5005);		/* the longer of block and bucket */
	CHECK(!take(l, "a", 100, 100, 5000));
	CHECK_INT(wait_ms, 10);
	limit_drop(l);
}

TEST(time_that_goes_back_gives_nothing_and_takes_nothing)
{
	struct limit *l = limit_new(10);

	CHECK(take(l, "a", 1, 1, 100000));
	CHECK(!take(l, "a", 1, 1, 50000));
	CHECK_INT(wait_ms, 1000);
	CHECK(take(l, "a", 1, 1, 51000));
	limit_drop(l);
}

TEST(the_least_recently_used_is_forgotten)
{
	struct limit *l = limit_new(3);

	CHECK(take(l, "a", 1, 1, 0) && take(l, "b", 1, 1, 0) && take(l, "c", 1, 1, 0));
	CHECK(!take(l, "a", 1, 1, 0));		/* a is now the newest */
	CHECK(take(l, "d", 1, 1, 0));		/* pushes out b */
	CHECK_INT(limit_count(l), 3);
	CHECK(!take(l, "a", 1, 1, 0));
	CHECK(!take(l, "c", 1, 1, 0));
	CHECK(!take(l, "d", 1, 1, 0));
	CHECK(take(l, "b", 1, 1, 0));		/* forgotten: full again */
	limit_drop(l);
}

TEST(a_block_outlives_names_that_are_only_used)
{
	struct limit *l = limit_new(4);
	char key[20];

	limit_block(l, "blocked", 1000000);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "name %d", i);
		CHECK(take(l, key, 1, 1, i));
	}
	CHECK(!take(l, "blocked", 1, 1, 100));
	CHECK_INT(wait_ms, 999900);
	for (int i = 0; i < 4; i++) {		/* all blocked: the one that ends first goes */
		snprintf(key, sizeof(key), "held %d", i);
		limit_block(l, key, 2000 + i);
	}
	CHECK(!take(l, "blocked", 1, 1, 1000));
	CHECK_INT(limit_count(l), 4);
	limit_drop(l);
}

/* Against a plain list as the oracle: the same names are kept, whatever the order of use. */
TEST(many_names_in_any_order)
{
	enum { MOST = 50, NAMES = 120 };
	struct limit *l = limit_new(MOST);
	int64_t used[NAMES] = { 0 };
	unsigned seed = 7;
	char key[20];

	for (int step = 1; step < 20000; step++) {
		int name, newer = 0;

		seed = seed * 1103515245u + 12345u;
		name = (int)(seed >> 16) % NAMES;
		for (int i = 0; i < NAMES; i++)
			newer += used[i] > used[name];
		snprintf(key, sizeof(key), "name %d", name);
		/* A token every 1e9 ms: refused exactly if the name is still known. */
		CHECK_SAY(take(l, key, 1e-6, 1, step) == (used[name] == 0 || newer >= MOST), "step %d, name %d", step, name);
		used[name] = step;
	}
	CHECK_INT(limit_count(l), MOST);
	limit_drop(l);
}
