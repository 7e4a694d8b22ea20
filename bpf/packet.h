/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * net:net_dev_start_xmit and net:netif_receive_skb: packets out and in, each
 * sighted once where it left and once where it arrived.
 *
 *   loopback       tx only (rx is the same skb again)
 *   stacked device not at the upper device: its lower one sends the very packet
 *   out            the sender lives in this device's namespace; not passed on
 *   in             addressed to this namespace; not passed on
 *
 * With -i (only_ifindex or all_hops) also what is passed on.
 */
#ifndef PACKET_H
#define PACKET_H

#define PACKET_HOST 0
#define PACKET_BROADCAST 1
#define PACKET_MULTICAST 2
#define PACKET_OUTGOING 4

const volatile __u32 only_ifindex = 0;
const volatile bool all_hops = false;  /* forwarded traffic too */
const volatile bool want_in = true;
const volatile bool want_out = true;

/* The tag that the device will insert sits in the metadata; 0: none. */
static __always_inline __be16 vlan_proto_of(struct sk_buff *skb)
{
	if (bpf_core_field_exists(skb->vlan_present) && !LOAD_BITS(skb, vlan_present))
		return 0; /* before 6.2 vlan_proto alone may be stale */
	return skb->vlan_proto;
}

/* Does the segment carry its socket's own tuple, or has address translation rewritten it? */
static __always_inline bool is_translated(struct frame *f, __u32 caplen, bool raw, struct sock *sk)
{
	__u32 at = raw ? 0 : ETH_HLEN;
	__u8 *ip;
	__u32 l4;

	if (!raw && ((f->data[12] == 0x81 && f->data[13] == 0) || (f->data[12] == 0x88 && f->data[13] == 0xa8)))
		at += 4;
	if (caplen < at + 40)
		return false; /* not enough to say so */
	ip = f->data + at;
	if (ip[0] >> 4 == 4) {
		if (*(__be32 *)(ip + 12) != sk->__sk_common.skc_rcv_saddr || *(__be32 *)(ip + 16) != sk->__sk_common.skc_daddr)
			return true;
		if (*(__be16 *)(ip + 6) & bpf_htons(0x1fff))
			return false; /* a later fragment has no ports */
		l4 = at + (ip[0] & 15) * 4;
	} else {
		for (int i = 0; i < 4; i++)
			if (((__be32 *)(ip + 8))[i] != sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i] ||
			    ((__be32 *)(ip + 24))[i] != sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i])
				return true;
		if (ip[6] != IPPROTO_TCP)
			return false; /* extension headers: the ports lie elsewhere */
		l4 = at + 40;
	}
	if (caplen < l4 + 4)
		return false;
	return *(__be16 *)(f->data + l4) != bpf_htons(local_port(sk, sk->__sk_common.skc_num)) ||
	       *(__be16 *)(f->data + l4 + 2) != sk->__sk_common.skc_dport;
}

/* sighted: is this the place where the packet is to be reported? */
static __always_inline bool sighted(struct sk_buff *skb, struct net_device *dev, bool rx)
{
	if (only_ifindex)
		return dev->ifindex == only_ifindex;
	if (dev->flags & IFF_LOOPBACK)
		return true;
	if ((rx || !all_hops) && LOAD_BITS(dev, priv_flags) & IFF_BRIDGE_PORT)
		return false; /* a bridge reports itself what is from or for this host */
	return rx || ((all_hops || is_senders_device(skb, dev)) && !is_stacked(dev));
}

static __always_inline void measure(struct sighting *s)
{
	struct sk_buff *skb = s->skb;

	s->raw = !is_ethernet(s->dev);
	s->src = skb->data;
	s->wire = skb->len;
	s->linear = s->wire - skb->data_len;
	if (s->rx && !s->raw) { /* the link-layer header was pulled already */
		__u64 n = (__u64)s->src - ((__u64)skb->head + skb->mac_header);

		if (n <= MAX_MAC_HEADER) {
			s->pulled = n;
			s->src -= n;
			s->wire += n;
			s->linear += n;
		}
	}
	s->vlan = s->raw ? 0 : vlan_proto_of(skb);
	if (s->vlan)
		s->wire += 4;
}

