/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Half-open connections in a report of lives. One is no socket, and nothing tells of
 * its end. Those whose SYN-ACK had to be sent again are noted until they become
 * connections, or the reader finds that their timer is long over. Others have been
 * answered at once, or reset; only who walks over what stands (life_open) sees them.
 */
#ifndef HALF_H
#define HALF_H

#define MAX_HALF_OPEN (1 << 17)
#define HALF_WINDOW 65535 /* of a SYN-ACK at most: tcp_synack_window() */
#define HALF_UNIT 16	  /* times behind the beginning are in 2^16 ns, 65.5 us */

/* What has come since the last SYN-ACK. If that was the last, it is how the connection ended. */
enum half_sign {
	HALF_SILENCE,
	HALF_RESET, /* a RST that ends it */
	HALF_TOLD,  /* that it stood, when all that stood were told: no more shall be */
	HALF_DOUBT, /* a RST that may, or may not have arrived, or ours: to what ends it (tcp_abort_on_overflow, a SYN), or to an ACK that does not fit */
};

/* 32 bytes: with one more the kernel takes half as much again for each. */
struct half {
	__u64 began; /* the first SYN-ACK; CLOCK_MONOTONIC, ns */
	__u64 cgroup;
	__u32 due;	 /* when its timer is, which sends one more or gives up; HALF_UNIT */
	__u32 signed_at; /* when the sign came; likewise */
	__u32 expects;	 /* the next sequence number, host order */
	__u8 again;	 /* SYN-ACKs sent again, 255 at most */
	__u8 family;	 /* of the flow_key's addresses */
	__u8 sign;	 /* enum half_sign */
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_HALF_OPEN);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct half);
} half_open SEC(".maps");

/*
 * How many notes were made, and how many of them the reader has found gone: it takes the
 * first number, looks, and where there is none makes it the second. The note is made before
 * it is counted: what the reader did not see, it has not counted.
 */
__u64 half_made = 0;
__u64 half_gone = 0;
__u64 half_unnoted = 0;

/* any_half_open: then every connection that comes in is looked up, and each RST that is thrown away. */
static __always_inline bool any_half_open(void)
{
	return half_made != half_gone;
}

/* notes_half: false: there is no room. */
static __always_inline bool notes_half(struct flow_key *key, struct half *h)
{
	if (bpf_map_update_elem(&half_open, key, h, BPF_ANY))
		return false;
	__sync_fetch_and_add(&half_made, 1);
	return true;
}

static __always_inline __u32 behind(__u64 began, __u64 time)
{
	return (time - began) >> HALF_UNIT;
}

/*
 * half_is_over tells one whose ends have begun anew before its timer was due: whether a RST
 * has ended it, else that nothing certain is known. Its note is the caller's.
 */
static __always_inline void half_is_over(struct half *h, struct flow_key *key)
{
	__u32 at = h->signed_at;
	struct event *e;

	if (h->sign == HALF_TOLD)
		return;
	e = reserve(EV_LIFE, sizeof(*e));
	if (!e)
		return;
	if (h->sign == HALF_SILENCE) {
		at = behind(h->began, e->time);
		if (at > h->due)
			at = h->due;
	}
	e->time = h->began + ((__u64)at << HALF_UNIT);
	e->netns = key->netns;
	e->family = h->family;
	e->sport = key->lport;
	e->dport = key->rport;
	__builtin_memcpy(e->saddr, key->local, sizeof(e->saddr));
	__builtin_memcpy(e->daddr, key->remote, sizeof(e->daddr));
	e->cgroup = h->cgroup;
	e->oldstate = TCP_NEW_SYN_RECV;
	e->newstate = TCP_CLOSE;
	e->total_retrans = h->again;
	e->began = h->began;
	e->life = LIFE_IN | LIFE_HALF | (h->sign == HALF_RESET ? LIFE_RESET : LIFE_DOUBT);
	submit(e);
}

/*
 * becomes_whole takes the note away, and knows since when: what was sent again gives no
 * measure. A note of another request between the same ends is of one that is over.
 */
static __always_inline void becomes_whole(struct life *l, struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct flow_key key = {};
	struct half *h;

	if (!any_half_open() || !flow_of(sk, sockets_netns(sk), &key))
		return;
	h = bpf_map_lookup_elem(&half_open, &key);
	if (!h)
		return;
	if (tp && tp->rcv_nxt == h->expects) { /* nothing has been taken in yet */
		l->began = h->began;
		l->flags &= ~LIFE_GUESSED;
	} else {
		half_is_over(h, &key);
	}
	bpf_map_delete_elem(&half_open, &key);
}

/* is_of: the note is of this very request, and not of an earlier one between the same ends. */
static __always_inline bool is_of(struct half *h, struct request_sock *req)
{
	struct tcp_request_sock *treq = (void *)req;
	__u64 began = BPF_CORE_READ(treq, snt_synack) * 1000;

	return h->expects == BPF_CORE_READ(treq, rcv_nxt) && (!began || began == h->began);
}

/* timer_due is when the request socket's timer will fire. */
static __always_inline __u32 timer_due(struct half *h, struct sock *listener, struct request_sock *req)
{
	__u64 now = bpf_jiffies64(), wait = slot_end(now, next_timeout(listener, req)) - now;

	return behind(h->began, bpf_ktime_get_ns() + wait * (1000000000ULL / hz));
}

/* family_of is that of the addresses: a dual-stack listener's request may be of IPv4. */
static __always_inline __u32 family_of(struct sock_common *c)
{
	__u32 remote[4];

	if (BPF_CORE_READ(c, skc_family) == AF_INET)
		return AF_INET;
	BPF_CORE_READ_INTO(&remote, c, skc_v6_daddr.in6_u.u6_addr32);
	return remote[0] || remote[1] || remote[2] != bpf_htonl(0xffff) ? AF_INET6 : AF_INET;
}

