package render

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tcpstory/internal/tcp"
)

// SocketGroup is something to count sockets by.
type SocketGroup struct {
	Name, Title, Text string
	word              func(*tcp.Socket) string
}

// SocketGroups is the table that --count, help and the docs read.
var SocketGroups = []SocketGroup{
	{"state", "STATE", "state", stateCell},
	{"process", "PROCESS", "the first process that has it open, or why none has", groupProcess},
	{"remote", "REMOTE", "the other end's address", func(s *tcp.Socket) string {
		if s.Flow.Remote.Port() == 0 {
			return "*"
		}
		return s.Flow.Remote.Addr().WithZone("").String()
	}},
	{"remote-port", "REMOTE-PORT", "the other end's port", func(s *tcp.Socket) string { return portWord(s.Flow.Remote.Port()) }},
	{"local", "LOCAL", "this end's address", func(s *tcp.Socket) string { return s.Flow.Local.Addr().WithZone("").String() }},
	{"local-port", "LOCAL-PORT", "this end's port", func(s *tcp.Socket) string { return portWord(s.Flow.Local.Port()) }},
	{"netns", "NETNS", "network namespace: its name, or its inode number", func(s *tcp.Socket) string {
		if name := place(s.Namespace).Name; name != "" {
			return string(appendASCII(nil, []byte(name)))
		}
		return strconv.FormatUint(uint64(s.Netns), 10)
	}},
	{"container", "CONTAINER", "container: its name, or the beginning of its id; - is none that is known", func(s *tcp.Socket) string {
		if place(s.Home).Container == "" {
			return "-"
		}
		return whereCell(s)
	}},
}

// SocketGroupNames are what --count takes.
func SocketGroupNames() (names []string) {
	for _, g := range SocketGroups {
		names = append(names, g.Name)
	}
	return names
}

// SocketGroupNamed finds a group by its name.
func SocketGroupNamed(name string) (SocketGroup, bool) {
	i := slices.IndexFunc(SocketGroups, func(g SocketGroup) bool { return g.Name == name })
	if i < 0 {
		return SocketGroup{}, false
	}
	return SocketGroups[i], true
}

func portWord(port uint16) string {
	if port == 0 {
		return "*"
	}
	return strconv.FormatUint(uint64(port), 10)
}

// groupProcess counts a socket once, whoever else has it open.
func groupProcess(s *tcp.Socket) string {
	if len(s.Holders) > 0 {
		return holderWord(&s.Holders[0])
	}
	return processCell(s)
}

// counted is how many sockets share their words.
type counted struct {
	words []string
	n     uint64
}

// counts groups the sockets, the largest group first.
func (v *SocketView) counts(groups []SocketGroup) []counted {
	const between = "\x00"
	byKey := map[string]*counted{}
	words := make([]string, len(groups))
	for i := range v.Sockets {
		for k, g := range groups {
			words[k] = g.word(&v.Sockets[i])
		}
		key := strings.Join(words, between)
		c := byKey[key]
		if c == nil {
			c = &counted{words: slices.Clone(words)}
			byKey[key] = c
		}
		c.n++
	}
	list := make([]counted, 0, len(byKey))
	for c := range maps.Values(byKey) {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b counted) int {
		return cmp.Or(cmp.Compare(b.n, a.n), slices.Compare(a.words, b.words))
	})
	return list
}

func (v *SocketView) appendCounts(dst []byte, f SocketForm) ([]byte, error) {
	list := v.counts(f.Groups)
	switch f.Kind {
	case FormJSON:
		return v.appendCountsJSON(dst, f.Groups, list), nil
	case FormCSV:
		return v.appendCountsCSV(dst, f, list)
	}
	columns := []tableColumn{{title: "SOCKETS", right: true}}
	for _, g := range f.Groups {
		columns = append(columns, tableColumn{title: g.Title})
	}
	for _, c := range list {
		columns[0].cells = append(columns[0].cells, strconv.FormatUint(c.n, 10))
		for i, word := range c.words {
			columns[i+1].cells = append(columns[i+1].cells, word)
		}
	}
	for i := range columns {
		columns[i].measure()
	}
	return appendTable(dst, columns, TableOptions{Width: f.Width, Color: f.Color})
}

// appendCountsJSON writes the groups' words as strings, whatever they are of.
func (v *SocketView) appendCountsJSON(dst []byte, groups []SocketGroup, list []counted) []byte {
	j := SocketJSON{Time: v.Time}
	for _, c := range list {
		dst = strconv.AppendUint(append(j.begin(dst, "count"), `,"sockets":`...), c.n, 10)
		for i, g := range groups {
			dst = append(append(append(dst, `,"`...), strings.ReplaceAll(g.Name, "-", "_")...), `":`...)
			dst = appendJSONString(dst, c.words[i])
		}
		dst = append(dst, "}\n"...)
	}
	return dst
}

func (v *SocketView) appendCountsCSV(dst []byte, f SocketForm, list []counted) ([]byte, error) {
	var buf bytes.Buffer
	var clock rfc3339
	at := string(clock.append(nil, v.Time.UnixNano()))
	names := []string{"time", "sockets"}
	for _, g := range f.Groups {
		names = append(names, strings.ReplaceAll(g.Name, "-", "_"))
	}
	var err error
	if !f.Headless {
		dst, err = appendCSV(dst, &buf, names)
	}
	for _, c := range list {
		if err != nil {
			return dst, err
		}
		dst, err = appendCSV(dst, &buf, append([]string{at, strconv.FormatUint(c.n, 10)}, c.words...))
	}
	return dst, err
}
