/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A connection's life, gathered where it happens: a note for each socket, and one
 * record at its end. A report of lives has no other program at work but those of
 * lives.h.
 */
#ifndef LIFE_H
#define LIFE_H

#define MAX_LIVES (1 << 18)

struct life {
	__u64 began;
	__u64 established;
	__u64 shut;
	__u64 shut_too;
	__u64 first_read;
	__u32 flags; /* enum life_flag */
	__u32 execs;
	__u32 pid; /* who acted on it last; 0: nobody yet */
	__u32 tid;
	__u8 name[16];
};

/*
 * Most notes have a place that is there already: making socket storage and letting
 * it go costs a connection more than all that is noted in it. A place is found by the
 * socket's address, and is given back at the end. Whoever finds it taken, or at
 * the same time as another, has its note in socket storage.
 */
#define LIFE_SLOT_BITS 15

struct life_slot {
	__u64 socket; /* its address; 0: nobody's */
	__u64 claims; /* one for whoever has it, and for an instant one for each who tries */
	struct life life;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << LIFE_SLOT_BITS);
	__type(key, __u32);
	__type(value, struct life_slot);
} life_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct life);
} lives SEC(".maps");

/* Where tracing programs may not use socket storage (before 5.11): by the socket's address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LIVES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct life);
} lives_by_address SEC(".maps");

const volatile bool have_socket_storage = true;

/* Has any socket found its place taken? Then those without one are looked for elsewhere. */
bool slots_taken = false;

/* Sockets for whose note there was no room, on all CPUs. */
__u64 unnoted = 0;

static __always_inline struct life_slot *life_slot_of(__u64 address)
{
	__u32 slot = address * 0x9e3779b97f4a7c15ULL >> (64 - LIFE_SLOT_BITS); /* Fibonacci hashing */

	return bpf_map_lookup_elem(&life_slots, &slot);
}

static __always_inline struct life *life_of(struct sock *sk)
{
	__u64 address = plain(sk);
	struct life_slot *slot = life_slot_of(address);

	if (slot && slot->socket == address)
		return &slot->life;
	if (!slots_taken)
		return NULL;
	if (have_socket_storage)
		return bpf_sk_storage_get(&lives, sk, 0, 0);
	return bpf_map_lookup_elem(&lives_by_address, &address);
}

/*
 * take_slot: of those who come at once, one at most finds its claim to be the only
 * one. (Compare and exchange would be of 5.12.)
 */
static __always_inline bool take_slot(struct life_slot *slot, __u64 address)
{
	if (slot->socket == address)
		return true;
	if (slot->socket)
		return false;
	__sync_fetch_and_add(&slot->claims, 1);
	if (*(volatile __u64 *)&slot->claims == 1) {
		slot->socket = address;
		return true;
	}
	__sync_fetch_and_add(&slot->claims, -1);
	return false;
}

/*
 * forgets_elsewhere takes a note out that has no place. Socket storage would go with the
 * socket, but that may live on and connect again, and then have its note in a place.
 */
static __always_inline void forgets_elsewhere(struct sock *sk, __u64 address)
{
	if (!slots_taken)
		return;
	if (!have_socket_storage)
		bpf_map_delete_elem(&lives_by_address, &address);
	else if (plainly(sk)->sk_bpf_storage)
		bpf_sk_storage_delete(&lives, sk);
}

/* new_life gives an empty note, whatever stood there: a socket may connect again. */
static __always_inline struct life *new_life(struct sock *sk)
{
	__u64 address = plain(sk);
	struct life_slot *slot = life_slot_of(address);
	struct life *l, none = {};

	if (slot && take_slot(slot, address)) {
		__builtin_memset(&slot->life, 0, sizeof(slot->life));
		forgets_elsewhere(sk, address);
		return &slot->life;
	}
	slots_taken = true;
	if (have_socket_storage) {
		l = bpf_sk_storage_get(&lives, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (l)
			__builtin_memset(l, 0, sizeof(*l));
	} else {
		bpf_map_update_elem(&lives_by_address, &address, &none, BPF_ANY);
		l = bpf_map_lookup_elem(&lives_by_address, &address);
	}
	if (!l)
		__sync_fetch_and_add(&unnoted, 1);
	return l;
}

static __always_inline void life_is_over(struct sock *sk)
{
	__u64 address = plain(sk);
	struct life_slot *slot = life_slot_of(address);

	if (slot && slot->socket == address) {
		slot->socket = 0;
		__sync_fetch_and_add(&slot->claims, -1);
	} else {
		forgets_elsewhere(sk, address);
	}
}

/* notes_user: the current process acts on the socket, in its own context. */
static __always_inline void notes_user(struct life *l)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 pid = id >> 32, execs = exec_count();

	if ((l->pid == pid && l->execs == execs) || !is_user(pid))
		return;
	l->pid = pid;
	l->tid = id;
	l->execs = execs;
	if (l->pid == l->tid)
		bpf_get_current_comm(l->name, sizeof(l->name));
	else
		BPF_CORE_READ_INTO(&l->name, t, group_leader, comm);
	if (by_process && is_chosen_process(pid))
		l->flags |= LIFE_CHOSEN;
}

/* hands_over: a timewait minisock has taken sk's place, or was due and found no room. */
static __always_inline bool hands_over(struct sock *sk, __u8 oldstate)
{
	bool searched = false;

	if (oldstate == TCP_CLOSING)
		return true;
	if (oldstate != TCP_FIN_WAIT2)
		return false;
	return due_for_time_wait(sk) || minisock_of(sk, quick_cookie_of(sk), &searched);
}

static __always_inline void fill_counters(struct event *e, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = (void *)tp;
	__u32 now = bpf_jiffies64(), sent, received;

	e->bytes_acked = tp->bytes_acked;
	e->bytes_received = tp->bytes_received;
	e->segs_out = tp->segs_out;
	e->segs_in = tp->segs_in;
	e->total_retrans = tp->total_retrans;
	e->srtt_us = tp->srtt_us >> 3; /* kept times eight */
	e->bytes_sent = tp->bytes_sent;
	e->bytes_retrans = tp->bytes_retrans;
	e->rtt_min = tp->rtt_min.s[0].v;
	e->mss = tp->mss_cache;
	e->cwnd = tp->snd_cwnd;
	sent = now - tp->lsndtime;
	received = now - LOAD(icsk, icsk_ack.lrcvtime);
	e->idle = sent < received ? sent : received;
	e->unacked = tp->write_seq - tp->snd_una;
}

static __always_inline void fill_note(struct event *e, struct life *l)
{
	e->began = l->began;
	e->established = l->established;
	e->shut = l->shut;
	e->shut_too = l->shut_too;
	e->first_read = l->first_read;
	e->life = l->flags;
	if (!l->pid)
		return;
	e->flags |= EV_NAME;
	e->pid = l->pid;
	e->tid = l->tid;
	__builtin_memcpy(e->name, l->name, sizeof(e->name));
}

static __always_inline bool is_asked_for(struct sock *sk)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return false;
	if (netns_count && !netns_wanted(sockets_netns(sk)))
		return false;
	return !cgroup_count || in_cgroup(sk);
}

/* is_passed: its user is known, and not one that was asked for. */
static __always_inline bool is_passed(struct life *l)
{
	return by_process && l->pid && !(l->flags & LIFE_CHOSEN);
}

#endif
