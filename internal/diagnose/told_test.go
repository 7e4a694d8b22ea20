package diagnose_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// pairOf are the two ends of a conversation, of which neither is known to be the other's,
// and which are told of as what verdicts say: number, former ones, update, first rule.
type pairOf struct {
	t    *testing.T
	e    *diagnose.Engine
	now  int64
	ends [2]*conn.Conn
	said []string
}

func aPair(t *testing.T) *pairOf {
	p := &pairOf{t: t, now: conntest.Start}
	p.e = diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		p.said = append(p.said, fmt.Sprint("#", v.End.Number, v.Formerly, " ", v.Update, " ", v.Findings[0].Rule.Name, " ", v.Standing))
		return nil
	})
	f := conntest.Flow("10.77.0.1:40000", "10.77.0.2:80")
	for i, flow := range []tcp.Flow{f, f.Reverse()} {
		p.ends[i] = &conn.Conn{Number: uint64(i + 1), Cookie: uint64(i + 1), Flow: flow, Role: conn.RoleClient + conn.Role(i), Opened: p.now}
	}
	return p
}

// moves is a transition.
func (p *pairOf) moves(i int, from, to tcp.State, errno unix.Errno) {
	p.t.Helper()
	c := p.ends[i]
	if c.State = to; to == tcp.Close {
		c.Closed = p.now
	}
	if err := p.e.Take(&conn.Step{Event: &tcp.Event{Kind: tcp.KindState, Time: p.now, Cookie: c.Cookie, Old: from, New: to, Errno: int32(errno)}, Conn: c}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pairOf) wait(d time.Duration) {
	p.t.Helper()
	p.now += int64(d)
	if err := p.e.Pass(p.now); err != nil {
		p.t.Fatal(err)
	}
}

// unite makes them each other's other end, by the number of the first.
func (p *pairOf) unite() {
	p.ends[0].Peer, p.ends[1].Peer = p.ends[1], p.ends[0]
	p.ends[1].Number = p.ends[0].Number
}

// wants holds what was said against what is to be said.
func (p *pairOf) wants(said ...string) {
	p.t.Helper()
	if !slices.Equal(p.said, said) {
		p.t.Errorf("said was %q, want %q", p.said, said)
	}
}

// hangs has both ends open, and the one's other end closed.
func (p *pairOf) hangs(i int) {
	p.moves(i, tcp.SynSent, tcp.Established, 0)
	p.moves(i, tcp.Established, tcp.CloseWait, 0)
}

// TestNumbersUnite: what is said of an end that has got its other end's number is an
// update, and says by which number it was told of before.
func TestNumbersUnite(t *testing.T) {
	p := aPair(t)
	p.moves(0, tcp.SynSent, tcp.Established, 0)
	p.hangs(1)
	p.wait(2 * limits.After)
	p.unite()
	p.moves(1, tcp.CloseWait, tcp.LastAck, 0)
	p.moves(1, tcp.LastAck, tcp.Close, 0)
	p.wait(time.Second)
	p.wants("#2 [] 0 close-wait-leak true", "#1 [2] 1 close-wait-leak false")
}

// TestBothWereTold: of both ends something was said before they were known to be each
// other's; none of it is said again, and the last word is one.
func TestBothWereTold(t *testing.T) {
	p := aPair(t)
	p.hangs(1)
	p.wait(2 * limits.After)
	p.moves(0, tcp.SynSent, tcp.Established, 0)
	p.moves(0, tcp.Established, tcp.FinWait1, 0)
	p.moves(0, tcp.FinWait1, tcp.FinWait2, 0)
	p.wait(2 * limits.After)
	p.unite()
	p.moves(0, tcp.FinWait2, tcp.FinWait2, 0)
	p.moves(1, tcp.CloseWait, tcp.CloseWait, 0)
	p.wait(2 * limits.After)
	p.moves(0, tcp.FinWait2, tcp.TimeWait, 0)
	p.moves(1, tcp.CloseWait, tcp.LastAck, 0)
	p.moves(1, tcp.LastAck, tcp.Close, 0)
	p.wait(time.Second)
	p.wants("#2 [] 0 close-wait-leak true", "#1 [] 0 fin-wait2-stuck true", "#1 [2] 2 close-wait-leak false")
}

// TestNumbersPart: two that were taken for one conversation are two after all: each has
// its own verdicts.
func TestNumbersPart(t *testing.T) {
	p := aPair(t)
	p.unite()
	p.moves(0, tcp.SynSent, tcp.Established, 0)
	p.hangs(1)
	p.wait(2 * limits.After)
	p.ends[0].Peer, p.ends[1].Peer, p.ends[0].Number = nil, nil, 3
	p.moves(0, tcp.Established, tcp.CloseWait, 0)
	p.wait(2 * limits.After)
	p.wants("#1 [] 0 close-wait-leak true", "#3 [] 0 close-wait-leak true")
}
