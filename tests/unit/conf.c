/*
 * Configuration: a table of bad files, each of which must be refused by file and line; the defaults; where
 * relative paths lead; and that the files in etc/ agree with the table of keys.
 */
#include "core/io/conf.h"

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/confvalue.h"
#include "tests/unit/test.h"

static char folder[PATH_MAX];
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
	static char path[4][PATH_MAX + 64];
	static int next;
	if (!*folder) {
		snprintf(folder, sizeof folder, "/tmp/mps-conf-XXXXXX");
		CHECK(mkdtemp(folder) != NULL);
		atexit(folder_remove);
	}
	next = (next + 1) % 4;
	snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
	return path[next];
}

static const char *write_file(const char *name, const char *text, size_t n)
{
	const char *path = path_of(name);
	FILE *f = fopen(path, "w");
	CHECK_SAY(f != NULL, "%s", path);
	CHECK(fwrite(text, 1, n, f) == n);
	fclose(f);
	return path;
}

static const char *write_text(const char *name, const char *text)
{
	return write_file(name, text, strlen(text));
}

static enum rc load(const char *file, struct conf *c)
{
	cx_init(&cx, "test");
	return conf_load(&cx, file, c);
}

static void load_text(const char *text, struct conf *c)
{
	const char *path = write_text("good.ini", text);
	CHECK_SAY(load(path, c) == RC_OK, "%s", cx.words);
}

/* ---- what is refused ------------------------------------------------------------------------------- */

