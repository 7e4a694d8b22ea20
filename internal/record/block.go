package record

import "encoding/binary"

// Block types and options of pcapng (draft-ietf-opsawg-pcapng). Types and options
// with the highest bit set are for local use: ours also begin with a mark.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockStats     = 5
	blockEnhanced  = 6
	blockJournal   = 9
	blockEvent     = 0x80007473

	optEnd      = 0
	optComment  = 1
	optOwn      = 0xf473 // a row of members, or in the section header its version
	optHardware = 2      // of the section header
	optOS       = 3
	optProgram  = 4
	optName     = 2 // of an interface
	optAbout    = 3
	optTimeUnit = 9
	optFlags    = 2 // of a packet
	optStart    = 2 // of statistics
	optStop     = 3
	optReceived = 4
	optLost     = 7 // by the operating system

	byteOrderMagic = 0x1a2b3c4d
	mark           = "tcpstory"
	version        = 1

	blockOverhead = 12      // type, length, length again
	maxBlock      = 1 << 20 // longest block believed: a packet is at most 256 KiB, an option 64 KiB
	maxFrame      = 1 << 18 // what libpcap takes, MAXIMUM_SNAPLEN
	maxOption     = 1<<16 - 4
)

var le = binary.LittleEndian

// openBlock begins a block at the end of b; closeBlock ends the one that began at
// length start. Blocks are little-endian and padded to four bytes.
func openBlock(b []byte, kind uint32) []byte {
	return le.AppendUint32(le.AppendUint32(b, kind), 0)
}

func closeBlock(b []byte, start int) []byte {
	b = pad(b, start)
	n := uint32(len(b) - start + 4)
	le.PutUint32(b[start+4:], n)
	return le.AppendUint32(b, n)
}

// pad fills up to a multiple of four bytes behind start.
func pad(b []byte, start int) []byte {
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendOption appends an option, cut to what an option can hold.
func appendOption[T []byte | string](b []byte, code uint16, value T) []byte {
	value = value[:min(len(value), maxOption)]
	start := len(b)
	b = le.AppendUint16(le.AppendUint16(b, code), uint16(len(value)))
	return pad(append(b, value...), start)
}

// openOption begins an option of which the length is not known yet.
func openOption(b []byte, code uint16) []byte {
	return le.AppendUint16(le.AppendUint16(b, code), 0)
}

func closeOption(b []byte, start int) []byte {
	le.PutUint16(b[start+2:], uint16(len(b)-start-4))
	return pad(b, start)
}

// appendTime appends a time as blocks split it: the high half first.
func appendTime(b []byte, ns int64) []byte {
	return le.AppendUint32(le.AppendUint32(b, uint32(uint64(ns)>>32)), uint32(ns))
}

// options calls f for each option of a list until f returns false.
func options(b []byte, f func(code uint16, value []byte) bool) {
	for len(b) >= 4 {
		code, n := le.Uint16(b), int(le.Uint16(b[2:]))
		if code == optEnd || n > len(b)-4 || !f(code, b[4:4+n:4+n]) {
			return
		}
		b = b[4+min((n+3)&^3, len(b)-4):]
	}
}