/* asked runs the expression, over paged data too where it has to; sets EV_ASKED. */
static __always_inline bool asked(struct sighting *s)
{
	__be16 vlan = judge_tagged ? s->vlan : 0;
	__u16 tci = vlan ? s->skb->vlan_tci : 0;
	__u32 wire = s->wire - (s->vlan && !vlan ? 4 : 0);
	int v;

	if (gather && s->skb->data_len)
		s->cap = copy_all(s->f, s->skb, s->src, s->pulled, vlan);
	if (!s->cap)
		s->cap = copy_linear(s->f, s->src, s->linear, vlan, tci);
	v = judge(s->f, s->cap, wire, s->raw);
	if (v == VERDICT_SHORT) {
		__u32 more = copy_all(s->f, s->skb, s->src, s->pulled, vlan);

		if (more) {
			s->cap = more;
			v = judge(s->f, s->cap, wire, s->raw);
		}
	}
	if (v == VERDICT_MATCH) {
		s->flags |= EV_ASKED;
	} else if (!keep_quotes || !is_icmp_error(s->f, s->cap, s->raw)) {
		if (v != VERDICT_NO)
			__sync_fetch_and_add(&undecided, 1);
		return false;
	}
	if (s->vlan && !vlan) /* show the tag that was left out for the filter */
		s->cap = copy_linear(s->f, s->src, s->linear, s->vlan, s->skb->vlan_tci);
	return true;
}

static __always_inline bool to_many(struct sk_buff *skb)
{
	__u8 type = LOAD_BITS(skb, pkt_type);

	return type == PACKET_BROADCAST || type == PACKET_MULTICAST;
}


/* A request socket has no cookie, and its address is not the child's. */
static __always_inline __u64 owners_cookie(struct sock *owner)
{
	if (have_cookie_helper)
		return owner->__sk_common.skc_cookie.counter;
	return owner->__sk_common.skc_state == TCP_NEW_SYN_RECV ? 0 : (__u64)owner;
}

static __always_inline void fill_head(struct event *e, struct sighting *s, __u8 kind, __u32 netns, struct sock *owner)
{
	stamp(e, kind);
	e->flags = s->flags;
	e->netns = netns;
	e->ifindex = s->dev->ifindex;
	e->wire_len = s->wire;
	e->cookie = owner ? owners_cookie(owner) : 0;
	e->newstate = owner ? owner->__sk_common.skc_state : 0;
	e->detail = PACKET_OUTGOING;
	if (s->rx)
		e->detail = LOAD_BITS(s->skb, pkt_type);
}

/* name_device fills the part EV_NAME of a packet's record. */
static __always_inline void name_device(struct event *e, struct net_device *dev)
{
	e->flags |= EV_NAME;
	e->pid = 0;
	((__u64 *)e->name)[0] = ((__u64 *)dev->name)[0];
	((__u64 *)e->name)[1] = ((__u64 *)dev->name)[1];
}

/* hold keeps what is a SYN, for the case that it is answered from here after all. */
static __attribute__((noinline)) int hold(struct sighting *s, __u32 netns)
{
	__u32 at = tcp_at(s->f, s->cap, s->raw), n = s->cap < snap_len ? s->cap : snap_len;
	struct event *e = &s->f->e;

	if (!at || (s->f->data[at + 13] & (TCP_FLAG_SYN | TCP_FLAG_ACK)) != TCP_FLAG_SYN)
		return 0;
	stamp(e, EV_PACKET);
	fill_head(e, s, EV_PACKET, netns, NULL);
	e->cap_len = n < HELD_ROOM ? n : HELD_ROOM;
	name_device(e, s->dev);
	hold_syn(s->f, at);
	return 0;
}

/* for_us: on the way in, is it addressed to this namespace? */
static __always_inline bool for_us(struct sighting *s, __u32 netns)
{
	struct address a = {};

	if (!s->rx || all_hops)
		return true;
	if (to_many(s->skb))
		return true;
	read_address(s->f, s->cap, s->raw, false, &a);
	if (!a.family || is_local(s->skb, &a) || is_answered(&a, netns))
		return true;
	hold(s, netns);
	return false;
}

/*
 * answer looks at a SYN-ACK of a request socket, and at a reset of nobody's: the
 * SYN that it answers may be held. A SYN-ACK also tells an address that this
 * namespace answers for; a reset does not, as a firewall sends it in other
 * hosts' names.
 */
static __attribute__((noinline)) int answer(struct sighting *s, __u32 netns, struct sock *owner)
{
	__u32 at = tcp_at(s->f, s->cap, s->raw);
	struct address source = {};

	if (!at)
		return 0;
	if (!owner) {
		if (s->f->data[at + 13] & TCP_FLAG_RST)
			tell_held(s->f, at, netns, NULL);
		return 0;
	}
	if (!is_translated(s->f, s->cap, s->raw, owner))
		return 0;
	tell_held(s->f, at, netns, owner);
	read_address(s->f, s->cap, s->raw, true, &source);
	if (source.family)
		answers_for(&source, netns);
	return 0;
}

