/*
 * The vault: which key files are accepted, that a sealed value opens only where it was sealed, and API keys.
 */
#include "core/io/vault.h"

#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char folder[64];
static struct cx cx;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static void folder_remove(void)
{
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
	static char path[4][256];
	static int next;
	if (!*folder) {
		strncpy(folder, "/tmp/mps-vault-XXXXXX", sizeof folder - 1);
		CHECK(mkdtemp(folder) != NULL);
		atexit(folder_remove);
	}
	next = (next + 1) % 4;
	snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
	return path[next];
}

/* A key file of 64 times the given character. */
static const char *key_write(const char *name, const char *text, mode_t mode)
{
	const char *path = path_of(name);
	unlink(path);
	FILE *f = fopen(path, "w");
	CHECK(f != NULL);
	if (strlen(text) == 1)
		for (int i = 0; i < 64; i++)
			fputc(*text, f);
	else
		fputs(text, f);
	fclose(f);
	CHECK(chmod(path, mode) == 0);
	return path;
}

static struct vault *vault_of(const char *path)
{
	struct vault *v = NULL;
	cx_init(&cx, "test");
	CHECK_SAY(vault_open(&cx, path, 0, &v) == RC_OK, "%s", cx.words);
	return v;
}

static enum rc open_rc(const char *path, int create)
{
	struct vault *v = NULL;
	cx_init(&cx, "test");
	enum rc rc = vault_open(&cx, path, create, &v);
	CHECK((v == NULL) == (rc != RC_OK));
	vault_close(v);
	return rc;
}

/* ---- key files ------------------------------------------------------------------------------------- */

TEST(a_missing_key_is_refused_by_name)
{
	CHECK_INT(open_rc(path_of("none.key"), 0), RC_NOT_FOUND);
	CHECK_SAY(strstr(cx.words, "none.key") && strstr(cx.words, "create_key"), "%s", cx.words);
	CHECK(access(path_of("none.key"), F_OK) != 0);
}

TEST(create_makes_one_and_keeps_it)
{
	struct stat st;
	char first[VAULT_KEY_ID_MAX];
	const char *path = path_of("made.key");

	CHECK_INT(open_rc(path, 1), RC_OK);
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0400);
	CHECK_INT(st.st_size, 65);
	struct vault *v = vault_of(path);
	snprintf(first, sizeof first, "%s", vault_master_id(v));
	CHECK_INT(strspn(first, "0123456789abcdef"), 16);
	vault_close(v);
	CHECK_INT(open_rc(path, 1), RC_OK);
	v = vault_of(path);
	CHECK_STR(vault_master_id(v), first);
	vault_close(v);
}

TEST(wrong_files_are_refused)
{
	CHECK_INT(open_rc(key_write("a.key", "a", 0400), 0), RC_OK);
	CHECK_INT(open_rc(key_write("a.key", "a", 0600), 0), RC_OK);
	static const mode_t modes[] = {0440, 0404, 0640, 0644, 0700, 0500, 0666, 02400, 04400};
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		CHECK_SAY(open_rc(key_write("a.key", "a", modes[i]), 0) == RC_DENIED, "mode %o is accepted", (unsigned)modes[i]);

	CHECK(symlink(key_write("a.key", "a", 0400), path_of("link.key")) == 0);
	CHECK_INT(open_rc(path_of("link.key"), 0), RC_INVALID);
	CHECK(strstr(cx.words, "symbolic link") != NULL);
	CHECK(symlink(path_of("nowhere"), path_of("dangling.key")) == 0);
	CHECK_INT(open_rc(path_of("dangling.key"), 1), RC_INVALID);
	CHECK(mkdir(path_of("folder.key"), 0700) == 0);
	CHECK_INT(open_rc(path_of("folder.key"), 0), RC_INVALID);
	CHECK(mkfifo(path_of("pipe.key"), 0400) == 0);
	CHECK_INT(open_rc(path_of("pipe.key"), 0), RC_INVALID);
}

