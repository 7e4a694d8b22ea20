package main

import (
	"math"
	"slices"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// sockets are the three whose transitions a story may tell.
var socketEnds = []struct {
	host, role string
	path       func(lab.Story) lab.Path
	errno      func(lab.Story, lab.Family) unix.Errno
}{
	{lab.Client, "client", func(s lab.Story) lab.Path { return s.Client }, lab.Story.ErrnoAt},
	{lab.Server, "server", func(s lab.Story) lab.Path { return s.Server },
		func(s lab.Story, _ lab.Family) unix.Errno { return s.ServerErrno }},
	{lab.Server, "listener", listenerPath, func(lab.Story, lab.Family) unix.Errno { return 0 }},
}

func listenerPath(s lab.Story) lab.Path {
	if s.Listener {
		return lab.ListenerPath
	}
	return nil
}

// states are the traced transitions of one of the sockets.
func (tell *telling) states(host, role string) []happening {
	return slices.DeleteFunc(tell.at(host, tcp.KindState), func(ev happening) bool { return ev.Role != role || ev.IsInferred })
}

// transitions: each socket, known by one cookie, goes its path and no other; its
// error is told with the last step, and the time in each state is right.
func (v *verdict) transitions() {
	n := 0
	for _, s := range socketEnds {
		have := v.of.states(s.host, s.role)
		n += len(have)
		v.path(s.role, have, s.path(v.of.Story).Transitions())
		v.errnos(s.role, have, int(s.errno(v.of.Story, v.of.family)))
		v.times(s.role, have)
		for _, ev := range have {
			if ev.Cookie == 0 || ev.Cookie != have[0].Cookie {
				v.errs("the %s's socket has cookies %d and %d", s.role, have[0].Cookie, ev.Cookie)
			}
		}
	}
	for _, ev := range v.of.events {
		if ev.Kind == tcp.KindState.String() && !ev.IsInferred {
			n--
		}
	}
	if n != 0 {
		v.errs("%d transitions of nobody", -n)
	}
}

func (v *verdict) path(who string, have []happening, want []lab.Transition) {
	at := 0
	for _, ev := range have {
		at += 1 + slices.IndexFunc(want[at:], func(w lab.Transition) bool {
			return w.Old.String() == ev.Old && w.New.String() == ev.New
		})
		if at == 0 || want[at-1].Old.String() != ev.Old || want[at-1].New.String() != ev.New {
			v.errs("the %s goes %s → %s", who, ev.Old, ev.New)
			return
		}
	}
	v.counts("transitions of the "+who, len(have), len(want))
}

func (v *verdict) errnos(who string, have []happening, last int) {
	for _, ev := range have {
		want := 0
		if ev.New == tcp.Close.String() {
			want = last
		}
		if ev.Errno != want {
			v.errs("the %s's error at %s → %s is %d, want %d", who, ev.Old, ev.New, ev.Errno, want)
		}
	}
}

// times: in_state_us is the time since the transition before; that in SYN_RECV
// counts from the SYN-ACK on, and says so. The first state has none.
func (v *verdict) times(who string, have []happening) {
	for i, ev := range have {
		known := i > 0 && have[i-1].New == ev.Old
		if known && ev.Old == tcp.SynRecv.String() {
			begun := v.inferred(ev.Netns, tcp.SynRecv)
			if known = len(begun) == 1; known {
				have[i-1].Time = begun[0].Time
			}
			if ev.HalfOpen != known {
				v.errs("the %s's time in SYN_RECV is called inferred: %v", who, ev.HalfOpen)
			}
		}
		if known != (ev.InState != nil) {
			v.errs("the %s's time in %s is told: %v, want %v", who, ev.Old, !known, known)
			continue
		}
		if !known {
			continue
		}
		if want := max(0, float64(ev.Time-have[i-1].Time)/1000); math.Abs(want-*ev.InState) > 0.01 {
			v.errs("the %s's time in %s is %v µs, want %v", who, ev.Old, *ev.InState, want)
		}
	}
}

// isDeed: is the transition certainly the acting process's own?
// ESTABLISHED → CLOSE is one where nothing went wrong: an abort.
func isDeed(ev *happening) bool {
	switch ev.Old + " " + ev.New {
	case "CLOSE LISTEN", "LISTEN CLOSE", "CLOSE SYN_SENT", "ESTABLISHED FIN_WAIT1", "CLOSE_WAIT LAST_ACK":
		return true
	case "ESTABLISHED CLOSE":
		return ev.Errno == 0
	}
	return false
}

// processes: a transition that a process makes names it, and no other does. No
// event names another end's process.
func (v *verdict) processes() {
	for _, ev := range v.of.events {
		peer := v.peer(&ev)
		deed := ev.Kind == tcp.KindOwner.String() || ev.Kind == tcp.KindState.String() && isDeed(&ev)
		switch {
		case deed && (ev.Comm != peer || ev.PID == 0):
			v.errs("%s → %s was done by %q (%d), want %q", ev.Old, ev.New, ev.Comm, ev.PID, peer)
		case !deed && (ev.Comm != "" || ev.PID != 0):
			v.errs("%s %s → %s names %q (%d)", ev.Kind, ev.Old, ev.New, ev.Comm, ev.PID)
		case ev.OwnerComm != "" && ev.OwnerComm != peer:
			v.errs("event %d has owner %q, want %q", ev.Seq, ev.OwnerComm, peer)
		}
	}
}

// peer is the process that acts on the event's host.
func (v *verdict) peer(ev *happening) string {
	switch {
	case v.of.host(ev) == lab.Client:
		return "tcplab-client"
	case v.of.Name == "keepalive-timeout":
		return "nginx"
	}
	return "tcplab-server"
}

// inferred are the transitions to a state that no tracepoint tells of.
func (v *verdict) inferred(netns uint32, to tcp.State) (list []happening) {
	for _, ev := range v.of.events {
		if ev.IsInferred && ev.Netns == netns && ev.New == to.String() {
			list = append(list, ev)
		}
	}
	return list
}

// timeWait: who sent his FIN first, or at the same time, is in TIME_WAIT after
// an orderly close, and it is told once; nobody is after a RST or a time-out.
func (v *verdict) timeWait() {
	for _, s := range socketEnds {
		path := s.path(v.of.Story)
		want := 0
		if n := len(path); n > 1 && (path[n-2] == tcp.FinWait2 || path[n-2] == tcp.Closing) {
			want = 1
		}
		have, orphans := 0, 0
		for _, ev := range v.of.events {
			switch {
			case ev.Role != s.role:
			case ev.Remains == tcp.TimeWait.String(), ev.IsInferred && ev.New == tcp.TimeWait.String():
				have++
			case ev.Remains == tcp.FinWait2.String():
				orphans++
			case ev.Remains != "":
				v.errs("event %d leaves %s", ev.Seq, ev.Remains)
			}
			if ev.Remains != "" && (ev.Kind != tcp.KindState.String() || ev.New != tcp.Close.String() || ev.Errno != 0) {
				v.errs("event %d (%s) leaves %s", ev.Seq, ev.Kind, ev.Remains)
			}
		}
		v.counts("TIME_WAIT of the "+s.role, have, want)
		if orphans > want {
			v.errs("%d orphans of the %s", orphans, s.role)
		}
	}
}

// halfOpen: a server is half-open from its SYN-ACK on, once; nobody else is.
func (v *verdict) halfOpen() {
	synAck, server := false, v.of.server
	for _, ev := range v.of.at(lab.Server, tcp.KindPacket) {
		synAck = synAck || ev.Outgoing && ev.Flags == "S."
	}
	have := v.inferred(server, tcp.SynRecv)
	v.counts("half-open connections of the server", len(have), map[bool]int{true: 1}[synAck])
	if !v.of.alone() {
		v.counts("half-open connections of the client", len(v.inferred(v.of.client, tcp.SynRecv)), 0)
	}
	for _, ev := range have {
		if ev.Old != tcp.Listen.String() || ev.From != "SYN-ACK" || ev.Role != "server" {
			v.errs("the %s goes %s → %s, inferred from %s", ev.Role, ev.Old, ev.New, ev.From)
		}
	}
}
