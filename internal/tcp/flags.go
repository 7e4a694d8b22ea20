package tcp

// Flags are the control bits of a TCP header (RFC 9293 section 3.1), in wire
// position; AE is the bit that RFC 7560 called NS.
type Flags uint16

// The control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

// Has reports whether every bit of f is set.
func (v Flags) Has(f Flags) bool { return v&f == f }

// flagLetters is tcpdump's order and spelling (print-tcp.c, tcp_flag_values).
var flagLetters = [...]struct {
	bit    Flags
	letter byte
}{
	{FIN, 'F'}, {SYN, 'S'}, {RST, 'R'}, {PSH, 'P'}, {ACK, '.'},
	{URG, 'U'}, {ECE, 'E'}, {CWR, 'W'}, {AE, 'e'},
}

// AppendText appends the flags as tcpdump spells them: "S.", "P.", "none".
func (v Flags) AppendText(b []byte) ([]byte, error) {
	n := len(b)
	for _, f := range flagLetters {
		if v.Has(f.bit) {
			b = append(b, f.letter)
		}
	}
	if len(b) == n {
		b = append(b, "none"...)
	}
	return b, nil
}

// String is AppendText as a string.
func (v Flags) String() string { b, _ := v.AppendText(nil); return string(b) }
