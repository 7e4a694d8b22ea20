package main

import (
	"encoding/json"

	"tcpstory/internal/lab/crew/jury"
)

// lifeRow is what the jury hears of a row of life --json.
type lifeRow struct {
	Time       int64  `json:"time_ns"`
	Cookie     uint64 `json:"cookie"`
	LocalPort  uint16 `json:"local_port"`
	RemotePort uint16 `json:"remote_port"`
	PID        uint32 `json:"pid"`
	Comm       string `json:"comm"`
	Via        string `json:"owner_via"`
	Errno      int    `json:"errno"`
}

// watchLives has a report of lives beside the tracer: the same crews are a test of it.
func (s *stage) watchLives() {
	s.t.Helper()
	s.lives = watch(s.t, here{}, "life", "--json", "--netns", s.netns)
}

// judgeLives wants a row for each end of so many connections, and no wrong process in any.
func (s *stage) judgeLives(truth *jury.Truth, hidden []jury.Ports, conns int, untouched bool) {
	s.t.Helper()
	s.lives.interrupt()
	claims := s.rows()
	rep := jury.Judge(truth, claims, s.promised(), hidden)
	s.t.Logf("%d rows of lives: wrong %d, unknown %d, unseen %d", len(claims), rep.Wrong, rep.Unknown, rep.Unseen)
	if rep.Wrong > 0 || rep.Strangers > 0 || len(claims)+rep.Unseen+rep.Hidden < 2*conns || len(claims) > 2*conns {
		s.t.Errorf("%d rows of lives for %d ends, %d of others; %d name a wrong process", len(claims), 2*conns, rep.Strangers, rep.Wrong)
	}
	if most := rep.Ends / 1000; !untouched && rep.Unknown+rep.Unseen > most {
		s.t.Errorf("lives: %d ends were unknown and %d unseen, at most %d may be", rep.Unknown, rep.Unseen, most)
	}
	for _, f := range rep.Faults {
		if f.Wrong { // that a process is told with the row, not sooner, is no fault
			s.t.Errorf("life: %s\n%s", f.Text, f.Story)
		}
	}
}

// rows are the lives as the jury hears them: as an end, and whose it was. Who closes
// what a reset has ended does so behind the end, for which the row waits.
func (s *stage) rows() (list []jury.Claim) {
	s.t.Helper()
	lines, _, _ := s.lives.out.snapshot()
	for _, l := range lines {
		var r lifeRow
		s.try(json.Unmarshal([]byte(l.text), &r))
		c := jury.Claim{
			At: l.at.UnixNano(), Time: r.Time, Kind: "state", NewState: "CLOSE", Cookie: r.Cookie,
			LocalPort: r.LocalPort, RemotePort: r.RemotePort, OwnerPID: r.PID, OwnerComm: r.Comm, OwnerVia: r.Via,
		}
		if r.Errno != 0 && r.Via == "close" {
			c.Time = c.At
		}
		list = append(list, c)
	}
	return list
}
