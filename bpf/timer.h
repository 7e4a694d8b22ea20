/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The timers of request sockets and timewait minisocks: what ends them, and no
 * tracepoint tells. Jiffies cross as they are; the reader knows how long one is.
 */
#ifndef TIMER_H
#define TIMER_H

#define RTO_MAX_SECONDS 120

/* Jiffies in a second (CONFIG_HZ). */
const volatile __u32 hz = 250;

static __always_inline void fill_timer(struct event *e, __u64 expires)
{
	e->ifindex = bpf_jiffies64();
	e->wire_len = expires;
}

/*
 * next_timeout is when the request socket's timer will be due, once the SYN-ACK
 * that is being told has left (tcp_reqsk_timeout). A timer that is not pending
 * is the one that runs right now, and counts one time-out more.
 */
static __always_inline __u64 next_timeout(struct sock *listener, struct request_sock *req)
{
	struct inet_connection_sock *icsk = (void *)listener;
	__u64 first = hz, most = RTO_MAX_SECONDS * hz;
	__u32 n = BPF_CORE_READ_BITFIELD_PROBED(req, num_timeout);

	if (!BPF_CORE_READ(req, rsk_timer.entry.pprev))
		n++;
	if (bpf_core_field_exists(req->timeout))
		first = BPF_CORE_READ(req, timeout);
	if (bpf_core_field_exists(icsk->icsk_rto_max))
		most = BPF_CORE_READ(icsk, icsk_rto_max);
	if (n < 32 && first << n < most)
		most = first << n;
	return bpf_jiffies64() + most;
}

/*
 * slot_end is the jiffy in which a timer fires that is armed now: at the end of a slot of
 * the timer wheel (kernel/time/timer.c), and the further ahead, the wider the slot.
 */
static __always_inline __u64 slot_end(__u64 now, __u64 expires)
{
	__u32 shift = 0;

	for (int level = 0; level < 8; level++) /* LVL_DEPTH at most */
		if (expires - now >= 63ULL << shift) /* LVL_START(1) */
			shift += 3; /* LVL_CLK_SHIFT */
	return ((expires >> shift) + 1) << shift;
}

#endif
