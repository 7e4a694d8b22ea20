/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * event: the one struct that crosses from C to Go. bpf2go writes its Go half.
 * Fixed widths, no holes, no unions. A packet record is followed by cap_len
 * bytes of the frame, from the link-layer header on.
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
};

enum event_flag {
	EV_ASKED = 1,	  /* the filter expression selected this packet */
	EV_LOOPBACK = 2,  /* the device is a loopback device */
	EV_RAW = 4,	  /* the frame starts with its IP header */
	EV_RECEIVED = 8,  /* a drop on the way in: the tuple is already this host's view */
	EV_HAS_SEGMENT = 16, /* seq, seg_len and tcp_flags are set */
};

#pragma clang diagnostic push
#pragma clang diagnostic error "-Wpadded"
struct event {
	__u64 time;	/* CLOCK_MONOTONIC, ns */
	__u64 cookie;	/* socket cookie, or the address of the socket where there is no helper; 0 unknown */
	__u64 lost;	/* records that found no room so far, on all CPUs */
	__u32 netns;	/* inode of the network namespace; 0 unknown */
	__u32 ifindex;
	__u32 wire_len; /* packet: bytes on the wire */
	__u32 cap_len;	/* packet: bytes that follow this struct */
	__u32 pid;	/* thread group; 0: not certain */
	__u32 tid;
	__u32 seq;	/* of the segment, host order */
	__u32 seg_len;	/* bytes of sequence space */
	__s32 err;	/* sk_err, or what the retransmission returned */
	__u32 reason;	/* of a drop or reset, in the running kernel's numbers */
	__u16 sport;	/* local port, host order; 0 unknown */
	__u16 dport;
	__u8 kind;
	__u8 flags;
	__u8 family;	/* AF_INET, AF_INET6; 0: no tuple */
	__u8 pkt_type;	/* PACKET_HOST .. PACKET_OUTGOING */
	__u8 oldstate;
	__u8 newstate;
	__u8 tcp_flags;
	__u8 ca_state;	/* enum tcp_ca_state */
	__u8 pending;	/* icsk_pending: the timer that fired */
	__u8 retransmits; /* icsk_retransmits, or a request's num_timeout */
	__u16 pad;
	__u8 saddr[16]; /* local address, network order; IPv4 in the first four bytes */
	__u8 daddr[16];
	__u8 name[16];	/* comm of pid; a packet's device */
};
#pragma clang diagnostic pop

#endif
