package conn

import (
	"net/netip"
	"testing"

	"tcpstory/internal/tcp"
)

// TestRestoringEnds: once what is told together was told, the table forgets the IDs: it
// uses those Conns for other connections, and what a damaged file tells later joins nobody.
func TestRestoringEnds(t *testing.T) {
	flow := func(local, remote string) tcp.Flow {
		return tcp.Flow{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
	}
	end := func(kind tcp.Kind, id, peer uint32) *tcp.Event {
		f := flow("10.0.0.1:1000", "10.0.0.2:80")
		if id > 1 {
			f = flow("10.0.0.3:80", "10.0.0.4:1000") // address translation
		}
		return &tcp.Event{Kind: kind, Time: 10, Cookie: uint64(id), Netns: id, Flow: f, New: tcp.Established,
			Known: &tcp.Known{ID: id, Peer: peer, Marks: tcp.MarkSocket | tcp.MarkCookie | tcp.MarkTuple}}
	}
	for _, kind := range []tcp.Kind{tcp.KindKnown, tcp.KindSocket} {
		for _, late := range []bool{false, true} {
			table := New(Options{})
			table.Apply(&tcp.Event{Kind: tcp.KindKnown, Time: 10, Known: &tcp.Known{}})
			table.Apply(end(kind, 1, 2))
			table.Apply(&tcp.Event{Kind: tcp.KindPlace, Time: 10, Netns: 1, Place: &tcp.Place{Name: "blue"}})
			if late {
				table.Apply(&tcp.Event{Kind: tcp.KindGap, Time: 11})
				if table.back.ends != nil || table.back.suitors != nil {
					t.Errorf("%v: %d IDs are kept", kind, len(table.back.ends))
				}
			}
			table.Apply(end(kind, 2, 1))
			if joined := table.Find(1).Peer != nil; joined == late {
				t.Errorf("%v, late %v: joined %v", kind, late, joined)
			}
		}
	}
}
