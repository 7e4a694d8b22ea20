package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tcpstory/internal/lab/vm"
)

// vmPort is the listener's in every guest; nothing else runs there.
const vmPort = "7001"

// vmSteps are one connection of each family while tcpstory watches.
var vmSteps = []vm.Step{
	vm.AwaitStderr("listening on"),
	vm.Talk("127.0.0.1:" + vmPort),
	vm.Talk("[::1]:" + vmPort),
	vm.Interrupt(),
}

// vmKernels are the kernels to boot and what tcpstory has to say that each
// lacks. make test-long boots all of them.
var vmKernels = []struct {
	want  vm.Want
	long  bool
	lacks []string
}{
	{vm.Oldest, false, []string{"socket cookies", "kfree_skb", "tcp_send_reset", "inet_sk_error_report"}},
	{vm.Linux61, true, []string{"kfree_skb", "tcp_send_reset"}},
	{vm.Linux612, true, nil},
	{vm.Newest, false, nil},
}

// allLacks is every note that may be due on some kernel.
var allLacks = vmKernels[0].lacks

// TestDebianKernels has tcpstory tell a handshake and a close of both families
// on Debian's oldest and newest kernels.
func TestDebianKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("boots virtual machines")
	}
	bin := filepath.Join(t.TempDir(), "tcpstory")
	if err := vm.Build(bin, "."); err != nil {
		t.Fatal(err)
	}
	for _, c := range vmKernels {
		if c.long && os.Getenv("TCPSTORY_LONG") == "" {
			continue
		}
		t.Run(c.want.Name, func(t *testing.T) {
			g := guest{fetched(t, c.want), bin}
			for name, test := range map[string]func(*testing.T){
				"json":            func(t *testing.T) { g.tellsBoth(t, c.lacks) },
				"lines":           g.printsBoth,
				"write":           g.writesBoth,
				"selection":       g.choosesBoth,
				"failed connects": g.tellsFailures,
				"why":             g.findsNothing,
				"life":            g.livesOfBoth,
				"now":             g.looksAtBoth,
				"doctor":          func(t *testing.T) { g.examines(t, vmReports[c.want.Name]) },
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel() // an emulated machine keeps one CPU busy
					test(t)
				})
			}
		})
	}
}

func fetched(t *testing.T, w vm.Want) vm.Kernel {
	t.Helper()
	dir, err := vm.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	ks, err := vm.Kernels(t.Context(), dir, w)
	if err != nil {
		t.Fatal(err)
	}
	if ks[0].Stale != nil {
		t.Logf("an old copy: %v", ks[0].Stale)
	}
	return ks[0]
}

// guest is a machine to boot with tcpstory.
type guest struct {
	kernel vm.Kernel
	bin    string
}

// trace runs tcpstory during vmSteps and wants it to end well.
func (g guest) trace(t *testing.T, args ...string) vm.Result {
	t.Helper()
	return g.during(t, vmSteps, args...)
}

// during runs tcpstory during some steps and wants it to end well.
func (g guest) during(t *testing.T, steps []vm.Step, args ...string) vm.Result {
	t.Helper()
	res, err := vm.Run(t.Context(), g.kernel, vm.Job{Binary: g.bin, Args: args, Steps: steps})
	if err != nil || res.Status != 0 {
		t.Fatalf("%s: status %d, %v\nstdout:\n%s\nstderr:\n%s", g.kernel.Release, res.Status, err, res.Stdout, res.Stderr)
	}
	t.Logf("%s (%s): process 1 after %v, all in %v\n%s", g.kernel.Release, g.kernel.Version, res.Boot, res.Total, res.Stderr)
	return res
}

// findsNothing wants why to load what it needs, to see both connections and their listeners, and to say
// nothing about them.
func (g guest) findsNothing(t *testing.T) {
	res := g.trace(t, "why", "tcp port "+vmPort)
	if len(res.Stdout) > 0 || !strings.Contains(string(res.Stderr), "\n4 connections seen\n") {
		t.Errorf("stdout:\n%s\nstderr:\n%s", res.Stdout, res.Stderr)
	}
}

// tellsBoth wants the whole story of both connections, and a note for all that
// the kernel lacks and nothing else.
func (g guest) tellsBoth(t *testing.T, lacks []string) {
	res := g.trace(t, "--json")
	events := vmEvents(t, res.Stdout)
	for _, address := range []string{"127.0.0.1", "::1"} {
		got := storyOf(events, address)
		if d := cmp.Diff(wholeStory, got); d != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", address, d, res.Stdout)
		}
	}
	for _, e := range events {
		if slices.Contains([]string{"gap", "drop", "retransmit", "send-reset", "receive-reset", "socket-error"}, e.Kind) {
			t.Errorf("%q in a healthy story: %+v", e.Kind, e)
		}
	}
	for _, what := range allLacks {
		if said := strings.Contains(string(res.Stderr), what); said != slices.Contains(lacks, what) {
			t.Errorf("stderr mentions %s: %v\n%s", what, said, res.Stderr)
		}
	}
}

// vmEvent is what the test reads of a JSON line.
type vmEvent struct {
	Kind, Role, Flags string
	Conn              int
	LocalAddr         string `json:"local_addr"`
	OldState          string `json:"old_state"`
	NewState          string `json:"new_state"`
	SrcAddr           string `json:"src_addr"`

	RemoteAddr string `json:"remote_addr"`
	RemotePort int    `json:"remote_port"`
	Error      string
	Pid        int
	Comm       string
	NoSYN      bool `json:"no_syn"`
	Inferred   bool
	Remains    string `json:"inferred_state"`
}

