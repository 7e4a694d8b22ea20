package kernel

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// TestSocketThatConnectsAgain: one whose note had no place finds one when it connects
// again. Its other note, in socket storage or by its address, is of the life before,
// and gone by then: neither it nor a later socket at that address is taken for that.
func TestSocketThatConnectsAgain(t *testing.T) {
	l, err := lab.New(t.Context(), lab.Options{Topology: lab.Alone})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := l.Host(lab.Server)
	for _, storage := range []bool{true, false} {
		f, err := probeFeatures()
		if err != nil {
			t.Fatal(err)
		}
		f.socketStorage = storage
		s, err := open(Config{Lives: true, Netns: []uint32{h.Netns()}}, f)
		if err != nil {
			t.Fatal(err)
		}
		takePlaces(t, s, anybody)
		if err := h.Within(func() error { return connectTwice(t, s, storage) }); err != nil {
			t.Error(err)
		}
		noNotes(t, s, fmt.Sprintf("connected twice, storage %v", storage))
		if lives := drained(t, s); lives != 2 {
			t.Errorf("%d lives were told, not two", lives)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// connectTwice has a socket's connection refused, first without a place for its note. We
// are no user of it (own_pid), so that its note stays until it is closed.
func connectTwice(t *testing.T, s *Source, storage bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for i, notes := range []int{1, 0} {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 1, Addr: [4]byte{127, 0, 0, 1}}); !errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("connect %d: %w", i, err)
		}
		if n := elsewhere(t, s, fd, storage); n != notes {
			t.Errorf("storage %v: after connect %d there are %d notes without a place, want %d", storage, i, n, notes)
		}
		takePlaces(t, s, 0)
	}
	return nil
}

// elsewhere counts the notes that have no place.
func elsewhere(t *testing.T, s *Source, fd int, storage bool) (n int) {
	t.Helper()
	if !storage {
		notes := s.coll.Maps[traceMapLivesByAddress]
		var key uint64
		note := make([]byte, notes.ValueSize())
		for left := notes.Iterate(); left.Next(&key, &note); {
			n++
		}
		return n
	}
	notes := s.coll.Maps[traceMapLives]
	note := make([]byte, notes.ValueSize())
	switch err := notes.Lookup(int32(fd), &note); {
	case err == nil:
		return 1
	case !errors.Is(err, ebpf.ErrKeyNotExist):
		t.Error(err)
	}
	return 0
}
