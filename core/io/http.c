/*
 * Transfers on one curl_multi, and the judgement of how each one ended.  Its sockets lie in an epoll, so that a
 * turn costs what happened in it, not what is under way.
 *
 * The one thing to know: "unsent" is claimed only when libcurl counted no byte of the request and no answer was
 * seen; whatever else ends without a whole answer is lost.  A request that must not be repeated goes out on a
 * connection of its own, and no connection ever carries two transfers at once: libcurl repeats a request when a
 * connection that it has *ever* reused dies early, and a second stream counts as reuse for the first one too.
 * Should libcurl still start such a request a second time, for whatever reason of its own, begin() stops it.
 */
#include "core/io/http.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/io/http_guard.h"
#include "core/io/http_in.h"
#include "core/io/http_out.h"

#define IDLE_MAX 64L			/* connections kept for the next transfer */
#define EVENTS_MAX 256

struct http_transfer {
	struct http *http;
	struct http_transfer *prev, *next;	/* in running or ended */
	CURL *easy;
	struct http_target target;
	struct http_out out;
	http_done_fn *done;
	void *arg;
	bool fresh;
	unsigned begun, opened, refused;	/* requests started, sockets opened, addresses refused */
	struct http_in in;
	char guard_words[HTTP_WORDS_SIZE], curl_words[CURL_ERROR_SIZE];
	struct http_answer answer;
};

struct list { struct http_transfer *first, *last; };

struct http {
	CURLM *multi;
	struct http_guard guard;
	char *ca_file;
	long connect_ms, total_ms, stall_s;
	size_t answer_max;
	bool (*may_send)(void *arg);
	void *arg;
	struct list running, ended;
	int count;
	int sockets, wakeup;			/* an epoll of libcurl's sockets; an eventfd */
	struct pollfd *polls;			/* room for wait_room descriptors */
	unsigned wait_room;
};

static void list_add(struct list *list, struct http_transfer *t)
{
	t->next = NULL;
	t->prev = list->last;
	if (list->last != NULL)
		list->last->next = t;
	else
		list->first = t;
	list->last = t;
}

static void list_remove(struct list *list, struct http_transfer *t)
{
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		list->first = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else
		list->last = t->prev;
}

/* ---- open and close ---- */

static CURLcode global_code = CURLE_FAILED_INIT;

static void global_init(void)
{
	unsetenv("SSLKEYLOGFILE");	/* OpenSSL builds of libcurl would write the session keys there */
	signal(SIGPIPE, SIG_IGN);
	global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool config_take(struct http *h, const struct http_config *config)
{
	h->connect_ms = config->connect_ms > 0 ? config->connect_ms : 10000;
	h->total_ms = config->total_ms > 0 ? config->total_ms : 60000;
	h->stall_s = config->stall_s > 0 ? config->stall_s : 60;
	h->answer_max = config->answer_max > 0 ? config->answer_max : 1024 * 1024;
	h->may_send = config->may_send;
	h->arg = config->arg;
	if (config->ca_file == NULL)
		return true;
	h->ca_file = strdup(config->ca_file);
	return h->ca_file != NULL;
}

static int socket_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg);

static bool multi_setup(struct http *h)
{
	h->multi = curl_multi_init();
	h->sockets = epoll_create1(EPOLL_CLOEXEC);
	h->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return h->multi != NULL && h->sockets >= 0 && h->wakeup >= 0 &&
	       curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, socket_watch) == CURLM_OK &&
	       curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK &&
	       curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
	       curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, IDLE_MAX) == CURLM_OK;
}

enum rc http_start(struct cx *cx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, global_init);
	return global_code == CURLE_OK ? RC_OK : fail(cx, RC_IO, "libcurl does not start: %s", curl_easy_strerror(global_code));
}

enum rc http_open(struct cx *cx, const struct http_config *config, struct http **ret)
{
	struct http *h;
	enum rc rc = http_start(cx);

