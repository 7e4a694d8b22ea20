package main

import (
	"math"
	"slices"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// sockets are the three whose transitions a story may tell.
var sockets = []struct {
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

// states are the transitions of one of the sockets.
func (tell *telling) states(host, role string) []happening {
	return slices.DeleteFunc(tell.at(host, tcp.KindState), func(ev happening) bool { return ev.Role != role })
}

// transitions: each socket, known by one cookie, goes its path and no other; its
// error is told with the last step, and the time in each state is right.
func (v *verdict) transitions() {
	n := 0
	for _, s := range sockets {
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
		if ev.Kind == tcp.KindState.String() {
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

// times: in_state_us is the time since the transition before. The first state
// has none, and SYN_RECV's is not the handshake's.
func (v *verdict) times(who string, have []happening) {
	for i, ev := range have {
		known := i > 0 && have[i-1].New == ev.Old && ev.Old != tcp.SynRecv.String()
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

// timeWait: who sent his FIN first, or at the same time, is in TIME_WAIT after
// an orderly close, and it is told once; nobody is after a RST or a time-out.
func (v *verdict) timeWait() {
	for _, s := range sockets {
		path := s.path(v.of.Story)
		want := 0
		if n := len(path); n > 1 && (path[n-2] == tcp.FinWait2 || path[n-2] == tcp.Closing) {
			want = 1
		}
		have := 0
		for _, ev := range v.of.events {
			if ev.Inferred != "" && ev.Role == s.role {
				have++
				v.standing(&ev)
			}
		}
		v.counts("TIME_WAIT of the "+s.role, have, want)
	}
}

// standing: TIME_WAIT begins with the hand-over, or with the ACK of the other
// end's FIN where that comes later.
func (v *verdict) standing(ev *happening) {
	handOver := ev.Kind == tcp.KindState.String() && ev.New == tcp.Close.String()
	ack := ev.Kind == tcp.KindPacket.String() && ev.Outgoing && ev.Flags == "."
	if ev.Inferred != tcp.TimeWait.String() || !handOver && !ack {
		v.errs("event %d (%s) infers %s", ev.Seq, ev.Kind, ev.Inferred)
	}
}
