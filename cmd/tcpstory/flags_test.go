package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/lab"
	"tcpstory/internal/render"
)

// shown runs tcpstory on a host during some traffic and returns its lines.
func shown(t *testing.T, on runner, args []string, traffic func()) []string {
	t.Helper()
	p := watch(t, on, args...)
	traffic()
	p.interrupt()
	return p.lines()
}

// inferredLine is what an inferred transition's line has, and no traced one's.
const inferredLine = `\(inferred: `

// count counts the lines that match.
func count(lines []string, pattern string) (n int) {
	re := regexp.MustCompile(pattern)
	for _, l := range lines {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}

// TestCount: -c ends it after so many packets, or events without packets.
func TestCount(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7320)[0]
	for _, c := range []struct {
		args    []string
		pattern string
	}{
		{[]string{"-c", "3"}, ` Flags `},
		{[]string{"-c3", "--no-states"}, `.`},
		{[]string{"--no-packets", "-c", "3"}, `.`},
		{[]string{"--json", "-c", "3"}, `"kind":"packet"`},
	} {
		p := watch(t, r.client, append([]string{"-i", r.device}, c.args...)...)
		stop := traffic(r)
		p.ends(0)
		stop()
		if n := count(p.lines(), c.pattern); n != 3 {
			t.Errorf("%v: %d\n%s", c.args, n, p.both())
		}
	}
	file := filepath.Join(t.TempDir(), "f.pcap")
	p := watch(t, r.client, "-i", r.device, "-c", "3", "-w", file)
	stop := traffic(r)
	p.ends(0)
	stop()
	if lines := printed(t, tcpstory(here{}, "-r", file)); len(lines) != 3+1 {
		t.Errorf("-w has\n%s", lines)
	}
	if lines := printed(t, tcpstory(here{}, "-r", file, "-c", "2")); len(lines) != 2+1 {
		t.Errorf("-r shows\n%s", lines)
	}
}

// TestDirections: -Q, and -P, choose as tcpdump's do.
func TestDirections(t *testing.T) {
	everyRoute(t, 7321, func(t *testing.T, r route) {
		args := slices.Concat([]string{"-i", r.device, "-t"}, sameSnaplen)
		for _, direction := range []string{"in", "out", "inout"} {
			for _, flag := range []string{"-Q", "-P"} {
				ours := slices.Concat([]string{"--no-states", flag, direction}, args, r.port())
				theirs := slices.Concat([]string{"-Q", direction}, args, r.port())
				have, want := both(t, r.client, ours, theirs, func() { r.converse(t, 100, 3000) })
				if d := cmp.Diff(want, have); d != "" {
					t.Errorf("%s %s: tcpdump (-) and tcpstory (+):\n%s", flag, direction, d)
				}
			}
		}
	})
}

// TestSnaplen: -s cuts packets, and lines tell of the rest what tcpdump would.
// The judge reads our file: libpcap's own ring is a byte or two short of small
// snapshots.
func TestSnaplen(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7322)[0]
	file := filepath.Join(t.TempDir(), "f.pcap")
	for _, n := range []string{"1", "14", "20", "33", "34", "40", "53", "54", "60", "66", "96", "192", "1000", "4095"} {
		args := append([]string{"-i", r.device, "--no-states", "-s", n, "-tv"}, r.port()...)
		live, written := watch(t, r.client, args...), watch(t, r.client, append(args, "-w", file)...)
		r.converse(t, 100, 9000)
		written.interrupt()
		live.interrupt()
		var have []string
		for _, l := range live.lines() {
			have = append(have, l+"\n")
		}
		want := printed(t, exec.Command("tcpdump", "-nn", "-tv", "-r", file))
		if d := cmp.Diff(want, append(have, "")); d != "" {
			t.Errorf("-s %s: tcpdump (-) and tcpstory (+):\n%s", n, d)
		}
	}
	p := watch(t, r.client, "-i", r.device, "-s", "65535")
	p.interrupt()
	if !strings.Contains(p.both(), "at most 4095 bytes") {
		t.Errorf("-s 65535 is cut in silence:\n%s", p.both())
	}
}

