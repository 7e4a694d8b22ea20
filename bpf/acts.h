/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The acts of a process on its socket that make no transition: reads and
 * writes, which tell who has taken a socket from accept(), and the close of a
 * socket that a reset or a time-out has ended already. connect, listen,
 * shutdown and close show in the transitions (state.h).
 *
 * A process that is known already costs a load and a comparison.
 */
#ifndef ACTS_H
#define ACTS_H

static __always_inline void fill_socket(struct event *e, struct sock *sk, __u32 netns, __u64 cookie)
{
	e->cookie = cookie;
	e->netns = netns;
	fill_tuple_direct(e, sk);
	e->sport = local_port(sk, e->sport);
	e->newstate = sk->__sk_common.skc_state;
}

/* claims notes that the current process uses the socket; false: neither it nor the one before was asked for. */
static __always_inline bool claims(__u64 cookie, __u32 pid)
{
	__u64 *slot = owner_slot(cookie), mine = claim(cookie, pid);
	bool was_chosen;

	if (!slot)
		return true;
	was_chosen = is_claim_on(*slot, cookie) && *slot & CHOSEN;
	if (!by_process || is_chosen_process(pid))
		mine |= CHOSEN;
	*slot = mine;
	return mine & CHOSEN || was_chosen;
}

static __always_inline void disclaim(__u64 cookie)
{
	__u64 *slot = owner_slot(cookie);

	if (slot)
		*slot = 0;
}

/*
 * is_layered: a protocol on top (kTLS, sockmap, kcm) also reads when a segment
 * arrives, on top of anybody, and a sockmap writes what was sent to another
 * socket; the descriptor tells instead.
 */
static __always_inline bool is_layered(struct sock *sk, __u8 via)
{
	struct inet_connection_sock *icsk = (void *)sk;

	return sk->sk_user_data || (via == VIA_READ && LOAD(icsk, icsk_ulp_ops));
}

/* acts: the current process has acted on the socket; it is told when that is news. */
static __always_inline int acts(struct sock *sk, __u8 via)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, netns;
	__u64 cookie = quick_cookie_of(sk), *slot;
	struct event *e;

	if (cookie) {
		slot = owner_slot(cookie);
		if (slot && (*slot & ~CHOSEN) == claim(cookie, pid))
			return 0;
	}
	netns = sockets_netns(sk);
	if (sk->sk_protocol != IPPROTO_TCP || !netns_wanted(netns) || !is_user(pid))
		return 0;
	if (cgroup_count && !in_cgroup(sk))
		return 0;
	if (via != VIA_CLOSE && is_layered(sk, via))
		return 0;
	cookie = cookie_of(sk);
	if (!claims(cookie, pid)) {
		refuse_flow(sk, netns);
		return 0;
	}
	e = reserve(EV_OWNER, EVENT_NAME);
	if (!e) {
		disclaim(cookie); /* its next act may be told */
		return 0;
	}
	fill_socket(e, sk, netns, cookie);
	e->cgroup = quick_cgroup_of(sk);
	e->detail = via;
	fill_task(e);
	if (is_anothers(cookie)) /* it is told that it was handed on, and that is all */
		refuse_flow(sk, netns);
	else
		choose_flow(sk, netns);
	submit(e);
	return 0;
}

/*
 * tcp:tcp_rcv_space_adjust: recvmsg() and splice() have taken bytes. owned: the
 * current context holds the socket's lock, as only a process can.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(reads, struct sock *sk)
{
	return sk->sk_lock.owned ? acts(sk, VIA_READ) : 0;
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
	if (slot && is_claim_on(*slot, cookie) && !(*slot & HELD))
		return 0;
	return acts(sk, VIA_CLOSE);
}

#endif
