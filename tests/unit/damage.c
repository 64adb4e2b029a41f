/*
 * F5: a store with two organizations, damaged at 500 places, one at a time: a bit, a sector, a page, a cut, a file that
 * is gone or comes from elsewhere, in the main file, the WAL and the index of the WAL.  Each time a process of its own
 * opens it as the server does, reads everything by the API as either organization, writes, and looks again.
 *
 *   it ends by itself          no crash, nothing that hangs
 *   200, 404 or an error       and never a word of the other organization
 *   a 201 is there afterwards  or the store is known to be damaged
 *
 * The seed is printed, and DAMAGE=SEED/PLACE plays one place again.
 */
#include "tests/unit/post_http.h"

#include <fcntl.h>
#include <sys/wait.h>

#define PLACES 500
#define POSTS 70
#define MARK_A "owned-by-first"
#define MARK_B "owned-by-other"

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* ---- the store that is damaged ----------------------------------------------------------------------- */

static const char *const keys[] = {"live", "other"}, *const marks[] = {MARK_A, MARK_B}, *const targets[] = {"con_wide", "con_more"};

static enum rc more_rows(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	add_connection(c, &orgs[1], "con_more", "eu_other", "wide", 1, "active");
	for (int i = 0; i < 2; i++) {
		db_run(c, "UPDATE connection SET username = ?2, label = ?2 WHERE organization_id = ?1", "ss", orgs[i].id, marks[i]);
		db_run(c, "UPDATE end_user SET display_name = ?2 WHERE organization_id = ?1", "ss", orgs[i].id, marks[i]);
	}
	return db_fail(cx, c);
}

/* By turns, so that rows of both lie side by side; what was published has events too. */
static void fill(int from, int to)
{
	char body[400];

	for (int i = 2 * from; i < 2 * to; i++) {
		snprintf(body, sizeof body, "{\"externalUserId\":\"user %d\",\"displayName\":\"%s %d\"}", i, marks[i & 1], i);
		ask_as(keys[i & 1], "POST", "/v1/end-users", "", body);
		CHECK_STATUS(201);
		snprintf(body, sizeof body, "{\"targets\":[{\"connectionId\":\"%s\"}],\"text\":\"%s %d\",\"metadata\":{\"m\":\"%s\"}}",
			 targets[i & 1], marks[i & 1], i, marks[i & 1]);
		ask_as(keys[i & 1], "POST", "/v1/posts", "", body);
		CHECK_STATUS(202);
		if (i % 8 < 2)
			put(at("id"), "published", NULL);
	}
}

static char template[40], older[60];

