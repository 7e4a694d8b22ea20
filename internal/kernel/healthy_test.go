package kernel_test

import (
	"fmt"
	"testing"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// healthy is how many connections must not look like trouble.
const healthy = 2000

// TestHealthyConnectionsAreNoTrouble: where nothing is lost, no drop, error or
// reset is told. (A busy machine may well see a loss probe.)
func TestHealthyConnectionsAreNoTrouble(t *testing.T) {
	for _, device := range []string{"lo", "veth"} {
		for _, family := range lab.Families {
			t.Run(fmt.Sprintf("%s/%v", device, family), func(t *testing.T) {
				l := newLab(t, lab.Pair)
				hosts := []*lab.Host{l.Host(lab.Client), l.Host(lab.Server)}
				if device == "lo" {
					hosts = hosts[:1]
				}
				steerAll(t, hosts...)
				tr := &traffic{client: hosts[0], server: hosts[len(hosts)-1], family: family, workers: 2, closers: fourWay}
				tr.prepare(t)
				states := 0
				stream := follow(t, kernel.Config{States: true}, func(ev *tcp.Event) {
					switch ev.Kind {
					case tcp.KindState:
						states++
					case tcp.KindDrop, tcp.KindSendReset, tcp.KindReceiveReset, tcp.KindSocketError:
						t.Errorf("a %v: %v %s, %v, [%v], errno %d", ev.Kind, ev.Flow, ev.Reason, ev.New, ev.Packet.Flags, ev.Errno)
					}
				}, hosts...)
				tr.run(t, healthy)
				quiet(t, hosts...)
				stream.drain()
				stream.end()
				if states < 9*healthy {
					t.Errorf("%d transitions of %d connections", states, tr.total())
				}
			})
		}
	}
}
