/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* tcp:tcp_retransmit_skb and tcp:tcp_retransmit_synack: what is sent again, and why. */
#ifndef RETRANSMIT_H
#define RETRANSMIT_H

/* 6.17 gave the tracepoint its third argument and made it report failed attempts. */
const volatile bool retransmit_tells_result = false;

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(retransmit, struct sock *sk, struct sk_buff *skb)
{
	struct inet_connection_sock *icsk = (void *)sk;
	struct tcp_skb_cb *cb;
	struct event *e;
	__u32 inum = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum), end;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP || !netns_wanted(inum) || is_passed_over(sk))
		return 0;
	e = reserve(EV_RETRANSMIT, EVENT_SEGMENT);
	if (!e)
		return 0;
	e->cookie = cookie_of(sk);
	e->netns = inum;
	fill_tuple(e, &sk->__sk_common);
	e->sport = local_port(sk, e->sport);
	e->newstate = BPF_CORE_READ(sk, __sk_common.skc_state);
	e->ca_state = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
	e->pending = BPF_CORE_READ(icsk, icsk_pending);
	e->retransmits = BPF_CORE_READ(icsk, icsk_retransmits);
	/* The segment has no TCP header yet: its numbers are in the control block. */
	cb = (void *)skb + bpf_core_field_offset(struct sk_buff, cb);
	e->seq = BPF_CORE_READ(cb, seq);
	end = BPF_CORE_READ(cb, end_seq);
	e->seg_len = end - e->seq;
	bpf_probe_read_kernel(&e->tcp_flags, 1, (void *)cb + bpf_core_field_offset(struct tcp_skb_cb, tcp_flags));
	e->flags |= EV_SEGMENT;
	if (retransmit_tells_result)
		e->err = ctx[2];
	submit(e);
	return 0;
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(retransmit_synack, struct sock *listener, struct request_sock *req)
{
	__u32 inum = BPF_CORE_READ(listener, __sk_common.skc_net.net, ns.inum);
	struct event *e;

	if (BPF_CORE_READ(listener, sk_protocol) != IPPROTO_TCP || !netns_wanted(inum))
		return 0;
	if (cgroup_count && !in_cgroup(listener)) /* its process need not be the child's */
		return 0;
	e = reserve(EV_SYNACK_AGAIN, EVENT_SEGMENT);
	if (!e)
		return 0;
	e->netns = inum; /* a request socket has no cookie: it is known by its tuple */
	fill_tuple(e, (struct sock_common *)req);
	e->newstate = TCP_NEW_SYN_RECV;
	e->retransmits = BPF_CORE_READ(req, num_retrans) + 1; /* it is raised when this one has left */
	fill_timer(e, next_timeout(listener, req));
	submit(e);
	return 0;
}

#endif