static const struct { const char *text; int line; const char *words; } bad[] = {
	{"listen = 127.0.0.1:1\n", 1, "unknown section"},
	{"[server]\nlistne = 127.0.0.1:1\n", 2, "did you mean listen"},
	{"[sever]\nlisten = 127.0.0.1:1\n", 2, "did you mean server"},
	{"[server]\nkey_file = x\n", 2, "unknown key"},
	{"[Server]\nthreads = 5\n", 2, "unknown"},
	{"[server]\nthreads = 5\n\n# x\nthreads = 6\n", 5, "already given"},
	{"[server]\nthreads = 5\n[log]\nlevel = info\n[server]\nthreads = 5\n", 6, "already given"},
	{"[server]\nthreads = 3\n", 2, "from 4 to 512"},
	{"[server]\nthreads = 513\n", 2, "from 4 to 512"},
	{"[server]\nthreads = 64k\n", 2, "from 4 to 512"},
	{"[server]\nthreads = 99999999999999999999\n", 2, "from 4 to 512"},
	{"[server]\nthreads = 0x40\n", 2, "from 4 to 512"},
	{"[server]\nthreads =\n", 2, "no value"},
	{"[server]\nthreads\n", 2, "key = value"},
	{"[server]\nthreads: 64\n", 2, "key = value"},
	{"[server]\n= 64\n", 2, "key = value"},
	{"[server]\nthreads = 64 ; many\n", 2, "line of its own"},
	{"[server]\nthreads = 64 # many\n", 2, "line of its own"},
	{"[server]\nthreads = 64\t; many\n", 2, "line of its own"},
	{"[server]\ndata_folder = a ;b\n", 2, "line of its own"},
	{"[server]\ndata_folder = a\n b\n", 3, "begins with a blank"},
	{"[server]\ndata_folder = a\n\tthreads = 64\n", 3, "begins with a blank"},
	{"[server\nthreads = 64\n", 1, "end with ]"},
	{"[server] threads = 64\n", 1, "nothing may follow"},
	{"[provider.abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij]\nfile = x\n", 1, "at most 49"},
	{"[server]\ndata_folder = a\rb\n", 2, "control character"},
	{"[server]\ndata_folder = a\033b\n", 2, "control character"},
	{"[server]\nlisten = localhost:80\n", 2, "IPv4 address"},
	{"[server]\nlisten = 127.0.0.1\n", 2, "IPv4 address"},
	{"[server]\nlisten = 127.0.0.1:65536\n", 2, "IPv4 address"},
	{"[server]\nlisten = 127.0.0.1:-1\n", 2, "IPv4 address"},
	{"[server]\nlisten = 1.2.3:80\n", 2, "IPv4 address"},
	{"[server]\npublic_url = example.com\n", 2, "without path"},
	{"[server]\npublic_url = http://example.com\n", 2, "http only for a loopback"},
	{"[server]\npublic_url = http://127.0.0.1.example.com\n", 2, "http only for a loopback"},
	{"[server]\npublic_url = http://notlocalhost\n", 2, "http only for a loopback"},
	{"[server]\npublic_url = https://example.com/\n", 2, "without path"},
	{"[server]\npublic_url = https://example.com/a\n", 2, "without path"},
	{"[server]\npublic_url = https://Example.com\n", 2, "small letters"},
	{"[server]\npublic_url = https://user@example.com\n", 2, "without path"},
	{"[server]\npublic_url = https://example.com?a\n", 2, "without path"},
	{"[server]\npublic_url = https://example.com:\n", 2, "without path"},
	{"[server]\npublic_url = ftp://example.com\n", 2, "without path"},
	{"[vault]\ncreate_key = 1\n", 2, "yes or no"},
	{"[vault]\ncreate_key = true\n", 2, "yes or no"},
	{"[vault]\nmaster_key = 00\n", 2, "unknown key"},
	{"[egress]\nallow = 127.0.0.1:80, example.com:80\n", 2, "with a port"},
	{"[egress]\nallow = ,\n", 2, "with a port"},
	{"[engine]\nclaim_batch = 201\n", 2, "from 1 to 200"},
	{"[log]\nlevel = loud\n", 2, "debug, info, warn"},
	{"[sandbox]\nurl = http://127.0.0.1:9/../x\n", 2, "must be http"},
	{"[provider.X]\nenabled = yes\n", 2, "1 to 32"},
	{"[provider.]\nenabled = yes\n", 2, "1 to 32"},
	{"[provider.a_b]\nenabled = yes\n", 2, "1 to 32"},
	{"[provider.abcdefghijklmnopqrstuvwxyzabcdefg]\nenabled = yes\n", 2, "1 to 32"},
	{"[provider.x]\nsha256 = abc\n", 2, "64 hex"},
	{"[provider.x]\nclient_secret = abc\n", 2, "did you mean client_secret_file"},
	{"[provider.x]\nclient_secret_file = abc\n", 2, "without client_id"},
	{"[provider.x]\nbase_url. = http://127.0.0.1:1\n", 2, "unknown key"},
	{"[provider.x]\nbase_url.example.com = 127.0.0.1:1\n", 2, "must be http"},
	{"[provider.x]\nbase_url.example.com:80 = http://127.0.0.1:1\n", 2, "key = value"},
	{"[provider.x]\nsetting.a = 1\nsetting.a = 2\n", 3, "already given"},
	{"[providers]\nconf_folder = nowhere\n", 2, "not a folder"},
	{"\xEF\xBB\xBF[server]\nthreads = 64\n", 1, "key = value"},
};

TEST(bad_files_are_refused_by_file_and_line)
{
	struct conf c = {0};
	char where[64];
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		const char *path = write_text("bad.ini", bad[i].text);
		CHECK_SAY(load(path, &c) == RC_INVALID, "accepted: %s", bad[i].text);
		snprintf(where, sizeof where, "bad.ini:%d: ", bad[i].line);
		CHECK_SAY(strstr(cx.words, where) != NULL, "%s, wanted %s for %s", cx.words, where, bad[i].text);
		CHECK_SAY(strstr(cx.words, bad[i].words) != NULL, "%s, wanted \"%s\"", cx.words, bad[i].words);
		CHECK(c.file == NULL);
	}
}

TEST(a_long_line_is_refused_not_cut)
{
	struct conf c;
	char text[600];
	for (int n = 190; n < 450; n++) {
		int used = snprintf(text, sizeof text, "[server]\ndata_folder = /");
		int head = used - 9;
		memset(text + used, 'a', (size_t)(n - head));
		snprintf(text + used + n - head, sizeof text - (size_t)(used + n - head), "\nthreads = 9\n");
		const char *path = write_text("bad.ini", text);
		if (n > 197) {
			CHECK_SAY(load(path, &c) == RC_INVALID && strstr(cx.words, "bad.ini:2: ") && strstr(cx.words, "cut"), "%d: %s", n, cx.words);
		} else {
			/* read whole: the socket path then is too long, and its line is named */
			CHECK_SAY(load(path, &c) == RC_INVALID && strstr(cx.words, "bad.ini:2: ") && strstr(cx.words, "107"), "%d: %s", n, cx.words);
		}
	}
}

