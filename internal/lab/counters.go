package lab

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// counterFiles hold what nstat prints of a network stack.
var counterFiles = [...]string{"snmp", "netstat"}

// Counter reads a counter of the host's network stack, as nstat does: group "Tcp",
// "Ip", "TcpExt" …, and the name in it.
func (h *Host) Counter(group, name string) (n uint64, err error) {
	err = h.ns.within(func() error {
		for _, file := range counterFiles {
			text, err := os.ReadFile("/proc/thread-self/net/" + file)
			if err != nil {
				return fmt.Errorf("read counters of the %s: %w", h.name, err)
			}
			if value, ok := findCounter(string(text), group, name); ok {
				n, err = strconv.ParseUint(value, 10, 64)
				return err
			}
		}
		return fmt.Errorf("the kernel has no counter %s %s", group, name)
	})
	return n, err
}

// findCounter looks in pairs of lines: a group's names, and its numbers.
func findCounter(text, group, name string) (value string, ok bool) {
	column := -1
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != group+":" {
			continue
		}
		if column > 0 && column < len(words) {
			return words[column], true
		}
		column = slices.Index(words, name)
	}
	return "", false
}