/*
 * emit sends the record: head and frame, or, when the wire does not show the
 * sender's own tuple or the device is news, every part and frame.
 */
static __always_inline void emit(struct sighting *s, __u8 kind, __u32 netns, struct sock *owner)
{
	struct announced *a = slot_of(netns, s->dev->ifindex);
	struct event *e = head_of(s->f);
	__u64 n = s->cap < snap_len ? s->cap : snap_len;
	bool tuple;

	if (!a)
		return;
	if (kind != EV_PACKET)
		n = 0;
	BOUND(n);
	tuple = owner && kind != EV_PACKET;
	if (owner && kind == EV_PACKET && is_translated(s->f, s->cap, s->raw, owner)) {
		struct address source = {};

		read_address(s->f, s->cap, s->raw, true, &source);
		if (source.family)
			answers_for(&source, netns);
		tuple = true;
	}
	if (!tuple && is_announced(a, netns, s->dev)) {
		fill_head(e, s, kind, netns, owner);
		e->cap_len = n;
		output(e, EVENT_HEAD + n);
		return;
	}
	e = &s->f->e;
	fill_head(e, s, kind, netns, owner);
	e->cap_len = n;
	name_device(e, s->dev);
	if (owner) {
		e->flags |= EV_TUPLE;
		fill_tuple_direct(e, owner);
		e->sport = local_port(owner, e->sport);
	}
	if (output(e, sizeof(*e) + n))
		announce(a, e);
}

/* owner_of is the sending socket, if it is a connection of this namespace. */
static __always_inline struct sock *owner_of(struct sk_buff *skb, struct net_device *dev)
{
	struct sock *sk = plainly(skb)->sk;

	if (!sk || sk->__sk_common.skc_net.net != devices_net(dev))
		return NULL;
	/* TCP's own socket (resets, ACKs of TIME_WAIT) has no other end, and no cookie; one aborted just now has lost its numbers only. */
	if ((!sk->__sk_common.skc_num || !sk->__sk_common.skc_dport) && !sk->__sk_common.skc_cookie.counter)
		return NULL;
	if (sk->__sk_common.skc_state == TCP_NEW_SYN_RECV || sk->__sk_common.skc_state == TCP_TIME_WAIT)
		return sk; /* TCP's own, and too short to ask for the protocol */
	return sk->sk_protocol == IPPROTO_TCP ? sk : NULL;
}

/* read_flow reads the tuple, as its receiver has it, of an unfragmented TCP segment without IPv6 extension headers; false: who knows. */
static __always_inline bool read_flow(struct frame *f, __u32 caplen, bool raw, struct flow_key *key, __u8 *tcp_flags)
{
	__u32 at = raw ? 0 : ETH_HLEN, l4;

	if (caplen < at + 40)
		return false;
	if (f->data[at] >> 4 == 4 && f->data[at + 9] == IPPROTO_TCP) {
		__builtin_memcpy(key->remote, &f->data[at + 12], 4);
		__builtin_memcpy(key->local, &f->data[at + 16], 4);
		l4 = at + (f->data[at] & 15) * 4;
	} else if (f->data[at] >> 4 == 6 && f->data[at + 6] == IPPROTO_TCP) {
		__builtin_memcpy(key->remote, &f->data[at + 8], 16);
		__builtin_memcpy(key->local, &f->data[at + 24], 16);
		l4 = at + 40;
	} else {
		return false;
	}
	if (caplen < l4 + 14)
		return false;
	key->rport = f->data[l4] << 8 | f->data[l4 + 1];
	key->lport = f->data[l4 + 2] << 8 | f->data[l4 + 3];
	*tcp_flags = f->data[l4 + 13];
	return true;
}

static __always_inline bool is_chosen_sender(struct flow_key *to)
{
	struct flow_key from = { .lport = to->rport, .rport = to->lport, .netns = to->netns };

	__builtin_memcpy(from.local, to->remote, 16);
	__builtin_memcpy(from.remote, to->local, 16);
	return is_chosen_flow(&from);
}

