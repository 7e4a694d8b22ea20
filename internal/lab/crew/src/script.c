/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a play: what is done with a connection, one system call each. */
#define _GNU_SOURCE
#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE 64 /* bytes, written by one call and read by one */

static enum fate read_some(struct worker *w, struct conn *c)
{
	char b[MESSAGE];
	struct record *r = begin(ACT_READ, c);

	done(r, read(c->fd, b, sizeof(b)));
	return NEXT;
}

static enum fate read_all(struct worker *w, struct conn *c)
{
	char b[MESSAGE];
	struct record *r = begin(ACT_READ, c);

	return done(r, read(c->fd, b, sizeof(b))) > 0 ? STAY : NEXT;
}

static enum fate write_one(struct worker *w, struct conn *c)
{
	static const char b[MESSAGE];
	struct record *r = begin(ACT_WRITE, c);

	done(r, send(c->fd, b, sizeof(b), MSG_NOSIGNAL));
	return NEXT;
}

static enum fate shut_down(struct worker *w, struct conn *c)
{
	struct record *r = begin(ACT_SHUTDOWN, c);

	done(r, shutdown(c->fd, SHUT_WR));
	return NEXT;
}

static enum fate close_it(struct worker *w, struct conn *c)
{
	close_copy(c);
	return DONE;
}

static enum fate abort_it(struct worker *w, struct conn *c)
{
	struct linger l = { .l_onoff = 1 };

	must(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0, "set SO_LINGER");
	return close_it(w, c);
}

static enum fate leave(struct worker *w, struct conn *c)
{
	begin(ACT_EXIT, c);
	_exit(0);
}

static enum fate die(struct worker *w, struct conn *c)
{
	begin(ACT_EXIT, c);
	kill(getpid(), SIGKILL);
	return DONE;
}

static enum fate pass_on(struct worker *w, struct conn *c)
{
	return hand_over(w, c);
}

static enum fate open_it(struct worker *w, struct conn *c)
{
	dial(c, !w->blocks);
	return NEXT;
}

static enum fate opened(struct worker *w, struct conn *c)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	errno = err;
	must(!err, "connect");
	return NEXT;
}

static enum fate go_on(struct worker *w, struct conn *c)
{
	return NEXT;
}

/* What a step waits for. */
enum wait { NOTHING, SOCKET, CLOCK, GATE };

static const struct step {
	char letter;
	bool blocks; /* the call itself waits, on a blocking socket */
	enum wait wait;
	short events; /* of the socket; an error always counts */
	enum fate (*run)(struct worker *, struct conn *);
} steps[] = {
	{ 'o', false, NOTHING, 0, open_it },
	{ 'O', false, SOCKET, POLLOUT, opened },
	{ 'r', true, SOCKET, POLLIN, read_some },	 /* one message */
	{ 'e', true, SOCKET, POLLIN, read_all },	 /* to the end, or an error */
	{ 'w', false, NOTHING, 0, write_one },		 /* one message */
	{ 's', false, NOTHING, 0, shut_down },		 /* the sending direction */
	{ 'q', false, SOCKET, POLLIN, go_on },		 /* until something waits, without touching it */
	{ 'z', false, SOCKET, 0, go_on },		 /* until the socket is dead, without touching it */
	{ 'h', false, CLOCK, 0, go_on },		 /* hold */
	{ 'g', false, GATE, 0, go_on },
	{ 'p', false, NOTHING, 0, pass_on },		 /* to another process, or thread */
	{ 'c', false, NOTHING, 0, close_it },
	{ 'a', false, NOTHING, 0, abort_it },		 /* by a RST */
	{ 'x', false, NOTHING, 0, leave },		 /* exit, the socket open */
	{ 'k', false, NOTHING, 0, die },		 /* be killed */
};

static const struct step *step_of(const struct conn *c)
{
	for (unsigned i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		if (*c->step == steps[i].letter)
			return &steps[i];
	errno = EINVAL;
	return must(false, *c->step ? "find a step by its letter" : "go on behind the last step");
}

static void enter(struct conn *c)
{
	if (step_of(c)->wait == CLOCK && !c->until)
		c->until = now() + opt.hold * 1000000ull;
}

static void advance(struct conn *c)
{
	c->step++;
	c->until = 0;
}

/* run_ready runs the step that c has waited for, and all after it that need not wait. */
enum fate run_ready(struct worker *w, struct conn *c)
{
	for (;;) {
		enum fate f = step_of(c)->run(w, c);

		if (f != NEXT)
			return f;
		advance(c);
		enter(c);
		if (step_of(c)->wait != NOTHING)
			return STAY;
	}
}

/* begin_play runs the first steps, up to one that waits. */
enum fate begin_play(struct worker *w, struct conn *c)
{
	enter(c);
	return step_of(c)->wait == NOTHING ? run_ready(w, c) : STAY;
}

/* waits_for are the events of c's socket that its step waits for; -1: not the socket's. */
short waits_for(const struct conn *c, bool *gate)
{
	const struct step *s = step_of(c);

	*gate = s->wait == GATE;
	return s->wait == SOCKET ? s->events : -1;
}

static void wait_blocking(struct conn *c)
{
	const struct step *s = step_of(c);
	struct pollfd p = { .fd = s->wait == GATE ? GATE_FD : c->fd, .events = s->wait == GATE ? POLLIN : s->events };

	if (s->wait == CLOCK)
		usleep(opt.hold * 1000);
	else if (s->wait == GATE || (s->wait == SOCKET && !s->blocks))
		while (poll(&p, 1, -1) < 0)
			must(errno == EINTR, "poll");
}

/* run_blocking plays c to its end with a blocking socket; it returns when c is closed. */
void run_blocking(struct worker *w, struct conn *c)
{
	w->blocks = true;
	if (c->fd >= 0)
		must(fcntl(c->fd, F_SETFL, 0) == 0, "make a socket block");
	for (;;) {
		enum fate f;

		wait_blocking(c);
		f = step_of(c)->run(w, c);
		if (f == DONE)
			return;
		if (f == NEXT)
			advance(c);
	}
}
