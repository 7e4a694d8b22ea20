package render

import (
	"strconv"
	"time"

	"tcpstory/internal/life"
)

// NewLifeTallyJSON is NewLifeTally for programs: of each summary an object for every
// group, the largest first, and behind them one for all, with "total".
func NewLifeTallyJSON(w *Writer, by string) *LifeTally {
	return &LifeTally{Writer: w, by: by, json: true}
}

// appendJSON appends the groups and all.
func (t *LifeTally) appendJSON(b []byte, until int64) []byte {
	for _, g := range t.tally.Groups() {
		b = append(append(append(b, `{"`...), t.by...), `":`...)
		if g.Others {
			b = append(b, `null,"others":true`...)
		} else {
			b = appendJSONString(b, []byte(g.Key))
		}
		b = appendGroupJSON(b, g, until)
	}
	return appendGroupJSON(append(b, `{"total":true`...), &t.tally.All, until)
}

// appendGroupJSON appends the members that all have, and the object's end.
func appendGroupJSON(b []byte, g *life.Group, until int64) []byte {
	count := func(name string, n uint64) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendUint(b, n, 10)
	}
	if until != 0 {
		count("until_ns", uint64(until))
	}
	count("connections", g.Connections)
	count("failed", g.Failed())
	count("tx_bytes", g.TX)
	count("rx_bytes", g.RX)
	if g.Silent > 0 {
		count("bytes_unknown", g.Silent)
	}
	b = appendEndedJSON(b, g)
	for _, s := range []struct {
		name string
		of   *life.Sketch
	}{{"connect_us", &g.Connect}, {"duration_us", &g.Duration}, {"rtt_us", &g.RTT}} {
		b = appendSketchJSON(b, s.name, s.of)
	}
	return append(b, '}', '\n')
}

// appendEndedJSON appends how they ended, the kinds that there were.
func appendEndedJSON(b []byte, g *life.Group) []byte {
	b = append(b, `,"ended":{`...)
	for _, e := range life.Ends() {
		if g.Ended[e] == 0 {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), e.Name()...), '"', ':')
		b = strconv.AppendUint(b, g.Ended[e], 10)
	}
	return append(b, '}')
}

// appendSketchJSON appends the count and the percentiles; nothing of none.
func appendSketchJSON(b []byte, name string, s *life.Sketch) []byte {
	if s.Count() == 0 {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":{"count":`...)
	b = strconv.AppendUint(b, s.Count(), 10)
	for _, p := range tallyForms[0].ranks {
		b = strconv.AppendInt(append(b, `,"p`...), int64(p), 10)
		b = strconv.AppendInt(append(b, `":`...), int64(s.Percentile(p)/time.Microsecond), 10)
	}
	return append(b, '}')
}
