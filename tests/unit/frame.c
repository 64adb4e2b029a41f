/*
 * Frames: what is written is read back, and no cut or changed byte makes the reader leave its frame.
 */
#include "core/base/frame.h"

#include "core/base/id.h"
#include "tests/unit/test.h"

static void sample(struct buf *b)
{
	size_t begin = frame_begin(b, FRAME_STEP, 0x1122334455667788);
	rec_text(b, REC_KIND, NULL, "publish");
	rec_text(b, REC_STATE, "cursor", "a");
	rec_text(b, REC_STATE, "other", "");
	rec_add(b, REC_BODY, "", "\0\1\2", 3);
	rec_int(b, REC_NOW, "", -42);
	frame_end(b, begin);
}

TEST(frame_is_read_back)
{
	static const struct { enum frame_kind kind; const char *key, *value; size_t n; } want[] = {
		{REC_KIND, "", "publish", 7}, {REC_STATE, "cursor", "a", 1}, {REC_STATE, "other", "", 0},
		{REC_BODY, "", "\0\1\2", 3}, {REC_NOW, "", "-42", 3},
	};
	BUF_AUTO struct buf b;
	struct frame_head head;
	size_t at = 0, i = 0;
	bool bad = true;
	struct rec r;
	buf_init(&b, 4096);
	sample(&b);
	CHECK_INT(frame_peek(b.data, b.len, FRAME_IN_MAX, &head), 1);
	CHECK_INT(head.type, FRAME_STEP);
	CHECK(head.operation == 0x1122334455667788);
	CHECK_INT(head.length + FRAME_HEAD, b.len);
	for (; rec_next(b.data + FRAME_HEAD, head.length, &at, &r, &bad); i++) {
		CHECK_INT(r.kind, want[i].kind);
		CHECK_INT(r.key_len, strlen(want[i].key));
		CHECK_INT(memcmp(r.key, want[i].key, r.key_len), 0);
		CHECK_INT(r.value_len, want[i].n);
		CHECK_INT(memcmp(r.value, want[i].value, want[i].n), 0);
	}
	CHECK_INT(i, 5);
	CHECK(!bad);
}

TEST(frame_bytes_are_fixed)
{
	static const char want[] = "\x0c\0\0\0\4\0\0\0\2\1\0\0\0\0\0\0\x28\1\0\4\0\0\0kdone";
	BUF_AUTO struct buf b;
	buf_init(&b, 4096);
	size_t begin = frame_begin(&b, FRAME_ACTION, 258);
	rec_text(&b, REC_VERB, "k", "done");
	frame_end(&b, begin);
	CHECK_INT(b.len, sizeof want - 1);
	CHECK_INT(memcmp(b.data, want, b.len), 0);
}

TEST(frames_follow_each_other)
{
	BUF_AUTO struct buf b;
	struct frame_head head;
	buf_init(&b, 4096);
	sample(&b);
	size_t first = b.len;
	sample(&b);
	CHECK_INT(frame_peek(b.data, b.len, FRAME_IN_MAX, &head), 1);
	CHECK_INT(head.length + FRAME_HEAD, first);
	buf_drop(&b, first);
	CHECK_INT(frame_peek(b.data, b.len, FRAME_IN_MAX, &head), 1);
	CHECK_INT(head.length + FRAME_HEAD, b.len);
}

TEST(frame_waits_for_its_end)
{
	BUF_AUTO struct buf b;
	struct frame_head head;
	buf_init(&b, 4096);
	sample(&b);
	for (size_t n = 0; n < b.len; n++)
		CHECK_INT(frame_peek(b.data, n, FRAME_IN_MAX, &head), 0);
}

