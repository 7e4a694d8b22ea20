package ordertest

import "tcpstory/internal/tcp"

// mark is what makes a packet this packet and no other.
type mark struct {
	seq, ack, payload uint32
	flags             tcp.Flags
	id                uint16
}

func (s *segment) mark() mark { return mark{s.seq, s.ack, s.payload, s.flags, s.id} }

// sightings checks that every packet was seen once where it left and once
// where it arrived; the two are one sighting on loopback.
func (c *Checker) sightings(r *Report) {
	byFlow := map[tcp.Flow][]place{}
	for at := range c.ends {
		byFlow[at.flow] = append(byFlow[at.flow], at)
	}
	for at, w := range c.ends {
		left := tally(w.out)
		for k, n := range left {
			if n != 1 && k.id != 0 {
				c.faults.add("%v: seen %d times as it left: %v", at, n, k)
			}
		}
		var arrived map[mark]int
		for _, far := range byFlow[at.flow.Reverse()] {
			arrived = tally(c.ends[far].in)
		}
		r.compare(left, arrived)
	}
}

func tally(list []segment) map[mark]int {
	n := make(map[mark]int, len(list))
	for _, s := range list {
		n[s.mark()]++
	}
	return n
}

func (r *Report) compare(left, arrived map[mark]int) {
	for k, n := range left {
		if got := arrived[k]; got < n {
			r.MissingIn += n - got
		}
	}
	for k, got := range arrived {
		if n := left[k]; n < got {
			r.MissingOut += got - n
		}
	}
}
