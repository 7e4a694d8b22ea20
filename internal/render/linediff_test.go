package render

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/tcp"
)

// sample is a frame of a capture file.
type sample struct {
	ns     int64
	frame  []byte
	length int
}

// writePcap writes samples as a capture file with microsecond times.
func writePcap(t testing.TB, link tcp.LinkType, samples []sample) string {
	t.Helper()
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	b = le.AppendUint32(le.AppendUint32(b, 0), 0)
	b = le.AppendUint32(le.AppendUint32(b, maxSnapLength), uint32(link))
	for _, s := range samples {
		b = le.AppendUint32(b, uint32(s.ns/1e9))
		b = le.AppendUint32(b, uint32(s.ns%1e9/1e3))
		b = le.AppendUint32(b, uint32(len(s.frame)))
		b = le.AppendUint32(b, uint32(s.length))
		b = append(b, s.frame...)
	}
	path := filepath.Join(t.TempDir(), "sample.pcap")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const testZone = "America/New_York"

// useTestZone makes local time the same for this process and tcpdump.
func useTestZone(t testing.TB) {
	t.Helper()
	zone, err := time.LoadLocation(testZone)
	if err != nil {
		t.Fatalf("time zone %s: %v (install tzdata)", testZone, err)
	}
	was := time.Local
	time.Local = zone
	t.Cleanup(func() { time.Local = was })
}

// tcpdump prints a capture file with the real thing.
func tcpdump(t testing.TB, path string, flags ...string) string {
	t.Helper()
	bin, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Fatal("tcpdump is the judge of these tests: install the package tcpdump")
	}
	cmd := exec.Command(bin, append([]string{"-nr", path}, flags...)...)
	cmd.Env = append(os.Environ(), "TZ="+testZone, "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
	}
	return string(out)
}

// optionsOf reads the flags that the printer has.
func optionsOf(flags []string) (opts LineOptions) {
	for _, f := range flags {
		switch f {
		case "-S":
			opts.Absolute = true
		case "-q":
			opts.Quiet = true
		case "-e":
			opts.Link = true
		case "-#":
			opts.Number = true
		default:
			if strings.HasPrefix(f, "-v") {
				opts.Verbose = len(f) - 1
			} else {
				opts.Time = TimeFormat(len(f) - 1)
			}
		}
	}
	return opts
}

func (s *sample) event(link tcp.LinkType) *tcp.Event {
	ev := &tcp.Event{Kind: tcp.KindPacket, Time: s.ns}
	ev.Packet = tcp.Packet{Frame: s.frame, Length: uint32(s.length), Link: link}
	if c, ok := ev.Packet.Cook(); ok {
		ev.Packet.Dir = tcp.DirectionOf(c.Type)
	}
	ev.Packet.Decode()
	return ev
}

var numbered = regexp.MustCompile(`(?m)^ {0,4}\d+  `)

// split cuts output with -# into what belongs to each packet.
func split(out string) []string {
	at := numbered.FindAllStringIndex(out, -1)
	parts := make([]string, len(at))
	for i := range at {
		end := len(out)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		parts[i] = out[at[i][0]:end]
	}
	return parts
}

// compare prints samples with both and reports the packets that differ.
func compare(t *testing.T, link tcp.LinkType, samples []sample, flags ...string) {
	t.Helper()
	path := writePcap(t, link, samples)
	flags = append([]string{"-#"}, flags...)
	want := split(tcpdump(t, path, flags...))
	if len(want) != len(samples) {
		t.Fatalf("tcpdump printed %d packets of %d", len(want), len(samples))
	}
	lp := NewLinePrinter(optionsOf(flags))
	bad := 0
	for i := range samples {
		got := string(lp.Append(nil, samples[i].event(link)))
		if got != undumped(want[i]) {
			if bad++; bad <= 5 {
				t.Errorf("link %d, flags %v, packet %d (%d bytes on the wire)\n%x\n got %q\nwant %q",
					link, flags, i+1, samples[i].length, samples[i].frame, got, want[i])
			}
		}
	}
	if bad > 5 {
		t.Errorf("link %d, flags %v: %d of %d packets differ", link, flags, bad, len(samples))
	}
}

// undumped takes away the hex dump of what tcpdump does not understand, which
// the printer does not print.
func undumped(out string) string {
	unknown := strings.Contains(out, "unknown icmp6 type") || strings.Contains(out, "unknown unreach code")
	if at := strings.Index(out, "\n\t0x0000: "); at >= 0 && unknown {
		return out[:at+1]
	}
	return out
}

// randomSamples makes n frames, the same ones every time.
func randomSamples(link tcp.LinkType, n int) []sample {
	g := &generator{r: rand.New(rand.NewPCG(testSeed, uint64(link))), link: link}
	samples := make([]sample, n)
	ns := int64(1_700_000_000_123_456_000)
	for i := range samples {
		ns += int64(g.r.IntN(5_000_000)-1_000_000) * 1000
		f, length := g.make()
		samples[i] = sample{ns: ns, frame: f, length: length}
	}
	return samples
}

// TestLinesAsTcpdump is the promise: byte for byte, flag by flag.
func TestLinesAsTcpdump(t *testing.T) {
	useTestZone(t)
	links := []tcp.LinkType{tcp.LinkEthernet, tcp.LinkRaw, tcp.LinkSLL, tcp.LinkSLL2, tcp.LinkNull, tcp.LinkLoop}
	sets := [][]string{
		{}, {"-S"}, {"-q"}, {"-v"}, {"-vv"}, {"-vvv"}, {"-e"}, {"-t"}, {"-tt"}, {"-ttt"}, {"-tttt"}, {"-ttttt"},
		{"-e", "-v"}, {"-e", "-q"}, {"-q", "-v", "-t"}, {"-S", "-vv", "-tttt"}, {"-e", "-S", "-q", "-vv"},
	}
	for _, link := range links {
		n := 1500
		if link == tcp.LinkEthernet {
			n = 6000
		}
		samples := randomSamples(link, n)
		for _, flags := range sets {
			t.Run(fmt.Sprint("link", link, flags), func(t *testing.T) { compare(t, link, samples, flags...) })
		}
	}
}

// testSeed makes the random frames; TCPSTORY_SEED tries others.
var testSeed = func() uint64 {
	seed, err := strconv.ParseUint(os.Getenv("TCPSTORY_SEED"), 10, 64)
	if err != nil {
		return 7
	}
	return seed
}()
