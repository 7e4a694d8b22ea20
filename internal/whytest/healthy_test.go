package whytest

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// healthyConns is how many healthy connections are looked at, and with TCPSTORY_LONG.
const (
	healthyConns     = 3000
	healthyConnsLong = 100_000
	pages            = 200
)

// TestHealthySilence: of healthy connections of every shape, over both families,
// and of nginx with curl, which keeps connections or does not, nothing is said.
func TestHealthySilence(t *testing.T) {
	conns := uint64(healthyConns)
	if os.Getenv("TCPSTORY_LONG") != "" {
		conns = healthyConnsLong
	}
	l, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	client, server := l.Host(lab.Client), l.Host(lab.Server)
	p := trace(t, "why", "--once", "--for", "10m", "--netns", client.NetnsName(), "--netns", server.NetnsName())
	var done uint64
	shapes := append(lab.Shapes(), lab.AbruptShapes()...)
	for _, f := range lab.Families {
		r, err := lab.Load(t.Context(), client, lab.LoadOptions{
			Conns: conns / 2, Bytes: 200, Shapes: shapes, Family: f, Server: server, Workers: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		done += r.Conns
	}
	at := netip.AddrPortFrom(server.Addr4(), 8080)
	web, err := l.StartNginx(t.Context(), server, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, apart := range []bool{false, true} {
		if err := lab.Browse(t.Context(), client, at, pages, apart); err != nil {
			t.Error(err)
		}
	}
	if err := web.Stop(); err != nil {
		t.Error(err)
	}
	if said := strings.TrimSpace(p.end(0)); said != "" {
		t.Errorf("of healthy connections was said:\n%s", said)
	}
	t.Logf("%d connections of %d shapes, %d pages twice; %s", done, len(shapes), pages, &p.err.text)
}
