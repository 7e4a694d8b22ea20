/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which sockets are asked for: by network namespace (output.h), by the cgroup
 * that they were made in, by the process that uses them. All of it is constant
 * while the programs run, and costs nothing where nothing is asked for.
 *
 * A socket whose process is not known yet passes: the reader decides when it
 * is. A packet in has no socket: it passes when it asks for a connection, or
 * belongs to a flow that was chosen before.
 */
#ifndef SELECT_H
#define SELECT_H

#define MAX_CHOICES 8
#define MAX_CGROUP_DEPTH 32
#define MAX_FLOWS 65536

const volatile __u32 pid_count = 0;
const volatile __u32 pid_only[MAX_CHOICES] = {};
const volatile __u32 comm_count = 0;
const volatile __u8 comm_only[MAX_CHOICES][16] = {}; /* NUL-padded */
const volatile __u32 cgroup_count = 0;
const volatile __u64 cgroup_only[MAX_CHOICES] = {}; /* ids */
const volatile bool by_process = false; /* a PID or a name was given */
const volatile bool selective = false;	/* or a cgroup */

/* Idle flows are forgotten first, when there are too many. */
struct flow_key {
	__u8 local[16], remote[16];
	__u16 lport, rport; /* host order */
	__u32 netns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow_key);
	__type(value, __u8);
} chosen_flows SEC(".maps");

static __always_inline bool is_chosen_cgroup(__u64 id)
{
	for (__u32 i = 0; i < MAX_CHOICES; i++)
		if (i < cgroup_count && cgroup_only[i] == id)
			return true;
	return false;
}

/* is_below walks from a cgroup up to the root; the plain number stands for a struct cgroup (see local.h). */
__attribute__((noinline)) int is_below(__u64 cgroup)
{
	struct cgroup *c = (void *)cgroup;

	for (int i = 0; i < MAX_CGROUP_DEPTH && c; i++) {
		if (is_chosen_cgroup(BPF_CORE_READ(c, kn, id)))
			return 1;
		c = (void *)BPF_CORE_READ(c, self.parent); /* self stands first in struct cgroup */
	}
	return 0;
}

static __always_inline bool in_cgroup(struct sock *sk)
{
	return is_below((__u64)socket_cgroup(sk));
}

/* is_chosen_task looks at a process, pid, by one of its threads: its name is the leader's. */
static __always_inline bool is_chosen_task(struct task_struct *t, __u32 pid)
{
	__u64 comm[2] = {};

	for (__u32 i = 0; i < MAX_CHOICES; i++)
		if (i < pid_count && pid_only[i] == pid)
			return true;
	if (!comm_count)
		return false;
	BPF_CORE_READ_STR_INTO(&comm, t, group_leader, comm); /* what stands behind the NUL is stale before 5.17 */
	for (__u32 i = 0; i < MAX_CHOICES; i++) {
		const volatile __u64 *want = (const volatile __u64 *)comm_only[i];

		if (i < comm_count && want[0] == comm[0] && want[1] == comm[1])
			return true;
	}
	return false;
}

static __always_inline bool is_chosen_process(__u32 pid)
{
	return is_chosen_task((void *)bpf_get_current_task(), pid);
}

/* is_anothers: the socket's process is known, and is not one that was asked for. */
static __always_inline bool is_anothers(__u64 cookie)
{
	__u64 *slot;

	if (!by_process || !cookie)
		return false;
	slot = owner_slot(cookie);
	return slot && is_claim_on(*slot, cookie) && !(*slot & CHOSEN);
}

/* is_passed_over: the socket, a full one, is not asked for. A child has its listener's cgroup. */
static __always_inline bool is_passed_over(struct sock *sk)
{
	if (!selective || !sk)
		return false;
	if (cgroup_count && !in_cgroup(sk))
		return true;
	return is_anothers(have_cookie_helper ? LOAD(sk, __sk_common.skc_cookie.counter) : plain(sk));
}

/* unmap: a dual-stack socket's IPv4 connection (::ffff:a.b.c.d) has IPv4 packets. */
static __always_inline void unmap(struct flow_key *key)
{
	__u32 *local = (void *)key->local, *remote = (void *)key->remote;

	if (remote[0] || remote[1] || remote[2] != bpf_htonl(0xffff))
		return;
	local[0] = local[3];
	remote[0] = remote[3];
	local[2] = local[3] = remote[2] = remote[3] = 0;
}

/* flow_of is the key of any socket's tuple, of request and timewait sockets too; false: it is not known whole. */
static __always_inline bool flow_of(struct sock *sk, __u32 netns, struct flow_key *key)
{
	struct sock_common *c = &sk->__sk_common;

	key->netns = netns;
	key->lport = LOAD(c, skc_num);
	key->rport = bpf_ntohs(LOAD(c, skc_dport));
	if (LOAD(c, skc_family) == AF_INET) {
		*(__u32 *)key->local = LOAD(c, skc_rcv_saddr);
		*(__u32 *)key->remote = LOAD(c, skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&key->local, c, skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&key->remote, c, skc_v6_daddr.in6_u.u6_addr8);
		unmap(key);
	}
	return key->lport && key->rport;
}

static __always_inline bool is_chosen_flow(struct flow_key *key)
{
	return bpf_map_lookup_elem(&chosen_flows, key);
}

/* choose_flow lets the packets in of a socket pass. */
static __always_inline void choose_flow(struct sock *sk, __u32 netns)
{
	struct flow_key key = {};
	__u8 yes = 1;

	if (selective && flow_of(sk, netns, &key))
		bpf_map_update_elem(&chosen_flows, &key, &yes, 0);
}

/* refuse_flow is for one whose process has turned out to be another's. */
static __always_inline void refuse_flow(struct sock *sk, __u32 netns)
{
	struct flow_key key = {};

	if (flow_of(sk, netns, &key))
		bpf_map_delete_elem(&chosen_flows, &key);
}

#endif
