package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// existence is a socket as ss shows it, or as tcpstory tells that it exists.
type existence struct {
	State              string
	Netns              uint32
	Local, Remote      string
	Holders            string // "PID COMM", the one told, or all of ss's
	Cgroup             string
	Acked, Received    uint64
	Backlog, MostQueue uint64
}

// ssSays lists every TCP socket of a host by its cookie.
func ssSays(t *testing.T, h *lab.Host) map[uint64]existence {
	t.Helper()
	all := map[uint64]existence{}
	err := h.Within(func() error { // the host may have no name
		out, err := exec.Command("ss", "-HtanpieO").Output()
		for l := range strings.Lines(string(out)) {
			cookie, a := readSs(t, strings.TrimSpace(l))
			a.Netns = h.Netns()
			all[cookie] = a
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	ssHolder = regexp.MustCompile(`\("([^"]*)",pid=(\d+),fd=\d+\)`)
	ssMember = regexp.MustCompile(`(\w+):(\S+)`)
)

// readSs reads a line of ss -HtanpieO.
func readSs(t *testing.T, l string) (cookie uint64, a existence) {
	t.Helper()
	f := strings.Fields(l)
	if len(f) < 5 || ssStates[f[0]] == "" {
		t.Fatalf("ss says %q", l)
	}
	plain := strings.NewReplacer("[", "", "]", "")
	a.State, a.Local, a.Remote = ssStates[f[0]], plain.Replace(f[3]), plain.Replace(f[4])
	var holders []string
	for _, m := range ssHolder.FindAllStringSubmatch(l, -1) {
		holders = append(holders, m[2]+" "+m[1])
	}
	a.Holders = strings.Join(holders, ", ")
	number := func(text string, base int) uint64 {
		n, err := strconv.ParseUint(text, base, 64)
		if err != nil {
			t.Fatalf("%v in %q", err, l)
		}
		return n
	}
	for _, m := range ssMember.FindAllStringSubmatch(strings.Join(f[5:], " "), -1) {
		switch m[1] {
		case "sk":
			cookie = number(m[2], 16)
		case "cgroup":
			a.Cgroup = m[2]
		case "bytes_acked":
			a.Acked = number(m[2], 10)
		case "bytes_received":
			a.Received = number(m[2], 10)
		}
	}
	if a.State == "LISTEN" {
		a.Remote, a.Backlog, a.MostQueue = "", number(f[1], 10), number(f[2], 10)
	}
	return cookie, a
}

// fact is an event in JSON, as far as sockets that existed go.
type fact struct {
	happening
	State         string
	OwnerPID      int    `json:"owner_pid"`
	OwnerVia      string `json:"owner_via"`
	OpenerPID     int    `json:"opener_pid"`
	Older         bool
	CgroupPath    string `json:"cgroup_path"`
	Container     string
	ContainerName string `json:"container_name"`
	Runtime       string
	NetnsName     string `json:"netns_name"`
	Loopback      bool
	Peer          uint64 `json:"peer_cookie"`
	BytesAcked    uint64 `json:"bytes_acked"`
	BytesReceived uint64 `json:"bytes_received"`
	Backlog       uint64
	MaxBacklog    uint64 `json:"max_backlog"`

	line string // as it came
}

// String implements fmt.Stringer.
func (f *fact) String() string { return f.line }

// facts are what a tracer has told so far of some hosts, less what it inferred:
// that depends on whether it sees packets.
func facts(t *testing.T, p *proc, hosts ...*lab.Host) []fact {
	t.Helper()
	var netns []uint32
	for _, h := range hosts {
		netns = append(netns, h.Netns())
	}
	return factsOf(t, p, netns...)
}

func factsOf(t *testing.T, p *proc, netns ...uint32) (list []fact) {
	t.Helper()
	var where []string
	for _, n := range netns {
		where = append(where, fmt.Sprintf(`"netns":%d,`, n))
	}
	for _, l := range p.lines() {
		if strings.Contains(l, `"inferred":true`) || isAside(l) {
			continue
		}
		if !slices.ContainsFunc(where, func(netns string) bool { return strings.Contains(l, netns) }) {
			continue
		}
		object(t, l)
		f := fact{line: l}
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		list = append(list, f)
	}
	return list
}

// existence is what a socket event says.
func (f *fact) existence() existence {
	a := existence{
		State: f.State, Netns: f.Netns, Local: fmt.Sprintf("%s:%d", f.LocalAddr, f.LocalPort), Cgroup: f.CgroupPath,
		Acked: f.BytesAcked, Received: f.BytesReceived, Backlog: f.Backlog, MostQueue: f.MaxBacklog,
	}
	if a.State == "NEW_SYN_RECV" {
		a.State = "SYN_RECV" // as ss has it
	}
	if f.RemotePort != 0 {
		a.Remote = fmt.Sprintf("%s:%d", f.RemoteAddr, f.RemotePort)
	}
	if f.OwnerPID != 0 {
		a.Holders = fmt.Sprintf("%d %s", f.OwnerPID, f.OwnerComm)
	}
	return a
}

// amidTracer is one that started amid the gallery, and the hosts of which it tells.
type amidTracer struct {
	cmd *exec.Cmd
	*proc
	hosts []*lab.Host
	chain *chain
}

// TestStartsAmidConnections: sockets of every state are known from the start, as
// ss knows them, and what happens to them later fits.
func TestStartsAmidConnections(t *testing.T) {
	g := openGallery(t)
	named := g.rooms[0]
	ports := []string{"portrange", fmt.Sprintf("%d-%d", galleryPort, galleryPort+2*galleryPorts)}
	witnesses := map[string]*amidTracer{
		"everywhere":   {cmd: tcpstory(here{}, append(ports, "--json")...), hosts: g.hosts()},
		"--no-packets": {cmd: tcpstory(here{}, append(ports, "--json", "--no-packets")...), hosts: g.hosts()},
		"--netns":      {cmd: tcpstory(here{}, "--json", "--netns", named.client.NetnsName(), "--netns", named.server.NetnsName()), hosts: []*lab.Host{named.client, named.server}},
		"-i any":       {cmd: tcpstory(named.client, "--json", "-i", "any"), hosts: []*lab.Host{named.client}},
	}
	for _, w := range witnesses {
		w.proc = start(t, w.cmd)
	}
	for _, w := range witnesses {
		w.awaitsIn(w.err, listens)
	}
	truth := map[*lab.Host]map[uint64]existence{}
	total := 0
	for _, h := range g.hosts() {
		truth[h] = ssSays(t, h)
		total += len(truth[h])
	}
	if total < 1000 {
		t.Errorf("only %d sockets stand", total)
	}
	g.close()
	for what, w := range witnesses {
		w.interrupt()
		t.Run(what, func(t *testing.T) {
			want := map[uint64]existence{}
			for _, h := range w.hosts {
				maps.Copy(want, truth[h])
			}
			w.chain = &chain{states: map[uint64]string{}, broken: map[uint64]string{}}
			list := facts(t, w.proc, w.hosts...)
			checkExistence(&few{T: t}, list, want)
			checkFuture(&few{T: t}, list, want, w.chain)
		})
	}
	t.Run("chains", func(t *testing.T) { checkChains(&few{T: t}, witnesses) })
}

// checkChains wants no socket's states to contradict one another; but this machine
// may hide an event from every BPF program (see both): then all witnesses lack it.
func checkChains(t *few, witnesses map[string]*amidTracer) {
	t.Helper()
	for what, w := range witnesses {
		for cookie, line := range w.chain.broken {
			for _, other := range witnesses {
				if _, too := other.chain.broken[cookie]; other.chain.states[cookie] != "" && !too {
					t.Errorf("%s: %s", what, line)
					break
				}
			}
		}
	}
}

// checkExistence wants one socket event for each socket that ss has shown, first
// of all events about it, and none for others there. One that nobody holds may be
// looked at so late that it has moved before.
func checkExistence(t *few, list []fact, want map[uint64]existence) {
	t.Helper()
	seen, early := map[uint64]bool{}, 0
	for i := range list {
		f := &list[i]
		if f.Cookie == 0 {
			continue
		}
		w, exists := want[f.Cookie]
		if first := !seen[f.Cookie]; f.Kind == "socket" != (first && exists) {
			if f.Kind == "socket" || w.Holders != "" {
				t.Errorf("first %v, in ss %v: %v", first, exists, f)
			}
			early++
		}
		seen[f.Cookie] = true
		if f.Kind != "socket" {
			continue
		}
		have := f.existence()
		if w.State == "SYN_RECV" {
			have.Cgroup = "" // its listener's; ss shows none
		}
		if !sameHolder(have.Holders, w.Holders) {
			t.Errorf("%d %v: held by %q, ss says %q", f.Cookie, have, have.Holders, w.Holders)
		}
		have.Holders, w.Holders = "", ""
		if have != w {
			t.Errorf("socket %d is\n %+v, ss says\n %+v", f.Cookie, have, w)
		}
	}
	for cookie, w := range want {
		if !seen[cookie] {
			t.Errorf("not told: socket %d %+v", cookie, w)
		}
	}
	if early > len(want)/10 {
		t.Errorf("%d of %d sockets were met before they were told to exist", early, len(want))
	}
}

// sameHolder wants the holder told to be among ss's, and one where there is any.
func sameHolder(have, ss string) bool {
	return have == ss || have != "" && slices.Contains(strings.Split(ss, ", "), have)
}

// checkFuture wants each event of these sockets to fit to what was known before,
// and to be of an older socket, of its process; and no other socket to be older.
func checkFuture(t *few, list []fact, want map[uint64]existence, c *chain) {
	t.Helper()
	moved := map[string]int{}
	for i := range list {
		f := &list[i]
		w, exists := want[f.Cookie]
		if f.Older && !exists && f.Cookie != 0 {
			t.Errorf("not in ss when the trace began, and older: %v", f)
		}
		if !exists {
			c.follow(f)
			continue
		}
		if !f.Older {
			t.Errorf("in ss when the trace began, and not older: %v", f)
		}
		if who := f.existence().Holders; w.Holders != "" && !sameHolder(who, w.Holders) {
			t.Errorf("of %q, ss says %q: %v", who, w.Holders, f)
		}
		if f.Kind == "state" {
			moved[f.Old+" "+f.New]++
		}
		c.follow(f)
	}
	for _, move := range []string{ // of clients, at least
		"SYN_SENT ESTABLISHED", "ESTABLISHED FIN_WAIT1", "ESTABLISHED CLOSE", "FIN_WAIT1 FIN_WAIT2",
		"CLOSE_WAIT LAST_ACK", "LAST_ACK CLOSE", "FIN_WAIT2 CLOSE", "CLOSING CLOSE",
	} {
		if moved[move] == 0 {
			t.Errorf("nothing moved from %s", move)
		}
	}
}

// chain knows the state of each socket from what was told of it.
type chain struct {
	states map[uint64]string
	broken map[uint64]string // what did not fit, by cookie
}

// follow holds an event against what is known, and learns from it.
func (c *chain) follow(f *fact) {
	if f.Cookie == 0 {
		return
	}
	known := c.states[f.Cookie]
	says := f.State
	if f.Kind == "state" {
		says = f.Old
	}
	if known == "NEW_SYN_RECV" && f.Old+f.New == "LISTENSYN_RECV" {
		known = f.Old // the request's child, with its cookie
	}
	if f.Kind == "packet" && says == "TIME_WAIT" && (known == "CLOSE" || known == "FIN_WAIT2") {
		return // a minisock sends, in whichever of the two
	}
	if known != "" && says != "" && known != says {
		c.broken[f.Cookie] = fmt.Sprintf("%s was known: %v", known, f)
	}
	switch {
	case f.Kind == "state" && f.Remains != "":
		c.states[f.Cookie] = f.Remains
	case f.Kind == "state":
		c.states[f.Cookie] = f.New
	case says != "":
		c.states[f.Cookie] = says
	}
}

// few keeps a test that goes wrong readable.
type few struct {
	*testing.T
	n int
}

const mostErrors = 8

func (t *few) Errorf(format string, args ...any) {
	t.Helper()
	if t.n++; t.n < mostErrors {
		t.T.Errorf(format, args...)
	} else if t.n == mostErrors {
		t.T.Errorf("and so on")
	}
}
