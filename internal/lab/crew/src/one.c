/* SPDX-License-Identifier: Apache-2.0 */
/* A process that plays one connection, and ends. */
#define _GNU_SOURCE
#include "crew.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Does such a process execute the program anew, as inetd's servers do? */
static bool executes(void)
{
	return strstr(opt.role, "exec");
}

/* execute starts the program anew for this connection: "one=FD,SERVER,PLAY,STEP". */
static void execute(const struct conn *c)
{
	const struct play *p = &opt.play[c->play];
	char one[64], since[32], *argv[64];
	int n = 0;

	snprintf(one, sizeof(one), "one=%d,%d,%d,%d", c->fd, c->server, c->play, (int)(c->step - (c->server ? p->server : p->client)));
	for (char **a = opt.argv; *a && n < 61; a++)
		argv[n++] = *a;
	argv[n++] = one;
	snprintf(since, sizeof(since), "since=%llu", (unsigned long long)now());
	argv[n++] = since;
	argv[n] = NULL;
	must(c->fd < 0 || fcntl(c->fd, F_SETFD, 0) == 0, "keep a socket open over exec");
	execv(opt.self, argv);
	must(false, opt.self);
}

static void play(struct conn *c)
{
	struct worker w = { .inbox = -1 };

	run_blocking(&w, c);
	_exit(0);
}

/* play_alone does not return. The process has just been forked. */
void play_alone(struct conn *c)
{
	char name[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (executes())
		execute(c);
	snprintf(name, sizeof(name), "%.9s-child", opt.name);
	name_process(name, -1);
	play(c);
}

/* play_one is such a process after its exec. */
void play_one(void)
{
	struct conn c = { 0 };
	int server, number, step;
	char name[16];

	must(sscanf(opt.one, "%d,%d,%d,%d", &c.fd, &server, &number, &step) == 4 && number < (int)opt.plays, "read one=");
	snprintf(name, sizeof(name), "%.10s-exec", opt.name);
	name_process(name, -1);
	c.server = server;
	c.play = number;
	c.step = (server ? opt.play[number].server : opt.play[number].client) + step;
	if (c.fd >= 0)
		identify(&c);
	play(&c);
}
