package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// nowOf runs `tcpstory now --json` and returns its sockets.
func nowOf(t *testing.T, args ...string) (sockets []map[string]any) {
	t.Helper()
	for _, text := range printed(t, tcpstory(here{}, append([]string{"now", "--json"}, args...)...)) {
		if m := nowObject(t, text); m["kind"] == "socket" {
			sockets = append(sockets, m)
		}
	}
	return sockets
}

// nowObject parses a line of now --json; nil: it is empty.
func nowObject(t *testing.T, text string) (m map[string]any) {
	t.Helper()
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return m
}

// ssSocket is a line of ss's: its words by their names, as ours are called.
type ssSocket map[string]string

// ssEvery are the sockets of a host by their cookies, or by their ends where ss
// shows no cookie.
func ssEvery(t *testing.T, h *lab.Host) map[string]ssSocket {
	t.Helper()
	found := map[string]ssSocket{}
	for _, l := range printed(t, h.Command(t.Context(), "ss", "-HtanpeiOm")) {
		if l == "" {
			continue
		}
		s := parseSS(t, l)
		found[s["cookie"]] = s
	}
	return found
}

var (
	ssWord   = regexp.MustCompile(`(\w+):([^\s]+)`)
	cwndWord = regexp.MustCompile(`cwnd:\d+`)
	ssTimer  = regexp.MustCompile(`timer:\((\w+),([^,]*),(\d+)\)`)
	ssDrops  = regexp.MustCompile(`skmem:\(r(\d+),rb(\d+),t\d+,tb(\d+),f\d+,w(\d+),o\d+,bl\d+,d(\d+)\)`)
)

// ssClocks are ss's words for timers.
var ssClocks = map[string]string{"on": "rto", "keepalive": "keepalive", "timewait": "timewait", "persist": "persist"}

// parseSS reads a line of ss -tanpeiOm.
func parseSS(t *testing.T, l string) ssSocket {
	t.Helper()
	f := strings.Fields(l)
	if len(f) < 5 || ssStates[f[0]] == "" {
		t.Fatalf("ss says %s", l)
	}
	s := ssSocket{"state": ssStates[f[0]], "recv_q": f[1], "send_q": f[2], "local": f[3], "remote": f[4], "uid": "0"}
	if s["state"] == "LISTEN" {
		s["backlog"], s["max_backlog"] = f[1], f[2]
		delete(s, "recv_q")
		delete(s, "send_q")
		l = cwndWord.ReplaceAllString(l, "") // of no connection
	}
	for _, m := range ssWord.FindAllStringSubmatch(l, -1) {
		s["ss "+m[1]] = m[2]
	}
	cookie, _ := strconv.ParseUint(s["ss sk"], 16, 64)
	s["cookie"], s["inode"] = strconv.FormatUint(cookie, 10), s["ss ino"]
	if m := ssTimer.FindStringSubmatch(l); m != nil {
		s["timer"], s["tries"] = ssClocks[m[1]], m[3]
	}
	if m := ssDrops.FindStringSubmatch(l); m != nil {
		s["read_memory"], s["read_memory_max"], s["write_memory_max"], s["write_memory"], s["drops"] = m[1], m[2], m[3], m[4], m[5]
	}
	var users []string
	for _, m := range ssUsers.FindAllStringSubmatch(l, -1) {
		users = append(users, m[1]+"/"+m[2])
	}
	slices.Sort(users)
	s["processes"] = strings.Join(users, " ")
	s.info()
	return s
}

// ssNames are ss's names for what both print alike.
var ssNames = map[string]string{
	"mss": "mss", "pmtu": "pmtu", "rcvmss": "receive_mss", "advmss": "adv_mss", "cwnd": "cwnd", "ssthresh": "ssthresh",
	"bytes_sent": "bytes_sent", "bytes_acked": "bytes_acked", "bytes_received": "bytes_received",
	"bytes_retrans": "bytes_retransmitted", "segs_out": "segs_out", "segs_in": "segs_in",
	"data_segs_out": "data_segs_out", "data_segs_in": "data_segs_in", "unacked": "unacked", "lost": "lost",
	"sacked": "sacked", "notsent": "not_sent", "backoff": "backoff", "rcv_space": "receive_space", "snd_wnd": "peer_window",
}

// info reads what ss -i prints.
func (s ssSocket) info() {
	for theirs, ours := range ssNames {
		if v, ok := s["ss "+theirs]; ok {
			s[ours] = v
		}
	}
	if now, total, ok := strings.Cut(s["ss retrans"], "/"); ok {
		s["retransmits_out"], s["retransmits"] = now, total
	}
	if send, receive, ok := strings.Cut(s["ss wscale"], ","); ok {
		s["wscale_send"], s["wscale_receive"] = send, receive
	}
	for theirs, ours := range map[string]string{"rto": "rto_us", "ato": "ato_us", "minrtt": "min_rtt_us", "rtt": "srtt_us"} {
		v, _, _ := strings.Cut(s["ss "+theirs], "/")
		if ms, err := strconv.ParseFloat(v, 64); err == nil {
			s[ours] = strconv.Itoa(int(ms*1000 + 0.5))
		}
	}
}

