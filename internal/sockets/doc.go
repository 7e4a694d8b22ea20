// Package sockets asks the kernel for its TCP sockets (sock_diag(7)), namespace by
// namespace, and /proc for the processes that hold them open: what ss(8) does, with
// the rights that ss needs, and no BPF.
package sockets
