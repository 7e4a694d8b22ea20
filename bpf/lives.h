/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The programs of a report of lives. inet_sock_set_state makes the note and, at
 * ->CLOSE, the record; reads tell who has taken a connection from accept(), and
 * when it first had bytes. What the record cannot know yet follows it: the user
 * who closes what a reset has ended, and a reset that was our own.
 */
#ifndef LIVES_H
#define LIVES_H

/*
 * begins_in finds when an accepted connection began. The handshake has just been
 * measured, from the first SYN-ACK on, if that was not sent again: it is the only
 * sample yet.
 */
static __always_inline void begins_in(struct life *l, struct sock *sk, __u64 now)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	__u64 handshake = tp ? (tp->srtt_us >> 3) * 1000ULL : 0;

	if (handshake && handshake < now)
		l->began = now - handshake;
	else
		l->flags |= LIFE_GUESSED;
}

static __always_inline struct life *noted(struct sock *sk, int oldstate, int newstate)
{
	struct life *l;

	if (newstate == TCP_SYN_SENT || oldstate == TCP_LISTEN)
		return new_life(sk);
	l = life_of(sk);
	return l ? l : new_life(sk); /* it is older than we are */
}

static __always_inline void note_move(struct life *l, struct sock *sk, int oldstate, int newstate, __u64 now)
{
	switch (newstate) {
	case TCP_SYN_SENT:
		l->flags |= LIFE_OUT;
		l->began = now;
		break;
	case TCP_SYN_RECV:
		if (oldstate != TCP_LISTEN) /* both ends at once: it is out already */
			break;
		l->flags |= LIFE_IN;
		l->began = now;
		break;
	case TCP_ESTABLISHED:
		l->established = now;
		if (l->flags & LIFE_IN) {
			begins_in(l, sk, now);
			becomes_whole(l, sk);
		}
		l->flags |= LIFE_WAS_OPEN;
		break;
	case TCP_FIN_WAIT1:
		l->flags |= LIFE_WAS_OPEN | LIFE_OWN_FIN | LIFE_FIN_FIRST;
		l->shut = now;
		break;
	case TCP_CLOSE_WAIT:
		l->flags |= LIFE_WAS_OPEN;
		l->shut = now;
		break;
	case TCP_LAST_ACK:
		l->flags |= LIFE_WAS_OPEN | LIFE_OWN_FIN;
		l->shut_too = now;
		break;
	case TCP_FIN_WAIT2:
	case TCP_CLOSING:
		l->flags |= LIFE_WAS_OPEN | LIFE_OWN_FIN | LIFE_FIN_FIRST;
		l->shut_too = now;
		break;
	case TCP_CLOSE: /* one that is older may have made its other moves before */
		if (oldstate != TCP_SYN_SENT && oldstate != TCP_SYN_RECV)
			l->flags |= LIFE_WAS_OPEN;
		if (oldstate == TCP_FIN_WAIT1 || oldstate == TCP_FIN_WAIT2 || oldstate == TCP_CLOSING)
			l->flags |= LIFE_OWN_FIN | LIFE_FIN_FIRST;
		else if (oldstate == TCP_LAST_ACK)
			l->flags |= LIFE_OWN_FIN;
		break;
	}
}

/* what_comes are the flags for what will be told behind the record. */
static __always_inline __u32 what_comes(struct sock *sk, struct life *l, int oldstate, int err)
{
	__u32 flags = 0;

	/* One that a reset has ended may still be accepted, from the backlog. */
	if (!l->pid && (plainly(sk)->sk_socket || (err && l->flags & LIFE_IN)))
		flags |= LIFE_OWNER_COMES;
	/* Data for a socket that takes none any more is answered with a reset; tcp_reset() ends both alike. */
	if (err && (oldstate == TCP_FIN_WAIT1 || oldstate == TCP_FIN_WAIT2 || oldstate == TCP_CLOSING || oldstate == TCP_LAST_ACK))
		flags |= LIFE_RESET_COMES;
	return flags;
}

static __always_inline void ends(struct sock *sk, struct life *l, int oldstate, __u64 now)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct event *e;

	if (!tp || is_passed(l))
		return;
	e = reserve(EV_LIFE, sizeof(*e));
	if (!e)
		return;
	e->time = now;
	fill_socket(e, sk, sockets_netns(sk), cookie_of(sk));
	e->oldstate = oldstate;
	e->newstate = TCP_CLOSE;
	e->err = sk->sk_err;
	e->cgroup = quick_cgroup_of(sk);
	fill_counters(e, tp);
	l->flags |= what_comes(sk, l, oldstate, e->err);
	fill_note(e, l);
	if (sk->__sk_common.skc_flags & 1 << SOCK_DONE)
		e->life |= LIFE_PEER_FIN;
	if (hands_over(sk, oldstate))
		e->life |= LIFE_MINISOCK;
	submit(e);
}

