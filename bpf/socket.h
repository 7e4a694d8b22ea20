/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a struct sock tells: its tuple, cookie, namespace, and who acts on it. */
#ifndef SOCKET_H
#define SOCKET_H

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define PF_KTHREAD 0x00200000

enum tcp_state { /* include/net/tcp_states.h */
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_NEW_SYN_RECV,
};

/*
 * bpf_rdonly_cast (6.2) takes any number for the address of a struct, whose fields
 * are then loaded directly: an instruction, where a call of bpf_probe_read_kernel
 * takes 50-100 ns. The loader finds out whether it is there.
 */
const volatile bool have_rdonly_cast = false;
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

#define cast(p) ((typeof(p))bpf_rdonly_cast(p, bpf_core_type_id_kernel(typeof(*(p)))))

/* LOAD reads a field; an address that is none reads as 0. LOAD_BITS is for fields that are narrower than a byte on some kernel. */
#define LOAD(p, field) (have_rdonly_cast ? cast(p)->field : BPF_CORE_READ(p, field))
#define LOAD_BITS(p, field)                                                                                    \
	({                                                                                                     \
		typeof(p) to = (p);                                                                            \
		if (have_rdonly_cast)                                                                          \
			to = cast(to);                                                                         \
		have_rdonly_cast ? BPF_CORE_READ_BITFIELD(to, field) : BPF_CORE_READ_BITFIELD_PROBED(to, field); \
	})

/*
 * plainly takes the verifier's trust from a typed pointer. For each pointer that is
 * loaded through a trusted one, on each path, it asks whether that is to be trusted
 * too, and searches all the kernel's type names for the answer: milliseconds each,
 * which were most of the time to start. The loads stay what they are; only helpers
 * want trust.
 */
#define plainly(p) (have_rdonly_cast ? cast(p) : (p))

/* number_at reads 8 bytes as a number, whatever pointer they are: verifiers refuse to compute with a typed one. */
static __always_inline __u64 number_at(const void *address)
{
	struct timespec64 *any = (void *)address; /* it begins with a 64-bit number */
	__u64 value = 0;

	if (have_rdonly_cast)
		return cast(any)->tv_sec;
	bpf_probe_read_kernel(&value, sizeof(value), address);
	return value;
}

/*
 * argument reads one raw argument of the tracepoint as a plain number. For
 * pointers that may be NULL: early verifiers take them for never NULL and drop
 * the check, later ones refuse arithmetic on them.
 */
static __always_inline __u64 argument(unsigned long long *ctx, int i)
{
	return number_at(&ctx[i]);
}

/* plain turns a typed pointer into a number. */
static __always_inline __u64 plain(const void *p)
{
	return number_at(&p);
}

static __always_inline struct net *net_of(struct sock *sk)
{
	return plainly(sk)->__sk_common.skc_net.net;
}

static __always_inline __u32 sockets_netns(struct sock *sk)
{
	return net_of(sk)->ns.inum;
}

/* bpf_get_socket_cookie in tracing programs: 5.12. The loader probes for it. */
const volatile bool have_cookie_helper = true;

static __always_inline __u64 cookie_of(struct sock *sk)
{
	if (have_cookie_helper)
		return bpf_get_socket_cookie(sk);
	return plain(sk);
}

/*
 * The cookie of a socket that is reached through a packet, where the helper is
 * refused. It is there when a state program or anybody else has asked for it
 * before; request sockets have none.
 */
static __always_inline __u64 known_cookie_of(struct sock *sk)
{
	if (!LOAD(sk, __sk_common.skc_num))
		return 0; /* the namespace's own control socket: not a connection */
	if (have_cookie_helper)
		return LOAD(sk, __sk_common.skc_cookie.counter);
	return plain(sk);
}

/* quick_cookie_of is the same for a trusted socket, by a direct load. */
static __always_inline __u64 quick_cookie_of(struct sock *sk)
{
	return have_cookie_helper ? sk->__sk_common.skc_cookie.counter : plain(sk);
}

/* Before 5.15 one number held either the cgroup's address or, with its lowest bit set, cgroup v1's classes. */
struct sock_cgroup_data___5_14 {
	__u64 val;
} __attribute__((preserve_access_index));

/* socket_cgroup is the cgroup (v2) that the socket was made in; a child has its listener's. */
static __always_inline struct cgroup *socket_cgroup(struct sock *sk)
{
	struct sock_cgroup_data___5_14 *old = (void *)&sk->sk_cgrp_data;
	__u64 val;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	val = BPF_CORE_READ(old, val);
	return val & 1 ? NULL : (void *)(val & ~3ULL);
}

static __always_inline __u64 cgroup_of(struct sock *sk)
{
	struct cgroup *c = socket_cgroup(sk);

	return BPF_CORE_READ(c, kn, id);
}

/* The same by direct loads, for a trusted socket. */
static __always_inline __u64 quick_cgroup_of(struct sock *sk)
{
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return plainly(sk)->sk_cgrp_data.cgroup->kn->id;
	return cgroup_of(sk);
}

/* full_tcp_socket: skb->sk may be NULL, a request or a timewait socket; only a full one has the rest. */
static __always_inline bool full_tcp_socket(struct sock *sk)
{
	__u8 state = LOAD(sk, __sk_common.skc_state);

	return sk && state && state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV &&
	       LOAD(sk, sk_protocol) == IPPROTO_TCP;
}

/* At ->CLOSE an auto-bound socket has lost skc_num, but not yet inet_sport. */
static __always_inline __u16 local_port(struct sock *sk, __u16 num)
{
	if (num)
		return num;
	return bpf_ntohs(LOAD((struct inet_sock *)sk, inet_sport));
}

/* fill_tuple copies the tuple of any socket, request and timewait ones included. */
static __always_inline void fill_tuple(struct event *e, struct sock_common *c)
{
	e->family = LOAD(c, skc_family);
	e->sport = LOAD(c, skc_num);
	e->dport = bpf_ntohs(LOAD(c, skc_dport));
	if (e->family == AF_INET) {
		*(__u32 *)e->saddr = LOAD(c, skc_rcv_saddr);
		*(__u32 *)e->daddr = LOAD(c, skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&e->saddr, c, skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&e->daddr, c, skc_v6_daddr.in6_u.u6_addr8);
	}
}

/* The same by direct loads, for the trusted argument of a busy tracepoint. */
static __always_inline void fill_tuple_direct(struct event *e, struct sock *sk)
{
	e->family = sk->__sk_common.skc_family;
	e->sport = sk->__sk_common.skc_num;
	e->dport = bpf_ntohs(sk->__sk_common.skc_dport);
	if (e->family == AF_INET) {
		*(__u32 *)e->saddr = sk->__sk_common.skc_rcv_saddr;
		*(__u32 *)e->daddr = sk->__sk_common.skc_daddr;
		return;
	}
	for (int i = 0; i < 4; i++) {
		((__u32 *)e->saddr)[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
		((__u32 *)e->daddr)[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
	}
}

#endif
