package sockets

import (
	"encoding/binary"
	"os"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// TestAge: what timers tell of an age, and what they do not.
func TestAge(t *testing.T) {
	set := settings{finTimeout: 60 * time.Second}
	for _, c := range []struct {
		name   string
		s      tcp.Socket
		age    time.Duration
		ground tcp.AgeGround
	}{
		{"TIME_WAIT", tcp.Socket{State: tcp.TimeWait, Minisock: true, Due: 45 * time.Second}, 15 * time.Second, tcp.AgeTimer},
		{"TIME_WAIT overdue", tcp.Socket{State: tcp.TimeWait, Minisock: true}, 60 * time.Second, tcp.AgeAtLeast},
		{"orphan", tcp.Socket{State: tcp.FinWait2, Minisock: true, Due: 59 * time.Second}, time.Second, tcp.AgeInferred},
		{"orphan with a time of its own", tcp.Socket{State: tcp.FinWait2, Minisock: true, Due: 61 * time.Second}, 0, tcp.AgeUnknown},
		{"FIN_WAIT2", tcp.Socket{State: tcp.FinWait2, Due: 59 * time.Second, Clock: tcp.ClockKeepalive}, 0, tcp.AgeUnknown},
		{"half open", tcp.Socket{State: tcp.NewSynRecv, Due: 300 * time.Millisecond}, 700 * time.Millisecond, tcp.AgeInferred},
		{"half open, repeated", tcp.Socket{State: tcp.NewSynRecv, Due: 300 * time.Millisecond, Tries: 1}, 0, tcp.AgeUnknown},
		{"ESTABLISHED", tcp.Socket{State: tcp.Established}, 0, tcp.AgeUnknown},
	} {
		set.age(&c.s)
		if c.s.Age != c.age || c.s.AgeKnown != c.ground {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, c.s.Age, c.s.AgeKnown, c.age, c.ground)
		}
	}
}

// message is a struct inet_diag_msg in a state, with attributes.
func message(state tcp.State, attributes ...[]byte) []byte {
	b := make([]byte, sizeofMessage)
	b[0], b[1] = unix.AF_INET6, byte(state)
	copy(b[8:], []byte{10: 0xff, 11: 0xff, 12: 10, 13: 0, 14: 0, 15: 7}) // v4-mapped
	binary.BigEndian.PutUint16(b[4:], 443)
	for _, a := range attributes {
		b = append(b, a...)
		b = append(b, make([]byte, (4-len(a)%4)%4)...)
	}
	return b
}

func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	return append(binary.NativeEndian.AppendUint16(b, kind), value...)
}

// TestParse: kernels of other ages send shorter and longer attributes; those that are
// not known are passed over.
func TestParse(t *testing.T) {
	info := make([]byte, 400)
	info[6], info[7] = 0x97, 1                        // wscale 7, 9; app limited
	binary.NativeEndian.PutUint32(info[68:], 1500)    // tcpi_rtt
	binary.NativeEndian.PutUint32(info[100:], 0x1234) // tcpi_total_retrans
	for _, size := range []int{104, 192, 240, 400} {
		var s tcp.Socket
		parse(&s, message(tcp.Established, attribute(99, []byte("new")), attribute(4, []byte("cubic\x00")), attribute(2, info[:size])))
		if s.Info == nil || s.Info.RTT != 1500*time.Microsecond || s.Info.Retransmits != 0x1234 || s.Congestion != "cubic" ||
			s.Info.SendScale != 7 || s.Info.ReceiveScale != 9 || !s.Info.AppLimited || s.Flow.Local.String() != "10.0.0.7:443" {
			t.Errorf("%d bytes: %+v %+v", size, s, s.Info)
		}
	}
	var half, bound tcp.Socket
	parse(&half, message(tcp.SynRecv))
	parse(&bound, message(tcp.Close))
	if half.State != tcp.NewSynRecv || bound.State != tcp.BoundInactive {
		t.Errorf("%v, %v", half.State, bound.State)
	}
}

// FuzzParse: nothing that a kernel could send goes out of bounds.
func FuzzParse(f *testing.F) {
	f.Add(message(tcp.Established, attribute(2, make([]byte, 50)), attribute(7, make([]byte, 36))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= sizeofMessage {
			var s tcp.Socket
			parse(&s, b)
		}
	})
}

// TestExtended reads what netstat's file looks like.
func TestExtended(t *testing.T) {
	have := extended("TcpExt: A ListenOverflows ListenDrops\nTcpExt: 1 2 3\nIpExt: A\nIpExt: 4\n")
	if want := map[string]uint64{"A": 1, "ListenOverflows": 2, "ListenDrops": 3}; !reflect.DeepEqual(have, want) {
		t.Errorf("%v", have)
	}
	if r := readRefused(); !r.Known {
		t.Errorf("this kernel: %+v", r)
	}
}

// TestHolders: all holders of a pipe-like pair of sockets in this process, and in no
// other.
func TestHolders(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	var st unix.Stat_t
	if err := unix.Fstat(fds[0], &st); err != nil {
		t.Fatal(err)
	}
	held, _, err := Holders("/proc", func(inode uint32) bool { return inode == uint32(st.Ino) })
	if err != nil {
		t.Fatal(err)
	}
	list := held[uint32(st.Ino)]
	if len(held) != 1 || len(list) != 1 || list[0].PID != uint32(os.Getpid()) || list[0].FD != fds[0] || string(list[0].Name()) != "sockets.test" {
		t.Errorf("%+v", held)
	}
}
