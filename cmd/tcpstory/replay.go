package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tcpstory/internal/conn"
	"tcpstory/internal/filter"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// replay is -r with a recording: its events go through the same core as when they
// happened, and show what was shown, or would have been.
func replay(ctx context.Context, e *env, o *options, in *bufio.Reader, begins func(),
	open func(*env, *options, tcp.LinkType) (*output, error)) error {
	reader, err := openRecording(in)
	if err != nil {
		return err
	}
	about := reader.About()
	if err := o.replay(&about); err != nil {
		return err
	}
	sel := &selection{all: true}
	if o.expr != "" {
		if sel, err = newSelection(o.expr, tcp.LinkEthernet, tcp.LinkRaw); err != nil {
			return err
		}
	}
	from := &replaySource{ctx: ctx, reader: reader, options: o, tags: saysVLAN.MatchString(o.expr)}
	if err := from.choose(o, sel); err != nil {
		return err
	}
	out, err := open(e, o, about.Link)
	if err != nil {
		return err
	}
	out.begins = begins
	filter, whose := recordedChoice(&about)
	whose = bothWhose(whose, o.whoseRecorded())
	from.needsStates = whose != nil
	s := newStory(o, bothFlows(filter, sel.could()), whose, out)
	err = errors.Join(s.follow(from), out.close())
	if quietly(err) {
		return nil
	}
	return errors.Join(err, from.harm(e, o.read))
}

// recordedEvents is a recording of either form.
type recordedEvents interface {
	About() record.About
	Next(*tcp.Event) error
	Damages() []record.Damage
	Newer() bool
}

func openRecording(in *bufio.Reader) (recordedEvents, error) {
	if record.IsJSON(in) {
		return record.NewJSONReader(in)
	}
	return record.NewReader(in)
}

// replay takes over what the recording was made with: without packets, or without
// the kernel's side, it is shown as it was.
func (o *options) replay(about *record.About) error {
	o.replays, o.from = true, about
	for a := about; a != nil; a = a.From {
		if a.NoStates && o.noPackets || a.NoPackets && o.noStates {
			return usageError{fmt.Errorf("%s was made with %s: there is nothing left to show", o.read, map[bool]string{true: "--no-states", false: "--no-packets"}[a.NoStates])}
		}
		o.noStates, o.noPackets = o.noStates || a.NoStates, o.noPackets || a.NoPackets
	}
	if whole := *o; whole.count == 0 {
		if whole.count = about.Count; !whole.chooses() { // what follows from its last event was not shown
			o.count = about.Count
		}
	}
	return nil
}

// recordedChoice is what the recording's command line chose, and those of the
// recordings that it was chosen from.
func recordedChoice(a *record.About) (filter func(tcp.Flow) bool, whose func(*conn.Conn) bool) {
	for ; a != nil; a = a.From {
		filter = bothFlows(recordedFilter(a.Expr), filter)
		byKernel := recordedWhose(a)
		if a.From != nil {
			byKernel = (&options{choice: choice{comms: a.Comms, cgroups: a.Cgroups, processes: a.PIDs}}).whoseRecorded()
		}
		whose = bothWhose(byKernel, whose)
	}
	return filter, whose
}

// recordedFilter is what the expression of the recording's command line lets
// through. Where it does not compile here (a host's name), the recording is what
// it has let through.
func recordedFilter(expr string) func(tcp.Flow) bool {
	if expr == "" {
		return nil
	}
	sel, err := newSelection(expr, tcp.LinkEthernet, tcp.LinkRaw)
	if err != nil {
		return nil
	}
	return sel.could()
}

// bothFlows is what two conditions let through; nil is none.
func bothFlows(a, b func(tcp.Flow) bool) func(tcp.Flow) bool {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(f tcp.Flow) bool { return a(f) && b(f) }
}

func bothWhose(a, b func(*conn.Conn) bool) func(*conn.Conn) bool {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(c *conn.Conn) bool { return a(c) && b(c) }
}

// recordedWhose repeats the choice of the recording's command line.
func recordedWhose(a *record.About) func(*conn.Conn) bool {
	o := options{choice: choice{comms: a.Comms, cgroups: a.Cgroups, processes: a.PIDs}}
	return o.whose()
}

// whoseRecorded is whose where cgroups are known by what they were called.
func (o *options) whoseRecorded() func(*conn.Conn) bool {
	byProcess := (&options{choice: choice{comms: o.comms, processes: o.processes}}).whose()
	if len(o.cgroups) == 0 {
		return byProcess
	}
	return bothWhose(byProcess, func(c *conn.Conn) bool {
		return c.Home != nil && slices.ContainsFunc(o.cgroups, func(path string) bool { return isBelow(c.Home.Path, path) })
	})
}

// isBelow reports whether a cgroup is the one of that path, or below it. Paths may
// be those of the mounted hierarchy.
func isBelow(cgroup, path string) bool {
	path = "/" + strings.Trim(strings.TrimPrefix(path, "/sys/fs/cgroup"), "/")
	return cgroup == path || path == "/" || strings.HasPrefix(cgroup, path+"/")
}

// replaySource gives the events of a recording that the command line selects.
type replaySource struct {
	ctx    context.Context
	reader recordedEvents
	*options
	needsStates bool            // to know whose the packets are
	ether, raw  *filter.Program // nil: as recorded
	tags        bool            // the expression looks at VLAN tags
	names       []string        // of namespaces that are asked for
	inodes      map[uint32]bool // theirs; nil: all
	plain       []byte          // a frame without its tags
}

