package main

import (
	"strings"
	"testing"

	"tcpstory/internal/lab/vm"
)

// looksAtBoth wants TIME_WAIT of both families, on a kernel of any age: the request,
// the messages and their attributes are those of each.
func (g guest) looksAtBoth(t *testing.T) {
	steps := []vm.Step{
		vm.Talk("127.0.0.1:0"), vm.Talk("[::1]:0"),
		vm.AwaitStdout("TIME_WAIT"), vm.AwaitStdout("TIME_WAIT"), // a look from behind the first has both
		vm.Interrupt(),
	}
	res, err := vm.Run(t.Context(), g.kernel, vm.Job{
		Binary: g.bin, Args: []string{"now", "--json", "--watch=0.1"}, Modules: []string{"tcp_diag"}, Steps: steps,
	})
	if err != nil || res.Status != 0 || len(res.Stderr) > 0 {
		t.Fatalf("%s: status %d, %v\n%s", g.kernel.Release, res.Status, err, res.Stderr)
	}
	seen := map[any]bool{}
	for text := range strings.Lines(string(res.Stdout)) {
		if m := nowObject(t, text); m["state"] == "TIME_WAIT" && m["timer"] == "timewait" && m["age_from"] == "timer" && m["cookie"] != nil {
			seen[m["remote_addr"]] = true
		}
	}
	if !seen["127.0.0.1"] || !seen["::1"] {
		t.Errorf("%s: TIME_WAIT with %v only\n%s", g.kernel.Release, seen, res.Stdout)
	}
}