/* Half of it in the main file, half in the WAL, as a crash leaves it. */
static void make(void)
{
	struct cx cx;

	cx_init(&cx, "test");
	snprintf(template, sizeof template, "%s/mps-damage-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	CHECK(mkdtemp(template) != NULL);
	start();
	CHECK(db_write(&cx, store.db, more_rows, NULL) == RC_OK);
	fill(0, POSTS / 2);
	snprintf(older, sizeof older, "%.40s/older", template);
	test_shell("mkdir %s && cp %s/* %s", older, folder, older);
	CHECK(db_scrub(&cx, store.db) == RC_OK);
	fill(POSTS / 2, POSTS);
	test_shell("mkdir %s/whole && cp %s/* %s/whole && rm %s/whole/lock", template, folder, template, template);
}

/* ---- damage ------------------------------------------------------------------------------------------ */

enum how { BIT, SECTOR, PAGE, CUT, GONE, EMPTY, FOREIGN };
static const struct { const char *name; enum how how; int weight; const char *file; } kinds[] = {
	{"a bit of the main file", BIT, 40, ""}, {"a sector of the main file", SECTOR, 8, ""}, {"a page of the main file", PAGE, 8, ""},
	{"the main file is cut", CUT, 4, ""}, {"the main file is empty", EMPTY, 1, ""},
	{"a bit of the WAL", BIT, 14, "-wal"}, {"a sector of the WAL", SECTOR, 4, "-wal"}, {"a page of the WAL", PAGE, 3, "-wal"},
	{"the WAL is cut", CUT, 4, "-wal"}, {"the WAL is gone", GONE, 1, "-wal"}, {"the WAL is empty", EMPTY, 1, "-wal"},
	{"the WAL is an older one", FOREIGN, 2, "-wal"}, {"the main file is an older one", FOREIGN, 2, ""},
	{"a bit of the WAL's index", BIT, 4, "-shm"}, {"a page of the WAL's index", PAGE, 2, "-shm"},
	{"the WAL's index is cut", CUT, 1, "-shm"}, {"the WAL's index is gone", GONE, 1, "-shm"},
};
#define KINDS ((int)(sizeof kinds / sizeof kinds[0]))

static void overwrite(int fd, off_t at, size_t n, bool zero)
{
	unsigned char bytes[4096] = {0};

	for (size_t i = 0; i < n && !zero; i++)
		bytes[i] = (unsigned char)draw(256);
	CHECK(pwrite(fd, bytes, n, at) == (ssize_t)n);
}

static void flip(int fd, off_t at)
{
	unsigned char byte;

	CHECK(pread(fd, &byte, 1, at) == 1);
	byte ^= (unsigned char)(1u << draw(8));
	CHECK(pwrite(fd, &byte, 1, at) == 1);
}

static void damage(int kind)
{
	char path[200];
	int fd;
	off_t size;

	snprintf(path, sizeof path, "%s/mypostshare.db%s", folder, kinds[kind].file);
	if (kinds[kind].how == GONE) {
		CHECK(unlink(path) == 0);
		return;
	}
	if (kinds[kind].how == FOREIGN) {
		test_shell("cp %s/mypostshare.db%s %s", older, kinds[kind].file, path);
		return;
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && (size = lseek(fd, 0, SEEK_END)) > 8192);
	switch (kinds[kind].how) {
	case BIT: flip(fd, (off_t)draw((uint64_t)size)); break;
	case SECTOR: overwrite(fd, (off_t)draw((uint64_t)size / 512) * 512, 512, draw(2)); break;
	case PAGE: overwrite(fd, (off_t)draw((uint64_t)size / 4096) * 4096, 4096, draw(2)); break;
	case CUT: CHECK(ftruncate(fd, draw(2) ? (off_t)draw((uint64_t)size) : (off_t)draw((uint64_t)size / 4096) * 4096) == 0); break;
	default: CHECK(ftruncate(fd, 0) == 0);
	}
	close(fd);
}

/* ---- what a process sees ------------------------------------------------------------------------------- */

enum seen { SEEN_SOUND, SEEN_CHANGED, SEEN_ERROR, SEEN_RESCUE, SEEN_REFUSED, SEEN_COUNT, SEEN_WRONG = 77 };
static const char *const seen_words[] = {"sound", "changed unnoticed", "an error", "rescue", "refused at the start"};

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(SEEN_WRONG);
}

static bool serve(void)
{
	struct web_config config = {"127.0.0.1:0", 2, 0, api_handle, api_refuse, &api};
	char key_file[96];
	struct cx cx;

	snprintf(key_file, sizeof key_file, "%s/master.key", folder);
	struct conf conf = {.data_folder = folder, .key_file = key_file};
	cx_init(&cx, "test");
	enum rc rc = installation_open(&cx, &conf, &store);
	if (rc == RC_CORRUPT && store.db != NULL && db_rescue(store.db)) {	/* as serve does */
		installation_close(&store);
		cx_init(&cx, "test");
		rc = installation_open(&cx, &conf, &store);
	}
	if (rc != RC_OK) {
		if (cx.words[0] == '\0' || rc == RC_BUG)
			wrong("refused without a reason: %s %s", rc_name(rc), cx.words);
		installation_close(&store);
		return false;
	}
	api.db = store.db;
	api.vault = store.vault;
	if (web == NULL && (api_init(&cx, &api) != RC_OK || web_open(&cx, &config, &web) != RC_OK))
		wrong("%s", cx.words);
	return true;
}

static const char *const paths[] = {"/v1/posts?limit=200", "/v1/end-users?limit=200", "/v1/connections", "/v1/events", "/v1/apps",
	"/v1/end-users?externalUserId=alice", "/v1/posts?status=published"};
#define PATHS (sizeof paths / sizeof paths[0])

static struct { char *text; } before[2][PATHS];

/* One question; a note of what came into *seen. */
static void question(int who, const char *path, enum seen *seen)
{
	const char *code;

	ask_as(keys[who], "GET", path, "", NULL);
	if (strstr(reply.text, marks[!who]))
		wrong("%s asks %s and gets rows of the other: %.3000s", keys[who], path, reply.body);
	code = at("error.code");
	if (reply.status != 200 && (reply.status < 400 || code == NULL))
		wrong("%s: %d %.500s", path, reply.status, reply.text);
	if (reply.status != 200 && *seen < SEEN_ERROR)
		*seen = SEEN_ERROR;
}

static void read_all(enum seen *seen)
{
	for (size_t i = 0; i < 2 * PATHS; i++) {
		question((int)i & 1, paths[i / 2], seen);
		if (reply.status == 200 && strcmp(reply.body, before[i & 1][i / 2].text) != 0 && *seen < SEEN_CHANGED)
			*seen = SEEN_CHANGED;
	}
}