// TestFlagsAnywhere: flags may follow the expression; -n changes nothing; an
// expression may be one word or many.
func TestFlagsAnywhere(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7323)[0]
	local := regexp.MustCompile(`10\.77\.0\.1\.\d+`)
	var want []string
	for i, args := range [][]string{
		{"-i", "veth0", "-t", "--no-states", "-q", "tcp", "port", "7323"},
		{"tcp", "port", "7323", "-i", "veth0", "-t", "--no-states", "-q"},
		{"trace", "-tq", "tcp port 7323", "-nn", "-iveth0", "--no-states"},
		{"-t", "tcp", "-i", "veth0", "port", "-q", "7323", "--no-states", "-n", "-l"},
		{"-tqi", "veth0", "--no-states", "--", "tcp", "port", "7323"},
	} {
		var got []string
		for _, l := range shown(t, r.client, args, func() { r.converse(t, 10, 20) }) {
			got = append(got, local.ReplaceAllString(l, "CLIENT"))
		}
		if i == 0 {
			want = got
		}
		if d := cmp.Diff(want, got); d != "" || len(got) < 9 {
			t.Errorf("%v: unlike the first:\n%s", args, d)
		}
	}
}

// TestSides: --no-packets and --no-states show one side each, together all.
func TestSides(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7324)[2]
	args := append([]string{"-i", "lo"}, r.port()...)
	traffic := func() { r.converse(t, 10, 20) }
	all := shown(t, r.client, args, traffic)
	kernel := shown(t, r.client, append(args, "--no-packets"), traffic)
	wire := shown(t, r.client, append(args, "--no-states"), traffic)
	const state, packet, owner = ` TCP .*: State `, ` IP .*: Flags `, ` TCP .*: Owner `
	if count(kernel, state) != 12 || len(kernel) != 12+count(kernel, owner) {
		t.Errorf("--no-packets:\n%s", strings.Join(kernel, "\n"))
	}
	if n := count(wire, packet); n < 9 || len(wire) != n {
		t.Errorf("--no-states:\n%s", strings.Join(wire, "\n"))
	}
	// The SYN-ACK shows the half-open connection.
	if s, p := count(all, state), count(all, packet); s != 12+count(all, `inferred: SYN-ACK`) || p < 9 || len(all) != s+p+count(all, owner) {
		t.Errorf("both:\n%s", strings.Join(all, "\n"))
	}
	// Without packets a SYN_SENT still knows its port.
	if count(kernel, `127\.0\.0\.1\.[1-9]\d+ > 127\.0\.0\.1\.7324: State CLOSE -> SYN_SENT, pid \d+`) != 1 {
		t.Errorf("no SYN_SENT with its port:\n%s", strings.Join(kernel, "\n"))
	}
}

// TestRoundTrip: what -w wrote, tcpdump -r and tcpstory -r print alike, and as
// it was shown live.
func TestRoundTrip(t *testing.T) {
	everyRoute(t, 7325, func(t *testing.T, r route) {
		file := filepath.Join(t.TempDir(), "f.pcap")
		for _, device := range []string{r.device, "any"} {
			live := watch(t, r.client, append([]string{"-i", device, "-tt", "--no-states"}, r.port()...)...)
			written := watch(t, r.client, append([]string{"-i", device, "-w", file}, r.port()...)...)
			allSorts(t, r)
			live.interrupt()
			written.interrupt()
			for _, flags := range []string{"-tS", "-tvS", "-teS", "-tq"} {
				theirs := printed(t, exec.Command("tcpdump", "-nn", flags, "-r", file))
				ours := printed(t, tcpstory(here{}, flags, "-r", file))
				if d := cmp.Diff(theirs, ours); d != "" {
					t.Errorf("%s %s: tcpdump (-) and tcpstory (+):\n%s", device, flags, d)
				}
			}
			untimed := func(lines []string) (out []string) {
				for _, l := range lines {
					_, l, _ = strings.Cut(strings.TrimSuffix(l, "\n"), " ")
					out = append(out, l)
				}
				return out
			}
			read := printed(t, tcpstory(here{}, "-tt", "-r", file))
			if d := cmp.Diff(untimed(live.lines()), untimed(read[:len(read)-1])); d != "" && device != "any" {
				t.Errorf("%s: live (-) and from the file (+):\n%s", device, d)
			}
		}
		all, _ := os.ReadFile(file)
		cmd := tcpstory(here{}, "-r", "-")
		cmd.Stdin = bytes.NewReader(all)
		if d := cmp.Diff(printed(t, tcpstory(here{}, "-r", file)), printed(t, cmd)); d != "" {
			t.Errorf("from the file (-) and from standard input (+):\n%s", d)
		}
	})
}

