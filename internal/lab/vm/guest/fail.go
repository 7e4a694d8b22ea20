package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeTypes are the routes that lead nowhere.
var routeTypes = map[string]int{
	"unreachable": unix.RTN_UNREACHABLE, "blackhole": unix.RTN_BLACKHOLE, "prohibit": unix.RTN_PROHIBIT,
}

// route adds a route: "prohibit 10.1.0.0/16".
func route(with string) error {
	kind, to, _ := strings.Cut(with, " ")
	_, destination, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	if routeTypes[kind] == 0 {
		return fmt.Errorf("no such type of route")
	}
	return netlink.RouteAdd(&netlink.Route{Dst: destination, Type: routeTypes[kind]})
}

// fail makes one connect() and wants the error: "10.1.0.1:80 EACCES".
func fail(with string) error {
	to, want, _ := strings.Cut(with, " ")
	address, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	err = connect(address)
	if errno, ok := err.(unix.Errno); !ok || unix.ErrnoName(errno) != want {
		return fmt.Errorf("connect says %v", err)
	}
	return nil
}

// connect makes one connect() with a plain TCP socket, and closes it.
func connect(address netip.AddrPort) error {
	domain, sockaddr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(address.Port())})
	if address.Addr().Is4() {
		sockaddr.(*unix.SockaddrInet4).Addr = address.Addr().As4()
	} else { // IPv4-mapped ones too
		domain, sockaddr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(fd)
	return unix.Connect(fd, sockaddr)
}

// portRange holds the ports that connect() may choose from, of this namespace.
const portRange = "/proc/sys/net/ipv4/ip_local_port_range"

// noPort listens on an address, so that connect() cannot have that port, and
// allows no other.
func noPort(with string) error {
	address, err := netip.ParseAddrPort(with)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", with)
	if err != nil {
		return err
	}
	defer l.Close()
	before, err := os.ReadFile(portRange)
	if err != nil {
		return err
	}
	if err := os.WriteFile(portRange, fmt.Appendf(nil, "%d %[1]d", address.Port()), 0); err != nil {
		return err
	}
	defer os.WriteFile(portRange, before, 0)
	if err := connect(address); err != unix.EADDRNOTAVAIL {
		return fmt.Errorf("connect says %v", err)
	}
	return nil
}
