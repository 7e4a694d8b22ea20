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

#define IFF_LOOPBACK 0x8
#define IFF_BRIDGE_PORT (1 << 9)

#define PACKET_HOST 0
#define PACKET_OTHERHOST 3
#define PACKET_OUTGOING 4

#define MAX_MAC_HEADER 64

const volatile __u32 only_ifindex = 0;
const volatile bool all_hops = false;  /* forwarded traffic too */
const volatile bool want_in = true;
const volatile bool want_out = true;

static __always_inline bool is_ethernet(struct net_device *dev)
{
	return dev->type == ARPHRD_ETHER || dev->type == ARPHRD_LOOPBACK;
}

/* Has it lower devices (VLAN, bond, macvlan, bridge)? Then one of them will carry the packet. */
static __always_inline bool is_stacked(struct net_device *dev)
{
	struct list_head *lower = (void *)dev + bpf_core_field_offset(struct net_device, adj_list.lower);

	return BPF_CORE_READ(lower, next) != lower;
}

/* Sent by a socket of this namespace, or by its kernel; what is passed on has come in somewhere. */
static __always_inline bool is_senders_device(struct sk_buff *skb, struct net_device *dev)
{
	struct sock *sk = skb->sk;

	if (!sk)
		return !skb->skb_iif;
	return sk->__sk_common.skc_net.net == dev->nd_net.net;
}

/* The tag that the device will insert sits in the metadata; 0: none. */
static __always_inline __be16 vlan_proto_of(struct sk_buff *skb)
{
	if (bpf_core_field_exists(skb->vlan_present) && !BPF_CORE_READ_BITFIELD_PROBED(skb, vlan_present))
		return 0; /* before 6.2 vlan_proto alone may be stale */
	return skb->vlan_proto;
}

/* copy_linear puts the linear part into f->data with a VLAN tag back in its place; returns the bytes copied. */
static __always_inline __u32 copy_linear(struct frame *f, void *src, __u32 linear, __be16 vlan, __u16 tci)
{
	__u32 n = linear < copy_len ? linear : copy_len;
	__u64 rest;

	if (vlan && n >= 12) {
		bpf_probe_read_kernel(f->data, 12, src);
		*(__u16 *)(f->data + 12) = vlan;
		*(__u16 *)(f->data + 14) = bpf_htons(tci);
		rest = n - 12;
		BOUND(rest);
		bpf_probe_read_kernel(f->data + 16, rest, src + 12);
		return n + 4;
	}
	rest = n;
	BOUND(rest);
	bpf_probe_read_kernel(f->data, rest, src);
	return n;
}

/* copy_all fetches paged bytes too: l2 header bytes from src, the rest through a dynptr that starts at skb->data. */
static __always_inline __u32 copy_all(struct frame *f, struct sk_buff *skb, void *src, __u32 pulled, __be16 vlan)
{
	struct bpf_dynptr ptr;
	__u64 n = skb->len, at = pulled;

	if (!have_dynptr || vlan || pulled > MAX_MAC_HEADER || !bpf_dynptr_from_skb)
		return 0;
	if (n > copy_len - pulled)
		n = copy_len - pulled;
	if (pulled) {
		BOUND(at);
		if (at > MAX_MAC_HEADER)
			return 0;
		bpf_probe_read_kernel(f->data, at, src);
	}
	BOUND(n);
	if (!n || at > FRAME_SLACK)
		return 0;
	if (bpf_dynptr_from_skb((struct __sk_buff *)skb, 0, &ptr) || bpf_dynptr_read(f->data + at, n, &ptr, 0, 0))
		return 0;
	return n + pulled;
}

/* attribute names the socket that sends: its cookie and, where NAT rewrote the packet, its own tuple. */
static __always_inline void attribute(struct event *e, struct sock *sk)
{
	__u16 num = sk->__sk_common.skc_num;

	e->cookie = 0;
	e->family = 0;
	if (!num)
		return; /* the namespace's control socket (resets, ACKs of TIME_WAIT) */
	fill_tuple_direct(e, sk);
	e->cookie = have_cookie_helper ? sk->__sk_common.skc_cookie.counter : (__u64)sk;
}

