/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose socket is it? The last process that acted on it in its own context;
 * `owners` remembers it by the socket's cookie.
 */
#ifndef OWNER_H
#define OWNER_H

#define OWNER_SLOTS (1 << 18)

/*
 * This program's own process, and how others of its kind are called: their walks over
 * other processes' files may be the last to let go of one. The mask has the name's bytes
 * and its NUL; 0: there are none.
 */
const volatile __u32 own_pid = 0;
const volatile __u64 kin[2] = {};
const volatile __u64 kin_mask[2] = {};

/* One slot is one number, so that no CPU ever sees half of one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OWNER_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} owners SEC(".maps");

static __always_inline __u64 *owner_slot(__u64 cookie)
{
	__u32 slot = have_cookie_helper ? cookie : cookie >> 6;

	slot &= OWNER_SLOTS - 1;
	return bpf_map_lookup_elem(&owners, &slot);
}

/*
 * claim is what a slot holds of a socket and its process: half the cookie, and
 * the process with its count of execs, because a program may hand its sockets
 * to the next one in the same process (inetd). CHOSEN is set when the process
 * is one that was asked for (select.h), HELD when it has not acted, but is known
 * to hold the socket open (walk.h).
 */
#define CHOSEN 0x80000000ULL
#define HELD 0x40000000ULL

static __always_inline __u64 claim_for(__u64 cookie, __u32 pid, __u32 execs)
{
	return cookie << 32 | ((pid ^ execs << 22) & ~(CHOSEN | HELD));
}

/* exec_count and the flags by direct loads where bpf_get_current_task_btf is to be had (5.11, as good as the cookie helper's 5.12). */
static __always_inline __u64 exec_count(void)
{
	struct task_struct *t;

	if (have_cookie_helper)
		return bpf_get_current_task_btf()->self_exec_id;
	t = (void *)bpf_get_current_task();
	return BPF_CORE_READ(t, self_exec_id);
}

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *t;

	if (have_cookie_helper)
		return bpf_get_current_task_btf()->flags & PF_KTHREAD;
	t = (void *)bpf_get_current_task();
	return BPF_CORE_READ(t, flags) & PF_KTHREAD;
}

static __always_inline __u64 claim(__u64 cookie, __u32 pid)
{
	return claim_for(cookie, pid, exec_count());
}

static __always_inline bool is_claim_on(__u64 slot, __u64 cookie)
{
	return slot >> 32 == (cookie & 0xffffffff);
}

/* is_kin looks at the thread's name: nobody gives another one to a walk's. */
static __always_inline bool is_kin(void)
{
	__u64 comm[2] = {};

	if (!kin_mask[0])
		return false;
	if (have_cookie_helper) { /* as above */
		struct task_struct *t = bpf_get_current_task_btf();

		comm[0] = ((__u64 *)t->comm)[0];
		comm[1] = ((__u64 *)t->comm)[1];
	} else {
		bpf_get_current_comm(comm, sizeof(comm));
	}
	return !((comm[0] ^ kin[0]) & kin_mask[0]) && !((comm[1] ^ kin[1]) & kin_mask[1]);
}

/*
 * is_user: not a kernel thread that works for somebody (delayed fput), and not
 * ourselves or kin. Only for places that are known to run in process context.
 */
static __always_inline bool is_user(__u32 pid)
{
	return pid != own_pid && !is_kernel_thread() && !is_kin();
}

/* fill_task names the current process, by its leader's name as /proc/PID/comm and ss have it. */
static __always_inline void fill_task(struct event *e)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();

	e->flags |= EV_NAME;
	e->pid = id >> 32;
	e->tid = id;
	if (e->pid == e->tid) /* the leader itself */
		bpf_get_current_comm(e->name, sizeof(e->name));
	else
		BPF_CORE_READ_INTO(&e->name, t, group_leader, comm);
}

#endif
