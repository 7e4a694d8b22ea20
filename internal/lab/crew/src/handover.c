/* SPDX-License-Identifier: Apache-2.0 */
/* The ways for a connection to come to another process, or thread. */
#define _GNU_SOURCE
#include "crew.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_WORKERS 16

enum fate (*hand_over)(struct worker *, struct conn *) = over_nobody;

/* A worker's inbox is a pair: it reads the one end, all others write to the other. */
static int inboxes[MOST_WORKERS][2];

void make_inboxes(void)
{
	must(opt.workers >= 3 && opt.workers <= MOST_WORKERS, "pass on among so many workers");
	for (unsigned i = 0; i < opt.workers; i++)
		must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, inboxes[i]) == 0, "make an inbox");
}

int inbox_of(int index)
{
	return inboxes[index][0];
}

/* next_of: worker 0 only accepts; the others pass on round and round. */
static int next_of(struct worker *w)
{
	static __thread unsigned turn;

	if (w->index == 0)
		return 1 + turn++ % (opt.workers - 1);
	return 1 + w->index % (opt.workers - 1);
}

/* A note carries a connection: a struct conn, whose pointers all workers share. */
struct note {
	struct conn c;
	struct iovec v;
	struct msghdr m;
	char control[CMSG_SPACE(sizeof(int))];
};

static struct msghdr *of_note(struct note *n)
{
	n->v = (struct iovec){ &n->c, sizeof(n->c) };
	n->m = (struct msghdr){ .msg_iov = &n->v, .msg_iovlen = 1 };
	return &n->m;
}

static void post(struct worker *w, struct note *n)
{
	ssize_t len;

	n->c.step++;
	n->c.until = 0;
	do
		len = sendmsg(inboxes[next_of(w)][1], &n->m, 0);
	while (len < 0 && errno == EINTR);
	must(len == sizeof(n->c), "pass a connection on");
}

/* over_inbox hands the socket over by SCM_RIGHTS. */
enum fate over_inbox(struct worker *w, struct conn *c)
{
	struct note n = { .c = *c };
	struct msghdr *m = of_note(&n);
	struct cmsghdr *h;

	m->msg_control = n.control;
	m->msg_controllen = sizeof(n.control);
	h = CMSG_FIRSTHDR(m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &c->fd, sizeof(int));
	post(w, &n);
	close_copy(c);
	return DONE;
}

/* over_thread tells another thread of the same process. */
enum fate over_thread(struct worker *w, struct conn *c)
{
	struct note n = { .c = *c };

	of_note(&n);
	post(w, &n);
	return DONE;
}

enum fate over_nobody(struct worker *w, struct conn *c)
{
	errno = EINVAL;
	must(false, "hand over: nobody is there");
	return DONE;
}

/* receive takes one connection out of the inbox, with a descriptor of its own. */
void receive(struct worker *w)
{
	struct note n;
	struct msghdr *m = of_note(&n);
	struct cmsghdr *h;
	uint64_t from = now();

	m->msg_control = n.control;
	m->msg_controllen = sizeof(n.control);
	if (recvmsg(w->inbox, m, MSG_CMSG_CLOEXEC) != sizeof(n.c)) {
		must(errno == EINTR, "receive a connection");
		return;
	}
	h = CMSG_FIRSTHDR(m);
	if (h) {
		memcpy(&n.c.fd, CMSG_DATA(h), sizeof(int));
		held_since(&n.c, from);
	}
	if (begin_play(w, &n.c) != DONE)
		add_conn(w, &n.c);
}

/*
 * keep_only: a forked child has inherited every descriptor of its parent's, and
 * keeps the one that it was made for.
 */
static void keep_only(struct worker *w, struct conn *kept, uint64_t since)
{
	held_since(kept, since);
	close_listeners();
	for (unsigned i = 0; i < w->count; i++)
		if (w->conns[i].fd != kept->fd) {
			held_since(&w->conns[i], since);
			close_copy(&w->conns[i]);
		}
}

/*
 * over_fork makes a child that plays on, with the socket where there is one yet;
 * the parent closes its own copy.
 */
enum fate over_fork(struct worker *w, struct conn *c)
{
	uint64_t before = now();
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (pid == 0) {
		learn_name(before);
		if (c->fd >= 0)
			keep_only(w, c, before);
		c->step++;
		play_alone(c);
	}
	w->children++;
	if (c->fd >= 0)
		close_copy(c);
	return DONE;
}