// choose takes over what the command line asks for.
func (r *replaySource) choose(o *options, sel *selection) error {
	if len(sel.programs) > 0 {
		r.ether, r.raw = sel.programs[0], sel.programs[1]
	}
	for i, name := range o.comms {
		o.comms[i] = name[:min(len(name), commLen)]
	}
	if len(o.netns) == 0 {
		return nil
	}
	r.inodes = map[uint32]bool{}
	for _, name := range o.netns {
		if err := r.chooseNetns(name); err != nil {
			return err
		}
	}
	return nil
}

// mostPIDs is PID_MAX_LIMIT; inodes of namespaces are above (PROC_DYNAMIC_FIRST).
const mostPIDs = 1 << 22

// chooseNetns takes a namespace as it is called in a recording: by its inode number,
// or by its name, which may be written as ip-netns(8)'s path.
func (r *replaySource) chooseNetns(name string) error {
	n, err := strconv.ParseUint(name, 10, 32)
	switch {
	case err == nil && n <= mostPIDs, strings.HasPrefix(name, "/proc/"):
		return usageError{fmt.Errorf("--netns %s: a recording does not know in which namespace a process was: want the namespace's name, or its inode number (--json has both, netns_name and netns)", name)}
	case err == nil:
		r.inodes[uint32(n)] = true
	default:
		for _, dir := range [...]string{"/run/netns/", "/var/run/netns/"} {
			name = strings.TrimPrefix(name, dir)
		}
		r.names = append(r.names, name)
	}
	return nil
}

// Read implements source.
func (r *replaySource) Read(ev *tcp.Event) error {
	for {
		if r.ctx.Err() != nil {
			return io.EOF
		}
		if err := r.reader.Next(ev); err != nil {
			return err
		}
		if r.wants(ev) {
			ev.Decode()
			return nil
		}
	}
}

func (r *replaySource) wants(ev *tcp.Event) bool {
	switch ev.Kind {
	case tcp.KindNone, tcp.KindGap:
		return true
	case tcp.KindKnown:
		return r.inodes == nil || ev.Netns == 0 || r.inodes[ev.Netns]
	case tcp.KindPlace:
		if r.inodes != nil && ev.Netns != 0 && ev.Place != nil && slices.Contains(r.names, ev.Place.Name) {
			r.inodes[ev.Netns] = true
		}
		return true
	}
	switch {
	case r.inodes != nil && !r.inodes[ev.Netns]:
		return false
	case ev.Kind == tcp.KindPacket:
		return !r.noPackets && r.goesRight(&ev.Packet) && r.asksFor(&ev.Packet)
	}
	return !r.noStates || r.needsStates
}

// goesRight is -Q. On loopback a packet goes both ways.
func (r *replaySource) goesRight(p *tcp.Packet) bool {
	dir := directions[r.direction]
	return p.Loopback || !(dir.noIn && p.Dir != tcp.DirOut) && !(dir.noOut && p.Dir == tcp.DirOut)
}

// asksFor applies the expression to a packet that the recording has: what was not
// asked for then cannot be now. ICMP errors stay for what they quote.
func (r *replaySource) asksFor(p *tcp.Packet) bool {
	if r.ether != nil && p.Asked {
		p.Asked = r.matches(p)
	}
	if p.Asked {
		return true
	}
	if !r.quotes() {
		return false
	}
	p.Decode()
	return p.IsQuote
}

// matches runs the expression as the kernel side would: without VLAN tags, unless
// it speaks of them.
func (r *replaySource) matches(p *tcp.Packet) bool {
	if p.Link == tcp.LinkRaw {
		return r.raw.Match(p.Frame, p.Length)
	}
	frame, length := p.Frame, p.Length
	if !r.tags {
		frame = r.untagged(frame)
		length -= uint32(len(p.Frame) - len(frame))
	}
	return r.ether.Match(frame, length)
}

// untagged is an Ethernet frame without its outer VLAN tag.
func (r *replaySource) untagged(frame []byte) []byte {
	const addresses, tag = 12, 4
	if len(frame) < addresses+tag {
		return frame
	}
	switch kind := uint16(frame[addresses])<<8 | uint16(frame[addresses+1]); kind {
	case 0x8100, 0x88a8:
		r.plain = append(append(r.plain[:0], frame[:addresses]...), frame[addresses+tag:]...)
		return r.plain
	}
	return frame
}

// Wait implements source: a file never makes one wait.
func (r *replaySource) Wait() error { return nil }

// FindOwners implements source: those that were found are in the recording.
func (r *replaySource) FindOwners(func(uint64) bool) error { return nil }

// MayFindOwners implements source.
func (r *replaySource) MayFindOwners() bool { return false }

// harm says what of the file could not be read: an error, behind all that could.
func (r *replaySource) harm(e *env, path string) error {
	if r.reader.Newer() {
		e.say("%s was written by a later version: what that has added is not shown", path)
	}
	damages := r.reader.Damages()
	if len(damages) == 0 {
		return nil
	}
	for _, d := range damages[:len(damages)-1] {
		e.say("%s: %v", path, d)
	}
	return fmt.Errorf("read recording %s: %v", path, damages[len(damages)-1])
}