TEST(a_long_comment_is_refused_too)
{
	struct conf c;
	char text[400];
	memset(text, 'x', sizeof text);
	text[0] = '#';
	CHECK(load(write_file("bad.ini", text, sizeof text), &c) == RC_INVALID);
	CHECK(strstr(cx.words, "bad.ini:1: ") != NULL);
}

TEST(what_is_no_text_file_is_refused)
{
	struct conf c;
	CHECK_INT(load(path_of("missing.ini"), &c), RC_NOT_FOUND);
	CHECK(strstr(cx.words, "missing.ini") != NULL);
	CHECK(mkdir(path_of("folder.ini"), 0700) == 0);
	CHECK_INT(load(path_of("folder.ini"), &c), RC_INVALID);
	CHECK_SAY(strstr(cx.words, "folder.ini: not a regular file") != NULL, "%s", cx.words);
	CHECK(mkfifo(path_of("pipe.ini"), 0600) == 0);
	CHECK_INT(load(path_of("pipe.ini"), &c), RC_INVALID);
	CHECK_INT(load("/dev/null", &c), RC_INVALID);
	CHECK_INT(load(write_file("nul.ini", "[log]\nlevel = info\0\n", 20), &c), RC_INVALID);
	CHECK_INT(load(write_file("latin.ini", "# \xE9\n", 4), &c), RC_INVALID);
	char *big = malloc(70000);
	CHECK(big != NULL);
	memset(big, '\n', 70000);
	CHECK_INT(load(write_file("big.ini", big, 70000), &c), RC_INVALID);
	free(big);
	CHECK_SAY(strstr(cx.words, "big.ini: longer") != NULL, "%s", cx.words);
}

/* ---- what is read ---------------------------------------------------------------------------------- */

TEST(defaults)
{
	struct conf c;
	char want[PATH_MAX + 64];
	load_text("", &c);
	CHECK_STR(c.listen, "127.0.0.1:8080");
	CHECK_STR(c.public_url, "http://127.0.0.1:8080");
	snprintf(want, sizeof want, "%s/var", folder);
	CHECK_STR(c.data_folder, want);
	snprintf(want, sizeof want, "%s/var/control.sock", folder);
	CHECK_STR(c.control_socket, want);
	snprintf(want, sizeof want, "%s/var/master.key", folder);
	CHECK_STR(c.key_file, want);
	CHECK_INT(c.create_key, 0);
	CHECK_INT(c.threads, 64);
	CHECK_INT(c.sandbox, 1);
	CHECK_STR(c.sandbox_url, NULL);
	CHECK_STR(c.sandbox_public_url, "http://127.0.0.1:8081");
	CHECK_INT(c.in_flight, 1000);
	CHECK_INT(c.claim_batch, 200);
	CHECK_STR(c.log_level, "info");
	CHECK(c.allow != NULL && c.allow[0] == NULL);
	CHECK_STR(c.ca_file, NULL);
	CHECK_INT(c.provider_count, 0);
	CHECK(conf_provider(&c, "x") == NULL);
	conf_free(&c);
}

TEST(values)
{
	struct conf c;
	load_text("# comment\n; another\n\n  # indented comment\r\n[server]\r\nlisten=127.0.0.1:9000\r\nthreads\t=\t8\n"
		"data_folder = /srv/a;b\n[sandbox]\nlisten = 127.0.0.1:9001\nurl = http://127.0.0.1:9002\n"
		"[egress]\nallow = 127.0.0.1:1,127.0.0.1:2  127.0.0.1:3\n", &c);
	CHECK_STR(c.listen, "127.0.0.1:9000");
	CHECK_STR(c.public_url, "http://127.0.0.1:9000");
	CHECK_INT(c.threads, 8);
	CHECK_STR(c.data_folder, "/srv/a;b");
	CHECK_STR(c.control_socket, "/srv/a;b/control.sock");
	CHECK_STR(c.sandbox_folder, "/srv/a;b/sandbox");
	CHECK_STR(c.sandbox_public_url, "http://127.0.0.1:9002");
	CHECK_STR(c.allow[0], "127.0.0.1:1");
	CHECK_STR(c.allow[1], "127.0.0.1:2");
	CHECK_STR(c.allow[2], "127.0.0.1:3");
	CHECK(c.allow[3] == NULL);
	conf_free(&c);
}

