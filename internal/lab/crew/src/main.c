/* SPDX-License-Identifier: Apache-2.0 */
/* crew ROLE KEY=VALUE...: see options below; ../run.go writes them. */
#define _GNU_SOURCE
#include "crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options opt;

static const struct {
	const char *key;
	const char **text;
	unsigned *number;
} keys[] = {
	{ "name", &opt.name, NULL },	    /* of the processes; workers add a number */
	{ "addr", &opt.addr, NULL },
	{ "truth", &opt.truth, NULL },	    /* the log's file */
	{ "one", &opt.one, NULL },	    /* see one.c */
	{ "since", &opt.since, NULL },	    /* when the program was executed anew */
	{ "port", NULL, &opt.port },	    /* of the first play */
	{ "workers", NULL, &opt.workers },  /* processes or threads */
	{ "hold", NULL, &opt.hold },	    /* how long step h takes, ms */
	{ "patience", NULL, &opt.patience }, /* TCP_USER_TIMEOUT, ms */
	{ "count", NULL, &opt.count },	    /* connections that a client makes */
	{ "inflight", NULL, &opt.inflight }, /* at a time, each worker */
};

/* must ends the process, saying what it could not do. */
void *must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "crew %s: %s: %s\n", opt.role ? opt.role : "", what, strerror(errno));
		_exit(1);
	}
	return NULL;
}

/* read_play takes "SERVER|CLIENT", the steps of both sides. */
static void read_play(const char *text)
{
	struct play *p = &opt.play[opt.plays];

	must(opt.plays < PLAYS && sscanf(text, "%31[^|]|%21s", p->server, p->client) == 2, "read play=");
	opt.plays++;
}

static void read_option(const char *arg)
{
	const char *value = strchr(arg, '=');

	must(value, arg);
	value++;
	if (!strncmp(arg, "play=", value - arg)) {
		read_play(value);
		return;
	}
	for (unsigned i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strncmp(arg, keys[i].key, value - arg - 1) || keys[i].key[value - arg - 1])
			continue;
		if (keys[i].text)
			*keys[i].text = value;
		else
			*keys[i].number = strtoul(value, NULL, 10);
		return;
	}
	must(false, arg);
}

static void ignore(int sig)
{
}

int main(int argc, char **argv)
{
	struct sigaction child = { .sa_handler = ignore };
	sigset_t only;

	errno = EINVAL;
	must(argc > 1, "have a role");
	opt.self = argv[0];
	opt.role = argv[1];
	opt.argv = argv;
	for (int i = 2; i < argc; i++)
		read_option(argv[i]);
	/* An ended child interrupts ppoll, and nothing else. */
	sigaction(SIGCHLD, &child, NULL);
	sigemptyset(&only);
	sigaddset(&only, SIGCHLD);
	sigprocmask(SIG_BLOCK, &only, NULL);
	open_truth();
	learn_name(opt.since ? strtoull(opt.since, NULL, 10) : now());
	play_role();
	return 0;
}
