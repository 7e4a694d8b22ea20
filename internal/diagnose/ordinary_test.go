package diagnose_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// aborts is SO_LINGER 0; aborted is that of the other end.
func (s *scene) aborts() {
	s.State(s.c, tcp.Established, tcp.Close, conntest.By(s.c.Task))
	s.Kernel(s.c, tcp.KindSendReset, conntest.Reason("TCP_STATE"), conntest.Now(tcp.Close))
	s.Sends(s.c, conntest.Header{Flags: conntest.RA, Seq: s.seq, Ack: s.ack})
}

func (s *scene) aborted() {
	s.Gets(s.c, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
	s.Kernel(s.c, tcp.KindReceiveReset, conntest.Now(tcp.Established))
	s.State(s.c, tcp.Established, tcp.Close, conntest.Errno(int32(unix.ECONNRESET)))
}

// confirmed is an answer's acknowledgement.
func (s *scene) confirmed() {
	s.Sends(s.c, conntest.Header{Flags: conntest.A, Seq: s.seq, Ack: s.ack, Window: s.win, Options: conntest.Stamp})
}

// closed acknowledges all, and lets the other end send n more bytes.
func (s *scene) closed(n uint16) {
	s.Sends(s.c, conntest.Header{Flags: conntest.A, Seq: s.seq, Ack: s.ack, Window: n, Options: conntest.Stamp})
}

// TestOrdinaryResets: a RST that ends what was at an end is no trouble. With something
// under way, too soon after an answer, behind a closed window, or by who was connected
// to, it is.
func TestOrdinaryResets(t *testing.T) {
	long, short := scaled(limits.Rest, 120), scaled(limits.Rest, 80)
	for name, c := range map[string]struct {
		act  func(*scene)
		want string
	}{
		"a health check":                     {func(s *scene) { s.aborts() }, ""},
		"at rest":                            {func(s *scene) { s.answered(); s.confirmed(); s.Wait(long); s.aborts() }, ""},
		"at rest, by the server":             {func(s *scene) { s.answered(); s.confirmed(); s.Wait(long); s.aborted() }, ""},
		"by the server, at once":             {func(s *scene) { s.Wait(long); s.aborted() }, "rst-by-peer"},
		"behind an answer":                   {func(s *scene) { s.answered(); s.confirmed(); s.Wait(short); s.aborts() }, "rst-linger"},
		"behind an answer, by the server":    {func(s *scene) { s.answered(); s.confirmed(); s.Wait(short); s.aborted() }, "rst-by-peer"},
		"an answer that is not acknowledged": {func(s *scene) { s.answered(); s.Wait(long); s.ack -= 50; s.aborts() }, "rst-linger"},
		"a request under way":                {func(s *scene) { s.answered(); s.says(100); s.window(508); s.Wait(long); s.aborted() }, "rst-by-peer"},
		"acknowledged late": {func(s *scene) {
			s.answered()
			s.Wait(2 * long)
			s.confirmed() // it had been sent again and again
			s.Wait(short)
			s.aborted()
		}, "rst-by-peer"},
		"acknowledged late, and then at rest": {func(s *scene) { s.answered(); s.Wait(2 * long); s.confirmed(); s.Wait(long); s.aborted() }, ""},
		"a download behind a closed window":   {func(s *scene) { s.answered(); s.closed(0); s.Wait(long); s.aborted() }, "rst-by-peer"},
		"a download behind one that opened":   {func(s *scene) { s.answered(); s.closed(0); s.closed(s.win); s.Wait(long); s.aborted() }, ""},
		"our own, behind a closed window":     {func(s *scene) { s.answered(); s.confirmed(); s.window(0); s.Wait(long); s.aborts() }, "rst-linger"},
		"more was said than was seen":         {func(s *scene) { s.answered(); s.confirmed(); s.Wait(long); s.ack += 5000; s.aborted() }, "rst-by-peer"},
	} {
		s := begin()
		c.act(s)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if have := told(t, s, limits); !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", name, have, want)
		}
	}
}

// TestAttests: what arrives at the client is not seen there (an address that is local
// by a route only), and the server is forgotten first: its view holds. Who has sent the
// RST counts: a health check's takes nothing away, the server's does, and one of which
// it is not known whose it is, may.
func TestAttests(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(*scene)
		want []string
	}{
		"the client's own": {func(s *scene) {
			s.aborts()
			s.Gets(s.v, conntest.Header{Flags: conntest.RA, Seq: s.seq, Ack: s.ack})
			s.Kernel(s.v, tcp.KindReceiveReset, conntest.Now(tcp.Established))
			s.State(s.v, tcp.Established, tcp.Close, conntest.Errno(int32(unix.ECONNRESET)))
		}, nil},
		"the server's, as the wire has it": {func(s *scene) {
			s.State(s.v, tcp.Established, tcp.Close, conntest.Errno(int32(unix.ECONNRESET)))
			s.Sends(s.v, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
			s.Wait(2 * limits.Rest)
			s.resetUnseen()
		}, []string{"rst-by-peer"}},
		"nobody's": {func(s *scene) {
			s.State(s.v, tcp.Established, tcp.Close, conntest.Errno(int32(unix.ECONNRESET)))
			s.Wait(2 * limits.Rest)
			s.resetUnseen()
		}, []string{"rst-by-peer"}},
	} {
		cl, v := conntest.Hosts(40000)
		s := &scene{Story: conntest.New(), c: cl, v: v, seq: 1001, ack: 5001, win: 502}
		s.Handshake(cl, v)
		s.Events = slices.DeleteFunc(s.Events, func(ev *tcp.Event) bool {
			return ev.Netns == cl.Netns && ev.Kind == tcp.KindPacket && ev.Packet.Dir == tcp.DirIn
		})
		c.act(s)
		if have := toldOfBoth(t, s); !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}

// resetUnseen is a RST that the client's kernel takes, and that no device shows.
func (s *scene) resetUnseen() {
	s.Kernel(s.c, tcp.KindReceiveReset, conntest.Now(tcp.Established))
	s.State(s.c, tcp.Established, tcp.Close, conntest.Errno(int32(unix.ECONNRESET)))
}

// toldOfBoth is which rules are told of a story to who sees both hosts.
func toldOfBoth(t *testing.T, s *scene) (rules []string) {
	t.Helper()
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		for _, f := range v.Findings {
			rules = append(rules, f.Rule.Name)
		}
		return nil
	})
	table := conn.New(conn.Options{})
	for _, ev := range s.Events {
		if err := table.Tell(ev, e.Take); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	return rules
}
