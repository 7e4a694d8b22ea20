package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// roleVar names the role that a copy of the running program plays.
const roleVar = "TCPLAB_ROLE"

// commVar names the process, as ps and a tracer show it: at most 15 bytes.
const commVar = "TCPLAB_COMM"

// self is this program, even if its file was replaced or removed meanwhile.
const self = "/proc/self/exe"

// roles are the helper processes. Each serves its standard input until that
// ends, and its standard output carries nothing but the answers.
var roles map[string]func(in io.Reader, out io.Writer) error

// init takes a helper process over before the importing program's own main.
// During init the main goroutine runs on the main thread, which is the thread
// that must bear the process's name and make its sockets' system calls.
func init() {
	roles = map[string]func(io.Reader, io.Writer) error{
		"peer":   servePeer,
		"reaper": serveReaper,
		"load":   serveLoad,
		"rps":    serveSteering,
	}
	serve, ok := roles[os.Getenv(roleVar)]
	if !ok {
		return
	}
	if err := playRole(serve); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func playRole(serve func(io.Reader, io.Writer) error) error {
	comm := os.Getenv(commVar)
	// What the helper starts in its turn is no helper.
	os.Unsetenv(roleVar)
	os.Unsetenv(commVar)
	if err := nameThread(comm); err != nil {
		return err
	}
	return serve(os.Stdin, os.Stdout)
}

// nameThread names the calling thread, which here is the main one.
func nameThread(comm string) error {
	if err := os.WriteFile("/proc/thread-self/comm", []byte(comm), 0); err != nil {
		return fmt.Errorf("name the process %q: %w", comm, err)
	}
	return nil
}

// roleCommand is a not yet started copy of this program in a role.
func roleCommand(role, comm string) *exec.Cmd {
	cmd := exec.Command(self)
	cmd.Args = []string{comm}
	cmd.Env = append(os.Environ(), roleVar+"="+role, commVar+"="+comm)
	return cmd
}
