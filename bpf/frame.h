/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * frame: a packet's record as it is put together, per CPU and per hook, and
 * the filter that judges it. The loader replaces the bodies of the filter_*
 * stubs by the translated pcap expression (internal/kernel/cbpf.go), so their
 * signatures are a contract: 1 match, 0 no match, 2 a load ran past the
 * copied bytes but not past the packet.
 */
#ifndef FRAME_H
#define FRAME_H

#define FRAME_ROOM 4096 /* most bytes of a frame that are looked at or kept */
#define FRAME_MASK (FRAME_ROOM - 1)
#define FRAME_SLACK 64 /* room behind, so that a bounded offset plus a bounded length stays inside */

#define MAX_MAC_HEADER 64

#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772

#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86DD

#define IPPROTO_ICMP 1
#define IPPROTO_ICMPV6 58

enum hook { HOOK_RX, HOOK_TX, HOOK_SOCKET, HOOKS };

enum verdict { VERDICT_NO, VERDICT_MATCH, VERDICT_SHORT, VERDICT_BEYOND };

/* The frame's bytes stand right behind the longest record head; see head_of. */
struct frame {
	struct event e;
	__u8 data[FRAME_ROOM + FRAME_SLACK];
	__u64 scratch;
};

/* What packet() finds out step by step. */
struct sighting {
	struct sk_buff *skb;
	struct net_device *dev;
	struct frame *f;
	void *src;    /* first byte of the frame */
	__u32 linear; /* bytes from there that are the skb's own */
	__u32 pulled; /* of these, link-layer header in front of skb->data */
	__u32 wire;
	__u32 cap;    /* bytes copied to f->data */
	__be16 vlan;
	bool rx, raw;
	__u8 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

const volatile bool show_packets = true;
const volatile __u32 snap_len = 192;  /* bytes kept of a frame, at most FRAME_MASK */
const volatile __u32 copy_len = 192;  /* bytes copied for the filter: snap_len, or its reach if larger */
const volatile __u32 fetch_len = FRAME_MASK; /* the same when paged data has to be fetched */
const volatile bool gather = false;   /* always fetch paged data: snap_len asks for payload */
const volatile bool keep_quotes = false; /* keep ICMP errors whatever the expression says */
const volatile bool have_dynptr = true; /* tracing programs may call it from 6.12 on; the loader finds out */
const volatile bool judge_tagged = false; /* the expression says "vlan": judge frames with their tag, else as libpcap does live */

/* Frames that the filter could not decide: what it asked for could not be fetched. On all CPUs. */
__u64 undecided = 0;

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym __weak;

/* Hide a bound behind asm: clang 14 else drops the mask and older verifiers lose the bound. */
#define BOUND(x) asm volatile("%0 &= 0xfff" : "+r"(x))

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

/*
 * copy_all fetches paged bytes too: the link-layer header from src, the rest
 * through a dynptr that starts at skb->data. A stack frame of its own: no helper
 * may write where a dynptr has been.
 */
static __attribute__((noinline)) __u32 copy_all(struct frame *f, struct sk_buff *skb, void *src, __u32 pulled, __be16 vlan)
{
	struct bpf_dynptr ptr;
	__u64 n = skb->len, at = pulled;

	if (!have_dynptr || vlan || pulled > MAX_MAC_HEADER || !bpf_dynptr_from_skb)
		return 0;
	if (n > fetch_len - pulled)
		n = fetch_len - pulled;
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

static __attribute__((noinline)) int filter_ether(struct frame *f, __u32 caplen, __u32 wire)
{
	int r;

	asm volatile("%0 = 1" : "=r"(r) : "r"(f), "r"(caplen), "r"(wire));
	return r;
}

static __attribute__((noinline)) int filter_raw(struct frame *f, __u32 caplen, __u32 wire)
{
	int r;

	asm volatile("%0 = 1" : "=r"(r) : "r"(f), "r"(caplen), "r"(wire));
	return r;
}

/*
 * anew gives a number back as one that the verifier knows nothing about. What it
 * knows differs from path to path, and it would walk all that follows once for
 * each.
 */
static __always_inline __u32 anew(struct frame *f, __u32 number)
{
	*(volatile __u64 *)&f->scratch = number;
	return *(volatile __u64 *)&f->scratch;
}

/* head_of: where the head must stand so that data follows a record without further parts. */
static __always_inline struct event *head_of(struct frame *f)
{
	return (void *)f + sizeof(struct event) - EVENT_HEAD;
}

static __always_inline int judge(struct frame *f, __u32 caplen, __u32 wire, bool raw)
{
	return raw ? filter_raw(f, caplen, wire) : filter_ether(f, caplen, wire);
}

/* An ICMP error quotes a packet: unreachable, redirect, time exceeded, parameter problem; ICMPv6 types 1-4. */
static __always_inline bool is_icmp_error(struct frame *f, __u32 caplen, bool raw)
{
	__u32 at = raw ? 0 : ETH_HLEN;
	__u8 type;

	if (caplen < at + 48)
		return false;
	if (f->data[at] >> 4 == 4) {
		if (f->data[at + 9] != IPPROTO_ICMP)
			return false;
		type = f->data[at + (f->data[at] & 15) * 4];
		return type == 3 || type == 5 || type == 11 || type == 12;
	}
	if (f->data[at] >> 4 == 6 && f->data[at + 6] == IPPROTO_ICMPV6) {
		type = f->data[at + 40];
		return type >= 1 && type <= 4;
	}
	return false;
}

#endif
