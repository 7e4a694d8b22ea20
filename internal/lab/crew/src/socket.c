/* SPDX-License-Identifier: Apache-2.0 */
/* Making sockets, and closing them. */
#define _GNU_SOURCE
#include "crew.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One for each play, at ports in a row. */
int listeners[PLAYS];

/* address is where a play's server is. */
static socklen_t address(struct sockaddr_storage *a, unsigned play)
{
	struct sockaddr_in *four = (void *)a;
	struct sockaddr_in6 *six = (void *)a;

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, opt.addr, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(opt.port + play);
		return sizeof(*four);
	}
	must(inet_pton(AF_INET6, opt.addr, &six->sin6_addr) == 1, "read addr=");
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(opt.port + play);
	return sizeof(*six);
}

static uint16_t port_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in6 a; /* the port is where sockaddr_in has it */
	socklen_t len = sizeof(a);

	return get(fd, (void *)&a, &len) == 0 ? ntohs(a.sin6_port) : 0;
}

/* identify asks the kernel which socket it is. */
void identify(struct conn *c)
{
	socklen_t len = sizeof(c->cookie);

	must(getsockopt(c->fd, SOL_SOCKET, SO_COOKIE, &c->cookie, &len) == 0, "get SO_COOKIE");
	c->lport = port_of(c->fd, getsockname);
	c->rport = port_of(c->fd, getpeername);
}

/* patient bounds how long written data may stay unanswered. */
static void patient(int fd)
{
	if (opt.patience)
		must(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &opt.patience, sizeof(opt.patience)) == 0, "set TCP_USER_TIMEOUT");
}

static int listen_at(unsigned play, bool shared)
{
	struct sockaddr_storage a;
	socklen_t len = address(&a, play);
	int on = 1;
	struct conn c = { .server = true, .fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP) };
	struct record *r;

	must(c.fd >= 0, "make a socket");
	must(setsockopt(c.fd, SOL_SOCKET, shared ? SO_REUSEPORT : SO_REUSEADDR, &on, sizeof(on)) == 0, "share the port");
	must(bind(c.fd, (void *)&a, len) == 0, "bind");
	identify(&c);
	r = begin(ACT_LISTEN, &c);
	must(done(r, listen(c.fd, 1024)) == 0, "listen");
	return c.fd;
}

/* listen_all opens the listeners; shared: with SO_REUSEPORT. */
void listen_all(bool shared)
{
	for (unsigned i = 0; i < opt.plays; i++)
		listeners[i] = listen_at(i, shared);
}

void close_listeners(void)
{
	for (unsigned i = 0; i < opt.plays; i++)
		close(listeners[i]);
}

/* accept_one is false where another worker was quicker. */
bool accept_one(struct conn *c)
{
	uint64_t from = now();
	struct record *r;

	c->fd = accept4(listeners[c->play], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c->fd < 0) {
		must(errno == EAGAIN, "accept");
		return false;
	}
	identify(c);
	patient(c->fd);
	r = begin(ACT_ACCEPT, c);
	r->from = from;
	done(r, 0);
	return true;
}

/* dial connects, or with at_once only begins to. */
void dial(struct conn *c, bool at_once)
{
	struct sockaddr_storage a;
	socklen_t len = address(&a, c->play);
	struct record *r;
	int result;

	c->fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | (at_once ? SOCK_NONBLOCK : 0), IPPROTO_TCP);
	must(c->fd >= 0, "make a socket");
	patient(c->fd);
	identify(c);
	c->rport = opt.port + c->play;
	r = begin(ACT_CONNECT, c);
	result = connect(c->fd, (void *)&a, len);
	must(result == 0 || (at_once && errno == EINPROGRESS), "connect");
	done(r, 0);
	c->lport = r->lport = port_of(c->fd, getsockname);
}

void close_copy(struct conn *c)
{
	struct record *r = begin(ACT_CLOSE, c);

	done(r, close(c->fd));
	c->fd = -1;
}
