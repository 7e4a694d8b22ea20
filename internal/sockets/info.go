package sockets

import (
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// info reads a struct tcp_info. An older kernel's is shorter, a newer one's longer:
// what is missing is 0.
func info(b []byte) *tcp.Info {
	var k unix.TCPInfo
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&k)), unsafe.Sizeof(k)), b)
	scales, limited := byteAt(b, 6), byteAt(b, 7) // bit fields
	micros := func(us uint64) time.Duration { return time.Duration(us) * time.Microsecond }
	millis := func(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }
	i := &tcp.Info{
		Congestion: tcp.CongestionState(k.Ca_state), Options: tcp.InfoOptions(k.Options),
		SendScale: scales & 15, ReceiveScale: scales >> 4, Backoff: k.Backoff,
		RTO: micros(uint64(k.Rto)), ATO: micros(uint64(k.Ato)),
		RTT: micros(uint64(k.Rtt)), RTTVar: micros(uint64(k.Rttvar)), ReceiveRTT: micros(uint64(k.Rcv_rtt)),
		LastSent: millis(k.Last_data_sent), LastReceived: millis(k.Last_data_recv), LastAck: millis(k.Last_ack_recv),
		SendMSS: k.Snd_mss, AdvMSS: k.Advmss, ReceiveMSS: k.Rcv_mss, PMTU: k.Pmtu,
		Window: k.Snd_cwnd, ReceiveSpace: k.Rcv_space, PeerWindow: k.Snd_wnd, OwnWindow: k.Rcv_wnd,
		Unacked: k.Unacked, Sacked: k.Sacked, Lost: k.Lost, Outstanding: k.Retrans, Reordering: k.Reordering,
		Retransmits: k.Total_retrans, SegsOut: k.Segs_out, SegsIn: k.Segs_in,
		DataOut: k.Data_segs_out, DataIn: k.Data_segs_in, NotSent: k.Notsent_bytes,
		BytesSent: k.Bytes_sent, BytesAcked: k.Bytes_acked, BytesReceived: k.Bytes_received, BytesAgain: k.Bytes_retrans,
		DeliveryRate: k.Delivery_rate, AppLimited: limited&1 != 0,
		Busy: micros(k.Busy_time), WindowLimited: micros(k.Rwnd_limited), BufferLimited: micros(k.Sndbuf_limited),
	}
	if k.Snd_ssthresh < noThreshold {
		i.SlowStart = k.Snd_ssthresh
	}
	if k.Min_rtt != math.MaxUint32 {
		i.MinRTT = micros(uint64(k.Min_rtt))
	}
	if k.Pacing_rate != math.MaxUint64 {
		i.PacingRate = k.Pacing_rate
	}
	return i
}

// noThreshold is TCP_INFINITE_SSTHRESH: slow start has not ended yet.
const noThreshold = 0x7fffffff

func byteAt(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}
