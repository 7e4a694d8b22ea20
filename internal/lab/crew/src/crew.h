/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew: processes that make, hand over and end TCP sockets in the ways in which
 * servers and clients do, and write down who did what, and when.
 *
 * In C, as Go can neither fork without exec nor start a process in less than
 * milliseconds, and its runtime makes system calls on threads of its own choice.
 */
#ifndef CREW_H
#define CREW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Same numbers as jury.Act in ../jury/record.go (a test compares them). */
enum act {
	ACT_NAME = 1,	/* the process has this name from now on */
	ACT_LISTEN,
	ACT_CONNECT,
	ACT_ACCEPT,
	ACT_HOLD,	/* holds the socket from now on: inherited, or received */
	ACT_READ,	/* result: bytes, 0 the end, or -errno */
	ACT_WRITE,
	ACT_SHUTDOWN,
	ACT_CLOSE,	/* of this process's own copy */
	ACT_EXIT,	/* the process ends with the socket open */
	ACT_GONE,	/* its parent has waited for pid */
};

/*
 * One line of the log. Everything is host order. A process fills its records in
 * shared memory, so that they outlive it.
 */
struct record {
	uint64_t from, to; /* CLOCK_REALTIME, ns: before and after the system call; to 0: it did not return */
	uint64_t cookie;   /* SO_COOKIE */
	uint32_t pid, tid; /* pid: thread group */
	int32_t result;
	uint16_t lport, rport;
	uint8_t act, server; /* server: an accepted socket, or a listener */
	uint8_t pad[6];
	char comm[16]; /* of the thread group's leader */
};

/* A way for connections of one listening port to go: steps of either side, a letter each. */
#define PLAYS 16

struct play {
	char server[32], client[32];
};

struct options {
	const char *role, *name, *addr, *self, *truth, *one, *since;
	char **argv;
	unsigned port, workers, hold, patience, count, inflight, plays;
	struct play play[PLAYS];
};

extern struct options opt;

struct conn {
	int fd;
	bool server;
	uint8_t play;
	uint16_t lport, rport;
	uint64_t cookie;
	uint64_t until; /* of the present wait, 0: none */
	const char *step;
};

/* A worker is a thread, or a process of one thread, that plays connections. */
struct worker {
	int index;
	int inbox;	/* where connections are handed over; -1 none */
	bool accepts;	/* takes from the listeners */
	bool blocks;	/* plays with a blocking socket */
	unsigned left;	/* connections that a client has still to make */
	unsigned children;
	struct conn *conns;
	unsigned count, room;
};

/* How a step left the connection. */
enum fate { NEXT, STAY, DONE };

/* Where the test holds plays up: readable, or at its end, once they may go on. */
#define GATE_FD 3

/* truth.c */
void open_truth(void);
uint64_t now(void);
struct record *begin(enum act act, const struct conn *c);
int done(struct record *r, int result);
void learn_name(uint64_t since);
void name_process(const char *base, int index);
void held_since(const struct conn *c, uint64_t since);
void gone(pid_t pid);

/* script.c */
enum fate begin_play(struct worker *w, struct conn *c);
enum fate run_ready(struct worker *w, struct conn *c);
void run_blocking(struct worker *w, struct conn *c);
short waits_for(const struct conn *c, bool *gate);

/* socket.c */
extern int listeners[PLAYS];
void listen_all(bool shared);
void close_listeners(void);
bool accept_one(struct conn *c);
void dial(struct conn *c, bool at_once);
void identify(struct conn *c);
void close_copy(struct conn *c);

/* loop.c */
void work(struct worker *w);
void add_conn(struct worker *w, const struct conn *c);
void reap(struct worker *w, bool wait);
void run_child(void (*run)(struct worker *), struct worker *w);

/* handover.c */
extern enum fate (*hand_over)(struct worker *, struct conn *);
void make_inboxes(void);
int inbox_of(int index);
enum fate over_inbox(struct worker *w, struct conn *c);
enum fate over_thread(struct worker *w, struct conn *c);
enum fate over_fork(struct worker *w, struct conn *c);
enum fate over_nobody(struct worker *w, struct conn *c);
void receive(struct worker *w);

/* one.c */
void play_alone(struct conn *c);
void play_one(void);

/* roles.c */
void play_role(void);

/* main.c */
void *must(bool ok, const char *what);

#endif
