package main

import (
	"fmt"
	"net"
	"strings"

	"tcpstory/internal/kernel"
)

// listDevices is -D, in tcpdump's form.
func listDevices(e *env) error {
	list, err := kernel.Interfaces()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	for i, dev := range list {
		if _, err := fmt.Fprintf(e.stdout, "%d.%s%s\n", i+1, dev.Name, deviceState(dev.Flags)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(e.stdout, "%d.any (all interfaces of this network namespace) [Up, Running]\n", len(list)+1)
	return err
}

// deviceFlags are the words that tcpdump -D puts in brackets.
var deviceFlags = []struct {
	bit  net.Flags
	word string
}{{net.FlagUp, "Up"}, {net.FlagRunning, "Running"}, {net.FlagLoopback, "Loopback"}}

func deviceState(flags net.Flags) string {
	var words []string
	for _, f := range deviceFlags {
		if flags&f.bit != 0 {
			words = append(words, f.word)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " [" + strings.Join(words, ", ") + "]"
}
