/*
 * Ids: their form, their order, and what id_valid refuses.
 */
#include "core/base/id.h"

#include "core/base/clock.h"
#include "tests/unit/test.h"

static int64_t fake_time;

static int64_t fake(void)
{
	return fake_time;
}

TEST(id_has_its_form)
{
	char id[ID_MAX];
	id_new(id, "post");
	CHECK_INT(strlen(id), 4 + 1 + 26);
	CHECK(id_valid(id, "post"));
	CHECK(!id_valid(id, "pos"));
	CHECK(!id_valid(id, "app"));
}

TEST(id_order_is_time_order)
{
	char before[ID_MAX] = "", id[ID_MAX];
	clock_fake(fake);
	for (fake_time = 1; fake_time < 1ll << 48; fake_time *= 3) {
		id_new(id, "ev");
		CHECK(id_valid(id, "ev"));
		CHECK_SAY(strcmp(before, id) < 0, "%s does not stand before %s", before, id);
		memcpy(before, id, sizeof before);
	}
	clock_fake(NULL);
}

TEST(id_holds_the_time_in_front)
{
	char id[ID_MAX];
	clock_fake(fake);
	fake_time = 0;
	id_new(id, "x");
	CHECK_INT(strncmp(id, "x_000000000", 11), 0);
	fake_time = (1ll << 48) - 1;
	id_new(id, "x");
	CHECK_INT(strncmp(id, "x_7zzzzzzzz", 11), 0);
	clock_fake(NULL);
}

TEST(ids_differ)
{
	char a[ID_MAX], b[ID_MAX];
	clock_fake(fake);
	for (int i = 0; i < 1000; i++) {
		id_new(a, "a");
		id_new(b, "a");
		CHECK(strcmp(a, b) != 0);
	}
	clock_fake(NULL);
}

TEST(id_valid_refuses)
{
	static const char *const bad[] = {
		"", "post", "post_", "post_0123456789abcdefghjkmnpqr", "post_0123456789abcdefghjkmnpqrst",
		"post_8zzzzzzzzzzzzzzzzzzzzzzzzz", "post_0123456789abcdefghijkmnpqr", "post_0123456789ABCDEFGHJKMNPQRS",
		"post-0123456789abcdefghjkmnpqrs", "app_0123456789abcdefghjkmnpqrs", "post_0123456789abcdefghjkmnp/rs",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_SAY(!id_valid(bad[i], "post"), "%s is accepted", bad[i]);
	CHECK(!id_valid(NULL, "post"));
	CHECK(id_valid("post_0123456789abcdefghjkmnpqrs", "post"));
}

TEST(id_random_fills)
{
	unsigned char bytes[600] = {0};
	size_t zeros = 0;
	id_random(bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		zeros += bytes[i] == 0;
	CHECK(zeros < 40);
}