TEST(wrong_contents_are_refused)
{
	static const char *const bad[] = {
		"", "00", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\n",
		" 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef # key",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_SAY(open_rc(key_write("b.key", bad[i], 0400), 0) == RC_INVALID, "\"%s\" is accepted", bad[i]);
	CHECK_INT(open_rc(key_write("b.key", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", 0400), 0), RC_OK);
}

TEST(a_foreign_owner_is_refused)
{
	if (geteuid() != 0)
		return;
	const char *path = key_write("c.key", "c", 0400);
	CHECK(chown(path, 65534, 65534) == 0);
	CHECK_INT(open_rc(path, 0), RC_DENIED);
	CHECK(strstr(cx.words, "65534") != NULL);
}

/* Runs as nobody: the file is root's, as a systemd credential is. */
static int open_as_nobody(const char *path, const char *credentials)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct vault *v = NULL;
		struct cx own;
		cx_init(&own, "nobody");
		setenv("CREDENTIALS_DIRECTORY", credentials, 1);
		/* the group stands for the access list that systemd uses */
		gid_t group = 0;
		if (setgroups(1, &group) != 0 || setresuid(65534, 65534, 65534) != 0)
			_exit(99);
		_exit(vault_open(&own, path, 0, &v) == RC_OK ? 0 : (int)own.rc);
	}
	int status = 0;
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(a_credential_of_systemd_is_accepted_in_its_folder_only)
{
	if (geteuid() != 0)
		return;
	const char *path = key_write("cred.key", "d", 0440);
	CHECK(chmod(folder, 0755) == 0);
	CHECK_INT(open_as_nobody(path, folder), 0);
	CHECK_INT(open_as_nobody(path, "/run/credentials/other"), RC_DENIED);
	CHECK(chmod(path, 0444) == 0);
	CHECK_INT(open_as_nobody(path, folder), RC_DENIED);
	unlink(path);
}

/* ---- master keys and data keys --------------------------------------------------------------------- */

TEST(old_master_keys_unwrap)
{
	uint8_t wrapped[VAULT_WRAPPED];
	char old_id[VAULT_KEY_ID_MAX];
	VAULT_KEY_AUTO struct vault_key *k = NULL, *again = NULL, *refused = NULL;
	BUF_AUTO struct buf sealed, plain;
	struct vault_place at = {"t", "r", "c", "o", "d"};

	struct vault *v = vault_of(key_write("rot.key", "1", 0400));
	snprintf(old_id, sizeof old_id, "%s", vault_master_id(v));
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	buf_init(&sealed, 1000);
	CHECK_INT(vault_seal(&cx, k, &at, "token", 5, &sealed), RC_OK);
	vault_close(v);

	CHECK(rename(path_of("rot.key"), path_of("rot.key.old-1")) == 0);
	v = vault_of(key_write("rot.key", "2", 0400));
	CHECK(strcmp(vault_master_id(v), old_id) != 0);
	CHECK_SAY(vault_key_open(&cx, v, old_id, wrapped, sizeof wrapped, &again) == RC_OK, "%s", cx.words);
	buf_init(&plain, 1000);
	CHECK_INT(vault_unseal(&cx, again, &at, sealed.data, sealed.len, &plain), RC_OK);
	CHECK_STR(buf_text(&plain), "token");
	vault_close(v);

	CHECK(unlink(path_of("rot.key.old-1")) == 0);
	v = vault_of(path_of("rot.key"));
	CHECK_INT(vault_key_open(&cx, v, old_id, wrapped, sizeof wrapped, &refused), RC_INVALID);
	CHECK_SAY(strstr(cx.words, old_id) && strstr(cx.words, vault_master_id(v)), "%s", cx.words);
	CHECK(refused == NULL);
	vault_close(v);

	key_write("rot.key.old-1", "1", 0644);
	CHECK_INT(open_rc(path_of("rot.key"), 0), RC_DENIED);
}

/* Keys that are left behind are named, but not without end; the same one under two names is one. */
TEST(many_old_master_keys)
{
	uint8_t wrapped[VAULT_WRAPPED];
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	struct vault_key *refused = NULL;
	struct vault *v = vault_of(key_write("many.key", "0", 0400));
	int named = 0;

	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	vault_close(v);
	for (char c = 'a'; c <= 'f'; c++)
		for (char d = '0'; d <= '9'; d++) {
			char name[30], text[65];

			snprintf(name, sizeof name, "many.key.old-%c%c", c, d);
			memset(text, c, 64);
			memset(text + 32, d, 32);
			text[64] = '\0';
			key_write(name, text, 0400);
		}
	key_write("many.key.old-same", "0", 0400);
	v = vault_of(path_of("many.key"));
	CHECK_INT(vault_key_open(&cx, v, "0123456789abcdef", wrapped, sizeof wrapped, &refused), RC_INVALID);
	for (const char *at = strstr(cx.words, "(loaded: "); *at != ')'; at++)
		named += *at == ' ';
	CHECK_SAY(named >= 5 && named < 30, "%d are named: %s", named, cx.words);
	CHECK_SAY(strstr(cx.words, vault_master_id(v)) != NULL, "%s", cx.words);
	cx_init(&cx, "test");
	CHECK_INT(vault_key_open(&cx, v, vault_master_id(v), wrapped, sizeof wrapped, &refused), RC_OK);
	vault_key_drop(refused);
	vault_close(v);
}

/* As many at a time as anybody likes. */
TEST(many_keys_at_once)
{
	static struct vault_key *keys[300];
	uint8_t wrapped[VAULT_WRAPPED];
	struct vault *v = vault_of(key_write("lots.key", "7", 0400));

	for (size_t i = 0; i < 300; i++)
		CHECK_INT(vault_key_new(&cx, v, wrapped, &keys[i]), RC_OK);
	for (size_t i = 0; i < 300; i++)
		vault_key_drop(keys[i]);
	vault_key_drop(NULL);
	vault_close(v);
}

TEST(a_changed_wrapping_is_refused)
{
	uint8_t wrapped[VAULT_WRAPPED];
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	struct vault_key *refused = NULL;
	struct vault *v = vault_of(key_write("e.key", "e", 0400));
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	for (size_t i = 0; i < sizeof wrapped; i++) {
		wrapped[i] ^= 1;
		cx_init(&cx, "test");
		log_set(LOG_ERROR + 1);
		CHECK_INT(vault_key_open(&cx, v, vault_master_id(v), wrapped, sizeof wrapped, &refused), RC_CORRUPT);
		wrapped[i] ^= 1;
	}
	cx_init(&cx, "test");
	CHECK_INT(vault_key_open(&cx, v, vault_master_id(v), wrapped, sizeof wrapped - 1, &refused), RC_CORRUPT);
	log_set(LOG_ERROR);
	vault_close(v);
}

/* ---- values ---------------------------------------------------------------------------------------- */

static int opens(const struct vault_key *k, const struct vault_place *at, const struct buf *sealed)
{
	BUF_AUTO struct buf plain;
	buf_init(&plain, 1000);
	cx_init(&cx, "test");
	log_set(LOG_ERROR + 1);
	enum rc rc = vault_unseal(&cx, k, at, sealed->data, sealed->len, &plain);
	log_set(LOG_ERROR);
	CHECK(rc == RC_OK || rc == RC_CORRUPT);
	CHECK(rc == RC_OK || plain.len == 0);
	return rc == RC_OK;
}

TEST(a_value_opens_only_where_it_was_sealed)
{
	uint8_t wrapped[VAULT_WRAPPED];
	VAULT_KEY_AUTO struct vault_key *k = NULL, *other = NULL;
	BUF_AUTO struct buf sealed;
	struct vault *v = vault_of(key_write("f.key", "f", 0400));
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	CHECK_INT(vault_key_new(&cx, v, wrapped, &other), RC_OK);

	const struct vault_place home = {"grant_secret", "con_1", "access_token", "org_1", "dk_1"};
	buf_init(&sealed, 1000);
	CHECK_INT(vault_seal(&cx, k, &home, "canary", 6, &sealed), RC_OK);
	CHECK(memmem(sealed.data, sealed.len, "canary", 6) == NULL);
	CHECK(opens(k, &home, &sealed));
	CHECK_SAY(!opens(other, &home, &sealed), "another key opens it");
	static const struct vault_place away[] = {
		{"grant_secre", "tcon_1", "access_token", "org_1", "dk_1"},	/* the same bytes, cut elsewhere */
		{"credential", "con_1", "access_token", "org_1", "dk_1"},
		{"grant_secret", "con_2", "access_token", "org_1", "dk_1"},
		{"grant_secret", "con_1", "refresh_token", "org_1", "dk_1"},
		{"grant_secret", "con_1", "access_token", "org_2", "dk_1"},
		{"grant_secret", "con_1", "access_token", "org_1", "dk_2"},
		{"grant_secret", "con_1", "access_token", "", "dk_1"},
		{"grant_secret", "con_1", "access_token", NULL, "dk_1"},
	};
	for (size_t i = 0; i < sizeof away / sizeof away[0]; i++)
		CHECK_SAY(!opens(k, &away[i], &sealed), "place %zu opens it", i);
	vault_close(v);
}

/* A place that does not fit, and values that do not fit into what they are to be put into. */
TEST(what_does_not_fit_is_refused)
{
	static char row[5000];
	uint8_t wrapped[VAULT_WRAPPED];
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	BUF_AUTO struct buf sealed, small;
	struct vault *v = vault_of(key_write("fit.key", "6", 0400));
	const struct vault_place home = {"t", "r", "c", "o", "d"}, far = {"t", row, "c", "o", "d"};

	memset(row, 'r', sizeof row - 1);
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	log_set(LOG_ERROR + 1);
	buf_init(&sealed, 1000);
	CHECK_INT(vault_seal(&cx, k, &far, "canary", 6, &sealed), RC_TOO_LARGE);
	CHECK_INT(sealed.len, 0);
	CHECK_INT(vault_seal(&cx, k, &home, "canary", 6, &sealed), RC_OK);
	buf_init(&small, 40);
	cx_init(&cx, "test");
	CHECK_INT(vault_seal(&cx, k, &home, "canary", 6, &small), RC_TOO_LARGE);
	CHECK_SAY(strstr(cx.words, "t.c") != NULL, "%s", cx.words);
	buf_free(&small);
	buf_init(&small, 5);
	CHECK_INT(vault_unseal(&cx, k, &home, sealed.data, sealed.len, &small), RC_TOO_LARGE);
	buf_free(&small);
	buf_init(&small, 1000);
	CHECK_INT(vault_unseal(&cx, k, &far, sealed.data, sealed.len, &small), RC_TOO_LARGE);
	CHECK_INT(small.len, 0);
	log_set(LOG_ERROR);
	vault_close(v);
}

TEST(null_and_empty_organization_differ)
{
	uint8_t wrapped[VAULT_WRAPPED];
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	BUF_AUTO struct buf sealed;
	struct vault *v = vault_of(key_write("f.key", "f", 0400));
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	buf_init(&sealed, 1000);
	CHECK_INT(vault_seal(&cx, k, &(struct vault_place){"t", "r", "c", NULL, "d"}, "", 0, &sealed), RC_OK);
	CHECK(opens(k, &(struct vault_place){"t", "r", "c", NULL, "d"}, &sealed));
	CHECK(!opens(k, &(struct vault_place){"t", "r", "c", "", "d"}, &sealed));
	vault_close(v);
}

TEST(every_changed_or_missing_byte_is_noticed)
{
	uint8_t wrapped[VAULT_WRAPPED];
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	BUF_AUTO struct buf sealed;
	const struct vault_place at = {"t", "r", "c", "o", "d"};
	struct vault *v = vault_of(key_write("f.key", "f", 0400));
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	buf_init(&sealed, 1000);
	CHECK_INT(vault_seal(&cx, k, &at, "secret", 6, &sealed), RC_OK);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.data[i] ^= 0x40;
		CHECK_SAY(!opens(k, &at, &sealed), "a change of byte %zu goes unnoticed", i);
		sealed.data[i] ^= 0x40;
	}
	CHECK(opens(k, &at, &sealed));
	while (sealed.len > 0) {
		buf_cut(&sealed, sealed.len - 1);
		CHECK(!opens(k, &at, &sealed));
	}
	vault_close(v);
}

TEST(the_same_value_seals_differently)
{
	uint8_t wrapped[VAULT_WRAPPED];
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	BUF_AUTO struct buf a, b;
	const struct vault_place at = {"t", "r", "c", "o", "d"};
	struct vault *v = vault_of(key_write("f.key", "f", 0400));
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	buf_init(&a, 1000);
	buf_init(&b, 1000);
	CHECK_INT(vault_seal(&cx, k, &at, "secret", 6, &a), RC_OK);
	CHECK_INT(vault_seal(&cx, k, &at, "secret", 6, &b), RC_OK);
	CHECK_INT(a.len, b.len);
	CHECK(memcmp(a.data, b.data, a.len) != 0);
	vault_close(v);
}

/* ---- hashes ---------------------------------------------------------------------------------------- */

TEST(mac_survives_a_new_master_key)
{
	uint8_t wrapped[VAULT_WRAPPED], first[32], second[32], third[32];
	char old_id[VAULT_KEY_ID_MAX];
	VAULT_KEY_AUTO struct vault_key *k = NULL, *again = NULL;

	unlink(path_of("mac.key.old-1"));
	struct vault *v = vault_of(key_write("mac.key", "3", 0400));
	CHECK_INT(vault_key_new(&cx, v, wrapped, &k), RC_OK);
	snprintf(old_id, sizeof old_id, "%s", vault_master_id(v));
	vault_mac_key(v, k);
	vault_mac(v, "api_key", "x", 1, first);
	vault_mac(v, "api_key", "y", 1, second);
	CHECK(!vault_equal(first, second, 32));
	vault_mac(v, "cursor", "x", 1, second);
	CHECK_SAY(!vault_equal(first, second, 32), "two purposes give the same");
	vault_close(v);

	CHECK(rename(path_of("mac.key"), path_of("mac.key.old-1")) == 0);
	v = vault_of(key_write("mac.key", "4", 0400));
	CHECK_INT(vault_key_open(&cx, v, old_id, wrapped, sizeof wrapped, &again), RC_OK);
	vault_mac_key(v, again);
	vault_mac_key(v, again);
	vault_mac(v, "api_key", "x", 1, third);
	CHECK(vault_equal(first, third, 32));
	vault_close(v);
}

static int aborts(int twice)
{
	uint8_t wrapped[VAULT_WRAPPED], out[32];
	struct vault_key *a = NULL, *b = NULL;
	struct vault *v = vault_of(key_write("g.key", "5", 0400));
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		signal(SIGABRT, SIG_DFL);
		if (twice && vault_key_new(&cx, v, wrapped, &a) == RC_OK && vault_key_new(&cx, v, wrapped, &b) == RC_OK) {
			vault_mac_key(v, a);
			vault_mac_key(v, b);
		}
		if (!twice)
			vault_mac(v, "api_key", "x", 1, out);
		_exit(0);
	}
	vault_close(v);
	int status = 0;
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST(mac_without_its_key_aborts)
{
	CHECK(aborts(0));
	CHECK(aborts(1));
}

static const char *hex(const uint8_t bytes[32])
{
	static char out[65];
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return out;
}

/* More than there are kept places for; each seals and opens for itself, and nothing of it stays where it lay. */
TEST(many_keys_are_open_at_once_and_none_stays)
{
	static const struct vault_place at = {.table = "t", .row = "1", .column = "c", .organization = "o", .data_key = "k"};
	struct vault_key *key[70], *again;
	uint8_t wrapped[70][VAULT_WRAPPED], zero[32] = {0};
	BUF_AUTO struct buf sealed, plain;
	struct vault *v;

	cx_init(&cx, "test");
	CHECK(vault_open(&cx, path_of("many"), 1, &v) == RC_OK);
	buf_init(&sealed, 4096);
	buf_init(&plain, 4096);
	for (int i = 0; i < 70; i++) {
		CHECK(vault_key_new(&cx, v, wrapped[i], &key[i]) == RC_OK);
		for (int k = 0; k < i; k++)
			CHECK(key[k] != key[i] && memcmp(key[k], key[i], 32) != 0);
	}
	for (int i = 0; i < 70; i++) {
		buf_reset(&sealed);
		buf_reset(&plain);
		CHECK(vault_seal(&cx, key[i], &at, "secret", 6, &sealed) == RC_OK);
		CHECK(vault_key_open(&cx, v, vault_master_id(v), wrapped[i], VAULT_WRAPPED, &again) == RC_OK);
		CHECK(memcmp(again, key[i], 32) == 0);
		CHECK(vault_unseal(&cx, again, &at, sealed.data, sealed.len, &plain) == RC_OK && plain.len == 6);
		vault_key_drop(again);
	}
	for (int i = 69; i >= 0; i--)
		vault_key_drop(key[i]);
	CHECK(memcmp(key[0], zero, 32) == 0);	/* its place is kept */
	CHECK(vault_key_open(&cx, v, vault_master_id(v), wrapped[1], VAULT_WRAPPED, &again) == RC_OK);
	vault_key_drop(again);
	CHECK(memcmp(again, zero, 32) == 0);
	vault_close(v);
}

TEST(published_vectors)
{
	uint8_t out[32];
	vault_sha256("abc", 3, out);
	CHECK_STR(hex(out), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	vault_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);	/* RFC 4231, case 2 */
	CHECK_STR(hex(out), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	char long_key[131];
	memset(long_key, 0xaa, sizeof long_key);				/* case 6: longer than a block */
	vault_hmac_sha256(long_key, sizeof long_key, "Test Using Larger Than Block-Size Key - Hash Key First", 54, out);
	CHECK_STR(hex(out), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* ---- API keys -------------------------------------------------------------------------------------- */

TEST(api_keys_carry_their_checksum)
{
	char text[VAULT_API_KEY_MAX], id[9], read_id[9];
	int live = -1;
	for (int i = 0; i < 50; i++) {
		vault_api_key_new(i % 2, text, id);
		CHECK_INT(strlen(text), 55);
		CHECK_INT(strncmp(text, i % 2 ? "mps_live_" : "mps_test_", 9), 0);
		CHECK(vault_api_key_read(text, &live, read_id));
		CHECK_INT(live, i % 2);
		CHECK_STR(read_id, id);
	}
}

/* Computed with zlib's crc32 over the text before it, six base62 digits. */
TEST(api_key_checksum_is_crc32)
{
	char id[9];
	int live = 0;
	CHECK(vault_api_key_read("mps_live_" "AAAAAAAA" "0123456789abcdefghijABCDEFGHIJ01" "2uyi7H", &live, id));
	CHECK_STR(id, "AAAAAAAA");
}

TEST(a_wrong_api_key_is_refused)
{
	char text[VAULT_API_KEY_MAX], id[9];
	int live;
	vault_api_key_new(1, text, id);
	for (size_t i = 0; i < strlen(text); i++) {
		char kept = text[i];
		text[i] = kept == 'x' ? 'y' : 'x';
		CHECK_SAY(!vault_api_key_read(text, &live, id), "a change of character %zu goes unnoticed", i);
		text[i] = '-';
		CHECK(!vault_api_key_read(text, &live, id));
		text[i] = '\0';
		CHECK(!vault_api_key_read(text, &live, id));
		text[i] = kept;
	}
	text[55] = '0';
	text[56] = '\0';
	CHECK(!vault_api_key_read(text, &live, id));
	CHECK(!vault_api_key_read("", &live, id));
}
