/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The middle of a stream: segments that tell nothing which the ones before and
 * behind do not tell as well. A verdict needs how a conversation began, each turn
 * in it, each pause, what came out of order, twice or not at all, and its end; of
 * ten thousand segments that follow each other at once it needs a few.
 *
 * A segment may be left out only when so many in its direction have been told
 * in a row, each right behind the one before (the next number, no pause, the same
 * speaker, no flag but ACK and PSH, no option but timestamps, an open window), and
 * one not long ago. An acknowledgement of all that is under way is always told, as
 * silence may follow. Whatever is not like that begins the row anew, in both
 * directions.
 */
#ifndef MIDDLE_H
#define MIDDLE_H

#define MIDDLE_SLOTS (1 << 14)
#define MIDDLE_ROW 32			  /* told in a row before any is left out */
#define MIDDLE_PAUSE (5 * 1000 * 1000ULL) /* ns: longer begins the row anew */
#define MIDDLE_EVERY (10 * 1000 * 1000ULL) /* ns: one is told so often */
#define MIDDLE_FLAGS 0xe7 /* all but ACK and PSH: CWR ECE URG RST SYN FIN */

#define TIMESTAMPS 0x0101080a /* NOP, NOP, and the kind and length of RFC 7323's option */

/* Leave out the middle of streams? */
const volatile bool skip_middle = false;

/* Segments left out, on all CPUs. */
__u64 in_the_middle = 0;

/* What one end has sent of late. */
struct course {
	__u64 seen, told; /* CLOCK_MONOTONIC, ns; the latest, and the latest told */
	__u32 next, ack;  /* the number behind all that it sent, and what it acknowledged */
	__u32 most;	  /* payload of the largest in this row */
	__u32 row;	  /* how many were told in a row */
	__u32 rows;	  /* which row it is; see below */
	__u32 pad;
};

/* A conversation's place, by hash: whoever comes to it anew begins anew. */
struct stream {
	__u64 key;
	__u32 speaker; /* who sent payload last */
	__u32 rows;    /* how often it began anew: the directions may be on two CPUs, and each counts for itself */
	struct course of[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MIDDLE_SLOTS);
	__type(key, __u32);
	__type(value, struct stream);
} streams SEC(".maps");

/* A segment as far as it matters here. */
struct piece {
	__u64 key;
	__u32 way; /* 0 or 1: which end sends */
	__u32 seq, ack, len;
	bool plain; /* nothing in it that has to be told */
	bool syn;
};

static __always_inline __u64 mix(__u64 n) /* the finalizer of MurmurHash3, public domain */
{
	n = (n ^ n >> 33) * 0xff51afd7ed558ccdULL;
	n = (n ^ n >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return n ^ n >> 33;
}

static __always_inline __u64 word_at(struct frame *f, __u32 at)
{
	__u64 w;

	__builtin_memcpy(&w, &f->data[at], 8);
	return w;
}

/* read_piece reads an unfragmented TCP segment without IPv6 extension headers; false: it is none. */
static __always_inline bool read_piece(struct sighting *s, __u32 netns, struct piece *p)
{
	__u32 at = s->raw ? 0 : ETH_HLEN, l4 = tcp_at(s->f, s->cap, s->raw), payload, header;
	struct tcp_header *h;
	__u64 from, to;
	__u8 *ip;

	if (!l4 || s->vlan || (!s->raw && s->f->data[12] != 0x08 && s->f->data[12] != 0x86)) /* a tag is in the way */
		return false;
	ip = s->f->data + at;
	h = (void *)s->f->data + l4;
	header = (h->doff >> 4) * 4;
	if (s->cap < l4 + header)
		return false;
	if (ip[0] >> 4 == 4) {
		if (ip[6] & 0x20) /* more fragments */
			return false;
		from = *(__u32 *)(ip + 12);
		to = *(__u32 *)(ip + 16);
		payload = bpf_ntohs(*(__be16 *)(ip + 2)) - (ip[0] & 15) * 4 - header;
	} else {
		from = mix(word_at(s->f, at + 8)) + word_at(s->f, at + 16);
		to = mix(word_at(s->f, at + 24)) + word_at(s->f, at + 32);
		payload = bpf_ntohs(*(__be16 *)(ip + 4)) - header;
	}
	from = mix(mix(from) + h->source);
	to = mix(mix(to) + h->dest);
	p->key = mix(from + to + netns) | 1;
	p->way = from > to;
	p->seq = bpf_ntohl(h->seq);
	p->ack = bpf_ntohl(h->ack_seq);
	p->len = payload;
	p->syn = h->flags & TCP_FLAG_SYN;
	p->plain = !(h->flags & MIDDLE_FLAGS) && h->window && payload < 1 << 16 && /* a length of 0 says that it is longer (BIG TCP) */
		   (header == 20 || (header == 32 && *(__be32 *)(h + 1) == bpf_htonl(TIMESTAMPS)));
	return true;
}

/* goes_on: is it right behind what its end sent before? */
static __always_inline bool goes_on(struct stream *at, struct course *mine, struct piece *p, __u64 now)
{
	if (!p->plain || p->seq != mine->next || now - mine->seen > MIDDLE_PAUSE)
		return false;
	if (p->len)
		return at->speaker == p->way && p->ack == mine->ack;
	return (__s32)(p->ack - mine->ack) > 0;
}

/* leaves_some: is it certain that more is under way than it acknowledges? */
static __always_inline bool leaves_some(struct stream *at, struct course *other, __u32 ack)
{
	return other->rows == at->rows && (__s32)(other->next - ack) > 0;
}

/* is_middle: need it not be told? */
static __attribute__((noinline)) int is_middle(struct sighting *s, __u32 netns)
{
	__u64 now = bpf_ktime_get_ns();
	struct course *mine, *other;
	struct piece p = {};
	struct stream *at;
	__u32 slot;
	bool goes, anew;

	if (!read_piece(s, netns, &p))
		return 0;
	slot = p.key >> 32 & (MIDDLE_SLOTS - 1);
	at = bpf_map_lookup_elem(&streams, &slot);
	if (!at)
		return 0;
	mine = &at->of[p.way & 1];
	other = &at->of[!p.way];
	anew = at->key != p.key || p.syn;
	goes = !anew && goes_on(at, mine, &p, now);
	if (!goes) {
		at->key = p.key;
		__sync_fetch_and_add(&at->rows, 1);
	}
	if (mine->rows != at->rows) {
		mine->rows = at->rows;
		mine->row = mine->most = 0;
	}
	mine->seen = now;
	if (anew || (__s32)(p.seq + p.len - mine->next) > 0)
		mine->next = p.seq + p.len + p.syn; /* what is sent again is behind it, and told */
	mine->ack = p.ack;
	if (p.len)
		at->speaker = p.way;
	if (goes && mine->row >= MIDDLE_ROW && p.len <= mine->most && now - mine->told < MIDDLE_EVERY && (p.len || leaves_some(at, other, p.ack))) {
		__sync_fetch_and_add(&in_the_middle, 1);
		return 1;
	}
	if (p.len > mine->most)
		mine->most = p.len;
	mine->row++;
	mine->told = now;
	return 0;
}

#endif
