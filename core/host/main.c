/*
 * mypostshare-host: runs one provider, and nothing else.
 *
 * Descriptors: 0 the provider's file, sealed in memory; 2 words for the operator's log; 3 the socket to the core.
 * It greets, shuts itself in, loads, shuts itself in further, describes the provider, and then answers steps
 * one by one until the socket closes.  It starts no thread and holds no secret.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host/host.h"
#include "core/host/sandbox.h"

#define SOCKET 3

#if defined(__SANITIZE_ADDRESS__)
/* A fault in a provider is a signal, as in every other build; the report of one needs more than the sandbox allows. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "handle_segv=0:handle_sigbus=0:detect_leaks=0"; }
#endif

static void write_all(const struct buf *b)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = write(SOCKET, b->data + at, b->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(2);
		at += (size_t)n;
	}
}

static void read_all(char *out, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(SOCKET, out + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);		/* the core has closed the socket, or is gone */
		at += (size_t)n;
	}
}

static void greet(void)
{
	struct buf out BUF_AUTO;

	buf_init(&out, 1024);
	size_t begin = frame_begin(&out, FRAME_HELLO, 0);
	rec_int(&out, REC_BUILD, "", FRAME_BUILD);
	frame_end(&out, begin);
	write_all(&out);
}

static _Noreturn void refuse(const char *words)
{
	struct buf out BUF_AUTO;

	buf_init(&out, 8192);
	size_t begin = frame_begin(&out, FRAME_FAULT, 0);
	rec_text(&out, REC_FAULT, "refused", words);
	frame_end(&out, begin);
	write_all(&out);
	_exit(0);
}

static void load(struct mps_provider *ret)
{
	const struct mps_provider *(*entry)(const struct mps_host *);
	struct buf words BUF_AUTO;
	void *found, *object = dlopen(SANDBOX_FILE, RTLD_NOW | RTLD_LOCAL);

	buf_init(&words, 4096);
	if (!object) {
		buf_addf(&words, "it cannot be loaded: %.600s", dlerror());
		refuse(buf_text(&words));
	}
	found = dlsym(object, "mps_provider_v1");
	if (!found)
		refuse("it exports no mps_provider_v1: build it with sdk/provider.h and MPS_PROVIDER");
	memcpy(&entry, &found, sizeof entry);
	if (!provider_check(entry(host_table()), ret, &words))
		refuse(buf_text(&words));
	if (sandbox_denied()[0]) {
		buf_addf(&words, "it tried to open %s while loading; a provider opens nothing", sandbox_denied());
		refuse(buf_text(&words));
	}
}

static void describe(const struct mps_provider *p)
{
	struct buf out BUF_AUTO;

	buf_init(&out, FRAME_OUT_MAX);
	size_t begin = frame_begin(&out, FRAME_DESCRIBE, 0);
	rec_text(&out, REC_ID, "", p->id);
	rec_text(&out, REC_VERSION, "", p->version);
	rec_int(&out, REC_ABI, "abi_minor", p->abi_minor);
	rec_int(&out, REC_ABI, "needs_minor", p->needs_minor);
	rec_text(&out, REC_SANDBOX, "", sandbox_level());
	rec_text(&out, REC_DESCRIBE, "", p->describe);
	frame_end(&out, begin);
	write_all(&out);
}

static void serve(const struct mps_provider *p)
{
	struct buf in, out;
	struct frame_head head;

	buf_init(&in, FRAME_IN_MAX);
	buf_init(&out, 2 * FRAME_OUT_MAX);
	for (;;) {
		char *start;
		uint32_t length;

		buf_reset(&in);
		buf_reset(&out);
		start = buf_room(&in, FRAME_HEAD);
		read_all(start, FRAME_HEAD);
		buf_grew(&in, FRAME_HEAD);
		memcpy(&length, start, sizeof length);		/* little endian, as both ends are one build on one machine */
		if (length > FRAME_IN_MAX - FRAME_HEAD || !(start = buf_room(&in, length)))
			_exit(3);
		read_all(start, length);
		buf_grew(&in, length);
		if (frame_peek(in.data, in.len, FRAME_IN_MAX, &head) != 1 || head.type != FRAME_STEP)
			_exit(3);
		step_run(p, head.operation, in.data + FRAME_HEAD, head.length, &out);
		write_all(&out);
		if (in.cap > 256 * 1024)
			buf_free(&in);
	}
}

int main(void)
{
	struct mps_provider provider;

	free(malloc(1));		/* glibc asks for random bytes at its first allocation */
	greet();
	if (!sandbox_before())
		refuse("the host cannot shut itself in: prctl(PR_SET_SECCOMP) was refused; a kernel with seccomp filters is needed");
	load(&provider);
	if (!sandbox_after())
		refuse("the host cannot shut itself in after loading");
	describe(&provider);
	serve(&provider);
}
