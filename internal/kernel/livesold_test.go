package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestNotesGoAway: a note lies in a place of its own, or in a hash map where that is
// taken and a tracing program may not use socket storage; nothing clears either by
// itself. Each way for a socket to end takes its note out, also those that lead past
// ->CLOSE with the note kept.
func TestNotesGoAway(t *testing.T) {
	l, err := lab.New(t.Context(), lab.Options{Topology: lab.Alone})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := l.Host(lab.Server)
	for _, taken := range []bool{false, true} {
		f, err := probeFeatures()
		if err != nil {
			t.Fatal(err)
		}
		f.socketStorage = !taken
		s, err := open(Config{Lives: true, Netns: []uint32{h.Netns()}}, f)
		if err != nil {
			t.Fatal(err)
		}
		if taken {
			takePlaces(t, s, anybody)
		}
		endInAllWays(t, h, s)
		var spilled bool
		if err := s.coll.Variables[traceVarSlotsTaken].Get(&spilled); err != nil || spilled != taken {
			t.Errorf("a place was found taken: %v, %v; want %v", spilled, err, taken)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func endInAllWays(t *testing.T, h *lab.Host, s *Source) {
	t.Helper()
	for name, end := range map[string]func(client, server *net.TCPConn, l net.Listener) error{
		"four ways":             func(c, s *net.TCPConn, _ net.Listener) error { return errors.Join(c.Close(), ended(s), s.Close()) },
		"reset, then read":      resetThenRead,
		"reset behind a close":  resetBehindClose,
		"reset, never accepted": neverAccepted,
	} {
		if err := h.Within(func() error { return connected(t.Context(), end) }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		noNotes(t, s, name)
	}
	if err := h.Within(connectRefused); err != nil {
		t.Fatal(err)
	}
	if lives := drained(t, s); lives != 4*2+2+1 { // one listener had a second connection, which nobody took
		t.Errorf("%d lives were told", lives)
	}
	noNotes(t, s, "refused")
}

// anybody is who has taken a place that was taken: no socket is at this address.
const anybody = 1

// takePlaces gives every place for a note to anybody, or to nobody (0).
func takePlaces(t *testing.T, s *Source, to byte) {
	t.Helper()
	slots := s.coll.Maps[traceMapLifeSlots]
	note := make([]byte, slots.ValueSize())
	note[0], note[8] = to, to // struct life_slot: whose it is, how many claim it
	for i := range slots.MaxEntries() {
		if err := slots.Put(i, note); err != nil {
			t.Fatal(err)
		}
	}
}

// noNotes wants none before the next socket: it may have the address of the last.
func noNotes(t *testing.T, s *Source, after string) {
	t.Helper()
	notes := s.coll.Maps[traceMapLivesByAddress]
	var key uint64
	note := make([]byte, notes.ValueSize())
	for left := notes.Iterate(); left.Next(&key, &note); {
		t.Errorf("%s: a note stays: %x", after, note)
	}
	slots := s.coll.Maps[traceMapLifeSlots]
	slot := make([]byte, slots.ValueSize())
	for i := range slots.MaxEntries() {
		if err := slots.Lookup(i, &slot); err != nil {
			t.Fatal(err)
		}
		socket, claims := binary.NativeEndian.Uint64(slot), binary.NativeEndian.Uint64(slot[8:])
		if socket > anybody || claims != socket {
			t.Errorf("%s: place %d is taken by %#x, claimed by %d", after, i, socket, claims)
		}
	}
}

// drained counts the lives that were told.
func drained(t *testing.T, s *Source) (lives int) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	var ev tcp.Event
	for {
		switch err := s.Read(&ev); {
		case errors.Is(err, io.EOF):
			return lives
		case err != nil:
			t.Fatal(err)
		case ev.Kind == tcp.KindLife:
			lives++
		}
	}
}

// connected makes a connection and has it ended.
func connected(ctx context.Context, end func(client, server *net.TCPConn, l net.Listener) error) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	s, err := l.Accept()
	if err != nil {
		return err
	}
	return end(c.(*net.TCPConn), s.(*net.TCPConn), l)
}

// ended reads to the end, however that comes.
func ended(c *net.TCPConn) error {
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return err
}

func resetThenRead(c, s *net.TCPConn, _ net.Listener) error {
	_, err := c.Write(make([]byte, 100))
	return errors.Join(err, c.SetLinger(0), c.Close(), ended(s), s.Close())
}

// resetBehindClose has the client, closed, answer data with a reset: it stays a
// socket in FIN_WAIT2 because TCP_LINGER2 is longer than TIME_WAIT.
func resetBehindClose(c, s *net.TCPConn, _ net.Listener) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var opt error
	err = errors.Join(c.CloseWrite(), raw.Control(func(fd uintptr) {
		opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_LINGER2, 90)
		for info := new(unix.TCPInfo); opt == nil && info.State != uint8(tcp.FinWait2); time.Sleep(time.Millisecond) {
			info, opt = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		}
	}))
	err = errors.Join(err, opt, c.Close(), ended(s))
	_, werr := s.Write([]byte("late"))
	return errors.Join(err, werr, s.Close())
}

// neverAccepted resets a second connection while it waits for accept().
func neverAccepted(c, s *net.TCPConn, l net.Listener) error {
	waits, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	return errors.Join(waits.(*net.TCPConn).SetLinger(0), waits.Close(), l.Close(), c.Close(), ended(s), s.Close())
}

func connectRefused() error {
	c, err := net.Dial("tcp4", "127.0.0.1:1")
	if err == nil {
		return errors.Join(errors.New("it was not refused"), c.Close())
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return nil
}
