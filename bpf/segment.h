/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Reading the IP and TCP header of an skb that is not at a device: drops and resets. */
#ifndef SEGMENT_H
#define SEGMENT_H

struct ipv4_header {
	__u8 version_ihl, tos;
	__be16 len, id, frag;
	__u8 ttl, protocol;
	__be16 check;
	__be32 saddr, daddr;
};

struct ipv6_header {
	__u8 version_class, rest[3];
	__be16 payload_len;
	__u8 next, hops;
	__u8 saddr[16], daddr[16];
};

struct tcp_header {
	__be16 source, dest;
	__be32 seq, ack_seq;
	__u8 doff, flags;
	__be16 window, check, urgent;
};

/* linear_end: how far the skb's own bytes reach; beyond lies somebody else's memory. */
static __always_inline __u64 linear_end(struct sk_buff *skb)
{
	return (__u64)BPF_CORE_READ(skb, data) + BPF_CORE_READ(skb, len) - BPF_CORE_READ(skb, data_len);
}

static __always_inline bool read_tcp(struct event *e, struct sk_buff *skb, __u64 at, __u32 ip_payload, bool reversed)
{
	struct tcp_header h;

	if (at + sizeof(h) > linear_end(skb) || bpf_probe_read_kernel(&h, sizeof(h), (void *)at))
		return false;
	e->sport = bpf_ntohs(reversed ? h.dest : h.source);
	e->dport = bpf_ntohs(reversed ? h.source : h.dest);
	e->seq = bpf_ntohl(h.seq);
	e->tcp_flags = h.flags;
	e->seg_len = ip_payload - (h.doff >> 4) * 4 + (h.flags & 1) + (h.flags >> 1 & 1);
	e->flags |= EV_SEGMENT;
	return true;
}

/* is_tcp is a first look, before a record is reserved for the segment. */
static __always_inline bool is_tcp(struct sk_buff *skb)
{
	__u64 at = (__u64)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	__u16 type = bpf_ntohs(BPF_CORE_READ(skb, protocol));
	__u8 protocol = 0;

	if (type != ETH_P_IP && type != ETH_P_IPV6)
		return false;
	at += type == ETH_P_IP ? 9 : 6;
	bpf_probe_read_kernel(&protocol, 1, (void *)at);
	return protocol == IPPROTO_TCP;
}

/*
 * fill_segment reads the tuple and the TCP header of an skb that has its IP
 * header; reversed: the packet came in, so its destination is the local side.
 * False: not TCP, a later fragment, or not in the linear part.
 */
static __always_inline bool fill_segment(struct event *e, struct sk_buff *skb, bool reversed)
{
	__u64 at = (__u64)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	__u16 type = bpf_ntohs(BPF_CORE_READ(skb, protocol));

	if (type == ETH_P_IP) {
		struct ipv4_header h;
		__u32 ihl;

		if (at + sizeof(h) > linear_end(skb) || bpf_probe_read_kernel(&h, sizeof(h), (void *)at))
			return false;
		if (h.version_ihl >> 4 != 4 || h.protocol != IPPROTO_TCP || bpf_ntohs(h.frag) & 0x1fff)
			return false;
		ihl = (h.version_ihl & 15) * 4;
		e->family = AF_INET;
		*(__u32 *)e->saddr = reversed ? h.daddr : h.saddr;
		*(__u32 *)e->daddr = reversed ? h.saddr : h.daddr;
		return read_tcp(e, skb, at + ihl, bpf_ntohs(h.len) - ihl, reversed);
	}
	if (type == ETH_P_IPV6) {
		struct ipv6_header h;

		if (at + sizeof(h) > linear_end(skb) || bpf_probe_read_kernel(&h, sizeof(h), (void *)at))
			return false;
		if (h.version_class >> 4 != 6 || h.next != IPPROTO_TCP)
			return false;
		e->family = AF_INET6;
		__builtin_memcpy(e->saddr, reversed ? h.daddr : h.saddr, 16);
		__builtin_memcpy(e->daddr, reversed ? h.saddr : h.daddr, 16);
		return read_tcp(e, skb, at + sizeof(h), bpf_ntohs(h.payload_len), reversed);
	}
	return false;
}

#endif
