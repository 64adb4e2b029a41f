/*
 * Downloads of addresses that people give: names that lead inside are refused at the socket, on the first hop as
 * well as behind a redirect, and a listener on loopback sees nobody.
 *
 * Every name resolves here to what `names` says.
 */
#include "core/io/download.h"

#include <dlfcn.h>
#include <netdb.h>

#include "tests/unit/farside.h"

static const struct { const char *name, *address; } names[] = {
	{ "six.example.com", "::1" }, { "private.example.com", "10.0.0.1" }, { "metadata.example.com", "169.254.169.254" },
	{ "mapped.example.com", "::ffff:127.0.0.1" }, { "nat64.example.com", "64:ff9b::7f00:1" },
};

static int asked;

/* Any name that is not in the table is 127.0.0.1. */
int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo any = { .ai_socktype = SOCK_STREAM };
	const char *address = "127.0.0.1";

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	(void)hints;
	asked++;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(node, names[i].name) == 0)
			address = names[i].address;
	return real(address, service, &any, ret);
}

static int taken;

static enum rc take(struct cx *cx, void *arg, const void *bytes, size_t n)
{
	(void)cx, (void)arg, (void)bytes;
	taken += (int)n;
	return RC_OK;
}

static enum rc get(const char *url, const char *const *allow, struct cx *cx)
{
	static const char *const none[] = { NULL };
	struct download d = { .allow = allow ? allow : none, .bytes_max = 1 << 20, .total_s = 5, .stall_s = 5, .take = take };

	cx_init(cx, "test");
	taken = 0;
	return download_run(cx, &d, url);
}

static void refused(const char *url, const char *const *allow, const char *words)
{
	struct cx cx;

	CHECK_INT(get(url, allow, &cx), RC_INVALID);
	CHECK_STR(cx.code, "media_unreachable");
	CHECK_SAY(strstr(cx.words, words) != NULL, "%s: %s", url, cx.words);
	CHECK_INT(taken, 0);
}

TEST(a_name_that_leads_inside_is_refused_at_the_socket)
{
	asked = 0;
	refused("https://rebound.example.com/x", NULL, "leads to 127.0.0.1, which is not public");
	refused("https://six.example.com/x", NULL, "which is not public");
	refused("https://private.example.com/x", NULL, "leads to 10.0.0.1, which is not public");
	refused("https://metadata.example.com/latest", NULL, "link-local");
	refused("https://mapped.example.com/x", NULL, "which is not public");
	refused("https://nat64.example.com/x", NULL, "NAT64");
	CHECK_SAY(asked >= 6, "%d names were looked up: these tests say nothing", asked);
}

TEST(what_the_text_shows_is_refused_before_any_look_up)
{
	asked = 0;
	refused("https://127.0.0.1/x", NULL, "not public");
	refused("https://rebound.example.com:8443/x", NULL, "port 8443");
	refused("http://rebound.example.com/x", NULL, "https://");
	refused("https://me:secret@rebound.example.com/x", NULL, "user name");
	refused("file:///etc/passwd", NULL, "");
	CHECK_INT(asked, 0);
}

TEST(an_allowed_address_is_reached_by_its_own_text_only)
{
	struct far *far = far_start();
	char address[40], url[100];
	const char *allow[] = { address, NULL };
	struct cx cx;

	snprintf(address, sizeof address, "127.0.0.1:%d", far->port);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/ok", far->port);
	CHECK_SAY(get(url, allow, &cx) == RC_OK, "%s", cx.words);
	CHECK(taken > 0);
	CHECK_INT(atomic_load(&far->connections), 1);
	snprintf(url, sizeof url, "https://rebound.example.com:%d/ok", far->port);
	refused(url, allow, "port");
	CHECK_INT(atomic_load(&far->connections), 1);
	far_stop(far);
}
