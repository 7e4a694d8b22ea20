package diagnose

import (
	"fmt"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// stuck are the rules about connections that are slow, or stand.
var stuck = []Rule{
	{
		Name: "slow-application", Family: Stuck, Place: Application, find: slowApplication, course: slowness,
		Says: "the request was acknowledged by the server's kernel, and the server's program answered late, or has not yet",
		Next: "what the server's process waits for: its log, strace -p, its database; ss -tnp shows what lies unread",
		Limits: func(l *Limits) []Limit {
			return []Limit{lasting("from the request's last byte to the answer's first (--slow)", l.Slow),
				{"no request while it waits", fmt.Sprintf("up to %d bytes at once behind an answer (HTTP/2's control frames)", l.Aside)},
				{"while it waits, of a server", "that has answered another request, or spoken first, or whose program has not read the request"},
				lasting("since events were lost that an answer may be among", inDoubt*l.Slow)}
		},
	},
	{
		Name: "own-zero-window", Family: Stuck, Place: Application, find: ownZeroWindow, course: ownClosures, Limits: afterLimit("window closed for"),
		Says: "this end's program does not read: its buffer is full, and its kernel lets the other end send nothing",
		Next: "what the process does instead of reading: strace -p, a thread dump; ss -tnm shows the buffer",
	},
	{
		Name: "peer-zero-window", Family: Stuck, Place: Application, find: peerZeroWindow, course: peerClosures, Limits: afterLimit("window closed, and probed, for"),
		Says: "the other end's program does not read: its kernel lets this end send nothing",
		Next: "the process at the other end",
	},
	{
		Name: "nagle-delayed-ack", Family: Stuck, Place: Application, find: nagle, course: stalling,
		Says: "small writes wait for the acknowledgement of the one before (Nagle), which the receiver delays",
		Next: "write each request by one system call, or set TCP_NODELAY in the client",
		Limits: func(l *Limits) []Limit {
			return []Limit{count("small segments that waited so, on one connection", l.Stalls),
				{"each for", seconds(l.StallMin) + " to " + seconds(l.StallMax) + ", longer than the way takes"}}
		},
	},
	{
		Name: "mtu-black-hole", Family: Stuck, Place: OnTheWay, find: blackHole, course: losing,
		Says: "large segments die on the way without a word, small ones pass",
		Next: "ip link on the way (tunnels, VPN): MTU; is ICMP fragmentation-needed filtered? net.ipv4.tcp_mtu_probing=1, or clamp the MSS",
		Limits: func(l *Limits) []Limit {
			return []Limit{count("time-outs of one segment in a row", l.HoleTimeouts), {"its payload", fmt.Sprintf("%d bytes or more, and more than any that was acknowledged", l.Large)}}
		},
	},
	{
		Name: "loss", Family: Stuck, Place: OnTheWay, find: loss, course: losing,
		Says: "segments are lost on the way and sent again at once (fast retransmission)",
		Next: "the path: mtr --tcp, ethtool -S (drops, CRC errors) along it; a shaper that is too small",
		Limits: func(l *Limits) []Limit {
			return []Limit{count("fast retransmissions with no longer pause than "+seconds(l.Spell), l.Fast), {"of the segments sent", share(l.LossShare)}}
		},
	},
	{
		Name: "loss-timeouts", Family: Stuck, Place: OnTheWay, find: lossTimeouts, course: losing,
		Says: "a segment was lost again and again: each time-out takes twice as long as the one before",
		Next: "the path: does it pass anything at all (mtr --tcp)? the same trace at the other end",
		Limits: func(l *Limits) []Limit {
			return []Limit{count("time-outs in a row", l.Timeouts)}
		},
	},
	{
		Name: "tail-loss", Family: Stuck, Place: OnTheWay, find: tailLoss, course: losing,
		Says: "the last segment of what was said was lost: no later one could tell, so a probe had to",
		Next: "the path, as for loss",
		Limits: func(l *Limits) []Limit {
			return []Limit{count("probes that the other end does not call needless (DSACK), with no longer pause than "+seconds(l.Spell), l.Probes),
				{"of the segments sent", share(l.LossShare)}}
		},
	},
	{
		Name: "dropped-locally", Family: Stuck, Place: AfterWire, find: droppedLocally, course: dropping,
		Says: "segments of an open connection arrived at this host's device, and this host threw them away",
		Next: "nft list ruleset (hook prerouting, input); the kernel's reason says which",
		Limits: func(l *Limits) []Limit {
			return []Limit{count("segments", l.Timeouts)}
		},
	},
	{
		Name: "unacceptable-segments", Family: Stuck, Place: AfterWire, find: unacceptable, course: refusing,
		Says: "segments of an open connection arrived, and the socket did not take them: their numbers or timestamps are not those of its present",
		Next: "what on the way rewrites sequence numbers or timestamps (a firewall, a load balancer, NAT of several hosts)? nstat -az TcpExtPAWSEstab; told from kernel 6.11 on",
		Limits: func(l *Limits) []Limit {
			return []Limit{count("segments with data that is still lacking", l.Timeouts)}
		},
	},
}

func slowApplication(x *exam) (f Finding, ok bool) {
	r := x.r
	if r.Role != conn.RoleClient && r.Role != conn.RoleServer {
		return f, false
	}
	if f, ok := unansweredRequest(x); ok {
		return f, ok
	}
	if r.slow == 0 {
		return f, false
	}
	its := "the other end's"
	if r.Role == conn.RoleServer {
		its = "this end's"
	}
	f.Certainty, f.cites = Sure, of(Left, Arrived)
	w := r.waited
	if w.aside {
		f.Certainty = Probably
	}
	f.Text = fmt.Sprintf("a request was acknowledged%s and answered after %s by %s program", x.ackTime(w.from, w.acked), seconds(time.Duration(w.to-w.due)), its)
	if r.slow > 1 {
		f.Text = fmt.Sprintf("%d requests were answered late; the slowest was acknowledged%s and answered after %s by %s program", r.slow, x.ackTime(w.from, w.acked), seconds(time.Duration(w.to-w.due)), its)
	}
	return f.number("answers", r.slow), true
}

// ackTime says after how long a request was acknowledged, where that is known.
func (x *exam) ackTime(from, acked int64) string {
	if acked < from {
		return ""
	}
	return " after " + seconds(time.Duration(acked-from))
}

// open: neither end has closed the connection.
func (r *record) open() bool { return r.State == tcp.Established }

// asks: the connection is in a state in which an answer can come.
func (r *record) asks() bool {
	switch r.State {
	case tcp.Established, tcp.FinWait1, tcp.FinWait2, tcp.CloseWait:
		return true
	}
	return false
}

func ownZeroWindow(x *exam) (Finding, bool) {
	return zeroWindow(x, &x.r.in, &x.r.in.closed, "this end's program has not read for %s: its window is closed", 0)
}

func peerZeroWindow(x *exam) (Finding, bool) {
	return zeroWindow(x, &x.r.out, &x.r.out.closed, "the other end's program has not read for %s: its window is closed, and data waits here", 1)
}

// zeroWindow judges a direction that its receiver stops. Without probes nothing
// waits to be sent, and a closed window harms nobody.
func zeroWindow(x *exam, s *stream, past *closure, text string, probes uint32) (f Finding, ok bool) {
	f = Finding{Certainty: Sure, cites: of(Left, Arrived)}
	if s.zero != 0 && !s.unsure && !x.over && s.probes >= probes && x.lasts(s.zero) {
		f.Standing, f.since = true, s.zero
		f.Text = fmt.Sprintf(text, seconds(time.Duration(x.now-s.zero)))
		if s.probes > 0 {
			f.Text += fmt.Sprintf("; %s", plural(s.probes, "probe"))
		}
		return f.number("probes", s.probes), true
	}
	if past.lasted < int64(x.lim.After) || past.probes < probes {
		return f, false
	}
	f.Text = fmt.Sprintf(text, seconds(time.Duration(past.lasted)))
	return f.number("probes", past.probes), true
}

func nagle(x *exam) (f Finding, ok bool) {
	s := &x.r.stalls
	if s.count < x.lim.Stalls {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: !x.over, cites: of(Left, Arrived), Text: fmt.Sprintf(
		"%d small segments waited %s each, %s in all, until the one before was acknowledged", s.count,
		seconds(time.Duration(s.sum/int64(s.count))), seconds(time.Duration(s.sum)))}
	return f.number("stalls", s.count), true
}

func blackHole(x *exam) (f Finding, ok bool) {
	w := &x.r.saw
	if w.worst < x.lim.HoleTimeouts || w.deadLen < x.lim.Large || w.deadLen <= x.r.out.largest || x.recoveredAtAll() {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: !x.over, Place: x.lossPlace(), cites: of(Left, Arrived, Resent, Complained, Failed, DroppedOut, DroppedIn),
		Text: fmt.Sprintf("a segment of %d bytes was sent %d times in %s and never acknowledged, of %d bytes at most some were", w.deadLen, w.worst+1, x.since(w.rowFrom), x.r.out.largest)}
	if w.deadAcks == 0 {
		f.Certainty = Probably // nothing small is known to have passed meanwhile
	}
	return f.number("timeouts", w.worst), true
}

// recoveredAtAll: the segment that timed out last was acknowledged.
func (x *exam) recoveredAtAll() bool {
	return x.r.out.known && int32(x.r.out.acked-x.r.saw.deadSeq) > 0
}

func loss(x *exam) (f Finding, ok bool) {
	w := &x.r.saw
	fast := w.fast
	if fast < x.lim.Fast || w.worstSpell < x.lim.Fast || x.few(fast) || fast <= w.needless {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: !x.over, Place: x.lossPlace(), cites: of(Resent, DroppedOut, DroppedIn),
		Text: fmt.Sprintf("%d segments were sent again by fast retransmission in %s", fast, seconds(time.Duration(w.lossTo-w.lossFrom)))}
	if n := w.sent - w.sentFrom; n > 0 {
		f.Text += fmt.Sprintf(", of %d sent", n)
	}
	return f.number("retransmits", fast), true
}

// few: of what was sent, so many are too small a part.
func (x *exam) few(n uint32) bool {
	w := &x.r.saw
	return uint64(n)*1000 < uint64(w.sent-w.sentFrom)*uint64(x.lim.LossShare)
}

// share is a part in a thousand, as people read it.
func share(n uint32) string { return fmt.Sprintf("%.1f %%", float64(n)/10) }

func lossTimeouts(x *exam) (f Finding, ok bool) {
	w := &x.r.saw
	if w.worst < x.lim.Timeouts || x.unborn() {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: w.row > 0 && !x.over, Place: x.lossPlace(), cites: of(Resent, DroppedOut, DroppedIn, Complained),
		Text: fmt.Sprintf("%d time-outs in a row, %d in all: a segment of %d bytes was sent again and again", w.worst, w.rto, w.deadLen)}
	return f.number("timeouts", w.rto), true
}

// unborn: the other end is here, and is no connection: why not is what counts.
func (x *exam) unborn() bool {
	p := x.r.peer
	return p != nil && !p.born && p.saw.synIn > 0 && !x.over
}

func tailLoss(x *exam) (f Finding, ok bool) {
	w := &x.r.saw
	if w.probed < w.needless+x.lim.Probes || w.worstSpell < x.lim.Probes || x.few(w.probed-w.needless) {
		return f, false
	}
	f = Finding{Certainty: Sure, Place: x.lossPlace(), cites: of(Resent, DroppedOut, DroppedIn),
		Text: fmt.Sprintf("%s for a last segment that was lost", plural(w.probed-w.needless, "tail loss probe")), Standing: !x.over}
	return f.number("probes", w.probed-w.needless), true
}

func droppedLocally(x *exam) (f Finding, ok bool) {
	r := x.r
	if !r.born || r.State == tcp.SynSent || r.from == tcp.SynSent {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: !x.over, cites: of(DroppedIn, Arrived)}
	n, why := x.droppedIn(func(w dropWord) bool { return w.host })
	if n < x.lim.Timeouts {
		n, why, f.Certainty = r.saw.unexplained, "", Probably // told without
	}
	if n < x.lim.Timeouts {
		return f, false
	}
	f.Next = dropWords[why].next
	f.Text = fmt.Sprintf("%s of an open connection arrived and this host threw them away (%s)", plural(n, "segment"), reason(why))
	return f.number("segments", n), true
}

func unacceptable(x *exam) (f Finding, ok bool) {
	n := x.r.saw.untaken
	if n < x.lim.Timeouts {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: !x.over, cites: of(DroppedIn, Arrived), Text: fmt.Sprintf(
		"%s with data that this end's program lacks arrived, and its socket did not take them (%s)", plural(n, "segment"), reason(x.r.saw.untakenWhy))}
	return f.number("segments", n), true
}

// lossPlace says where segments of this end go lost.
func (x *exam) lossPlace() Place {
	is := func(which Sight) func(*Clue) bool {
		return func(c *Clue) bool { return c.Sight == which && c.Flags&tcp.SYN == 0 }
	}
	switch {
	case x.clue(is(DroppedOut)) != nil:
		return BeforeWire
	case x.clue(is(DroppedIn)) != nil: // the acknowledgements
		return AfterWire
	case x.r.peer != nil && (&exam{r: x.r.peer}).clue(is(DroppedIn)) != nil:
		return AfterWire
	}
	return OnTheWay
}

func (x *exam) since(from int64) string { return seconds(time.Duration(x.until() - from)) }
