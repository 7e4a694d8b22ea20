package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// ssStates are ss(8)'s words for the states that we name as the kernel does.
var ssStates = map[string]string{
	"ESTAB": "ESTABLISHED", "SYN-SENT": "SYN_SENT", "SYN-RECV": "SYN_RECV",
	"FIN-WAIT-1": "FIN_WAIT1", "FIN-WAIT-2": "FIN_WAIT2", "TIME-WAIT": "TIME_WAIT",
	"CLOSE-WAIT": "CLOSE_WAIT", "LAST-ACK": "LAST_ACK", "LISTEN": "LISTEN", "CLOSING": "CLOSING",
}

// ss lists a host's connections (listeners left out) by "LOCAL REMOTE".
func ss(t *testing.T, h *lab.Host, port uint16) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, l := range printed(t, h.Command(t.Context(), "ss", "-Htan")) {
		f := strings.Fields(l)
		if len(f) < 5 || f[0] == "LISTEN" || !strings.Contains(l, ":"+strconv.Itoa(int(port))) {
			continue
		}
		ends := strings.NewReplacer("[", "", "]", "").Replace(f[3] + " " + f[4])
		if ssStates[f[0]] == "" {
			t.Fatalf("ss says %s", l)
		}
		found[ends] = ssStates[f[0]]
	}
	return found
}

// told folds a tracer's JSON into the state in which each end of a connection
// stands.
func told(t *testing.T, p *proc, netns uint32) map[string]string {
	t.Helper()
	states := map[string]string{}
	for _, text := range p.lines() {
		m := object(t, text)
		if m["netns"] != float64(netns) || m["role"] == "listener" || m["local_port"] == nil || m["remote_port"] == nil {
			continue
		}
		ends := fmt.Sprintf("%v:%v %v:%v", m["local_addr"], m["local_port"], m["remote_addr"], m["remote_port"])
		switch {
		case m["kind"] != "state":
		case m["inferred_state"] == "TIME_WAIT" || m["inferred_state"] == "FIN_WAIT2": // of an orphan
			states[ends] = m["inferred_state"].(string)
		case m["new_state"] == "CLOSE":
			delete(states, ends)
		default:
			states[ends] = m["new_state"].(string)
		}
	}
	return states
}

// standing are the scenarios that stop in a state for us to look at.
var standing = []string{
	"handshake", "syn-sent", "syn-recv", "close-server-first", "close-client-first", "fin-wait1", "fin-wait2", "last-ack", "closing", "time-wait",
}

// TestStatesAreSs: where each scenario stands, the states are those that ss
// shows on both hosts.
func TestStatesAreSs(t *testing.T) {
	for _, name := range standing {
		for _, f := range lab.Families {
			t.Run(fmt.Sprintf("%s/%s", name, f), func(t *testing.T) {
				t.Parallel()
				// This machine may hide an event from every BPF program (see both): then
				// the scenario is acted out once more, and must agree.
				if !standsAsSs(t, name, f, 8*time.Second) && !standsAsSs(t, name, f, patience) {
					t.Error("the states told are not those of ss, twice")
				}
			})
		}
	}
}

// standsAsSs acts a scenario out and compares where it stands.
func standsAsSs(t *testing.T, name string, f lab.Family, limit time.Duration) bool {
	t.Helper()
	s, err := lab.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	var l *lab.Lab
	var tracer *proc
	looked, equal := false, true
	l = newLab(t, lab.Options{Topology: s.Topology, Hold: func(context.Context, lab.Standing) error {
		looked = true
		for _, h := range l.Hosts() {
			var have, want map[string]string
			same := func() bool {
				have, want = told(t, tracer, h.Netns()), ss(t, h, s.Port)
				return maps.Equal(want, have)
			}
			for end := time.Now().Add(limit); !same() && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			t.Logf("%s: ss %v, told %v", h.Name(), want, have)
			equal = equal && maps.Equal(want, have)
		}
		return nil
	}})
	netns := l.Hosts()[0].NetnsName() + "," + l.Hosts()[1].NetnsName()
	tracer = watch(t, here{}, "--json", "--netns", netns, "port", strconv.Itoa(int(s.Port)))
	if err := s.Run(t.Context(), l, f); err != nil && equal {
		t.Fatal(err)
	}
	if !looked {
		t.Error("the scenario did not stand still")
	}
	return equal
}

