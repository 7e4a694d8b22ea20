/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* sock:inet_sock_set_state: every transition, before it is stored. */
#ifndef STATE_H
#define STATE_H

/*
 * acts_in_process: the transitions that connect(), listen(), close() and
 * shutdown() make themselves (net/ipv4/tcp.c, inet_connection_sock.c). All
 * others may run in a softirq on top of an innocent task. An open connection
 * that goes to CLOSE without an error was aborted by its own user: resets and
 * time-outs set sk_err first. Not so one that nobody has accepted: it has no
 * struct socket, and goes down with its listener.
 */
static __always_inline bool acts_in_process(struct sock *sk, int oldstate, int newstate)
{
	int err = sk->sk_err;

	if (!sk->sk_lock.owned) /* a softirq: the shutdown() of a socket in SYN_RECV is made up for at the third ACK (6.10) */
		return false;
	switch (newstate) {
	case TCP_LISTEN:
	case TCP_SYN_SENT:
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		return true;
	case TCP_CLOSE:
		return oldstate == TCP_LISTEN || (!err && plainly(sk)->sk_socket && (oldstate == TCP_SYN_SENT || oldstate == TCP_ESTABLISHED ||
									    oldstate == TCP_CLOSE_WAIT));
	}
	return false;
}

/*
 * LISTEN->SYN_RECV is traced on the child while it is being cloned. Before 6.15
 * (and again in 7.x) it has no remote end yet, and up to 6.12 its listener's
 * cookie: such a transition is kept back until the child's next one, which
 * follows within the same segment, and both are told then.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* address of the child */
	__type(value, __u64); /* when it happened, CLOCK_MONOTONIC */
} children SEC(".maps");

/* Has any child been kept back? Then every SYN_RECV has to be looked up. */
bool kept_children = false;

static __always_inline void keep_child(struct sock *sk)
{
	__u64 key = (__u64)sk, now = bpf_ktime_get_ns();

	kept_children = true;
	bpf_map_update_elem(&children, &key, &now, 0);
}

/* established fills what joins the two ends of a conversation through address translation. */
static __always_inline void established(struct event *e, struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	if (!tp)
		return;
	e->isn = tp->snd_una;
	e->peer_isn = tp->rcv_nxt;
}

#define ETIMEDOUT 110

/* is_birth: a socket's cgroup is told once, by the transitions that its life begins with. */
static __always_inline bool is_birth(int newstate)
{
	return newstate == TCP_SYN_SENT || newstate == TCP_LISTEN || newstate == TCP_SYN_RECV;
}

/* emit_state writes one transition; time 0 is now. */
static __always_inline void emit_state(struct sock *sk, int oldstate, int newstate, __u32 netns, __u64 time)
{
	bool process = acts_in_process(sk, oldstate, newstate);
	__u64 cookie = cookie_of(sk);
	struct event *e;
	__u32 pid = 0;

	if (cgroup_count && !in_cgroup(sk))
		return;
	if (process) {
		pid = bpf_get_current_pid_tgid() >> 32;
		process = is_user(pid);
	}
	if (process ? !claims(cookie, pid) : is_anothers(cookie))
		return;
	e = process ? reserve(EV_STATE, EVENT_NAME) : reserve(EV_STATE, EVENT_TUPLE);
	if (!e) {
		if (process)
			disclaim(cookie); /* its next act may be told */
		return;
	}
	if (time)
		e->time = time;
	fill_socket(e, sk, netns, cookie);
	if (newstate == TCP_SYN_SENT)
		e->sport = sk->__sk_common.skc_num; /* inet_sport may be left from an attempt before */
	e->oldstate = oldstate;
	e->newstate = newstate;
	e->err = sk->sk_err;
	if (cgroup_count || is_birth(newstate))
		e->cgroup = quick_cgroup_of(sk);
	if (newstate == TCP_ESTABLISHED || time) { /* a child kept back is complete by now */
		established(e, sk);
		choose_flow(sk, netns);
	} else if (newstate == TCP_CLOSE && e->err == ETIMEDOUT) {
		e->isn = BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_user_timeout);
	} else if (newstate == TCP_CLOSE && (oldstate == TCP_FIN_WAIT2 || oldstate == TCP_CLOSING)) {
		fill_minisock(e, sk);
	}
	if (process)
		fill_task(e);
	submit(e);
}

