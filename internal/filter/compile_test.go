package filter_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"tcpstory/internal/filter"
	"tcpstory/internal/filter/filtertest"
	"tcpstory/internal/tcp"
)

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"tcp prot 80", `filter expression "tcp prot 80": can't parse filter expression: syntax error`},
		{"host nosuch.invalid", "unknown host 'nosuch.invalid'"},
		{"port nosuch", "unknown port 'nosuch'"},
		{"portrange 5-nosuch", "unknown port in range '5-nosuch'"},
		{"ip proto nosuch", "unknown ip proto 'nosuch'"},
		{"net nosuch", "unknown network 'nosuch'"},
		{"ether host nosuch", "unknown ether host 'nosuch'"},
		{"port 99999", "illegal port number 99999 > 65535"},
		{"len / 0 = 1", "division by zero"},
		{"inbound", "use -Q in or -Q out"},
		{"tcp and outbound", "use -Q in or -Q out"},
		{"ifindex 2", "use -i INTERFACE"},
		{"ip6 protochain 6", "ip6 proto 6"},
		{"ip protochain \\tcp", "which the kernel cannot run"},
		{"ip broadcast", "netmask not known"},
		{"tcp\x00", "NUL byte"},
		{strings.Repeat("tcp or ", 3000) + "tcp", "the limit is 16384"},
		{"host \x1b]0;evil\x07\nx", "can't parse"},
	} {
		_, err := filter.Compile(c.expr, tcp.LinkEthernet)
		var e *filter.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", c.expr, err)
			continue
		}
		if e.Expr != c.expr || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.expr, err)
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) || len(err.Error()) > 1000 {
			t.Errorf("%q: not one short printable line: %q", c.expr, err)
		}
	}
}

func TestProtochainIsNamed(t *testing.T) {
	if _, err := filter.Compile("ip6 protochain 6", tcp.LinkEthernet); !errors.Is(err, filter.ErrProtochain) {
		t.Error(err)
	}
}

// An expression too hard for libpcap's optimiser ends in an error, in time.
func TestCompileDeadline(t *testing.T) {
	terms := make([]string, 200)
	for i := range terms {
		terms[i] = "host 10." + string(rune('0'+i%7)) + ".0." + string(rune('0'+i%10))
	}
	_, err := filter.CompileIn(1, strings.Join(terms, " or "), tcp.LinkEthernet)
	if err == nil || !strings.Contains(err.Error(), "fewer terms") {
		t.Error(err)
	}
}

func TestCompileAll(t *testing.T) {
	both := []tcp.LinkType{tcp.LinkEthernet, tcp.LinkRaw}
	for _, c := range []struct {
		expr    string
		rejects [2]bool
	}{
		{"tcp port 80", [2]bool{}}, {"arp", [2]bool{false, true}}, {"vlan 5", [2]bool{false, true}},
		{"ether host 02:00:00:00:00:01", [2]bool{false, true}},
	} {
		programs, err := filter.CompileAll(c.expr, both...)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, p := range programs {
			if p.RejectsAll() != c.rejects[i] || p.Link != both[i] {
				t.Errorf("%q, link type %d: refused %q", c.expr, p.Link, p.Refused)
			}
			if p.RejectsAll() && p.CouldMatch(flows[0]) {
				t.Errorf("%q, link type %d: rejects all, yet a connection could match", c.expr, p.Link)
			}
		}
	}
	for expr, want := range map[string]string{"tcp and udp": "expression rejects all packets", "tcp prot": "syntax error"} {
		if _, err := filter.CompileAll(expr, both...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", expr, err)
		}
	}
}

func TestReach(t *testing.T) {
	for _, c := range []struct {
		expr     string
		reach    int
		computed bool
	}{
		{"", 0, false}, {"ip", 14, false}, {"ip[8] = 1", 23, false}, {"tcp port 80", 14 + 60 + 4, false},
		{"tcp[13] & 2 != 0", 14 + 60 + 14, false}, {"ip[100:4] = 1", 118, false}, {"host fd77::1", 54, false},
		{"tcp[tcp[12] >> 2] = 71", 14 + 20, true}, {"greater 100", 0, false},
	} {
		p := compile(t, c.expr, tcp.LinkEthernet)
		if p.Computed != c.computed || !c.computed && p.Reach != c.reach {
			t.Errorf("%q: reach %d, computed %v\n%v", c.expr, p.Reach, p.Computed, p)
		}
	}
}

func TestCheck(t *testing.T) {
	ret := filter.Insn{Code: unix.BPF_RET}
	for name, c := range map[string]struct {
		insns []filter.Insn
		want  string
	}{
		"empty":        {nil, "1 to 4096"},
		"long":         {make([]filter.Insn, 4097), "1 to 4096"},
		"opcode":       {[]filter.Insn{{Code: 0xff}, ret}, "unknown instruction"},
		"wide opcode":  {[]filter.Insn{{Code: 0x106}, ret}, "unknown instruction"},
		"no return":    {[]filter.Insn{ret, {}}, "does not end in a return"},
		"jump out":     {[]filter.Insn{{Code: unix.BPF_JMP | unix.BPF_JEQ, Jt: 1}, ret}, "jump out"},
		"far jump out": {[]filter.Insn{{Code: unix.BPF_JMP, K: 0x7fffffff}, ret}, "jump out"},
		"loop":         {[]filter.Insn{ret, {Code: unix.BPF_JMP, K: 0xfffffffe}, ret}, "loop"},
		"cell":         {[]filter.Insn{{Code: unix.BPF_ST, K: 16}, ret}, "no such scratch cell"},
		"division":     {[]filter.Insn{{Code: unix.BPF_ALU | unix.BPF_MOD}, ret}, "division by zero"},
	} {
		if err := filter.Check(c.insns); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever the expression, there is an error or a program that runs.
func FuzzCompile(f *testing.F) {
	for _, expr := range filtertest.Expressions {
		f.Add(expr)
	}
	f.Add("tcp prot")
	f.Add("((((((((((tcp")
	packets := filtertest.Packets(tcp.LinkEthernet, 50, 3)
	f.Fuzz(func(t *testing.T, expr string) {
		if len(expr) > 400 {
			return // libpcap's optimiser takes its time
		}
		p, err := filter.Compile(expr, tcp.LinkEthernet)
		if err != nil {
			if e := err.Error(); strings.ContainsFunc(e, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("not printable: %q", e)
			}
			return
		}
		for _, packet := range packets {
			p.Match(packet.Frame, packet.Wire)
		}
		p.CouldMatch(flows[0])
		p.CouldMatch(tcp.Flow{})
	})
}
