package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab/vm"
)

// finding is what the test reads of a line of the report.
type finding struct {
	Group, Name, Mark, Found, Lack, Reason, Remedy string
}

// report is what doctor --json writes.
type report struct {
	Release  string
	Works    bool
	Findings []finding
}

func parseReport(t *testing.T, out []byte) (r report) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(out))
	if err := dec.Decode(&r); err != nil || dec.More() {
		t.Fatalf("%v in:\n%s", err, out)
	}
	return r
}

// find returns the finding of that name.
func (r *report) find(t *testing.T, name string) finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f finding) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("nothing is said of %s: %+v", name, r.Findings)
	}
	return r.Findings[i]
}

// lacks are the names of what is missing in a group.
func (r *report) lacks(group string) (names []string) {
	for _, f := range r.Findings {
		if f.Group == group && f.Mark == "lacks" {
			names = append(names, f.Name)
		}
	}
	return names
}

// TestDoctor holds the report against this host's own words.
func TestDoctor(t *testing.T) {
	out, err := tcpstory(here{}, "doctor", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := parseReport(t, out)
	if !r.Works || r.Release != witness(t, "uname", "-r") {
		t.Errorf("works %v, release %s", r.Works, r.Release)
	}
	level := regexp.MustCompile(`\[(\w+)\]`).FindStringSubmatch(
		witness(t, "unshare", "-m", "sh", "-c", "mount -t securityfs none /mnt && cat /mnt/lockdown || echo '[absent]'"))
	if f := r.find(t, "lockdown"); f.Found != level[1] || (f.Mark == "works") != slices.Contains([]string{"none", "absent"}, level[1]) {
		t.Errorf("lockdown %+v, this kernel says %s", f, level)
	}
	var mask uint64
	if _, err := fmt.Sscanf(witness(t, "grep", "CapEff", "/proc/self/status"), "CapEff:\t%x", &mask); err != nil {
		t.Fatal(err)
	}
	for name, bit := range map[string]int{"CAP_BPF": unix.CAP_BPF, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE} {
		if f := r.find(t, name); (f.Mark == "works") != (mask>>bit&1 == 1) {
			t.Errorf("%+v with the capabilities %x", f, mask)
		}
	}
	if got := r.find(t, "cgroup2").Found; !strings.Contains(witness(t, "grep", " cgroup2 ", "/proc/self/mounts"), " "+got+" ") {
		t.Errorf("cgroup2 is said to be on %s", got)
	}
	for _, f := range r.Findings {
		if f.Mark == "lacks" && (f.Lack == "" || f.Remedy == "") {
			t.Errorf("%s is missing without a word of what that costs, or helps: %+v", f.Name, f)
		}
	}
	refusalsAgree(t, &r)
}

// refusalsAgree: a trace with -v says of each optional program what doctor says,
// and without -v nothing.
func refusalsAgree(t *testing.T, r *report) {
	t.Helper()
	p := watch(t, here{}, "-v", "--no-packets", "--netns", "/proc/self/ns/net")
	p.interrupt()
	quiet := watch(t, here{}, "--no-packets", "--netns", "/proc/self/ns/net")
	quiet.interrupt()
	for _, name := range []string{"exit of tcp_v4_connect", "exit of tcp_v6_connect"} {
		f, said := r.find(t, name), 0
		for _, l := range p.err.text() {
			if strings.HasPrefix(l, "tcpstory: "+name+": "+f.Lack) {
				said++
			}
		}
		if f.Mark == "lacks" && said != 1 || f.Mark != "lacks" && said != 0 {
			t.Errorf("%+v, and -v says %q", f, p.err.text())
		}
		if strings.Contains(strings.Join(quiet.err.text(), "\n"), name) {
			t.Errorf("said without -v: %q", quiet.err.text())
		}
	}
}

// TestDoctorIsDocumented: doc/OUTPUT.md has every member of the report.
func TestDoctorIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../doc/OUTPUT.md")
	if err != nil {
		t.Fatal(err)
	}
	out, _ := tcpstory(here{}, "doctor", "--json").Output()
	members := regexp.MustCompile(`"(\w+)":`).FindAllSubmatch(out, -1)
	if len(members) < 10 {
		t.Fatalf("members %q", members)
	}
	_, section, _ := strings.Cut(string(doc), "\n## Doctor\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range members {
		if !strings.Contains(section, "\n| "+string(m[1])+" | ") {
			t.Errorf("doc/OUTPUT.md does not describe %s", m[1])
		}
	}
}

