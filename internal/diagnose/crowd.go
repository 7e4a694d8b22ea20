package diagnose

import (
	"fmt"
	"net/netip"
	"time"

	"tcpstory/internal/conn"
)

// Crowd is how many verdicts were like others that were told just before. Who reads
// lines has no use for each of them: a client that is refused 650 times a second, a
// port scan, a flood of SYNs. It is valid during the call.
type Crowd struct {
	Time  int64         // of the moment that it speaks of, ns since 1970
	For   time.Duration // so long they were counted
	Rule  *Rule
	Place Place
	Alike Alike
	N     uint32 // connections, each counted in one crowd, once
	Last  *End   // the last of them
}

// Alike says what the connections of a Crowd have in common besides rule, place, role,
// network namespace and the process's name.
type Alike uint8

// The degrees of likeness, the closest first.
const (
	SameServer Alike = iota // the server's address and port
	SameHost                // the other end's address
	SameProcess
	degrees
)

// mostCrowds bounds how many likenesses are known at a time; of more, each verdict is
// told.
const mostCrowds = 1 << 12

// CrowdLimits are the numbers that part what is told from what is counted.
func (l *Limits) CrowdLimits() []Limit {
	per := seconds(l.AlikeFor)
	return []Limit{
		{"verdicts told one by one", fmt.Sprintf("%d in %s about one server's address and port", l.Alike[SameServer], per)},
		{"and", fmt.Sprintf("%d in %s about one address at the other end", l.Alike[SameHost], per)},
		{"and", fmt.Sprintf("%d in %s about one process", l.Alike[SameProcess], per)},
	}
}

// likeness is what verdicts have in common.
type likeness struct {
	rule   int
	place  Place
	degree Alike
	role   conn.Role
	netns  uint32
	at     netip.AddrPort
	comm   [16]byte
}

// crowd counts verdicts of a kind, for some time.
type crowd struct {
	likeness
	begun int64
	told  uint32 // one by one
	more  uint32
	last  End
}

// crowds are those that are counted now.
type crowds struct {
	tell   func(*Crowd) error // nil: every verdict is told
	limits [degrees]uint32    // Limits.Alike
	by     map[likeness]*crowd
	queue  []*crowd // the one that is over first, first
}

// likenessOf is f's of a degree.
func likenessOf(f *Finding, degree Alike) likeness {
	n := &f.of.End
	k := likeness{rule: f.Rule.order, place: f.Place, degree: degree, role: n.Role, netns: n.Netns}
	copy(k.comm[:], n.Task.Name())
	switch degree {
	case SameServer:
		k.at = f.of.server()
	case SameHost:
		k.at = netip.AddrPortFrom(n.Flow.Remote.Addr(), 0)
	}
	return k
}

// full is the crowd of f's like, the closest first, of which enough were told; nil:
// there is none.
func (c *crowds) full(f *Finding) *crowd {
	for degree := range degrees {
		if g := c.by[likenessOf(f, degree)]; g != nil && g.told >= c.limits[degree] {
			return g
		}
	}
	return nil
}

// count is for a connection of which no more is told.
func (g *crowd) count(f *Finding) {
	g.more++
	g.last = f.of.End
}

// admit is for one that is told: the next of its like may be only counted. What has no
// process is not alike by that.
func (c *crowds) admit(f *Finding, now int64) {
	for degree := range degrees {
		k := likenessOf(f, degree)
		if degree == SameProcess && k.comm == [16]byte{} {
			continue
		}
		g := c.by[k]
		if g == nil {
			if len(c.by) >= mostCrowds {
				continue
			}
			g = &crowd{likeness: k, begun: now}
			c.by[k] = g
			c.queue = append(c.queue, g)
		}
		g.told++
	}
}

// disperse tells of the crowds whose time is over. One that has come to more than may
// be told one by one goes on to be counted; of another the next is told again.
func (e *Engine) disperse(now int64) {
	c := &e.crowds
	for len(c.queue) > 0 && e.err == nil {
		g := c.queue[0]
		over := g.begun + int64(e.lim.AlikeFor)
		if over > now {
			return
		}
		c.queue = c.queue[1:]
		goesOn := g.more > e.lim.Alike[g.degree]
		e.tellCrowd(g, over)
		if !goesOn {
			delete(c.by, g.likeness)
			continue
		}
		g.begun, g.more = over, 0
		c.queue = append(c.queue, g)
	}
}

// tellCrowd tells of one that has been counted until some time.
func (e *Engine) tellCrowd(g *crowd, until int64) {
	if g.more == 0 || e.err != nil {
		return
	}
	e.err = e.crowds.tell(&Crowd{
		Time: until, For: time.Duration(until - g.begun), Rule: &Rules[g.rule], Place: g.place, Alike: g.degree, N: g.more, Last: &g.last,
	})
}

// endCrowds tells of what was counted until the last verdict's time.
func (e *Engine) endCrowds(last int64) {
	e.disperse(e.now)
	for _, g := range e.crowds.queue {
		e.tellCrowd(g, max(last, g.begun))
	}
	e.crowds.queue = nil
	clear(e.crowds.by)
}
