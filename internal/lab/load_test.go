package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestLoad counts the connections of every kind of load by the kernel's own
// counters: what the load says it did is what was done.
func TestLoad(t *testing.T) {
	const conns = 250
	for _, wire := range []bool{false, true} {
		for _, f := range Families {
			for _, kind := range CloseKinds {
				name := fmt.Sprintf("%s/%s/%s", map[bool]string{true: "veth", false: "lo"}[wire], f, kind)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					l := newLab(t, Options{})
					opt := LoadOptions{Conns: conns, Bytes: 200, Close: kind, Family: f, Workers: 2, Steer: true}
					if wire {
						opt.Server = l.Host(Server)
					}
					checkLoad(t, l, opt)
				})
			}
		}
	}
}

func checkLoad(t *testing.T, l *Lab, opt LoadOptions) {
	res, err := Load(t.Context(), l.Host(Client), opt)
	if err != nil {
		t.Fatal(err)
	}
	if res.Conns != opt.Conns {
		t.Errorf("the load made %d connections, it was to make %d", res.Conns, opt.Conns)
	}
	server := l.Host(Client)
	if opt.Server != nil {
		server = opt.Server
	}
	opened := snmp(t, l.Host(Client), "Tcp", "ActiveOpens")
	accepted := snmp(t, server, "Tcp", "PassiveOpens")
	if opened != opt.Conns || accepted != opt.Conns {
		t.Errorf("the kernel counts %d connections opened and %d accepted, not %d", opened, accepted, opt.Conns)
	}
	// With steering, a FIN that crosses the reset is answered by one more.
	resets := snmp(t, l.Host(Client), "Tcp", "OutRsts")
	if opt.Close == CloseRST && resets < opt.Conns || opt.Close != CloseRST && resets != 0 {
		t.Errorf("the kernel counts %d resets sent by the client's host", resets)
	}
}

// TestLoadShapes: every life comes to its end, over both families, and the kernel
// counts nothing that is not healthy.
func TestLoadShapes(t *testing.T) {
	const conns = 440
	for _, f := range Families {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			client, server := l.Host(Client), l.Host(Server)
			res, err := Load(t.Context(), client, LoadOptions{
				Conns: conns, Bytes: 200, Shapes: Shapes(), Family: f, Server: server, Workers: 2,
			})
			if err != nil {
				t.Fatal(err)
			}
			if opened := snmp(t, client, "Tcp", "ActiveOpens"); res.Conns != conns || opened != conns {
				t.Errorf("%d connections were to be made: %d, the kernel counts %d", conns, res.Conns, opened)
			}
			for _, h := range []*Host{client, server} {
				for _, c := range [][2]string{
					{"Tcp", "OutRsts"}, {"Tcp", "EstabResets"}, {"Tcp", "RetransSegs"},
					{"TcpExt", "TCPToZeroWindowAdv"}, {"TcpExt", "ListenOverflows"},
				} {
					if n := snmp(t, h, c[0], c[1]); n != 0 {
						t.Errorf("%s %s is %d on the %s", c[0], c[1], n, h.Name())
					}
				}
				// On a busy machine a timer may fire while the segment has not left its own queue.
				timeouts, queued := snmp(t, h, "TcpExt", "TCPTimeouts"), snmp(t, h, "TcpExt", "TCPSpuriousRtxHostQueues")
				if timeouts > queued {
					t.Errorf("TcpExt TCPTimeouts is %d on the %s, %d of them for what was still queued there", timeouts, h.Name(), queued)
				}
			}
		})
	}
}

// TestBrowse: a real client and a real server make as many connections as they are to,
// none of which is reset.
func TestBrowse(t *testing.T) {
	const pages = 50
	for _, f := range Families {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Options{})
			client, server := l.Host(Client), l.Host(Server)
			at := netip.AddrPortFrom(server.Addr(f), 8080)
			web, err := l.StartNginx(t.Context(), server, at)
			if err != nil {
				t.Fatal(err)
			}
			for _, apart := range []bool{true, false} {
				if err := Browse(t.Context(), client, at, pages, apart); err != nil {
					t.Error(err)
				}
			}
			if n := snmp(t, client, "Tcp", "ActiveOpens"); n != pages+1 {
				t.Errorf("%d connections, not %d and one", n, pages)
			}
			if n := snmp(t, client, "Tcp", "OutRsts") + snmp(t, server, "Tcp", "OutRsts"); n != 0 {
				t.Errorf("%d resets", n)
			}
			if err := web.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLoadBySeconds: a duration bounds a load too.
func TestLoadBySeconds(t *testing.T) {
	l := newLab(t, Options{})
	res, err := Load(t.Context(), l.Host(Client), LoadOptions{Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if res.Conns == 0 || res.Elapsed < 200*time.Millisecond || res.CPU == 0 {
		t.Errorf("strange result: %+v", res)
	}
	if s := res.String(); !strings.HasPrefix(s, fmt.Sprintf("conns %d conns/s ", res.Conns)) {
		t.Errorf("the result prints as %q", s)
	}
}

// TestLoadPaced: a load at a rate is never ahead of it.
func TestLoadPaced(t *testing.T) {
	l := newLab(t, Options{})
	res, err := Load(t.Context(), l.Host(Client), LoadOptions{Conns: 40, Rate: 200, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if least := 19 * 10 * time.Millisecond; res.Conns != 40 || res.Elapsed < least {
		t.Errorf("40 connections at 200/s took less than %v: %+v", least, res)
	}
}

// TestLoadNeedsAnEnd: a load without a bound is refused.
func TestLoadNeedsAnEnd(t *testing.T) {
	l := newLab(t, Options{})
	if _, err := Load(t.Context(), l.Host(Client), LoadOptions{}); err == nil {
		t.Error("a load without end was accepted")
	}
}
