package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestScripts runs testdata/script: what tcpstory says to bad input, and that
// it leaves nothing behind. Besides testscript's own commands there are
//
//	fails STATUS REGEXP COMMAND...   a failure said in one line
//	listens REGEXP COMMAND...        it listens, has said this before, and ends in order
//	bytes FILE HEX...                writes a file
//	hide FILE NAME                   writes the kernel's BTF without a tracepoint
func TestScripts(t *testing.T) {
	names := ourPrograms(t)
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: openWork,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails":   fails,
			"listens": startsToListen,
			"bytes":   writeBytes,
			"hide":    hideTracepoint,
		},
	})
	t.Cleanup(func() { nothingAttached(t, names) })
}

// openWork lets processes without rights into the script's directory.
func openWork(env *testscript.Env) error {
	env.Vars = append(env.Vars, "TZ=UTC")
	return os.Chmod(env.WorkDir, 0o755)
}

// fails wants an exit status and one line on standard error that matches.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fails STATUS REGEXP COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("timeout", append([]string{"-s", "KILL", "20"}, args[2:]...)...)
	status := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		status = exit.ExitCode()
	}
	stderr := ts.ReadFile("stderr")
	if status != want {
		ts.Fatalf("exit status %d, want %d", status, want)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "tcpstory: ") {
		ts.Fatalf("want one line that begins with tcpstory:")
	}
	if !regexp.MustCompile(args[1]).MatchString(stderr) {
		ts.Fatalf("standard error does not match %s", args[1])
	}
}

// startsToListen runs a command until it listens, then presses Ctrl-C.
func startsToListen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: listens REGEXP COMMAND...")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.Getenv("WORK")
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var said strings.Builder
	for in := bufio.NewScanner(stderr); in.Scan(); {
		fmt.Fprintln(&said, in.Text())
		if listens.MatchString(in.Text()) {
			ts.Check(cmd.Process.Signal(unix.SIGINT))
		}
	}
	ts.Logf("[stderr]\n%s", &said)
	ts.Check(cmd.Wait())
	if !regexp.MustCompile(args[0]).MatchString(said.String()) {
		ts.Fatalf("standard error does not match %s", args[0])
	}
}

func writeBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: bytes FILE HEX...")
	}
	b, err := hex.DecodeString(strings.Join(args[1:], ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// hideTracepoint spoils a tracepoint's name in a copy of the kernel's BTF,
// which is what tcpstory asks what the kernel has.
func hideTracepoint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hide FILE NAME")
	}
	btf, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	ts.Check(err)
	name := []byte("\x00btf_trace_" + args[1] + "\x00")
	if bytes.Count(btf, name) != 1 {
		ts.Fatalf("%q is not once in the kernel's BTF", name)
	}
	btf[bytes.Index(btf, name)+len(name)-2] = '_'
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), btf, 0o644))
}