// TestDevices: -D lists what tcpdump lists of real devices, in its form.
func TestDevices(t *testing.T) {
	client := newLab(t, lab.Options{}).Host(lab.Client)
	got := printed(t, tcpstory(client, "-D"))
	want := []string{"1.lo [Up, Running, Loopback]\n", "2.veth0 [Up, Running]\n", "3.any (all interfaces of this network namespace) [Up, Running]\n", ""}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	theirs := strings.Join(printed(t, client.Command(context.Background(), "tcpdump", "-D")), "")
	for _, name := range []string{"lo", "veth0", "any"} {
		if !regexp.MustCompile(`(?m)^\d\.` + name + ` .*Up, Running`).MatchString(theirs) {
			t.Errorf("tcpdump does not list %s:\n%s", name, theirs)
		}
	}
}

// TestJSON: each line is one object with documented names of the documented
// types, and tells what the plain lines tell.
func TestJSON(t *testing.T) {
	everyRoute(t, 7326, func(t *testing.T, r route) {
		lines := shown(t, r.client, append([]string{"-i", r.device, "--json"}, r.port()...), func() { allSorts(t, r) })
		kinds := map[string]int{}
		var last float64
		for _, l := range lines {
			m := object(t, l)
			kinds[m["kind"].(string)]++
			if m["inferred"] == true || isAside(l) {
				continue
			}
			if seq := m["seq"].(float64); seq <= last {
				t.Errorf("number %v behind %v", seq, last)
			} else {
				last = seq
			}
		}
		for _, kind := range []string{"state", "packet", "send-reset", "receive-reset", "socket-error"} {
			if kinds[kind] == 0 {
				t.Errorf("no %s among %v", kind, kinds)
			}
		}
	})
}

// jsonTypes are Go's types for the types that the documentation names.
var jsonTypes = map[string]func(any) bool{
	"string":              is[string],
	"integer":             is[float64],
	"number":              is[float64],
	"boolean":             is[bool],
	"array of integers":   is[[]any],
	"array of [from, to]": is[[]any],
	"object":              is[map[string]any],
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// isAside reports a line of --json that shows nothing.
func isAside(l string) bool { return strings.HasPrefix(l, `{"kind":`) }

// object reads one line of --json.
func object(t *testing.T, l string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(l), &m); err != nil {
		t.Fatalf("%v: %s", err, l)
	}
	for name, v := range m {
		i := slices.IndexFunc(render.JSONFields[:], func(f render.JSONField) bool { return f.Name == name })
		if i < 0 {
			t.Fatalf("%q is not documented: %s", name, l)
		}
		if ok := jsonTypes[render.JSONFields[i].Type]; ok == nil || !ok(v) {
			t.Fatalf("%q is no %s: %s", name, render.JSONFields[i].Type, l)
		}
	}
	return m
}

// TestNetns: from outside, a namespace by name, path and process.
func TestNetns(t *testing.T) {
	l := newLab(t, lab.Options{})
	r := routes(l, 7327)[2]
	other := r
	other.client, other.server = l.Host(lab.Server), l.Host(lab.Server)
	peer, err := r.client.Start("nstest")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	for _, name := range []string{r.client.NetnsName(), r.client.Path(), strconv.Itoa(peer.PID())} {
		lines := shown(t, here{}, append([]string{"--netns", name, "-q"}, r.port()...), func() {
			other.converse(t, 10, 10)
			r.converse(t, 10, 10)
		})
		if s, p := count(lines, `State `)-count(lines, inferredLine), count(lines, `: tcp \d`); s != 12 || p < 9 || p > 12 {
			t.Errorf("%s: %d transitions, %d packets\n%s", name, s, p, strings.Join(lines, "\n"))
		}
	}
	names := r.client.NetnsName() + "," + other.client.NetnsName()
	lines := shown(t, here{}, append([]string{"--netns", names}, r.port()...), func() {
		other.converse(t, 10, 10)
		r.converse(t, 10, 10)
	})
	if s := count(lines, `State `) - count(lines, inferredLine); s != 24 {
		t.Errorf("two namespaces: %d transitions\n%s", s, strings.Join(lines, "\n"))
	}
}

