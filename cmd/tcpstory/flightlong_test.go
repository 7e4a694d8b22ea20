package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// TestFlightLate: a connection that has been open, and silent, for long dies of a
// time-out. The recorder has its last packets and every attempt to send again, and its
// memory has stayed what it was while other connections came and went.
func TestFlightLate(t *testing.T) {
	idle := 2 * time.Second
	if os.Getenv("TCPSTORY_LONG") != "" {
		idle = 20 * time.Minute
	}
	l := newLab(t, lab.Options{})
	r, noise := routes(l, 7330)[0], routes(l, 7331)[2] // nobody listens at 7331
	ln := r.listen(t)
	defer ln.Close()
	p, dir := flies(t, r, "--ring", "2m", "--on", "timeout", "--after", "1s",
		"--netns", r.client.NetnsName(), "--netns", r.server.NetnsName(), "port 7330 or port 7331")
	k := r.connect(t, ln)
	defer k.server.Close()
	stop := traffic(noise)
	most := steady(t, p, idle)
	for _, c := range []*net.TCPConn{k.client, k.server} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	k.sends(k.client, k.server, text(100))
	if _, err := r.server.Break(lab.Rule{Hook: lab.Input, ToPort: 7330}); err != nil {
		t.Fatal(err)
	}
	raw, err := k.client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 1500); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.client.Write(text(200)); err != nil {
		t.Fatal(err)
	}
	p.awaitsIn(p.err, regexp.MustCompile(`^tcpstory: incident: timeout, `))
	stop()
	p.interrupt()
	k.client.Close()
	lines := readBack(t, onlyFile(t, dir, "timeout"))
	for _, pattern := range []string{
		` > 10\.77\.0\.2\.7330: Flags \[P\.\], .*length 100$`, ` > 10\.77\.0\.1\.\d+: Flags \[\.\], `, ` > 10\.77\.0\.2\.7330: Flags \[P\.\], .*length 200$`,
		`Retransmit (TLP|RTO)`, `State ESTABLISHED -> CLOSE.* error ETIMEDOUT`,
	} {
		if count(lines, pattern) == 0 {
			t.Errorf("no %s in\n%s", pattern, strings.Join(lines, "\n"))
		}
	}
	if count(lines, `\.7331`) > 0 {
		t.Error("other connections are in the file")
	}
	t.Logf("after %v: %d KiB resident at most, %d lines", idle, most, len(lines))
}

// steady wants a process to take no more memory in the second half of a time than in
// the first, and returns the most it took, KiB.
func steady(t *testing.T, p *proc, during time.Duration) (most int) {
	t.Helper()
	first := 0
	for begun := time.Now(); time.Since(begun) < during; time.Sleep(during / 200) {
		now := resident(t, p)
		if most = max(most, now); time.Since(begun) < during/2 {
			first = max(first, now)
		}
	}
	t.Logf("%d KiB resident in the first half, at most %d", first, most)
	if most > first+8<<10 {
		t.Errorf("%d KiB resident after %d", most, first)
	}
	return most
}

// flies starts a flight recorder on a host, and returns where its files go.
func flies(t *testing.T, r route, args ...string) (*proc, string) {
	t.Helper()
	dir := t.TempDir()
	return recordOf(t, r.client, dir, args...), dir
}

// resident is a process's resident memory, KiB.
func resident(t *testing.T, p *proc) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmRSS in\n%s", status)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// onlyFile is the file of the one incident of that kind.
func onlyFile(t *testing.T, dir, why string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "incident-*-"+why+".pcapng"))
	if len(files) != 1 {
		all, _ := filepath.Glob(filepath.Join(dir, "*"))
		t.Fatalf("%d files of %s: %v", len(files), why, all)
	}
	return files[0]
}
