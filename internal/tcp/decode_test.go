package tcp

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// frameOf reads hex digits; blanks are for the eye.
func frameOf(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	macs    = "020000000002 020000000001 "
	ip4TCP  = "4500002a 00014000 4006 0000 0a000001 0a000002 "
	segment = "9c40 0050 00000064 000000c8 5018 01f6 0000 0000 "
	data2   = "6869"
	ip6Head = "60000000 0016 06 40 fd000000000000000000000000000001 fd000000000000000000000000000002 "
)

func ports(src, dst string) Flow {
	return Flow{netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)}
}

func TestDecode(t *testing.T) {
	flow4, flow6 := ports("10.0.0.1:40000", "10.0.0.2:80"), ports("[fd00::1]:40000", "[fd00::2]:80")
	full := func(flow Flow, etherType uint16, ip, l4 int) Segment {
		return Segment{
			Flow: flow, IPOffset: ip, L4Offset: l4, EtherType: etherType, Protocol: 6, IsTCP: true,
			Flags: PSH | ACK, Seq: 100, Ack: 200, Window: 502, HeaderLen: 20, PayloadLen: 2,
		}
	}
	icmpQuote := "45000038 00010000 4001 0000 0a000002 0a000001 0301 0000 00000000 " +
		"4500003c 00014000 4006 0000 0a000001 0a000002 9c40 0050 00000064"
	tests := []struct {
		name   string
		link   LinkType
		frame  string
		length int // 0: as captured
		want   Segment
	}{
		{name: "ethernet", link: LinkEthernet, frame: macs + "0800" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 14, 34)},
		{name: "padding is no payload", link: LinkEthernet, frame: macs + "0800" + ip4TCP + segment + data2 + "00000000", want: full(flow4, 0x0800, 14, 34)},
		{name: "payload not captured", link: LinkEthernet, frame: macs + "0800" + ip4TCP + segment, length: 56, want: full(flow4, 0x0800, 14, 34)},
		{name: "vlan", link: LinkEthernet, frame: macs + "8100 0064 0800" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 18, 38)},
		{name: "two vlans", link: LinkEthernet, frame: macs + "88a8 0001 8100 0064 86dd" + ip6Head + segment + data2, want: full(flow6, 0x86dd, 22, 62)},
		{name: "9100", link: LinkEthernet, frame: macs + "9100 0064 0800" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 18, 38)},
		{name: "three vlans are too many", link: LinkEthernet, frame: macs + "8100 0064 8100 0065 8100 0066 0800" + ip4TCP + segment + data2, want: Segment{EtherType: 0x8100}},
		{name: "raw", link: LinkRaw, frame: ip4TCP + segment + data2, want: full(flow4, 0x0800, 0, 20)},
		{name: "raw v6", link: LinkRaw, frame: ip6Head + segment + data2, want: full(flow6, 0x86dd, 0, 40)},
		{name: "null", link: LinkNull, frame: "02000000" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 4, 24)},
		{name: "null of the other byte order", link: LinkNull, frame: "0000001e" + ip6Head + segment + data2, want: full(flow6, 0x86dd, 4, 44)},
		{name: "loop", link: LinkLoop, frame: "00000002" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 4, 24)},
		{name: "sll", link: LinkSLL, frame: "0000 0001 0006 0200000000010000 0800" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 16, 36)},
		{name: "sll2", link: LinkSLL2, frame: "0800 0000 00000002 0001 00 06 0200000000010000" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 20, 40)},
		{name: "sll2 with vlan", link: LinkSLL2, frame: "8100 0000 00000002 0001 00 06 0200000000010000 0064 0800" + ip4TCP + segment + data2, want: full(flow4, 0x0800, 24, 44)},
		{
			name: "ipv4 options", link: LinkRaw,
			frame: "4600002e 00014000 4006 0000 0a000001 0a000002 01010100" + segment + data2, want: full(flow4, 0x0800, 0, 24),
		},
		{
			name: "length left to offload", link: LinkRaw,
			frame: "45000000 00014000 4006 0000 0a000001 0a000002" + segment + data2, want: full(flow4, 0x0800, 0, 20),
		},
		{
			name: "mapped addresses", link: LinkRaw,
			frame: "60000000 0016 06 40 00000000000000000000ffff0a000001 00000000000000000000ffff0a000002" + segment + data2,
			want:  full(flow4, 0x86dd, 0, 40),
		},
		{
			name: "ipv6 extension headers", link: LinkRaw,
			frame: "60000000 004e 00 40 fd000000000000000000000000000001 fd000000000000000000000000000002" +
				"2b00 010400000000" + "3c00 000000000000" + "2c00 010400000000" + "3300 0001 00000007" +
				"0604 0000 00000001 00000002 000102030405060708090a0b" + segment + data2,
			want: full(flow6, 0x86dd, 0, 96),
		},
		{
			name: "later fragment", link: LinkRaw, frame: "4500002a 00010010 4006 0000 0a000001 0a000002" + segment + data2,
			want: Segment{Flow: ports("10.0.0.1:0", "10.0.0.2:0"), EtherType: 0x0800, Protocol: 6, Fragment: true},
		},
		{
			name: "later ipv6 fragment", link: LinkRaw,
			frame: "60000000 001e 2c 40 fd000000000000000000000000000001 fd000000000000000000000000000002 0600 0008 00000001" + segment + data2,
			want:  Segment{Flow: ports("[fd00::1]:0", "[fd00::2]:0"), EtherType: 0x86dd, Protocol: 6, Fragment: true},
		},
		{
			name: "ports only", link: LinkRaw, frame: ip4TCP + "9c40 0050 0000", length: 42,
			want: Segment{Flow: flow4, L4Offset: 20, EtherType: 0x0800, Protocol: 6},
		},
		{
			name: "header longer than the segment", link: LinkRaw,
			frame: ip4TCP + "9c40 0050 00000064 000000c8 f018 01f6 0000 0000" + data2,
			want:  Segment{Flow: flow4, L4Offset: 20, EtherType: 0x0800, Protocol: 6},
		},
		{
			name: "udp", link: LinkRaw, frame: "4500001c 00010000 4011 0000 0a000001 0a000002 9c40 0050 0008 0000",
			want: Segment{Flow: flow4, L4Offset: 20, EtherType: 0x0800, Protocol: 17},
		},
		{
			name: "icmp quoting eight bytes of tcp", link: LinkRaw, frame: icmpQuote,
			want: Segment{
				Flow: ports("10.0.0.2:0", "10.0.0.1:0"), L4Offset: 20, EtherType: 0x0800, Protocol: 1,
				Quoted: flow4, IsQuote: true,
			},
		},
		{
			name: "icmp quote cut before the ports", link: LinkRaw, frame: icmpQuote[:len(icmpQuote)-14],
			want: Segment{Flow: ports("10.0.0.2:0", "10.0.0.1:0"), L4Offset: 20, EtherType: 0x0800, Protocol: 1},
		},
		{
			name: "echo quotes nothing", link: LinkRaw, frame: strings.Replace(icmpQuote, "0301 0000", "0800 0000", 1),
			want: Segment{Flow: ports("10.0.0.2:0", "10.0.0.1:0"), L4Offset: 20, EtherType: 0x0800, Protocol: 1},
		},
		{
			name: "icmpv6 too big", link: LinkRaw,
			frame: "60000000 0044 3a 40 fd000000000000000000000000000009 fd000000000000000000000000000001 0200 0000 00000500" +
				ip6Head + segment,
			want: Segment{
				Flow: ports("[fd00::9]:0", "[fd00::1]:0"), L4Offset: 40, EtherType: 0x86dd, Protocol: 58,
				Quoted: flow6, IsQuote: true,
			},
		},
		{name: "arp", link: LinkEthernet, frame: macs + "0806 0001", want: Segment{EtherType: 0x0806}},
		{name: "empty", link: LinkEthernet},
		{name: "unknown link", link: 147, frame: "4500"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := frameOf(t, test.frame)
			p := Packet{Frame: f[:len(f):len(f)], Link: test.link, Length: uint32(max(len(f), test.length))}
			p.Segment = Segment{IsTCP: true, IsQuote: true, PayloadLen: 9, Fragment: true} // what was there before
			p.Decode()
			if p.Segment != test.want {
				t.Errorf("\n got %+v\nwant %+v", p.Segment, test.want)
			}
		})
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	p := benchPacket(t)
	if n := testing.AllocsPerRun(100, p.Decode); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func benchPacket(t testing.TB) *Packet {
	f := frameOf(t, macs+"0800"+ip4TCP+segment+data2)
	return &Packet{Frame: f, Link: LinkEthernet, Length: uint32(len(f))}
}

