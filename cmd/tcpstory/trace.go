package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/kernel"
	"tcpstory/internal/tcp"
	"tcpstory/internal/timeline"
)

// trace is `tcpstory [trace]`: live, or packets from a file.
func trace(ctx context.Context, e *env) error {
	o, flags, err := parse(e.args)
	switch {
	case err != nil:
		return err
	case o.help:
		_, err := fmt.Fprint(e.stdout, o.usage(flags))
		return err
	case o.version:
		return version(ctx, e)
	case o.list:
		return listDevices(e)
	}
	sel, err := selection(e, o)
	if err != nil {
		return err
	}
	if o.read != "" {
		return traceFile(ctx, e, o, sel)
	}
	return traceLive(ctx, e, o, sel)
}

func traceLive(ctx context.Context, e *env, o *options, sel *selected) error {
	config, err := liveConfig(o, sel)
	if err != nil {
		return err
	}
	out, err := newOutput(e, o, linkOf(o))
	if err != nil {
		return err
	}
	source, err := kernel.Open(config)
	if err != nil {
		return errors.Join(err, out.discard())
	}
	for _, note := range append(sel.notes, source.Notes()...) {
		e.say("%s", note)
	}
	e.say("%s", listening(o))
	stop := context.AfterFunc(ctx, func() { _ = source.Stop() })
	defer stop()
	s := newStory(sel, out)
	err = s.follow(source)
	return errors.Join(err, source.Close(), s.end(e))
}

// liveConfig says what the kernel side has to do for this command line.
func liveConfig(o *options, sel *selected) (kernel.Config, error) {
	dir := directions[o.direction]
	c := kernel.Config{
		States: !o.noStates && o.write == "", Packets: !o.noPackets,
		Ether: sel.ether, Raw: sel.raw, Quotes: !o.noPackets,
		Snaplen: o.snaplen, NoIn: dir.noIn, NoOut: dir.noOut,
		RingSize: o.ring, Forwarded: o.device != "",
	}
	if o.snaplen == 0 {
		c.Snaplen = kernel.MaxSnaplen
	}
	for _, name := range o.netns {
		inum, err := namedNetns(name)
		if err != nil {
			return c, err
		}
		c.Netns = append(c.Netns, inum)
	}
	switch {
	case o.device == anyDevice:
		inum, err := kernel.OwnNetns()
		if err != nil {
			return c, err
		}
		c.Netns = append(c.Netns, inum)
	default:
		c.Device = o.device
	}
	return c, nil
}

// story is the spine: each event is put in order, applied, and handed on.
type story struct {
	hold  timeline.Hold
	table *conn.Table
	out   *output
}

func newStory(sel *selected, out *output) *story {
	return &story{table: conn.New(conn.Options{Filter: sel.could}), out: out}
}

// errEnough ends the loop: -c's count is reached.
var errEnough = errors.New("enough")

// source is where events come from: the kernel, or a file.
type source interface{ Read(*tcp.Event) error }

// follow runs until the source ends.
func (s *story) follow(from source) error {
	var ev tcp.Event
	for {
		err := from.Read(&ev)
		switch {
		case err == nil:
			if ev.Kind == tcp.KindPacket {
				ev.Packet.Decode()
			}
			err = s.hold.Push(&ev, s.tell)
		case errors.Is(err, kernel.ErrIdle):
			err = s.pause()
		case errors.Is(err, io.EOF):
			err = s.hold.Flush(s.tell)
			if err == nil {
				return nil
			}
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pause uses a lull: what waits too long goes out, and what is written is seen.
func (s *story) pause() error {
	if err := s.hold.Expire(time.Now().UnixNano(), s.tell); err != nil {
		return err
	}
	return s.out.flush()
}

func (s *story) tell(ev *tcp.Event) error { return s.out.write(s.table.Apply(ev)) }
