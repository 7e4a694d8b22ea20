package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"time"

	"tcpstory/internal/capture"
	"tcpstory/internal/conn"
	"tcpstory/internal/record"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// nowRecorded is -r: the sockets that stood when the recording ended. Its events
// go through the same core as when they happened; what only the kernel can be
// asked for is unknown.
func nowRecorded(ctx context.Context, e *env, o *nowOptions) error {
	file, err := capture.OpenFile(o.read)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(newProgress(e, file), record.BufferSize)
	if !record.Is(in) && !record.IsJSON(in) {
		return fmt.Errorf("%s is not a recording, which tcpstory record makes: packets alone do not tell sockets", o.read)
	}
	could, err := o.couldMatch()
	if err != nil {
		return err
	}
	reader, err := openRecording(in)
	if err != nil {
		return err
	}
	about := reader.About()
	if err := o.replay(&about); err != nil {
		return err
	}
	if o.noStates {
		return fmt.Errorf("%s was made with --no-states: packets alone do not tell sockets", o.read)
	}
	from := &replaySource{ctx: ctx, reader: reader, options: &o.options}
	if err := from.choose(&o.options, &selection{all: true}); err != nil {
		return err
	}
	filter, whose := recordedChoice(&about)
	h := &history{source: from}
	s := newStory(&o.options, filter, whose, &output{sink: nowhere{}, warn: e.say})
	if err := s.follow(h); err != nil {
		return err
	}
	if err := s.table.Infer(h.last, s.out.write); err != nil {
		return err
	}
	if h.lost > 0 {
		e.say("up to %d events were lost when this was recorded: sockets may be missing, or have moved on", h.lost)
	}
	if err := o.show(e, h.end(s.table, o, could), false); err != nil {
		return err
	}
	return from.harm(e, o.read)
}

// history remembers when its last event was.
type history struct {
	source
	last int64
	lost uint64
}

// Read implements source.
func (h *history) Read(ev *tcp.Event) error {
	err := h.source.Read(ev)
	if err == nil {
		h.last = max(h.last, ev.Time)
		h.lost += ev.Lost
	}
	return err
}

// end is what stood when it ended.
func (h *history) end(t *conn.Table, o *nowOptions, could func(tcp.Flow) bool) *snapshot {
	v := &snapshot{SocketView: render.SocketView{Time: time.Unix(0, h.last)}}
	whose := o.whoseRecorded()
	t.Standing(func(c *conn.Conn) {
		s := recordedSocket(c, h.last)
		if o.isWanted(s.State) && (could == nil || conn.Matches(could, s.Flow)) && (whose == nil || whose(c)) {
			v.Sockets = append(v.Sockets, s)
		}
	})
	slices.SortFunc(v.Sockets, func(a, b tcp.Socket) int { return render.CompareSockets(&a, &b) })
	return v
}

// recordedSocket is what a recording tells of a socket.
func recordedSocket(c *conn.Conn, at int64) tcp.Socket {
	s := tcp.Socket{
		Netns: c.Netns, Cookie: c.Cookie, Flow: c.Flow, State: c.State, Cgroup: c.Cgroup,
		Namespace: c.Namespace, Home: c.Home, Minisock: c.IsSmall() && c.State != tcp.SynRecv,
	}
	if c.IsSmall() && c.State == tcp.SynRecv {
		s.State = tcp.NewSynRecv
	}
	if c.Task.Known() {
		s.Holders = []tcp.Holder{{Task: c.Task, FD: -1, Via: c.Via}}
	}
	if c.Since != 0 {
		s.Age, s.AgeKnown = time.Duration(at-c.Since), tcp.AgeRecorded
		if c.IsSmall() {
			s.AgeKnown = tcp.AgeInferred
		}
	}
	return s
}
