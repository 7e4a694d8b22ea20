package render

import "time"

// TimeFormat is how a line's time reads; its number is how many t's ask for
// it on tcpdump's command line.
type TimeFormat uint8

// The formats.
const (
	TimeOfDay      TimeFormat = iota // local HH:MM:SS.ffffff
	TimeNone                         // -t
	TimeUnix                         // -tt: seconds since 1970
	TimeDelta                        // -ttt: since the previous line
	TimeDate                         // -tttt: local YYYY-MM-DD HH:MM:SS.ffffff
	TimeSinceFirst                   // -ttttt: since the first line
)

// lineClock formats times, to the microsecond and always rounding down. It
// keeps the text of the last second, so that most lines format no date.
type lineClock struct {
	format TimeFormat
	zone   *time.Location
	ref    int64 // µs: what -ttt and -ttttt count from; 0 not yet known
	second int64 // whose text this is
	text   [len("2006-01-02 15:04:05")]byte
	size   int // of text in use; 0 none yet
}

func newLineClock(format TimeFormat) lineClock {
	return lineClock{format: format, zone: time.Local}
}

const microsPerSecond = 1_000_000

// timeUnprintable is what tcpdump says from 2038 on, and before 1970.
const timeUnprintable = "[Error converting time]"

func (c *lineClock) appendTime(dst []byte, ns int64) []byte {
	us := floorDiv(ns, 1000)
	switch c.format {
	case TimeNone:
		return dst
	case TimeUnix:
		dst = appendUnix(dst, us)
	case TimeDelta, TimeSinceFirst:
		dst = c.appendDelta(dst, us)
	default:
		dst = c.appendLocal(dst, us)
	}
	return append(dst, ' ')
}

func appendUnix(dst []byte, us int64) []byte {
	second := floorDiv(us, microsPerSecond)
	if !printable(second) {
		return append(dst, timeUnprintable...)
	}
	dst = appendUint(dst, uint64(uint32(second)))
	return appendMicros(dst, us-second*microsPerSecond)
}

func (c *lineClock) appendDelta(dst []byte, us int64) []byte {
	if c.ref == 0 {
		c.ref = us
	}
	sign, delta := byte(' '), us-c.ref
	if delta < 0 {
		sign, delta = '-', -delta
	}
	if c.format == TimeDelta {
		c.ref = us
	}
	second := delta / microsPerSecond
	dst = append(dst, sign)
	if !printable(second) {
		return append(dst, timeUnprintable...)
	}
	dst = append2(dst, second/3600%24, ':') // a day is as far as it counts
	dst = append2(dst, second/60%60, ':')
	dst = append2(dst, second%60, 0)
	return appendMicros(dst, delta%microsPerSecond)
}

func (c *lineClock) appendLocal(dst []byte, us int64) []byte {
	second := floorDiv(us, microsPerSecond)
	if !printable(second) {
		return append(dst, timeUnprintable...)
	}
	if second != c.second || c.size == 0 {
		layout := "15:04:05"
		if c.format == TimeDate {
			layout = "2006-01-02 15:04:05"
		}
		text := time.Unix(second, 0).In(c.zone).AppendFormat(c.text[:0], layout)
		c.second, c.size = second, len(text)
	}
	dst = append(dst, c.text[:c.size]...)
	return appendMicros(dst, us-second*microsPerSecond)
}

func printable(second int64) bool { return uint32(second)&(1<<31) == 0 }

func appendMicros(dst []byte, us int64) []byte {
	return append(dst, '.',
		byte('0'+us/100000), byte('0'+us/10000%10), byte('0'+us/1000%10),
		byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

// append2 appends two digits, and sep unless it is zero.
func append2(dst []byte, v int64, sep byte) []byte {
	dst = append(dst, byte('0'+v/10), byte('0'+v%10))
	if sep != 0 {
		dst = append(dst, sep)
	}
	return dst
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
