package jury

import (
	"encoding/json"
	"fmt"
)

// Claim is one event as the tracer tells it in JSON. Zero is: not told.
type Claim struct {
	At         int64  `json:"-"` // when it could be read
	Time       int64  `json:"time_ns"`
	Kind       string `json:"kind"`
	Cookie     uint64 `json:"cookie"`
	LocalPort  uint16 `json:"local_port"`
	RemotePort uint16 `json:"remote_port"`
	OldState   string `json:"old_state"`
	NewState   string `json:"new_state"`
	PID        uint32 `json:"pid"` // who did it
	TID        uint32 `json:"tid"`
	Comm       string `json:"comm"`
	OwnerPID   uint32 `json:"owner_pid"`
	OwnerComm  string `json:"owner_comm"`
	OwnerVia   string `json:"owner_via"`
}

// ReadClaim reads one line of JSON that could be read at a time.
func ReadClaim(line string, at int64) (Claim, error) {
	c := Claim{At: at}
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		return c, fmt.Errorf("read a claim: %w: %s", err, line)
	}
	return c, nil
}

// owner is who is told to own the socket, by an event of any kind.
func (c *Claim) owner() (pid uint32, comm string) {
	if c.OwnerPID == 0 && c.Kind == "owner" {
		return c.PID, c.Comm
	}
	return c.OwnerPID, c.OwnerComm
}

// byTable reports an owner that was found among the open files, not acting.
func (c *Claim) byTable() bool { return c.OwnerVia == "held" || c.Kind == "socket" }

// found reports an event that says no more than that.
func (c *Claim) found() bool { return c.byTable() && (c.Kind == "owner" || c.Kind == "socket") }

// doers are the acts of which each transition that a process makes is a part.
var doers = map[string][]Act{
	"LISTEN":    {Listen},
	"SYN_SENT":  {Connect},
	"FIN_WAIT1": {Shutdown, Close, Exit},
	"LAST_ACK":  {Shutdown, Close, Exit},
	"CLOSE":     {Close, Exit},
}

// vias are the acts that owner_via speaks of; ways that are not here are not
// checked beyond the process.
var vias = map[string][]Act{
	"connect":  {Connect},
	"listen":   {Listen},
	"read":     {Read},
	"write":    {Write},
	"shutdown": {Shutdown},
	"close":    {Shutdown, Close, Exit},
}