/* True: it was accepted. */
static bool write_one(void)
{
	ask_as("live", "POST", "/v1/end-users", "", "{\"externalUserId\":\"promised\",\"displayName\":\"" MARK_A "\"}");
	if (reply.status != 201 && (reply.status < 400 || at("error.code") == NULL))
		wrong("a write: %d %.500s", reply.status, reply.text);
	return reply.status == 201;
}

static enum seen visit(void)
{
	enum seen seen = SEEN_SOUND;
	bool promised;
	struct cx cx;

	cx_init(&cx, "test");
	if (!serve())
		return SEEN_REFUSED;
	read_all(&seen);
	promised = write_one();
	if (promised && db_rescue(store.db))
		wrong("a write is accepted in rescue");
	if (seen == SEEN_CHANGED && db_checkup(&cx, store.db, true, NULL) == RC_CORRUPT)
		seen = SEEN_RESCUE;
	seen = db_rescue(store.db) ? SEEN_RESCUE : seen;
	if (seen == SEEN_RESCUE && write_one())
		wrong("a write is accepted in rescue");
	installation_close(&store);
	if (!serve())
		return SEEN_REFUSED;
	if (seen == SEEN_RESCUE && !db_rescue(store.db))
		wrong("rescue does not outlive the process");
	question(0, "/v1/end-users?externalUserId=promised", &seen);
	if (promised && seen < SEEN_ERROR && !db_rescue(store.db) && strstr(reply.body, "promised") == NULL)
		wrong("a 201 is not there after a restart: %.500s", reply.body);
	installation_close(&store);
	return seen;
}

/* ---- the places --------------------------------------------------------------------------------------- */

static int kind_of(uint64_t n)
{
	int kind = 0, sum = 0;

	for (int i = 0; i < KINDS; i++)
		sum += kinds[i].weight;
	for (n %= (uint64_t)sum; n >= (uint64_t)kinds[kind].weight; kind++)
		n -= (uint64_t)kinds[kind].weight;
	return kind;
}

/* In a child, which never closes its sockets: that takes the library seconds. */
static enum seen place(int kind)
{
	char words[80];
	int status, fd;
	pid_t pid;

	snprintf(folder, sizeof folder, "%.40s/one", template);
	snprintf(words, sizeof words, "%s/words", template);
	test_shell("rm -rf %s && cp -r %s/whole %s", folder, template, folder);
	damage(kind);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		fd = open(words, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		dup2(fd, 2);
		alarm(30);
		web = NULL;		/* its threads stayed behind */
		_exit((int)visit());
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) < SEEN_COUNT)
		return (enum seen)WEXITSTATUS(status);
	test_shell("cat %s >&2", words);
	return SEEN_WRONG;
}

static void baseline(void)
{
	for (size_t i = 0; i < 2 * PATHS; i++) {
		ask_as(keys[i & 1], "GET", paths[i / 2], "", NULL);
		CHECK_STATUS(200);
		CHECK_SAY(i / 2 >= 4 || strstr(reply.body, marks[i & 1]), "%s shows nothing of %s", paths[i / 2], marks[i & 1]);
		before[i & 1][i / 2].text = strdup(reply.body);
	}
}

TEST(F5_five_hundred_damaged_places)
{
	const char *again = getenv("DAMAGE");
	char own[64];
	int count[KINDS][SEEN_COUNT] = {{0}}, only = -1, places = getenv("TEST_LONG") ? 20 * PLACES : PLACES;
	uint64_t first = (uint64_t)clock_now() * 2654435761u | 1;

	if (again)
		first = strtoull(again, (char **)(uintptr_t)&again, 10), only = (int)strtol(again + 1, NULL, 10);
	make();
	snprintf(own, sizeof own, "%s", folder);
	baseline();
	db_abandon(store.db);
	store.db = NULL;
	printf("# seed %llu\n", (unsigned long long)first);
	for (int i = only >= 0 ? only : 0; i < (only >= 0 ? only + 1 : places); i++) {
		seed = first + (uint64_t)i * 0x9E3779B97F4A7C15u;
		int kind = kind_of(draw(1000000) + draw(7));
		enum seen seen = place(kind);

		CHECK_SAY(seen != SEEN_WRONG, "DAMAGE=%llu/%d: %s", (unsigned long long)first, i, kinds[kind].name);
		count[kind][seen]++;
	}
	for (int k = 0; k < KINDS; k++) {
		printf("# %s:", kinds[k].name);
		for (int s = 0; s < SEEN_COUNT; s++)
			if (count[k][s])
				printf(" %d %s;", count[k][s], seen_words[s]);
		putchar('\n');
	}
	test_shell("rm -rf %s", template);
	snprintf(folder, sizeof folder, "%s", own);
}
