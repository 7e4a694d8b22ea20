package record

import "tcpstory/internal/tcp"

// About is what a file says of itself in its section header.
type About struct {
	Program  string // and its version
	OS       string
	Hardware string
	Link     tcp.LinkType // what its packets have in common: kernel.Source.Link

	// What was asked for, as it was asked for.
	Expr    string
	PIDs    []uint32
	Comms   []string
	Cgroups []string

	NoStates  bool   // the packets only
	NoPackets bool   // the kernel's side only
	Count     int    // end after so many packets, or with NoPackets events; 0: never
	From      *About // it is a choice from a recording, of which this is said; nil: from the kernel, or a capture file
}

// Tags of what the section header says of the choice; these are not an event's.
const (
	tagExpr tag = 1 + iota
	tagOnlyPID
	tagOnlyComm
	tagOnlyCgroup
	tagNoStates
	tagNoPackets
	tagOnlyCount
)

func (a *About) appendChoice(b []byte) []byte {
	b = appendBytes(b, tagExpr, a.Expr)
	for _, pid := range a.PIDs {
		b = appendNumber(b, tagOnlyPID, uint64(pid))
	}
	for _, comm := range a.Comms {
		b = appendBytes(b, tagOnlyComm, comm)
	}
	for _, path := range a.Cgroups {
		b = appendBytes(b, tagOnlyCgroup, path)
	}
	if a.NoStates {
		b = appendNumber(b, tagNoStates, 1)
	}
	if a.NoPackets {
		b = appendNumber(b, tagNoPackets, 1)
	}
	if a.Count > 0 {
		b = appendNumber(b, tagOnlyCount, uint64(a.Count))
	}
	return b
}

func (a *About) takeChoice(row []byte) {
	for {
		m, rest, ok, err := cut(row)
		if !ok || err != nil {
			return
		}
		switch m.tag {
		case tagExpr:
			a.Expr = string(m.bytes)
		case tagOnlyPID:
			a.PIDs = append(a.PIDs, uint32(m.num))
		case tagOnlyComm:
			a.Comms = append(a.Comms, string(m.bytes))
		case tagOnlyCgroup:
			a.Cgroups = append(a.Cgroups, string(m.bytes))
		case tagNoStates:
			a.NoStates = m.num != 0
		case tagNoPackets:
			a.NoPackets = m.num != 0
		case tagOnlyCount:
			a.Count = int(m.num)
		}
		row = rest
	}
}

// encoder makes blocks of events. What it appends for one event is a unit: it can
// be kept, dropped or written later, as long as a preamble that knows its device
// is written before. It does not allocate once it knows all devices.
type encoder struct {
	about   About
	rows    Rows
	devices []deviceKey
	index   map[deviceKey]uint32
	last    deviceKey
	lastID  uint32
	spelt   [1 << 6]spelt
}

// deviceKey is a device: names are only unique within a namespace.
type deviceKey struct {
	netns, ifindex uint32
	name           string
}

// mostDevices bounds the interface blocks; packets of further devices are of the
// first interface, which stands for none, and say themselves where they were seen.
const mostDevices = 1 << 14

func newEncoder(about About, rows Rows) *encoder {
	e := &encoder{about: about, rows: rows, devices: []deviceKey{{}}, index: map[deviceKey]uint32{{}: 0}}
	if rows == RowsPDU {
		e.devices = append(e.devices, deviceKey{name: "kernel"}) // pduInterface
	}
	return e
}

// preamble appends what a file begins with: the section header, and an interface
// block for every device known so far.
func (e *encoder) preamble(b []byte) []byte {
	start := len(b)
	b = openBlock(b, blockSection)
	b = le.AppendUint32(b, byteOrderMagic)
	b = le.AppendUint16(le.AppendUint16(b, 1), 0)
	b = le.AppendUint64(b, 1<<64-1) // section length: not known
	for _, o := range [...]struct {
		code uint16
		text string
	}{{optHardware, e.about.Hardware}, {optOS, e.about.OS}, {optProgram, e.about.Program}} {
		if o.text != "" {
			b = appendOption(b, o.code, o.text)
		}
	}
	own := len(b)
	b = append(append(openOption(b, optOwn), mark...), version, byte(e.about.Link), byte(e.about.Link>>8))
	b = closeOption(e.about.appendChoice(b), own)
	b = closeBlock(le.AppendUint32(b, optEnd), start)
	for id := range e.devices {
		b = e.interfaceBlock(b, uint32(id))
	}
	return b
}

// nanoseconds is if_tsresol: negative powers of ten.
const nanoseconds = "\x09"

