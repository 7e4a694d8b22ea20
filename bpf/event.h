/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * event: the one struct that crosses from C to Go. bpf2go writes its Go half.
 * Fixed widths, no holes, no unions.
 */
#ifndef EVENT_H
#define EVENT_H

/* Same numbers as tcp.Kind in internal/tcp/event.go (a test compares them). */
enum event_kind {
	EV_STATE = 1,
	EV_PACKET,
	EV_RETRANSMIT,
	EV_SYNACK_AGAIN,
	EV_SEND_RESET,
	EV_RECEIVE_RESET,
	EV_DROP,
	EV_SOCKET_ERROR,
	EV_PORT = 10,
	EV_OWNER,
	EV_SOCKET,
	EV_CONNECT_FAILED,
	EV_LIFE = 16,
};

/* How the process of an event is known. Same numbers as tcp.Via. */
enum event_via {
	VIA_CONNECT = 1,
	VIA_LISTEN,
	VIA_READ,
	VIA_WRITE,
	VIA_CLOSE, /* close() or shutdown() */
	VIA_HELD,  /* a file descriptor of its names the socket */
};

enum event_flag {
	EV_ASKED = 1,	 /* the filter expression selected this packet */
	EV_LOOPBACK = 2, /* the device is a loopback device */
	EV_RAW = 4,	 /* the frame starts with its IP header */
	EV_RECEIVED = 8, /* a drop on the way in */
	EV_TUPLE = 16,	 /* the record has this part; see below */
	EV_NAME = 32,
	EV_SEGMENT = 64,
	EV_SOFT = 128,	 /* err is sk_err_soft: noted, and fatal only if the connection fails anyway */
};

/*
 * A record may end early, behind the head or behind any part: what every event
 * writes, and every reader's cache has to fetch, is the cost of tracing. Flags
 * say which parts hold; the rest of the struct is not there, or is stale. A
 * packet's frame follows the head, or the whole struct when EV_TUPLE or
 * EV_NAME is set.
 */
#pragma clang diagnostic push
#pragma clang diagnostic error "-Wpadded"
struct event {
	/* head */
	__u64 time;	/* CLOCK_MONOTONIC, ns */
	__u64 cookie;	/* socket cookie, or the address of the socket where there is no helper; 0 unknown */
	__u32 lost;	/* records that found no room so far, on all CPUs; low 32 bits */
	__u32 netns;	/* inode of the network namespace; 0 unknown */
	__u32 ifindex;	/* or, where a timer is told: jiffies now */
	__u32 wire_len; /* packet: bytes on the wire; or, where a timer is told: when it is due, jiffies */
	__u16 cap_len;	/* packet: bytes of the frame */
	__u8 kind;
	__u8 flags;
	__u8 detail;	/* packet: PACKET_HOST .. PACKET_OUTGOING; ->CLOSE: see minisock.h; owner, failed connect: enum event_via */
	__u8 oldstate;
	__u8 newstate;
	__u8 family;	/* AF_INET, AF_INET6 */

	/* EV_TUPLE */
	__u16 sport;	/* local port, host order; 0 unknown */
	__u16 dport;
	__s32 err;	/* sk_err, what the retransmission returned, or the failed connect's error */
	__u8 saddr[16]; /* local address, network order; IPv4 in the first four bytes */
	__u8 daddr[16];
	__u64 cgroup;	/* id of the cgroup (v2) that the socket was made in; 0 unknown */
	__u32 isn;	/* ->ESTABLISHED, and a child kept back: the first sequence number behind the own SYN; 0 unknown. Held: see walk.h. ->CLOSE by ETIMEDOUT: TCP_USER_TIMEOUT, ms; 0 none */
	__u32 peer_isn; /* and behind the other end's; ->CLOSE: the next one that a timewait minisock expects */

	/* EV_NAME */
	__u32 pid;	/* thread group; 0: not certain, or name is a device */
	__u32 tid;
	__u8 name[16];	/* comm of pid; a packet's device */

	/* EV_SEGMENT, and a drop's or reset's reason */
	__u32 seq;	/* host order */
	__u32 seg_len;	/* bytes of sequence space */
	__u32 reason;	/* in the running kernel's numbers */
	__u8 tcp_flags;
	__u8 ca_state;	/* enum tcp_ca_state */
	__u8 pending;	/* icsk_pending: the timer that fired */
	__u8 retransmits; /* icsk_retransmits, or how often a SYN-ACK was sent again */

	/* EV_SOCKET: the kernel's own counters (struct tcp_sock), SYN and FIN included */
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 segs_out;
	__u32 segs_in; /* listener: half-open connections */
	__u32 total_retrans;
	__u32 srtt_us; /* smoothed round-trip time, us; 0 no sample */
	__u32 backlog; /* listener: connections that wait to be accepted */
	__u32 max_backlog;

	/* EV_LIFE: see life.h. Times are CLOCK_MONOTONIC, ns; 0 unknown */
	__u64 began;	   /* connect(), or the first SYN-ACK */
	__u64 established;
	__u64 shut;	   /* the first FIN, whoever's */
	__u64 shut_too;	   /* and what came behind it: FIN_WAIT2, CLOSING, LAST_ACK */
	__u64 first_read;  /* the process has bytes */
	__u64 bytes_sent;  /* payload, what was sent again included */
	__u64 bytes_retrans;
	__u32 rtt_min; /* us; ~0 no sample */
	__u32 mss;
	__u32 cwnd;
	__u32 idle; /* since the last data either way, jiffies */
	__u32 unacked; /* written and not acknowledged, the FIN included */
	__u32 life; /* enum life_flag */
};

enum life_flag {
	LIFE_OUT = 1,	     /* connect() opened it */
	LIFE_IN = 2,	     /* a SYN that came did */
	LIFE_WAS_OPEN = 4,   /* it has been ESTABLISHED */
	LIFE_OWN_FIN = 8,    /* the own FIN is in the stream */
	LIFE_FIN_FIRST = 16, /* before the other end's */
	LIFE_PEER_FIN = 32,  /* the other end's has been taken in, in its order */
	LIFE_MINISOCK = 64, /* a timewait minisock goes on in the socket's place */
	LIFE_HAD_FILE = 128, /* some process has had it as a file: accept() has given it out */
	LIFE_OWNER_COMES = 256, /* it is a file still, and nobody is known to have acted: whoever closes it will be told */
	LIFE_RESET_COMES = 512, /* if the reset was our own answer, it will be told */
	LIFE_IS_OPEN = 1024, /* it goes on: what is told is how it stands */
	LIFE_CHOSEN = 2048,  /* a process that was asked for has used it */
	LIFE_GUESSED = 4096, /* began is when the handshake ended: its length is not known */
	LIFE_HALF = 8192,   /* a request socket that was answered and never became a connection */
	LIFE_RESET = 16384, /* it was ended by a RST that came */
	LIFE_DOUBT = 32768, /* and what ended it is not certain */
};

/* Sizes of a record that ends behind a part. */
#define EVENT_HEAD __builtin_offsetof(struct event, sport)
#define EVENT_TUPLE __builtin_offsetof(struct event, pid)
#define EVENT_NAME __builtin_offsetof(struct event, seq)
#define EVENT_SEGMENT __builtin_offsetof(struct event, bytes_acked)
#define EVENT_SOCKET __builtin_offsetof(struct event, began)
#pragma clang diagnostic pop

#endif