// witness is what another program says.
func witness(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestDoctorOnTerminals: the page fits, and stands out by colours alone.
func TestDoctorOnTerminals(t *testing.T) {
	for _, columns := range []int{80, 160} {
		term := newTerminal(t, uint16(columns))
		cmd := tcpstory(here{}, "doctor")
		cmd.Env = append(cmd.Env, "TERM=xterm-256color", "LANG=C.UTF-8")
		cmd.Stdout = term.program
		p := start(t, cmd)
		go p.out.gather(term)
		p.ends(0)
		p.shows(`network namespaces`)
		for _, l := range p.out.text() {
			if escape.MatchString(colour.ReplaceAllString(l, "")) {
				t.Errorf("an escape that is no colour: %q", l)
			}
			if n := utf8.RuneCountInString(visible(l)); n > columns {
				t.Errorf("%d columns of %d: %s", n, columns, visible(l))
			}
		}
		p.shows(`^\x1b\[32m✓\x1b\[0m inet_sock_set_state +state transitions`)
	}
}

// vmReports is what doctor has to miss on each kernel, by group. Debian's kernels
// allow what hardened ones do not.
var vmReports = map[string]map[string][]string{
	vm.Oldest.Name: {
		"sockets": {"kfree_skb", "inet_sk_error_report"}, "owners": {"sock_send_length"},
		"details": {"payload of packets out", "reasons of resets", "failed retransmissions", "socket cookies"},
	},
	vm.Linux61.Name: {
		"owners":  {"sock_send_length"},
		"details": {"payload of packets out", "receiver of drops", "reasons of resets", "failed retransmissions"},
	},
	vm.Linux612.Name: {"details": {"failed retransmissions"}},
	vm.Newest.Name:   {},
}

// examines: each hook was really tried, and what is missing is what that kernel's
// age explains, with the kernel to change to.
func (g guest) examines(t *testing.T, missing map[string][]string) {
	res, err := vm.Run(t.Context(), g.kernel, vm.Job{Binary: g.bin, Args: []string{"doctor", "--json"}, Timeout: 5 * time.Minute})
	if err != nil || res.Status != 0 {
		t.Fatalf("%s: status %d, %v\n%s", g.kernel.Release, res.Status, err, res.Stderr)
	}
	r := parseReport(t, res.Stdout)
	if !r.Works || r.Release != g.kernel.Release {
		t.Errorf("works %v, release %s", r.Works, r.Release)
	}
	for _, group := range []string{"kernel", "rights", "sockets", "packets", "owners", "details", "host"} {
		if got := r.lacks(group); !slices.Equal(got, missing[group]) {
			t.Errorf("%s: %q are missing, want %q\n%s", group, got, missing[group], res.Stdout)
		}
	}
	for _, name := range slices.Concat(missing["sockets"], missing["owners"], missing["details"]) {
		if f := r.find(t, name); !regexp.MustCompile(`^a kernel from \d\.\d+ on$`).MatchString(f.Remedy) {
			t.Errorf("%+v", f)
		}
	}
	for _, name := range []string{"exit of tcp_v4_connect", "exit of tcp_v6_connect", "inet_sock_set_state", "iter/task_file"} {
		if f := r.find(t, name); f.Mark != "works" {
			t.Errorf("%+v", f)
		}
	}
}
