package kernel_test

import (
	"testing"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// scene is a scenario of the laboratory as a source told it.
type scene struct {
	t      *testing.T
	lab    *lab.Lab
	family lab.Family
	story  lab.Scenario
	events []tcp.Event // without frames
}

// actOut runs a scenario and keeps every event of its hosts' namespaces.
func actOut(t *testing.T, name string, family lab.Family) *scene {
	t.Helper()
	story, err := lab.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, lab: newLab(t, story.Topology), family: family, story: story}
	stream := follow(t, kernel.Config{States: true, Packets: true}, s.keep, s.lab.Hosts()...)
	if err := story.Run(t.Context(), s.lab, family); err != nil {
		t.Fatal(err)
	}
	stream.drain()
	stream.end()
	return s
}

func (s *scene) keep(ev *tcp.Event) {
	s.events = append(s.events, *ev)
	s.events[len(s.events)-1].Packet.Frame = nil
}

// at are the events of a kind on a host, in order.
func (s *scene) at(host string, kinds ...tcp.Kind) (list []tcp.Event) {
	netns := s.lab.Host(host).Netns()
	for _, ev := range s.events {
		for _, k := range kinds {
			if ev.Netns == netns && ev.Kind == k {
				list = append(list, ev)
			}
		}
	}
	return list
}

// onEach runs a test over both families, side by side: most of the time a
// scenario waits for the kernel's timers.
func onEach(t *testing.T, test func(*testing.T, lab.Family)) {
	for _, f := range lab.Families {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}
