package sockets

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"tcpstory/internal/tcp"
)

// Entrance leads into a network namespace.
type Entrance struct {
	Netns uint32                   // its inode
	Do    func(func() error) error // runs a function inside, on one thread
}

// Namespace is what a look at a namespace has found.
type Namespace struct {
	Netns   uint32
	Time    time.Time // when the look was over
	Sockets []tcp.Socket
	Refused Refused
	Torn    bool // the kernel says that some sockets may have been missed
}

// ErrNoDiag means that this kernel has no socket diagnosis for TCP.
var ErrNoDiag = errors.New("the kernel cannot tell its sockets: it has no tcp_diag (modprobe tcp_diag)")

// Look lists the sockets of the namespaces, those in the states whose bits are
// set, and nobody's Holders. The kernel looks through its one table of connections
// for each namespace: the namespaces share the CPUs. One that is gone by
// now has no sockets; what else could not be looked at is returned, and the rest is
// whole.
func Look(in []Entrance, states uint32) (found []Namespace, failed []error) {
	found, errs := make([]Namespace, len(in)), make([]error, len(in))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(len(in), runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := range next {
				found[i].Netns = in[i].Netns
				if err := in[i].Do(func() error { return found[i].look(states) }); err != nil {
					errs[i] = fmt.Errorf("look at network namespace %d: %w", in[i].Netns, err)
				}
			}
		})
	}
	for i := range in {
		next <- i
	}
	close(next)
	workers.Wait()
	return found, slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// look lists the sockets of the namespace in which the calling thread is.
func (n *Namespace) look(states uint32) error {
	set := readSettings()
	var err error
	if n.Sockets, n.Torn, err = list(states); err != nil {
		return err
	}
	n.Time = time.Now()
	n.Refused = readRefused()
	for i := range n.Sockets {
		s := &n.Sockets[i]
		s.Netns = n.Netns
		set.age(s)
	}
	return nil
}
