package render

import (
	"strconv"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
)

// Crowd appends how many verdicts were like others that were told.
func (w *Verdicts) Crowd(c *diagnose.Crowd) error {
	b := append(appendClock(nil, c.Time), " … "...)
	b = strconv.AppendUint(b, uint64(c.N), 10)
	b = append(append(b, " more × "...), c.Rule.Name...)
	b = append(append(b, ", "...), placeWords[c.Place]...)
	b = append(append(b, ", "...), crowdWhere(c)...)
	n := c.Last
	if comm := n.Task.Name(); len(comm) > 0 {
		whose := " from "
		if n.Role == conn.RoleServer {
			whose = " of "
		}
		b = appendASCII(append(b, whose...), comm)
	}
	at := conn.Conn{Home: n.Home, Namespace: n.Namespace}
	if where := whereabouts(&at); where != "" {
		b = appendASCII(append(b, " in "...), []byte(where))
	}
	b = append(append(b, " in the last "...), max(c.For, 100*time.Millisecond).Round(100*time.Millisecond).String()...)
	return w.commit(appendParagraph(w.buf, "", string(b), w.width()))
}

// crowdWhere says between whom.
func crowdWhere(c *diagnose.Crowd) string {
	f := &c.Last.Flow
	server := c.Last.Role == conn.RoleServer
	switch {
	case c.Alike == diagnose.SameServer && server:
		return "at " + string(appendColon(nil, f.Local))
	case c.Alike == diagnose.SameServer:
		return "to " + string(appendColon(nil, f.Remote))
	case c.Alike == diagnose.SameHost && server:
		return "by " + f.Remote.Addr().String() + " at several ports"
	case c.Alike == diagnose.SameHost:
		return "to several ports of " + f.Remote.Addr().String()
	case server:
		return "at several ports, by several addresses"
	}
	return "to several addresses"
}
