/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The ring buffer, its wake-ups and its losses; which namespaces are traced. */
#ifndef OUTPUT_H
#define OUTPUT_H

#define MAX_NETNS 8

/* Wake the reader only when this much waits; its own timer does the rest. */
const volatile __u32 wake_bytes = 256 * 1024;

/* Namespaces to trace, by inode; none: all. */
const volatile __u32 netns_count = 0;
const volatile __u32 netns_only[MAX_NETNS] = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
	__type(value, struct event);
} events SEC(".maps");

/* Records that found no room, on all CPUs. Every later record carries it. */
__u64 lost = 0;

static __always_inline bool netns_wanted(__u32 inum)
{
	if (!netns_count)
		return true;
	for (int i = 0; i < MAX_NETNS; i++)
		if (i < netns_count && netns_only[i] == inum)
			return true;
	return false;
}

static __always_inline __u64 wake_flags(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= wake_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void stamp(struct event *e, __u8 kind)
{
	e->kind = kind;
	e->time = bpf_ktime_get_ns();
	e->lost = lost;
}

/* reserve gives a zeroed record, stamped, or NULL and counts the loss. */
static __always_inline struct event *reserve(__u8 kind)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	stamp(e, kind);
	return e;
}

static __always_inline void submit(struct event *e)
{
	bpf_ringbuf_submit(e, wake_flags());
}

#endif