func BenchmarkDecode(b *testing.B) {
	p := benchPacket(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Decode()
	}
}

// FuzzDecode checks that what Decode says lies within the frame.
func FuzzDecode(f *testing.F) {
	f.Add(frameOf(f, macs+"0800"+ip4TCP+segment+data2), uint16(LinkEthernet), uint32(56))
	f.Add(frameOf(f, ip6Head+segment), uint16(LinkRaw), uint32(62))
	f.Add(frameOf(f, "8100 0000 00000002 0001 00 06 0200000000010000 0064 0800"+ip4TCP+segment), uint16(LinkSLL2), uint32(64))
	f.Fuzz(func(t *testing.T, frame []byte, link uint16, length uint32) {
		p := Packet{Frame: frame[:len(frame):len(frame)], Link: LinkType(link), Length: length}
		p.Decode()
		s := &p.Segment
		if s.IPOffset > len(frame) || s.L4Offset > len(frame) || s.PayloadLen < 0 {
			t.Fatalf("outside of the frame: %+v", s)
		}
		if s.IsTCP && (s.L4Offset+20 > len(frame) || s.HeaderLen < 20 || s.Protocol != protoTCP || s.Fragment) {
			t.Fatalf("not a TCP header: %+v", s)
		}
		if s.IsQuote && (!s.Quoted.Local.IsValid() || s.IsTCP) {
			t.Fatalf("not a quote: %+v", s)
		}
		p.Cook()
	})
}
