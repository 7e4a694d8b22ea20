/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * skb:kfree_skb: the loss of a TCP segment. The tracepoint also fires for
 * ordinary frees; the loader marks their reasons in drop_ignored. Reasons are
 * renumbered between releases: it finds them by name, in this kernel's BTF.
 */
#ifndef DROP_H
#define DROP_H

#define MAX_REASONS 256
#define NO_HEADER 0xffff

const volatile bool drop_tells_reason = false; /* 5.17 */
const volatile bool drop_tells_socket = false; /* 6.11: rx_sk */
const volatile __u32 drop_not_specified = 2; /* NOT_SPECIFIED; 1 before SKB_CONSUMED came (6.3), 0 in 5.17 */
const volatile __u8 drop_ignored[MAX_REASONS] = {};

static __always_inline bool is_ordinary(unsigned long long *ctx, __u32 reason)
{
	__u64 place = reason;

	if (reason >= MAX_REASONS) /* subsystems of their own: wireless, Open vSwitch */
		return true;
	asm volatile("%0 &= 0xff" : "+r"(place)); /* as BOUND (frame.h); MAX_REASONS - 1 */
	if (drop_ignored[place])
		return true;
	/* A segment that a TIME_WAIT or request socket has eaten is freed like this; without rx_sk nobody can tell. */
	return reason == drop_not_specified && (!drop_tells_socket || argument(ctx, 3));
}

/* A segment freed on its way out before it got an IP header: the socket knows the rest. */
static __always_inline bool fill_from_socket(struct event *e, struct sk_buff *skb, struct sock *sk)
{
	__u16 th = BPF_CORE_READ(skb, transport_header);

	if (!full_tcp_socket(sk))
		return false;
	if (th != NO_HEADER)
		read_tcp(e, skb, (__u64)BPF_CORE_READ(skb, head) + th, BPF_CORE_READ(skb, len), false);
	fill_tuple(e, &sk->__sk_common);
	return true;
}

/*
 * The sender's, or that of the socket which throws it away (6.11): TCP takes the device
 * off what it hands to a socket (tcp_v4_rcv), and may have other things in that place.
 */
static __always_inline __u32 netns_of(unsigned long long *ctx, struct sk_buff *skb, struct sock *sk, bool received)
{
	__u32 inum;

	if (received)
		sk = drop_tells_socket ? (void *)argument(ctx, 3) : NULL;
	inum = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	return inum ? inum : BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(drop, struct sk_buff *skb)
{
	__u32 reason = drop_tells_reason ? (__u32)ctx[2] : 0;
	bool received;
	struct sock *sk;
	struct event *e;
	__u32 inum;

	if (drop_tells_reason && is_ordinary(ctx, reason))
		return 0;
	received = BPF_CORE_READ(skb, skb_iif) != 0;
	sk = BPF_CORE_READ(skb, sk);
	inum = netns_of(ctx, skb, sk, received);
	if (!netns_wanted(inum) || !(is_tcp(skb) || (!received && full_tcp_socket(sk))))
		return 0;
	if (is_passed_over(full_tcp_socket(sk) ? sk : NULL))
		return 0;
	e = reserve(EV_DROP, EVENT_SEGMENT);
	if (!e)
		return 0;
	if (!fill_segment(e, skb, received) && (received || !fill_from_socket(e, skb, sk))) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		return 0;
	}
	e->netns = inum;
	e->reason = reason;
	e->ifindex = BPF_CORE_READ(skb, dev, ifindex);
	if (received)
		e->flags |= EV_RECEIVED;
	if (full_tcp_socket(sk)) {
		e->cookie = known_cookie_of(sk);
		e->newstate = BPF_CORE_READ(sk, __sk_common.skc_state);
	}
	submit(e);
	return 0;
}

#endif
