/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is an address one of this namespace's own? The receive hook runs before
 * routing, so this is how a packet for us is told from one that is only passed
 * on: ask the receiving device first, then every device of the namespace.
 *
 * These are global functions, with kernel addresses as plain numbers, so that
 * the verifier walks each loop once and not once for every call.
 */
#ifndef LOCAL_H
#define LOCAL_H

#define MAX_DEVICES 128
#define MAX_ADDRESSES 64

struct address {
	__u64 high, low; /* IPv6 in network order; IPv4 in the low half of high */
	__u64 family;
};

__attribute__((noinline)) int device_has_v4(__u64 device, __u32 addr)
{
	struct net_device *dev = (void *)device;
	struct in_device *in = LOAD(dev, ip_ptr);
	struct in_ifaddr *ifa;

	if (!in)
		return 0;
	ifa = LOAD(in, ifa_list);
	for (int i = 0; i < MAX_ADDRESSES && ifa; i++) {
		if (LOAD(ifa, ifa_local) == addr)
			return 1;
		ifa = LOAD(ifa, ifa_next);
	}
	return ifa != NULL; /* too many to look at: rather shown than hidden */
}

__attribute__((noinline)) int device_has_v6(__u64 device, __u64 high, __u64 low)
{
	struct net_device *dev = (void *)device;
	struct inet6_dev *in = LOAD(dev, ip6_ptr);
	struct list_head *head, *p;

	if (!in)
		return 0;
	head = (void *)in + bpf_core_field_offset(struct inet6_dev, addr_list);
	p = LOAD(head, next);
	for (int i = 0; i < MAX_ADDRESSES && p && p != head; i++) {
		struct inet6_ifaddr *ifa = (void *)p - bpf_core_field_offset(struct inet6_ifaddr, if_list);

		if (number_at(&ifa->addr) == high && number_at((void *)&ifa->addr + 8) == low)
			return 1;
		p = LOAD(p, next);
	}
	return p && p != head;
}

__attribute__((noinline)) int device_has(__u64 device, __u64 high, __u64 low, __u64 family)
{
	return family == AF_INET ? device_has_v4(device, high) : device_has_v6(device, high, low);
}

__attribute__((noinline)) int namespace_has(__u64 netns, __u64 high, __u64 low, __u64 family)
{
	struct net *net = (void *)netns;
	struct list_head *head = (void *)net + bpf_core_field_offset(struct net, dev_base_head);
	__u64 p = number_at(&head->next);

	for (int i = 0; i < MAX_DEVICES && p && p != (__u64)head; i++) {
		__u64 dev = p - bpf_core_field_offset(struct net_device, dev_list);

		if (device_has(dev, high, low, family))
			return 1;
		p = number_at(&((struct list_head *)p)->next);
	}
	return p && p != (__u64)head;
}

/*
 * Addresses that are no device's, but that this namespace answers for: its own
 * firewall translates them (DNAT) after the receive hook. They become known by
 * the first answer that leaves; for the SYNs until then see held.h.
 */
struct answered {
	__u64 high, low;
	__u32 netns;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, struct answered);
	__type(value, __u8);
} answered SEC(".maps");

static __always_inline bool is_local(struct sk_buff *skb, struct address *a)
{
	__u64 device = number_at(&skb->dev);

	if (device_has(device, a->high, a->low, a->family))
		return true;
	return namespace_has(number_at(&((struct net_device *)device)->nd_net.net), a->high, a->low, a->family);
}

static __always_inline bool is_answered(struct address *a, __u32 netns)
{
	struct answered key = { .high = a->high, .low = a->low, .netns = netns };

	return bpf_map_lookup_elem(&answered, &key);
}

static __always_inline void answers_for(struct address *a, __u32 netns)
{
	struct answered key = { .high = a->high, .low = a->low, .netns = netns };
	__u8 yes = 1;

	bpf_map_update_elem(&answered, &key, &yes, 0);
}

/* read_address finds the source or destination of a frame; family 0: no IP header, or not captured. */
static __always_inline void read_address(struct frame *f, __u32 caplen, bool raw, bool source, struct address *a)
{
	__u32 at = raw ? 0 : ETH_HLEN;
	__u16 type = raw ? 0 : (f->data[12] << 8 | f->data[13]);

	a->family = 0;
	if (!raw && (type == 0x8100 || type == 0x88a8))
		at += 4;
	if (caplen < at + 20)
		return;
	if (f->data[at] >> 4 == 4) {
		a->family = AF_INET;
		a->high = 0;
		a->low = 0;
		if (source)
			__builtin_memcpy(&a->high, &f->data[at + 12], 4);
		else
			__builtin_memcpy(&a->high, &f->data[at + 16], 4);
	} else if (f->data[at] >> 4 == 6 && caplen >= at + 40) {
		a->family = AF_INET6;
		at += source ? 8 : 24;
		__builtin_memcpy(&a->high, &f->data[at], 8);
		__builtin_memcpy(&a->low, &f->data[at + 8], 8);
	}
}

#endif
