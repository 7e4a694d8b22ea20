package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/lab"
	"tcpstory/internal/lab/crew"
	"tcpstory/internal/lab/crew/jury"
)

// TestOwnersAreSs: while connections of every shape stand open, the process told
// of each end is the one that ss shows, and /proc has its name. It is the same
// for a tracer that was started when they stood already.
func TestOwnersAreSs(t *testing.T) {
	const each = 21
	s := newStage(t, crewProgram(t), false, "--no-packets")
	servers, clients := s.everyShape(held, each, crew.Options{})
	late := watch(t, here{}, "--json", "--netns", s.client.NetnsName(), "--no-packets")
	tracers := map[string]*proc{"from the beginning": s.tracer, "started late": late}
	for name, tracer := range tracers {
		t.Run(name, func(t *testing.T) { ownersAreSs(t, tracer, s, 2*each*len(crewShapes)) })
	}
	s.try(s.crew.OpenGate())
	s.finish(clients, servers)
	for name, tracer := range tracers {
		tracer.interrupt()
		rep := jury.Judge(s.truth(), claimsOf(t, tracer), jury.Promised, s.hidden())
		t.Logf("%s: %v", name, rep)
		for _, f := range rep.Faults {
			if f.Wrong {
				t.Errorf("%s: %s\n%s", name, f.Text, f.Story)
			}
		}
	}
}

// ownersAreSs compares so many ends. Of one whose transition the machine hid
// nothing may be told.
func ownersAreSs(t *testing.T, tracer *proc, s *stage, ends int) {
	have, want := toldOwners(t, tracer), ssOwners(t, s.client)
	for end := time.Now().Add(patience / 4); !maps.Equal(have, want) && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		have = toldOwners(t, tracer)
	}
	hidden := map[string]bool{}
	for _, p := range s.hidden() {
		hidden[fmt.Sprintf(":%d :%d", p.Local, p.Remote)] = true
	}
	if len(want) != ends {
		t.Errorf("ss shows %d ends, not %d", len(want), ends)
	}
	var differ []string
	for ends, process := range want {
		told, known := have[ends]
		if !known && hidden[portsOfEnds.ReplaceAllString(ends, "$1 $2")] {
			t.Logf("%s: the machine hid a transition", ends)
			continue
		}
		if told != process {
			differ = append(differ, fmt.Sprintf("%s is told to be of %q, ss says %q", ends, told, process))
		}
	}
	t.Logf("of %d ends, %d are not told as ss has them", len(want), len(differ))
	for _, text := range differ[:min(len(differ), 5)] {
		t.Error(text)
	}
	wantNamesOfProc(t, want)
}

// portsOfEnds leaves the ports of two ends.
var portsOfEnds = regexp.MustCompile(`^.*(:\d+) .*(:\d+)$`)

// toldOwners are the present owners of all ends, "PID COMM" by "LOCAL REMOTE".
func toldOwners(t *testing.T, tracer *proc) map[string]string {
	t.Helper()
	owners := map[string]string{}
	for _, text := range tracer.lines() {
		m := object(t, text)
		if m["owner_pid"] == nil || m["local_port"] == nil || m["remote_port"] == nil {
			continue
		}
		ends := fmt.Sprintf("%v:%v %v:%v", m["local_addr"], m["local_port"], m["remote_addr"], m["remote_port"])
		owners[ends] = fmt.Sprintf("%v %v", m["owner_pid"], m["owner_comm"])
	}
	return owners
}

// ssUsers is one process in ss -p's list of those that hold a socket.
var ssUsers = regexp.MustCompile(`\("([^"]*)",pid=(\d+),fd=\d+\)`)

// ssOwners are ss's of all established connections. An end that several processes
// hold has them all.
func ssOwners(t *testing.T, h *lab.Host) map[string]string {
	t.Helper()
	owners := map[string]string{}
	for _, l := range printed(t, h.Command(t.Context(), "ss", "-Htanp", "state", "established")) {
		f := strings.Fields(l)
		if len(f) < 4 {
			continue
		}
		var users []string
		for _, m := range ssUsers.FindAllStringSubmatch(l, -1) {
			users = append(users, m[2]+" "+m[1])
		}
		owners[f[2]+" "+f[3]] = strings.Join(users, ", ")
	}
	return owners
}

// wantNamesOfProc: ss has the names that the processes have.
func wantNamesOfProc(t *testing.T, owners map[string]string) {
	t.Helper()
	for ends, process := range owners {
		pid, comm, _ := strings.Cut(process, " ")
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil || strings.TrimSpace(string(name)) != comm {
			t.Errorf("%s: /proc says that process %s is %q (%v), ss says %q", ends, pid, name, err, comm)
		}
	}
}