static __always_inline void emit_frame(struct frame *f, __u32 caplen)
{
	__u64 n = caplen < snap_len ? caplen : snap_len;

	BOUND(n);
	f->e.cap_len = n;
	if (bpf_ringbuf_output(&events, f, sizeof(f->e) + n, wake_flags()))
		__sync_fetch_and_add(&lost, 1);
}

static __always_inline int packet(struct sk_buff *skb, struct net_device *dev, const bool rx)
{
	bool raw, loopback = dev->flags & IFF_LOOPBACK;
	struct sock *sk;
	struct frame *f;
	struct event *e;
	__u32 slot = rx ? HOOK_RX : HOOK_TX, inum, wire, linear, cap, pulled = 0;
	void *src = skb->data;
	__be16 vlan;
	bool port_news = false;
	int v;

	if (rx && loopback)
		return 0;
	inum = dev->nd_net.net->ns.inum;
	if (!netns_wanted(inum))
		return 0;
	if (only_ifindex && dev->ifindex != only_ifindex)
		return 0;
	sk = skb->sk;
	if (!rx) {
		if (!all_hops && !is_senders_device(skb, dev))
			return 0;
		if (!only_ifindex && is_stacked(dev))
			return 0;
		port_news = sk && sk->__sk_common.skc_state == TCP_SYN_SENT;
	} else if (!only_ifindex && BPF_CORE_READ_BITFIELD_PROBED(dev, priv_flags) & IFF_BRIDGE_PORT) {
		return 0; /* the bridge itself reports what is for this host */
	}
	if (!show_packets && !port_news)
		return 0;
	f = bpf_map_lookup_elem(&frames, &slot);
	if (!f)
		return 0;
	e = &f->e;
	raw = !is_ethernet(dev);
	wire = skb->len;
	linear = wire - skb->data_len;
	if (rx && !raw) {
		__u64 mac = (__u64)skb->head + skb->mac_header;

		pulled = (__u64)src - mac;
		if (pulled > MAX_MAC_HEADER)
			pulled = 0;
		src -= pulled;
		wire += pulled;
		linear += pulled;
	}
	vlan = raw ? 0 : vlan_proto_of(skb);
	if (vlan)
		wire += 4;
	v = VERDICT_NO;
	cap = 0;
	e->flags = 0;
	if (show_packets && (rx ? want_in : want_out || (loopback && want_in))) {
		if (gather && skb->data_len)
			cap = copy_all(f, skb, src, pulled, vlan);
		if (!cap)
			cap = copy_linear(f, src, linear, vlan, vlan ? skb->vlan_tci : 0);
		v = judge(f, cap, wire, raw);
		if (v == VERDICT_SHORT) {
			__u32 more = copy_all(f, skb, src, pulled, vlan);

			v = VERDICT_NO;
			if (more) {
				cap = more;
				v = judge(f, cap, wire, raw);
			}
		}
		if (v == VERDICT_MATCH)
			e->flags = EV_ASKED;
		else if (keep_quotes && is_icmp_error(f, cap, raw))
			v = VERDICT_MATCH;
	}
	if (v == VERDICT_MATCH && rx && !all_hops) {
		struct address a = {};

		destination(f, cap, raw, &a);
		if (a.family && !is_local(skb, &a))
			v = VERDICT_NO;
	}
	if (v != VERDICT_MATCH) {
		if (!port_news)
			return 0;
		cap = 0;
	}
	if (sk && !rx && sk->__sk_common.skc_net.net == dev->nd_net.net) {
		attribute(e, sk);
	} else {
		e->cookie = 0;
		e->family = 0;
	}
	stamp(e, v == VERDICT_MATCH ? EV_PACKET : EV_PORT);
	e->netns = inum;
	e->ifindex = dev->ifindex;
	e->wire_len = wire;
	e->pkt_type = rx ? BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type) : PACKET_OUTGOING;
	if (loopback)
		e->flags |= EV_LOOPBACK;
	if (raw)
		e->flags |= EV_RAW;
	((__u64 *)e->name)[0] = ((__u64 *)dev->name)[0];
	((__u64 *)e->name)[1] = ((__u64 *)dev->name)[1];
	emit_frame(f, cap);
	return 0;
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(packet_out, struct sk_buff *skb, struct net_device *dev)
{
	return packet(skb, dev, false);
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(packet_in, struct sk_buff *skb)
{
	return packet(skb, skb->dev, true);
}

#endif
