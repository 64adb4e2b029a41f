/*
 * Private to io/web*.c: the descriptor under a CivetWeb connection, which the library does not tell.
 */
#ifndef MPS_IO_WEB_SOCKET_H
#define MPS_IO_WEB_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

int web_socket_find(const char *address, int peer_port, int own_port);	/* -1 if there is none */
int web_socket_ready(int fd);			/* bytes that can be read without waiting; 0 also when unknown */
void web_socket_drain(int fd, int64_t most, int ms);	/* ends our side, then discards what still arrives */
bool web_socket_gone(int fd, int ms);		/* waits at most ms for the peer to end its side or to reset */
void web_socket_reset(int fd);			/* RST now; the descriptor stays open for its owner */

#endif
