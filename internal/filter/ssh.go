package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// OwnSSH returns the expression that leaves out the SSH session this process
// runs in, by SSH_CONNECTION ("client port server port", sshd(8)). ok is false
// if there is none, or if it does not hold two addresses and two ports.
func OwnSSH(env func(string) string) (expr string, ok bool) {
	fields := strings.Fields(env("SSH_CONNECTION"))
	if len(fields) != 4 {
		return "", false
	}
	client, ok1 := sshEnd(fields[0], fields[1])
	server, ok2 := sshEnd(fields[2], fields[3])
	if !ok1 || !ok2 || client.Addr().Is4() != server.Addr().Is4() {
		return "", false
	}
	return fmt.Sprintf("not (host %s and tcp port %d and host %s and tcp port %d)",
		client.Addr(), client.Port(), server.Addr(), server.Port()), true
}

// sshEnd parses one end as packets have it: without zone, IPv4 not mapped.
func sshEnd(host, service string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(host)
	port, errPort := strconv.ParseUint(service, 10, 16)
	if err != nil || errPort != nil || port == 0 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.WithZone("").Unmap(), uint16(port)), true
}