TEST(public_url_is_required_beyond_this_machine)
{
	struct conf c;
	const char *text = "[server]\nlisten = 0.0.0.0:80\n";
	CHECK_INT(load(write_text("bad.ini", text), &c), RC_INVALID);
	CHECK_SAY(strstr(cx.words, "bad.ini: [server] public_url is required") != NULL, "%s", cx.words);
	load_text("[server]\nlisten = 0.0.0.0:80\npublic_url = https://example.com:8443\n", &c);
	CHECK_STR(c.public_url, "https://example.com:8443");
	conf_free(&c);
}

TEST(a_port_to_be_picked_has_no_public_url_yet)
{
	struct conf c;
	load_text("[server]\nlisten = 127.0.0.1:0\n[sandbox]\nlisten = 127.0.0.1:0\n", &c);
	CHECK_STR(c.public_url, NULL);
	CHECK_STR(c.sandbox_public_url, NULL);
	conf_free(&c);
}

TEST(loopback_hosts)
{
	static const char *const yes[] = {"127.0.0.1", "127.1.2.3:80", "localhost", "localhost:1", "a.localhost", "[::1]:80"};
	static const char *const no[] = {"127.0.0.1.example.com", "127.a", "128.0.0.1", "localhost.example.com", "xlocalhost",
		".localhost", "[::2]", "[::1]x", "0.0.0.0:80", "example.com", ""};
	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
		CHECK_SAY(conf_loopback(yes[i]), "%s", yes[i]);
	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
		CHECK_SAY(!conf_loopback(no[i]), "%s", no[i]);
}

/* ---- folders --------------------------------------------------------------------------------------- */

TEST(relative_paths_lead_from_the_parent_of_etc)
{
	struct conf c;
	char want[PATH_MAX + 64], before[PATH_MAX];
	CHECK(mkdir(path_of("etc"), 0700) == 0 && mkdir(path_of("etc/providers.d"), 0700) == 0);
	const char *text = "[providers]\nfolder = so\n[egress]\nca_file = ca.pem\n[provider.x]\nclient_id = 1\nclient_secret_file = s/x\n";
	write_text("etc/p.ini", text);
	CHECK(getcwd(before, sizeof before) != NULL && chdir(path_of("etc")) == 0);
	enum rc rc = load("p.ini", &c);		/* also when named relative to the working folder */
	CHECK(chdir(before) == 0);
	CHECK_SAY(rc == RC_OK, "%s", cx.words);
	snprintf(want, sizeof want, "%s/so", folder);
	CHECK_STR(c.provider_folder, want);
	snprintf(want, sizeof want, "%s/so/x.so", folder);
	CHECK_STR(conf_provider(&c, "x")->file, want);
	snprintf(want, sizeof want, "%s/s/x", folder);
	CHECK_STR(conf_provider(&c, "x")->client_secret_file, want);
	snprintf(want, sizeof want, "%s/ca.pem", folder);
	CHECK_STR(c.ca_file, want);
	snprintf(want, sizeof want, "%s/etc/providers.d", folder);
	CHECK_STR(c.provider_conf_folder, want);
	conf_free(&c);
}