// TestOwnSession: over SSH one's own session is left out, and a line says so;
// an expression of one's own takes that back.
func TestOwnSession(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7328)[0]
	ln := r.listen(t)
	defer ln.Close()
	session, another := r.connect(t, ln), r.connect(t, ln)
	env := "SSH_CONNECTION=" + strings.NewReplacer(":", " ").Replace(session.server.RemoteAddr().String()+" "+session.server.LocalAddr().String())
	traced := func(args ...string) *proc {
		cmd := tcpstory(r.server, append([]string{"-t"}, args...)...)
		cmd.Env = append(cmd.Env, env)
		p := start(t, cmd)
		p.awaitsIn(p.err, listens)
		session.sends(session.client, session.server, text(10))
		another.sends(another.client, another.server, text(10))
		return p
	}
	port := func(k link) string { return strconv.Itoa(k.client.LocalAddr().(*net.TCPAddr).Port) }
	p := traced("-i", "veth0")
	session.close()
	p.interrupt()
	if n := count(p.lines(), `\.`+port(session)+`\b`); n != 0 || count(p.lines(), `\.`+port(another)+`\b`) == 0 {
		t.Errorf("%d lines of the session itself:\n%s", n, p.both())
	}
	if count(p.err.text(), `your own SSH session is left out`) != 1 {
		t.Errorf("nothing says so:\n%s", p.both())
	}
	session = another
	p = traced("-i", "veth0", "tcp")
	p.interrupt()
	if count(p.lines(), `\.`+port(session)+`\b`) == 0 || count(p.err.text(), `SSH`) != 0 {
		t.Errorf("with an expression the session is to be shown, and nothing said:\n%s", p.both())
	}
}

// TestFilter: only connections of which a packet could match are shown, their
// states too.
func TestFilter(t *testing.T) {
	l := newLab(t, lab.Options{})
	one, two := routes(l, 7329), routes(l, 7330)
	netns := one[0].client.NetnsName() + "," + one[0].server.NetnsName()
	const each = 12 // transitions of both ends of a connection, and of its listener
	for _, c := range []struct {
		expression string
		kernel     int // transitions of connections to port 7329
		packets    bool
		other      bool // those to port 7330 too
	}{
		{"port 7329", 2 * each, true, false},
		{"tcp dst port 7329 or src port 7329", 2 * each, true, false},
		{"ip and port 7329", each, true, false},
		{"ip6 and port 7329", each, true, false},
		{"dst host 10.77.0.2 and dst port 7329", each, true, false},
		{"tcp[tcpflags] & tcp-rst != 0 and dst port 7329", each, false, false}, // libpcap's tcp[] is IPv4's
		{"not port 7330 and tcp", 2 * each, true, false},
		{"tcp", 2 * each, true, true},
		{"udp", 0, false, false},
		{"port 1", 0, false, false},
	} {
		lines := shown(t, here{}, []string{"--netns", netns, c.expression}, func() {
			for i := range 2 {
				one[i].converse(t, 10, 10)
				two[i].converse(t, 10, 10)
			}
		})
		kernel, packets := count(lines, `\.7329\b.*: State `)-count(lines, `\.7329\b.*`+inferredLine), count(lines, `\.7329\b.*: Flags `)
		other := count(lines, `\.7330\b`)
		if kernel != c.kernel || packets > 0 != c.packets || other > 0 != c.other {
			t.Errorf("%s: %d transitions, %d packets, %d lines of the other\n%s", c.expression, kernel, packets, other, strings.Join(lines, "\n"))
		}
	}
}