static __always_inline void tell_child(struct sock *sk, __u32 netns)
{
	__u64 key = (__u64)sk, *time = bpf_map_lookup_elem(&children, &key);

	if (!time)
		return;
	emit_state(sk, TCP_LISTEN, TCP_SYN_RECV, netns, *time);
	bpf_map_delete_elem(&children, &key);
}

static __always_inline int transition(struct sock *sk, int oldstate, int newstate)
{
	__u32 netns;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (oldstate == newstate) /* close() after shutdown() stores the state it finds */
		return 0;
	netns = sockets_netns(sk);
	if (!netns_wanted(netns))
		return 0;
	if (oldstate == TCP_LISTEN && newstate == TCP_SYN_RECV && !sk->__sk_common.skc_dport) {
		keep_child(sk);
		return 0;
	}
	if (oldstate == TCP_SYN_RECV && kept_children)
		tell_child(sk, netns);
	emit_state(sk, oldstate, newstate, netns, 0);
	return 0;
}

/*
 * A transition in process context can be interrupted, inside this very program,
 * by a softirq with a transition of another socket. From 6.1 on the kernel skips
 * the program then (0.2-0.3 % of all transitions on two busy CPUs with receive
 * packet steering). So a twin runs right after it on the same hook, and tells
 * what the first could not: when the first is at work underneath, it was
 * skipped; when it is not, it has left a note, unless it was interrupted in the
 * few instructions before it says that it is at work, or after.
 *
 * The notes are a stack per CPU, as interruptions nest. One that interrupts the
 * twin itself leaves none, as nobody would take it away; in the few instructions
 * before twin_runs is set it may still do so, and then the next transition in
 * process context, below which nothing can be waiting, clears the stack.
 */
#define NOTES 8 /* a power of two */

struct notes {
	__u32 count;
	__u32 pad;
	__u32 first_runs;
	__u32 twin_runs;
	__u64 socket[NOTES];
	__u64 move[NOTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct notes);
} told SEC(".maps");

/* Transitions that the twin told, on all CPUs. */
__u64 rescued = 0;

static __always_inline struct notes *notes(void)
{
	__u32 slot = 0;

	return bpf_map_lookup_elem(&told, &slot);
}

static __always_inline void leave_note(struct notes *n, struct sock *sk, __u64 move)
{
	__u32 top = n->count;

	if (n->twin_runs)
		return;
	if (top >= NOTES)
		top = NOTES - 1; /* the outermost notes are still to be taken */
	n->socket[top & (NOTES - 1)] = (__u64)sk;
	n->move[top & (NOTES - 1)] = move;
	n->count = top + 1;
}

/* take_note removes the note of a transition and all above it; false: there is none. */
static __always_inline bool take_note(struct notes *n, struct sock *sk, __u64 move)
{
	__u32 top = n->count;

	for (__u32 i = 1; i <= NOTES && i <= top; i++)
		if (n->socket[(top - i) & (NOTES - 1)] == (__u64)sk && n->move[(top - i) & (NOTES - 1)] == move) {
			n->count = top - i;
			return true;
		}
	return false;
}

typedef int (*teller)(struct sock *sk, int oldstate, int newstate);

static __always_inline int tell_first(teller tell, struct sock *sk, int oldstate, int newstate)
{
	struct notes *n = notes();

	if (!n)
		return 0;
	n->first_runs = 1;
	leave_note(n, sk, oldstate << 8 | newstate);
	tell(sk, oldstate, newstate);
	n->first_runs = 0;
	return 0;
}

static __always_inline int tell_skipped(teller tell, struct sock *sk, int oldstate, int newstate)
{
	struct notes *n = notes();

	if (!n)
		return 0;
	n->twin_runs = 1;
	if (n->first_runs || !take_note(n, sk, oldstate << 8 | newstate)) {
		__sync_fetch_and_add(&rescued, 1);
		tell(sk, oldstate, newstate);
	} else if (acts_in_process(sk, oldstate, newstate)) {
		n->count = 0;
	}
	n->twin_runs = 0;
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(set_state, struct sock *sk, int oldstate, int newstate)
{
	return tell_first(transition, sk, oldstate, newstate);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(set_state_twin, struct sock *sk, int oldstate, int newstate)
{
	return tell_skipped(transition, sk, oldstate, newstate);
}

#endif
