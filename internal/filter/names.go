package filter

// #include <stdint.h>
// struct in6_addr;
import "C"

import (
	"context"
	"net"
	"time"
	"unsafe"
)

// lookupLimit bounds one name look-up, so that the answer (libpcap's "unknown
// host") comes before Compile gives up.
const lookupLimit = compileLimit - time.Second

// resolver never calls getaddrinfo, which in this binary is names.c.
var resolver = net.Resolver{PreferGo: true}

// tcpstoryLookupHost stores the addresses of a host, IPv4 in mapped form, and
// returns how many there are (0: unknown).
//
//export tcpstoryLookupHost
func tcpstoryLookupHost(name *C.char, addresses *C.struct_in6_addr, room C.int) C.int {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	found, _ := resolver.LookupNetIP(ctx, "ip", C.GoString(name))
	out := unsafe.Slice((*[16]byte)(unsafe.Pointer(addresses)), int(room))
	n := 0
	for _, a := range found {
		if n < len(out) {
			out[n] = a.As16()
			n++
		}
	}
	return C.int(n)
}

// tcpstoryLookupService returns the port of a service over an IP protocol
// (6 TCP, 17 UDP), or -1.
//
//export tcpstoryLookupService
func tcpstoryLookupService(name *C.char, protocol C.int) C.int {
	network, ok := map[C.int]string{6: "tcp", 17: "udp"}[protocol]
	if !ok {
		return -1
	}
	port, err := resolver.LookupPort(context.Background(), network, C.GoString(name))
	if err != nil {
		return -1
	}
	return C.int(port)
}

// tcpstoryLookupProtocol returns the number of an IP protocol, or -1.
//
//export tcpstoryLookupProtocol
func tcpstoryLookupProtocol(name *C.char) C.int {
	number, ok := protocolNumber(protocolsFile, C.GoString(name))
	if !ok {
		return -1
	}
	return C.int(number)
}

// tcpstoryLookupNetwork stores the number of a network, host byte order, and
// returns whether it is known.
//
//export tcpstoryLookupNetwork
func tcpstoryLookupNetwork(name *C.char, number *C.uint32_t) C.int {
	a, ok := networkNumber(networksFile, C.GoString(name))
	*number = C.uint32_t(a)
	return known(ok)
}

// tcpstoryLookupEther stores the six bytes of a station's address and returns
// whether it is known.
//
//export tcpstoryLookupEther
func tcpstoryLookupEther(name *C.char, address *C.uint8_t) C.int {
	a, ok := etherAddress(ethersFile, C.GoString(name))
	*(*[6]byte)(unsafe.Pointer(address)) = a
	return known(ok)
}

func known(ok bool) C.int {
	if ok {
		return 1
	}
	return 0
}
