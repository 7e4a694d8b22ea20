/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The timewait minisock, which no tracepoint tells of. tcp_time_wait() puts it
 * in the socket's place in the hash table of connections (or not, when the
 * bucket table is full), and then closes the socket: so at ->CLOSE it is
 * there to be seen, with what it is in, TIME_WAIT or an orphan's FIN_WAIT2.
 */
#ifndef MINISOCK_H
#define MINISOCK_H

#define CHAIN_LOOKS 16 /* it was put at the chain's head a moment ago */

static __always_inline struct inet_hashinfo *hashinfo_of(struct sock *sk)
{
	struct inet_hashinfo *h = sk->__sk_common.skc_prot->h.hashinfo;
	struct net *net = sk->__sk_common.skc_net.net;

	if (h) /* the host's own table, as before 6.1 always */
		return h;
	if (bpf_core_field_exists(net->ipv4.tcp_death_row.hashinfo))
		return net->ipv4.tcp_death_row.hashinfo;
	return NULL;
}

static __always_inline bool same_tuple(struct sock_common *c, struct sock *sk)
{
	struct sock_common *own = &sk->__sk_common;

	if (BPF_CORE_READ(c, skc_dport) != BPF_CORE_READ(own, skc_dport) ||
	    BPF_CORE_READ(c, skc_num) != local_port(sk, BPF_CORE_READ(own, skc_num)))
		return false;
	return BPF_CORE_READ(c, skc_daddr) == BPF_CORE_READ(own, skc_daddr) &&
	       BPF_CORE_READ(c, skc_rcv_saddr) == BPF_CORE_READ(own, skc_rcv_saddr) &&
	       BPF_CORE_READ(c, skc_net.net) == BPF_CORE_READ(own, skc_net.net);
}

/* minisock_state is TCP_TIME_WAIT, TCP_FIN_WAIT2, or 0: no minisock has taken over. */
static __always_inline __u8 minisock_state(struct sock *sk, __u64 cookie)
{
	struct inet_hashinfo *h = hashinfo_of(sk);
	struct inet_ehash_bucket *bucket;
	__u64 node;

	if (!h)
		return 0;
	/* BPF_CORE_READ gives plain numbers: older verifiers refuse to compute with a typed pointer. */
	bucket = (void *)((__u64)BPF_CORE_READ(h, ehash) + (__u64)(sk->__sk_common.skc_hash & h->ehash_mask) *
						    bpf_core_type_size(struct inet_ehash_bucket));
	node = (__u64)BPF_CORE_READ(bucket, chain.first);
	for (int i = 0; i < CHAIN_LOOKS && node && !(node & 1); i++) { /* an odd address ends the chain */
		struct sock_common *c = (void *)node - bpf_core_field_offset(struct sock_common, skc_nulls_node);

		if (BPF_CORE_READ(c, skc_state) == TCP_TIME_WAIT &&
		    (have_cookie_helper ? BPF_CORE_READ(c, skc_cookie.counter) == cookie : same_tuple(c, sk)))
			return BPF_CORE_READ((struct inet_timewait_sock *)c, tw_substate);
		node = (__u64)BPF_CORE_READ((struct hlist_nulls_node *)node, next);
	}
	return 0;
}

#endif
