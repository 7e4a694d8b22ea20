package render

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tcpstory/internal/tcp"
)

const testNS = int64(1_700_000_000_123_456_789)

// segment makes an Ethernet frame of TCP over IPv4.
func segmentFrame(sport, dport uint16, flags tcp.Flags, seq, ack uint32, options []byte, payload string) []byte {
	f := newFrame().put(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1).put16(etherIPv4)
	f.put(0x45, 0).put16(uint16(40+len(options)+len(payload))).put16(7).put16(0x4000).put(64, protoTCP).put16(0)
	src, dst := []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}
	if sport < dport {
		src, dst = dst, src
	}
	f.put(src...).put(dst...)
	f.fixSum(24, 14, 0)
	f.put16(sport).put16(dport).put32(seq).put32(ack)
	f.put(byte(5+len(options)/4)<<4, byte(flags)).put16(502).put16(0).put16(0).put(options...).put([]byte(payload)...)
	f.fixSum(50, 34, onesSum(onesSum(protoTCP, src), dst)+uint64(20+len(options)+len(payload)))
	return f.b
}

var (
	synOptions = []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}
	tsOptions  = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
)

// storyFrames are a connection from handshake to reset.
func storyFrames() [][]byte {
	return [][]byte{
		segmentFrame(40000, 8000, tcp.SYN, 1000, 0, synOptions, ""),
		segmentFrame(8000, 40000, tcp.SYN|tcp.ACK, 5000, 1001, synOptions, ""),
		segmentFrame(40000, 8000, tcp.ACK, 1001, 5001, tsOptions, ""),
		segmentFrame(40000, 8000, tcp.PSH|tcp.ACK, 1001, 5001, tsOptions, "hello"),
		segmentFrame(8000, 40000, tcp.ACK, 5001, 1001, []byte{1, 1, 5, 10, 0, 0, 3, 0xeb, 0, 0, 3, 0xee}, ""),
		segmentFrame(8000, 40000, tcp.FIN|tcp.ACK, 5001, 1006, tsOptions, ""),
		segmentFrame(40000, 8000, tcp.RST, 1006, 0, nil, ""),
	}
}

const storyLines = `10.0.0.1.40000 > 10.0.0.2.8000: Flags [S], seq 1000, win 502, options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0
10.0.0.2.8000 > 10.0.0.1.40000: Flags [S.], seq 5000, ack 1001, win 502, options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0
10.0.0.1.40000 > 10.0.0.2.8000: Flags [.], ack 1, win 502, options [nop,nop,TS val 1 ecr 2], length 0
10.0.0.1.40000 > 10.0.0.2.8000: Flags [P.], seq 1:6, ack 1, win 502, options [nop,nop,TS val 1 ecr 2], length 5
10.0.0.2.8000 > 10.0.0.1.40000: Flags [.], ack 1, win 502, options [nop,nop,sack 1 {3:6}], length 0
10.0.0.2.8000 > 10.0.0.1.40000: Flags [F.], seq 1, ack 6, win 502, options [nop,nop,TS val 1 ecr 2], length 0
10.0.0.1.40000 > 10.0.0.2.8000: Flags [R], seq 1006, win 502, length 0
`

func storySamples() []sample {
	var samples []sample
	for i, f := range storyFrames() {
		samples = append(samples, sample{ns: testNS + int64(i)*1e6, frame: f, length: len(f)})
	}
	return samples
}

func TestLineStory(t *testing.T) {
	useTestZone(t)
	lp := NewLinePrinter(LineOptions{Time: TimeNone})
	var got []byte
	for _, s := range storySamples() {
		got = lp.Append(got, s.event(tcp.LinkEthernet))
	}
	if got := strings.ReplaceAll(string(got), "IP ", ""); got != storyLines {
		t.Errorf("got\n%swant\n%s", got, storyLines)
	}
	for _, flags := range [][]string{{}, {"-e"}, {"-vv"}, {"-ttt"}, {"-S"}} {
		compare(t, tcp.LinkEthernet, storySamples(), flags...)
	}
}

