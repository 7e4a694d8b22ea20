package render

import (
	"encoding/json"
	"net/netip"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
)

// VerdictJSON writes one object a verdict.
type VerdictJSON struct{ *Writer }

// NewVerdictJSON returns such a sink.
func NewVerdictJSON(w *Writer) *VerdictJSON { return &VerdictJSON{w} }

// verdictObject is a verdict's object; names are stable, as those of JSONFields.
type verdictObject struct {
	Time          time.Time       `json:"time"`
	TimeNs        int64           `json:"time_ns"`
	Kind          string          `json:"kind"` // verdict
	Conn          uint64          `json:"conn,omitempty"`
	Formerly      []uint64        `json:"formerly,omitempty"`
	Rule          string          `json:"rule"`
	Place         string          `json:"place"`
	Certainty     string          `json:"certainty"`
	Standing      bool            `json:"standing,omitempty"`
	Update        int             `json:"update,omitempty"`
	Episode       int             `json:"episode,omitempty"`
	Text          string          `json:"text"`
	Next          string          `json:"next"`
	Numbers       numbersObject   `json:"numbers,omitempty"`
	Role          string          `json:"role,omitempty"`
	Cookie        uint64          `json:"cookie,omitempty"`
	Netns         uint32          `json:"netns,omitempty"`
	NetnsName     string          `json:"netns_name,omitempty"`
	LocalAddr     string          `json:"local_addr,omitempty"`
	LocalPort     uint16          `json:"local_port,omitempty"`
	RemoteAddr    string          `json:"remote_addr,omitempty"`
	RemotePort    uint16          `json:"remote_port,omitempty"`
	OwnerPID      uint32          `json:"owner_pid,omitempty"`
	OwnerComm     string          `json:"owner_comm,omitempty"`
	CgroupPath    string          `json:"cgroup_path,omitempty"`
	Container     string          `json:"container,omitempty"`
	ContainerName string          `json:"container_name,omitempty"`
	Older         bool            `json:"older,omitempty"`
	Then          []findingObject `json:"then,omitempty"`
	Evidence      []clueObject    `json:"evidence"`
}

type numbersObject map[string]uint32

func numbersOf(f *diagnose.Finding) numbersObject {
	if len(f.Numbers) == 0 {
		return nil
	}
	o := numbersObject{}
	for _, n := range f.Numbers {
		o[n.What] = n.N
	}
	return o
}

type findingObject struct {
	Rule      string        `json:"rule"`
	Place     string        `json:"place"`
	Certainty string        `json:"certainty"`
	Standing  bool          `json:"standing,omitempty"`
	Text      string        `json:"text"`
	Next      string        `json:"next"`
	Numbers   numbersObject `json:"numbers,omitempty"`
}

type clueObject struct {
	TimeNs   int64  `json:"time_ns"`
	LastNs   int64  `json:"last_ns,omitempty"`
	Count    uint32 `json:"count"`
	What     string `json:"what"`
	Role     string `json:"role,omitempty"`
	Device   string `json:"device,omitempty"`
	OldState string `json:"old_state,omitempty"`
	NewState string `json:"new_state,omitempty"`
	Again    string `json:"retransmit,omitempty"`
	ICMP     string `json:"icmp,omitempty"`
	Error    string `json:"error,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Flags    string `json:"flags,omitempty"`
	Seq      uint32 `json:"tcp_seq,omitempty"`
	Ack      uint32 `json:"tcp_ack,omitempty"`
	Window   uint16 `json:"window,omitempty"`
	Length   uint32 `json:"length,omitempty"`
}

// Verdict implements VerdictSink.
func (j *VerdictJSON) Verdict(v *diagnose.Verdict) error {
	f, n := &v.Findings[0], v.End
	o := verdictObject{
		Time: time.Unix(0, v.Time).UTC(), TimeNs: v.Time, Kind: "verdict", Conn: n.Number, Formerly: v.Formerly,
		Rule: f.Rule.Name, Place: f.Place.String(), Certainty: f.Certainty.String(), Standing: v.Standing, Update: v.Update, Episode: v.Episode,
		Text: f.Text, Next: f.Next, Numbers: numbersOf(f), Cookie: n.Cookie, Netns: n.Netns, Older: n.OlderThanTrace(), Evidence: []clueObject{},
	}
	o.LocalAddr, o.LocalPort = addrOf(n.Flow.Local)
	o.RemoteAddr, o.RemotePort = addrOf(n.Flow.Remote)
	if n.Role != conn.RoleUnknown {
		o.Role = n.Role.String()
	}
	if n.Task.Known() {
		o.OwnerPID, o.OwnerComm = n.Task.PID, string(n.Task.Name())
	}
	if p := n.Namespace; p != nil {
		o.NetnsName = p.Name
	}
	if p := n.Home; p != nil {
		o.CgroupPath, o.Container, o.ContainerName = p.Path, p.Container, p.Name
	}
	for _, f := range v.Findings[1:] {
		o.Then = append(o.Then, findingObject{f.Rule.Name, f.Place.String(), f.Certainty.String(), f.Standing, f.Text, f.Next, numbersOf(&f)})
	}
	for i := range v.Evidence {
		o.Evidence = append(o.Evidence, clueOf(&v.Evidence[i]))
	}
	b, err := json.Marshal(&o)
	if err != nil {
		return err
	}
	return j.commit(append(append(j.buf, b...), '\n'))
}

func addrOf(a netip.AddrPort) (string, uint16) {
	if !a.Addr().IsValid() {
		return "", a.Port()
	}
	return a.Addr().WithZone("").String(), a.Port()
}

func clueOf(c *diagnose.Clue) clueObject {
	o := clueObject{
		TimeNs: c.Time, Count: c.Count, What: c.Sight.String(), Device: c.Device, Reason: c.Reason, Error: errnoName(c.Errno),
		Seq: c.Seq, Ack: c.Ack, Window: c.Window, Length: c.Len,
	}
	if c.Last != c.Time {
		o.LastNs = c.Last
	}
	if c.Role != conn.RoleUnknown {
		o.Role = c.Role.String()
	}
	if c.Flags != 0 {
		o.Flags = c.Flags.String()
	}
	switch c.Sight {
	case diagnose.Moved:
		o.OldState, o.NewState = c.Old.String(), c.New.String()
	case diagnose.Existed:
		o.NewState = c.New.String()
	case diagnose.Resent:
		o.Again = c.Again.String()
	case diagnose.Complained:
		o.ICMP = c.ICMP.String()
	}
	return o
}
