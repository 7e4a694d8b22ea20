/* SPDX-License-Identifier: Apache-2.0 */
/* The log: records in a file that all processes of a crew map. */
#define _GNU_SOURCE
#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The first record's place holds how many are in use. */
static uint64_t *used;
static struct record *records;
static uint64_t room;

/* The leader's name: only the leader names the process, before there are threads. */
static char comm[16];

void open_truth(void)
{
	struct stat st;
	void *at;
	int fd = open(opt.truth, O_RDWR | O_CLOEXEC);

	must(fd >= 0 && fstat(fd, &st) == 0, opt.truth);
	at = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(at != MAP_FAILED, "map the log");
	close(fd);
	used = at;
	records = at;
	room = st.st_size / sizeof(*records);
}

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

struct record *begin(enum act act, const struct conn *c)
{
	uint64_t i = __atomic_add_fetch(used, 1, __ATOMIC_RELAXED);
	struct record *r = &records[i];

	must(i < room, "find room in the log");
	r->pid = getpid();
	r->tid = syscall(SYS_gettid);
	r->act = act;
	memcpy(r->comm, comm, sizeof(comm));
	if (c) {
		r->cookie = c->cookie;
		r->lport = c->lport;
		r->rport = c->rport;
		r->server = c->server;
	}
	r->from = now();
	return r;
}

int done(struct record *r, int result)
{
	int err = errno;

	r->result = result < 0 ? -err : result;
	r->to = now();
	errno = err;
	return result;
}

/* learn_name writes down the name that fork or exec has given since then. */
void learn_name(uint64_t since)
{
	struct record *r;

	prctl(PR_GET_NAME, comm);
	r = begin(ACT_NAME, NULL);
	r->from = since;
	done(r, 0);
}

/* name_process names the calling process, and its only thread; index -1: by base alone. */
void name_process(const char *base, int index)
{
	char name[16];
	struct record *r;

	if (index < 0)
		snprintf(name, sizeof(name), "%.15s", base);
	else
		snprintf(name, sizeof(name), "%.12s-%d", base, index % 100);
	memset(comm, 0, sizeof(comm));
	strcpy(comm, name);
	r = begin(ACT_NAME, NULL);
	must(prctl(PR_SET_NAME, name) == 0, "name the process");
	done(r, 0);
}

void held_since(const struct conn *c, uint64_t since)
{
	struct record *r = begin(ACT_HOLD, c);

	r->from = since;
	done(r, 0);
}

void gone(pid_t pid)
{
	struct record *r = begin(ACT_GONE, NULL);

	r->pid = r->tid = pid;
	done(r, 0);
}
