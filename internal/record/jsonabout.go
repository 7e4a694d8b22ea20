package record

import (
	"bytes"
	"encoding/json"

	"tcpstory/internal/tcp"
)

// jsonAbout is About as JSON has it.
type jsonAbout struct {
	Version   int        `json:"version"`
	Program   string     `json:"program,omitempty"`
	OS        string     `json:"os,omitempty"`
	Hardware  string     `json:"hardware,omitempty"`
	Link      uint16     `json:"link"`
	Expr      string     `json:"expression,omitempty"`
	PIDs      []uint32   `json:"pids,omitempty"`
	Comms     []string   `json:"comms,omitempty"`
	Cgroups   []string   `json:"cgroups,omitempty"`
	NoStates  bool       `json:"no_states,omitempty"`
	NoPackets bool       `json:"no_packets,omitempty"`
	Count     int        `json:"count,omitempty"`
	From      *jsonAbout `json:"from,omitempty"`
}

func aboutToJSON(a *About) *jsonAbout {
	if a == nil {
		return nil
	}
	return &jsonAbout{
		Version: version, Program: a.Program, OS: a.OS, Hardware: a.Hardware, Link: uint16(a.Link),
		Expr: a.Expr, PIDs: a.PIDs, Comms: a.Comms, Cgroups: a.Cgroups, NoStates: a.NoStates, NoPackets: a.NoPackets,
		Count: a.Count, From: aboutToJSON(a.From),
	}
}

func (j *jsonAbout) about() About {
	a := About{
		Program: j.Program, OS: j.OS, Hardware: j.Hardware, Link: tcp.LinkType(j.Link),
		Expr: j.Expr, PIDs: j.PIDs, Comms: j.Comms, Cgroups: j.Cgroups, NoStates: j.NoStates, NoPackets: j.NoPackets, Count: j.Count,
	}
	if j.From != nil {
		from := j.From.about()
		a.From = &from
	}
	return a
}

// AppendAbout appends, as a JSON object, what a story begins with.
func AppendAbout(b []byte, a *About) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // expressions have < and &
	if err := e.Encode(aboutToJSON(a)); err != nil {
		return b, err
	}
	return append(b, bytes.TrimRight(text.Bytes(), "\n")...), nil
}
