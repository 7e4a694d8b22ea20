/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The packet socket's tap: a socket filter that writes what it sees into the
 * same ring buffer, then lets the socket drop it. So a device that the
 * tracepoints do not serve (VLAN, bond, macvlan, bridge) still shares the one order.
 */
#ifndef TAP_H
#define TAP_H

const volatile __u32 tap_netns = 0;
const volatile bool tap_raw = false;
const volatile __u8 tap_name[16] = {};

/* load loads n bytes, if there are any. Verifiers before 6.8 do not learn from a comparison with 0 that n is more. */
static __always_inline bool load(struct __sk_buff *skb, __u32 from, void *to, __u64 n)
{
	__u64 less = n - 1;

	if (!n)
		return false;
	BOUND(less);
	return !bpf_skb_load_bytes(skb, from, to, less + 1);
}

/* copy_tap loads the frame, paged parts included, with its VLAN tag back in place or without. */
static __always_inline __u32 copy_tap(struct frame *f, struct __sk_buff *skb, bool tagged)
{
	__u64 n = skb->len;

	if (n > fetch_len)
		n = fetch_len;
	if (tagged && n >= 14) {
		if (bpf_skb_load_bytes(skb, 0, f->data, 12))
			return 0;
		*(__u16 *)(f->data + 12) = skb->vlan_proto;
		*(__u16 *)(f->data + 14) = bpf_htons(skb->vlan_tci);
		n -= 12;
		return load(skb, 12, f->data + 16, n) ? n + 16 : 0;
	}
	return load(skb, 0, f->data, n) ? n : 0;
}

SEC("socket")
int packet_tap(struct __sk_buff *skb)
{
	bool outgoing = skb->pkt_type == PACKET_OUTGOING, tagged;
	__u32 slot = HOOK_SOCKET, wire = skb->len, cap;
	struct frame *f;
	struct event *e;
	__u64 n;
	int v;

	if (outgoing ? !want_out : !want_in)
		return 0;
	f = bpf_map_lookup_elem(&frames, &slot);
	if (!f)
		return 0;
	tagged = skb->vlan_present && !tap_raw;
	cap = copy_tap(f, skb, tagged && judge_tagged);
	v = judge(f, cap, tagged && judge_tagged ? wire + 4 : wire, tap_raw);
	e = &f->e;
	e->flags = EV_NAME | (tap_raw ? EV_RAW : 0);
	if (v == VERDICT_MATCH) {
		e->flags |= EV_ASKED;
	} else if (!keep_quotes || !is_icmp_error(f, cap, tap_raw)) {
		if (v != VERDICT_NO)
			__sync_fetch_and_add(&undecided, 1);
		return 0;
	}
	if (tagged) {
		wire += 4;
		if (!judge_tagged)
			cap = copy_tap(f, skb, true);
	}
	stamp(e, EV_PACKET);
	e->cookie = 0;
	e->netns = tap_netns;
	e->ifindex = skb->ifindex;
	e->wire_len = wire;
	e->detail = skb->pkt_type;
	e->pid = 0;
	for (int i = 0; i < 16; i++)
		e->name[i] = tap_name[i];
	n = cap < snap_len ? cap : snap_len;
	BOUND(n);
	e->cap_len = n;
	output(e, sizeof(*e) + n);
	return 0;
}

#endif
