package render

import (
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendASCII appends untrusted bytes so that they are printable ASCII:
// whatever is not becomes \xNN, and a backslash is doubled so that nobody can
// forge that.
func appendASCII[T []byte | string](dst []byte, b T) []byte {
	for i := range len(b) {
		c := b[i]
		switch {
		case c == '\\':
			dst = append(dst, `\\`...)
		case c >= ' ' && c < 0x7f:
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// appendJSONString appends untrusted bytes as a JSON string. Control characters,
// DEL, the C1 range and all that is not printable (bidirectional overrides, line
// separators) are escaped; bytes that are not UTF-8 become U+FFFD.
func appendJSONString[T []byte | string](dst []byte, text T) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ' && c < 0x7f:
			dst = append(dst, c)
		case c < utf8.RuneSelf:
			dst = appendUnicode(dst, uint16(c))
		default:
			var n int
			dst, n = appendJSONRune(dst, []byte(text[i:min(i+utf8.UTFMax, len(text))]))
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}

// appendJSONRune appends the first rune of b, which is not ASCII.
func appendJSONRune(dst, b []byte) ([]byte, int) {
	r, n := utf8.DecodeRune(b)
	switch {
	case r == utf8.RuneError:
		return append(dst, `\ufffd`...), n
	case unicode.IsPrint(r):
		return append(dst, b[:n]...), n
	case r < 0x10000:
		return appendUnicode(dst, uint16(r)), n
	}
	r -= 0x10000
	dst = appendUnicode(dst, uint16(0xd800+r>>10))
	return appendUnicode(dst, uint16(0xdc00+r&0x3ff)), n
}

func appendUnicode(dst []byte, v uint16) []byte {
	return append(dst, '\\', 'u', hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
}