// interfaceBlock appends what describes a device. All are said to be Ethernet,
// with the same longest packet, since libpcap refuses files that mix (but for
// RowsPDU's one).
func (e *encoder) interfaceBlock(b []byte, id uint32) []byte {
	start := len(b)
	d := e.devices[id]
	b = openBlock(b, blockInterface)
	link := tcp.LinkEthernet
	if e.rows == RowsPDU && id == pduInterface {
		link = linkPDU
	}
	b = le.AppendUint16(le.AppendUint16(b, uint16(link)), 0)
	b = le.AppendUint32(b, maxFrame)
	name := d.name
	if name == "" {
		name = mark
	}
	b = appendOption(b, optName, name)
	b = appendOption(b, optTimeUnit, nanoseconds)
	own := len(b)
	b = openOption(b, optOwn)
	b = append(b, mark...)
	b = le.AppendUint32(b, id)
	ev := tcp.Event{Netns: d.netns}
	ev.Packet.Ifindex, ev.Packet.Device = d.ifindex, d.name
	b = closeOption(appendFields(b, device, &ev), own)
	return closeBlock(le.AppendUint32(b, optEnd), start)
}

// device returns the number of ev's interface block, which it appends to b if the
// device is new.
func (e *encoder) device(b []byte, ev *tcp.Event) ([]byte, uint32) {
	key := deviceKey{ev.Netns, ev.Packet.Ifindex, ev.Packet.Device}
	if key == e.last {
		return b, e.lastID
	}
	id, known := e.index[key]
	if !known {
		if len(e.devices) >= mostDevices {
			return b, 0
		}
		id = uint32(len(e.devices))
		e.devices = append(e.devices, key)
		e.index[key] = id
		b = e.interfaceBlock(b, id)
	}
	e.last, e.lastID = key, id
	return b, id
}

// event appends the block of a kernel event, or of a packet that is not to be seen.
func (e *encoder) event(b []byte, ev *tcp.Event) []byte {
	start := len(b)
	b = append(openBlock(b, blockEvent), mark...)
	return closeBlock(appendRow(b, ev), start)
}

const etherLen = 14

// openPacket appends a packet's block up to where comments may follow. A frame
// that is not Ethernet gets a header of zeros; its own goes into our option.
func (e *encoder) openPacket(b []byte, ev *tcp.Event, id uint32) []byte {
	p := &ev.Packet
	b = openBlock(b, blockEnhanced)
	b = appendTime(le.AppendUint32(b, id), ev.Time)
	frame, length := p.Frame[:min(len(p.Frame), maxFrame-etherLen)], max(p.Length, uint32(len(p.Frame)))
	head := 0
	if p.Link != tcp.LinkEthernet {
		head = linkHeaderLen(p)
		length += etherLen - uint32(head)
	}
	sizes := len(b)
	b = le.AppendUint32(le.AppendUint32(b, 0), length)
	data := len(b)
	if p.Link != tcp.LinkEthernet {
		b = append(b, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
		b = append(b, byte(p.EtherType>>8), byte(p.EtherType))
	}
	b = append(b, frame[head:]...)
	le.PutUint32(b[sizes:], uint32(len(b)-data))
	b = pad(b, data)
	b = le.AppendUint32(le.AppendUint16(le.AppendUint16(b, optFlags), 4), packetFlags(p.Dir))
	own := len(b)
	b = openOption(b, optOwn)
	b = append(b, mark...)
	b = appendUnblocked(b, ev)
	if id == 0 {
		b = appendFields(b, device, ev)
	}
	if p.Link != tcp.LinkEthernet {
		b = appendNumber(b, tagLink, uint64(p.Link))
		b = appendBytes(b, tagHead, frame[:head])
	}
	return closeOption(b, own)
}

// closePacket ends a packet's block.
func closePacket(b []byte, start int) []byte {
	return closeBlock(le.AppendUint32(b, optEnd), start)
}

// linkHeaderLen is how much of a frame stands before its network header.
func linkHeaderLen(p *tcp.Packet) int {
	if p.IPOffset > 0 || p.Link == tcp.LinkRaw {
		return p.IPOffset
	}
	if c, ok := p.Cook(); ok {
		return c.Payload
	}
	return 0
}

// directions are epb_flags: how the device saw the packet.
var directions = [...]uint32{tcp.DirIn: 1 | 1<<2, tcp.DirOut: 2, tcp.DirMulticast: 1 | 2<<2, tcp.DirBroadcast: 1 | 3<<2, tcp.DirOther: 1 | 4<<2}

func packetFlags(d tcp.Direction) uint32 {
	if int(d) < len(directions) {
		return directions[d]
	}
	return 0
}

// pause appends that time passed until now before anything else happened.
func (e *encoder) pause(b []byte, now int64) []byte {
	return e.event(b, &tcp.Event{Time: now})
}

// stats appends what a file ends with: from when to when, how many packets, and
// how many events were lost.
func (e *encoder) stats(b []byte, from, to int64, packets, lost uint64) []byte {
	start := len(b)
	b = openBlock(b, blockStats)
	b = appendTime(le.AppendUint32(b, 0), to)
	for _, o := range [...]struct {
		code uint16
		at   int64
	}{{optStart, from}, {optStop, to}} {
		b = appendTime(le.AppendUint16(le.AppendUint16(b, o.code), 8), o.at)
	}
	for _, o := range [...]struct {
		code uint16
		n    uint64
	}{{optReceived, packets}, {optLost, lost}} {
		b = le.AppendUint64(le.AppendUint16(le.AppendUint16(b, o.code), 8), o.n)
	}
	return closeBlock(le.AppendUint32(b, optEnd), start)
}