// bpftraceProgram prints every transition of TCP sockets with a port. The
// time comes first: bpftrace gathers each CPU's lines apart.
const bpftraceProgram = `tracepoint:sock:inet_sock_set_state /args->protocol == 6 && (args->sport == %d || args->dport == %d)/ {
	printf("%%llu %%d %%d %%d %%d\n", nsecs, args->sport, args->dport, args->oldstate, args->newstate);
}`

// bpftrace watches a port's transitions, in a mount namespace where it can find
// tracefs, and waits until a connection to nobody shows.
func bpftrace(t *testing.T, r route) *proc {
	t.Helper()
	port := r.at.Port()
	program := fmt.Sprintf(bpftraceProgram, port, port)
	cmd := exec.Command("unshare", "-m", "--", "sh", "-c", `mount -t tracefs tracefs /sys/kernel/tracing && exec bpftrace -e "$0"`, program)
	cmd.Env = plainEnv()
	p := start(t, cmd)
	p.awaitsIn(p.out, regexp.MustCompile(`^Attaching`))
	eventually(t, "bpftrace to show something", func() bool {
		r.dial()
		return len(transitions(t, p)) > 0
	})
	return p
}

// transition is one line of bpftrace's, or the same of ours. A port is 0 where
// the tracepoint does not know it yet.
type transition struct {
	at            uint64
	local, remote int
	from, to      tcp.State
}

// transitions are the lines of a running bpftrace by their time.
func transitions(t *testing.T, p *proc) (list []transition) {
	t.Helper()
	for _, l := range p.lines() {
		var e transition
		if n, _ := fmt.Sscan(l, &e.at, &e.local, &e.remote, &e.from, &e.to); n == 5 {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b transition) int { return cmp.Compare(a.at, b.at) })
	return list
}

// ourTransitions are a tracer's.
func ourTransitions(t *testing.T, p *proc) (list []transition) {
	t.Helper()
	number := func(m map[string]any, name string) int {
		n, _ := m[name].(float64)
		return int(n)
	}
	for _, text := range p.lines() {
		m := object(t, text)
		if m["kind"] != "state" {
			continue
		}
		if m["inferred"] != nil {
			continue
		}
		e := transition{local: number(m, "local_port"), remote: number(m, "remote_port")}
		e.from, e.to = stateNamed(t, m["old_state"]), stateNamed(t, m["new_state"])
		list = append(list, e)
	}
	return list
}

func stateNamed(t *testing.T, name any) tcp.State {
	t.Helper()
	for s := range tcp.State(20) {
		if s.String() == name {
			return s
		}
	}
	t.Fatalf("no state is called %v", name)
	return 0
}

// TestStatesAreBpftraces: the transitions are, one by one and in their order,
// those of the bare tracepoint.
func TestStatesAreBpftraces(t *testing.T) {
	for i := range 4 {
		port := 23171 + uint16(i) // nobody else's: bpftrace sees every namespace
		r := routes(newLab(t, lab.Options{}), port)[i]
		witness := bpftrace(t, r)
		p := watch(t, here{}, "--json", "--no-packets", "--netns", r.client.NetnsName()+","+r.server.NetnsName(), "port", strconv.Itoa(int(port)))
		allSorts(t, r)
		p.interrupt()
		have := ourTransitions(t, p)
		var want []transition
		begin := func(e transition) bool { return e.from == tcp.Close && e.to == tcp.Listen } // of what both have seen
		eventually(t, "bpftrace to show as much", func() bool {
			want = transitions(t, witness)
			want = want[max(0, slices.IndexFunc(want, begin)):]
			return len(want) >= len(have)
		})
		if len(have) < 20 || len(have) != len(want) {
			t.Fatalf("%d transitions, bpftrace has %d\n%s\n%v", len(have), len(want), p.both(), want)
		}
		for i, w := range want {
			h := have[i]
			h.at = w.at
			if w.local == 0 && h.local != 0 {
				w.local = h.local // learnt from what came later
			}
			if h != w {
				t.Errorf("transition %d is %+v, bpftrace has %+v", i, h, w)
			}
		}
		witness.cmd.Process.Signal(unix.SIGINT)
		witness.wait()
	}
}
