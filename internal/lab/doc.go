// Package lab makes hosts as network namespaces joined by veth, lets real
// sockets of real processes talk between them, breaks that talk with real
// nftables rules inside those namespaces only, and says what a tracer must see.
//
// A Lab is made by New and removed by Close. What it made is also removed when
// the program that made it panics or is killed, SIGKILL included: a reaper
// process waits for the end of a pipe that only that program holds open.
//
// The package starts its helper processes by executing the running program
// again with the variable TCPLAB_ROLE set; its init function takes such a
// process over, so that any program or test that imports the package can use
// it without a hook of its own. Everything here needs root and Linux.
package lab
