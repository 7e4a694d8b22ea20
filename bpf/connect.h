/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Exits of tcp_v4_connect and tcp_v6_connect: connect() that fails before a SYN
 * has left. Without a route (none, unreachable, blackhole, prohibit) the socket
 * never leaves CLOSE, and no tracepoint fires; where it has been in SYN_SENT (no
 * free port), its two transitions are told already, and here is the error, which
 * is not in sk_err. What refuses before (a security module, a cgroup's BPF
 * program) does not come here.
 *
 * These programs need BPF trampolines, which a kernel may refuse: the loader
 * takes them or leaves them.
 */
#ifndef CONNECT_H
#define CONNECT_H

/* struct sockaddr_in as far as both families agree, then sockaddr_in6's rest: the kernel's stable ABI. */
struct destination {
	__u16 family;
	__be16 port;
	__be32 v4; /* sockaddr_in6: the flow label */
	__be32 v6[4];
};

#define SOCKADDR_IN_LEN 16
#define SOCKADDR_IN6_LEN 24 /* SIN6_LEN_RFC2133, what the kernel asks for */

/*
 * fill_destination takes the other end from connect()'s argument; the socket has
 * it not yet, or from an earlier attempt. An address that the kernel refused as
 * malformed leaves it unknown.
 */
static __always_inline void fill_destination(struct event *e, void *uaddr, int len)
{
	struct destination to = {};

	__builtin_memset(e->daddr, 0, sizeof(e->daddr));
	e->dport = 0;
	if (len < (e->family == AF_INET ? SOCKADDR_IN_LEN : SOCKADDR_IN6_LEN) ||
	    bpf_probe_read_kernel(&to, sizeof(to), uaddr) || to.family != e->family)
		return;
	e->dport = bpf_ntohs(to.port);
	if (e->family == AF_INET) {
		*(__u32 *)e->daddr = to.v4;
		return;
	}
	for (int i = 0; i < 4; i++)
		((__u32 *)e->daddr)[i] = to.v6[i];
}

static __always_inline int connect_failed(struct sock *sk, void *uaddr, int len, int ret)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, netns;
	bool user = is_user(pid);
	struct event *e;
	__u64 cookie;

	if (ret >= 0 || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	netns = sockets_netns(sk);
	if (!netns_wanted(netns) || (cgroup_count && !in_cgroup(sk)))
		return 0;
	cookie = cookie_of(sk);
	if (user ? !claims(cookie, pid) : is_anothers(cookie))
		return 0;
	e = reserve(EV_CONNECT_FAILED, EVENT_NAME);
	if (!e) {
		if (user)
			disclaim(cookie);
		return 0;
	}
	fill_socket(e, sk, netns, cookie);
	e->sport = sk->__sk_common.skc_num; /* inet_sport may be left from an earlier attempt */
	e->err = -ret;
	e->detail = VIA_CONNECT;
	fill_destination(e, uaddr, len);
	if (user)
		fill_task(e);
	submit(e);
	return 0;
}

/* For an IPv4-mapped destination, tcp_v6_connect calls this one, and then tells itself. */
SEC("fexit/tcp_v4_connect")
int BPF_PROG(connect4_failed, struct sock *sk, void *uaddr, int len, int ret)
{
	if (sk->__sk_common.skc_family != AF_INET)
		return 0;
	return connect_failed(sk, uaddr, len, ret);
}

SEC("fexit/tcp_v6_connect")
int BPF_PROG(connect6_failed, struct sock *sk, void *uaddr, int len, int ret)
{
	return connect_failed(sk, uaddr, len, ret);
}

#endif
