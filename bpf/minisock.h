/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The timewait minisock, which no tracepoint tells of. tcp_time_wait() puts it
 * in the socket's place in the hash table of connections (or not, when the
 * bucket table is full), and then closes the socket: so at ->CLOSE it is
 * there to be seen, with what it is in, TIME_WAIT or an orphan's FIN_WAIT2.
 */
#ifndef MINISOCK_H
#define MINISOCK_H

#define CHAIN_LOOKS 16 /* it was put into the chain, mostly at its head, a moment ago */
#define SOCK_DONE 1    /* enum sock_flags: a FIN has come */
#define MINISOCK_SHELTERED 0x80 /* with detail: a RST does not end TIME_WAIT (net.ipv4.tcp_rfc1337) */

static __always_inline struct inet_hashinfo *hashinfo_of(struct sock *sk)
{
	struct inet_hashinfo *h = plainly(sk)->__sk_common.skc_prot->h.hashinfo;
	struct net *net = net_of(sk);

	if (h) /* the host's own table, as before 6.1 always */
		return h;
	if (bpf_core_field_exists(net->ipv4.tcp_death_row.hashinfo))
		return net->ipv4.tcp_death_row.hashinfo;
	return NULL;
}

static __always_inline bool same_tuple(struct sock_common *c, struct sock *sk)
{
	struct sock_common *own = &sk->__sk_common;

	if (LOAD(c, skc_dport) != LOAD(own, skc_dport) ||
	    LOAD(c, skc_num) != local_port(sk, LOAD(own, skc_num)))
		return false;
	if (LOAD(c, skc_net.net) != LOAD(own, skc_net.net))
		return false;
	if (LOAD(own, skc_family) == AF_INET)
		return LOAD(c, skc_daddr) == LOAD(own, skc_daddr) &&
		       LOAD(c, skc_rcv_saddr) == LOAD(own, skc_rcv_saddr);
	for (int i = 0; i < 4; i++)
		if (LOAD(c, skc_v6_daddr.in6_u.u6_addr32[i]) != LOAD(own, skc_v6_daddr.in6_u.u6_addr32[i]) ||
		    LOAD(c, skc_v6_rcv_saddr.in6_u.u6_addr32[i]) != LOAD(own, skc_v6_rcv_saddr.in6_u.u6_addr32[i]))
			return false;
	return true;
}

/* minisock_of is the timewait minisock that has taken sk's place; *searched: the whole chain was looked through. */
static __always_inline struct inet_timewait_sock *minisock_of(struct sock *sk, __u64 cookie, bool *searched)
{
	struct inet_hashinfo *h = hashinfo_of(sk);
	struct inet_ehash_bucket *bucket;
	__u64 node, slot;

	if (!h)
		return NULL;
	slot = sk->__sk_common.skc_hash & LOAD(h, ehash_mask);
	bucket = (void *)(number_at(&h->ehash) + slot * bpf_core_type_size(struct inet_ehash_bucket));
	node = number_at(&bucket->chain.first);
	for (int i = 0; i < CHAIN_LOOKS && node; i++) {
		struct sock_common *c = (void *)node - bpf_core_field_offset(struct sock_common, skc_nulls_node);

		if (node & 1) { /* an odd address ends the chain */
			*searched = node >> 1 == slot; /* else a node that moved has led into another chain */
			return NULL;
		}
		if (LOAD(c, skc_state) == TCP_TIME_WAIT &&
		    ((have_cookie_helper && LOAD(c, skc_cookie.counter) == cookie) || same_tuple(c, sk)))
			return (struct inet_timewait_sock *)c;
		node = number_at(&((struct hlist_nulls_node *)node)->next);
	}
	return NULL;
}

/*
 * due_for_time_wait: the peer's FIN has come (tcp_fin sets SOCK_DONE) and the own
 * one is acknowledged, so that nothing but tcp_time_wait() leads to CLOSE.
 */
static __always_inline bool due_for_time_wait(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;

	return sk->__sk_common.skc_flags & 1 << SOCK_DONE && !sk->sk_err && LOAD(tp, snd_una) == LOAD(tp, write_seq);
}

/*
 * fill_minisock tells, in detail, what the minisock is in: TCP_TIME_WAIT, or
 * TCP_FIN_WAIT2; TCP_CLOSE: TIME_WAIT was due, and there was no room for it; 0:
 * none was due, or none was found.
 */
static __always_inline void fill_minisock(struct event *e, struct sock *sk)
{
	bool searched = false;
	struct inet_timewait_sock *tw = minisock_of(sk, e->cookie, &searched);

	if (!tw) {
		if (searched && due_for_time_wait(sk))
			e->detail = TCP_CLOSE;
		return;
	}
	e->detail = LOAD(tw, tw_substate);
	if (LOAD(net_of(sk), ipv4.sysctl_tcp_rfc1337))
		e->detail |= MINISOCK_SHELTERED;
	e->peer_isn = LOAD((struct tcp_sock *)sk, rcv_nxt);
	fill_timer(e, LOAD(tw, tw_timer.expires));
}

#endif
