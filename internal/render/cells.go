package render

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// cells builds one line of a terminal and knows in which column it stands. It
// never goes beyond width.
type cells struct {
	b      []byte
	start  int // of the line in b
	col    int
	blank  int // the column behind the last padding
	width  int
	glyphs *[glyphCount]string
	color  bool
	styled bool
}

// glyph is a character that has an ASCII stand-in of the same width.
type glyph int

const (
	glyphOut glyph = iota
	glyphIn
	glyphTo
	glyphBetween
	glyphMore
	glyphMicro
	glyphRule
	glyphCount
)

var (
	asciiGlyphs   = [glyphCount]string{">", "<", ">", "-", "~", "u", "-"}
	unicodeGlyphs = [glyphCount]string{"→", "←", "→", "↔", "…", "µ", "─"}
)

// begin starts a line behind what is in b.
func (c *cells) begin(b []byte, width int) {
	c.b, c.start, c.col, c.blank, c.width = b, len(b), 0, 0, width
}

// finish ends the line and returns the buffer.
func (c *cells) finish() []byte {
	c.plain()
	for len(c.b) > c.start && c.b[len(c.b)-1] == ' ' {
		c.b = c.b[:len(c.b)-1]
	}
	return append(c.b, '\n')
}

func (c *cells) room() int { return c.width - c.col }

// to goes on to a column, with a blank at least unless it stands there already.
func (c *cells) to(col int) {
	if c.col >= col && c.col > c.blank {
		col = c.col + 1
	}
	for c.col < min(col, c.width) {
		c.b = append(c.b, ' ')
		c.col++
		c.blank = c.col
	}
}

// text appends our own printable ASCII, cut at the line's end.
func (c *cells) text(s string) { appendCut(c, s) }

// ascii is text for bytes that are known to be printable ASCII.
func (c *cells) ascii(b []byte) { appendCut(c, b) }

func appendCut[T []byte | string](c *cells, s T) {
	room := c.room()
	if len(s) <= room {
		c.b = append(c.b, s...)
		c.col += len(s)
		return
	}
	if room > 0 {
		c.b = append(c.b, s[:room-1]...)
		c.col += room - 1
		c.glyph(glyphMore)
	}
}

func (c *cells) glyph(g glyph) {
	if c.room() > 0 {
		c.b = append(c.b, c.glyphs[g]...)
		c.col++
	}
}

func (c *cells) uint(v uint64) {
	var scratch [20]byte
	c.ascii(strconv.AppendUint(scratch[:0], v, 10))
}

// name appends an untrusted name in at most room columns. What is not printable
// text becomes \xNN (bytes) as far as there is room.
func (c *cells) name(b []byte, room int) {
	end := min(c.col+room, c.width)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r < utf8.RuneSelf && r >= ' ' && r != 0x7f {
			if c.col+1 > end {
				return
			}
			c.b, c.col = append(c.b, byte(r)), c.col+1
		} else if w := c.runeWidth(r); w > 0 {
			if c.col+w > end {
				return
			}
			c.b, c.col = append(c.b, b[:n]...), c.col+w
		} else {
			if c.col+4 > end {
				return
			}
			n = 1
			c.b, c.col = append(c.b, '\\', 'x', hexDigits[b[0]>>4], hexDigits[b[0]&15]), c.col+4
		}
		b = b[n:]
	}
}

// runeWidth returns the columns that a rune beyond ASCII takes; 0 if it is not
// to be shown.
func (c *cells) runeWidth(r rune) int {
	if r == utf8.RuneError || !unicode.IsPrint(r) || c.glyphs != &unicodeGlyphs {
		return 0
	}
	return runewidth.RuneWidth(r)
}

// style is one of the ways in which text can stand out.
type style string

// The styles, as SGR sequences (ECMA-48 8.3.117).
const (
	styleDim    style = "\x1b[2m"
	styleBold   style = "\x1b[1m"
	styleRed    style = "\x1b[31m"
	styleGreen  style = "\x1b[32m"
	styleYellow style = "\x1b[33m"
	stylePlain  style = "\x1b[0m"
)

// idStyles tell neighbouring conversations apart.
var idStyles = [...]style{"\x1b[36m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[95m", "\x1b[94m"}

// in switches to a style, if there are colours.
func (c *cells) in(s style) {
	if c.color {
		c.plain()
		c.b = append(c.b, s...)
		c.styled = true
	}
}

// plain ends the style.
func (c *cells) plain() {
	if c.styled {
		c.b = append(c.b, stylePlain...)
		c.styled = false
	}
}
