package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// helpWidth and helpColumn: help fits into an old terminal, its words stand in a column.
const (
	helpWidth  = 80
	helpColumn = 22
)

// The annotations of flags that share a line of help: on the first of them which they are,
// and what is said of them; on the others that there is one.
const (
	besideWhich = "beside"
	besideText  = "beside text"
	besideOther = "beside another"
)

// theirsHelp is for -p and --comm.
const theirsHelp = "only sockets of process PID, or of any NAME (repeatable)"

// beside has help speak of the named flags in one line, in place of the first, so that it
// fits on a screen.
func beside(f *pflag.FlagSet, text string, names ...string) {
	annotate := func(name, key string, values ...string) {
		if err := f.SetAnnotation(name, key, values); err != nil {
			panic(err) // a name that is none: any test of the command finds it
		}
	}
	annotate(names[0], besideWhich, names...)
	annotate(names[0], besideText, text)
	for _, name := range names[1:] {
		annotate(name, besideOther)
	}
}

// usage lists the flags by their short names, tcpdump's, a line each.
func usage(head string, f *pflag.FlagSet) string {
	b := []byte(head)
	f.VisitAll(func(flag *pflag.Flag) {
		if _, other := flag.Annotations[besideOther]; flag.Hidden || other {
			return
		}
		name, text := nameAndText(flag)
		if which := flag.Annotations[besideWhich]; which != nil {
			name, text = namesOf(f, which), flag.Annotations[besideText][0]
		}
		b = appendHelp(b, name, text)
	})
	return string(b)
}

// nameAndText of one flag, as its line has them.
func nameAndText(flag *pflag.Flag) (name, text string) {
	name = "--" + flag.Name
	if flag.Shorthand != "" {
		name = "-" + flag.Shorthand
	}
	value, text := pflag.UnquoteUsage(flag)
	if flag.Value.Type() == "bool" || flag.Value.Type() == "count" {
		value = ""
	}
	return strings.TrimSpace(name + " " + value), text
}

// namesOf flags that share a line. A value that all of them take stands behind the last.
func namesOf(f *pflag.FlagSet, which []string) string {
	var names, values []string
	for _, one := range which {
		name, _ := nameAndText(f.Lookup(one))
		name, value, _ := strings.Cut(name, " ")
		names, values = append(names, name), append(values, value)
	}
	if alike := slices.Compact(slices.Clone(values)); len(alike) == 1 {
		return strings.TrimSpace(strings.Join(names, ", ") + " " + alike[0])
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i] + " " + values[i])
	}
	return strings.Join(names, ", ")
}

// appendHelp appends a name and its explanation, folded.
func appendHelp(b []byte, name, text string) []byte {
	b = fmt.Appendf(b, "  %-*s", helpColumn-3, name)
	column := helpColumn - 1
	if n := 2 + utf8.RuneCountInString(name); n > column { // a blank more tells where it ends
		b, column = append(b, ' '), n+1
	}
	for word := range strings.FieldsSeq(text) {
		n := 1 + utf8.RuneCountInString(word)
		if column+n > helpWidth {
			b = fmt.Appendf(b, "\n%*s", helpColumn-1, "")
			column = helpColumn - 1
		}
		b = append(append(b, ' '), word...)
		column += n
	}
	return append(b, '\n')
}

// otherCommands lists what else there is than trace, two in a line.
func otherCommands() string {
	const half = helpWidth / 2
	b := []byte{'\n'}
	for i, c := range commands()[1:] {
		one := fmt.Sprintf("  %-7s %s", c.name, c.brief)
		if i%2 == 0 {
			one = fmt.Sprintf("%-*s", half, one)
		} else {
			one += "\n"
		}
		b = append(b, one...)
	}
	return strings.TrimRight(string(b), " \n") + "\n"
}
