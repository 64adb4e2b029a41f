/*
 * Images and video through the engine: the bytes of a file reach the platform as they are, by every type of account,
 * with a poll where the platform processes; a file that is gone fails before anything was sent.  The oracle is what
 * the sandbox says it received.
 */
#include "tests/unit/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "tests/rig/rig.h"

#define IMAGE 5000
#define VIDEO (3 * 1024 * 1024)

static struct rig rig;

static void setup(void)
{
	if (rig.engine != NULL)
		return;
	rig_begin(&rig, "media");
	rig_open(&rig);
}

/* A file of the media folder; its digest as the far side will name it. */
static void make_file(const char *name, size_t n, char sha256[65])
{
	char path[512], *bytes = malloc(n);
	uint8_t digest[32];
	struct buf hex;
	FILE *f;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 31 + i / 256 * 7 + n);
	snprintf(path, sizeof path, "%s/media", rig.conf.data_folder);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/media/%s", rig.conf.data_folder, name);
	f = fopen(path, "wb");
	CHECK(f != NULL && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
	vault_sha256(bytes, n, digest);
	buf_init(&hex, 128);
	text_hex(&hex, digest, sizeof digest);
	snprintf(sha256, 65, "%s", buf_text(&hex));
	buf_free(&hex);
	free(bytes);
}

static struct jv get(struct arena *a, const char *path)
{
	struct buf out;
	struct jv root;
	struct cx cx;

	cx_init(&cx, "test");
	buf_init(&out, 1u << 20);
	CHECK_INT(rig_call(rig.sandbox_url, path, NULL, &out, NULL, 0), 200);
	CHECK_INT(json_parse(&cx, a, out.data, out.len, &root), RC_OK);
	buf_free(&out);
	return root;
}

/* Item i of the one ledger row with these words has this digest. */
static void received(const char *words, size_t i, const char *sha256)
{
	struct arena a;
	char path[256];
	struct jv ids;

	arena_init(&a, 8u << 20);
	snprintf(path, sizeof path, "/control/ledger?text=%s", words);
	ids = json_get(json_at(json_get(get(&a, path), "data"), 0), "media_ids");
	CHECK(json_text(json_at(ids, i)) != NULL);
	snprintf(path, sizeof path, "/control/media/%s", json_text(json_at(ids, i)));
	CHECK_STR(json_text(json_get(get(&a, path), "sha256")), sha256);
	arena_free(&a);
}

static char last[ID_MAX];		/* the delivery of the last publish */

static void publish(const char *type, const char *words, const char *content, const char *state)
{
	char connection[ID_MAX], got[64];
	struct rig_post p = {.connection = connection, .text = words, .content = content};

	rig_connect(&rig, type, type, connection);
	rig_write(&rig, rig_post_write, &p);
	engine_wake(rig.engine);
	rig_wait(&rig, "SELECT state FROM delivery WHERE id = ?1", p.delivery, state, got);
	CHECK_STR(got, state);
	snprintf(last, sizeof last, "%s", p.delivery);
}

/* A refusal that a person understands, and that no retry of ours can mend. */
static void is_unreadable(void)
{
	char got[64];

	rig_wait(&rig, "SELECT CASE WHEN error LIKE '%\"media_unreadable\"%' AND due_at IS NULL AND state = 'failed' THEN 'yes' ELSE error END"
		 " FROM delivery WHERE id = ?1", last, "yes", got);
	CHECK_STR(got, "yes");
}

#define ITEM(file, type, mime) "{\"file\":\"" file "\",\"type\":\"" type "\",\"mime\":\"" mime "\",\"bytes\":"

TEST(images_and_video_arrive_byte_for_byte)
{
	static const char *const types[] = {"keyed", "handle", "search", "none"};
	char image[65], video[65], content[512], words[64];

	setup();
	make_file("a.png", IMAGE, image);
	make_file("b.mp4", VIDEO, video);
	snprintf(content, sizeof content, "{\"options\":{},\"media\":[" ITEM("a.png", "image", "image/png") "%d},"
		 ITEM("b.mp4", "video", "video/mp4") "%d}]}", IMAGE, VIDEO);
	for (size_t i = 0; i < 4; i++) {
		snprintf(words, sizeof words, "media-of-%s", types[i]);
		publish(types[i], words, content, "published");
		CHECK_INT(rig_ledger(rig.sandbox_url, words, NULL, 0), 1);
		received(words, 0, image);
		received(words, 1, video);
	}
}

TEST(a_file_that_is_gone_fails_and_sends_nothing)
{
	setup();
	publish("keyed", "media-gone", "{\"options\":{},\"media\":[" ITEM("none.png", "image", "image/png") "10}]}", "failed");
	is_unreadable();
	publish("keyed", "media-outside", "{\"options\":{},\"media\":[" ITEM("../../etc/hostname", "image", "image/png") "5}]}", "failed");
	is_unreadable();
	CHECK_INT(rig_ledger(rig.sandbox_url, "media-gone", NULL, 0), 0);
	CHECK_INT(rig_ledger(rig.sandbox_url, "media-outside", NULL, 0), 0);
}
