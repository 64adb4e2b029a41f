/*
 * The operator's socket: any line in place of {"argv": [...]}.
 *
 * A command runs only for a line that is such an object, with the very words that stand in it, and every client gets
 * one line of JSON back, or none if it sent no line.
 */
#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/io/control.h"

static char folder[64], path[80];
static struct buf ran;			/* the words of the last command, each ended by NUL */
static int runs;

static int run(void *arg, int argc, char **argv, struct buf *out, struct buf *err)
{
	(void)arg;
	runs++;
	buf_reset(&ran);
	for (int i = 0; i < argc; i++)
		buf_add(&ran, argv[i], strlen(argv[i]) + 1);
	MUST(argv[argc] == NULL);
	buf_adds(out, argv[0]);
	buf_adds(err, argv[argc - 1]);
	return argc;
}

static void folder_remove(void)
{
	unlink(path);
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct control *control;
	struct cx cx;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	cx_init(&cx, NULL);
	snprintf(folder, sizeof folder, "/tmp/mps-fuzz-control-XXXXXX");
	MUST(mkdtemp(folder) != NULL);
	snprintf(path, sizeof path, "%s/socket", folder);
	atexit(folder_remove);
	buf_init(&ran, 1u << 20);
	MUST_SAY(control_open(&cx, path, run, NULL, &control) == RC_OK, "%s", cx.words);
	return 0;
}

static void ask(const uint8_t *data, size_t size, struct buf *answer)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct timeval wait = {20, 0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;
	char *room;

	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	while (send(fd, data, size, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
	shutdown(fd, SHUT_WR);
	while ((room = buf_room(answer, 65536)) != NULL && ((n = recv(fd, room, 65536, 0)) > 0 || (n < 0 && errno == EINTR)))
		buf_grew(answer, n > 0 ? (size_t)n : 0);	/* the fuzzer's own alarm may interrupt */
	close(fd);
}

/* The words that the line asks to be run; 0: it is no such line. */
static int words_of(struct arena *a, const char *line, size_t n, struct buf *out)
{
	struct jv root, list;
	struct cx cx;

	cx_init(&cx, NULL);
	if (json_parse(&cx, a, line, n, &root) != RC_OK)
		return 0;
	list = json_get(root, "argv");
	if (json_count(root) != 1 || json_type(list) != JSON_ARRAY || json_count(list) < 1 || json_count(list) > 64)
		return 0;
	for (size_t i = 0; i < json_count(list); i++) {
		if (json_type(json_at(list, i)) != JSON_STRING)
			return 0;
		buf_add(out, json_text(json_at(list, i)), strlen(json_text(json_at(list, i))) + 1);
	}
	return (int)json_count(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	struct buf answer BUF_AUTO, want BUF_AUTO;
	struct arena a ARENA_AUTO;
	int64_t status = -1;
	struct jv root;
	struct cx cx;
	int n;

	buf_init(&answer, 1u << 22);
	buf_init(&want, 1u << 20);
	arena_init(&a, 64u << 20);
	runs = 0;
	ask(data, size, &answer);
	if (end == NULL) {
		MUST(answer.len == 0 && runs == 0);
		return 0;
	}
	n = words_of(&a, (const char *)data, (size_t)(end - data), &want);
	MUST_SAY(runs == (n > 0), "%d commands for a line of %d words", runs, n);
	MUST(n == 0 || (ran.len == want.len && memcmp(ran.data, want.data, ran.len) == 0));
	cx_init(&cx, NULL);
	MUST(answer.len > 0 && answer.data[answer.len - 1] == '\n');
	MUST_SAY(json_parse(&cx, &a, answer.data, answer.len - 1, &root) == RC_OK, "the answer is no JSON: %s", cx.words);
	MUST(json_int(json_get(root, "exit"), &status) && status == (n > 0 ? n : 2));
	return 0;
}
