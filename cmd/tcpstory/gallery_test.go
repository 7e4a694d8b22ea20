package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// A gallery shows connections of every state that can stand still, held by
// several processes on each host.
type gallery struct {
	t     *testing.T
	rooms []*room
	walls []*wall
}

// room is a way from clients to servers: two hosts, or one's loopback device.
type room struct {
	name           string
	client, server *lab.Host
	addr           func(lab.Family) netip.Addr // the server's
	port           uint16                      // the first one
	share          int                         // of the number of connections, percent
	clients        []*lab.Peer
	servers        []*lab.Peer
}

// wall is connections in one room of one family that are posed alike.
type wall struct {
	*room
	exhibit
	t       *testing.T
	family  lab.Family
	at      netip.AddrPort
	n       int
	servant *lab.Peer // who listens, and accepts
	faults  []*lab.Fault
}

// exhibit is how connections come to stand in certain states.
type exhibit struct {
	title    string
	n        int // at 100 percent, of each family
	before   []broken
	opens    bool // the client comes to be ESTABLISHED
	taken    bool // and the server's end is accepted
	pose     func(*wall)
	clientIs tcp.State
	serverIs tcp.State // as sock_diag has it; StateUnknown: there is none
}

// broken is a rule on one side; FromPort or ToPort say so.
type broken struct {
	atServer bool
	flags    tcp.Flags
}

// mostWaiting fits the backlog of a peer's listener.
const mostWaiting = 16

var exhibits = []exhibit{
	{title: "established", n: 60, opens: true, taken: true, pose: (*wall).talk, clientIs: tcp.Established, serverIs: tcp.Established},
	{title: "not accepted", n: mostWaiting, opens: true, pose: (*wall).talkAlone, clientIs: tcp.Established, serverIs: tcp.Established},
	{title: "SYN dropped", n: 15, before: []broken{{atServer: true}}, clientIs: tcp.SynSent},
	{title: "half-open", n: 15, before: []broken{{}}, clientIs: tcp.SynSent, serverIs: tcp.SynRecv},
	{title: "FIN dropped", n: 40, opens: true, taken: true, pose: (*wall).serverEndsUnheard, clientIs: tcp.Established, serverIs: tcp.FinWait1},
	{title: "half closed", n: 40, opens: true, taken: true, pose: (*wall).serverShuts, clientIs: tcp.CloseWait, serverIs: tcp.FinWait2},
	{title: "orphans", n: 40, opens: true, taken: true, pose: (*wall).serverLeaves, clientIs: tcp.CloseWait, serverIs: tcp.FinWait2},
	{title: "closed", n: 40, opens: true, taken: true, pose: (*wall).bothLeave, clientIs: tcp.TimeWait},
	{title: "last ACK", n: 40, opens: true, taken: true, pose: (*wall).clientLast, clientIs: tcp.LastAck, serverIs: tcp.FinWait2},
	{title: "closing", n: 40, opens: true, taken: true, pose: (*wall).both, clientIs: tcp.Closing, serverIs: tcp.FinWait2},
}

// Ports of the gallery: the first, and how many a room may have.
const (
	galleryPort  = 7600
	galleryPorts = 40
)

// peersEach is how many processes a side of a room has.
const peersEach = 3

