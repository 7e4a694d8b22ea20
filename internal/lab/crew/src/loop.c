/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's loop: it plays many connections at a time and blocks in poll only. */
#define _GNU_SOURCE
#include "crew.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The polled descriptors that are no connection's, in their places. */
enum { STOP, GATE, INBOX, LISTENERS, CONNS = LISTENERS + PLAYS };

void add_conn(struct worker *w, const struct conn *c)
{
	if (w->count == w->room) {
		w->room = w->room ? 2 * w->room : 64;
		w->conns = realloc(w->conns, w->room * sizeof(*w->conns));
		must(w->conns, "find memory");
	}
	w->conns[w->count++] = *c;
}

static void drop_conn(struct worker *w, unsigned i)
{
	w->conns[i] = w->conns[--w->count];
}

static void start(struct worker *w, struct conn *c)
{
	if (begin_play(w, c) != DONE)
		add_conn(w, c);
}

/* take accepts one connection; another worker may have been quicker. */
static void take(struct worker *w, unsigned play)
{
	struct conn c = { .server = true, .play = play, .step = opt.play[play].server };

	if (accept_one(&c))
		start(w, &c);
}

/* open_more makes a client's connections, the plays in turn. */
static void open_more(struct worker *w)
{
	for (; w->left && w->count + w->children < opt.inflight; w->left--) {
		struct conn c = { .fd = -1, .play = w->left % opt.plays };

		c.step = opt.play[c.play].client;
		start(w, &c);
	}
}

/* reap waits for children that have ended; wait: until all have. */
void reap(struct worker *w, bool wait)
{
	while (w->children) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | (wait ? 0 : WNOHANG)) < 0) {
			must(errno == EINTR, "wait for a child");
			continue;
		}
		if (!info.si_pid)
			return;
		gone(info.si_pid);
		must(info.si_code == CLD_KILLED || info.si_status == 0, "have a child succeed");
		w->children--;
	}
}

/* until_next is when the first of the holds ends; NULL: there is none. */
static struct timespec *until_next(struct worker *w, struct timespec *t)
{
	uint64_t first = 0, from = now();

	for (unsigned i = 0; i < w->count; i++)
		if (w->conns[i].until && (!first || w->conns[i].until < first))
			first = w->conns[i].until;
	if (!first)
		return NULL;
	first = first > from ? first - from : 0;
	t->tv_sec = first / 1000000000;
	t->tv_nsec = first % 1000000000;
	return t;
}

static struct pollfd *poll_all(struct worker *w)
{
	static __thread struct pollfd *polls;
	static __thread unsigned room;
	struct timespec t;
	sigset_t all;
	bool gated = false;

	if (room < CONNS + w->count) {
		room = CONNS + w->room;
		polls = realloc(polls, room * sizeof(*polls));
		must(polls, "find memory");
	}
	for (unsigned i = 0; i < w->count; i++) {
		bool gate;
		short events = waits_for(&w->conns[i], &gate);

		gated |= gate;
		polls[CONNS + i] = (struct pollfd){ .fd = events < 0 ? -1 : w->conns[i].fd, .events = events };
	}
	polls[STOP] = (struct pollfd){ .fd = 0, .events = POLLIN };
	polls[GATE] = (struct pollfd){ .fd = gated ? GATE_FD : -1, .events = POLLIN };
	polls[INBOX] = (struct pollfd){ .fd = w->inbox, .events = POLLIN };
	for (unsigned i = 0; i < PLAYS; i++)
		polls[LISTENERS + i] = (struct pollfd){ .fd = w->accepts && i < opt.plays ? listeners[i] : -1, .events = POLLIN };
	sigemptyset(&all);
	if (ppoll(polls, CONNS + w->count, until_next(w, &t), &all) < 0) {
		must(errno == EINTR, "poll");
		return NULL;
	}
	return polls;
}

/* ready: has what c waits for come? */
static bool ready(const struct conn *c, const struct pollfd *own, const struct pollfd *gate)
{
	if (c->until)
		return now() >= c->until;
	return own->fd >= 0 ? own->revents : gate->revents;
}

/* finished: a client has made all its connections, and they have ended. */
static bool finished(const struct worker *w)
{
	return opt.count && !w->left && !w->count && !w->children;
}

/* work plays until a client has finished, or standard input ends. */
void work(struct worker *w)
{
	for (;;) {
		struct pollfd *p;

		reap(w, false);
		open_more(w);
		if (finished(w))
			return;
		p = poll_all(w);
		if (!p)
			continue;
		if (p[STOP].revents)
			return;
		/* From the last on, as whoever leaves is replaced by the last. */
		for (unsigned i = w->count; i-- > 0;)
			if (ready(&w->conns[i], &p[CONNS + i], &p[GATE])) {
				struct conn c = w->conns[i]; /* the list may move */

				if (run_ready(w, &c) == DONE)
					drop_conn(w, i);
				else
					w->conns[i] = c;
			}
		if (p[INBOX].revents)
			receive(w);
		for (unsigned i = 0; i < opt.plays; i++)
			if (p[LISTENERS + i].revents)
				take(w, i);
	}
}

/* run_child runs a worker in a process of its own, which ends with it. */
void run_child(void (*run)(struct worker *), struct worker *w)
{
	uint64_t before = now();
	pid_t parent = getpid(), pid = fork();

	must(pid >= 0, "fork");
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	learn_name(before);
	run(w);
	_exit(0);
}
