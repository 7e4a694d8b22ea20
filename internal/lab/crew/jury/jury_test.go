package jury

import (
	"regexp"
	"slices"
	"testing"
)

// verdict is what a case wants of the report.
type verdict struct {
	wrong, late, unknown, unseen, strangers int
	text                                    string // pattern of one of the faults
}

// at is the index of the claim at a time about the server's socket.
func (s *scene) at(t *testing.T, at float64) int {
	t.Helper()
	i := slices.IndexFunc(s.claims, func(c Claim) bool { return c.Time == ms(at) && c.Cookie == serverCookie })
	if i < 0 {
		t.Fatalf("nothing is told at %v ms", at)
	}
	return i
}

// name puts another owner into a claim, and its doer where it has one.
func name(at float64, pid uint32) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		c := &s.claims[s.at(t, at)]
		c.OwnerPID, c.OwnerComm = pid, comms[pid]
	}
}

func edit(at float64, f func(*Claim)) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) { f(&s.claims[s.at(t, at)]) }
}

// unname takes the owner out of every claim of the server's socket.
func unname(_ *testing.T, s *scene) {
	s.claims = slices.DeleteFunc(s.claims, func(c Claim) bool { return c.Cookie == serverCookie && c.Kind == "owner" })
	for i := range s.claims {
		if c := &s.claims[i]; c.Cookie == serverCookie {
			c.OwnerPID, c.OwnerComm, c.PID, c.TID, c.Comm = 0, "", 0, 0, ""
		}
	}
}

func drop(at float64) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) { i := s.at(t, at); s.claims = slices.Delete(s.claims, i, i+1) }
}

func delay(at, by float64) func(*testing.T, *scene) {
	return edit(at, func(c *Claim) { c.At += ms(by) - ms(0) })
}

func add(at float64, kind, state string, who uint32, via string) func(*testing.T, *scene) {
	return func(_ *testing.T, s *scene) { s.tells(at, kind, state, who, via) }
}

func nothing(*testing.T, *scene) {}

