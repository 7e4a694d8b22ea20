package record

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"tcpstory/internal/tcp"
)

// Rows is how kernel events are shown to programs that do not know our blocks.
type Rows uint8

const (
	// RowsJournal are systemd journal entries: Wireshark shows them, libpcap passes
	// over them, so that everything reads the file. Their times are cut to microseconds.
	RowsJournal Rows = iota
	// RowsPDU are packets of the link type of Wireshark's exported PDUs, with
	// addresses as ip.addr and times in nanoseconds. libpcap refuses the file.
	RowsPDU
	// RowsNone leaves them out: half the size.
	RowsNone
)

// Note is what is said of an event in words, and which end of which connection it
// is about.
type Note struct {
	Line     []byte    // a row of its own, in printable ASCII; nil: none
	Fact     []byte    // the same without addresses: the comment on the packet that it goes with; nil: none
	Flow     tcp.Flow  // as that end's socket sees it
	Task     *tcp.Task // whose socket it is; nil: not known
	Outgoing bool      // packets: that end sent it
	Hidden   bool      // packets: not meant, and only there because later events stand on it: no row
	Derived  bool      // no event of the stream, but what follows from it: only the row is written
}

// appendRowBlock appends the row of a kernel event.
func (e *encoder) appendRowBlock(b []byte, ev *tcp.Event, n *Note) []byte {
	switch e.rows {
	case RowsPDU:
		return appendPDU(b, ev, n)
	case RowsJournal:
		return e.appendJournal(b, ev, n)
	}
	return b
}

// appendJournal appends an entry in systemd's Journal Export Format: a line a
// field, and an empty one.
func (e *encoder) appendJournal(b []byte, ev *tcp.Event, n *Note) []byte {
	start := len(b)
	b = openBlock(b, blockJournal)
	b = append(b, "__REALTIME_TIMESTAMP="...)
	b = strconv.AppendInt(b, ev.Time/1000, 10)
	b = append(append(b, "\nMESSAGE="...), n.Line...)
	b = append(b, "\nPRIORITY=6\nSYSLOG_IDENTIFIER=tcpstory\n"...)
	if n.Task != nil {
		b = append(strconv.AppendUint(append(b, "_PID="...), uint64(n.Task.PID), 10), "\n_COMM="...)
		b = append(appendPrintable(b, n.Task.Name()), '\n')
	}
	b = append(append(append(b, "TCP_KIND="...), ev.Kind.String()...), '\n')
	if ev.Kind == tcp.KindState {
		b = append(append(b, "TCP_OLD_STATE="...), ev.Old.String()...)
		b = append(append(append(b, "\nTCP_NEW_STATE="...), ev.New.String()...), '\n')
	}
	return closeBlock(append(append(b, e.journalEnds(&n.Flow)...), '\n'), start)
}

// spelt is how an entry tells the ends of a connection, one whose events came lately.
type spelt struct {
	flow tcp.Flow
	text []byte
}

// journalEnds are the fields of both ends, made once for the events of a connection.
func (e *encoder) journalEnds(f *tcp.Flow) []byte {
	s := &e.spelt[(2*f.Local.Port()+f.Remote.Port())%uint16(len(e.spelt))]
	if s.flow != *f {
		s.text = appendJournalEnd(s.text[:0], "TCP_LOCAL_ADDR=", "TCP_LOCAL_PORT=", f.Local)
		s.text = appendJournalEnd(s.text, "TCP_REMOTE_ADDR=", "TCP_REMOTE_PORT=", f.Remote)
		s.flow = *f
	}
	return s.text
}

// appendJournalEnd appends what is known of an end, under its fields' names.
func appendJournalEnd(b []byte, addr, port string, end netip.AddrPort) []byte {
	if a := end.Addr(); a.IsValid() {
		b = append(a.AppendTo(append(b, addr...)), '\n')
	}
	if p := end.Port(); p != 0 {
		b = append(strconv.AppendUint(append(b, port...), uint64(p), 10), '\n')
	}
	return b
}

// appendPrintable appends untrusted text with a '?' for all that is not printable
// ASCII.
func appendPrintable(b, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c > '~' {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

// The link type of exported PDUs, LINKTYPE_WIRESHARK_UPPER_PDU, and which
// interface has it.
const (
	linkPDU      = 252
	pduInterface = 1
)

// Tags of Wireshark's exported_pdu_tlvs.h, big-endian like their values.
const (
	pduEnd        = 0
	pduDissector  = 12
	pduSourceIPv4 = 20
	pduTargetIPv4 = 21
	pduSourceIPv6 = 22
	pduTargetIPv6 = 23
	pduPortType   = 24
	pduSourcePort = 25
	pduTargetPort = 26
	pduProtocol   = 33

	pduTCP = 2
)

// appendPDU appends the row as a packet that Wireshark's syslog dissector reads,
// which shows a line of text as it is.
func appendPDU(b []byte, ev *tcp.Event, n *Note) []byte {
	start := len(b)
	b = openBlock(b, blockEnhanced)
	b = appendTime(le.AppendUint32(b, pduInterface), ev.Time)
	sizes := len(b)
	b = le.AppendUint64(b, 0)
	data := len(b)
	b = appendPDUText(appendPDUText(b, pduDissector, "syslog"), pduProtocol, "kernel")
	b = appendPDUAddr(b, pduSourceIPv4, pduSourceIPv6, n.Flow.Local.Addr())
	b = appendPDUAddr(b, pduTargetIPv4, pduTargetIPv6, n.Flow.Remote.Addr())
	b = appendPDUNumber(b, pduPortType, pduTCP)
	b = appendPDUNumber(b, pduSourcePort, uint32(n.Flow.Local.Port()))
	b = appendPDUNumber(b, pduTargetPort, uint32(n.Flow.Remote.Port()))
	b = append(append(b, 0, pduEnd, 0, 0), n.Line...)
	size := uint32(len(b) - data)
	le.PutUint32(b[sizes:], size)
	le.PutUint32(b[sizes+4:], size)
	return closePacket(pad(b, data), start)
}

func appendPDUText(b []byte, tag uint16, v string) []byte {
	be := binary.BigEndian
	b = be.AppendUint16(be.AppendUint16(b, tag), uint16((len(v)+3)&^3))
	start := len(b)
	return pad(append(b, v...), start)
}

func appendPDUAddr(b []byte, four, six uint16, addr netip.Addr) []byte {
	be := binary.BigEndian
	switch {
	case addr.Is4():
		a := addr.As4()
		return append(be.AppendUint16(be.AppendUint16(b, four), 4), a[:]...)
	case addr.IsValid():
		a := addr.As16()
		return append(be.AppendUint16(be.AppendUint16(b, six), 16), a[:]...)
	}
	return b
}

func appendPDUNumber(b []byte, tag uint16, v uint32) []byte {
	be := binary.BigEndian
	return be.AppendUint32(be.AppendUint16(be.AppendUint16(b, tag), 4), v)
}