	if (rc != RC_OK)
		return rc;
	if (config->ca_file != NULL && access(config->ca_file, R_OK) != 0)
		return fail(cx, RC_INVALID, "the CA file %s cannot be read: %s", config->ca_file, strerror(errno));
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return fail(cx, RC_NOMEM, "out of memory");
	h->sockets = h->wakeup = -1;
	rc = http_guard_init(cx, &h->guard, config);
	if (rc == RC_OK && (!config_take(h, config) || !multi_setup(h)))
		rc = fail(cx, RC_NOMEM, "out of memory or descriptors");
	if (rc == RC_OK)
		*ret = h;
	else
		http_close(h);
	return rc;
}

static void transfer_drop(struct http_transfer *t)
{
	if (t->easy != NULL) {
		curl_multi_remove_handle(t->http->multi, t->easy);	/* harmless if it was never added */
		curl_easy_cleanup(t->easy);
	}
	http_target_free(&t->target);
	http_out_free(&t->out);
	http_in_wipe(&t->in);
	explicit_bzero(t, sizeof(*t));
	free(t);
}

static void list_drop(struct list *list)
{
	for (struct http_transfer *t = list->first, *next; t != NULL; t = next) {
		next = t->next;
		transfer_drop(t);
	}
	list->first = list->last = NULL;
}

void http_close(struct http *h)
{
	if (h == NULL)
		return;
	list_drop(&h->running);
	list_drop(&h->ended);
	curl_multi_cleanup(h->multi);
	http_guard_free(&h->guard);
	if (h->sockets >= 0)
		close(h->sockets);
	if (h->wakeup >= 0)
		close(h->wakeup);
	free(h->ca_file);
	free(h->polls);
	free(h);
}

/* ---- what libcurl calls ---- */

static curl_socket_t socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_transfer *t = arg;
	int fd;

	if (purpose != CURLSOCKTYPE_IPCXN ||
	    !http_guard_address(&t->target, &address->addr, address->addrlen, t->guard_words)) {
		t->refused++;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	t->opened += fd >= 0;
	return fd;
}

/* Called each time a request is about to be written. */
static int begin(void *arg, char *ip, char *own_ip, int port, int own_port)
{
	struct http_transfer *t = arg;

	(void)ip, (void)own_ip, (void)port, (void)own_port;
	t->begun++;
	failpoint("http.begin");
	if ((t->fresh && t->begun > 1) || (t->http->may_send != NULL && !t->http->may_send(t->http->arg)))
		return CURL_PREREQFUNC_ABORT;
	return CURL_PREREQFUNC_OK;
}

/* ---- setting up ---- */

#define SET(option, value) (bad |= (int)curl_easy_setopt(t->easy, (option), (value)))

static int setup_guard(struct http_transfer *t)
{
	int bad = 0;

	SET(CURLOPT_CURLU, t->target.url);
	SET(CURLOPT_PROTOCOLS_STR, t->target.pinned.family != 0 ? "http,https" : "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_OPENSOCKETFUNCTION, socket_open);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_PREREQFUNCTION, begin);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_CAPATH, NULL);		/* with a folder libcurl does not cache the parsed certificates */
	if (t->http->ca_file != NULL)
		SET(CURLOPT_CAINFO, t->http->ca_file);
	return bad;
}

static int setup_flow(struct http_transfer *t, const struct http_request *request)
{
	long total_ms = request->total_ms > 0 ? request->total_ms : t->http->total_ms;
	int bad = 0;

	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_FRESH_CONNECT, t->fresh ? 1L : 0L);
	SET(CURLOPT_FORBID_REUSE, t->fresh ? 1L : 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);		/* a slow resolver must not hold the engine when a transfer times out */
	SET(CURLOPT_CONNECTTIMEOUT_MS, t->http->connect_ms);
	SET(CURLOPT_TIMEOUT_MS, total_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, t->http->stall_s);
	SET(CURLOPT_ERRORBUFFER, t->curl_words);
	SET(CURLOPT_PRIVATE, t);
	return bad;
}