var trials = []struct {
	name  string
	scene func() *scene
	lie   func(*testing.T, *scene)
	want  verdict
}{
	{"honest", served, nothing, verdict{}},
	{"honest, handed over", handedOver, nothing, verdict{}},
	{"honest, passed on", passedOn, nothing, verdict{}},
	{"honest, held", onlyHeld, nothing, verdict{}},
	{"honest, leaked", leaked, nothing, verdict{}},
	{"honest, a copy kept", keptCopy, nothing, verdict{}},
	{"honest, held by one and then another", heldOn, nothing, verdict{}},
	{"honest, held by two", heldByTwo, nothing, verdict{}},
	{"honest, quick", quick, nothing, verdict{}},
	{"honest, named late", handedOver, func(_ *testing.T, s *scene) {
		for i := range s.records { // a child's first word may come after its parent's
			if r := &s.records[i]; r.Act == Name && r.PID == childPID {
				r.From, r.To = ms(30), ms(30)
			}
		}
	}, verdict{}},

	{"a stranger", served, name(2005, otherPID), verdict{wrong: 1, text: "never had the socket"}},
	{"the client's process", served, name(2005, clientPID), verdict{wrong: 1, text: "the other end's"}},
	{"another name", served, edit(2005, func(c *Claim) { c.OwnerComm = "t-serve-1" }), verdict{wrong: 1, text: `called "t-serve-1"`}},
	{"another thread", served, edit(2007, func(c *Claim) { c.TID = 22 }), verdict{wrong: 1, text: "thread 22"}},
	{"another doer", served, edit(2007, func(c *Claim) { c.PID, c.Comm = childPID, comms[childPID] }), verdict{wrong: 1, text: "process 21"}},
	{"a doer out of nowhere", served, func(_ *testing.T, s *scene) {
		s.tells(1000, "state", "CLOSE_WAIT", parentPID, "read")
		s.acts()
	}, verdict{wrong: 1, text: "nothing of the kind"}},
	{"a writer who closes", served, func(_ *testing.T, s *scene) {
		s.tells(3, "state", "FIN_WAIT1", parentPID, "read")
		s.acts()
	}, verdict{wrong: 1, text: "nothing of the kind"}},
	{"an act that was none", served, edit(2, func(c *Claim) { c.OwnerVia = "shutdown" }), verdict{wrong: 1, text: "by shutdown"}},
	{"another port", served, edit(2005, func(c *Claim) { c.RemotePort++ }), verdict{wrong: 1, text: "remote port"}},
	{"too early", served, name(0.1, childPID), verdict{wrong: 1, text: "never had"}},
	{"another socket", served, edit(2005, func(c *Claim) { c.Cookie = 7 }), verdict{strangers: 1}},
	{"nobody", served, unname, verdict{late: 1, unknown: 1, text: "unknown at its end"}},
	{"forgotten", served, edit(2007.1, func(c *Claim) { c.OwnerPID = 0 }), verdict{unknown: 1}},
	{"late", served, delay(2, 1010), verdict{late: 1, text: "not told by 1.00"}},
	{"hardly late", served, delay(2, 990), verdict{}},
	{"silence", served, func(_ *testing.T, s *scene) {
		s.claims = slices.DeleteFunc(s.claims, func(c Claim) bool { return c.Cookie == serverCookie })
	}, verdict{late: 1, unseen: 1}},

	{"the parent after the child has read", handedOver, name(2000, parentPID), verdict{wrong: 1, text: "since then 21 acted"}},
	{"the parent while nobody has acted", handedOver, add(10, "state", "CLOSE_WAIT", parentPID, "held"), verdict{}},
	{"the child before its first act", handedOver, add(10, "owner", "", childPID, "held"), verdict{}},
	{"the child is late", handedOver, drop(20), verdict{late: 1}},

	{"the passer just after", passedOn, add(33, "state", "CLOSE_WAIT", parentPID, "read"), verdict{}},
	{"the passer later", passedOn, add(45, "state", "CLOSE_WAIT", parentPID, "read"), verdict{wrong: 1, text: "since then 21 acted"}},
	{"the receiver while the passer was last", passedOn, add(20, "state", "CLOSE_WAIT", childPID, "held"), verdict{}},
	{"the passer never, but briefly", passedOn, drop(2), verdict{}},
	{"the receiver never", passedOn, drop(30), verdict{late: 1}},

	{"holding, but late", onlyHeld, delay(900, 400), verdict{late: 1, text: "hold"}},
	{"another holds", onlyHeld, name(2999, childPID), verdict{wrong: 1, text: "never had"}},
	{"a holder while the writer holds, too", leaked, add(18, "state", "CLOSE_WAIT", parentPID, "held"), verdict{wrong: 1, text: "since then 21"}},
	{"a copy that was kept", keptCopy, add(500, "state", "CLOSE_WAIT", parentPID, "held"), verdict{wrong: 1, text: "since then 21"}},
	{"a copy that was closed", keptCopy, add(1700, "state", "CLOSE_WAIT", parentPID, "close"), verdict{wrong: 1, text: "since then 21"}},
	{"who held before, soon", heldOn, add(700, "state", "CLOSE_WAIT", parentPID, "held"), verdict{}},
	{"who held before, later", heldOn, add(1200, "state", "CLOSE_WAIT", parentPID, "held"), verdict{wrong: 1, text: "does not hold"}},
	{"the present holder never", heldOn, name(900, parentPID), verdict{late: 1, text: "owner 21 is not told"}},
	{"nobody, but quick", quick, unname, verdict{unknown: 1}},
	{"not the last copy", leaked, func(_ *testing.T, s *scene) {
		s.tells(20, "state", "FIN_WAIT1", childPID, "write")
		s.acts()
	}, verdict{wrong: 1, text: "nothing of the kind"}},
	{"not the last closer", leaked, name(60, childPID), verdict{wrong: 1, text: "since then 20 acted"}},
}

// TestJury: each lie is found, and nothing but lies.
func TestJury(t *testing.T) {
	for _, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			s := c.scene()
			c.lie(t, s)
			rep := Judge(NewTruth(s.records), s.claims, Promised, nil)
			have := verdict{rep.Wrong, rep.Late, rep.Unknown, rep.Unseen, rep.Strangers, c.want.text}
			if have != c.want {
				t.Errorf("%+v, want %+v", have, c.want)
			}
			pattern := regexp.MustCompile(c.want.text)
			if c.want.text != "" && !slices.ContainsFunc(rep.Faults, func(f Fault) bool { return pattern.MatchString(f.Text) }) || t.Failed() {
				t.Errorf("no fault %q among %v", c.want.text, rep.Faults)
			}
		})
	}
}

// TestHidden: what the machine hid excuses ignorance, never a wrong owner.
func TestHidden(t *testing.T) {
	hidden := []Ports{{serverPort, clientPort}}
	s := served()
	unname(t, s)
	if rep := Judge(NewTruth(s.records), s.claims, Promised, hidden); rep.Hidden != 1 || rep.Unknown+rep.Late+rep.Unseen+rep.Wrong != 0 {
		t.Errorf("unknown: %v", rep)
	}
	s = served()
	name(2005, otherPID)(t, s)
	if rep := Judge(NewTruth(s.records), s.claims, Promised, hidden); rep.Wrong != 1 || rep.Hidden != 0 {
		t.Errorf("wrong: %v", rep)
	}
}

