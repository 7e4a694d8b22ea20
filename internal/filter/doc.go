// Package filter turns a pcap-filter(7) expression into the classic BPF
// program that the kernel source, the file reader and the connection filter
// run. libpcap itself compiles it, so what an expression means is exact by
// construction; cgo stops here.
//
// A Program answers two questions: does this packet match (Match), and could
// some packet of this TCP connection match (CouldMatch, Project).
//
// libpcap is linked statically (libpcap.a, Debian's libpcap-dev). Its name
// look-ups are answered by names.c and names.go, not by glibc: a fully static
// binary needs no NSS modules and links without warnings:
//
//	CGO_ENABLED=1 go build -tags netgo,osusergo \
//	    -ldflags '-s -w -linkmode external -extldflags "-static"' ./cmd/...
package filter