static __always_inline int life_moves(struct sock *sk, int oldstate, int newstate)
{
	struct life *l;
	__u64 now;

	if (oldstate == newstate || newstate == TCP_LISTEN || (oldstate == TCP_LISTEN && newstate == TCP_CLOSE))
		return 0;
	if (!is_asked_for(sk))
		return 0;
	l = noted(sk, oldstate, newstate);
	if (!l)
		return 0;
	now = bpf_ktime_get_ns();
	note_move(l, sk, oldstate, newstate, now);
	if (plainly(sk)->sk_socket)
		l->flags |= LIFE_HAD_FILE;
	if (acts_in_process(sk, oldstate, newstate))
		notes_user(l);
	if (newstate == TCP_CLOSE) {
		ends(sk, l, oldstate, now);
		if (!(l->flags & LIFE_OWNER_COMES))
			life_is_over(sk);
	}
	return 0;
}

/* The two share the notes of set_state and its twin (state.h), which are not at work beside them. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(life_state, struct sock *sk, int oldstate, int newstate)
{
	return tell_first(life_moves, sk, oldstate, newstate);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(life_state_twin, struct sock *sk, int oldstate, int newstate)
{
	return tell_skipped(life_moves, sk, oldstate, newstate);
}

/* The same hooks as in acts.h, and for the same reasons. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(life_reads, struct sock *sk)
{
	struct life *l;

	if (!sk->sk_lock.owned || !is_asked_for(sk))
		return 0;
	l = life_of(sk);
	if (!l && sk->__sk_common.skc_state != TCP_CLOSE) /* what a reset has left to be read tells nothing new */
		l = new_life(sk);
	if (!l)
		return 0;
	if (!l->first_read)
		l->first_read = bpf_ktime_get_ns();
	l->flags |= LIFE_HAD_FILE;
	if (!is_layered(sk, VIA_READ))
		notes_user(l);
	return 0;
}

static __always_inline void follows(struct sock *sk, __u8 kind, bool user)
{
	struct event *e = reserve(kind, EVENT_NAME);

	if (!e)
		return;
	fill_socket(e, sk, sockets_netns(sk), cookie_of(sk));
	if (user) {
		e->detail = VIA_CLOSE;
		fill_task(e);
	}
	submit(e);
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(life_destroys, struct sock *sk)
{
	struct life *l = life_of(sk);

	if (!l)
		return 0;
	if (sk->sk_lock.owned && l->flags & LIFE_OWNER_COMES && is_user(bpf_get_current_pid_tgid() >> 32))
		follows(sk, EV_OWNER, true);
	life_is_over(sk); /* a listener may have taken it along, unlocked */
	return 0;
}

/*
 * A reset that answers a segment of a socket that has just ended. From 6.10 on sk
 * may be NULL or a timewait socket: it is read as a plain number.
 */
SEC("tp_btf/tcp_send_reset")
int BPF_PROG(life_send_reset)
{
	struct sock *sk = (void *)argument(ctx, 0);
	struct event *e;

	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (!sk || !argument(ctx, 1) || (state != TCP_CLOSE && state != TCP_LISTEN) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (state == TCP_LISTEN) {
		if (any_half_open())
			half_signs((void *)argument(ctx, 1), BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum), false, false);
		return 0;
	}
	e = reserve(EV_SEND_RESET, EVENT_SEGMENT);
	if (!e)
		return 0;
	e->cookie = have_cookie_helper ? LOAD(sk, __sk_common.skc_cookie.counter) : (__u64)sk;
	submit(e);
	return 0;
}

/* A life that goes on: how it stands, for those who end before it does. */
SEC("iter/tcp")
int life_open(struct bpf_iter__tcp *ctx)
{
	struct sock_common *c = ctx->sk_common;
	struct tcp_sock *tp;
	struct event e = {};
	struct sock *sk;
	struct life *l;
	__u8 state;

	if (!c)
		return 0;
	state = c->skc_state;
	if (state == TCP_NEW_SYN_RECV)
		half_stands(ctx, c, &e);
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV || state == TCP_LISTEN || state == TCP_CLOSE)
		return 0;
	tp = bpf_skc_to_tcp_sock(c);
	if (!tp)
		return 0;
	sk = (struct sock *)tp;
	if (!is_asked_for(sk))
		return 0;
	e.time = bpf_ktime_get_ns();
	e.kind = EV_LIFE;
	e.flags = EV_TUPLE;
	fill_socket(&e, sk, sockets_netns(sk), have_cookie_helper ? bpf_get_socket_cookie(c) : (__u64)c);
	e.oldstate = state;
	e.cgroup = cgroup_of(sk);
	fill_counters(&e, tp);
	l = life_of(sk);
	if (l) {
		if (is_passed(l))
			return 0;
		fill_note(&e, l);
	}
	if (state != TCP_SYN_SENT && state != TCP_SYN_RECV)
		e.life |= LIFE_WAS_OPEN;
	if (state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING)
		e.life |= LIFE_OWN_FIN | LIFE_FIN_FIRST;
	if (state == TCP_LAST_ACK)
		e.life |= LIFE_OWN_FIN;
	if (sk->__sk_common.skc_flags & 1 << SOCK_DONE)
		e.life |= LIFE_PEER_FIN;
	e.life |= LIFE_IS_OPEN;
	bpf_seq_write(ctx->meta->seq, &e, sizeof(e));
	return 0;
}

#endif
