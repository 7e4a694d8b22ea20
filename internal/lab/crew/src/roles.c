/* SPDX-License-Identifier: Apache-2.0 */
/* What servers and clients are made of: which processes and threads there are. */
#define _GNU_SOURCE
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void say_ready(void)
{
	must(puts("ready") >= 0 && fflush(stdout) == 0, "say that it is ready");
}

/* A worker's process, after the fork. */
static void serve(struct worker *w)
{
	struct conn listener = { .server = true };

	name_process(opt.name, w->index);
	for (unsigned i = 0; w->accepts && i < opt.plays; i++) {
		listener.fd = listeners[i];
		identify(&listener);
		held_since(&listener, now());
	}
	work(w);
}

/* What a worker writes to when it listens, so that the crew is ready. */
static int listening[2];

static void serve_own(struct worker *w)
{
	name_process(opt.name, w->index);
	listen_all(true);
	must(write(listening[1], "", 1) == 1, "say that it listens");
	work(w);
}

static void await_listening(unsigned workers)
{
	char b;

	while (workers--)
		must(read(listening[0], &b, 1) == 1, "have a worker listen");
	say_ready();
}

/* play_prefork: children accept from what their parent listens on. */
static void play_prefork(void)
{
	struct worker parent = { 0 };

	listen_all(false);
	for (; parent.children < opt.workers; parent.children++) {
		struct worker w = { .index = parent.children, .inbox = -1, .accepts = true };

		run_child(serve, &w);
	}
	say_ready();
	reap(&parent, true);
}

/* play_reuseport: each child listens for itself, all at the same ports. */
static void play_reuseport(void)
{
	struct worker parent = { 0 };

	must(pipe(listening) == 0, "make a pipe");
	for (; parent.children < opt.workers; parent.children++) {
		struct worker w = { .index = parent.children, .inbox = -1, .accepts = true };

		run_child(serve_own, &w);
	}
	await_listening(opt.workers);
	reap(&parent, true);
}

/* play_fork: the parent accepts, a child for each connection serves. */
static void play_fork(void)
{
	struct worker w = { .inbox = -1, .accepts = true };

	hand_over = over_fork;
	listen_all(false);
	say_ready();
	work(&w);
	reap(&w, true);
}

/* play_pass: worker 0 accepts and hands over by SCM_RIGHTS. */
static void play_pass(void)
{
	struct worker parent = { 0 };

	hand_over = over_inbox;
	must(pipe(listening) == 0, "make a pipe");
	make_inboxes();
	for (; parent.children < opt.workers; parent.children++) {
		struct worker w = { .index = parent.children, .inbox = inbox_of(parent.children), .accepts = !parent.children };

		run_child(w.accepts ? serve_own : serve, &w);
	}
	await_listening(1);
	reap(&parent, true);
}

static void *run_thread(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), w->index ? "t-serve-%d" : "t-accept", w->index);
	must(prctl(PR_SET_NAME, name) == 0, "name a thread");
	work(w);
	return NULL;
}

/* play_threads: the same within one process, whose leader does nothing. */
static void play_threads(void)
{
	static struct worker w[16];
	pthread_t id[16];

	hand_over = over_thread;
	make_inboxes();
	listen_all(false);
	for (unsigned i = 0; i < opt.workers; i++) {
		w[i] = (struct worker){ .index = i, .inbox = inbox_of(i), .accepts = !i };
		must(pthread_create(&id[i], NULL, run_thread, &w[i]) == 0, "make a thread");
	}
	say_ready();
	for (unsigned i = 0; i < opt.workers; i++)
		pthread_join(id[i], NULL);
}

static void dial_many(struct worker *w)
{
	name_process(opt.name, w->index);
	work(w);
}

/* play_clients: workers make one connection after another, many at a time. */
static void play_clients(void)
{
	struct worker parent = { 0 };

	for (; parent.children < opt.workers; parent.children++) {
		struct worker w = { .index = parent.children, .inbox = -1, .left = opt.count / opt.workers };

		run_child(dial_many, &w);
	}
	reap(&parent, true);
}

/* play_brief: these have a process for each connection. */
static void play_brief(void)
{
	hand_over = over_fork;
	play_clients();
}

static const struct role {
	const char *name, *before; /* steps before a client's own */
	void (*play)(void);
} roles[] = {
	{ "prefork", "", play_prefork },
	{ "reuseport", "", play_reuseport },
	{ "fork", "", play_fork },
	{ "forkexec", "", play_fork },
	{ "pass", "", play_pass },
	{ "threads", "", play_threads },
	{ "clients", "oO", play_clients },
	{ "brief", "poO", play_brief },
	{ "briefexec", "poO", play_brief },
};

static void prefix(const char *before)
{
	char own[sizeof(opt.play[0].client)];

	for (unsigned i = 0; i < opt.plays; i++) {
		strcpy(own, opt.play[i].client);
		must(snprintf(opt.play[i].client, sizeof(own), "%s%s", before, own) < (int)sizeof(own), "play so many steps");
	}
}

/* play_role plays to the end; a server ends when its standard input does. */
void play_role(void)
{
	for (unsigned i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		if (opt.role && !strcmp(roles[i].name, opt.role)) {
			prefix(roles[i].before);
			if (opt.one) {
				play_one();
				return;
			}
			name_process(opt.name, -1);
			roles[i].play();
			return;
		}
	errno = EINVAL;
	must(false, "find the role");
}
