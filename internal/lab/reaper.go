package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// A reaper is a process that outlives this one for a moment. It is told, line
// by line and before anything is made, what it must remove, and begins when
// its standard input ends: because Close closed it, or because the program is
// dead, however it died. So there is one way to clean up, used every time.
type reaper struct {
	cmd    *exec.Cmd
	will   io.WriteCloser
	stderr bytes.Buffer
}

func startReaper() (*reaper, error) {
	r := &reaper{cmd: roleCommand("reaper", "tcplab-reaper")}
	// A session of its own: a terminal's Ctrl-C must not reach it.
	r.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	r.cmd.Stderr = &r.stderr
	will, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	r.will = will
	return r, nil
}

// owns says that a namespace of that name is about to be made.
func (r *reaper) owns(kind, name string) error {
	if _, err := fmt.Fprintf(r.will, "%s %s\n", kind, name); err != nil {
		return fmt.Errorf("tell the reaper of %s %s: %w", kind, name, err)
	}
	return nil
}

// close has everything removed and waits until it is.
func (r *reaper) close() error {
	r.will.Close()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("clean up: %w: %s", err, bytes.TrimSpace(r.stderr.Bytes()))
	}
	return nil
}

// What a reaper can be left.
const (
	ownsNetns = "netns"
	ownsDir   = "dir"
)

// serveReaper is the reaper process.
func serveReaper(in io.Reader, _ io.Writer) error {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE)
	var names, dirs []string
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		kind, name, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case ownsNetns:
			names = append(names, name)
		case ownsDir:
			dirs = append(dirs, name)
		}
	}
	return errors.Join(lines.Err(), removeNamespaces(names), removeDirs(dirs))
}

func removeDirs(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
