/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a device is in a packet's way, and when its name is told. */
#ifndef DEVICE_H
#define DEVICE_H

#define IFF_LOOPBACK 0x8
#define IFF_EBRIDGE (1 << 1)
#define IFF_BRIDGE_PORT (1 << 9)

static __always_inline struct net *devices_net(struct net_device *dev)
{
	return plainly(dev)->nd_net.net;
}

static __always_inline bool is_ethernet(struct net_device *dev)
{
	return dev->type == ARPHRD_ETHER || dev->type == ARPHRD_LOOPBACK;
}

/*
 * Has it a lower device in this namespace (VLAN, bond, macvlan)? Then that one
 * will carry the packet. Not so a bridge: it may send one packet to many ports.
 */
static __always_inline bool is_stacked(struct net_device *dev)
{
	struct list_head *lower = (void *)dev + bpf_core_field_offset(struct net_device, adj_list.lower);
	struct list_head *first = LOAD(lower, next);
	struct netdev_adjacent *below;
	struct net_device *lower_dev;

	if (first == lower || LOAD_BITS(dev, priv_flags) & IFF_EBRIDGE)
		return false;
	below = (void *)first - bpf_core_field_offset(struct netdev_adjacent, list);
	lower_dev = LOAD(below, dev);
	return LOAD(lower_dev, nd_net.net) == devices_net(dev);
}

/* Sent by a socket of this namespace, or by its kernel; what is passed on has come in somewhere. */
static __always_inline bool is_senders_device(struct sk_buff *skb, struct net_device *dev)
{
	struct sock *sk = plainly(skb)->sk;

	if (!sk)
		return !skb->skb_iif;
	return sk->__sk_common.skc_net.net == devices_net(dev);
}

/*
 * A device's name crosses once, and again when it changes: a table by hash
 * remembers what was said last. Two devices in one slot only repeat themselves.
 */
struct announced {
	__u32 netns, ifindex;
	__u64 name[2];
};

#define ANNOUNCED_SLOTS 256

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ANNOUNCED_SLOTS);
	__type(key, __u32);
	__type(value, struct announced);
} devices SEC(".maps");

static __always_inline struct announced *slot_of(__u32 netns, __u32 ifindex)
{
	__u32 slot = (ifindex * 31 + netns) % ANNOUNCED_SLOTS;

	return bpf_map_lookup_elem(&devices, &slot);
}

static __always_inline bool is_announced(struct announced *a, __u32 netns, struct net_device *dev)
{
	return a->ifindex == dev->ifindex && a->netns == netns && a->name[0] == ((__u64 *)dev->name)[0] &&
	       a->name[1] == ((__u64 *)dev->name)[1];
}

static __always_inline void announce(struct announced *a, struct event *e)
{
	a->netns = e->netns;
	a->ifindex = e->ifindex;
	a->name[0] = ((__u64 *)e->name)[0];
	a->name[1] = ((__u64 *)e->name)[1];
}

#endif