#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* is_strangers: neither its sender is chosen nor, where it arrives (on loopback at once), its receiver, and it asks for no connection. */
static __always_inline bool is_strangers(struct sighting *s, struct sock *owner, bool passed_over, bool arrives)
{
	struct flow_key key = { .netns = devices_net(s->dev)->ns.inum };
	__u8 tcp_flags;

	if (!selective || (owner && !passed_over) || !read_flow(s->f, s->cap, s->raw, &key, &tcp_flags))
		return false;
	if (arrives && ((tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN || is_chosen_flow(&key)))
		return false;
	return s->rx || owner || !is_chosen_sender(&key);
}

/* is_anothers_sender is is_passed_over for whatever socket sends: a minisock has its connection's cookie, and no cgroup. */
static __always_inline bool is_anothers_sender(struct sock *owner, __u32 netns)
{
	struct flow_key key = {};

	switch (owner->__sk_common.skc_state) {
	case TCP_NEW_SYN_RECV:
		return cgroup_count && !in_cgroup(BPF_CORE_READ(owner, __sk_common.skc_listener));
	case TCP_TIME_WAIT:
		return is_anothers(have_cookie_helper ? owner->__sk_common.skc_cookie.counter : 0) || (cgroup_count && !(flow_of(owner, netns, &key) && is_chosen_flow(&key)));
	}
	return is_passed_over(owner);
}

/* opens: the answer to what it sends now belongs to it, too. */
static __always_inline bool opens(struct sock *owner)
{
	return owner->__sk_common.skc_state == TCP_SYN_SENT || owner->__sk_common.skc_state == TCP_NEW_SYN_RECV;
}

/* A request socket's SYN-ACK, or a reset: a socket of TCP's own sends it, or nobody's. */
static __always_inline bool may_answer(struct sock *sk, struct sock *owner)
{
	if (owner)
		return owner->__sk_common.skc_state == TCP_NEW_SYN_RECV;
	return !sk || sk->sk_protocol == IPPROTO_TCP;
}

static __always_inline int packet(struct sk_buff *skb, struct net_device *dev, const bool rx)
{
	struct sighting s = { .skb = skb, .dev = dev, .rx = rx };
	bool loopback = dev->flags & IFF_LOOPBACK, port_news = false, passed_over = false, answers = false, wanted;
	struct sock *owner = NULL;
	__u32 slot = rx ? HOOK_RX : HOOK_TX, netns;

	if (rx && loopback)
		return 0;
	netns = devices_net(dev)->ns.inum;
	if (!netns_wanted(netns))
		return 0;
	if (!rx) {
		owner = owner_of(skb, dev);
		passed_over = selective && owner && is_anothers_sender(owner, netns);
		if (passed_over && !loopback)
			return 0;
		if (selective && owner && !passed_over && opens(owner))
			choose_flow(owner, netns);
		port_news = owner && owner->__sk_common.skc_state == TCP_SYN_SENT;
		answers = show_packets && !all_hops && !loopback && may_answer(plainly(skb)->sk, owner);
	}
	wanted = sighted(skb, dev, rx);
	if (!wanted && !port_news)
		return 0;
	wanted = wanted && show_packets && (rx || loopback ? want_in : want_out); /* on loopback each packet is an incoming one */
	if (!wanted && !port_news && !answers)
		return 0;
	s.f = bpf_map_lookup_elem(&frames, &slot);
	if (!s.f)
		return 0;
	measure(&s);
	s.flags = (loopback ? EV_LOOPBACK : 0) | (s.raw ? EV_RAW : 0);
	wanted = anew(s.f, wanted);
	port_news = anew(s.f, port_news);
	answers = anew(s.f, answers);
	passed_over = anew(s.f, passed_over);
	loopback = anew(s.f, loopback);
	wanted = wanted && asked(&s) && for_us(&s, netns) && !is_strangers(&s, owner, passed_over, rx || loopback);
	if (answers) {
		if (!s.cap)
			s.cap = copy_linear(s.f, s.src, s.linear, 0, 0);
		answer(&s, netns, owner);
	}
	if (wanted && skip_middle && is_middle(&s, netns))
		wanted = false;
	if (wanted)
		emit(&s, EV_PACKET, netns, owner);
	else if (port_news)
		emit(&s, EV_PORT, netns, owner);
	return 0;
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(packet_out, struct sk_buff *skb, struct net_device *dev)
{
	struct sock *sk;

	if (!show_packets) { /* then only the port of a connection being opened is news */
		sk = plainly(skb)->sk;
		if (!sk || sk->__sk_common.skc_state != TCP_SYN_SENT)
			return 0;
	}
	return packet(skb, dev, false);
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(packet_in, struct sk_buff *skb)
{
	return packet(skb, plainly(skb)->dev, true);
}

#endif
