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
		return;
	}
	e->bytes_acked = BPF_CORE_READ(tp, bytes_acked);
	e->bytes_received = BPF_CORE_READ(tp, bytes_received);
	e->segs_out = BPF_CORE_READ(tp, segs_out);
	e->segs_in = BPF_CORE_READ(tp, segs_in);
	e->total_retrans = BPF_CORE_READ(tp, total_retrans);
	e->srtt_us = BPF_CORE_READ(tp, srtt_us) >> 3; /* kept times eight */
}

/* iter/tcp: listeners, connections, request sockets and timewait minisocks. */
SEC("iter/tcp")
int walk_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *c = ctx->sk_common;
	struct event e = {};
	__u8 state;

	if (!c)
		return 0;
	state = c->skc_state;
	e.time = bpf_ktime_get_ns();
	e.kind = EV_SOCKET;
	e.flags = EV_TUPLE;
	e.newstate = state;
	e.netns = c->skc_net.net->ns.inum;
	e.cookie = have_cookie_helper ? bpf_get_socket_cookie(c) : (__u64)c;
	fill_tuple(&e, c);
	if (state == TCP_TIME_WAIT) {
		e.detail = BPF_CORE_READ((struct inet_timewait_sock *)c, tw_substate);
		fill_timer(&e, BPF_CORE_READ((struct inet_timewait_sock *)c, tw_timer.expires));
	} else if (state == TCP_NEW_SYN_RECV) {
		e.retransmits = BPF_CORE_READ((struct request_sock *)c, num_retrans);
		fill_timer(&e, BPF_CORE_READ((struct request_sock *)c, rsk_timer.expires));
	} else {
		e.cgroup = cgroup_of((struct sock *)c);
		count_up(&e, (struct sock *)c);
	}
	bpf_seq_write(ctx->meta->seq, &e, sizeof(e));
	return 0;
}

/*
 * iter/task_file: who holds which TCP socket. The record's time is when the
 * process was started: of several holders the youngest is taken, as a child
 * takes over what its parent has accepted.
 */
SEC("iter/task_file")
int walk_files(struct bpf_iter__task_file *ctx)
{
	struct task_struct *t = ctx->task;
	struct file *file = ctx->file;
	struct event e = {};
	struct socket *socket;
	struct sock *sk;

	if (!t || !file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	e.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (e.family != AF_INET && e.family != AF_INET6)
		return 0;
	e.cookie = have_cookie_helper ? BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) : (__u64)sk;
	if (!e.cookie)
		return 0; /* neither traced nor walked over: not connected yet */
	e.kind = EV_OWNER;
	e.detail = VIA_HELD;
	e.flags = EV_TUPLE | EV_NAME;
	e.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	fill_tuple(&e, &sk->__sk_common);
	e.sport = local_port(sk, e.sport);
	e.newstate = BPF_CORE_READ(sk, __sk_common.skc_state);
	e.cgroup = cgroup_of(sk);
	e.time = BPF_CORE_READ(t, group_leader, start_time);
	e.pid = BPF_CORE_READ(t, tgid);
	e.tid = BPF_CORE_READ(t, pid);
	BPF_CORE_READ_INTO(&e.name, t, group_leader, comm);
	bpf_seq_write(ctx->meta->seq, &e, EVENT_NAME);
	return 0;
}

#endif
