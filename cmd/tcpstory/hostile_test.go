package main

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"tcpstory/internal/lab"
)

// evilNames are process names that would do something to a terminal: clear it,
// ring, forge a line, set its title, write backwards (a cut UTF-8 sequence and
// C1 controls among them).
var evilNames = []string{
	"\x1b[2Jevil", "a\nb\rc\td", "\x1b]0;pwned\a", "\u202etxt.exe", "\x9b31mred", "\xff\xfe\xe2\x82", "\\x1b[2J", `","pid":1,"`, "100%s%n", "\u2028\u2029\x7f",
}

// views are the ways to show events; UTF-8 terminals get more characters.
var views = [][]string{
	{"-v", "-e"}, {"--json"}, {"--view", "columns"}, {"-i", "any"}, {"--no-packets"},
}

// raw finds what must never reach a terminal: control characters but the
// newline at the line's end, and what is not printable text.
func raw(l string) (rune, bool) {
	for i, r := range l {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(l[i:]); n == 1 {
				return r, true
			}
		}
		if r != '\ufffd' && !unicode.IsPrint(r) {
			return r, true
		}
	}
	return 0, false
}

// TestHostileNames: what a process calls itself never reaches the output raw.
func TestHostileNames(t *testing.T) {
	l := newLab(t, lab.Options{})
	r := routes(l, 7350)[2]
	for _, view := range views {
		for _, locale := range []string{"C", "C.UTF-8"} {
			args := view
			if !slices.Contains(view, "any") {
				args = append([]string{"-i", "lo"}, view...)
			}
			cmd := tcpstory(r.client, args...)
			cmd.Env = append(cmd.Env, "LC_ALL="+locale)
			p := start(t, cmd)
			p.awaitsIn(p.err, listens)
			for _, name := range evilNames {
				evilTalk(t, r, name)
			}
			p.interrupt()
			checkHostile(t, strings.Join(view, " ")+" in "+locale, p)
			if count(p.lines(), `2Jevil`) == 0 {
				t.Errorf("%v: the name is not shown at all:\n%s", view, p.both())
			}
		}
	}
}

// evilTalk has a process of that name make and end a connection with itself.
func evilTalk(t *testing.T, r route, name string) {
	t.Helper()
	peer, err := r.client.Start(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(peer.Listen(ctx, "listener", r.at))
	_, err = peer.Connect(ctx, "client", r.at, lab.Option{})
	try(err)
	try(peer.Accept(ctx, "listener", "server"))
	for _, sock := range []string{"client", "server", "listener"} {
		try(peer.CloseSocket(ctx, sock))
	}
	try(peer.Close())
}

func checkHostile(t *testing.T, what string, p *proc) {
	t.Helper()
	lines := slices.Concat(p.lines(), p.err.text())
	if len(lines) < 10*len(evilNames) {
		t.Errorf("%s: only %d lines\n%s", what, len(lines), p.both())
	}
	for _, l := range lines {
		if r, bad := raw(l); bad {
			t.Errorf("%s: %q (%U) in %q", what, r, r, l)
		}
		if strings.HasPrefix(l, "{") && !json.Valid([]byte(l)) {
			t.Errorf("%s: no JSON: %s", what, l)
		}
	}
}

// TestHostilePackets: nor do packets, whatever their bytes; and nothing that
// arrives ends the tracer.
func TestHostilePackets(t *testing.T) {
	l := newLab(t, lab.Options{})
	client := l.Host(lab.Client)
	random := rand.New(rand.NewPCG(1, 2))
	var frames [][]byte
	for range 3000 {
		frames = append(frames, oddFrame(random))
	}
	for _, view := range [][]string{{"-v", "-e"}, {"-vv"}, {"-q"}, {"--json"}, {"--view", "columns"}} {
		args := slices.Concat([]string{"-i", "veth0", "-s", "0"}, view, []string{"ether", "src", "2:0:0:0:0:1"})
		p := watch(t, client, args...)
		inject(t, client, "veth0", frames...)
		p.interrupt()
		checkHostile(t, strings.Join(view, " "), p)
		if n := len(p.lines()); n < len(frames) {
			t.Errorf("%v: %d lines for %d frames", view, n, len(frames))
		}
	}
}

// oddFrame is an Ethernet frame that begins like one of many kinds and goes on
// with anything at all.
func oddFrame(random *rand.Rand) []byte {
	f := vlanFrame()
	switch random.IntN(5) {
	case 0:
		f = vlanFrame(uint16(random.Uint32()))
	case 1: // IPv6
		src, dst := netip.MustParseAddr("fd77::1").As16(), netip.MustParseAddr("fd77::2").As16()
		next := []byte{0, 6, 17, 43, 44, 58, 60, 135}[random.IntN(8)]
		f = slices.Concat(f[:12], []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, next, 64}, src[:], dst[:])
	case 2:
		f[14+9] = []byte{1, 2, 17, 47, 50, 132}[random.IntN(6)] // another protocol than TCP
	case 3:
		f[14+20+12] = byte(random.IntN(16)) << 4 // TCP header length
	}
	tail := make([]byte, random.IntN(120))
	for i := range tail {
		tail[i] = byte(random.Uint32())
	}
	f = append(f, tail...)
	if at := random.IntN(4); at == 0 { // some bytes of the headers too, but for the addresses
		f[12+random.IntN(len(f)-12)] ^= byte(random.Uint32())
	}
	return f
}
