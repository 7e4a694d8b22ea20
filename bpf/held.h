/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A SYN for an address that is no device's here and that nobody has answered for
 * is passed on, or the namespace's own firewall leads it to one of its sockets
 * (DNAT), after the receive hook. Its answer tells: a SYN-ACK of a request socket,
 * which knows its own tuple, or a reset. So it is held back until then, and told
 * just before the answer with the time at which it came. Nothing of its connection
 * can have come in between, so the order holds. What is never answered from here
 * is passed on, or was dropped behind the translation, and is not told.
 */
#ifndef HELD_H
#define HELD_H

#define HELD_ROOM 256 /* bytes of a frame: a SYN is 134 at most, unless it carries data */

#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

struct held_key {
	__u32 netns;
	__u32 seq;	 /* the SYN's, host order */
	__be16 from, to; /* its ports */
};

/* The beginning of a struct frame, ready to be sent. */
struct held {
	struct event e;
	__u8 data[HELD_ROOM];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, struct held_key);
	__type(value, struct held);
} held SEC(".maps");

/* tcp_at is where a frame's TCP header begins; 0: there is none, or it was not copied. */
static __always_inline __u32 tcp_at(struct frame *f, __u32 caplen, bool raw)
{
	__u32 at = raw ? 0 : ETH_HLEN, l4;
	__u8 *ip;

	if (!raw && ((f->data[12] == 0x81 && f->data[13] == 0) || (f->data[12] == 0x88 && f->data[13] == 0xa8)))
		at += 4;
	if (caplen < at + 40)
		return 0;
	ip = f->data + at;
	if (ip[0] >> 4 == 4) {
		if (ip[9] != IPPROTO_TCP || *(__be16 *)(ip + 6) & bpf_htons(0x1fff))
			return 0;
		l4 = at + (ip[0] & 15) * 4;
	} else {
		if (ip[6] != IPPROTO_TCP)
			return 0;
		l4 = at + 40;
	}
	return caplen < l4 + 20 ? 0 : l4;
}

/* hold_syn keeps a SYN; f->e is its record already. */
static __always_inline void hold_syn(struct frame *f, __u32 at)
{
	struct tcp_header *h = (void *)f->data + at;
	struct held_key key = { .netns = f->e.netns, .seq = bpf_ntohl(h->seq), .from = h->source, .to = h->dest };

	bpf_map_update_elem(&held, &key, f, 0);
}

/* tell_held tells the SYN that the segment at f->data + at answers, if it is held. */
static __always_inline void tell_held(struct frame *f, __u32 at, __u32 netns, struct sock *owner)
{
	struct tcp_header *h = (void *)f->data + at;
	struct held_key key = { .netns = netns, .seq = bpf_ntohl(h->ack_seq) - 1, .from = h->dest, .to = h->source };
	struct held *syn = bpf_map_lookup_elem(&held, &key);
	__u64 n;

	if (!syn)
		return;
	if (owner) {
		syn->e.flags |= EV_TUPLE;
		fill_tuple_direct(&syn->e, owner);
	}
	syn->e.lost = lost;
	n = syn->e.cap_len;
	if (n <= HELD_ROOM)
		output(syn, sizeof(syn->e) + n);
	bpf_map_delete_elem(&held, &key);
}

#endif
