/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* sock:inet_sock_set_state: every transition, before it is stored. */
#ifndef STATE_H
#define STATE_H

/*
 * acts_in_process: the transitions that connect(), listen(), close() and
 * shutdown() make themselves (net/ipv4/tcp.c, inet_connection_sock.c). All
 * others may run in a softirq on top of an innocent task.
 */
static __always_inline bool acts_in_process(int oldstate, int newstate)
{
	switch (newstate) {
	case TCP_LISTEN:
	case TCP_SYN_SENT:
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		return true;
	case TCP_CLOSE:
		return oldstate == TCP_LISTEN;
	}
	return false;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(set_state, struct sock *sk, int oldstate, int newstate)
{
	struct event *e;
	bool process;
	__u32 inum;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	inum = sk->__sk_common.skc_net.net->ns.inum;
	if (!netns_wanted(inum))
		return 0;
	process = acts_in_process(oldstate, newstate);
	e = process ? reserve(EV_STATE, EVENT_NAME) : reserve(EV_STATE, EVENT_TUPLE);
	if (!e)
		return 0;
	e->cookie = cookie_of(sk);
	e->netns = inum;
	fill_tuple_direct(e, sk);
	e->sport = local_port(sk, e->sport);
	e->oldstate = oldstate;
	e->newstate = newstate;
	e->err = sk->sk_err;
	if (process)
		fill_task(e);
	submit(e);
	return 0;
}

#endif
