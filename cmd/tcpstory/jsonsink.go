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
	if !o.chooses() {
		return *o.from
	}
	a.Expr, a.From = o.expr, o.from
	return a
}

// chooses: of a recording, only a part is asked for.
func (o *options) chooses() bool {
	return o.expr != "" || o.selective() || len(o.netns) > 0 || o.direction != "inout" || o.count != o.from.Count ||
		o.noStates != o.from.NoStates || o.noPackets != o.from.NoPackets
}