/* tcp:tcp_retransmit_synack: from the timer, and for each SYN that comes again. */
SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(life_synack, struct sock *listener, struct request_sock *req)
{
	struct tcp_request_sock *treq = (void *)req;
	struct flow_key key = {};
	struct half new = {}, *h;

	if (!is_asked_for(listener) || !flow_of((struct sock *)req, sockets_netns(listener), &key))
		return 0;
	h = bpf_map_lookup_elem(&half_open, &key);
	if (h && is_of(h, req)) {
		h->due = timer_due(h, listener, req);
		if (h->again < 255)
			h->again++;
		if (h->sign != HALF_TOLD)
			h->sign = HALF_SILENCE; /* whatever had come, it lives */
		return 0;
	}
	if (h)
		half_is_over(h, &key);
	new.began = BPF_CORE_READ(treq, snt_synack) * 1000;
	if (!new.began)
		new.began = bpf_ktime_get_ns();
	new.due = timer_due(&new, listener, req);
	new.cgroup = quick_cgroup_of(listener);
	new.again = 1;
	new.expects = BPF_CORE_READ(treq, rcv_nxt);
	new.family = family_of((struct sock_common *)req);
	if (!notes_half(&key, &new))
		__sync_fetch_and_add(&half_unnoted, 1);
	return 0;
}

/*
 * half_signs notes a sign at the half-open connection that a segment which came in belongs
 * to: a RST by the other end (arrived: that nothing else has thrown it away is certain), or
 * ours.
 */
static __always_inline void half_signs(struct sk_buff *skb, __u32 netns, bool by_peer, bool arrived)
{
	struct event seg = {};
	struct flow_key key = {};
	struct half *h;
	__u32 now;

	if (!fill_segment(&seg, skb, true) || (by_peer && !(seg.tcp_flags & TCP_FLAG_RST)))
		return;
	__builtin_memcpy(key.local, seg.saddr, sizeof(key.local));
	__builtin_memcpy(key.remote, seg.daddr, sizeof(key.remote));
	key.lport = seg.sport;
	key.rport = seg.dport;
	key.netns = netns;
	h = bpf_map_lookup_elem(&half_open, &key);
	if (!h || h->sign == HALF_RESET || h->sign == HALF_TOLD)
		return;
	now = behind(h->began, bpf_ktime_get_ns());
	if (now >= h->due) /* it may have given up by then */
		return;
	if (by_peer && seg.seq - h->expects >= HALF_WINDOW)
		return;
	/* RFC 5961: recent kernels obey the number that they expect, others what is within the window. */
	h->sign = by_peer && arrived && seg.seq == h->expects ? HALF_RESET : HALF_DOUBT;
	h->signed_at = now;
}

/*
 * skb:kfree_skb: a RST that ends a half-open connection is thrown away behind it, without
 * a reason, and nothing else tells. From 6.11 on the listener is told that it was for, and
 * a firewall's drop has none; what it refuses for a reason (6.15: PAWS) ends nothing, as far
 * as we know. From 5.17 on the reason tells a firewall's drop; before that nothing does, and
 * each RST leaves a doubt.
 */
SEC("tp_btf/kfree_skb")
int BPF_PROG(life_drops, struct sk_buff *skb)
{
	bool plain_drop = drop_tells_reason && (__u32)ctx[2] == drop_not_specified;
	struct sock *listener;

	if (!any_half_open())
		return 0;
	if (drop_tells_socket) {
		listener = (void *)argument(ctx, 3);
		if (!listener || LOAD(listener, __sk_common.skc_state) != TCP_LISTEN)
			return 0;
	} else if (drop_tells_reason && !plain_drop) {
		return 0;
	}
	half_signs(skb, BPF_CORE_READ(skb, dev, nd_net.net, ns.inum), true, plain_drop);
	return 0;
}

/* half_stands tells one that stands, by the zeroed e, and notes that it did. */
static __always_inline void half_stands(struct bpf_iter__tcp *ctx, struct sock_common *c, struct event *e)
{
	struct sock *listener = BPF_CORE_READ(c, skc_listener);
	struct tcp_request_sock *treq = (void *)c;
	struct half told = {}, *h;
	struct flow_key key = {};

	e->netns = BPF_CORE_READ(c, skc_net.net, ns.inum);
	if (!netns_wanted(e->netns) || (cgroup_count && !(listener && in_cgroup(listener))))
		return;
	e->time = bpf_ktime_get_ns();
	e->kind = EV_LIFE;
	e->flags = EV_TUPLE;
	e->cookie = have_cookie_helper ? bpf_get_socket_cookie(c) : (__u64)c;
	fill_tuple(e, c);
	e->oldstate = TCP_NEW_SYN_RECV;
	e->cgroup = cgroup_of(listener);
	e->began = BPF_CORE_READ(treq, snt_synack) * 1000;
	e->total_retrans = BPF_CORE_READ((struct request_sock *)c, num_retrans);
	e->life = LIFE_IN | LIFE_HALF | LIFE_IS_OPEN;
	bpf_seq_write(ctx->meta->seq, e, sizeof(*e));
	if (!flow_of((struct sock *)c, e->netns, &key))
		return;
	h = bpf_map_lookup_elem(&half_open, &key);
	if (h && is_of(h, (struct request_sock *)c)) {
		h->sign = HALF_TOLD;
		return;
	}
	if (h)
		half_is_over(h, &key);
	told.began = e->began;
	told.expects = BPF_CORE_READ(treq, rcv_nxt);
	told.sign = HALF_TOLD;
	notes_half(&key, &told);
}

#endif