static void end_early(struct http_transfer *t, enum http_outcome outcome)
{
	t->answer.outcome = outcome;
	t->answer.words = t->guard_words;
	list_add(&t->http->ended, t);
}

static bool transfer_start(struct http_transfer *t, const struct http_request *request)
{
	t->easy = curl_easy_init();
	return t->easy != NULL && setup_guard(t) == 0 && setup_flow(t, request) == 0 &&
	       http_out_setup(&t->out, t->easy) == 0 && http_in_setup(&t->in, t->easy) == 0 &&
	       curl_multi_add_handle(t->http->multi, t->easy) == CURLM_OK;
}

void http_send(struct http *h, const struct http_request *request, http_done_fn *done, void *arg)
{
	struct http_transfer *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		log_error("http", "out of memory");
		abort();		/* nobody could be told; the stored intent decides after the restart */
	}
	t->http = h;
	t->done = done;
	t->arg = arg;
	/* A person's URL shares no connection with anybody else's. */
	t->fresh = request->fresh || request->egress == HTTP_USER;
	http_in_init(&t->in, h->answer_max);
	h->count++;
	if (!http_guard_url(&h->guard, request->egress, request->url, &t->target, t->guard_words) ||
	    !http_out_init(&t->out, request, t->guard_words))
		end_early(t, HTTP_REFUSED);
	else if (transfer_start(t, request))
		list_add(&h->running, t);
	else {
		snprintf(t->guard_words, sizeof(t->guard_words), "the transfer could not be set up");
		end_early(t, HTTP_UNSENT);
	}
}

int http_running(const struct http *h)
{
	return h->count;
}

/* ---- ending ---- */

static int64_t info_number(CURL *easy, CURLINFO what)
{
	curl_off_t n = 0;

	return curl_easy_getinfo(easy, what, &n) == CURLE_OK ? (int64_t)n : 0;
}

static enum http_outcome outcome_of(struct http_transfer *t, CURLcode code, long request_size)
{
	/* A connection that closes inside the head is success to libcurl. */
	if (code == CURLE_OK && t->answer.status >= 200 && t->in.head_done)
		return failpoint("http.lost") ? HTTP_LOST : HTTP_ANSWERED;
	if (t->begun > 1 || request_size != 0 || t->in.head_seen)
		return HTTP_LOST;
	return t->refused > 0 && t->opened == 0 ? HTTP_REFUSED : HTTP_UNSENT;
}

static void conclude(struct http_transfer *t, CURLcode code)
{
	struct http_answer *a = &t->answer;
	long request_size = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &a->status);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);
	a->curl_code = (int)code;
	a->sent_bytes = request_size + info_number(t->easy, CURLINFO_SIZE_UPLOAD_T);
	a->took_ms = info_number(t->easy, CURLINFO_TOTAL_TIME_T) / 1000;
	a->too_large = t->in.too_large;
	a->outcome = outcome_of(t, code, request_size);
	if (a->outcome == HTTP_REFUSED)
		a->words = t->guard_words;
	else if (t->in.too_large)
		a->words = "the answer is larger than the ceiling";
	else
		a->words = t->curl_words[0] != '\0' ? t->curl_words : curl_easy_strerror(code);
	if (a->outcome == HTTP_LOST && code == CURLE_OK) {	/* as if the answer had never come */
		a->status = 0;
		http_in_wipe(&t->in);
	}
	curl_multi_remove_handle(t->http->multi, t->easy);
	list_remove(&t->http->running, t);
	list_add(&t->http->ended, t);
}

static void collect(struct http *h)
{
	struct http_transfer *t = NULL;
	CURLMsg *message;
	int left = 0;

	while ((message = curl_multi_info_read(h->multi, &left)) != NULL) {
		CURLcode result = message->data.result;

		if (message->msg == CURLMSG_DONE &&
		    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t) == CURLE_OK)
			conclude(t, result);
	}
}

