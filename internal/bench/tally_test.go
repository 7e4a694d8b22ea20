package bench

import (
	"strings"
	"testing"
	"time"
)

const dumpSaid = `tcpdump: verbose output suppressed, use -v[v]... for full protocol decode
listening on lo, link-type EN10MB (Ethernet), snapshot length 262144 bytes
69727 packets captured
540000 packets received by filter
400544 packets dropped by kernel
`

// TestTally reads what each tool prints and says, as it was seen to.
func TestTally(t *testing.T) {
	for _, c := range []struct {
		tool, out, said string
		want            tally
	}{
		{DumpLines, "a\nb\n", dumpSaid, tally{events: 2, lost: 400544, of: 540000}},
		{DumpFile, "\xd4\xc3\n\n\n", dumpSaid, tally{events: 69727, lost: 400544, of: 540000}},
		{TCPStates, "HEAD\na\nb\n", "", tally{events: 2, of: 2}},
		{TCPStates, "HEAD\na\nb\n", "lost 3 events on CPU #0\nlost 5 events on CPU #1\n", tally{events: 2, lost: 8, of: 10}},
		{TCPLife, "", "lost 1 events on CPU #0!\n", tally{lost: 1, of: 1}},
		{Story, "a\nb\nc\n", "4 packets captured\n0 events dropped by kernel\n", tally{events: 3, of: 3}},
		{StoryStates, "a\nb\nc\n", "1 event dropped by kernel: ring buffer full\n", tally{events: 3, lost: 1, of: 4}},
		{StoryLife, "HEAD\na\nb\n", "2 connections ended\n0 of them failed\n0 events dropped by kernel\n", tally{events: 2, of: 2}},
		{StoryPackets, "a\n", "7 packets dropped by kernel:\n5 ring buffer full\n2 skipped\n", tally{events: 1, lost: 7, of: 8}},
	} {
		tools, err := Select(c.tool)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tools[0].tallyUp(strings.NewReader(c.out), c.said)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.tool, got, err, c.want)
		}
	}
}

// TestTallyNeedsTheCount: a tool that does not say what it lost did not lose 0.
func TestTallyNeedsTheCount(t *testing.T) {
	for _, name := range []string{DumpLines, DumpFile, Story} {
		tools, _ := Select(name)
		if n, err := tools[0].tallyUp(strings.NewReader("a\n"), "killed\n"); err == nil {
			t.Errorf("%s said nothing, and that was read as %+v", name, n)
		}
	}
}

func TestSelectUnknown(t *testing.T) {
	if _, err := Select(Story, "tcptop"); err == nil || !strings.Contains(err.Error(), `"tcptop"`) {
		t.Errorf("an unknown tool gives %v", err)
	}
}

func TestParseCPU(t *testing.T) {
	busy, total := parseCPU([]byte("cpu  100 20 300 4000 50 6 7 8 90 0"))
	if busy != 4410*time.Millisecond || total != 44910*time.Millisecond {
		t.Errorf("busy %v of %v", busy, total)
	}
	if busy, total := parseCPU(nil); busy != 0 || total != 0 {
		t.Errorf("of nothing: busy %v of %v", busy, total)
	}
}