// TestWithheld: a machine without a CPU excuses lateness, as much as it had none; never
// silence, nor a wrong owner.
func TestWithheld(t *testing.T) {
	b := Promised
	b.Withheld = func(from, to int64) int64 { return (to - from) / 4 }
	for _, c := range []struct {
		by         float64 // ms, of which it may take 350
		slow, late int
	}{{300, 0, 0}, {400, 1, 0}, {900, 0, 1}} {
		s := onlyHeld()
		delay(900, c.by)(t, s)
		rep := Judge(NewTruth(s.records), s.claims, b, nil)
		if rep.Slow != c.slow || rep.Late != c.late || rep.Wrong != 0 {
			t.Errorf("%g ms more: %v: %v", c.by, rep, rep.Faults)
		}
	}
}

// TestListener: a listener's owner is one of those that hold it.
func TestListener(t *testing.T) {
	s := served()
	listener := Claim{Time: ms(100), Kind: "state", Cookie: listenerCookie, LocalPort: serverPort, NewState: "LISTEN",
		OwnerPID: parentPID, OwnerComm: comms[parentPID]}
	s.claims = append(s.claims, listener)
	if rep := Judge(NewTruth(s.records), s.claims, Promised, nil); rep.Wrong != 0 || rep.Listeners != 1 || rep.Ends != 2 {
		t.Errorf("%v", rep)
	}
	listener.OwnerPID, listener.OwnerComm = clientPID, comms[clientPID]
	s.claims = append(s.claims, listener)
	if rep := Judge(NewTruth(s.records), s.claims, Promised, nil); rep.Wrong != 1 {
		t.Errorf("the client's process: %v", rep)
	}
}

// TestExit: a process that ends with its socket open closes it by the time at
// which its parent has waited for it, and its number may be used again.
func TestExit(t *testing.T) {
	s := handedOver()
	last := slices.IndexFunc(s.records, func(r Record) bool { return r.Act == Close && r.PID == childPID })
	s.records[last].Act, s.records[last].To = Exit, 0
	gone := func(at float64) {
		s.records = append(s.records, Record{Act: Gone, From: ms(at), To: ms(at), PID: childPID})
	}
	gone(-1000)
	gone(2003)
	gone(9000)
	truth := NewTruth(s.records)
	if rep := Judge(truth, s.claims, Promised, nil); rep.Wrong+rep.Late+rep.Unknown != 0 {
		t.Errorf("%v: %v", rep, rep.Faults)
	}
	if e := truth.ends[serverCookie]; e.last != ms(2003) || truth.Open() != 0 {
		t.Errorf("closed at %d, want %d; %d open", e.last, ms(2003), truth.Open())
	}
}

// TestRenamed: a name counts while a process has it.
func TestRenamed(t *testing.T) {
	rename := func(s *scene, at float64) {
		s.records = append(s.records, Record{Act: Name, From: ms(at), To: ms(at), PID: childPID, Comm: "renamed"})
	}
	for _, c := range []struct {
		at    float64
		told  string
		wrong int
	}{
		{10, "worker", 1}, // before it has read: the tracer looked later
		{10, "renamed", 0},
		{1000, "worker", 0}, // meanwhile
		{1000, "renamed", 0},
		{2500, "renamed", 1},
	} {
		s := handedOver()
		rename(s, c.at)
		for i := range s.claims {
			if s.claims[i].OwnerPID != 0 && s.claims[i].Time > ms(1000) {
				s.claims[i].OwnerComm = c.told
			}
			if s.claims[i].OwnerPID != 0 && s.claims[i].Time < ms(1000) && c.at < 20 {
				s.claims[i].OwnerComm = "renamed"
			}
		}
		s.claims[len(s.claims)-1].PID = 0
		if rep := Judge(NewTruth(s.records), s.claims, Promised, nil); rep.Wrong != c.wrong {
			t.Errorf("renamed at %v, told %q: %d wrong, want %d: %v", c.at, c.told, rep.Wrong, c.wrong, rep.Faults)
		}
	}
}

// TestReadClaim reads what tcpstory prints.
func TestReadClaim(t *testing.T) {
	line := `{"seq":9,"time_ns":1700000000000000001,"kind":"state","cookie":77,"netns":1,"local_addr":"127.0.0.1","local_port":80,` +
		`"remote_port":4000,"old_state":"ESTABLISHED","new_state":"FIN_WAIT1","pid":1,"tid":2,"comm":"a","owner_pid":3,"owner_comm":"b","owner_via":"held"}`
	have, err := ReadClaim(line, 5)
	want := Claim{At: 5, Time: 1700000000000000001, Kind: "state", Cookie: 77, LocalPort: 80, RemotePort: 4000,
		OldState: "ESTABLISHED", NewState: "FIN_WAIT1", PID: 1, TID: 2, Comm: "a", OwnerPID: 3, OwnerComm: "b", OwnerVia: "held"}
	if err != nil || have != want {
		t.Errorf("%+v, %v", have, err)
	}
	if _, err := ReadClaim("{", 0); err == nil {
		t.Error("half an object is read")
	}
}
