package filter_test

import (
	"testing"

	"tcpstory/internal/filter"
	"tcpstory/internal/tcp"
)

func TestOwnSSH(t *testing.T) {
	for env, want := range map[string]string{
		"10.0.0.9 50123 10.77.0.2 22":          "not (host 10.0.0.9 and tcp port 50123 and host 10.77.0.2 and tcp port 22)",
		"fe80::1%eth0 50123 fe80::2%eth0 2222": "not (host fe80::1 and tcp port 50123 and host fe80::2 and tcp port 2222)",
		"::ffff:10.0.0.9 1 10.77.0.2 22":       "not (host 10.0.0.9 and tcp port 1 and host 10.77.0.2 and tcp port 22)",
		"":                                     "", "10.0.0.9 50123 22": "", "10.0.0.9 x 10.77.0.2 22": "",
		"10.0.0.9 0 10.77.0.2 22": "", "10.0.0.9 65536 10.77.0.2 22": "", "UNKNOWN 65535 UNKNOWN 65535": "",
		"10.0.0.9 1 fe80::1 22": "", "10.0.0.9 1 10.77.0.2 22 more": "",
	} {
		got, ok := filter.OwnSSH(func(name string) string {
			if name != "SSH_CONNECTION" {
				return ""
			}
			return env
		})
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", env, got, ok)
		}
	}
}

// The expression leaves out that one connection and nothing else.
func TestOwnSSHSelects(t *testing.T) {
	for _, env := range []string{"10.0.0.9 50123 10.77.0.2 22", "127.0.0.1 50123 127.0.0.1 22"} {
		expr, _ := filter.OwnSSH(func(string) string { return env })
		p := compile(t, expr, tcp.LinkEthernet)
		for f, want := range map[tcp.Flow]bool{
			flow("10.0.0.9:50123", "10.77.0.2:22"):  env[0:2] != "10",
			flow("127.0.0.1:22", "127.0.0.1:50123"): env[0:2] == "10",
			flow("10.0.0.9:50124", "10.77.0.2:22"):  true, flow("10.0.0.9:50123", "10.77.0.3:22"): true,
		} {
			if got := p.CouldMatch(f); got != want {
				t.Errorf("%s: %v: %v", env, f, got)
			}
		}
	}
}
