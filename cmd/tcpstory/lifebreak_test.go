package main

import (
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// TestLifeOnTerminal: what ends life leaves a ^C on the terminal, and the text goes on in a
// line of its own. What programs read has no empty line; nor has text, but for that one.
func TestLifeOnTerminal(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7390)[0]
	for _, c := range []struct {
		form  string
		empty int
	}{{"", 1}, {"--open", 1}, {"--json", 0}, {"--csv", 0}} {
		args := append([]string{"life", "--netns", r.client.NetnsName()}, strings.Fields(c.form)...)
		term := newTerminal(t, 120)
		p := onTerminal(t, term, tcpstory(r.client, append(args, r.port()...)...))
		r.converse(t, 100, 300)
		p.shows(`FIN by us|fin-local`)
		p.interrupt()
		if _, err := term.program.WriteString("the end\n"); err != nil {
			t.Fatal(err)
		}
		p.shows("^the end")
		var empty int
		for _, l := range p.lines() {
			if visible(l) == "" {
				empty++
			}
		}
		if empty != c.empty {
			t.Errorf("life %s: %d empty lines, want %d: %q", c.form, empty, c.empty, p.lines())
		}
	}
}
