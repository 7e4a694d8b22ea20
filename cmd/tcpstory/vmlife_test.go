package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tcpstory/internal/lab/vm"
)

// vmLife is what a line of a life must say on a kernel of any age.
type vmLife struct {
	Local       string `json:"local_addr"`
	Direction   string
	TX          int64 `json:"tx_bytes"`
	RX          int64 `json:"rx_bytes"`
	End         string
	Established bool
	Pid         int
	Comm        string
	Older       bool
}

// livesOfBoth wants a line for each end of a talk in each family, and for a connect
// that is refused: where a tracing program may not use socket storage (before
// 5.11), the notes are in a hash map.
func (g guest) livesOfBoth(t *testing.T) {
	res := g.during(t, []vm.Step{
		vm.AwaitStderr("listening on"),
		vm.Talk("127.0.0.1:" + vmPort), vm.Fail("127.0.0.1:81", unix.ECONNREFUSED),
		vm.Talk("[::1]:" + vmPort), vm.Fail("[::1]:81", unix.ECONNREFUSED),
		vm.Interrupt(),
	}, "life", "--json", "--open")
	want, have := map[vmLife]int{}, map[vmLife]int{}
	for _, address := range []string{"127.0.0.1", "::1"} {
		want[vmLife{address, "out", 4, 4, "fin-local", true, 1, "init", false}] = 1
		want[vmLife{address, "in", 4, 4, "fin-remote", true, 1, "init", false}] = 1
		want[vmLife{address, "out", 0, 0, "refused", false, 1, "init", false}] = 1
	}
	for text := range bytes.Lines(res.Stdout) {
		var whole struct {
			vmLife
			Duration float64 `json:"duration_us"`
			Connect  float64 `json:"connect_us"`
		}
		if err := json.Unmarshal(text, &whole); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		have[whole.vmLife]++
		if whole.Duration <= 0 || whole.Established && (whole.Connect <= 0 || whole.Connect > whole.Duration) {
			t.Errorf("%s: %g µs, of these %g for the handshake: %s", g.kernel.Release, whole.Duration, whole.Connect, text)
		}
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("%s (-want +got):\n%s\n%s", g.kernel.Release, d, res.Stdout)
	}
}