// openGallery hangs every exhibit in a room between two named namespaces and in
// one whose namespace has lost its name, and waits until all stand.
func openGallery(t *testing.T) *gallery {
	t.Helper()
	named, nameless := newLab(t, lab.Options{}), newLab(t, lab.Options{})
	home := nameless.Host(lab.Client)
	g := &gallery{t: t, rooms: []*room{
		{name: "veth", client: named.Host(lab.Client), server: named.Host(lab.Server), addr: named.Host(lab.Server).Addr, port: galleryPort, share: 100},
		{name: "lo", client: home, server: home, addr: loopback, port: galleryPort + galleryPorts, share: 40},
	}}
	for _, r := range g.rooms {
		r.clients, r.servers = staff(t, r.client, "g-client"), staff(t, r.server, "g-server")
	}
	takeName(t, home)
	var all sync.WaitGroup
	for _, r := range g.rooms { // a peer does one thing at a time
		g.walls = append(g.walls, r.walls(t)...)
		all.Go(func() {
			for _, w := range g.walls {
				if w.room == r {
					w.hang()
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return g
}

func loopback(f lab.Family) netip.Addr {
	if f == lab.IPv6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// staff starts the processes of one side.
func staff(t *testing.T, h *lab.Host, name string) (list []*lab.Peer) {
	t.Helper()
	for i := range peersEach {
		p, err := h.Start(fmt.Sprintf("%s%d", name, i))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// takeName removes a host's name, which the namespace survives by its processes,
// until the test is over.
func takeName(t *testing.T, h *lab.Host) {
	t.Helper()
	path := h.Path()
	ns, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for the laboratory to clean up
		defer ns.Close()
		f, err := os.Create(path)
		if err == nil {
			f.Close()
			err = unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), path, "", unix.MS_BIND, "")
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// walls are one for each exhibit and family.
func (r *room) walls(t *testing.T) (list []*wall) {
	for i, e := range exhibits {
		for j, f := range lab.Families {
			list = append(list, &wall{
				room: r, exhibit: e, t: t, family: f, n: e.n * r.share / 100, servant: r.servers[i%peersEach],
				at: netip.AddrPortFrom(r.addr(f), r.port+uint16(2*i+j)),
			})
		}
	}
	return list
}

// try ends the wall's hanging on a failure: it is no goroutine of the test's own.
func (w *wall) try(err error) bool {
	if err != nil {
		w.t.Errorf("%s, %s over %s: %v", w.name, w.title, w.family, err)
	}
	return err == nil
}

func (w *wall) clientOf(i int) (*lab.Peer, string) {
	return w.clients[i%peersEach], fmt.Sprint("c", w.at.Port(), "-", i)
}

func (w *wall) serverEnd(i int) string { return fmt.Sprint("s", w.at.Port(), "-", i) }

func (w *wall) listener() string { return fmt.Sprint("l", w.at.Port()) }

// hang makes the wall's connections and poses them.
func (w *wall) hang() {
	ctx := w.t.Context()
	for _, b := range w.before {
		w.breaks(b)
	}
	if !w.try(w.servant.Listen(ctx, w.listener(), w.at)) {
		return
	}
	for i := range w.n {
		c, name := w.clientOf(i)
		_, err := c.Connect(ctx, name, w.at, lab.Option{})
		if err == nil && w.opens {
			err = c.Outcome(ctx, name)
		}
		if err == nil && w.taken {
			err = w.servant.Accept(ctx, w.listener(), w.serverEnd(i))
		}
		if !w.try(err) {
			return
		}
	}
	if w.pose != nil {
		w.pose(w)
	}
	w.await(w.client, w.clientIs, w.n, true)
	w.await(w.server, w.serverIs, w.n, false)
}

func (w *wall) breaks(b broken) {
	r, at := lab.Rule{FromPort: w.at.Port(), Flags: b.flags}, w.client
	if b.atServer {
		r, at = lab.Rule{ToPort: w.at.Port(), Flags: b.flags}, w.server
	}
	f, err := at.Break(r)
	if w.try(err) {
		w.faults = append(w.faults, f)
	}
}

// lift takes the first rules away.
func (w *wall) lift(n int) {
	for _, f := range w.faults[:n] {
		w.try(f.Lift())
	}
	w.faults = w.faults[n:]
}

// await waits until so many ends on a side are in a state.
func (w *wall) await(h *lab.Host, st tcp.State, n int, client bool) {
	if st == tcp.StateUnknown {
		return
	}
	deadline, have := time.Now().Add(patience), 0
	for ; time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		socks, err := h.Sockets(w.family)
		if !w.try(err) {
			return
		}
		have = 0
		for _, s := range socks {
			end := s.Flow.Local
			if client {
				end = s.Flow.Remote
			}
			if s.State == st && end.Port() == w.at.Port() && s.Flow.Remote.Port() != 0 {
				have++
			}
		}
		if have == n {
			return
		}
	}
	w.try(fmt.Errorf("%d ends came to be in %v, want %d", have, st, n))
}

// talk has both ends say something, more or less.
func (w *wall) talk() {
	ctx := w.t.Context()
	for i := range w.n {
		c, name := w.clientOf(i)
		request, response := 1+i%7*100, i%5*300
		w.try(c.Send(ctx, name, 1, request))
		w.try(w.servant.Receive(ctx, w.serverEnd(i), request))
		if response > 0 {
			w.try(w.servant.Send(ctx, w.serverEnd(i), 1, response))
			w.try(c.Receive(ctx, name, response))
		}
	}
}

func (w *wall) talkAlone() {
	for i := range w.n {
		c, name := w.clientOf(i)
		w.try(c.Send(w.t.Context(), name, 1, 10))
	}
}

// serverEndsUnheard leaves half of the ends without a process.
func (w *wall) serverEndsUnheard() {
	w.breaks(broken{flags: tcp.FIN})
	for i := range w.n {
		if i%2 == 0 {
			w.try(w.servant.Shutdown(w.t.Context(), w.serverEnd(i)))
		} else {
			w.try(w.servant.CloseSocket(w.t.Context(), w.serverEnd(i)))
		}
	}
}

func (w *wall) serverShuts() {
	for i := range w.n {
		w.try(w.servant.Shutdown(w.t.Context(), w.serverEnd(i)))
	}
}

func (w *wall) serverLeaves() {
	for i := range w.n {
		w.try(w.servant.CloseSocket(w.t.Context(), w.serverEnd(i)))
	}
}

func (w *wall) clientsLeave() {
	for i := range w.n {
		c, name := w.clientOf(i)
		w.try(c.CloseSocket(w.t.Context(), name))
	}
}

func (w *wall) bothLeave() {
	w.clientsLeave()
	w.await(w.server, tcp.CloseWait, w.n, false)
	w.serverLeaves()
}

func (w *wall) clientLast() {
	w.serverShuts()
	w.await(w.client, tcp.CloseWait, w.n, true)
	w.breaks(broken{atServer: true, flags: tcp.FIN})
	w.clientsLeave()
}

// both has FINs cross, of which only the server's arrives in the end.
func (w *wall) both() {
	w.breaks(broken{flags: tcp.FIN})
	w.breaks(broken{atServer: true, flags: tcp.FIN})
	w.serverShuts()
	for i := range w.n {
		c, name := w.clientOf(i)
		w.try(c.Shutdown(w.t.Context(), name))
	}
	w.await(w.client, tcp.FinWait1, w.n, true)
	w.await(w.server, tcp.FinWait1, w.n, false)
	w.lift(1)
}

// hosts are the rooms' hosts, each once.
func (g *gallery) hosts() (list []*lab.Host) {
	for _, r := range g.rooms {
		for _, h := range []*lab.Host{r.client, r.server} {
			if !slices.Contains(list, h) {
				list = append(list, h)
			}
		}
	}
	return list
}

// close lets everything go on: what was held up arrives, what nobody had accepted
// is, some connections say something more, some are aborted, all end. It returns
// when only TIME_WAITs are left.
func (g *gallery) close() {
	g.t.Helper()
	for _, w := range g.walls {
		w.lift(len(w.faults))
	}
	for _, w := range g.walls {
		switch w.title {
		case "established":
			w.talk()
			w.abortSome()
		case "not accepted", "SYN dropped", "half-open":
			w.acceptAll()
		}
	}
	for _, r := range g.rooms {
		for _, p := range slices.Concat(r.clients, r.servers) {
			if err := p.Close(); err != nil {
				g.t.Error(err)
			}
		}
	}
	for _, h := range g.hosts() {
		eventually(g.t, "everything to end on the "+h.NetnsName(), func() bool { return onlyTimeWaits(g.t, h) })
	}
}

func (w *wall) acceptAll() {
	ctx := w.t.Context()
	for i := range w.n {
		w.try(w.servant.Accept(ctx, w.listener(), w.serverEnd(i)))
		if !w.opens {
			c, name := w.clientOf(i)
			w.try(c.Outcome(ctx, name))
		} else if i%2 == 0 {
			w.try(w.servant.Receive(ctx, w.serverEnd(i), 10))
		}
	}
}

// abortSome ends every fifth connection by a RST, each tenth of the server's.
func (w *wall) abortSome() {
	for i := 0; i < w.n; i += 5 {
		if c, name := w.clientOf(i); i%10 == 0 {
			w.try(c.Abort(w.t.Context(), name))
		} else {
			w.try(w.servant.Abort(w.t.Context(), w.serverEnd(i)))
		}
	}
}

func onlyTimeWaits(t *testing.T, h *lab.Host) bool {
	t.Helper()
	for _, f := range lab.Families {
		socks, err := h.Sockets(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range socks {
			if s.State != tcp.TimeWait {
				return false
			}
		}
	}
	return true
}
