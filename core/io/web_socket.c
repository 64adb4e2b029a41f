/*
 * The descriptor under a CivetWeb connection.
 *
 * The library reads a body with a timeout per read, so a client that sends one byte every nine seconds holds
 * a worker for ever.  Asking the kernel how many bytes are there, and reading no more than those, never
 * waits.  The library keeps its descriptor to itself; the pair of ports names it among ours without doubt,
 * as long as the caller is the connection's own worker.
 */
#include "core/io/web_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"

#define DESCRIPTORS_MAX 4096

static int is_pair(int fd, const struct in_addr *peer, int peer_port, int own_port)
{
	struct sockaddr_in a, b;
	socklen_t an = sizeof(a), bn = sizeof(b);

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (getpeername(fd, (struct sockaddr *)&a, &an) || a.sin_family != AF_INET)
		return 0;
	if (a.sin_addr.s_addr != peer->s_addr || ntohs(a.sin_port) != peer_port)
		return 0;
	return !getsockname(fd, (struct sockaddr *)&b, &bn) && ntohs(b.sin_port) == own_port;
}

int web_socket_find(const char *address, int peer_port, int own_port)
{
	struct in_addr peer;
	struct rlimit limit = {DESCRIPTORS_MAX, DESCRIPTORS_MAX};
	int most = DESCRIPTORS_MAX;

	if (inet_pton(AF_INET, address, &peer) != 1)
		return -1;
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < DESCRIPTORS_MAX)
		most = (int)limit.rlim_cur;
	for (int fd = 3; fd < most; fd++) {
		if (is_pair(fd, &peer, peer_port, own_port))
			return fd;
	}
	return -1;
}

int web_socket_ready(int fd)
{
	int n = 0;

	return fd < 0 || ioctl(fd, FIONREAD, &n) || n < 0 ? 0 : n;
}

void web_socket_drain(int fd, int64_t most, int ms)
{
	int64_t end = clock_mono() + ms;
	char bytes[4096];

	if (fd < 0)
		return;
	shutdown(fd, SHUT_WR);
	while (most > 0) {
		struct pollfd p = {fd, POLLIN, 0};
		int64_t left = end - clock_mono();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return;
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n <= 0)
			return;
		most -= n;
	}
}

bool web_socket_gone(int fd, int ms)
{
	struct pollfd p = {fd, POLLRDHUP, 0};	/* fd -1: just waits */

	return poll(&p, 1, ms) > 0;
}

/* Connecting to nowhere is the one way to abort a connection without closing the descriptor, which is the
 * library's: it would end it politely, linger option or not. */
void web_socket_reset(int fd)
{
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	if (fd >= 0)
		(void)connect(fd, &nowhere, sizeof(nowhere));
}
