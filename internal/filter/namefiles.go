package filter

import (
	"bufio"
	"encoding/binary"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The name files that net.Resolver does not read: protocols(5), networks(5), ethers(5).
const (
	protocolsFile = "/etc/protocols"
	networksFile  = "/etc/networks"
	ethersFile    = "/etc/ethers"
)

// findLine returns the fields of the first line of a file that wanted accepts.
// A file that cannot be read has no such line.
func findLine(file string, wanted func(fields []string) bool) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if fields := strings.Fields(text); len(fields) >= 2 && wanted(fields) {
			return fields
		}
	}
	return nil
}

// named accepts a line "NAME VALUE ALIAS…".
func named(name string) func([]string) bool {
	return func(fields []string) bool {
		return fields[0] == name || slices.Contains(fields[2:], name)
	}
}

func protocolNumber(file, name string) (uint8, bool) {
	fields := findLine(file, named(name))
	if fields == nil {
		return 0, false
	}
	number, err := strconv.ParseUint(fields[1], 10, 8)
	return uint8(number), err == nil
}

// networkNumber returns a network's address; missing trailing bytes are zero.
func networkNumber(file, name string) (uint32, bool) {
	fields := findLine(file, named(name))
	if fields == nil {
		return 0, false
	}
	text := fields[1] + strings.Repeat(".0", max(0, 3-strings.Count(fields[1], ".")))
	ip := net.ParseIP(text).To4()
	if ip == nil {
		return 0, false
	}
	return binary.BigEndian.Uint32(ip), true
}

// etherAddress looks in lines "ADDRESS NAME".
func etherAddress(file, name string) (address [6]byte, ok bool) {
	fields := findLine(file, func(fields []string) bool { return fields[1] == name })
	if fields == nil {
		return address, false
	}
	bytes := strings.Split(fields[0], ":")
	if len(bytes) != len(address) {
		return address, false
	}
	for i, text := range bytes {
		b, err := strconv.ParseUint(text, 16, 8)
		if err != nil {
			return address, false
		}
		address[i] = byte(b)
	}
	return address, true
}