func vmEvents(t *testing.T, out []byte) (events []vmEvent) {
	t.Helper()
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var e vmEvent
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, out)
		}
		if e.Kind != "trace" && e.Kind != "hidden" {
			events = append(events, e)
		}
	}
}

// vmStory is one connection: each end's transitions, and its packets but for
// bare acknowledgements, whose number is the kernel's affair.
type vmStory struct {
	Client, Server, Packets []string
	Inferred                []string // and whether a minisock was found
	Numbers                 int      // conn numbers: both ends share one
}

var wholeStory = vmStory{
	Client:   []string{"CLOSE SYN_SENT", "SYN_SENT ESTABLISHED", "ESTABLISHED FIN_WAIT1", "FIN_WAIT1 FIN_WAIT2", "FIN_WAIT2 CLOSE"},
	Server:   []string{"LISTEN SYN_RECV", "SYN_RECV ESTABLISHED", "ESTABLISHED CLOSE_WAIT", "CLOSE_WAIT LAST_ACK", "LAST_ACK CLOSE"},
	Packets:  []string{"S", "S.", "P.", "P.", "F.", "F."},
	Inferred: []string{"LISTEN SYN_RECV", "minisock"},
	Numbers:  1,
}

// storyOf picks the connection at an address out of the events.
func storyOf(events []vmEvent, address string) (s vmStory) {
	numbers := map[int]bool{}
	for _, e := range events {
		switch {
		case e.Kind == "packet" && e.SrcAddr == address && e.Flags != ".":
			s.Packets = append(s.Packets, e.Flags)
		case e.Kind != "state" || e.LocalAddr != address || e.NewState == "TIME_WAIT": // when an orphan's comes is the kernel's affair
			continue
		case e.Inferred:
			s.Inferred = append(s.Inferred, e.OldState+" "+e.NewState)
		case e.Role == "client":
			s.Client = append(s.Client, e.OldState+" "+e.NewState)
			if e.Remains == "TIME_WAIT" || e.Remains == "FIN_WAIT2" {
				s.Inferred = append(s.Inferred, "minisock")
			}
		case e.Role == "server":
			s.Server = append(s.Server, e.OldState+" "+e.NewState)
		default:
			continue // the listener
		}
		numbers[e.Conn] = true
	}
	s.Numbers = len(numbers)
	return s
}

// vmLines are some lines of the plain view, in the order in which they must
// stand; <A> is the address, <L> the listener's address and port. The port of
// SYN_SENT is not always known in time on so slow a machine.
var vmLines = []string{
	`TCP <A>\.(?:\d+|\?) > <L>: State CLOSE -> SYN_SENT, pid \d+ \(init\)`,
	`IP6? <A>\.\d+ > <L>: Flags \[S\], seq \d+, win \d+, options \[.*\], length 0`,
	`IP6? <L> > <A>\.\d+: Flags \[S\.\], seq \d+, ack \d+, win \d+, options \[.*\], length 0`,
	`TCP <A>\.\d+ > <L>: State SYN_SENT -> ESTABLISHED after \d+\.\d+ ms`,
	`TCP <L> > <A>\.\d+: State SYN_RECV -> ESTABLISHED`,
	`IP6? <A>\.\d+ > <L>: Flags \[P\.\], seq 1:5, ack 1, win \d+, options \[.*\], length 4`,
	`TCP <A>\.\d+ > <L>: State ESTABLISHED -> FIN_WAIT1`,
	`IP6? <A>\.\d+ > <L>: Flags \[F\.\], seq 5, ack 5, `,
	`TCP <L> > <A>\.\d+: State ESTABLISHED -> CLOSE_WAIT`,
	`TCP <L> > <A>\.\d+: State CLOSE_WAIT -> LAST_ACK`,
	`IP6? <L> > <A>\.\d+: Flags \[F\.\], seq 5, ack 6, `,
	`TCP <L> > <A>\.\d+: State LAST_ACK -> CLOSE`,
}

// printsBoth wants the same from the plain view, with an expression: its
// translation has to pass the old kernel's verifier too.
func (g guest) printsBoth(t *testing.T) {
	res := g.trace(t, "-t", "tcp", "port", vmPort)
	for _, address := range []string{`127\.0\.0\.1`, `::1`} {
		rest := res.Stdout
		for _, pattern := range vmLines {
			pattern = strings.NewReplacer("<L>", address+`\.`+vmPort, "<A>", address).Replace(pattern)
			at := regexp.MustCompile("(?m)^" + pattern).FindIndex(rest)
			if at == nil {
				t.Fatalf("no line %s in its place:\n%s", pattern, res.Stdout)
			}
			rest = rest[at[1]:]
		}
	}
}

// writesBoth wants whole packets in a capture file: that takes other paths
// through the programs.
func (g guest) writesBoth(t *testing.T) {
	res := g.trace(t, "-s", "0", "-w", "-")
	r, err := pcapgo.NewReader(bytes.NewReader(res.Stdout))
	if err != nil {
		t.Fatal(err)
	}
	syns := 0
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if isSYN(data[min(len(data), linkHeader[r.LinkType()]):]) {
			syns++
		}
	}
	if syns != 2 {
		t.Errorf("%d SYNs in the file, want one of each family", syns)
	}
}

// linkHeader is the length of a link-layer header, by a capture file's type.
var linkHeader = map[layers.LinkType]int{layers.LinkTypeEthernet: 14, layers.LinkTypeLinuxSLL2: 20}

// isSYN looks for the flags of a lone SYN behind an IPv4 or IPv6 header without
// options.
func isSYN(packet []byte) bool {
	for version, length := range map[byte]int{4: 20, 6: 40} {
		flags := length + 13
		if len(packet) > flags && packet[0]>>4 == version && packet[flags] == 0x02 {
			return true
		}
	}
	return false
}
