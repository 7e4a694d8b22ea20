/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose socket is it? The last process that acted on it in its own context.
 * connect, listen, shutdown and close show in the transitions (state.h); here
 * are the reads and writes, which tell who has taken a socket from accept(),
 * and the close of a socket that a reset or a time-out has ended already.
 *
 * A process that is known already costs a load and a comparison: `owners`
 * remembers, by cookie, whom the reader was told last.
 */
#ifndef OWNER_H
#define OWNER_H

#define OWNER_SLOTS (1 << 18)

/* This program's own process: its walk over other processes' files may be the last to let go of one. */
const volatile __u32 own_pid = 0;

/* One slot is one number, so that no CPU ever sees half of one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OWNER_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} owners SEC(".maps");

static __always_inline __u64 *owner_slot(__u64 cookie)
{
	__u32 slot = have_cookie_helper ? cookie : cookie >> 6;

	slot &= OWNER_SLOTS - 1;
	return bpf_map_lookup_elem(&owners, &slot);
}

/*
 * claim is what a slot holds of a socket and its process: half the cookie, and
 * the process with its count of execs, because a program may hand its sockets
 * to the next one in the same process (inetd).
 */
static __always_inline __u64 claim(__u64 cookie, __u32 pid)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	return cookie << 32 | (pid ^ (__u32)BPF_CORE_READ(t, self_exec_id) << 22);
}

/*
 * is_user: not a kernel thread that works for somebody (delayed fput), and not
 * ourselves. Only for places that are known to run in process context.
 */
static __always_inline bool is_user(__u32 pid)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	return pid != own_pid && !(BPF_CORE_READ(t, flags) & PF_KTHREAD);
}

/* fill_task names the current process, by its leader's name as /proc/PID/comm and ss have it. */
static __always_inline void fill_task(struct event *e)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();

	e->flags |= EV_NAME;
	e->pid = id >> 32;
	e->tid = id;
	BPF_CORE_READ_INTO(&e->name, t, group_leader, comm);
}

/* acts_in_transition: the current process makes this transition itself, and the record names it. */
static __always_inline void acts_in_transition(struct event *e)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 *slot;

	if (!is_user(pid))
		return;
	fill_task(e);
	slot = owner_slot(e->cookie);
	if (slot)
		*slot = claim(e->cookie, pid);
}

static __always_inline void fill_socket(struct event *e, struct sock *sk, __u32 netns)
{
	e->cookie = cookie_of(sk);
	e->netns = netns;
	fill_tuple_direct(e, sk);
	e->sport = local_port(sk, e->sport);
	e->newstate = sk->__sk_common.skc_state;
	e->cgroup = cgroup_of(sk);
}

/* acts: the current process has acted on the socket; it is told when that is news. */
static __always_inline int acts(struct sock *sk, __u8 via)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, netns;
	__u64 cookie = quick_cookie_of(sk), *slot;
	struct event *e;

	if (cookie) {
		slot = owner_slot(cookie);
		if (slot && *slot == claim(cookie, pid))
			return 0;
	}
	netns = sk->__sk_common.skc_net.net->ns.inum;
	if (sk->sk_protocol != IPPROTO_TCP || !netns_wanted(netns) || !is_user(pid))
		return 0;
	e = reserve(EV_OWNER, EVENT_NAME);
	if (!e)
		return 0;
	fill_socket(e, sk, netns);
	e->detail = via;
	fill_task(e);
	slot = owner_slot(e->cookie);
	if (slot)
		*slot = claim(e->cookie, pid);
	submit(e);
	return 0;
}

/*
 * tcp:tcp_rcv_space_adjust: recvmsg() and splice() have taken bytes. A socket
 * with a protocol on top (kTLS, sockmap, kcm) is also read when a segment
 * arrives, on top of anybody; its writes and its descriptor tell instead.
 * owned: the current context holds the socket's lock, as only a process can.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(reads, struct sock *sk)
{
	struct inet_connection_sock *icsk = (void *)sk;

	if (!sk->sk_lock.owned || sk->sk_user_data || BPF_CORE_READ(icsk, icsk_ulp_ops))
		return 0;
	return acts(sk, VIA_READ);
}

/* tcp:tcp_sendmsg_locked (6.16): bytes are being queued. */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(writes, struct sock *sk)
{
	return acts(sk, VIA_WRITE);
}

/* sock:sock_send_length (6.3): the same for older kernels; it fires for other protocols' sockets too. */
SEC("tp_btf/sock_send_length")
int BPF_PROG(writes_any, struct sock *sk, int sent)
{
	if (sk->sk_protocol != IPPROTO_TCP || sent < 0)
		return 0;
	return acts(sk, VIA_WRITE);
}

/*
 * tcp:tcp_destroy_sock: close() of a socket that has ended before makes no
 * transition, but destroys it while the process still owns its lock. Only of
 * interest where nobody was known: the end of all others was told.
 */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(destroys, struct sock *sk)
{
	__u64 cookie = quick_cookie_of(sk), *slot;

	if (!cookie || !sk->sk_lock.owned)
		return 0;
	slot = owner_slot(cookie);
	if (slot && *slot >> 32 == (cookie & 0xffffffff))
		return 0;
	return acts(sk, VIA_CLOSE);
}

#endif
