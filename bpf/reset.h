/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* tcp:tcp_send_reset, tcp:tcp_receive_reset, sock:inet_sk_error_report. */
#ifndef RESET_H
#define RESET_H

/* 6.10: a third argument, and a reset without a socket is reported too. */
const volatile bool reset_tells_reason = false;

/*
 * From 6.10 on sk may be NULL or a timewait socket, and skb is NULL for an
 * active reset; reading through NULL fails softly and leaves zero.
 */
SEC("tp_btf/tcp_send_reset")
int BPF_PROG(send_reset)
{
	struct sock *sk = (void *)argument(ctx, 0);
	struct sk_buff *skb = (void *)argument(ctx, 1);
	struct sock_common *c = (void *)sk;
	__u32 inum = BPF_CORE_READ(c, skc_net.net, ns.inum);
	__u16 family = BPF_CORE_READ(c, skc_family);
	__u8 state = BPF_CORE_READ(c, skc_state);
	struct event *e;

	if (!family)
		inum = BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
	if (!netns_wanted(inum) || is_passed_over(full_tcp_socket(sk) ? sk : NULL))
		return 0;
	e = reserve(EV_SEND_RESET, EVENT_SEGMENT);
	if (!e)
		return 0;
	e->netns = inum;
	if (family && (state != TCP_LISTEN || !skb)) { /* a listener does not know whom it refuses: the segment does */
		fill_tuple(e, c);
		e->cookie = known_cookie_of(sk);
		e->newstate = state;
		if (state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV)
			e->sport = local_port(sk, e->sport);
	} else if (!fill_segment(e, skb, true)) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		return 0;
	} else {
		e->flags |= EV_RECEIVED; /* the segment is the one that is answered */
	}
	if (reset_tells_reason)
		e->reason = ctx[2];
	submit(e);
	return 0;
}

static __always_inline int socket_event(struct sock *sk, __u8 kind)
{
	__u32 inum = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	__s32 err = BPF_CORE_READ(sk, sk_err);
	struct event *e;
	bool soft = false;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP || !netns_wanted(inum) || is_passed_over(sk))
		return 0;
	if (kind == EV_SOCKET_ERROR && !err) {
		err = BPF_CORE_READ(sk, sk_err_soft);
		if (!err)
			return 0; /* only the error queue has news */
		soft = true;
	}
	e = reserve(kind, EVENT_TUPLE);
	if (!e)
		return 0;
	e->netns = inum;
	e->cookie = cookie_of(sk);
	fill_tuple(e, &sk->__sk_common);
	e->sport = local_port(sk, e->sport);
	e->newstate = BPF_CORE_READ(sk, __sk_common.skc_state);
	e->err = err;
	if (soft)
		e->flags |= EV_SOFT;
	submit(e);
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(receive_reset, struct sock *sk)
{
	return socket_event(sk, EV_RECEIVE_RESET);
}

SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(socket_error, struct sock *sk)
{
	return socket_event(sk, EV_SOCKET_ERROR);
}

#endif