// ends are both ends as ss writes them.
func ends(m map[string]any) (local, remote string) {
	end := func(which string) string {
		addr, _ := m[which+"_addr"].(string)
		port := "*"
		if p, ok := m[which+"_port"]; ok {
			port = fmt.Sprint(p)
		}
		if addr == "" {
			addr = "0.0.0.0"
			if strings.Contains(fmt.Sprint(m["local_addr"]), ":") {
				addr = "::"
			}
		}
		if strings.Contains(addr, ":") {
			addr = "[" + addr + "]"
		}
		return addr + ":" + port
	}
	return end("local"), end("remote")
}

// ours is a member of ours as ss would have it.
func ours(m map[string]any, name string) string {
	switch name {
	case "local":
		local, _ := ends(m)
		return local
	case "remote":
		_, remote := ends(m)
		return remote
	case "state":
		return strings.TrimPrefix(fmt.Sprint(m["state"]), "NEW_")
	case "processes":
		var users []string
		list, _ := m["processes"].([]any)
		for _, p := range list {
			p := p.(map[string]any)
			users = append(users, fmt.Sprintf("%v/%v", p["comm"], p["pid"]))
		}
		slices.Sort(users)
		return strings.Join(users, " ")
	}
	if v, ok := m[name]; ok {
		if f, isNumber := v.(float64); isNumber {
			return strconv.FormatFloat(f, 'f', -1, 64)
		}
		return fmt.Sprint(v)
	}
	return absent[name]
}

// absent is what ss says, or leaves out, of what does not exist.
var absent = map[string]string{"recv_q": "0", "send_q": "0", "uid": "0", "inode": "0"}

// agreesWithSS compares every socket of the hosts with what ss says both before and
// after: what differs between these two has moved.
func agreesWithSS(t *testing.T, hosts []*lab.Host, look func() []map[string]any) (states map[string]int) {
	t.Helper()
	before := make([]map[string]ssSocket, len(hosts))
	for i, h := range hosts {
		before[i] = ssEvery(t, h)
	}
	byNetns := map[uint32]map[string]map[string]any{}
	states = map[string]int{}
	for _, m := range look() {
		netns := uint32(m["netns"].(float64))
		if byNetns[netns] == nil {
			byNetns[netns] = map[string]map[string]any{}
		}
		byNetns[netns][ours(m, "cookie")] = m
		states[m["state"].(string)]++
	}
	compared := 0
	for i, h := range hosts {
		mine := byNetns[h.Netns()]
		after := ssEvery(t, h)
		for cookie, s := range before[i] {
			if m := mine[cookie]; m != nil {
				compared += sameSocket(t, h, m, s, after[cookie])
			} else if after[cookie] != nil {
				t.Errorf("%s: not shown: %v", h.Name(), s)
			}
		}
		for cookie, m := range mine {
			if before[i][cookie] == nil && after[cookie] == nil {
				t.Errorf("%s: ss does not show %v", h.Name(), m)
			}
		}
	}
	t.Logf("%d values compared, sockets by state: %v", compared, states)
	return states
}

// sixDigits is a number as ss prints it (%g): of one second and more not every microsecond.
func sixDigits(number string) string {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return number
	}
	return strconv.FormatFloat(n, 'g', 6, 64)
}

// sameSocket compares what has not moved.
func sameSocket(t *testing.T, h *lab.Host, m map[string]any, before, after ssSocket) (compared int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if strings.HasPrefix(name, "ss ") || after[name] != before[name] {
			continue
		}
		compared++
		if have := ours(m, name); have != before[name] && !(have == "" && before[name] == "0") && !(strings.HasSuffix(name, "_us") && sixDigits(have) == sixDigits(before[name])) {
			t.Errorf("%s: %s is %q, ss says %q\nours %v\nss %v", h.Name(), name, have, before[name], m, before)
		}
	}
	return compared
}

// TestNowIsSs: in many namespaces, with sockets in all states and of both families,
// what now shows is what ss shows, less what moves.
func TestNowIsSs(t *testing.T) {
	th := standStill(t, slices.DeleteFunc(slices.Clone(standing), func(name string) bool { return strings.HasPrefix(name, "syn-") })...)
	th.begin(t) // for longer than the scenarios of that name
	states := agreesWithSS(t, th.hosts(), func() []map[string]any { return nowOf(t, th.netns()) })
	for _, want := range []string{
		"LISTEN", "SYN_SENT", "NEW_SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "LAST_ACK", "CLOSING", "TIME_WAIT",
	} {
		if states[want] < 2 {
			t.Errorf("%d sockets in %s", states[want], want)
		}
	}
}
