package mix

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestLastIntervalEnds: the last interval is not a whole one, and says when it ended;
// a summary of all has no such time.
func TestLastIntervalEnds(t *testing.T) {
	h, bin := alone(t), built(t)
	parted := startLife(t, bin, "--json", "--interval", "1h", "--netns", h.NetnsName(), "tcp")
	whole := startLife(t, bin, "--json", "--summary", "--netns", h.NetnsName(), "tcp")
	client, server := pair(t, h, "tcp6")
	client.Close()
	_, _ = server.Read(make([]byte, 1))
	server.Close()
	time.Sleep(50 * time.Millisecond) // the time of a connection's end is not that of the interval's
	before := time.Now().UnixNano()
	parted.stop(t)
	after := time.Now().UnixNano()
	whole.stop(t)
	for tool, from := range map[*tool]int64{parted: before, whole: 0} {
		lines := strings.Split(strings.TrimSpace(tool.out.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("a group and all: %q", lines)
		}
		for _, line := range lines {
			var group struct {
				Until       int64 `json:"until_ns"`
				Connections int
			}
			mustDo(t, json.Unmarshal([]byte(line), &group))
			if group.Connections != 2 || (from == 0) != (group.Until == 0) || group.Until < from || group.Until > after {
				t.Errorf("it ended between %d and %d: %s", from, after, line)
			}
		}
	}
}