static void act(struct http *h, curl_socket_t fd, int what)
{
	int running = 0;
	CURLMcode code = curl_multi_socket_action(h->multi, fd, what, &running);

	if (code != CURLM_OK)
		log_error("http", "curl_multi_socket_action: %s", curl_multi_strerror(code));
}

/* Only those that had ended before: a done function may send again and be refused again. */
static void deliver(struct http *h)
{
	struct list ended = h->ended;

	h->ended = (struct list){ 0 };
	for (struct http_transfer *t = ended.first, *next; t != NULL; t = next) {
		next = t->next;
		t->answer.headers = &t->in.headers;
		t->answer.body = &t->in.body;
		h->count--;
		t->done(t->arg, &t->answer);
		transfer_drop(t);
	}
}

/* ---- waiting ---- */

/* libcurl says which sockets it waits for; a socket is forgotten by the kernel when it is closed. */
static int socket_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http *h = arg;
	struct epoll_event e = { .data.fd = fd };

	(void)easy, (void)socket_arg;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(h->sockets, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	e.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (epoll_ctl(h->sockets, EPOLL_CTL_MOD, fd, &e) == 0 || (errno == ENOENT && epoll_ctl(h->sockets, EPOLL_CTL_ADD, fd, &e) == 0))
		return 0;
	log_error("http", "socket %d cannot be watched: %s", (int)fd, strerror(errno));
	return -1;
}

static void sockets_work(struct http *h)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	do {
		n = epoll_wait(h->sockets, events, EVENTS_MAX, 0);
		for (int i = 0; i < n; i++)
			act(h, events[i].data.fd, (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
						  (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
						  (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
	} while (n == EVENTS_MAX);
}

/* Starts what was sent since, ends what is over its time; milliseconds until the next one of these, at most ms. */
static int timers_work(struct http *h, int ms)
{
	long next = -1;

	curl_multi_timeout(h->multi, &next);
	if (next == 0) {
		act(h, CURL_SOCKET_TIMEOUT, 0);
		curl_multi_timeout(h->multi, &next);
	}
	return next >= 0 && next < ms ? (int)next : ms;
}

static bool wait_fits(struct http *h, unsigned count)
{
	if (count <= h->wait_room)
		return true;
	free(h->polls);
	h->polls = calloc(count, sizeof(*h->polls));
	h->wait_room = h->polls != NULL ? count : 0;
	return h->wait_room >= count;
}

static void wait_some(struct http *h, struct http_wait *waits, unsigned count, int ms)
{
	uint64_t wakeups;

	if (!wait_fits(h, count + 2)) {
		log_error("http", "out of memory");
		abort();
	}
	h->polls[0] = (struct pollfd){ .fd = h->sockets, .events = POLLIN };
	h->polls[1] = (struct pollfd){ .fd = h->wakeup, .events = POLLIN };
	for (unsigned i = 0; i < count; i++)
		h->polls[i + 2] = (struct pollfd){ .fd = waits[i].fd, .events = waits[i].events };
	if (poll(h->polls, count + 2, ms) < 0)
		for (unsigned i = 0; i < count + 2; i++)
			h->polls[i].revents = 0;
	for (unsigned i = 0; i < count; i++)
		waits[i].revents = h->polls[i + 2].revents;
	if (h->polls[1].revents != 0)
		(void)!read(h->wakeup, &wakeups, sizeof(wakeups));
}

void http_turn(struct http *h, struct http_wait *waits, unsigned count, int ms)
{
	ms = timers_work(h, ms);
	collect(h);
	wait_some(h, waits, count, h->ended.first != NULL ? 0 : ms);
	sockets_work(h);
	timers_work(h, 0);
	collect(h);
	deliver(h);
}

void http_wakeup(struct http *h)
{
	uint64_t one = 1;

	(void)!write(h->wakeup, &one, sizeof(one));
}