// TestLineWithoutNumber compares what -# would hide.
func TestLineWithoutNumber(t *testing.T) {
	useTestZone(t)
	samples := storySamples()
	lp := NewLinePrinter(LineOptions{})
	var got []byte
	for i := range samples {
		got = lp.Append(got, samples[i].event(tcp.LinkEthernet))
	}
	if want := tcpdump(t, writePcap(t, tcp.LinkEthernet, samples)); string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestLineTimes(t *testing.T) {
	useTestZone(t)
	frame := storyFrames()[0]
	var samples []sample
	for _, ns := range []int64{
		testNS, testNS - 1_500_000_000, testNS + 25*3600e9 + 999_999_999, testNS, testNS + 1,
		0, 999, 1_000, 1710054000e9 - 1000, 1710054000e9, // summer time begins
		testNS,
	} {
		samples = append(samples, sample{ns: ns, frame: frame, length: len(frame)})
	}
	for _, flags := range [][]string{{}, {"-t"}, {"-tt"}, {"-ttt"}, {"-tttt"}, {"-ttttt"}} {
		compare(t, tcp.LinkEthernet, samples, flags...)
	}
	late := []sample{{ns: (1<<31 - 1) * 1e9, frame: frame, length: len(frame)}, {ns: (1 << 31) * 1e9, frame: frame, length: len(frame)}}
	for _, flags := range [][]string{{}, {"-tt"}, {"-tttt"}} {
		compare(t, tcp.LinkEthernet, late, flags...)
	}
}

func TestAppendTimeSharesTheClock(t *testing.T) {
	ev := storySamples()[0]
	lp := NewLinePrinter(LineOptions{Time: TimeDelta})
	lp.Append(nil, ev.event(tcp.LinkEthernet))
	if got := string(lp.AppendTime(nil, testNS+2e9)); got != " 00:00:02.000000 " {
		t.Errorf("kernel event after a packet: %q", got)
	}
	if got := string(lp.AppendTime(nil, testNS+1e9)); got != "-00:00:01.000000 " {
		t.Errorf("an earlier one after that: %q", got)
	}
}

func TestLineIncredibleLengths(t *testing.T) {
	useTestZone(t)
	f := storyFrames()[0]
	compare(t, tcp.LinkEthernet, []sample{
		{frame: f, length: len(f)}, {frame: nil, length: 60}, {frame: nil}, {frame: f, length: 0},
		{frame: f, length: len(f) - 1}, {frame: f, length: maxSnapLength + 1}, {frame: nil, length: 1 << 20},
	})
}

// applicationPorts are those whose payload tcpdump decodes.
var applicationPorts = []uint16{21, 22, 23, 25, 43, 53, 80, 139, 179, 323, 445, 554, 639, 646, 1723, 2049, 6379, 6633, 6653, 8080, 8554, 10288}

func TestLineStopsAtLength(t *testing.T) {
	useTestZone(t)
	var samples []sample
	for _, port := range applicationPorts {
		f := segmentFrame(40000, port, tcp.PSH|tcp.ACK, 1001, 5001, tsOptions, "GET / HTTP/1.1\r\nHost: a\r\n\r\n\x1b[31m")
		samples = append(samples, sample{ns: testNS, frame: f, length: len(f)})
	}
	want := split(tcpdump(t, writePcap(t, tcp.LinkEthernet, samples), "-#"))
	lp := NewLinePrinter(LineOptions{Number: true})
	for i, port := range applicationPorts {
		got := string(lp.Append(nil, samples[i].event(tcp.LinkEthernet)))
		if !strings.HasSuffix(got, ", length 32\n") || !strings.HasPrefix(want[i], got[:len(got)-1]) {
			t.Errorf("port %d: got %q, tcpdump %q", port, got, want[i])
		}
	}
}

// TestLineStrangers has what tcpdump would dump or decode further: the line
// must be short and true.
func TestLineStrangers(t *testing.T) {
	useTestZone(t)
	ip := func(proto string) string {
		return macs + "0800 4500 001c 0001 0000 40" + proto + " 0000 0a000001 0a000002 0102030405060708"
	}
	tests := []struct{ name, frame, want string }{
		{"ethertype", macs + "88b5 1b5b33316d", "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype Unknown (0x88b5), length 19: \n"},
		{"lldp", macs + "88cc 0207", "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype LLDP (0x88cc), length 16: \n"},
		{"802.3", macs + "0026 424203 0000", "LLC, dsap 0x42, ssap 0x42, length 5\n"},
		{"gre", ip("2f"), "IP 10.0.0.1 > 10.0.0.2: GRE, length 8\n"},
		{"igmp", ip("02"), "IP 10.0.0.1 > 10.0.0.2: IGMP, length 8\n"},
		{"sctp", ip("84"), "IP 10.0.0.1 > 10.0.0.2: SCTP, length 8\n"},
		{"unassigned", ip("fd"), "IP 10.0.0.1 > 10.0.0.2:  ip-proto-253 8\n"},
		{"arp", macs + "0806 0001 0800 06 04 0007 020000000001 0a000001 000000000000 0a000002", "ARP, Unknown (7), length 28\n"},
	}
	for _, test := range tests {
		frame, err := hex.DecodeString(strings.ReplaceAll(test.frame, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		s := sample{frame: frame, length: len(frame)}
		lp := NewLinePrinter(LineOptions{Time: TimeNone})
		if got := string(lp.Append(nil, s.event(tcp.LinkEthernet))); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	s := sample{frame: []byte{1, 2}, length: 40}
	if got := string(NewLinePrinter(LineOptions{Time: TimeNone}).Append(nil, s.event(147))); got != "[unsupported link type 147], length 40\n" {
		t.Errorf("unknown link type: %q", got)
	}
}

const macs = "020000000002 020000000001 "

func TestLineColumns(t *testing.T) {
	s := storySamples()[0]
	ev := s.event(tcp.LinkEthernet)
	ev.Packet.Device, ev.Packet.Dir, ev.Packet.Ifindex = "e\x1b[31mth", tcp.DirOut, 7
	lp := NewLinePrinter(LineOptions{Time: TimeNone, Columns: true, Link: true})
	got := string(lp.Append(nil, ev))
	want := "e?[31mth Out ifindex 7 02:00:00:00:00:01 ethertype IPv4 (0x0800), length 80: 10.0.0.1.40000 > "
	if !strings.HasPrefix(got, want) {
		t.Errorf("got %q\nwant %q…", got, want)
	}
	ev.Packet.Device, ev.Packet.Dir = "", tcp.DirUnknown
	got = string(NewLinePrinter(LineOptions{Time: TimeNone, Columns: true}).Append(nil, ev))
	if want := "?     ?   IP 10.0.0.1.40000 > "; !strings.HasPrefix(got, want) {
		t.Errorf("got %q\nwant %q…", got, want)
	}
}

// TestSeqTrackerForgets checks both that a flow just used is kept and that
// memory is bounded.
func TestSeqTrackerForgets(t *testing.T) {
	tracker := newSeqTracker()
	dst := []byte{10, 0, 0, 2}
	see := func(flow uint32, seq uint32) seqNumbers {
		src := []byte{10, byte(flow >> 16), byte(flow >> 8), byte(flow)}
		return tracker.relative(src, dst, 40000, 80, seq, 500, false)
	}
	see(0, 100)
	for flow := uint32(1); flow < 5*flowsPerGeneration; flow++ {
		see(flow, 100)
		if flow%(flowsPerGeneration/2) == 0 {
			if n := see(0, 107); n.seq != 7 || n.ack != 1 {
				t.Fatalf("after %d other flows: %+v", flow, n)
			}
		}
	}
	if n := see(1, 107); n.seq != 107 {
		t.Errorf("a flow long unused is still known: %+v", n)
	}
	if n := len(tracker.young) + len(tracker.old); n > 2*flowsPerGeneration {
		t.Errorf("%d flows kept", n)
	}
}

func TestAppendAddr6(t *testing.T) {
	tests := map[string]string{
		"00000000000000000000000000000000": "::",
		"00000000000000000000000000000001": "::1",
		"0000000000000000000000000a000001": "::10.0.0.1",
		"00000000000000000000ffff0a000001": "::ffff:10.0.0.1",
		"20010db8000000000001000000000001": "2001:db8::1:0:0:1",
		"20010db8000000010000000000000000": "2001:db8:0:1::",
		"00010000000200000003000000040000": "1:0:2:0:3:0:4:0",
	}
	for in, want := range tests {
		b, _ := hex.DecodeString(in)
		if got := string(appendAddr6(nil, b)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestLineAllocatesNothing(t *testing.T) {
	for _, opts := range []LineOptions{{}, {Verbose: 2, Link: true, Time: TimeDate, Columns: true}} {
		lp, dst := NewLinePrinter(opts), make([]byte, 0, 4096)
		var events []*tcp.Event
		for _, s := range storySamples() {
			events = append(events, s.event(tcp.LinkEthernet))
		}
		n := testing.AllocsPerRun(100, func() {
			for _, ev := range events {
				dst = lp.Append(dst[:0], ev)
			}
		})
		if n != 0 {
			t.Errorf("%+v: %v allocations for %d lines", opts, n, len(events))
		}
	}
}

func BenchmarkLine(b *testing.B) {
	samples := storySamples()
	for _, i := range []int{1, 3} {
		for _, verbose := range []int{0, 1} {
			b.Run(fmt.Sprintf("packet%d/v%d", i, verbose), func(b *testing.B) {
				lp, dst := NewLinePrinter(LineOptions{Verbose: verbose}), make([]byte, 0, 4096)
				ev := samples[i].event(tcp.LinkEthernet)
				b.ReportAllocs()
				for b.Loop() {
					ev.Time += 1000
					dst = lp.Append(dst[:0], ev)
				}
			})
		}
	}
}

// FuzzLine checks that no packet makes the printer panic or print what a
// terminal could take for a command.
func FuzzLine(f *testing.F) {
	for _, link := range []tcp.LinkType{tcp.LinkEthernet, tcp.LinkRaw, tcp.LinkSLL, tcp.LinkSLL2, tcp.LinkNull} {
		g := &generator{r: rand.New(rand.NewPCG(11, uint64(link))), link: link}
		for range 60 {
			b, length := g.make()
			f.Add(b, uint16(link), uint32(length), uint8(g.r.Uint32()))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte, link uint16, length uint32, flags uint8) {
		lp := NewLinePrinter(LineOptions{
			Verbose: int(flags & 3), Link: flags&4 != 0, Columns: flags&8 != 0, Quiet: flags&16 != 0, Absolute: flags&32 != 0,
		})
		ev := &tcp.Event{Kind: tcp.KindPacket, Time: testNS}
		ev.Packet = tcp.Packet{Frame: frame[:len(frame):len(frame)], Length: length, Link: tcp.LinkType(link), Device: string(frame[:min(len(frame), 5)])}
		ev.Packet.Decode()
		line := lp.Append(nil, ev)
		for _, c := range line {
			if (c < ' ' || c > '~') && c != '\n' && c != '\t' {
				t.Fatalf("byte %#x in %q", c, line)
			}
		}
		if !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("no newline in %q", line)
		}
	})
}
