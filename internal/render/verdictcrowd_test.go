package render

import (
	"strings"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// TestCrowd: how many more had the like, and between whom.
func TestCrowd(t *testing.T) {
	for want, c := range map[string]struct {
		alike diagnose.Alike
		role  conn.Role
	}{
		"… 412 more × refused, in the application, to 10.0.0.5:5432 from nginx in the last 10s":                     {diagnose.SameServer, conn.RoleClient},
		"… 412 more × refused, in the application, to several ports of 10.0.0.5 from nginx in the last 10s":         {diagnose.SameHost, conn.RoleClient},
		"… 412 more × refused, in the application, to several addresses from nginx in the last 10s":                 {diagnose.SameProcess, conn.RoleClient},
		"… 412 more × refused, in the application, at 10.0.0.1:40000 of nginx in the last 10s":                      {diagnose.SameServer, conn.RoleServer},
		"… 412 more × refused, in the application, by 10.0.0.5 at several ports of nginx in the last 10s":           {diagnose.SameHost, conn.RoleServer},
		"… 412 more × refused, in the application, at several ports, by several addresses of nginx in the last 10s": {diagnose.SameProcess, conn.RoleServer},
	} {
		end := &diagnose.End{Role: c.role, Flow: conntest.Flow("10.0.0.1:40000", "10.0.0.5:5432"), Task: conntest.Task(812, "nginx"), State: tcp.Close}
		var out strings.Builder
		w := NewVerdicts(NewWriter(&out, "a text", false), func() int { return 0 })
		err := w.Crowd(&diagnose.Crowd{For: 10 * time.Second, Rule: diagnose.RuleOf("refused"), Place: diagnose.Application, Alike: c.alike, N: 412, Last: end})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, text, _ := strings.Cut(out.String(), " "); text != want+"\n" {
			t.Errorf("%q, want %q", text, want)
		}
	}
}
