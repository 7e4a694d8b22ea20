package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/lab"
)

// TestNowMany: ten thousand sockets, each once, in the memory that doc/BENCHMARK.md
// tells.
func TestNowMany(t *testing.T) {
	connections := 500
	if os.Getenv("TCPSTORY_LONG") != "" {
		connections = 5000
	}
	l := newLab(t, lab.Options{Topology: lab.Alone})
	r := routes(l, 7390)[2]
	ln := r.listen(t)
	defer ln.Close()
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range connections {
		k := r.connect(t, ln)
		held = append(held, k.client, k.server)
	}
	for _, form := range []string{"--json", "--csv", "-w"} {
		cmd := tcpstory(here{}, "now", "--netns", r.client.NetnsName(), form)
		stdout, err := cmd.StdoutPipe()
		mustDo(t, err)
		begun := time.Now()
		mustDo(t, cmd.Start())
		in := bufio.NewReader(stdout)
		_, err = in.Peek(1) // and then it waits, for the pipe is full
		mustDo(t, err)
		peak := residentPeak(t, cmd.Process.Pid)
		out, err := io.ReadAll(in)
		mustDo(t, errors.Join(err, cmd.Wait()))
		const most = 96 << 10 // KiB; the table takes most
		t.Logf("%s: %v, %v of CPU, %d KiB", form, time.Since(begun).Round(time.Millisecond),
			(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(time.Millisecond), peak)
		if peak > most {
			t.Errorf("%s: %d KiB for %d sockets", form, peak, 2*connections)
		}
		want := 2*connections + 2 // the listener, and the namespace or a heading
		if n := strings.Count(string(out), "\n"); n != want {
			t.Errorf("%s: %d lines, want %d", form, n, want)
		}
	}
}

// residentPeak is the most memory that a process has had resident, KiB.
func residentPeak(t *testing.T, pid int) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	mustDo(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	_, err = fmt.Sscan(rest, &kib)
	mustDo(t, err)
	return kib
}
