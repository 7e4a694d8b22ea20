package kernel

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// tracefsDir is where tracefs is mounted, if it is.
const tracefsDir = "/sys/kernel/tracing"

// eventTaxes is a line for each instance of the kernel's own tracer, the top one
// included, that records events on a connection's way or has a tracer at work.
func eventTaxes() []string {
	const unknown = "unknown whether events are enabled in tracefs: "
	dir := tracefsDir
	if _, err := os.Stat(dir + "/set_event"); err != nil {
		root, err := mountNowhere("tracefs")
		if err != nil {
			return []string{unknown + reason(err)}
		}
		defer unix.Close(root)
		dir = fmt.Sprint("/proc/self/fd/", root)
	}
	tree := os.DirFS(dir)
	instances, err := fs.Glob(tree, "instances/*")
	if err != nil {
		return []string{unknown + reason(err)}
	}
	var lines []string
	for _, at := range append([]string{"."}, instances...) {
		lines = append(lines, instanceTax(tree, at)...)
	}
	return lines
}

func instanceTax(tree fs.FS, at string) (lines []string) {
	where := "tracefs"
	if at != "." {
		where += "/" + at
	}
	if text, err := fs.ReadFile(tree, at+"/current_tracer"); err == nil && strings.TrimSpace(string(text)) != "nop" {
		lines = append(lines, fmt.Sprintf("the tracer %s is at work in %s", strings.TrimSpace(string(text)), where))
	}
	text, err := fs.ReadFile(tree, at+"/set_event")
	if err != nil {
		return lines // it was removed
	}
	events := slices.DeleteFunc(strings.Fields(string(text)), func(event string) bool { return !concernsEvent(event) })
	if len(events) > 0 {
		lines = append(lines, fmt.Sprintf("events are enabled in %s: %s", where, listed(events)))
	}
	return lines
}

// concernsEvent judges "group:event"; what a probe of one's own is on, only its
// maker knows.
func concernsEvent(event string) bool {
	group, name, _ := strings.Cut(event, ":")
	return concerns(name) || slices.Contains([]string{"sock", "tcp", "skb", "net", "syscalls", "raw_syscalls", "kprobes"}, group)
}