TEST(providers_are_read_from_the_folder)
{
	struct conf c;
	CHECK(mkdir(path_of("d"), 0700) == 0);
	write_text("d/a.ini", "[provider.a]\nbase_url.example.com = http://127.0.0.1:1/x\nbase_url.b.org = https://c.org\nsetting.n = v w\n");
	write_text("d/b.ini", "[provider.b]\nenabled = no\nfile = /opt/other.so\n[provider.a]\nfile = aa.so\n");
	write_text("d/.hidden.ini", "nonsense");
	write_text("d/README", "nonsense");
	load_text("[providers]\nconf_folder = d\nfolder = so\n[provider.a]\nclient_id = 7\n", &c);
	CHECK_INT(c.provider_count, 2);
	const struct conf_provider *a = conf_provider(&c, "a"), *b = conf_provider(&c, "b");
	CHECK(a && b && a->enabled && !b->enabled);
	CHECK_STR(a->client_id, "7");
	CHECK_INT(a->base_urls.count, 2);
	CHECK_STR(a->base_urls.list[0].key, "example.com");
	CHECK_STR(a->base_urls.list[0].value, "http://127.0.0.1:1/x");
	CHECK_STR(a->base_urls.list[1].key, "b.org");
	CHECK_INT(a->base_urls.list[1].line, 3);
	CHECK_INT(a->settings.count, 1);
	CHECK_STR(a->settings.list[0].key, "n");
	CHECK_STR(a->settings.list[0].value, "v w");
	CHECK_STR(a->file + strlen(folder), "/so/aa.so");
	CHECK_STR(b->file, "/opt/other.so");
	conf_free(&c);
}

TEST(faults_in_the_folder_name_their_own_file)
{
	static const struct { const char *text, *words; } table[] = {
		{"[server]\nthreads = 8\n", "x.ini:2: only [provider.ID]"},
		{"[provider.a]\nfil = 8\n", "x.ini:2: unknown key [provider.a] fil; did you mean file"},
		{"[provider.a]\nclient_id = 8\n", "x.ini:2: [provider.a] client_id was already given at"},
	};
	struct conf c;
	const char *main_text = "[providers]\nconf_folder = e\n[provider.a]\nclient_id = 7\n";
	CHECK(mkdir(path_of("e"), 0700) == 0);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		write_text("e/x.ini", table[i].text);
		CHECK_INT(load(write_text("main.ini", main_text), &c), RC_INVALID);
		CHECK_SAY(strstr(cx.words, table[i].words) != NULL, "%s", cx.words);
	}
	CHECK(strstr(cx.words, "main.ini:4") != NULL);
	CHECK(remove(path_of("e/x.ini")) == 0 && mkdir(path_of("e/x.ini"), 0700) == 0);
	CHECK_INT(load(path_of("main.ini"), &c), RC_INVALID);
	CHECK_SAY(strstr(cx.words, "e/x.ini: not a regular file") != NULL, "%s", cx.words);
}

/* ---- the files that are delivered ------------------------------------------------------------------ */

static char *slurp(const char *path)
{
	static char text[64 * 1024];
	FILE *f = fopen(path, "r");
	CHECK_SAY(f != NULL, "%s: run the tests from the top folder", path);
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

TEST(delivered_files_are_valid)
{
	struct conf c;
	CHECK_SAY(load("etc/mypostshare.ini", &c) == RC_OK, "%s", cx.words);
	CHECK_STR(c.listen, "127.0.0.1:8080");
	conf_free(&c);
	CHECK_SAY(load("etc/demo.ini", &c) == RC_OK, "%s", cx.words);
	CHECK_INT(c.create_key, 1);
	CHECK(strstr(c.data_folder, "/etc/") == NULL);
	conf_free(&c);
}

/* Every row of the reference stands in etc/mypostshare.ini as "#key = default". */
TEST(the_reference_ini_shows_every_key)
{
	BUF_AUTO struct buf reference;
	char row[400], line[512];
	int rows = 0;

	buf_init(&reference, 64 * 1024);
	conf_reference(&reference);
	CHECK(buf_ok(&reference));
	const char *ini = slurp("etc/mypostshare.ini");
	for (const char *at = buf_text(&reference); (at = strstr(at, "\n| `")) != NULL; at++, rows++) {
		snprintf(row, sizeof row, "%.*s", (int)strcspn(at + 4, "\n"), at + 4);
		char *key_end = strchr(row, '`'), *standard = strstr(key_end, " | `");
		CHECK(key_end != NULL);
		*key_end = '\0';
		if (standard)
			*strchr(standard + 4, '`') = '\0';
		snprintf(line, sizeof line, "\n#%s =%s%s", row, standard ? " " : "", standard ? standard + 4 : "");
		CHECK_SAY(strstr(ini, line) != NULL, "etc/mypostshare.ini lacks%s", line);
	}
	CHECK_SAY(rows >= 27, "%d rows", rows);
}