TEST(frame_peek_refuses)
{
	BUF_AUTO struct buf b;
	struct frame_head head;
	buf_init(&b, 4096);
	sample(&b);
	CHECK_INT(frame_peek(b.data, b.len, b.len - 1, &head), -1);
	CHECK_INT(frame_peek(b.data, b.len, b.len, &head), 1);
	CHECK_INT(frame_peek(b.data, FRAME_HEAD, b.len - 1, &head), -1);
	CHECK_INT(frame_peek(b.data, b.len, 3, &head), -1);
	b.data[4] = 0;
	CHECK_INT(frame_peek(b.data, b.len, FRAME_IN_MAX, &head), -1);
	b.data[4] = FRAME_FAULT + 1;
	CHECK_INT(frame_peek(b.data, b.len, FRAME_IN_MAX, &head), -1);
	b.data[4] = FRAME_STEP;
	memset(b.data, 0xFF, 4);
	CHECK_INT(frame_peek(b.data, b.len, FRAME_IN_MAX, &head), -1);
}

TEST(rec_next_tells_end_from_damage)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 4096);
	sample(&b);
	const char *records = b.data + FRAME_HEAD;
	size_t len = b.len - FRAME_HEAD, ends = 0;
	for (size_t n = 0; n <= len; n++) {
		size_t at = 0;
		bool bad = true;
		struct rec r;
		char *copy = malloc(n ? n : 1);		/* exact, so that a sanitizer sees a read behind it */
		CHECK(copy != NULL);
		memcpy(copy, records, n);
		while (rec_next(copy, n, &at, &r, &bad))
			CHECK(at <= n && r.value + r.value_len <= copy + n);
		ends += !bad;
		free(copy);
	}
	CHECK_INT(ends, 6);	/* before the first record and behind each of five */
}

TEST(rec_next_refuses_lengths_that_wrap)
{
	static const char value[] = "\x14\0\0\xFF\xFF\xFF\xFFx", key[] = "\x14\xFF\xFF\0\0\0\0x", kind[] = "\0\0\0\0\0\0\0";
	static const char sum[] = "\x14\1\0\xFF\xFF\xFF\xFFx", behind[] = "\x14\0\0\1\0\0\0x\x14\0\0\1\0\0\0x";
	static const struct { const char *data; size_t n, at; } cases[] = {
		{value, 8, 0}, {key, 8, 0}, {kind, 7, 0}, {sum, 8, 0}, {behind, 7, 8},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t at = cases[i].at;
		bool bad = false;
		struct rec r;
		CHECK(!rec_next(cases[i].data, cases[i].n, &at, &r, &bad));
		CHECK(bad);
	}
}

TEST(random_bytes_stay_inside)
{
	for (int round = 0; round < 2000; round++) {
		unsigned char size;
		size_t at = 0;
		struct rec r;
		id_random(&size, 1);
		char *data = malloc(size + 1u);
		CHECK(data != NULL);
		id_random(data, size);
		for (size_t i = 0; i < size; i++)
			if (data[i] & 1)
				data[i] = (char)(data[i] & 3);	/* small numbers, so that some lengths fit */
		while (rec_next(data, size, &at, &r, NULL))
			CHECK(r.key + r.key_len == r.value && r.value + r.value_len <= data + size);
		free(data);
	}
}

TEST(rec_find_and_is)
{
	BUF_AUTO struct buf b;
	struct rec r;
	buf_init(&b, 4096);
	sample(&b);
	const char *records = b.data + FRAME_HEAD;
	size_t len = b.len - FRAME_HEAD;
	CHECK(rec_find(records, len, REC_STATE, "other", &r));
	CHECK(rec_is(&r, ""));
	CHECK(rec_find(records, len, REC_STATE, NULL, &r));
	CHECK(rec_is(&r, "a"));
	CHECK(!rec_is(&r, "ab"));
	CHECK(!rec_find(records, len, REC_STATE, "curso", &r));
	CHECK(!rec_find(records, len, REC_URL, NULL, &r));
}

TEST(oversized_keys_spoil_the_buffer)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 1 << 20);
	char *key = malloc(70000);
	CHECK(key != NULL);
	memset(key, 'k', 69999);
	key[65536] = '\0';
	size_t begin = frame_begin(&b, FRAME_STEP, 1);
	rec_text(&b, REC_STATE, key, "v");
	CHECK(!buf_ok(&b));
	frame_end(&b, begin);
	CHECK_INT(b.len, 0);
	key[65535] = '\0';
	buf_reset(&b);
	rec_text(&b, REC_STATE, key, "v");
	CHECK(buf_ok(&b));
	free(key);
}
