package main

import (
	"tcpstory/internal/record"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// newJSON is --json: every event has what it takes to read it back.
func newJSON(e *env, o *options, link tcp.LinkType, w *render.Writer) (render.Sink, error) {
	j := render.NewJSON(w)
	var scratch []byte
	j.Event = func(b []byte, ev *tcp.Event) []byte {
		b, scratch = record.AppendEvent(b, scratch, ev)
		return b
	}
	about := o.aboutStory(e, link)
	text, err := record.AppendAbout(nil, &about)
	if err != nil {
		return nil, err
	}
	return j, j.Begin(text)
}

// aboutStory is what a story in JSON begins with. Of a recording that is shown
// without a choice it is what the recording says.
func (o *options) aboutStory(e *env, link tcp.LinkType) record.About {
	a := o.about(e, link)
	if o.from == nil {
		a.NoStates = a.NoStates || o.read != "" // a capture file
		return a
	}
	chosen := o.expr != "" || o.selective() || o.noStates != o.from.NoStates || o.noPackets != o.from.NoPackets
	if !chosen {
		return *o.from
	}
	a.Expr, a.From = o.expr, o.from
	return a
}
