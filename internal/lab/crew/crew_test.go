package crew_test

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/lab"
	"tcpstory/internal/lab/crew"
	"tcpstory/internal/lab/crew/jury"
)

// TestActs: the program and the jury number the acts alike.
func TestActs(t *testing.T) {
	header, err := os.ReadFile("src/crew.h")
	if err != nil {
		t.Fatal(err)
	}
	_, enum, _ := strings.Cut(string(header), "enum act {")
	enum, _, _ = strings.Cut(enum, "};")
	names := regexp.MustCompile(`ACT_(\w+)`).FindAllStringSubmatch(enum, -1)
	for i, m := range names {
		if have := jury.Act(i + 1).String(); have != strings.ToLower(m[1]) {
			t.Errorf("act %d is %s, the header says %s", i+1, have, m[1])
		}
	}
	if last := jury.Act(len(names)); last != jury.Gone {
		t.Errorf("the header has %d acts, the last of ours is %d", len(names), jury.Gone)
	}
}

// ensemble says which processes and threads have which part in a connection:
// equal letters are one process. A thread is written behind its process.
type ensemble struct {
	shape  crew.Shape
	play   crew.Play
	server string // who accepts, reads first, writes
	comms  []string
}

var ensembles = []ensemble{
	{crew.Prefork, crew.Play{Server: "rwec", Client: "wrc"}, "a a a", []string{"prefork-0", "prefork-1", "prefork-2", "prefork-3"}},
	{crew.ReusePort, crew.Play{Server: "rwec", Client: "wrc"}, "a a a", []string{"reuseport-0", "reuseport-1", "reuseport-2", "reuseport-3"}},
	{crew.Fork, crew.Play{Server: "prwec", Client: "wrc"}, "a b b", []string{"fork", "fork-child"}},
	{crew.Fork, crew.Play{Server: "rpwec", Client: "wrc"}, "a a b", []string{"fork", "fork-child"}},
	{crew.ForkExec, crew.Play{Server: "prwec", Client: "wrc"}, "a b b", []string{"forkexec", "forkexec-exec"}},
	{crew.Pass, crew.Play{Server: "prpwec", Client: "wrc"}, "a b c", []string{"pass-0", "pass-1", "pass-2", "pass-3"}},
	{crew.Threads, crew.Play{Server: "prpwec", Client: "wrc"}, "a1 a2 a3", []string{"threads"}},
}

// TestEnsembles: each shape does with a connection what it is said to do.
func TestEnsembles(t *testing.T) {
	program := build(t)
	const conns = 40
	for _, e := range ensembles {
		t.Run(fmt.Sprintf("%s/%s", e.shape, e.play.Server), func(t *testing.T) {
			records := perform(t, program, e.shape, crew.Clients, e.play, conns)
			comms := map[string]bool{}
			ends := byCookie(records, true)
			for _, r := range ends {
				if have := parts(r); have != e.server {
					t.Fatalf("the parts are %q, not %q", have, e.server)
				}
				for _, r := range r {
					comms[r.Comm] = true
				}
			}
			if len(ends) != conns {
				t.Errorf("%d connections were served, not %d", len(ends), conns)
			}
			for comm := range comms {
				if !slices.Contains(e.comms, comm) {
					t.Errorf("a process is called %q", comm)
				}
			}
		})
	}
}

// TestBrief: each connection has a client process of its own, which its parent
// has waited for.
func TestBrief(t *testing.T) {
	program := build(t)
	const conns = 40
	for _, shape := range []crew.Shape{crew.Brief, crew.BriefExec} {
		for _, steps := range []string{"wrc", "wrx", "wrk"} {
			t.Run(fmt.Sprintf("%s/%s", shape, steps), func(t *testing.T) {
				records := perform(t, program, crew.Prefork, shape, crew.Play{Server: "rwec", Client: steps}, conns)
				pids := map[uint32]bool{}
				for _, r := range byCookie(records, false) {
					pids[r[0].PID] = true
					if last := r[len(r)-1]; last.Act != jury.Close && last.Act != jury.Exit {
						t.Errorf("the last act is %v", last.Act)
					}
				}
				for pid := range pids {
					if !slices.ContainsFunc(records, func(r jury.Record) bool { return r.Act == jury.Gone && r.PID == pid }) {
						t.Errorf("nobody has waited for %d", pid)
					}
				}
				if len(pids) != conns {
					t.Errorf("%d processes made %d connections", len(pids), conns)
				}
			})
		}
	}
}

func build(t *testing.T) crew.Program {
	t.Helper()
	program, err := crew.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// perform plays connections on the loopback device, and returns the log.
func perform(t *testing.T, program crew.Program, server, client crew.Shape, play crew.Play, conns int) []jury.Record {
	t.Helper()
	l, err := lab.New(t.Context(), lab.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	c, err := crew.New(program, t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	o := crew.Options{Shape: server, Addr: netip.MustParseAddrPort("127.0.0.1:7000"), Plays: []crew.Play{play}}
	s, err := c.Serve(t.Context(), l.Host(lab.Client), o)
	must(t, err)
	o.Shape, o.Count = client, conns
	d, err := c.Start(t.Context(), l.Host(lab.Client), o)
	must(t, err)
	must(t, d.Wait())
	records := settled(t, c)
	must(t, s.Stop())
	return records
}

// settled waits until every socket is closed.
func settled(t *testing.T, c *crew.Crew) []jury.Record {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		records, err := c.Log()
		must(t, err)
		if jury.NewTruth(slices.Clone(records)).Open() == 0 {
			return records
		}
		if time.Now().After(end) {
			t.Fatal("a socket is still open")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// byCookie are the acts of the connections' ends on one side, in order.
func byCookie(records []jury.Record, server bool) map[uint64][]jury.Record {
	slices.SortFunc(records, func(a, b jury.Record) int { return int(a.From - b.From) })
	ends := map[uint64][]jury.Record{}
	for _, r := range records {
		if r.Cookie != 0 && r.Remote != 0 && r.Server == server {
			ends[r.Cookie] = append(ends[r.Cookie], r)
		}
	}
	return ends
}

// parts writes down who accepted, first read and wrote, as ensemble does:
// processes by letters in their order, and threads by numbers but for leaders.
// Who closed the last copy is a matter of chance where several have one.
func parts(records []jury.Record) string {
	find := func(act jury.Act) jury.Record {
		return records[slices.IndexFunc(records, func(r jury.Record) bool { return r.Act == act })]
	}
	var pids, tids []uint32
	var out []string
	for _, r := range []jury.Record{find(jury.Accept), find(jury.Read), find(jury.Write)} {
		name := string(rune('a' + index(&pids, r.PID)))
		if i := index(&tids, r.TID); r.TID != r.PID {
			name += fmt.Sprint(i + 1)
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// index is x's place in a list, which it joins.
func index(list *[]uint32, x uint32) int {
	if i := slices.Index(*list, x); i >= 0 {
		return i
	}
	*list = append(*list, x)
	return len(*list) - 1
}
