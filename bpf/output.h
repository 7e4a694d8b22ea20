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

/*
 * Only the records around the mark wake: beyond it the reader is awake already,
 * and a wake-up (an interrupt to another CPU) costs more than all the rest. The
 * window is as wide as the largest record, or the mark could be jumped.
 */
const volatile __u32 wake_window = 256;

static __always_inline __u64 wake_flags(void)
{
	__u64 waiting = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	return waiting - wake_bytes < wake_window ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void stamp(struct event *e, __u8 kind)
{
	e->kind = kind;
	e->time = bpf_ktime_get_ns();
	e->lost = lost;
}

/*
 * reserve gives a stamped record that ends behind a part (EVENT_TUPLE …), its
 * numbers zero, or NULL and counts the loss. size must be a constant.
 */
static __always_inline struct event *reserve(__u8 kind, __u64 size)
{
	struct event *e = bpf_ringbuf_reserve(&events, size, 0);

	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return NULL;
	}
	__builtin_memset(e, 0, EVENT_HEAD);
	if (size > EVENT_TUPLE)
		__builtin_memset(&e->pid, 0, size - EVENT_TUPLE);
	e->sport = e->dport = 0;
	e->err = 0;
	e->cgroup = 0;
	e->isn = e->peer_isn = 0;
	stamp(e, kind);
	e->flags = EV_TUPLE;
	return e;
}

static __always_inline void submit(struct event *e)
{
	bpf_ringbuf_submit(e, wake_flags());
}

/* output sends len bytes from e on; false: lost, and counted. */
static __always_inline bool output(void *e, __u64 len)
{
	if (!bpf_ringbuf_output(&events, e, len, wake_flags()))
		return true;
	__sync_fetch_and_add(&lost, 1);
	return false;
}

#endif
