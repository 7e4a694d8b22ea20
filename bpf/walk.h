/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Walks over what exists: the TCP sockets of the opener's network namespace,
 * and every process's descriptors of TCP sockets. They write the same records
 * as the tracepoints do, to the file that the loader reads.
 */
#ifndef WALK_H
#define WALK_H

#define S_IFMT 0170000
#define S_IFSOCK 0140000

static __always_inline void count_up(struct event *e, struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;

	if (e->newstate == TCP_LISTEN) {
		e->backlog = BPF_CORE_READ(sk, sk_ack_backlog);
		e->max_backlog = BPF_CORE_READ(sk, sk_max_ack_backlog);
		e->segs_in = BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_accept_queue.qlen.counter); /* half-open */
		return;
	}
	e->bytes_acked = BPF_CORE_READ(tp, bytes_acked);
	e->bytes_received = BPF_CORE_READ(tp, bytes_received);
	e->segs_out = BPF_CORE_READ(tp, segs_out);
	e->segs_in = BPF_CORE_READ(tp, segs_in);
	e->total_retrans = BPF_CORE_READ(tp, total_retrans);
	e->srtt_us = BPF_CORE_READ(tp, srtt_us) >> 3; /* kept times eight */
}

/* home_of is the socket whose cgroup counts: a request socket's listener; NULL: a minisock has none any more. */
static __always_inline struct sock *home_of(struct sock_common *c, __u8 state)
{
	if (state == TCP_TIME_WAIT)
		return NULL;
	if (state == TCP_NEW_SYN_RECV)
		return BPF_CORE_READ(c, skc_listener);
	return (struct sock *)c;
}

/* iter/tcp: listeners, connections, request sockets and timewait minisocks. */
SEC("iter/tcp")
int walk_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *c = ctx->sk_common;
	struct event e = {};
	struct sock *home;
	__u8 state;

	if (!c)
		return 0;
	state = c->skc_state;
	e.netns = c->skc_net.net->ns.inum;
	home = home_of(c, state);
	if (!netns_wanted(e.netns) || (cgroup_count && !(home && in_cgroup(home))))
		return 0;
	e.time = bpf_ktime_get_ns();
	e.kind = EV_SOCKET;
	e.flags = EV_TUPLE;
	e.newstate = state;
	e.cookie = have_cookie_helper ? bpf_get_socket_cookie(c) : (__u64)c;
	fill_tuple(&e, c);
	if (state == TCP_TIME_WAIT) {
		e.detail = BPF_CORE_READ((struct inet_timewait_sock *)c, tw_substate);
		fill_timer(&e, BPF_CORE_READ((struct inet_timewait_sock *)c, tw_timer.expires));
		bpf_seq_write(ctx->meta->seq, &e, EVENT_TUPLE);
		return 0;
	}
	e.cgroup = cgroup_of(home);
	if (state == TCP_NEW_SYN_RECV) {
		e.retransmits = BPF_CORE_READ((struct request_sock *)c, num_retrans);
		fill_timer(&e, BPF_CORE_READ((struct request_sock *)c, rsk_timer.expires));
	} else {
		count_up(&e, (struct sock *)c);
	}
	if (!by_process) /* else its holder decides */
		choose_flow((struct sock *)c, e.netns);
	bpf_seq_write(ctx->meta->seq, &e, EVENT_SOCKET);
	return 0;
}

/*
 * holds notes that a process holds a socket on which nobody is known to have
 * acted. Of several, one that was asked for counts.
 */
static __always_inline void holds(struct task_struct *t, struct sock *sk, struct event *e)
{
	__u64 *slot = owner_slot(e->cookie), mine;
	bool known, chosen;

	if (!slot)
		return;
	known = is_claim_on(*slot, e->cookie);
	chosen = is_chosen_task(t, e->pid);
	if (known && !(*slot & HELD)) {
		chosen = *slot & CHOSEN;
	} else if (chosen || !known || !(*slot & CHOSEN)) {
		mine = claim_for(e->cookie, e->pid, BPF_CORE_READ(t, self_exec_id));
		*slot = mine | HELD | (chosen ? CHOSEN : 0);
	}
	if (chosen)
		choose_flow(sk, e->netns);
}

/* socket_of is the TCP socket behind a file that can be of interest, or NULL. */
static __always_inline struct sock *socket_of(struct file *file)
{
	struct socket *socket;
	struct sock *sk;
	__u8 state;

	if (have_cookie_helper) { /* 5.12; bpf_sock_from_file is of 5.11 */
		socket = bpf_sock_from_file(file);
		if (!socket)
			return NULL;
		sk = socket->sk;
	} else {
		if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
			return NULL;
		socket = BPF_CORE_READ(file, private_data);
		sk = BPF_CORE_READ(socket, sk);
	}
	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return NULL;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	return state && state != TCP_CLOSE ? sk : NULL;
}

/*
 * iter/task_file: who holds which TCP socket, and what that is: in one pass all
 * namespaces' sockets but those that no file names. In isn and peer_isn (low half
 * first) stands when the process was started.
 */
SEC("iter/task_file")
int walk_files(struct bpf_iter__task_file *ctx)
{
	struct task_struct *t = ctx->task;
	struct file *file = ctx->file;
	struct event e = {};
	struct sock *sk;
	__u64 started;

	if (!t || !file)
		return 0;
	sk = socket_of(file);
	if (!sk)
		return 0;
	e.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (e.family != AF_INET && e.family != AF_INET6)
		return 0;
	e.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (!netns_wanted(e.netns) || (cgroup_count && !in_cgroup(sk)))
		return 0;
	e.cookie = cookie_of(sk);
	e.kind = EV_SOCKET;
	e.flags = EV_TUPLE | EV_NAME;
	fill_tuple(&e, &sk->__sk_common);
	e.sport = local_port(sk, e.sport);
	e.newstate = BPF_CORE_READ(sk, __sk_common.skc_state);
	e.cgroup = cgroup_of(sk);
	count_up(&e, sk);
	started = BPF_CORE_READ(t, group_leader, start_time);
	e.isn = started;
	e.peer_isn = started >> 32;
	e.time = bpf_ktime_get_ns();
	e.pid = BPF_CORE_READ(t, tgid);
	e.tid = BPF_CORE_READ(t, pid);
	BPF_CORE_READ_INTO(&e.name, t, group_leader, comm);
	if (by_process)
		holds(t, sk, &e);
	else
		choose_flow(sk, e.netns);
	bpf_seq_write(ctx->meta->seq, &e, EVENT_SOCKET);
	return 0;
}

#endif
